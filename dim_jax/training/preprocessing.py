"""Images to what a method takes: random augmentation, then normalisation. Built once for a run."""

from typing import NamedTuple, Self

import jax
import jax.numpy as jnp

from dim_jax import augment, data, settings


class Preprocessing(NamedTuple):
    """The augmentation and the normalisation of a run.

    mean and std: of every channel, for pixels in [0, 1]. change(rng, images [n,h,w,c]) ->
    [n,h,w,c] or [v,n,h,w,c] for v `views`, u8 or f32 in [0, 1]; none by default. pixel_range: the
    raw values that are 0 and 1, None = u8. crops(rng, images [n,h,w,c]) -> f32[w,n,h',w',c] in
    [0, 1]: the small crops beside the views, None without them. varies: whether the views are
    changed at random.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    change: augment.Change = augment.pipeline()
    views: int = 1
    pixel_range: data.PixelRange | None = None
    crops: augment.Change | None = None
    varies: bool = False

    @classmethod
    def of(cls, config: settings.Config, facts: data.Facts) -> Self:
        """The preprocessing that a config asks for, for images of a data set.

        Raises: contracts.UserError: statistics are asked for that the data set does not have.
        """
        mean, std = data.scaling(facts, config.data.scaling)
        change = augment.pipeline(config.augment)
        crops = augment.small_crops(config.augment)
        varies = augment.is_random(config.augment)
        return cls(mean, std, change, config.augment.views, facts.pixel_range, crops, varies)

    def normalise(self, images: jax.Array) -> jax.Array:
        """(pixels - mean) / std f32[...,c] of raw pixels, or without a pixel range of u8."""
        return data.normalise(images, self.mean, self.std, self.pixel_range)

    def training_views(self, rng: jax.Array, images: jax.Array) -> jax.Array:
        """The views f32[v,n,h,w,c] that methods train on, of raw images [n,h,w,c]."""
        views = self._changed(self.change, rng, images)
        return views if views.ndim == 5 else views[None]

    def training_crops(self, rng: jax.Array, images: jax.Array) -> jax.Array | None:
        """The small crops f32[w,n,h',w',c] of raw images [n,h,w,c], None without them."""
        return self.crops and self._changed(self.crops, rng, images)

    def inputs(self, rng: jax.Array, images: jax.Array) -> dict[str, jax.Array]:
        """The views and, if there are any, the small crops, by their keys in a batch."""
        views = {"images": self.training_views(rng, images)}
        crops = self.training_crops(rng, images)
        return views if crops is None else {**views, "crops": crops}

    def _changed(self, change: augment.Change, rng: jax.Array, images: jax.Array) -> jax.Array:
        if self.pixel_range is not None:
            images = data.to_unit(images, self.pixel_range)
        return data.normalise(change(rng, images), self.mean, self.std)

    def plain_views(self, images: jax.Array) -> jax.Array:
        """Views f32[v,n,h,w,c] that are all the raw images [n,h,w,c] themselves."""
        return jnp.repeat(self.normalise(images)[None], self.views, axis=0)
