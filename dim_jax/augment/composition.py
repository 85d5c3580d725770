"""From a config's `augment` block to the views that are trained on."""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.augment import blur as blurs
from dim_jax.augment import colour, contrasts, geometry, policy, warps

Change = Callable[[jax.Array, jax.Array], jax.Array]

# Chen et al. 2020 (SimCLR), App. A: sigma in pixels; the kernel is a tenth of the image's side.
_SIGMAS, _SIDES_PER_RADIUS = (0.1, 2.0), 20
_THRESHOLD = 0.5  # of solarised pixels: Grill et al. 2020 (BYOL), App. B


def pipeline(
    *,
    crop: int | None = None,
    flip: bool = False,
    flip_shared: bool = True,
    views: int = 1,
    resized_crop: Sequence[float] | None = None,
    aspect: Sequence[float] = (3 / 4, 4 / 3),
    translate: int = 0,
    translate_rate: float = 1.0,
    randaugment: Sequence[float] | None = None,
    jitter: Sequence[float] | None = None,
    jitter_rate: float = 1.0,
    grey: float = 0.0,
    blur: float = 0.0,
    solarise: float = 0.0,
    affine: Sequence[float] | None = None,
    pca: Sequence[float] | None = None,
    hsv: Sequence[float] | None = None,
    hue: float = 0.0,
) -> Change:
    """(rng, images u8[n,h,w,c]) -> the images as they are trained on, in this order of changes.

    One view is [n,h,w,c], several ones are [v,n,h,w,c], each changed by itself. They are u8, or
    f32 in [0, 1] if more is changed than the places of pixels.

    Args:
      crop: the side of a random square cut out, in pixels; None keeps the whole image.
      flip: left and right are exchanged in half of the images.
      flip_shared: in all views of an image or in none (AMDIM); False: in each by itself (SimCLR).
      views: of each image.
      resized_crop: least and largest area of a random box, as a part of the image's, that is
        resized to the side `crop`, or to the image's own; None cuts out no such box.
      aspect: least and largest width / height of that box.
      translate: pixels by which an image is moved at most, mirrored at its edges; 0 moves none.
      randaugment: how many strong changes of each image, and their magnitude, 0 to 30
        (`augment.randaugment`); None makes none.
      jitter: strengths of brightness, contrast, saturation and hue (`augment.jitter`); None
        changes none.
      translate_rate, jitter_rate, grey, blur, solarise: the part of the images that are moved,
        jittered, made grey, blurred, solarised.
      affine: how far images are moved, as a part of their side, their least and largest scale, and
        the degrees they are turned by (`augment.random_affine`); with `crop`, about the middle of
        the image, of which that side stays. None warps none.
      pca: least and largest factor of each principal component of an image's pixels; or None.
      hsv: least and largest power, least and largest factor, and shift of saturation and value
        (`augment.random_hsv_power`); or None.
      hue: how far the hue is moved at most, in turns; 0 moves none.

    Raises:
      UserError: a value that cannot be; on use, images too small or without three channels.
      ValueError: on use, the crop is larger than the images.
    """
    _check_size(crop, views, translate)
    _check_rates(translate_rate=translate_rate, jitter_rate=jitter_rate)
    _check_rates(grey=grey, blur=blur, solarise=solarise)
    changes = []
    if affine is not None:
        _check_alone(resized_crop)
        changes.append(
            _of_units(functools.partial(warps.random_affine, size=crop, **_affine(affine)))
        )
    elif resized_crop is not None:
        area, aspect = _pair("resized_crop", resized_crop, 1.0), _pair("aspect", aspect, math.inf)
        changes.append(functools.partial(_boxes, crop=crop, area=area, aspect=aspect))
    elif crop is not None:
        changes.append(functools.partial(geometry.random_crop, size=crop))
    if flip:
        changes.append(geometry.random_flip)
    if translate:
        moved = dict(pixels=translate, rate=translate_rate)
        changes.append(functools.partial(geometry.random_translation, **moved))
    if randaugment is not None:
        changes.append(_coloured(policy.randaugment, "randaugment", **_policy(randaugment)))
    changes += _contrasts(pca, hsv, hue)
    if jitter is not None:
        strengths = _strengths(jitter)
        changes.append(_coloured(colour.jitter, "jitter", strengths=strengths, rate=jitter_rate))
    if grey:
        changes.append(_coloured(colour.random_grey, "grey", rate=grey))
    if blur:
        changes.append(functools.partial(_blurred, rate=blur))
    if solarise:
        values = dict(threshold=_THRESHOLD, rate=solarise)
        changes.append(_of_units(functools.partial(colour.random_solarise, **values)))
    return _in_views(changes, views, {geometry.random_flip} if flip_shared else set())


def _contrasts(pca, hsv, hue) -> list[Change]:
    """The changes of Exemplar-CNN's colours."""
    changes = []
    if pca is not None:
        factors = _pair("pca", pca, math.inf)
        changes.append(_coloured(contrasts.random_pca_contrast, "pca", factors=factors))
    if hsv is not None:
        changes.append(_coloured(contrasts.random_hsv_power, "hsv", **_hsv(hsv)))
    if not 0 <= hue <= 0.5:
        raise contracts.UserError(
            f"augment.hue is {hue!r}; set it to a part of a turn, from 0 to 0.5"
        )
    if hue:
        changes.append(_coloured(contrasts.random_hue, "hue", shift=hue))
    return changes


