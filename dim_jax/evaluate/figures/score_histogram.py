"""The scores of real and of generated images: histograms in one picture, and their overlap.

Source: Hjelm et al. 2019, App. A.8 and Fig. 15 (too little overlap leaves the generator without a
  gradient).
"""

import math
from collections.abc import Mapping

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features, generated
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing

_TAPS = ("y",)
_FIGURES = {
    "scores": (
        "Scores of real and generated images",
        "The network's output y of test images, of generated images and, as a line, of training "
        "images; dashed are the normal densities that a method with targets is to match. Where "
        "the histograms do not overlap, the generator has no gradient.",
    )
}

_IMAGES = 10_000  # of each kind at most
_BINS = 60
_BEYOND = 0.001  # the share of images at either end that the outermost bins collect


def evaluate(
    frozen: contracts.Frozen, splits: Mapping[str, dataset.Split], rng: jax.Array
) -> dict[str, float | np.ndarray]:
    """The distributions of the scores y of test images and of as many generated ones.

    "y/score_mean_real", "y/score_std_real", "y/score_mean_generated", "y/score_std_generated"
    "y/score_overlap": sum over 60 bins of min(share of real, share of generated images), in [0, 1];
        1 = equal. Two samples of n images of the same distribution have about 1 - sqrt(60 / (pi
        n)), which is 0.96 for 10,000.
    "y/score_overlap_targets": that of the normal distributions N(target, 1) of a method with
        targets, 2 Phi(-|difference| / 2)
    "scores": u8[h,w,3], all of it as a picture

    Raises:
      UserError: a method that draws no codes, or whose y has more than one coordinate.
    """
    check_method(frozen.method)
    check_frozen(frozen, splits)
    generative, test = frozen.method.generative, splits["test"]
    real = features.extract(frozen, test, _TAPS)["y"][:, 0]
    codes = generated.codes(frozen, test, rng, generated.counted(splits, _IMAGES))

    def score(params, state, images):
        return frozen.method.represent(params, state, images)["y"][:, 0]

    made = generated.mapped(frozen, codes, score)
    train = splits["train"]
    few = dataset.select(train, drawing.spread(len(train.images), _IMAGES))
    trained_on = features.extract(frozen, few, _TAPS)["y"][:, 0]
    edges = _edges(real, made)
    results = {"score_overlap": overlap(real, made, edges)}
    if generative.targets is not None:
        results["score_overlap_targets"] = overlap_of_targets(*generative.targets)
    for name, values in (("real", real), ("generated", made)):
        results[f"score_mean_{name}"] = np.mean(values, dtype=np.float64)
        results[f"score_std_{name}"] = np.std(values, dtype=np.float64)
    picture = _picture(real, trained_on, made, generative.targets)
    return {f"y/{name}": float(value) for name, value in results.items()} | {"scores": picture}


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError for a method that draws no codes of a prior."""
    generated.check_draws(method, "score_histogram")


def check_frozen(frozen: contracts.Frozen, splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError unless y is one number."""
    (width,) = features.shapes(frozen, splits["test"])["y"]
    if width != 1:
        raise contracts.UserError(
            f"y has {width} coordinates and the evaluation 'score_histogram' draws that of a "
            "network with one output; remove 'score_histogram' from evals"
        )


EVALUATION = Evaluation(
    evaluate,
    representations="encoders",
    taps=_TAPS,
    figures=_FIGURES,
    check_method=check_method,
    check_frozen=check_frozen,
)


def overlap(one: np.ndarray, other: np.ndarray, edges: np.ndarray) -> float:
    """The sum over bins of the smaller share of two samples f[n] and f[m], in [0, 1]."""
    return float(np.minimum(*(_shares(values, edges) for values in (one, other))).sum())


def overlap_of_targets(one: float, other: float) -> float:
    """The overlap of N(one, 1) and N(other, 1): 2 Phi(-|one - other| / 2)."""
    return math.erfc(abs(one - other) / (2 * math.sqrt(2)))


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The share of the values in each bin; those beyond the ends are in the outermost bins."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / len(values)


def _edges(*samples: np.ndarray, include: tuple[float, ...] = ()) -> np.ndarray:
    """The edges of bins that hold all samples but their extremes."""
    ends = [np.quantile(values, [_BEYOND, 1 - _BEYOND]) for values in samples]
    low, high = min(include + tuple(e[0] for e in ends)), max(include + tuple(e[1] for e in ends))
    margin = max(0.02 * (high - low), 1e-6)
    return np.linspace(low - margin, high + margin, _BINS + 1)


def _picture(
    real: np.ndarray, trained_on: np.ndarray, made: np.ndarray, targets: tuple | None
) -> np.ndarray:
    include = () if targets is None else (min(targets) - 2.5, max(targets) + 2.5)
    edges = _edges(real, made, include=include)
    figure = drawing.new(5.4, 3.1)
    axes = figure.add_axes([0.03, 0.14, 0.94, 0.83])
    blue, orange = drawing.colours(2)
    per_unit = 1 / np.diff(edges)
    for values, colour, name in ((real, blue, "test images"), (made, orange, "generated images")):
        heights = _shares(values, edges) * per_unit
        axes.stairs(heights, edges, fill=True, color=colour, alpha=0.55, label=name)
    heights = _shares(trained_on, edges) * per_unit
    axes.stairs(heights, edges, color=blue, linewidth=0.9, label="training images")
    if targets is not None:
        at = np.linspace(edges[0], edges[-1], 400)
        for target, colour in zip(targets, (blue, orange), strict=True):
            density = np.exp(-((at - target) ** 2) / 2) / math.sqrt(2 * math.pi)
            style = dict(color=colour, linewidth=1.1, linestyle="--")
            axes.plot(at, density, label=f"N({target:g}, 1)", **style)
    axes.set(yticks=[], xlim=(edges[0], edges[-1]))
    axes.margins(y=0.02)
    axes.tick_params(labelsize=8.5, colors=drawing.FAINT)
    axes.set_xlabel("y", fontsize=9, color=drawing.INK, labelpad=1)
    for name, spine in axes.spines.items():
        spine.set(visible=name == "bottom", color=drawing.LINE)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=drawing.INK)
    return drawing.pixels(figure)
