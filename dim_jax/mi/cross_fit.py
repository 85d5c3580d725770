"""Cross-fitting: critics fitted on all folds but one, and measured on that one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import threadpoolctl

from dim_jax import contracts
from dim_jax.mi import network
from dim_jax.mi.committee import CHUNK as CHUNK
from dim_jax.mi.committee import Committee
from dim_jax.mi.fold import Fold as Fold
from dim_jax.mi.sides import Side

_FOLDS = 5
_VALIDATION = 0.2  # of the samples outside of a fold
_MOST_VALIDATION = 2000
_MOST_TRAINING = 50_000


def folds(count: int, blocks: np.ndarray | None, random: np.random.Generator) -> list[np.ndarray]:
    """Positions i[m] of each fold, at random; a block is in one fold.

    Raises:
      UserError: a block that is as large as a fold.
    """
    if blocks is None:
        return [np.sort(part) for part in np.array_split(random.permutation(count), _FOLDS)]
    names, sizes = np.unique(blocks, return_counts=True)
    order = random.permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]  # large blocks first
    filled, fold_of = np.zeros(_FOLDS), np.empty(len(names), int)
    for name in order:
        fold_of[name] = int(np.argmin(filled))
        filled[fold_of[name]] += sizes[name]
    if min(np.bincount(fold_of, minlength=_FOLDS)) < 2:
        raise contracts.UserError(
            f"the largest block has {sizes.max():,} of {count:,} samples, which leaves no "
            "other block for its fifth of the samples; divide it, or leave blocks out"
        )
    of = fold_of[np.searchsorted(names, blocks)]
    return [np.flatnonzero(of == fold) for fold in range(_FOLDS)]


@threadpoolctl.threadpool_limits.wrap(limits=1, user_api="blas")  # more threads wait
def run(
    x: Side,
    y: Side,
    parts: list[np.ndarray],
    *,
    blocks: np.ndarray | None = None,
    permutations: int = 1000,
    seed: int = 0,
    settings: network.Settings | None = network.Settings(),  # noqa: B008
    fit: Callable[..., Any] | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[Fold]:
    """The folds `parts` of samples, each measured by critics that were fitted on the others.

    Args:
      settings: of the network; None for none.
      fit: in the place of `Committee.fit`; its result has `measure`.
    """
    fit = fit or Committee.fit
    results = []
    for number, test in enumerate(parts):
        random = np.random.default_rng([seed, number])
        rest = np.concatenate([part for other, part in enumerate(parts) if other != number])
        rest = _in_blocks(rest, blocks, random)
        split = min(int(_VALIDATION * len(rest)), _MOST_VALIDATION)
        validation, training = rest[:split], rest[split : split + _MOST_TRAINING]

        def advance(fraction, number=number):
            if progress:
                progress((number + fraction) / len(parts))

        committee = fit(
            *(x.take(training), y.take(training), x.take(validation), y.take(validation)),
            **dict(seed=seed * 1000 + number, fold=number, settings=settings, progress=advance),
        )
        if blocks is None:
            test = random.permutation(test)
        else:
            test = test[np.argsort(blocks[test], kind="stable")]
        results.append(
            committee.measure(x, y, test, training, blocks, permutations, random, advance)
        )
    return results


def _in_blocks(rest: np.ndarray, blocks: np.ndarray | None, random) -> np.ndarray:
    """Shuffled, so that a split divides few blocks."""
    if blocks is None:
        return random.permutation(rest)
    names = np.unique(blocks[rest])
    place = np.empty(len(names))
    place[random.permutation(len(names))] = np.arange(len(names))
    return rest[np.argsort(place[np.searchsorted(names, blocks[rest])], kind="stable")]
