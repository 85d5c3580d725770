"""Bounds by name: separable networks that are fitted by a bound, and measured by the same one."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from dim_jax import bounds
from dim_jax.mi import cross_fit, held_out, network
from dim_jax.mi.sides import Side

_BATCH = 256
_STEPS = 600  # of a fit, in this many rounds with a validation each, or more if samples are many
_ROUNDS = 20
_PATIENCE = 5
_TAU = 5.0  # of SMILE
_DECAY = 0.99  # of MINE's moving average
_LARGEST_LOG_VARIANCE = 6.0  # of the conditional Gaussian


class Bound(NamedTuple):
    """A bound of `dim_jax.bounds` as a method of `mi.estimate`.

    objective: of the network's fit. shares: held-out scores f64[m,m] -> f64[m], what each sample
      adds to the value, which is their mean. facts: of the value.
    fits_baseline: whether the log mean of exp(score) on validation samples is taken off the scores.
    fits_conditional: whether the scores are log-likelihoods of y in a Gaussian that x gives.
    """

    name: str
    objective: network.Objective
    shares: Callable[[np.ndarray], np.ndarray]
    facts: bounds.labels.Facts
    fits_baseline: bool = False
    fits_conditional: bool = False

    @property
    def is_lower(self) -> bool:
        return self.facts.kind == "lower bound"

    def ceiling(self, samples: int) -> float:
        return self.facts.ceiling.of(samples)


class Fitted(NamedTuple):
    """A network that was fitted by a bound, on the folds that it is not measured on."""

    bound: Bound
    network: network.Network
    log_baseline: float

    @classmethod
    def fit(cls, bound: Bound, x: Side, y: Side, checked_x: Side, checked_y: Side, **options):
        """As `cross_fit.Committee.fit`."""
        del options["settings"]
        settings = _settings(len(x.features))._replace(objective=bound.objective)
        if bound.fits_conditional:
            settings = settings._replace(outputs=2 * y.scores.shape[1] - 1)
        rows = [_rows(bound, *pair) for pair in ((x, y), (checked_x, checked_y))]
        fitted = cls(bound, network.fit(settings, *rows, **options), 0.0)
        if not bound.fits_baseline:
            return fitted
        few = (side.take(slice(cross_fit.CHUNK)) for side in (checked_x, checked_y))
        return fitted._replace(log_baseline=held_out.log_mean([fitted.scores(*few)]))

    def scores(self, x: Side, y: Side) -> np.ndarray:
        """f64[m,m]"""
        rows = _rows(self.bound, x, y)
        return self.network.score(rows.x, rows.y).astype(np.float64) - self.log_baseline

    def measure(
        self, x, y, test, training, blocks, permutations, random, advance
    ) -> cross_fit.Fold:
        """The fold of the samples `test`."""
        chunks = np.array_split(test, chunk_count(len(test)))
        matrices = [self.scores(x.take(chunk), y.take(chunk)) for chunk in chunks]
        with np.errstate(over="ignore", invalid="ignore"):
            shares = np.concatenate([self.bound.shares(scores) for scores in matrices])
            seen = training[: len(chunks[0])]
            trained = float(np.mean(self.bound.shares(self.scores(x.take(seen), y.take(seen)))))
        value, drawn = float(np.mean(shares)), sum(map(np.trace, matrices)) / len(test)
        inside = None if blocks is None else blocks[test]
        permuted = held_out.permuted_means(matrices, permutations, inside, random)
        level = value if np.isfinite(value) else drawn  # of the test, which has no exponentials
        advance(1.0)
        return cross_fit.Fold(
            samples=test,
            held=held_out.Held(value, shares, value, shares, 0.0),
            training=trained,
            growth=0.0,
            permuted=level + permuted - drawn,
            tested=level,
            weights={},
            curve=self.network.curve,
        )


def _settings(samples: int) -> network.Settings:
    """One network, in batches that are small enough for many steps from zero scores."""
    batch = min(_BATCH, max(samples // 2, 1))
    rounds = max(1, math.ceil(_STEPS / _ROUNDS / (samples // batch)))
    epochs = dict(epochs=rounds * _ROUNDS, every=rounds, patience=_PATIENCE)
    return network.Settings(members=1, batch=batch, **epochs)


def chunk_count(samples: int) -> int:
    """Parts of a fold of which all pairs are scored."""
    return -(-samples // cross_fit.CHUNK)


def _rows(bound: Bound, x: Side, y: Side) -> network.Rows:
    columns = y.scores.astype(np.float32) if bound.fits_conditional else y.features
    nothing = np.zeros((len(columns), 1), np.float32)
    return network.Rows(x.features, columns, nothing, nothing)


def _of_scores(function: Callable) -> Callable:
    """The function with a memory that it does not have."""
    return lambda scores, memory: (function(scores), memory)


def _mine(scores: jax.Array, memory: bounds.MineState) -> tuple[jax.Array, Any]:
    _, surrogate, memory = bounds.mine(scores, state=memory, decay=_DECAY)
    return surrogate, memory


def _nwj(scores: jax.Array) -> jax.Array:
    return bounds.nwj(scores + 1)  # optimal at the log density ratio, 0 at zero


def _mean_of_drawn(scores: jax.Array) -> jax.Array:
    return jnp.mean(jnp.diagonal(scores))


def _log_likelihoods(params: dict, x: jax.Array, y: jax.Array, images: network.Images) -> jax.Array:
    """f32[n,m]: log q(y | x) less a constant, of a Gaussian with independent columns."""
    means, rough = jnp.split(network.embed(params["x"], x, images[0]), 2, axis=1)
    log_variances = _LARGEST_LOG_VARIANCE * jnp.tanh(rough / _LARGEST_LOG_VARIANCE)
    precisions = jnp.exp(-log_variances)
    constant = jnp.sum(means**2 * precisions + log_variances, axis=1)[:, None]
    return (means * precisions) @ y.T - (precisions @ (y**2).T + constant) / 2


def _log_mean_shares(scores: np.ndarray, largest: float = math.inf) -> np.ndarray:
    """Of mean T - log mean exp(min(T, largest)), and at least -largest."""
    others = np.clip(scores, -largest, largest)
    log_mean = held_out.log_mean([others])
    np.fill_diagonal(others, -math.inf)
    return np.diagonal(scores) - log_mean - (_both_means(np.exp(others - log_mean)) - 2)


def _mean_exp_shares(scores: np.ndarray) -> np.ndarray:
    """Of 1 + mean T - mean exp(T)."""
    weights = _both_means(np.exp(scores))
    if not np.isfinite(weights).all():
        return np.full(len(scores), -math.inf)
    return 1 + np.diagonal(scores) - (weights - np.mean(weights) / 2)


def _difference_shares(scores: np.ndarray) -> np.ndarray:
    """Of the mean of the drawn pairs' scores less that of the others."""
    means = _both_means(scores)
    return np.diagonal(scores) - (means - np.mean(means) / 2)


