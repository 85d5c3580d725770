"""The estimate of mutual information by cross-fitted critics, with interval, test and bound."""

import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from scipy import special

from dim_jax import contracts
from dim_jax.mi import (
    arrays,
    classes,
    columns,
    cross_fit,
    independence,
    methods,
    network,
    sampling_errors,
)
from dim_jax.mi.columns import Columns
from dim_jax.mi.pooled import Pooled
from dim_jax.mi.result import Estimate
from dim_jax.mi.sides import Side

_LABEL = "estimate: Donsker-Varadhan on held-out samples, on average not above I(x; y)"
_LABEL_GIVEN = "estimate: difference of two Donsker-Varadhan values on held-out samples"
_MOST_RANKED = 16  # pairs of columns, up to which ranks are tested
_UNSEEN = 0.002  # nats, that a critic has to add
Progress = Callable[[float, str], None]


def estimate(
    x: Any,
    y: Any,
    *,
    given: Any = None,
    blocks: Any = None,
    discrete: bool | str | Collection[str] | None = None,
    method: str = "default",
    confidence: float = 0.95,
    permutations: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """The mutual information of two data sets whose rows are pairs, in nats.

    The samples are divided into folds. Critics of the log density ratio are fitted on all folds
    but one, weighted on a validation part of these, and valued on the fold that is left out, by
    Donsker-Varadhan. No sample has a part in the choice of a critic that it is valued by.

    Args:
      x, y: f[n] or f[n,d] of any real type, NumPy or JAX arrays, columns of a data frame, or
        images [n,h,w,c]. At least 50 samples.
      given: z; the result is I(x; y | z) = I(x; (y, z)) - I(x; z) on the same folds.
      blocks: labels [n] of samples that depend on each other, such as stretches of a time series:
        a block is in one fold, and errors and permutations are by block.
      discrete: arguments whose rows are classes, True for all; None: single columns of booleans,
        or of integers with few values.
      method: "default", or for comparison a bound by its name in `dim_jax.bounds`, "knn" or
        "gaussian": see `dim_jax.mi.methods`.
      confidence: of the interval and of the bound.
      permutations: of the test of independence.
      seed: of folds, networks and permutations.
      progress: called with the fraction that is done and a text.

    Raises:
      UserError: arguments that are no numbers, not finite, constant, of unequal lengths, too few,
        or columns that determine each other.

    Source: Donsker and Varadhan 1983; Oord et al. 2018 (the networks' loss); Chernozhukov et al.
      2018 (cross-fitting).
    """
    check(confidence, permutations, seed)
    methods.check(method)
    arguments = {"x": x, "y": y} | ({} if given is None else {"given": given})
    prepared = {
        name: Columns.of(value, name, columns.says_discrete(discrete, name))
        for name, value in arguments.items()
    }
    if given is not None and any(each.images for each in prepared.values()):
        raise contracts.UserError(
            "images cannot be combined with given; give features of the images, such as those of "
            "`dim_jax.encoder`"
        )
    notes = columns.check_pair(prepared["x"], prepared["y"], prepared.get("given"), blocks)
    notes = (*(note for each in prepared.values() for note in each.notes), *notes)
    codes = None if blocks is None else arrays.labels(blocks, "blocks")
    random = np.random.default_rng(seed)
    sizes = dict(
        confidence=confidence,
        samples=len(prepared["x"].values),
        dimensions=(len(prepared["x"].names), len(prepared["y"].names)),
        notes=notes,
    )
    options = dict(blocks=codes, permutations=permutations, seed=seed)
    is_default = method == "default"
    if is_default and all(each.discrete for each in prepared.values()):
        of_classes = {name: each.codes for name, each in prepared.items()}
        options = dict(blocks=codes, permutations=permutations, random=random)
        return classes.estimate(**of_classes, **options, **sizes)
    sides = {name: side(each) for name, each in prepared.items()}
    parts = cross_fit.folds(sizes["samples"], codes, random)
    shapes = (shape(prepared["x"]), shape(prepared["y"]))
    if not is_default:
        chosen = methods.Data(prepared, sides, parts, codes)
        others = dict(permutations=permutations, seed=seed, random=random, progress=progress)
        return methods.estimate(method, chosen, **others, **sizes)
    options["settings"] = network.Settings().of_images(*shapes)
    if given is None:
        run = cross_fit.run(
            *(sides["x"], sides["y"], parts), **options, progress=_part(progress, 0, 1, "x and y")
        )
        folds = Pooled.of(run)
        p_value = _exact_p_value(folds, prepared, codes, permutations, random)
        return of_folds(folds, codes, p_value=p_value, **sizes)
    joined = Side.joined(sides["y"], sides["given"])
    runs = [
        cross_fit.run(sides["x"], other, parts, **options, progress=_part(progress, k, 2, text))
        for k, (other, text) in enumerate(
            ((joined, "x and (y, given)"), (sides["given"], "x and given"))
        )
    ]
    return _of_difference(*map(Pooled.of, runs), codes, permutations, random, **sizes)


def side(argument: Columns) -> Side:
    """An argument as the critics take it."""
    if argument.images:
        return Side.of_images(argument.values)
    if argument.discrete:
        return Side.of(argument.codes[:, None], discrete=True)
    return Side.of(argument.values)


def shape(argument: Columns) -> tuple[int, ...] | None:
    """(h, w, c) of images, None of columns."""
    return argument.values.shape[1:] if argument.images else None


def _exact_p_value(folds: Pooled, arguments, blocks, permutations: int, random) -> float:
    """By the critics on the first fold and, where columns are few, by ranks; Bonferroni's of both.

    A test on all folds would be too often small, because their critics share samples.
    """
    x, y = arguments["x"], arguments["y"]
    if not permutations:
        return float("nan")
    if x.images or y.images or len(x.names) * len(y.names) > _MOST_RANKED:
        return folds.first_p_value
    test = dict(blocks=blocks, permutations=permutations, random=random)
    by_ranks = max(independence.p_value(x, y, **test), 1 / (1 + permutations))
    return min(1.0, 2 * min(folds.first_p_value, by_ranks))


def of_folds(folds: Pooled, blocks, *, p_value: float, confidence: float, **facts) -> Estimate:
    """Of I(x; y), by the default method."""
    error = sampling_errors.standard_error(folds.influence, blocks)
    quantile = special.ndtri((1 + confidence) / 2)
    reach = quantile * error
    bound_error = sampling_errors.standard_error(folds.bound_influence, blocks)
    # Critics below the noise of validation are left out, and with them as much information.
    columns_of_both = np.sqrt(np.prod(facts["dimensions"]) / 2)
    resolution = _UNSEEN + quantile * columns_of_both / facts["samples"]
    missed = folds.missed + resolution
    value = min(folds.value, folds.ceiling)
    guaranteed = folds.bound - special.ndtri(confidence) * bound_error
    room = folds.ceiling - value
    reliable, why = sampling_errors.judge(value, reach, missed, folds.largest, room, folds.limited)
    return Estimate(
        nats=value,
        standard_error=error,
        interval=sampling_errors.interval(value, reach, reach + missed),
        confidence=confidence,
        p_value=p_value,
        null=folds.null,
        # No bound that holds for every distribution is much larger (McAllester and Stratos 2020).
        guaranteed=min(max(0.0, guaranteed), math.log(facts["samples"])),
        reliable=reliable,
        why=why,
        label=_LABEL,
        method="default",
        critics=folds.critics,
        curve=folds.curve,
        **facts,
    )


def _of_difference(
    both: Pooled, alone: Pooled, blocks, permutations, random, *, confidence: float, **facts
) -> Estimate:
    """Of I(x; (y, z)) and I(x; z)."""
    influence = both.influence - alone.influence
    value = both.value - alone.value
    error = sampling_errors.standard_error(influence, blocks)
    reach = special.ndtri((1 + confidence) / 2) * error
    null = sampling_errors.flipped_means(influence, blocks, permutations, random)
    room = min(each.ceiling - each.value for each in (both, alone))
    reliable, why = sampling_errors.judge(
        *(value, reach, both.missed + alone.missed, max(both.largest, alone.largest), room),
        max(both.limited, alone.limited),
    )
    return Estimate(
        nats=value,
        standard_error=error,
        interval=sampling_errors.interval(
            value, reach + alone.missed, reach + both.missed + max(0.0, -value)
        ),
        confidence=confidence,
        p_value=sampling_errors.p_value(value, null),
        null=null,
        guaranteed=None,
        reliable=reliable,
        why=why,
        label=_LABEL_GIVEN,
        method="default",
        critics=both.critics,
        curve=both.curve,
        **facts,
    )


def check(confidence: float, permutations: int, seed: int = 0) -> None:
    """Raises UserError for a level or a number that cannot be."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise contracts.UserError(f"seed is {seed!r}; set it to 0 or a larger whole number")
    if not isinstance(confidence, float | np.floating) or not 0.5 <= confidence < 1:
        raise contracts.UserError(
            f"confidence is {confidence!r}; set it from 0.5 to below 1, such as 0.95"
        )
    if isinstance(permutations, bool) or not isinstance(permutations, int) or permutations < 0:
        raise contracts.UserError(
            f"permutations is {permutations!r}; set it to a number such as 1000, or 0 for no test"
        )


def _part(progress: Progress | None, index: int, count: int, text: str):
    if progress is None:
        return None
    return lambda fraction: progress((index + fraction) / count, text)
