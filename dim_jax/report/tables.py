"""The rows of results.json as tables: what the console and the page have in common.

A row is one number: an evaluation under a protocol, on one tap of one representation. Accuracies
are grouped into tables (one group per evaluation, protocol, label budget and split), all other
metrics into measures. A `control` is a representation without an encoder (raw pixels, PCA): its
only tap carries its own name, so it is compared with every tap of the encoders. The metric
"majority", the accuracy of saying the commoner value, whatever the image, becomes such a control.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

_ORDER = ("trained", "untrained", "pixels", "pca")
_EVALUATIONS = {  # name up to the first "_" ("mlp_few") -> title, phrase in a sentence
    "mlp": ("MLP probe", "an MLP probe"),
    "linear": ("Linear probe", "a linear probe"),
    "svm": ("Linear SVM", "a linear SVM"),
    "knn": ("k nearest neighbours", "a vote of the k nearest neighbours"),
    "attributes": ("Binary attributes", "a linear classifier for each attribute"),
    "classifier": ("Its own classifier", "its own classifier"),
    "finetune": ("Fine-tuned encoder", "fine-tuning of the whole encoder"),
}
_METRICS = {  # name -> title, what the number is
    "kolmogorov_uniform": (
        "Distance to the uniform prior",
        "Kolmogorov distance, mean over coordinates; 0 = the prior exactly",
    ),
    "kolmogorov_gaussian": (
        "Distance to the Gaussian prior",
        "Kolmogorov distance, mean over coordinates; 0 = the prior exactly",
    ),
    "kolmogorov_uniform_passed": (
        "Coordinates like the uniform prior",
        "Share that Kolmogorov's test with 500 test images does not reject at level 0.01",
    ),
    "kolmogorov_gaussian_passed": (
        "Coordinates like the Gaussian prior",
        "Share that Kolmogorov's test with 500 test images does not reject at level 0.01",
    ),
    "mine": (
        "Information with the image, by MINE",
        "Donsker-Varadhan value in nats on test images; compare under one protocol only",
    ),
    "ndm": (
        "Dependence among coordinates, by NDM",
        "Donsker-Varadhan value in nats on test images; 0 = independent coordinates",
    ),
    "ndm_of_draws": (
        "The same of drawn codes",
        "Of one draw from each test image's posterior, on which the prior acts, not of its mean",
    ),
    "ndm_after_sigmoid": (
        "The same after the sigmoid",
        "On which the uniform prior acts; the truth is the same, the critic sees other numbers",
    ),
    "retrieval": (
        "Retrieval",
        "Anchors whose own candidate has the highest score among those of other test images",
    ),
    "retrieval_chance": ("Retrieval by chance", "One in the number of candidates"),
    "nats": (
        "Information",
        "Nats: InfoNCE of the critics' scores on test images, a lower bound; at most the logarithm "
        "of the number of candidates",
    ),
    "bound": (
        "Information with the seed patch",
        "Nats: a lower bound, log N - cross-entropy of one of N patches on fresh transformations; "
        "logits: the method's own softmax, others: a linear one fitted to the frozen features",
    ),
    "bound_ceiling": ("The most of that information", "Nats: the logarithm of N"),
    "surrogate_accuracy": (
        "Seed patches recognised",
        "Share of the transformed patches that are classified as their own",
    ),
    "mean_loss": (
        "Surrogate loss of the mean",
        "Nats: the cross-entropy of the logits' mean over transformations; smaller is better",
    ),
    "variation": (
        "Surrogate loss of the variation",
        "Nats: what transformations add to it; 0 = logits that they do not change",
    ),
    "purity@4_sigmoid": (
        "The same after the sigmoid",
        "Neighbours among sigmoid(y), on which the uniform prior acts",
    ),
    "purity@4": (
        "Class purity of four neighbours",
        "Share of the four nearest test images that have the class of the query",
    ),
    "ms_ssim": (
        "MS-SSIM of reconstructions",
        "Likeness of test images and what a decoder makes of the features; 1 = equal",
    ),
    "ms_ssim_scales": ("Scales of that MS-SSIM", "As many as the size of the images admits"),
    "ssim_dim_compat": (
        "The released DIM code's MS-SSIM",
        "Single-scale with a nearly flat window; the one to compare with DIM's table",
    ),
    "attributes_judged": (
        "Attributes judged",
        "Those that have both values among the training and the test images that were used",
    ),
    "reconstruction_error": (
        "Reconstruction error",
        "Mean squared error of decoded test images, pixels in [-1, 1]; smaller is better",
    ),
    "code_recovery": (
        "Recovery of drawn codes",
        "Cosine of E(G(z)) and z, mean over draws of the prior; 1 = recovered, 0 = not at all",
    ),
    "code_recovery_chance": (
        "Recovery of drawn codes, by chance",
        "The same with another code in the place of z",
    ),
    "code_error": (
        "Error of recovered codes",
        "Squared distance of E(G(z)) to z over that to another code; 0 = recovered, 1 = chance",
    ),
    "image_error": (
        "Error of regenerated images",
        "Mean squared error of a pixel of G(E(x)) against x; read it beside the next number",
    ),
    "image_error_random": (
        "Error against other images",
        "The same of G(E(x)) against another test image",
    ),
    "rate": ("Rate", "KL divergence of the posterior from the prior, nats for each test image"),
    "elbo": ("Evidence lower bound", "Nats for each test image, of the model with beta 1"),
    "importance_weighted_bound": (
        "Importance-weighted bound",
        "A tighter bound of the same evidence in nats, never below the ELBO of the same draws",
    ),
    "active_coordinates": (
        "Active coordinates",
        "Those whose posterior mean varies by more than 0.01 over test images",
    ),
    "entropy": (
        "Entropy of the mean response",
        "Nats; at most the logarithm of the number of channels, where all are used equally often",
    ),
    "entropy_fraction": (
        "The same of its maximum",
        "Share of the logarithm of the number of channels",
    ),
    "information": (
        "Information of patch and embedding",
        "Nats: a lower bound on test images; at most the logarithm of those compared",
    ),
    "information_shuffled": (
        "The same of pairs that do not belong together",
        "Not above 0 but for chance; far below it where embeddings are sure",
    ),
    "information_ceiling": ("Largest such information", "The logarithm of the images compared"),
    "used": (
        "Channels in use",
        "Share of those with more than a tenth of an even share of the mean response",
    ),
    "positions": (
        "Distinct positions",
        "Channels in use that lie further apart than 1 % of the span of all of them",
    ),
    "order": (
        "Order of the filters",
        "Rank correlation of the distances of positions and the unlikeness of filters; 0 = none",
    ),
}
_PERMUTED = ", permuted"  # the end of `labels` in a row of that control
_PERCENT = ("accuracy", "purity", "retrieval", "surrogate_accuracy", "entropy_fraction", "used")
_ACCURACIES = {"accuracy": "", "balanced_accuracy": ", balanced accuracy"}  # addition to a title
MAJORITY = "majority"


@dataclasses.dataclass(frozen=True)
class Group:
    """The accuracies of one evaluation under one protocol, label budget and split.

    metric: what kind of accuracy it is, "accuracy" or "balanced_accuracy".
    """

    evaluation: str
    protocol: str
    labels: str
    split: str
    metric: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """The name of the evaluation as people write it."""
        return evaluation_title(self.evaluation) + _ACCURACIES[self.metric]

    @property
    def setting(self) -> str:
        """Protocol, labels and fits in a few words, such as "mlp-v1 · all labels · 3 fits"."""
        fits = sorted({row.get("fits") or 1 for row in self.rows})
        count = f"{fits[0]}" if len(fits) == 1 else f"{fits[0]}-{fits[-1]}"
        parts = (
            self.protocol,
            labels_title(self.labels),
            f"{count} fits" if fits[-1] > 1 else "1 fit",
            "" if self.split == "test" else f"{self.split} split",
        )
        return " · ".join(part for part in parts if part)

    @property
    def few_labels(self) -> bool:
        """True if the probes saw a part of the labels only."""
        return self.labels.partition(",")[0] != "all"

    @property
    def permuted(self) -> bool:
        """True for the control whose training labels were permuted, to be near chance."""
        return self.labels.endswith(_PERMUTED)

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
        """The row of a representation at a tap; a control's only row answers for every tap."""
        own = representation if representation in self.controls else tap
        found = [
            row
            for row in self.rows
            if row["representation"] == representation and row["tap"] == own
        ]
        return found[-1] if found else None

    def published(self, tap: str) -> float | None:
        """The published accuracy in percent at a tap, None if there is none."""
        values = [row.get("published") for row in self.rows if row["tap"] == tap]
        return next((value for value in values if value is not None), None)

    def dim(self, tap: str) -> int | None:
        """The number of features at a tap, None if no row states it."""
        return next((row["dim"] for row in self.rows if row["tap"] == tap and row.get("dim")), None)

    def best(self) -> Row | None:
        """The row of the largest accuracy; none where labels were permuted."""
        rows = [row for row in self.rows if is_number(row["value"]) and not self.permuted]
        return max(rows, key=lambda row: row["value"], default=None)


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number that is not an accuracy, for each representation it was computed on.

    `values` has the key "published" too where the paper prints the number, in the same unit.
    """

    evaluation: str
    setting: str
    tap: str
    metric: str
    values: Mapping[str, float | None]

    @property
    def title(self) -> str:
        """What the number is of, in a few words."""
        title = _METRICS.get(self.metric, (self.metric, ""))[0]
        return f"{title}, {self.tap}" if self.tap else title

    @property
    def meaning(self) -> str:
        """How to read the number; nothing for a metric that is not known here."""
        return _METRICS.get(self.metric, ("", ""))[1]


def groups(rows: Iterable[Row]) -> list[Group]:
    """The accuracies by evaluation, protocol, labels, split and kind.

    All labels before few, and permuted ones last.
    """
    found: dict[tuple[str, str, str, str, str], list[Row]] = {}
    for row in rows:
        if row["metric"] == MAJORITY:
            control = {"representation": MAJORITY, "tap": MAJORITY, "dim": None}
            row = {**row, **control, "metric": "accuracy"}
        if row["metric"] in _ACCURACIES:
            key = (
                row["eval"],
                row.get("protocol") or "",
                row.get("labels") or "all",
                row.get("split") or "test",
                row["metric"],
            )
            group = found.setdefault(key, [])
            if row not in group:  # a majority is the same for every tap and representation
                group.append(row)
    made = [Group(*key, tuple(group)) for key, group in found.items()]
    return sorted(made, key=lambda group: (group.permuted, group.few_labels))


def measures(rows: Iterable[Row]) -> list[Measure]:
    """Everything that is not an accuracy, in the order of the rows."""
    found: dict[tuple[str, str, str, str], dict[str, float | None]] = {}
    for row in rows:
        if row["metric"] not in (*_ACCURACIES, MAJORITY):
            few = row.get("labels") or "all"
            parts = (row.get("protocol") or "", "" if few == "all" else labels_title(few))
            setting = " · ".join(part for part in parts if part)
            key = (row["eval"], setting, row.get("tap") or "", row["metric"])
            values = found.setdefault(key, {})
            values[row["representation"]] = row["value"]
            if row.get("published") is not None:
                values["published"] = row["published"]
    return [
        Measure(*key, {name: values[name] for name in _in_order(values)})
        for key, values in found.items()
    ]


def columns(tables: Sequence[Group]) -> tuple[str, ...]:
    """The representations of several groups, in one order for all."""
    return _in_order({name: None for group in tables for name in group.representations})


def has_published(tables: Iterable[Group]) -> bool:
    """True if any number of the groups has a published one beside it."""
    return any(group.published(tap) is not None for group in tables for tap in group.taps)


def representation_title(name: str, tables: Sequence[Group]) -> str:
    """A column's heading: the representation, and for PCA its dimension."""
    dims = {group.dim(name) for group in tables} - {None}
    if name == "pca":
        return f"PCA-{dims.pop()}" if len(dims) == 1 else "PCA"
    return name.capitalize()


