"""Directions of prediction in a map of local features, and contexts of several of them.

A network or a method that looks down a map looks in another direction of it if the map is turned
first. An encoder gives the contexts of one direction, down, as the tap "context", those of several
as "context_<direction>".
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from dim_jax import contracts

DIRECTIONS = ("down", "up", "right", "left")


def turned(maps: jax.Array, direction: str) -> jax.Array:
    """Maps f[n,h,w,d] turned so that what lies in this direction of a place is below it."""
    maps = maps.swapaxes(1, 2) if direction in ("right", "left") else maps
    return maps[:, ::-1] if direction in ("up", "left") else maps


def turned_back(maps: jax.Array, direction: str) -> jax.Array:
    """The inverse of `turned`."""
    maps = maps[:, ::-1] if direction in ("up", "left") else maps
    return maps.swapaxes(1, 2) if direction in ("right", "left") else maps


def summarised(local: jax.Array, contexts: jax.Array | Mapping[str, jax.Array]) -> contracts.Taps:
    """The taps of the contexts of maps f[n,h,w,d]: fc, y and the contexts themselves.

    fc is the mean of the local features over their locations, y those of the contexts, one
    direction after the other.

    Args:
      contexts: maps f[n,h,w,d], or those of each direction.
    """
    maps = {"context": contexts}
    if isinstance(contexts, Mapping):
        maps = {f"context_{direction}": each for direction, each in contexts.items()}
    means = jnp.concatenate([each.mean((1, 2)) for each in maps.values()], axis=-1)
    return {"fc": local.mean((1, 2)), "y": means, **maps}


def contexts_of(taps: contracts.Taps) -> dict[str, jax.Array]:
    """The maps of contexts among the taps of an encoder, by direction; {} if there are none."""
    maps = {"down": taps["context"]} if "context" in taps else {}
    named = {direction: f"context_{direction}" for direction in DIRECTIONS}
    return maps | {each: taps[name] for each, name in named.items() if name in taps}


def check(directions: Sequence[str]) -> None:
    """Raises UserError unless these are directions, each once."""
    for direction in directions:
        if direction not in DIRECTIONS:
            raise contracts.unknown("direction", direction, DIRECTIONS)
    if not directions or len(set(directions)) < len(directions):
        raise contracts.UserError(
            f"context.directions is {tuple(directions)}; give at least one, each once, of "
            f"{', '.join(DIRECTIONS)}"
        )
