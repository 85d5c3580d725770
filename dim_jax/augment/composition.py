"""The random augmentation that a config's block `augment` describes, as one function."""

import functools
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp

from dim_jax import contracts, settings
from dim_jax.augment import blur as blurs
from dim_jax.augment import colour, contrasts, geometry, patches, policy, warps

Change = Callable[[jax.Array, jax.Array], jax.Array]

# Chen et al. 2020 (SimCLR), App. A: sigma in pixels; the kernel is a tenth of the image's side.
_SIGMAS, _SIDES_PER_RADIUS = (0.1, 2.0), 20
_SHARES = ("grey", "hue", "one_channel")  # settings that are numbers, 0 by default
_THRESHOLD = 0.5  # of solarised pixels: Grill et al. 2020 (BYOL), App. B


def pipeline(augmentation: settings.Augment | None = None, /, **changes) -> Change:
    """(rng, images u8[n,h,w,c]) -> the training images, augmented in the order of the settings.

    One view is [n,h,w,c], several are [v,n,h,w,c], each augmented independently. They are u8, or
    f32 in [0, 1] if more than the position of pixels changes. With `patches`, the result is a
    mosaic (`augment.patches`) of patches, each changed independently by all but the crop.

    Args:
      augmentation: the block `augment` of a config.
      changes: its settings as keywords, in the place of the block: `pipeline(crop=24, flip=True)`.

    Raises:
      UserError: a block and settings, an unknown one, or a value that is not valid; on use,
        images too small or without three channels.
      ValueError: on use, the crop is larger than the images.
    """
    if augmentation is not None and changes:
        raise contracts.UserError(
            f"augment.pipeline got a block and the settings {', '.join(changes)}; pass one of them"
        )
    block = settings.Augment.of(changes) if augmentation is None else augmentation

    def change(rng, images):
        def view(number):
            steps = [*_places(block), *_colours(block, number)]
            number = number if block.views > 1 else None
            if block.patches is not None:
                steps = [*steps[: _cuts(block)], _in_patches(block.patches, steps[_cuts(block) :])]
            return _changed(rng, images, enumerate(steps), number, block.flip_shared)

        # Not 2n images in a row: they would leave their devices.
        return view(0) if block.views == 1 else jax.vmap(view)(jnp.arange(block.views))

    return change


def is_random(augmentation: settings.Augment) -> bool:
    """Whether the views of `pipeline` are changed at random: another key gives other images."""
    changes = [*_places(augmentation), *_colours(augmentation, 0)]
    is_still = augmentation.affine is not None and augmentation.affine[1:3] == (1, 1)
    is_still = is_still and not any(augmentation.affine[place] for place in (0, 3))
    return len(changes) > is_still


def small_crops(augmentation: settings.Augment) -> Change | None:
    """(rng, images u8[n,h,w,c]) -> the small crops f32[w,n,s,s,c] of the images, in [0, 1].

    Each is a box of the image itself, not of a view, then changed like the views and independently
    of them, but for flips that all views share. None if there are no small crops.

    Source: Caron et al. 2020 (SwAV), section 3.2; official code, multicropdataset.py.
    """
    block = augmentation
    if not block.small_crops:
        return None
    options = dict(area=block.small_crop_area, aspect=block.aspect)
    box = functools.partial(_boxes, crop=block.small_crop, **options)

    def change(rng, images):
        steps = [*enumerate([*_places(block), *_colours(block, 0)])]
        steps = [(len(steps), box), *steps[_cuts(block) :]]

        def crop(number):
            return _changed(rng, images, steps, number, block.flip_shared)

        return jax.vmap(crop)(block.views + jnp.arange(block.small_crops))

    return change


def _changed(
    rng: jax.Array,
    images: jax.Array,
    steps: Iterable[tuple[int, Change]],
    number: jax.Array | None,
    flip_shared: bool,
) -> jax.Array:
    """The images after these steps, each with the key of its index and of the view's number.

    Args:
      number: None for the only view.
      flip_shared: whether the key of a flip is without the number.
    """
    for index, step in steps:
        key = jax.random.fold_in(rng, index)
        if number is not None and not (flip_shared and step is geometry.random_flip):
            key = jax.random.fold_in(key, number)
        images = step(key, images)
    return images


