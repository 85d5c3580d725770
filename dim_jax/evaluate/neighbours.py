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
from dim_jax.evaluate import drawing, features

NEEDS_LABELS = False
REPRESENTATIONS = "trained"
TAPS = ("y",)
TITLE = "Nearest neighbours in y"
CAPTION = (
    "Test images, by L1 distance in y: the query in front, then its four closest; a green frame "
    "marks a neighbour of the query's class."
)

_CLOSEST = 4
_SHOWN = 10  # queries in the picture
_MEASURED = 2000  # queries at most for the purity


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
    if labelled:
        measured = np.arange(min(_MEASURED, len(y)))
        for after, rows in (("", y), ("_sigmoid", special.expit(y))):
            same = test.labels[closest(rows, measured)] == test.labels[measured, None]
            results[f"y/purity@{_CLOSEST}{after}"] = float(np.mean(same))
    return results


def closest(rows: np.ndarray, queries: np.ndarray, count: int = _CLOSEST) -> np.ndarray:
    """Positions [q, count] of the rows f[n,d] nearest to rows[queries] in L1, without themselves.

    The nearest comes first.
    """
    count = min(count, len(rows) - 1)
    found = []
    for start in range(0, len(queries), 256):
        part = queries[start : start + 256]
        distances = distance.cdist(rows[part], rows, "cityblock")
        distances[np.arange(len(part)), part] = np.inf
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distances, nearest, axis=1), axis=1)
        found.append(np.take_along_axis(nearest, order, axis=1))
    return np.concatenate(found)


def _queries(labels: np.ndarray, labelled: bool) -> np.ndarray:
    """The first test image of each class, of at most ten classes spread evenly; else the first."""
    if not labelled:
        return np.arange(min(_SHOWN, len(labels)))
    firsts = np.unique(labels, return_index=True)[1]
    spread = np.linspace(0, len(firsts) - 1, min(_SHOWN, len(firsts))).round().astype(int)
    return firsts[spread]


def _picture(test: dataset.Split, queries, found, labelled: bool, classes) -> np.ndarray:
    columns = 2 if len(queries) > 3 else 1
    rows = -(-len(queries) // columns)
    slots = 1 + found.shape[1]
    figure = drawing.new(columns * 4.6, rows * 0.72)
    # In units of one image: a margin for the class name, the query, a gap, the neighbours.
    block, margin, gap = slots + 2.0, 1.25, 0.35
    for index, (query, others) in enumerate(zip(queries, found, strict=True)):
        column, row = divmod(index, rows)
        left = column * block + margin
        if labelled:
            name = classes[test.labels[query]] if classes else f"class {test.labels[query]}"
            _text(figure, left - 0.15, row, name, columns * block, rows)
        for slot, image in enumerate((query, *others)):
            at = left + slot + (gap if slot else 0)
            same = labelled and slot > 0 and test.labels[image] == test.labels[query]
            frame = drawing.INK if slot == 0 else drawing.MATCH if same else drawing.LINE
            box = [
                (at + 0.04) / (columns * block),
                1 - (row + 0.96) / rows,
                0.92 / (columns * block),
                0.92 / rows,
            ]
            _image(
                figure, box, test.images[image], frame, width=1.0 if frame == drawing.LINE else 2.2
            )
    return drawing.pixels(figure)


def _text(figure, x: float, row: int, name: str, width: float, rows: int) -> None:
    figure.text(
        x / width,
        1 - (row + 0.5) / rows,
        name,
        ha="right",
        va="center",
        fontsize=9.5,
        color=drawing.INK,
    )


def _image(figure, box, image: np.ndarray, frame: str, width: float) -> None:
    axes = figure.add_axes(box)
    axes.imshow(drawing.coloured(image), interpolation="nearest", aspect="equal")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=frame, linewidth=width)
