"""The summary of a run in one sentence, computed from the rows of its results."""

from collections.abc import Mapping, Sequence
from typing import Any

from dim_jax.report import tables, vocabulary

_PAPER = "_paper"  # the end of the key of an evaluation with the published protocol
_OTHERS = {
    "untrained": "the untrained encoder",
    "pixels": "raw pixels",
    tables.MAJORITY: "always predicting the more frequent value",
}


def sentence(results: Mapping[str, Any]) -> str:
    """The main number of a run and its distances to the controls, as plain text.

    The main number is an accuracy of the trained encoder with a published counterpart, if there is
    one: at y (without a y: at the last tap) in the MLP probe with all labels (without one: in the
    first evaluation), on the run's data rather than on others. Test images that were trained on are
    counted at the end. A published number that was measured otherwise is marked: the table says in
    what.
    """
    groups = tables.groups(results.get("rows", ()))
    group = _choose_group(groups)
    if group is None:
        return _describe_training(results)
    text = _describe(groups, group)
    if " published: " in text and results.get("published_differs"):
        text += ", measured otherwise"
    return f"{text}{_describe_trained_on(results, group)}."


def _describe(groups: Sequence[tables.Group], group: tables.Group) -> str:
    tap = _choose_tap(groups, group)
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
        return f"{', '.join(parts)}; published: {published} %"
    return f"{', '.join(parts)}{_describe_published_form(groups, group, tap)}"


def _describe_published_form(groups: Sequence[tables.Group], main: tables.Group, tap: str) -> str:
    """The same tap under the published protocol, which is an evaluation beside the main one."""
    group = _published_form(groups, main)
    row = group and group.row("trained", tap)
    published = tables.published_text(group.published(tap)) if group else ""
    if row and published:
        value = tables.percent(row["value"])
        return f"; {value} % under {group.protocol}, published: {published} %"
    return ""


def _describe_trained_on(results: Mapping[str, Any], group: tables.Group) -> str:
    """The number of test images that are training images, "" if there are none."""
    run = results.get("run", {})
    shared, count = (run.get(key) for key in ("test_examples_trained_on", "test_examples"))
    if not shared or not count or group.dataset:
        return ""
    return f"; {shared:,} of the {count:,} test images are training images"


def _published_form(groups: Sequence[tables.Group], main: tables.Group) -> tables.Group | None:
    """The group of the published protocol beside another one, such as mlp_paper beside mlp."""
    name, few = f"{main.evaluation}{_PAPER}", main.few_labels
    named = [each for each in groups if each.evaluation == name and each.few_labels == few]
    return named[0] if named else None


def _choose_group(groups: Sequence[tables.Group]) -> tables.Group | None:
    candidates = [
        group for group in groups if _choose_tap(groups, group) is not None and not group.permuted
    ]
    names = {group.evaluation for group in candidates}
    return min(
        candidates,
        key=lambda group: (
            not _published_taps(groups, group),
            bool(group.dataset),
            group.few_labels,
            group.evaluation.removesuffix(_PAPER) in names - {group.evaluation},
            group.evaluation != "mlp",
            group.metric != "accuracy",
        ),
        default=None,
    )


def _choose_tap(groups: Sequence[tables.Group], group: tables.Group) -> str | None:
    """y, or else the last tap, of those with a published number if there are some."""
    taps = _published_taps(groups, group) or _taps(group)
    return "y" if "y" in taps else next(reversed(taps), None)


def _taps(group: tables.Group) -> list[str]:
    """The taps at which the trained encoder has an accuracy."""
    rows = [group.row("trained", tap) for tap in group.taps]
    return [row["tap"] for row in rows if row and tables.is_number(row["value"])]


def _published_taps(groups: Sequence[tables.Group], group: tables.Group) -> list[str]:
    """Those of them that have a published number, here or under the published protocol."""
    forms = [group, _published_form(groups, group)]
    return [tap for tap in _taps(group) if any(form and _has(form, tap) for form in forms)]


def _has(group: tables.Group, tap: str) -> bool:
    return tap in _taps(group) and group.published(tap) is not None


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
