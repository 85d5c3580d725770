"""Claims of Tschannen et al. 2020 on mutual information and representations, as hit or miss."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

CRITICS = ("bilinear", "separable", "concatenated")
RISE, FALL, LARGEST_ERROR = 3.0, 20.0, 1e-4  # points, points, pixels in [0, 1]


def claims(content: dict) -> list[dict]:
    """Each claim with its verdict, value of each seed, and interval of their mean.

    Args:
      content: of the result file: "rows" and "shared_latent".
    """
    rows = content["rows"]
    return [
        *_bijections(rows),
        *_critics(rows),
        *_held(rows),
        *_condition(rows),
        *_shared(content["shared_latent"]),
    ]


def chosen(rows: Sequence[dict], **facts) -> list[dict]:
    """The rows with these facts, in the order of their seeds."""
    selected = [row for row in rows if facts.items() <= row.items()]
    return sorted(selected, key=lambda row: row["seed"])


def half_width(values: Sequence[float]) -> float | None:
    """Of the interval of 95 % of the mean, by Student's t; None for one value."""
    if len(values) < 2:
        return None
    factor = stats.t.ppf(0.975, len(values) - 1)
    return float(factor * np.std(values, ddof=1) / math.sqrt(len(values)))


def last(rows: Sequence[dict], measure: str) -> np.ndarray:
    """A measure at the end of each row's training, f[rows]."""
    return np.array([row["trace"][-1][measure] for row in rows])


def _first(rows: Sequence[dict], measure: str) -> np.ndarray:
    return np.array([row["trace"][0][measure] for row in rows])


def _claim(claim: str, values, holds: Callable[[float], bool], unit: str, published: str) -> dict:
    """A hit if every seed holds."""
    values = [float(value) for value in values]
    return {
        "claim": claim,
        "verdict": "hit" if values and all(map(holds, values)) else "miss",
        "mean": float(np.mean(values)),
        "half_width": half_width(values),
        "values": values,
        "unit": unit,
        "published": published,
    }


def _bijections(rows: Sequence[dict]) -> Iterator[dict]:
    published = {"infonce": "+4", "nwj": "+5"}
    for name, points in published.items():
        curves = chosen(rows, part="bijection", objective=name)
        rise = 100 * (last(curves, "accuracy") - _first(curves, "accuracy"))
        claim = f"the probe of a bijection rises by 3 points over pixels while {name} is maximised"
        yield _claim(claim, rise, lambda value: value >= RISE, "points", points)
    curves = chosen(rows, part="adversarial")
    change = 100 * (last(curves, "accuracy") - _first(curves, "accuracy"))
    claim = "the probe of a bijection trained against linear classifiers falls by 20 points"
    yield _claim(claim, change, lambda value: value <= -FALL, "points", "-45")
    curves = [row for row in rows if row["encoder"] == "RealNVP"]
    errors = [max(point["reconstruction_error"] for point in row["trace"]) for row in curves]
    claim = "the reconstruction error of bijections stays below 1e-4 throughout"
    yield _claim(claim, errors, lambda value: value < LARGEST_ERROR, "of 1 (white)", "")


def _critics(rows: Sequence[dict]) -> Iterator[dict]:
    critics = {name: chosen(rows, part="critics", critic=name) for name in CRITICS}
    best = max(critics, key=lambda name: last(critics[name], "bound").mean())
    accuracies = {name: last(each, "accuracy") for name, each in critics.items()}
    others = np.max([each for name, each in accuracies.items() if name != best], axis=0)
    yield _claim(
        f"the critic of the largest InfoNCE ({best}) has a worse probe than another",
        100 * (accuracies[best] - others),
        lambda value: value < 0,
        "points",
        "-5, of NWJ",
    )


def _held(rows: Sequence[dict]) -> Iterator[dict]:
    for target in sorted({row["target"] for row in rows if row["part"] == "held"}):
        by_encoder = [
            chosen(rows, part="held", target=target, encoder=each) for each in ("ConvNet", "MLP")
        ]
        convolutional, mlp = (last(each, "accuracy") for each in by_encoder)
        claim = f"with InfoNCE held at {target:g} nats a ConvNet's probe is above an MLP's"
        yield _claim(
            claim, 100 * (convolutional - mlp), lambda value: value > 0, "points", "+8 to +10"
        )


def _condition(rows: Sequence[dict]) -> Iterator[dict]:
    curves = chosen(rows, part="condition")
    if not curves:
        return
    growth = last(curves, "condition_number") / _first(curves, "condition_number")
    claim = "the condition number of a residual MLP grows, by this factor"
    yield _claim(claim, growth, lambda value: value > 1, "times", "grows")


def _shared(study: dict) -> Iterator[dict]:
    above = np.array(study["shared"]) - study["information"]
    claim = "InfoNCE with negatives that share a latent exceeds the information, by"
    yield _claim(claim, above, lambda value: value > 0, "nats", "exceeds")
