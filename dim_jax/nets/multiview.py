"""Multiview encoders: of groups of colour channels or of halves, with concatenated features.

Taps: local, conv, fc and y are those of all views, concatenated along the last axis. "y_<view>" is
the y of one view. Features are not normalised: `methods.cmc` normalises the y of each view for its
scores, and probes see y itself.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from dim_jax import augment, contracts
from dim_jax.nets import layers, pure


class _Space(NamedTuple):
    """A colour space: the conversion from RGB, its channels, and their centres and half-ranges.

    The constants of a space belong to its conversion: those of "ycbcr" to Y from 16 to 235.
    """

    convert: object
    channels: tuple[str, ...]
    centre: tuple[float, ...]
    half_range: tuple[float, ...]


SPACES = {
    # Half the range of the sRGB colours in each channel: official code, train_CMC.py.
    "lab": _Space(
        augment.rgb_to_lab, ("L", "a", "b"), (50.0, 6.025, -6.6895), (50.0, 92.208, 101.1675)
    ),
    # Official code, train_CMC.py: the means of the channels, and half their ranges.
    "ycbcr": _Space(
        *(augment.rgb_to_ycbcr, ("Y", "Cb", "Cr")),
        *((116.151, 121.080, 132.342), (109.5, 111.855, 111.964)),
    ),
}
_CONCATENATED = ("local", "conv", "fc", "y")


def colour_views(*, space: str, views: Sequence[str], encoder: pure.Net) -> pure.Net:
    """An encoder of RGB images f[n,h,w,3] with pixels in [0, 1] (data.scaling="unit").

    Args:
      space: "lab" or "ycbcr".
      views: the channels of each view, such as ("L", "ab") or ("Y", "Cb", "Cr").
      encoder: the network of every view, with separate parameters for each. Published: `alexnet224`
        of width 48, hidden 2048 and 128 features.

    Raises: contracts.UserError: an unknown space, a view with channels that the space does not
      have, the same view twice; on initialisation, images without three channels.

    Source: Tian, Krishnan and Isola 2019 (CMC); official code, models/alexnet.py.
    """
    if space not in SPACES:
        raise contracts.unknown("colour space", space, SPACES)
    channels = {view: _channels(space, view) for view in views}
    if len(channels) != len(views):
        raise contracts.UserError(
            f"views are {', '.join(views)}, one of them twice; name each group of channels once"
        )

    def init(rng, images):
        if images.ndim != 4 or images.shape[-1] != 3:
            raise contracts.UserError(
                f"images are {list(images.shape)} and an encoder of colour views needs RGB images "
                "[n,h,w,3]; choose data with three channels or another encoder"
            )
        parts = _split(space, channels, images)
        params, stats = {}, {}
        for number, view in enumerate(views):
            key = jax.random.fold_in(rng, number)
            params[view], stats[view] = encoder.init(key, parts[view])
        return params, _drop_empty(stats)

    def apply(params, stats, images, *, train: bool, rng=None):
        parts = _split(space, channels, images)
        taps, new_stats = {}, {}
        for number, view in enumerate(views):
            key = None if rng is None else jax.random.fold_in(rng, number)
            taps[view], new_stats[view] = encoder.apply(
                params[view], stats.get(view, {}), parts[view], train=train, rng=key
            )
        return _together(taps), _drop_empty(new_stats)

    return pure.Net(init, apply)


def halves(*, cut: Literal["left_right", "upper_lower"], encoder: pure.Net) -> pure.Net:
    """One encoder applied to both halves of images f[n,h,w,c], views "first" and "second".

    Args:
      cut: "left_right" or "upper_lower"; of an odd side the middle is in neither half.
      encoder: of images of this size, such as `strided`; `exemplar` and `resnet18` take any.
    """
    axis = {"left_right": 2, "upper_lower": 1}[cut]

    def split(images):
        side = images.shape[axis] // 2
        first = jax.lax.slice_in_dim(images, 0, side, axis=axis)
        return {"first": first, "second": jax.lax.slice_in_dim(images, -side, None, axis=axis)}

    def init(rng, images):
        return encoder.init(rng, split(images)["first"])

    def apply(params, stats, images, *, train: bool, rng=None):
        taps = {}
        for number, (view, half) in enumerate(split(images).items()):
            key = None if rng is None else jax.random.fold_in(rng, number)
            taps[view], stats = encoder.apply(params, stats, half, train=train, rng=key)
        return _together(taps), stats

    return pure.Net(init, apply)


def _together(taps: dict[str, contracts.Taps]) -> contracts.Taps:
    """The taps of all views side by side, and the y of each."""
    concatenated = {
        tap: jnp.concatenate([each[tap] for each in taps.values()], axis=-1)
        for tap in _CONCATENATED
    }
    return concatenated | {f"y_{view}": each["y"] for view, each in taps.items()}


def _drop_empty(stats: dict) -> dict:
    """Without the views that have no statistics, as in an exported encoder."""
    return {view: of_view for view, of_view in stats.items() if of_view}


def _channels(space: str, view: str) -> tuple[int, ...]:
    """The indices of a view's channels, in the order of its name."""
    names, numbers, rest = SPACES[space].channels, [], view
    while rest:
        number = next((i for i, name in enumerate(names) if rest.startswith(name)), None)
        if number is None or number in numbers:
            raise contracts.UserError(
                f"the view '{view}' does not consist of the channels {', '.join(names)} of "
                f"{space}; join their names, such as {names[0]} and {''.join(names[1:])}"
            )
        numbers.append(number)
        rest = rest.removeprefix(names[number])
    return tuple(numbers)


def _split(space: str, channels: dict[str, tuple[int, ...]], images: jax.Array) -> contracts.Taps:
    """{view: f[n,h,w,number of its channels]}, with values within about [-1, 1]."""
    colours = SPACES[space]
    centre, half_range = (
        layers.per_channel(jnp.array(numbers, images.dtype), images)
        for numbers in (colours.centre, colours.half_range)
    )
    pixels = (colours.convert(images) - centre) / half_range
    # Slices of single channels, which avoids a gather.
    return {
        view: jnp.stack([pixels[..., number] for number in numbers], axis=-1)
        for view, numbers in channels.items()
    }
