"""From the results of an evaluation to the rows of results.json, figures and a line of output."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dim_jax.evaluate import cache, plan

Row = dict[str, Any]


class Figure(NamedTuple):
    """A picture for the report: file name, title, caption, and the image u8[h,w,3]."""

    file: str
    title: str
    caption: str
    image: np.ndarray


def rows(
    entry: plan.Entry,
    representation: str,
    results: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
) -> Iterator[Row]:
    """One row for each scalar among the results; `shapes` is that of one example by tap.

    "dataset" is None where it is that of the run.
    """
    protocol = entry.evaluation.defaults.get("protocol")
    labels = _labels(entry)
    for key, value in results.items():
        if np.ndim(value) > 0 or key.endswith(("_std", "_fits")):
            continue
        tap, _, metric = key.rpartition("/")
        yield {
            "eval": entry.key,
            "protocol": entry.options.get("protocol", protocol),
            "representation": representation,
            "tap": tap,
            "dim": math.prod(shapes[tap]) if tap in shapes else None,
            "labels": labels,
            "metric": metric,
            "value": float(value),
            "std": results.get(f"{key}_std"),
            "fits": results.get(f"{key}_fits", 1),
            "split": tap if entry.evaluation.of_splits else "test",
            "dataset": entry.data and entry.data["name"],
            "published": None,
        }


_ALL_LABELS = re.compile(r"all(, \d+ augmentations?)?")


def _labels(entry: plan.Entry) -> str:
    """Such as "all", "10 per class", "all, permuted", "all, mean of 16 views".

    "all, 30 augmentations": one of them in each pass over the training images.
    """
    options = entry.options
    per_class, views = options.get("labels_per_class"), options.get("views")
    budget = "all" if per_class is None else f"{per_class} per class"
    if views is not None:
        budget += ", one random view" if views == 1 else f", mean of {views} views"
    if (copies := options.get("augmentations")) is not None:
        budget += f", {copies} augmentation" + ("s" if copies > 1 else "")
    # In the place of a protocol's number; elsewhere they are the sizes of a sum.
    if options.get("images") is not None and entry.evaluation.defaults["images"] is None:
        budget += f", {options['images']:,} images"
    if options.get("against", "train") != "train":
        budget += f", against {options['against']} images"
    return f"{budget}, permuted" if options.get("permuted") else budget


def takes_published(entry: plan.Entry) -> bool:
    """Whether rows of an entry can have a published number (see `published_value`)."""
    of_trained = entry.representations is None or plan.TRAINED in entry.representations
    return of_trained and _ALL_LABELS.fullmatch(_labels(entry)) is not None


def published_value(published: Mapping[str, Mapping[str, float]], row: Row) -> float | None:
    """The published number of a row of the trained representation with all labels, or None.

    Args:
      published: {key of the entry: {tap, or tap/metric where that is no accuracy: number}}.
    """
    if row["representation"] != plan.TRAINED or not _ALL_LABELS.fullmatch(row["labels"]):
        return None
    name = row["tap"] if row["metric"] == "accuracy" else f"{row['tap']}/{row['metric']}"
    return published.get(row["eval"], {}).get(name)


def figures(entry: plan.Entry, representation: str, results: Mapping[str, Any]) -> Iterator[Figure]:
    """One figure for each image among the results."""
    for key, image in results.items():
        if np.ndim(image) != 3:
            continue
        file, (title, caption) = f"{key}.png", entry.evaluation.figures[key]
        if representation != plan.TRAINED:  # several representations, several files
            file, title = f"{representation}_{file}", f"{title}: {representation}"
        if entry.data is not None:
            file, title = f"{entry.key}_{file}", f"{title}, on {entry.data['name']}"
        yield Figure(file, title, caption, image)


def line(entry: plan.Entry, representation: str, finished: cache.Finished, origin: str) -> str:
    """Such as "mlp      trained    conv 53.1  fc 51.0  y 50.2   12.3 s".

    `origin` says where results come from that were not computed now.
    """
    shown = [
        f"{row['tap']} {100 * row['value']:.1f}"
        if row["metric"] == "accuracy"
        else f"{row['tap']} {row['metric']} {row['value']:.3f}"
        for row in finished.rows
    ]
    # The name that the evaluation gave it, without the representation.
    shown += [figure["file"].removeprefix(f"{representation}_") for figure in finished.figures]
    took = f"{finished.seconds:.1f} s{', ' if origin else ''}{origin}"
    return f"{entry.key:12} {representation:10} {'  '.join(shown)}  ({took})"
