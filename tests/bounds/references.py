"""Every estimator as loops over pairs in NumPy float64, in the words of the definitions.

Scores are [n, m, l]; positives are a mask [n, m], or numbers: 1 at positives, 0 at negatives and -1
at excluded pairs.
"""

import math
from typing import NamedTuple

import numpy as np

from dim_jax import bounds


def entries(positives):
    pairs = list(np.ndindex(positives.shape))
    return [p for p in pairs if positives[p] == 1], [p for p in pairs if positives[p] == 0]


logsumexp = np.logaddexp.reduce


def log_mean_exp(values):
    return logsumexp(values) - math.log(len(values))


def softplus(values):
    return np.logaddexp(0.0, values)


def f_divergence(positive, negative):
    def loop(scores, positives):
        joint, product = entries(positives)
        return np.mean([np.mean(positive(scores[p])) for p in joint]) - np.mean(
            [np.mean(negative(scores[p])) for p in product]
        )

    return loop


def donsker_varadhan(scores, positives):
    joint, product = entries(positives)
    rest = [t for p in product for t in scores[p]]
    return np.mean([t for p in joint for t in scores[p]]) - log_mean_exp(rest)


def smile(scores, positives, tau):
    joint, product = entries(positives)
    rest = [min(max(t, -tau), tau) for p in product for t in scores[p]]
    return np.mean([t for p in joint for t in scores[p]]) - log_mean_exp(rest)


def tuba(scores, positives, log_baseline):
    base = np.broadcast_to(np.reshape(log_baseline, (1, -1, 1)), scores.shape)
    joint, product = entries(positives)
    first = np.mean([np.mean(scores[p] - base[p]) for p in joint])
    return 1 + first - np.mean([np.mean(np.exp(scores[p] - base[p])) for p in product])


def interpolated(scores, positives, alpha, log_baseline=0.0):
    """The triple loop, on candidates put in the order of their anchors."""
    n = len(scores)
    columns = positives.argmax(1)
    base = np.broadcast_to(np.reshape(log_baseline, -1), (n,))[columns]
    excluded = positives[:, columns] < 0
    values = []
    for l in range(scores.shape[2]):
        t = scores[:, columns, l]

        def log_a(j, k, t=t):
            mean = log_mean_exp([t[i, j] for i in range(n) if i != k and not excluded[i, j]])
            with np.errstate(divide="ignore"):
                return np.logaddexp(np.log(alpha) + mean, np.log(1 - alpha) + base[j])

        pairs = [(j, k) for j in range(n) for k in range(n) if j != k and not excluded[j, k]]
        first = np.mean([t[j, j] - log_a(j, k) for k, j in pairs])
        values.append(1 + first - np.mean([np.exp(t[j, k] - log_a(k, k)) for j, k in pairs]))
    return np.mean(values)


def infonce(scores, positives, negatives="locations"):
    terms = []
    n, m, locations = scores.shape
    for i, p in entries(positives)[0]:
        columns = [j for j in range(m) if positives[i, j] == 0]
        rows = [k for k in range(n) if positives[k, p] == 0]
        for l in range(locations):
            own = scores[i, p, l]
            everything = [t for j in columns for t in scores[i, j]]
            rest = {
                "locations": [own, *everything],
                "candidates": [own]
                + [logsumexp(scores[i, j]) - math.log(locations) for j in columns],
                "same_location": [own, *(scores[i, j, l] for j in columns)],
                "anchors": [own, *(scores[k, p, l] for k in rows)],
                "all_locations": [*scores[i, p], *everything],
            }[negatives]
            size = 1 + len(rows if negatives == "anchors" else columns)
            size *= locations if negatives == "all_locations" else 1
            terms.append(math.log(size) + own - logsumexp(rest))
    return np.mean(terms)


def symmetric_infonce(scores, positives):
    by_row = infonce(scores, positives, "same_location")
    return (by_row + infonce(scores, positives, "anchors")) / 2


def decoupled_infonce(scores, positives):
    _, m, locations = scores.shape
    return np.mean(
        [
            scores[i, p, l]
            - log_mean_exp([scores[i, j, l] for j in range(m) if positives[i, j] == 0])
            for i, p in entries(positives)[0]
            for l in range(locations)
        ]
    )


def leave_one_out(scores, positives):
    return decoupled_infonce(scores.swapaxes(0, 1), positives.T)


def club_of_all(scores, positives):
    return np.mean([np.mean(scores[p]) for p in entries(positives)[0]]) - np.mean(
        [np.mean(scores[p]) for kind in entries(positives) for p in kind]
    )