def _row_shares(scores: np.ndarray) -> np.ndarray:
    """Of InfoNCE: each sample's term, and its part in the denominators of the others."""
    denominators = special.logsumexp(scores, axis=1)
    terms = math.log(len(scores)) + np.diagonal(scores) - denominators
    return terms - (np.exp(scores - denominators[:, None]).sum(axis=0) - 1)


def _row_and_column_shares(scores: np.ndarray) -> np.ndarray:
    return (_row_shares(scores) + _row_shares(scores.T)) / 2


def _both_means(weights: np.ndarray) -> np.ndarray:
    """f64[m]: of each sample the mean of its row and that of its column, without the diagonal."""
    weights = weights.copy()
    np.fill_diagonal(weights, 0.0)
    return (weights.sum(axis=0) + weights.sum(axis=1)) / (len(weights) - 1)


def _bound(function: Callable, train: Callable, shares: Callable, **options) -> Bound:
    objective = dict(train=_of_scores(train), validate=train)
    objective |= {name: options.pop(name) for name in ("critic",) if name in options}
    if function is bounds.mine:
        objective |= dict(train=_mine, memory=bounds.mine_state)
    objective = network.Objective(**objective)
    return Bound(function.__name__, objective, shares, function.facts[0], **options)


BOUNDS = {
    bound.name: bound
    for bound in (
        _bound(bounds.infonce, bounds.infonce, _row_shares),
        _bound(bounds.symmetric_infonce, bounds.symmetric_infonce, _row_and_column_shares),
        _bound(bounds.donsker_varadhan, bounds.donsker_varadhan, _log_mean_shares),
        _bound(bounds.mine, bounds.donsker_varadhan, _log_mean_shares),
        _bound(bounds.nwj, _nwj, _mean_exp_shares),
        _bound(bounds.tuba, _nwj, _mean_exp_shares, fits_baseline=True),
        _bound(bounds.js_nwj, bounds.jensen_shannon, _mean_exp_shares),
        _bound(
            *(bounds.smile, bounds.jensen_shannon),
            functools.partial(_log_mean_shares, largest=_TAU),
        ),
        _bound(
            *(bounds.club, _mean_of_drawn, _difference_shares),
            **dict(critic=_log_likelihoods, fits_conditional=True),
        ),
    )
}