def _in_patches(eighths: int, steps: list[Change]) -> Change:
    """The mosaics of the images, after these steps of each patch by itself."""

    def change(rng, images):
        parts = _changed(rng, patches.cut(images, eighths), enumerate(steps), None, False)
        return patches.lay(parts, patches.grid(eighths))

    return change


def _cuts(block: settings.Augment) -> bool:
    """Whether the first change of the views cuts them from the images."""
    return any(cut is not None for cut in (block.affine, block.resized_crop, block.crop))


def _places(block: settings.Augment) -> Iterator[Change]:
    """The changes of the position of pixels."""
    if block.affine is not None:
        translate, *scales, degrees = block.affine
        options = dict(translate=translate, scales=tuple(scales), degrees=degrees)
        yield _of_units(functools.partial(warps.random_affine, size=block.crop, **options))
    elif block.resized_crop is not None:
        options = dict(area=block.resized_crop, aspect=block.aspect)
        yield functools.partial(_boxes, crop=block.crop, **options)
    elif block.crop is not None:
        yield functools.partial(geometry.random_crop, size=block.crop)
    if block.flip:
        yield geometry.random_flip
    if block.translate:
        options = dict(pixels=block.translate, rate=block.translate_rate)
        yield functools.partial(geometry.random_translation, **options)
    if block.shear:
        yield _of_units(functools.partial(warps.random_shear, shear=block.shear))


def _colours(block: settings.Augment, view: int | jax.Array) -> Iterator[Change]:
    """The changes of pixel values in this view."""
    if block.randaugment is not None:
        count, magnitude = block.randaugment
        options = dict(changes=int(count), magnitude=magnitude)
        yield _coloured(policy.randaugment, "randaugment", **options)
    if block.pca is not None:
        yield _coloured(contrasts.random_pca_contrast, "pca", factors=block.pca)
    if block.hsv is not None:
        options = dict(powers=block.hsv[:2], factors=block.hsv[2:4], shift=block.hsv[4])
        yield _coloured(contrasts.random_hsv_power, "hsv", **options)
    if block.hue:
        yield _coloured(contrasts.random_hue, "hue", shift=block.hue)
    if block.jitter is not None:
        options = dict(strengths=block.jitter, rate=block.jitter_rate)
        yield _coloured(colour.jitter, "jitter", **options)
    if block.one_channel:
        yield _coloured(colour.random_channel, "one_channel", rate=block.one_channel)
    if block.grey:
        yield _coloured(colour.random_grey, "grey", rate=block.grey)
    if block.blur:
        yield functools.partial(_blurred, rate=_share(block.blur, view))
    if block.solarise:
        options = dict(threshold=_THRESHOLD, rate=_share(block.solarise, view))
        yield _of_units(functools.partial(colour.random_solarise, **options))


def _share(shares: float | tuple, view: int | jax.Array) -> float | jax.Array:
    return jnp.asarray(shares, jnp.float32)[view] if isinstance(shares, tuple) else shares


def _of_units(change: Change) -> Change:
    """The change, of pixels in [0, 1] that may come as u8."""
    return lambda rng, images: change(rng, _units(images))


def _units(images: jax.Array) -> jax.Array:
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images
    return images.astype(jnp.float32) / 255


def _coloured(change: Change, name: str, **values) -> Change:
    """The change of colours, of images that have some."""

    def of_rgb(rng, images):
        if images.shape[-1] != 3:
            raise contracts.UserError(
                f"augment.{name} changes the colours of RGB images and these have "
                f"{images.shape[-1]} channels; set it to {0 if name in _SHARES else 'None'}"
            )
        return change(rng, _units(images), **values)

    return of_rgb


def _boxes(rng, images, *, crop: int | None, area, aspect) -> jax.Array:
    size = images.shape[1:3] if crop is None else (crop, crop)
    return geometry.random_resized_crop(rng, _units(images), size=size, area=area, aspect=aspect)


def _blurred(rng, images, *, rate: float) -> jax.Array:
    radius = max(1, min(images.shape[1:3]) // _SIDES_PER_RADIUS)
    return blurs.random_blur(rng, _units(images), sigmas=_SIGMAS, radius=radius, rate=rate)
