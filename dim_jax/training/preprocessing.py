"""Images to what a method takes: random augmentation, then normalisation. Built once for a run."""

from typing import NamedTuple, Self

import jax
import jax.numpy as jnp

from dim_jax import augment, data, settings


class Preprocessing(NamedTuple):
    """The augmentation and the normalisation of a run.

    mean and std: of every channel, for pixels in [0, 1]. change(rng, images [n,h,w,c]) ->
    [n,h,w,c] or [v,n,h,w,c] for v `views`, u8 or f32 in [0, 1]; none by default. pixel_range: the
    raw values that are 0 and 1, None = u8.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    change: augment.Change = augment.pipeline()
    views: int = 1
    pixel_range: data.PixelRange | None = None

    @classmethod
    def of(cls, config: settings.Config, facts: data.Facts) -> Self:
        """The preprocessing that a config asks for, for images of a data set.

        Raises: contracts.UserError: statistics are asked for that the data set does not have.
        """
        mean, std = data.scaling(facts, config.data.scaling)
        change = augment.pipeline(config.augment)
        return cls(mean, std, change, config.augment.views, facts.pixel_range)

    def normalise(self, images: jax.Array) -> jax.Array:
        """(pixels - mean) / std f32[...,c] of raw pixels, or without a pixel range of u8."""
        return data.normalise(images, self.mean, self.std, self.pixel_range)

    def training_views(self, rng: jax.Array, images: jax.Array) -> jax.Array:
        """The views f32[v,n,h,w,c] that methods train on, of raw images [n,h,w,c]."""
        if self.pixel_range is not None:
            images = data.to_unit(images, self.pixel_range)
        views = data.normalise(self.change(rng, images), self.mean, self.std)
        return views if views.ndim == 5 else views[None]

    def plain_views(self, images: jax.Array) -> jax.Array:
        """Views f32[v,n,h,w,c] that are all the raw images [n,h,w,c] themselves."""
        return jnp.repeat(self.normalise(images)[None], self.views, axis=0)
