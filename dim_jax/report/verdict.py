"""The summary of a run in one sentence, computed from the rows of its results."""

from collections.abc import Mapping, Sequence
from typing import Any

from dim_jax.report import tables, vocabulary

_OTHERS = {
    "untrained": "the untrained encoder",
    "pixels": "raw pixels",
    tables.MAJORITY: "always predicting the more frequent value",
}


def sentence(results: Mapping[str, Any]) -> str:
    """The main number of a run and its distances to the controls, as plain text.

    The main number is the accuracy of the trained encoder at y (without a y: at its last tap)
    in the MLP probe with all labels (without one: in the first evaluation), on the run's data
    rather than on others.
    """
    groups = tables.groups(results.get("rows", ()))
    group = _choose_group(groups)
    if group is None:
        return _describe_training(results)
    tap = _choose_tap(group)
    row = group.row("trained", tap)
    phrase = vocabulary.evaluation_phrase(group.evaluation)
    few = f" on {vocabulary.labels_title(group.labels)}" if group.few_labels else ""
    on = f" on {group.dataset}" if group.dataset else ""
    parts = [f"{tap}: {tables.percent(row['value'])} % with {phrase}{few}{on}"]
    distances = _distances(group, tap, row["value"])
    if distances:
        parts.append(_join(distances))
    published = tables.published_text(group.published(tap))
    if published:
        return f"{', '.join(parts)}; published: {published} %."
    return f"{', '.join(parts)}{_describe_published_form(groups, group, tap)}."


def _describe_published_form(groups: Sequence[tables.Group], main: tables.Group, tap: str) -> str:
    """The same tap under the published protocol, which is an evaluation beside the main one."""
    for group in groups:
        row, published = group.row("trained", tap), tables.published_text(group.published(tap))
        if group.evaluation == f"{main.evaluation}_paper" and row and published:
            value = tables.percent(row["value"])
            return f"; {value} % under {group.protocol}, published: {published} %"
    return ""


def _choose_group(groups: Sequence[tables.Group]) -> tables.Group | None:
    candidates = [
        group for group in groups if _choose_tap(group) is not None and not group.permuted
    ]
    return min(
        candidates,
        key=lambda group: (
            bool(group.dataset),
            group.few_labels,
            group.evaluation != "mlp",
            group.metric != "accuracy",
        ),
        default=None,
    )


def _choose_tap(group: tables.Group) -> str | None:
    rows = [group.row("trained", tap) for tap in group.taps]
    taps = [row["tap"] for row in rows if row and tables.is_number(row["value"])]
    return "y" if "y" in taps else next(reversed(taps), None)


def _distances(group: tables.Group, tap: str, value: float) -> list[str]:
    """ "20.3 points above the untrained encoder" and so on, from the rounded numbers."""
    texts, unit = [], " points"
    for name in group.representations:
        other = group.row(name, tap)
        if name == "trained" or other is None or not tables.is_number(other["value"]):
            continue
        points = round(100 * value, 1) - round(100 * other["value"], 1)
        title = _OTHERS.get(name, name)
        if name == "pca":
            title = tables.representation_title(name, [group])
        size = f"{abs(points):.1f}"
        if size == "0.0":
            texts.append(f"level with {title}")
            continue
        texts.append(f"{size}{unit} {'above' if points > 0 else 'below'} {title}")
        unit = ""
    return texts


def _join(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def _describe_training(results: Mapping[str, Any]) -> str:
    run = results.get("run", {})
    steps, dataset = run.get("steps"), run.get("dataset")
    if not steps:
        return "No probe accuracies in this run."
    place = f" on {dataset}" if dataset else ""
    return f"Trained for {steps:,} steps{place}; no probe accuracies in this run."
