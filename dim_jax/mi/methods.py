"""The estimators of mutual information by name, to compare with the default.

Bounds by their names in `dim_jax.bounds`: a network is fitted by the bound, from zero scores, and
has the value of the same bound on the fold that is left out. "knn" is the first estimator of
Kraskov et al. 2004 with 5 neighbours, on standardised columns; "gaussian" the information of a
Gaussian copula. The result's `label` says what the value is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from dim_jax import contracts
from dim_jax.mi import cross_fit, gaussian_copula, named_bounds, nearest_neighbours, sampling_errors
from dim_jax.mi.columns import Columns
from dim_jax.mi.named_bounds import BOUNDS, Bound
from dim_jax.mi.pooled import Pooled
from dim_jax.mi.result import Estimate
from dim_jax.mi.sides import Side

NAMES = ("default", *BOUNDS, "knn", "gaussian")
_NEAR_CEILING = 1.0  # nats
_MOST_COLUMNS = 4  # of x and y, of which neighbours are near
_LABELS = {
    "knn": f"estimate: by {nearest_neighbours.NEIGHBOURS} nearest neighbours, too low for many "
    "columns or large information",
    "gaussian": "estimate: of a Gaussian copula, without all other dependence",
}


class Data(NamedTuple):
    """The arguments of an estimate by name ("x", "y", "given"), the folds, and labels of blocks."""

    arguments: dict[str, Columns]
    sides: dict[str, Side]
    parts: list[np.ndarray]
    blocks: np.ndarray | None


def check(method: Any) -> None:
    """Raises UserError for the name of no method."""
    if method not in NAMES:
        raise contracts.unknown("method", method, NAMES)


def estimate(
    method: str,
    data: Data,
    *,
    permutations: int,
    seed: int,
    random: np.random.Generator,
    progress: Callable[[float, str], None] | None = None,
    confidence: float,
    **facts,
) -> Estimate:
    """By any of `NAMES` but "default"; the facts are those of `Estimate`.

    Raises:
      UserError: classes or images, of methods for continuous columns.
    """
    _check_columns(method, data.arguments)
    options = dict(permutations=permutations, random=random)
    if method in BOUNDS:
        run = _Run(BOUNDS[method], data, permutations, seed, progress)
        pooled = run.pooled()
    elif method == "knn":
        pooled, notes = _nearest_neighbours(data, **options)
        facts["notes"] = (*facts["notes"], *notes)
    else:
        pooled = _gaussian(data, **options)
    if "given" in data.arguments:
        null = sampling_errors.flipped_means(pooled.influence, data.blocks, permutations, random)
        pooled = pooled._replace(null=null, tested=pooled.value)
    with np.errstate(invalid="ignore", over="ignore"):  # exponentials of large scores
        return _of(method, pooled, data, confidence, facts)


def _check_columns(method: str, arguments: dict[str, Columns]) -> None:
    for name, argument in arguments.items():
        kind = "classes" if argument.discrete else "images" if argument.images else None
        # The conditional Gaussian is of y; of x any features will do.
        if kind and (method in ("knn", "gaussian") or (method == "club" and name != "x")):
            raise contracts.UserError(
                f"method {method} is for continuous columns, and {name} has {kind}; use the "
                "default, or another method"
            )


class _Run(NamedTuple):
    bound: Bound
    data: Data
    permutations: int
    seed: int
    progress: Callable[[float, str], None] | None

    def pooled(self) -> Pooled:
        sides = self.data.sides
        if "given" not in sides:
            return self._of(sides["y"], 0, 1, "x and y")
        joined = Side.joined(sides["y"], sides["given"])
        both = self._of(joined, 0, 2, "x and (y, given)")
        return _difference(both, self._of(sides["given"], 1, 2, "x and given"))

    def _of(self, other: Side, index: int, count: int, text: str) -> Pooled:
        def advance(fraction):
            if self.progress:
                self.progress((index + fraction) / count, text)

        def fit(*sides, **options):
            return named_bounds.Fitted.fit(self.bound, *sides, **options)

        folds = cross_fit.run(
            *(self.data.sides["x"], other, self.data.parts),
            **dict(blocks=self.data.blocks, permutations=self.permutations, seed=self.seed),
            **dict(fit=fit, progress=advance),
        )
        return Pooled.of(folds)


def _nearest_neighbours(data: Data, **options) -> tuple[Pooled, tuple[str, ...]]:
    notes, values = [], {}
    for name, argument in data.arguments.items():
        values[name], tied = nearest_neighbours.prepared(argument.values)
        if tied:
            notes.append(f"{name}: values that repeat have noise of 1e-10 deviations")
    pooled = nearest_neighbours.measure(**values, blocks=data.blocks, **options)
    if "given" not in values and len(pooled.null) < options["permutations"]:
        notes.append(
            f"permutations: {len(pooled.null)}, as each takes as long as the estimate (at most "
            f"{nearest_neighbours.MOST_PERMUTATIONS}, and none of more than "
            f"{nearest_neighbours.MOST_PERMUTED:,} values)"
        )
    return pooled, tuple(notes)


def _gaussian(data: Data, **options) -> Pooled:
    scores = {name: side.scores for name, side in data.sides.items()}
    if "given" not in scores:
        return gaussian_copula.measure(scores["x"], scores["y"], blocks=data.blocks, **options)
    both = np.concatenate([scores["y"], scores["given"]], axis=1)
    return _difference(
        gaussian_copula.measure(scores["x"], both),
        gaussian_copula.measure(scores["x"], scores["given"]),
    )


def _difference(both: Pooled, alone: Pooled) -> Pooled:
    """I(x; y | z) of I(x; (y, z)) and I(x; z)."""
    return both._replace(
        value=both.value - alone.value,
        influence=both.influence - alone.influence,
        missed=both.missed + alone.missed,
        noise=np.hypot(both.noise, alone.noise),
    )


def _of(method: str, pooled: Pooled, data: Data, confidence: float, facts: dict) -> Estimate:
    error = sampling_errors.standard_error(pooled.influence, data.blocks)
    error = float(np.hypot(error, pooled.noise))
    reach = special.ndtri((1 + confidence) / 2) * error
    bound, given = BOUNDS.get(method), "given" in data.arguments
    guaranteed = None
    if bound and bound.is_lower and not given:
        guaranteed = max(0.0, pooled.value - special.ndtri(confidence) * error)
    reliable, why = _judge(method, pooled, reach, data)
    return Estimate(
        nats=pooled.value,
        standard_error=error,
        interval=sampling_errors.interval(pooled.value, reach, reach + pooled.missed),
        confidence=confidence,
        p_value=sampling_errors.p_value(pooled.tested, pooled.null),
        null=pooled.null,
        guaranteed=guaranteed,
        reliable=reliable,
        why=why,
        label=_label(method, data),
        method=method,
        curve=pooled.curve,
        **facts,
    )


def _chunk(data: Data) -> int:
    """Samples of a batch that is measured."""
    largest = max(map(len, data.parts))
    return -(-largest // named_bounds.chunk_count(largest))


def _label(method: str, data: Data) -> str:
    if method in _LABELS:
        return _LABELS[method]
    bound, chunk = BOUNDS[method], _chunk(data)
    if "given" in data.arguments:
        return f"estimate: difference of two values of {method} on held-out samples"
    if bound.is_lower:
        ceiling = bound.ceiling(chunk)
        most = f", at most {bound.facts.ceiling.text} = {ceiling:.2f}" if ceiling < np.inf else ""
        return f"lower bound in expectation: {method} on {chunk:,} held-out samples at a time{most}"
    if bound.facts.kind == "upper bound":
        return f"upper bound if {bound.facts.condition}: {method} on held-out samples"
    return (
        f"estimate: {method} on {chunk:,} held-out samples at a time, {bound.facts.batch} for few"
    )


def _judge(method: str, pooled: Pooled, reach: float, data: Data) -> tuple[bool, str]:
    if not np.isfinite(pooled.value + reach):
        return False, "the value is not finite: single scores decide it"
    if method == "gaussian":
        return False, "this method does not see dependence that is not that of a Gaussian copula"
    if method == "club":
        return False, "the value is above I(x; y) by an amount that is not known"
    if method == "knn":
        count = sum(len(argument.names) for argument in data.arguments.values())
        if count > _MOST_COLUMNS:
            return False, f"neighbours in {count} columns are far apart, and the value is too low"
    elif pooled.value > (ceiling := BOUNDS[method].ceiling(_chunk(data))) - _NEAR_CEILING:
        return False, f"the value is near {ceiling:.2f} nats, the largest that {method} can have"
    return sampling_errors.judge(pooled.value, reach, pooled.missed, pooled.largest)
