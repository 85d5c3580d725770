"""Bias, variance and error on the staircase of mutual information, and what the papers claim."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from dim_jax.processes import environment
from experiments import mi_staircase_data

MEASURED = 4  # measures are of the last of this many parts of a stair
# Bias and variance at 10 nats of separable critics on Gaussians, read off the curves of the
# notebook of Song and Ermon (demo.ipynb of their repository). InfoNCE is at its ceiling there.
READ_OFF = {
    "infonce": (-5.85, 0.005),
    "nwj": (-5.8, 13.0),
    "smile_1": (-0.15, 1.0),
    "smile_5": (0.5, 0.8),
    "smile_inf": (-1.2, 5.0),
}
DIFFERS = (
    "two hidden layers (the released code of Song and Ermon has three), PyTorch's initialisation; "
    "y^3 divided by its standard deviation (Poole et al. cube a random linear map of y); MINE's "
    "moving average debiased; the generative estimate is a normal law of y given x in place of "
    "a flow; products of the joint critic in bfloat16"
)
_TIMES = 10.0  # the variance of NWJ over that of InfoNCE
_CORRELATED = 0.9
_LAST = mi_staircase_data.NATS[-1]
Loaded = Mapping[Any, Mapping[str, Any]]


def summary(loaded: Loaded) -> dict:
    """The content of the JSON, of all trainings and their values (`mi_staircase.load`)."""
    facts = [values["facts"] for values in loaded.values()]
    of_estimators = rows(loaded)
    return {
        "device": facts[0]["device"],
        "commit": facts[0]["commit"],
        "commits": sorted({each["commit"] for each in facts if each["commit"]}),
        "versions": environment.versions(),
        "cpu_minutes": round(sum(each["cpu"] for each in facts), 1),
        "note": "The two cores were shared with other work",
        "measured": f"last 1/{MEASURED} of the steps of each stair",
        "read_off": {name: list(numbers) for name, numbers in READ_OFF.items()},
        "differs": DIFFERS,
        "rows": of_estimators,
        "claims": list(claims(of_estimators)),
    }


def measures(values: np.ndarray) -> dict[str, np.ndarray]:
    """Bias, variance and mean squared error f64[stairs] of values f[stairs,steps], in nats."""
    steps = values.shape[1]
    last = values[:, steps - math.ceil(steps / MEASURED) :].astype(np.float64)
    with np.errstate(all="ignore"):  # of values that are not finite
        bias = last.mean(axis=1) - np.array(mi_staircase_data.NATS)
        variance = last.var(axis=1)
        return {"bias": bias, "variance": variance, "mse": bias**2 + variance}


def rows(loaded: Loaded) -> list[dict]:
    """One for each distribution, critic and estimator; lists [seed] and [seed][stair]."""
    grouped: dict[tuple, list] = {}
    for training, values in loaded.items():
        for name in (name for name in values if name != "facts"):
            key = (training.distribution, training.critic, name)
            grouped.setdefault(key, []).append((training, values[name], values["facts"]))
    return [_row(*key, sorted(group)) for key, group in grouped.items()]


def _row(distribution: str, critic: str, estimator: str, group: Sequence[tuple]) -> dict:
    of_seeds = [measures(values) for _, values, _ in group]
    (steps,) = {training.steps for training, _, _ in group}
    return {
        **{"distribution": distribution, "critic": critic, "estimator": estimator},
        "objective": group[0][0].objective,
        "seeds": [training.seed for training, _, _ in group],
        "steps": steps,
        "cpu_minutes": [round(facts["cpu"], 2) for _, _, facts in group],
        "largest": [_number(np.max(values)) for _, values, _ in group],
        "not_finite": [int(np.sum(~np.isfinite(values))) for _, values, _ in group],
        **{
            name: [[_number(number) for number in each[name]] for each in of_seeds]
            for name in of_seeds[0]
        },
    }


def _number(value: float) -> float | None:
    """To five digits; None where it is not finite."""
    return float(f"{value:.5g}") if np.isfinite(value) else None


def at_last(name: str, rows: Mapping[str, dict]) -> dict[str, np.ndarray]:
    """The measure f64[seeds] of rows on the last stair, in the seeds that all of them have.

    Infinite where it is not finite.
    """
    common = set.intersection(*(set(row["seeds"]) for row in rows.values()))
    return {
        key: np.array(
            [
                math.inf if each[-1] is None else each[-1]
                for seed, each in zip(row["seeds"], row[name], strict=True)
                if seed in common
            ]
        )
        for key, row in rows.items()
    }


def _some(of: Mapping[str, dict], *names: str) -> dict[str, dict]:
    """The rows of these estimators; none at all where one is missing."""
    return {name: of[name] for name in names} if {*names} <= of.keys() else {}


def claims(rows: Sequence[dict]) -> Iterator[dict]:
    """The papers' claims: {claim, measured, verdict}; a claim holds if it does in every seed."""
    settings = dict.fromkeys((row["distribution"], row["critic"]) for row in rows)
    by_key = {(row["distribution"], row["critic"], row["estimator"]): row for row in rows}
    yield from _ceiling(rows)
    for check in (_variances, _smile_variance, _smile_bias, _interpolated):
        for setting in settings:
            of = {key[2]: row for key, row in by_key.items() if key[:2] == setting}
            yield from check(_place(*setting), of)
    yield from _correlations(by_key)


