"""Alignment and uniformity of held-out images under the augmentation of the training.

Source: Wang and Isola 2020, eqs. 1 and 2 (alpha = 2, t = 2).
"""

from collections.abc import Iterable, Mapping

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.measures import rank

_TAPS = ("y",)


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    taps: Iterable[str] = _TAPS,
    images: int = 2048,
) -> dict[str, float]:
    """Alignment and uniformity of unit vectors, of two random views of each test image.

    Read them together: a collapsed encoder has the best alignment, and random vectors the best
    uniformity.

    Args:
      images: at most this many test images.

    Returns:
      "<tap>/alignment": the mean squared distance of an image's two views, in [0, 4]; 0 if
          features do not depend on the view. Absent without random augmentation, where views are
          equal.
      "<tap>/uniformity": the log of the mean of exp(-2 |u - v|^2) over pairs of different images,
          mean of the two draws, in nats; 0 if all are equal, smaller is more uniform.

    Raises:
      UserError: an unknown tap; fewer than two test images; a representation without views.
    """
    if frozen.prepare is None:
        check_method(None)
    test = rank.first(splits["test"], images, "alignment")
    results = {}
    for tap, views in rank.draw(frozen, test, taps, rng, draws=2).items():
        views = unit(views)
        distances = np.sum((views[0] - views[1]) ** 2, axis=-1)
        if frozen.varies:
            results[f"{tap}/alignment"] = float(np.mean(distances))
        results[f"{tap}/uniformity"] = float(np.mean([uniformity(each) for each in views]))
    return results


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError on a representation without a method, which has no views."""
    if method is None:
        raise contracts.UserError(
            "this representation is not trained on views of images; remove it from the "
            "representations of the evaluation 'alignment'"
        )


EVALUATION = Evaluation(evaluate, representations="encoders", taps=_TAPS, check_method=check_method)


def unit(rows: np.ndarray) -> np.ndarray:
    """Features f64[...,d] divided by their lengths; rows of zeros stay."""
    rows = rows.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)


def uniformity(vectors: np.ndarray) -> float:
    """The log of the mean potential of all pairs of unit vectors f64[n,d]."""
    potentials = np.exp(4 * (vectors @ vectors.T - 1))
    pairs = len(vectors) * (len(vectors) - 1)
    return float(np.log((potentials.sum() - np.trace(potentials)) / pairs))
