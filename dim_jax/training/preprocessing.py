"""Images to what a method takes: random augmentation, then normalisation. Built once for a run."""

from typing import NamedTuple, Self

import jax
import jax.numpy as jnp

from dim_jax import augment, data, settings


class Preprocessing(NamedTuple):
    """The augmentation and the normalisation of a run.

    mean and std: of every channel, for pixels in [0, 1]. change(rng, images u8[n,h,w,c]) ->
    [n,h,w,c] or [v,n,h,w,c] for v `views`, u8 or f32 in [0, 1]; none by default.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    change: augment.Change = augment.pipeline()
    views: int = 1

    @classmethod
    def of(cls, config: settings.Config, facts: data.Facts) -> Self:
        """The preprocessing that a config asks for, for images of a data set.

        Raises: contracts.UserError: statistics are asked for that the data set does not have.
        """
        mean, std = data.scaling(facts, config.data.scaling)
        return cls(mean, std, augment.pipeline(config.augment), config.augment.views)

    def normalise(self, images: jax.Array) -> jax.Array:
        """(pixels - mean) / std f32[...,c] of pixels u8, or f32 in [0, 1]."""
        return data.normalise(images, self.mean, self.std)

    def training_views(self, rng: jax.Array, images: jax.Array) -> jax.Array:
        """The views f32[v,n,h,w,c] that methods train on, of images u8[n,h,w,c]."""
        views = self.normalise(self.change(rng, images))
        return views if views.ndim == 5 else views[None]

    def plain_views(self, images: jax.Array) -> jax.Array:
        """Views f32[v,n,h,w,c] that are all the images u8[n,h,w,c] themselves."""
        return jnp.repeat(self.normalise(images)[None], self.views, axis=0)