def _place(distribution: str, critic: str) -> str:
    data = {"gaussian": "Gaussians", "cubed": "cubes"}[distribution]
    return f"{data}, {critic} critic"


def _claim(text: str, measured: str, holds: bool) -> dict:
    return {"claim": text, "measured": measured, "verdict": "hit" if holds else "miss"}


def _ceiling(rows: Sequence[dict]) -> Iterator[dict]:
    chosen = [row for row in rows if row["estimator"] == "infonce"]
    if chosen:
        largest = max(value for row in chosen for value in row["largest"])
        ceiling = math.log(mi_staircase_data.BATCH)
        steps = sum(len(row["seeds"]) * row["steps"] for row in chosen)
        steps *= len(mi_staircase_data.NATS)
        yield _claim(
            f"InfoNCE is never above log {mi_staircase_data.BATCH} = {ceiling:.4f}",
            f"largest of {steps:,} values {largest:.4f}",
            largest <= ceiling + 1e-5,  # rounding of float32
        )


def _listed(numbers: np.ndarray, digits: int = 3) -> str:
    return ", ".join(f"{number:,.{digits}g}" for number in numbers)


def _variances(place: str, of: Mapping[str, dict]) -> Iterator[dict]:
    if chosen := _some(of, "nwj", "infonce"):
        variances = at_last("variance", chosen)
        ratios = variances["nwj"] / variances["infonce"]
        yield _claim(
            f"{place}: NWJ varies at {_LAST:g} nats at least {_TIMES:g} times as much as InfoNCE",
            f"{_listed(ratios)} times",
            bool((ratios >= _TIMES).all()),
        )


def _smile_variance(place: str, of: Mapping[str, dict]) -> Iterator[dict]:
    yield from _between(place, of, "variance", "the variance")


def _smile_bias(place: str, of: Mapping[str, dict]) -> Iterator[dict]:
    yield from _between(place, of, "bias", "the size of the bias")


def _between(place: str, of: Mapping[str, dict], name: str, text: str) -> Iterator[dict]:
    smiles = [each for each in of if each.startswith("smile_")]
    chosen = _some(of, *smiles, "infonce", "nwj")
    if not (smiles and chosen):
        return
    sizes = {each: np.abs(values) for each, values in at_last(name, chosen).items()}
    low, high = (end(sizes["infonce"], sizes["nwj"]) for end in (np.minimum, np.maximum))
    inside = [(low < sizes[each]) & (sizes[each] < high) for each in smiles]
    means = "; ".join(f"{title(each)} {np.mean(size):.3g}" for each, size in sizes.items())
    yield _claim(
        f"{place}: {text} of SMILE lies between those of InfoNCE and NWJ at {_LAST:g} nats",
        f"in {np.sum(inside)} of {np.size(inside)}; means: {means}",
        bool(np.all(inside)),
    )


def _interpolated(place: str, of: Mapping[str, dict]) -> Iterator[dict]:
    name = "interpolated_0.01"
    if chosen := _some(of, name, "nwj", "infonce"):
        bias, variance = (at_last(measure, chosen) for measure in ("bias", "variance"))
        nearer = np.abs(bias[name]) < np.abs(bias["infonce"])
        yield _claim(
            f"{place}: {title(name)} has less bias than InfoNCE and less variance than NWJ",
            f"bias {_listed(bias[name])}; variance {_listed(variance[name])}",
            bool((nearer & (variance[name] < variance["nwj"])).all()),
        )


def _correlations(by_key: Mapping[tuple, dict]) -> Iterator[dict]:
    of = {key[2]: row for key, row in by_key.items() if key[:2] == ("gaussian", "separable")}
    chosen = _some(of, *READ_OFF)
    for position, name in enumerate(("bias", "variance") if chosen else ()):
        published = np.abs([numbers[position] for numbers in READ_OFF.values()])
        measured = np.abs([*at_last(name, chosen).values()])  # [estimator, seed]
        correlations = [stats.spearmanr(published, seed).statistic for seed in measured.T]
        size = "the size of the bias" if name == "bias" else "the variance"
        yield _claim(
            f"Gaussians, separable critic: {size} at {_LAST:g} nats orders InfoNCE, NWJ and SMILE "
            f"as in the authors' picture (rank correlation at least {_CORRELATED:g})",
            f"rank correlations {_listed(np.array(correlations), 2)}",
            min(correlations) >= _CORRELATED - 1e-9,
        )


_TITLES = {
    "infonce": "InfoNCE",
    "nwj": "NWJ",
    "js_nwj": "JS, read out as NWJ",
    "tuba": "TUBA",
    "mine": "MINE",
    "donsker_varadhan": "Donsker-Varadhan",
    "difference_of_entropies": "difference of entropies",
    "smile_inf": "SMILE, τ = ∞",
}


def title(estimator: str) -> str:
    """The name of an estimator as it is to appear."""
    name, _, number = estimator.rpartition("_")
    numbered = {"smile": "SMILE, τ =", "interpolated": "interpolated, α ="}
    return _TITLES.get(estimator) or f"{numbered[name]} {number}"
