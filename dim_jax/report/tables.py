"""The rows of results.json as tables, for the console and the report page.

A row is one number: an evaluation under a protocol, on one tap of one representation. Accuracies
are grouped into tables (one group per evaluation, protocol, label budget, split and data set), all
other metrics into measures. The data set is "" where it is that of the run. A `control` is a
representation without an encoder (raw pixels, PCA): its only tap has the name of the
representation, and it is compared with every tap of the encoders. The metric "majority", the
accuracy of always predicting the more frequent value, becomes a control too.
"""

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dim_jax.report import vocabulary

Row = Mapping[str, Any]

_ORDER = ("trained", "untrained", "pixels", "pca")
PERMUTED = ", permuted"  # the end of `labels` in a row of that control
_ACCURACIES = {"accuracy": "", "balanced_accuracy": ", balanced accuracy"}  # addition to a title
MAJORITY = "majority"


@dataclasses.dataclass(frozen=True)
class Group:
    """The accuracies of one evaluation under one protocol, label budget, split and data set.

    metric: the kind of accuracy, "accuracy" or "balanced_accuracy".
    """

    evaluation: str
    protocol: str
    labels: str
    split: str
    dataset: str
    metric: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """The title of the evaluation, with another data set than the run's."""
        title = vocabulary.evaluation_title(self.evaluation) + _ACCURACIES[self.metric]
        return f"{title}, on {self.dataset}" if self.dataset else title

    @property
    def setting(self) -> str:
        """Protocol, labels and number of fits, such as "mlp-v1 · all labels · 3 fits"."""
        fits = sorted({row.get("fits") or 1 for row in self.rows})
        count = f"{fits[0]}" if len(fits) == 1 else f"{fits[0]}-{fits[-1]}"
        parts = (
            self.protocol,
            vocabulary.labels_title(self.labels),
            f"{count} fits" if fits[-1] > 1 else "1 fit",
            "" if self.split == "test" else f"{self.split} split",
        )
        return " · ".join(part for part in parts if part)

    @property
    def own_classifier(self) -> bool:
        """True for the method's own classifier, in contrast to a probe fitted to features."""
        return vocabulary.is_own(self.evaluation)

    @property
    def few_labels(self) -> bool:
        """True if the probes were fitted to only a part of the labels."""
        return self.labels.partition(",")[0] != "all"

    @property
    def permuted(self) -> bool:
        """True for the control with permuted training labels, which should be near chance."""
        return self.labels.endswith(PERMUTED)

    @property
    def representations(self) -> tuple[str, ...]:
        """The representations that have a row, the trained encoder first."""
        return _in_order({row["representation"]: None for row in self.rows})

    @property
    def controls(self) -> tuple[str, ...]:
        """The representations that have no tap in common with an encoder."""
        taps = set(self.taps)
        encoders = {row["representation"] for row in self.rows if row["tap"] in taps}
        return tuple(name for name in self.representations if name not in encoders)

    @property
    def taps(self) -> tuple[str, ...]:
        """The encoders' taps in the order of the rows."""
        return tuple({row["tap"]: None for row in self.rows if row["tap"] != row["representation"]})

    def row(self, representation: str, tap: str) -> Row | None:
        """The row of a representation at a tap; for a control, its only row."""
        row_tap = representation if representation in self.controls else tap
        rows = [
            row
            for row in self.rows
            if row["representation"] == representation and row["tap"] == row_tap
        ]
        return rows[-1] if rows else None

    def published(self, tap: str) -> float | None:
        """The published accuracy in percent at a tap, None if there is none."""
        values = [row.get("published") for row in self.rows if row["tap"] == tap]
        return next((value for value in values if value is not None), None)

    def dim(self, tap: str) -> int | None:
        """The number of features at a tap, None if no row states it."""
        return next((row["dim"] for row in self.rows if row["tap"] == tap and row.get("dim")), None)

    def best(self) -> Row | None:
        """The row with the largest accuracy; None for permuted labels."""
        rows = [row for row in self.rows if is_number(row["value"]) and not self.permuted]
        return max(rows, key=lambda row: row["value"], default=None)


@dataclasses.dataclass(frozen=True)
class Measure:
    """A metric that is not an accuracy, for each representation on which it was computed.

    `values` has the key "published" too if the paper reports the number, in the same unit.
    """

    evaluation: str
    setting: str
    dataset: str
    tap: str
    metric: str
    values: Mapping[str, float | None]

    @property
    def title(self) -> str:
        """The title of the metric, with its tap, and with another data set than the run's."""
        title = vocabulary.metric_title(self.metric)
        title = f"{title}, {self.tap}" if self.tap else title
        return f"{title}, on {self.dataset}" if self.dataset else title

    @property
    def meaning(self) -> str:
        """The interpretation of the number; empty for unknown metrics."""
        return vocabulary.metric_meaning(self.metric)