def _in_views(changes: list[Change], views: int, shared: set[Change]) -> Change:
    """The changes one after the other, in each view by itself but for the shared ones."""

    def change(rng, images):
        def view(number):
            changed = images
            for index, step in enumerate(changes):
                key = jax.random.fold_in(rng, index)
                if views > 1 and step not in shared:
                    key = jax.random.fold_in(key, number)
                changed = step(key, changed)
            return changed

        # Not 2n images in a row: they would leave their devices.
        return view(0) if views == 1 else jax.vmap(view)(jnp.arange(views))

    return change


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
                f"{images.shape[-1]} channels; set it to {0 if name in ('grey', 'hue') else 'None'}"
            )
        return change(rng, _units(images), **values)

    return of_rgb


def _boxes(rng, images, *, crop: int | None, area, aspect) -> jax.Array:
    size = images.shape[1:3] if crop is None else (crop, crop)
    return geometry.random_resized_crop(rng, _units(images), size=size, area=area, aspect=aspect)


def _blurred(rng, images, *, rate: float) -> jax.Array:
    radius = max(1, min(images.shape[1:3]) // _SIDES_PER_RADIUS)
    return blurs.random_blur(rng, _units(images), sigmas=_SIGMAS, radius=radius, rate=rate)


def _check_size(crop, views, translate) -> None:
    if crop is not None and (not isinstance(crop, int) or crop < 1):
        raise contracts.UserError(
            f"augment.crop is {crop!r}; set a positive whole number of pixels, or none"
        )
    if not isinstance(views, int) or views < 1:
        raise contracts.UserError(f"augment.views is {views!r}; set it to 1 or 2, or to more")
    if not isinstance(translate, int) or translate < 0:
        raise contracts.UserError(
            f"augment.translate is {translate!r}; set a whole number of pixels, 0 for none"
        )


def _check_rates(**rates: float) -> None:
    for name, value in rates.items():
        if not 0 <= value <= 1:
            raise contracts.UserError(
                f"augment.{name} is {value!r}; set it to the part of the images that are to be "
                "changed, from 0 to 1"
            )


def _pair(name: str, value: Sequence[float], most: float) -> tuple[float, float]:
    """The least and the largest value of a range in (0, most]."""
    pair = tuple(value)
    if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= most or math.isinf(pair[1]):
        bound = f" and at most {most:g}" if math.isfinite(most) else ""
        raise contracts.UserError(
            f"augment.{name} is {value!r}; set it to the least and the largest value, both more "
            f"than 0{bound}"
        )
    return pair


def _check_alone(resized_crop) -> None:
    if resized_crop is not None:
        raise contracts.UserError(
            "augment.affine and augment.resized_crop both cut the images; set one of them to None"
        )


def _affine(value: Sequence[float]) -> dict:
    numbers = tuple(value)
    if len(numbers) != 4 or not (
        0 <= numbers[0] <= 1 and 0 < numbers[1] <= numbers[2] < math.inf and 0 <= numbers[3] <= 180
    ):
        raise contracts.UserError(
            f"augment.affine is {value!r}; set it to the largest move as a part of the side, 0 to "
            "1, the least and the largest scale, more than 0, and degrees from 0 to 180, such as "
            "(0.2, 0.7, 1.4, 20.0)"
        )
    return dict(translate=numbers[0], scales=numbers[1:3], degrees=numbers[3])


def _hsv(value: Sequence[float]) -> dict:
    numbers = tuple(value)
    if len(numbers) != 5 or not 0 <= numbers[4] <= 1:
        raise contracts.UserError(
            f"augment.hsv is {value!r}; set it to the least and the largest power, the least and "
            "the largest factor, and the largest shift, 0 to 1, such as (0.25, 4.0, 0.7, 1.4, 0.1)"
        )
    powers, factors = (_pair("hsv", numbers[i : i + 2], math.inf) for i in (0, 2))
    return dict(powers=powers, factors=factors, shift=numbers[4])


def _policy(value: Sequence[float]) -> dict[str, float]:
    pair = tuple(value)
    if (
        len(pair) != 2
        or pair[0] != int(pair[0])
        or pair[0] < 1
        or not 0 <= pair[1] <= policy.MAGNITUDES
    ):
        raise contracts.UserError(
            f"augment.randaugment is {value!r}; set it to the number of changes, 1 or more, and "
            f"their magnitude, 0 to {policy.MAGNITUDES}, such as (2, 9)"
        )
    return dict(changes=int(pair[0]), magnitude=pair[1])


def _strengths(value: Sequence[float]) -> tuple[float, ...]:
    strengths = tuple(value)
    if len(strengths) != 4 or not all(0 <= s < math.inf for s in strengths) or strengths[3] > 0.5:
        raise contracts.UserError(
            f"augment.jitter is {value!r}; set it to the strengths of brightness, contrast, "
            "saturation and hue, none below 0 and the hue's at most 0.5 (half a turn)"
        )
    return strengths