def labels_title(labels: str) -> str:
    """The label budget in words: "all labels", "10 labels per class", "all labels, permuted"."""
    budget, comma, more = labels.partition(",")
    if budget == "all":
        budget = "all labels"
    elif budget.endswith("per class"):
        budget = f"{budget.split(' ')[0]} labels per class"
    return budget + comma + more


def evaluation_title(name: str) -> str:
    """An evaluation as a heading: "MLP probe"; its plain name if it is not known here."""
    return _EVALUATIONS.get(name.partition("_")[0], (name, name))[0]


def evaluation_phrase(name: str) -> str:
    """An evaluation inside a sentence: "an MLP probe"."""
    return _EVALUATIONS.get(name.partition("_")[0], (name, name))[1]


def percent(value: float | None) -> str:
    """A fraction as a percentage with one decimal, without the sign."""
    return f"{100 * value:.1f}" if is_number(value) else "–"


def spread(row: Row) -> str:
    """The standard deviation in points, or nothing where there is none."""
    return f"±{100 * row['std']:.1f}" if is_number(row.get("std")) else ""


def published_text(value: float | None) -> str:
    """A published percentage as printed."""
    return f"{value:g}" if is_number(value) else ""


def metric_text(metric: str, value: float | None) -> str:
    """The value of any metric with its unit."""
    if not is_number(value):
        return "–"
    return f"{percent(value)} %" if metric.startswith(_PERCENT) else f"{value:.3g}"


def is_number(value: Any) -> bool:
    """True for a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    known = [name for name in _ORDER if name in names]
    return (*known, *(name for name in names if name not in _ORDER))