nwj = f_divergence(lambda t: t, lambda t: np.exp(t - 1))
jensen_shannon = f_divergence(
    lambda t: math.log(2) - softplus(-t), lambda t: softplus(t) - math.log(2)
)
difference = f_divergence(lambda t: t, lambda t: t)


class Estimator(NamedTuple):
    """A function of scores, its loop, the loop whose gradient it has, and what it is called with.

    square: every candidate needs a positive. unique: no candidate may have two.
    infinite: extremes of `test_bounds_values` where the definition is -inf in float32.
    """

    function: object
    loop: object
    slopes: object
    options: dict
    square: bool = False
    unique: bool = False
    infinite: tuple = ()


def _estimator(name, loop, slopes=None, square=False, unique=False, infinite=(), **options):
    function = getattr(bounds, name)
    return Estimator(function, loop, slopes or loop, options, square, unique, infinite)


HUGE, TINY = ("huge negative", "all huge"), ("tiny positive", "all tiny")


ESTIMATORS = {
    "dv": _estimator("donsker_varadhan", donsker_varadhan),
    "nwj": _estimator("nwj", nwj, infinite=HUGE),
    "tuba": _estimator("tuba", tuba, infinite=HUGE, log_baseline=0.3),
    "interpolated 0": _estimator(
        "interpolated", interpolated, square=True, infinite=HUGE, alpha=0.0
    ),
    "interpolated 0.4": _estimator(
        "interpolated", interpolated, square=True, alpha=0.4, log_baseline=0.3
    ),
    "interpolated 1": _estimator("interpolated", interpolated, square=True, alpha=1.0),
    "js_nwj": _estimator(
        "js_nwj", lambda t, positives: nwj(t + 1, positives), jensen_shannon, infinite=HUGE
    ),
    "smile": _estimator("smile", smile, lambda t, p, tau: jensen_shannon(t, p), tau=1.5),
    "jsd": _estimator("jensen_shannon", jensen_shannon),
    "gan": _estimator("gan", f_divergence(lambda t: -softplus(-t), softplus)),
    "rkl": _estimator(
        "reverse_kl", f_divergence(lambda t: -np.exp(-t), lambda t: t - 1), infinite=TINY
    ),
    "h2": _estimator(
        "squared_hellinger",
        f_divergence(lambda t: 1 - np.exp(-t), lambda t: np.exp(t) - 1),
        infinite=(*HUGE, *TINY),
    ),
    "chi2": _estimator("pearson_chi2", f_divergence(lambda t: t, lambda t: t + t**2 / 4)),
    "wasserstein": _estimator("wasserstein", difference),
    "club": _estimator("club", difference),
    "club of all": _estimator(
        "club", lambda t, p, include_positives: club_of_all(t, p), include_positives=True
    ),
    "leave_one_out": _estimator("leave_one_out", leave_one_out, unique=True),
    "known_conditional": _estimator(
        "known_conditional", lambda t, p: infonce(t, p, "anchors"), unique=True
    ),
    "decoupled": _estimator("decoupled_infonce", decoupled_infonce),
    "symmetric": _estimator("symmetric_infonce", symmetric_infonce, unique=True),
    "locations": _estimator("infonce", infonce),
    "candidates": _estimator("infonce", infonce, negatives="candidates"),
    "same_location": _estimator("infonce", infonce, negatives="same_location"),
    "anchors": _estimator("infonce", infonce, unique=True, negatives="anchors"),
    "all_locations": _estimator("infonce", infonce, negatives="all_locations"),
}


def call(name, scores, positives=None, **more):
    """The estimator, as a user calls it."""
    estimator = ESTIMATORS[name]
    return estimator.function(scores, positives, **estimator.options, **more)


def loop(name, scores, positives, slopes=False):
    """The reference value (or the value whose gradient the estimator has)."""
    estimator = ESTIMATORS[name]
    flat = np.reshape(scores, (*scores.shape[:2], math.prod(scores.shape[2:])))
    function = estimator.slopes if slopes else estimator.loop
    return function(flat.astype(np.float64), positives, **estimator.options)


def slopes(name, scores, positives, step=1e-5):
    """Central differences of the loop."""
    gradient = np.zeros(scores.shape)
    for index in np.ndindex(scores.shape):
        change = np.zeros(scores.shape)
        change[index] = step
        up, down = (loop(name, scores + c, positives, slopes=True) for c in (change, -change))
        gradient[index] = (up - down) / (2 * step)
    return gradient
