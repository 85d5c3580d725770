"""One encoder for each group of colour channels, its features side by side.

Taps: local, conv, fc and y are those of all views, one view's features behind the other's along the
last axis. "y_<view>" is the y of one view. Nothing here has unit length: scores that want it
(`methods.cmc`) normalise the y of each view themselves, and probes see y itself.

Source: Tian, Krishnan and Isola 2019 (CMC); official code, models/alexnet.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dim_jax import augment, contracts
from dim_jax.nets import pure


class _Space(NamedTuple):
    """A colour space: how to get there, its channels, and their centres and half-ranges."""

    convert: object
    channels: tuple[str, ...]
    centre: tuple[float, ...]
    half_range: tuple[float, ...]


SPACES = {
    # Half the range that sRGB's colours have in each channel: official code, train_CMC.py.
    "lab": _Space(
        augment.rgb_to_lab, ("L", "a", "b"), (50.0, 6.025, -6.6895), (50.0, 92.208, 101.1675)
    ),
    # The same for the digital ranges, Y 16 to 235, Cb and Cr 16 to 240: ours.
    "ycbcr": _Space(
        augment.rgb_to_ycbcr, ("Y", "Cb", "Cr"), (125.5, 128.0, 128.0), (109.5, 112.0, 112.0)
    ),
}
_JOINED = ("local", "conv", "fc", "y")


def colour_views(*, space: str, views: Sequence[str], encoder: pure.Net) -> pure.Net:
    """An encoder of RGB images f[n,h,w,3] with pixels in [0, 1] (data.scaling="unit").

    Args:
      space: "lab" or "ycbcr".
      views: each a row of the space's channels, such as ("L", "ab") or ("Y", "Cb", "Cr").
      encoder: its kind for every view, each with parameters of its own. Published: `alexnet224` of
        width 48, hidden 2048 and 128 features.

    Raises: contracts.UserError: an unknown space, a view that is not made of its channels, the same
      view twice; on initialisation, images without three channels.
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
            made = encoder.init(jax.random.fold_in(rng, number), parts[view])
            params[view], stats[view] = made
        return params, _known(stats)

    def apply(params, stats, images, *, train: bool, rng=None):
        parts = _split(space, channels, images)
        found, new_stats = {}, {}
        for number, view in enumerate(views):
            key = None if rng is None else jax.random.fold_in(rng, number)
            found[view], new_stats[view] = encoder.apply(
                params[view], stats.get(view, {}), parts[view], train=train, rng=key
            )
        joined = {
            tap: jnp.concatenate([found[view][tap] for view in views], axis=-1) for tap in _JOINED
        }
        return joined | {f"y_{view}": found[view]["y"] for view in views}, _known(new_stats)

    return pure.Net(init, apply)


def _known(stats: dict) -> dict:
    """Without the views that have no statistics, which an exported encoder does not keep."""
    return {view: of_view for view, of_view in stats.items() if of_view}


def _channels(space: str, view: str) -> tuple[int, ...]:
    """The numbers of a view's channels, in the order in which it names them."""
    names, found, rest = SPACES[space].channels, [], view
    while rest:
        number = next((i for i, name in enumerate(names) if rest.startswith(name)), None)
        if number is None or number in found:
            raise contracts.UserError(
                f"the view '{view}' is not made of the channels {', '.join(names)} of {space}; "
                f"write them in a row, such as {names[0]} and {''.join(names[1:])}"
            )
        found.append(number)
        rest = rest.removeprefix(names[number])
    return tuple(found)


def _split(space: str, channels: dict[str, tuple[int, ...]], images: jax.Array) -> contracts.Taps:
    """{view: f[n,h,w,its channels]}, each channel's values within about [-1, 1]."""
    known = SPACES[space]
    pixels = (known.convert(images) - jnp.array(known.centre)) / jnp.array(known.half_range)
    # One channel after the other: not a gather.
    return {
        view: jnp.stack([pixels[..., number] for number in numbers], axis=-1)
        for view, numbers in channels.items()
    }
