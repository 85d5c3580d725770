"""Nearest neighbours in y: a picture for the eye, and class purity as a number.

Source: Hjelm et al. 2019, App. A.4 (L1 distance, one query per class, the four closest).
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from scipy import special
from scipy.spatial import distance

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing

_FIGURES = {
    "neighbours": (
        "Nearest neighbours in y",
        "Test images, by L1 distance in y: the query in front, then its four closest; a green "
        "frame marks a neighbour of the query's class, where classes are known.",
    )
}

_CLOSEST = 4
_SHOWN = 10  # queries in the picture
_MEASURED = 2000  # queries at most for the purity
_INCHES, _GAP = 0.66, 0.35  # the side of an image; between query and neighbours, in images


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    classes: Sequence[str] | None = None,
) -> dict[str, float | np.ndarray]:
    """{"neighbours": u8[h,w,3]}, and with labels "y/purity@4" and "y/purity@4_sigmoid".

    Purity is the fraction of the four closest test images, in L1 distance, that have the query's
    class, in [0, 1]; larger is better. Queries are the first 2,000 test images at most. The paper
    does not say whether its distances were taken before or after the sigmoid, hence both.

    Args:
      classes: the names for the picture.
    """
    del rng
    test = splits["test"]
    y = features.extract(frozen, test, ("y",))["y"]
    labelled = bool(np.all(test.labels >= 0))
    queries = _queries(test.labels, labelled)
    results = {"neighbours": _picture(test, queries, closest(y, queries), labelled, classes)}
    if labelled and len(y) > 1:
        measured = np.arange(min(_MEASURED, len(y)))
        for after, rows in (("", y), ("_sigmoid", special.expit(y))):
            same = test.labels[closest(rows, measured)] == test.labels[measured, None]
            results[f"y/purity@{_CLOSEST}{after}"] = float(np.mean(same))
    return results


EVALUATION = Evaluation(
    evaluate, representations="trained", taps=("y",), figures=_FIGURES, reads_images=True
)


def closest(rows: np.ndarray, queries: np.ndarray, count: int = _CLOSEST) -> np.ndarray:
    """Positions [q, count] of the rows f[n,d] nearest to rows[queries] in L1, without themselves.

    The nearest comes first.
    """
    count = min(count, len(rows) - 1)
    parts = []
    for start in range(0, len(queries), 256):
        part = queries[start : start + 256]
        distances = distance.cdist(rows[part], rows, "cityblock")
        distances[np.arange(len(part)), part] = np.inf
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distances, nearest, axis=1), axis=1)
        parts.append(np.take_along_axis(nearest, order, axis=1))
    return np.concatenate(parts)


def _queries(labels: np.ndarray, labelled: bool) -> np.ndarray:
    """The first test image of each class, of at most ten classes spread evenly; else the first."""
    if not labelled:
        return np.arange(min(_SHOWN, len(labels)))
    firsts = np.unique(labels, return_index=True)[1]
    spread = np.linspace(0, len(firsts) - 1, min(_SHOWN, len(firsts))).round().astype(int)
    return firsts[spread]


def _picture(
    test: dataset.Split,
    queries: np.ndarray,
    neighbours: np.ndarray,
    labelled: bool,
    classes: Sequence[str] | None,
) -> np.ndarray:
    """Each query, after its class name, and then its neighbours, in one or two columns."""
    titles = [_title(test.labels[query], labelled, classes) for query in queries]
    columns = 2 if len(queries) > 3 else 1
    rows = -(-len(queries) // columns)
    # In units of one image: the class name, the query, a gap, the neighbours, a gap.
    name = 0.25 + 0.125 * max(map(len, titles))
    block = name + 1 + _GAP + neighbours.shape[1] + _GAP
    width = columns * block
    figure = drawing.new(width * _INCHES, rows * _INCHES)
    for index, (query, others) in enumerate(zip(queries, neighbours, strict=True)):
        column, row = divmod(index, rows)
        at, middle = column * block + name, 1 - (row + 0.5) / rows
        style = dict(ha="right", va="center", fontsize=9.5, color=drawing.INK)
        figure.text((at - 0.12) / width, middle, titles[index], **style)
        for slot, image in enumerate((query, *others)):
            same = labelled and test.labels[image] == test.labels[query]
            frame = drawing.INK if slot == 0 else drawing.MATCH if same else drawing.LINE
            left = at + slot + (_GAP if slot else 0) + 0.05
            axes = figure.add_axes([left / width, middle - 0.45 / rows, 0.9 / width, 0.9 / rows])
            [pixels] = dataset.shown(test, np.array([image]))
            axes.imshow(drawing.coloured(pixels), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(color=frame, linewidth=0.8 if frame == drawing.LINE else 1.8)
    return drawing.pixels(figure)


def _title(label: int, labelled: bool, classes: Sequence[str] | None) -> str:
    if not labelled:
        return ""
    return drawing.plain(classes[label] if classes else f"class {label}")