def as_accuracy(row: Row) -> Row:
    """The row of a majority as the accuracy of a control; other rows as they are."""
    if row["metric"] != MAJORITY:
        return row
    control = {"representation": MAJORITY, "tap": MAJORITY, "dim": None}
    return {**row, **control, "metric": "accuracy"}


def is_accuracy(metric: str) -> bool:
    """Whether a metric is a kind of accuracy."""
    return metric in _ACCURACIES


def groups(rows: Iterable[Row]) -> list[Group]:
    """The accuracies by evaluation, protocol, labels, split, data set and kind.

    Groups with all labels come before those with few, and permuted labels come last.
    """
    by_key: dict[tuple[str, ...], list[Row]] = {}
    for row in map(as_accuracy, rows):
        if is_accuracy(row["metric"]):
            key = (
                row["eval"],
                row.get("protocol") or "",
                row.get("labels") or "all",
                row.get("split") or "test",
                row.get("dataset") or "",
                row["metric"],
            )
            group = by_key.setdefault(key, [])
            if row not in group:  # a majority is the same for every tap and representation
                group.append(row)
    groups = [Group(*key, tuple(group)) for key, group in by_key.items()]
    return sorted(groups, key=lambda group: (group.permuted, group.few_labels))


def measures(rows: Iterable[Row]) -> list[Measure]:
    """The metrics that are not accuracies, in the order of the rows."""
    by_key: dict[tuple[str, ...], dict[str, float | None]] = {}
    for row in rows:
        if not is_accuracy(as_accuracy(row)["metric"]):
            labels = row.get("labels") or "all"
            parts = (
                row.get("protocol") or "",
                "" if labels == "all" else vocabulary.labels_title(labels),
            )
            setting = " · ".join(part for part in parts if part)
            dataset = row.get("dataset") or ""
            key = (row["eval"], setting, dataset, row.get("tap") or "", row["metric"])
            values = by_key.setdefault(key, {})
            values[row["representation"]] = row["value"]
            if row.get("published") is not None:
                values["published"] = row["published"]
    return [
        Measure(*key, {name: values[name] for name in _in_order(values)})
        for key, values in by_key.items()
    ]


def columns(tables: Sequence[Group]) -> tuple[str, ...]:
    """The representations of several groups, in a common order."""
    return _in_order({name: None for group in tables for name in group.representations})


def has_published(tables: Iterable[Group]) -> bool:
    """True if any number of the groups has a published counterpart."""
    return any(group.published(tap) is not None for group in tables for tap in group.taps)


def published_note(results: Mapping[str, Any]) -> str:
    """Source of published numbers and how they were measured otherwise; "" if nothing says."""
    source, differs = results.get("published_source"), results.get("published_differs")
    return ". ".join(filter(None, (f"Published: {source}" if source else "", differs)))


def representation_title(name: str, tables: Sequence[Group]) -> str:
    """The heading of a column: the representation, with the dimension of PCA."""
    dims = {group.dim(name) for group in tables} - {None}
    if name == "pca":
        return f"PCA-{dims.pop()}" if len(dims) == 1 else "PCA"
    return name.capitalize()


def percent(value: float | None) -> str:
    """A fraction as a percentage with one decimal, without the percent sign."""
    return f"{100 * value:.1f}" if is_number(value) else "–"


def spread(row: Row) -> str:
    """The standard deviation in percentage points; empty if there is none."""
    return f"±{100 * row['std']:.1f}" if is_number(row.get("std")) else ""


def published_text(value: float | None) -> str:
    """A published percentage as in the paper."""
    return f"{value:g}" if is_number(value) else ""


def metric_text(metric: str, value: float | None) -> str:
    """The value of any metric with its unit."""
    if not is_number(value):
        return "–"
    if vocabulary.is_share(metric):
        return f"{percent(value)} %"
    is_count = float(value).is_integer() and 1000 <= abs(value) < 1e9
    return f"{value:,.0f}" if is_count else f"{value:.3g}"


def is_number(value: Any) -> bool:
    """True for a number that is finite as a float."""
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    ordered = [name for name in _ORDER if name in names]
    return (*ordered, *(name for name in names if name not in _ORDER))
