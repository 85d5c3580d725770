"""Signs of learning: numbers of features and gradients that need no labels.

Those of features are of the last step of a dispatch, and the other steps do not pay for them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.losses import spread

PREFIXES = ("features/", "grad_norm/")
_IMAGES = 256  # of a batch: the cost grows with their cube
_POSITIVE = "_positive"  # the tap "y_positive" has y of another view of the same images


def of_gradients(gradients: Mapping[str, Any]) -> contracts.Scalars:
    """ "grad_norm/<player>": the length of the gradient of each player, before clipping."""
    return {f"grad_norm/{name}": _length(each) for name, each in gradients.items()}


def measured(features: contracts.Taps) -> contracts.Taps:
    """The features f[n,...] of which there are signs (arrays or shapes)."""
    return {
        name: each
        for name, each in features.items()
        if each.ndim > 1 and each.shape[0] > 1 and each.size > 0
    }


def rows(features: contracts.Taps) -> contracts.Taps:
    """The features f[n,d] of the first 256 images of a batch, maps flattened."""
    return {
        name: each[:_IMAGES].reshape(min(_IMAGES, len(each)), -1) for name, each in features.items()
    }


def of_features(features: contracts.Taps) -> contracts.Scalars:
    """The signs of the `rows` of the features of a batch.

    "features/<tap>/rank": the effective rank of a tap (a map is flattened); "rank_share": relative
    to the largest that these images and features can have; "deviation", of y "uniformity", and with
    a tap "<tap>_positive" both this and "alignment" of their unit vectors (`losses.spread`).

    Args:
      features: f[n,d] by tap; with gradient accumulation those of the last part.
    """
    values = {}
    for name, each in features.items():
        if not name.endswith(_POSITIVE):
            values |= _of_tap(name, each, features.get(name + _POSITIVE))
    return values


def names(players: Iterable[str], features: contracts.Taps) -> list[str]:
    """The names of the signs of a step with these players and features (arrays or shapes)."""
    values = jax.eval_shape(lambda taps: of_features(rows(taps)), measured(features))
    return [*(f"grad_norm/{player}" for player in players), *values]


def _length(tree: contracts.Tree) -> jax.Array:
    squares = (jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in jax.tree.leaves(tree))
    return jnp.sqrt(sum(squares, start=jnp.zeros(())))


def _of_tap(name: str, rows: jax.Array, positive: jax.Array | None) -> contracts.Scalars:
    rank = spread.effective_rank(rows)
    signs = {
        "rank": rank,
        "rank_share": rank / spread.largest_rank(*rows.shape),
        "deviation": spread.deviation(rows),
    }
    if name == "y" or positive is not None:
        signs["uniformity"] = spread.uniformity(rows)
    if positive is not None:
        signs["alignment"] = spread.alignment(rows, positive)
    return {f"features/{name}/{sign}": value for sign, value in signs.items()}
