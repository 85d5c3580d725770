"""report.html: a self-contained page of a run, generated from the run folder."""

import html
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dim_jax.report import (
    collapse,
    curves,
    parts,
    probes,
    results,
    tables,
    verdict,
    vocabulary,
    writers,
)
from dim_jax.rundir import writing

_SIGNS = (
    "Numbers without labels, of batches as they are trained on. rank: directions that the features "
    "of images take; rank_share: relative to the largest number possible. deviation: 1 if "
    "directions differ as random ones, 0 if all are equal. uniformity: smaller is more even. "
    "alignment: 0 if two views of an image have equal features. grad_norm: before clipping."
)


def write_html(workdir: str | os.PathLike) -> pathlib.Path:
    """Writes `report.html` into a run folder and returns its path.

    Reads config.json, metrics.jsonl, results.json and figures/; the parts of missing files are
    omitted. The page needs no other file and no network.

    Raises:
      UserError: results.json is damaged; an older report stays.
    """
    folder = pathlib.Path(workdir)
    path = folder / "results.json"
    finished = results.read_results(path) if path.exists() else {}
    config = _read_json(folder / "config.json")
    rows = writers.read_rows(folder / "metrics.jsonl")
    path = folder / "report.html"
    writing.replace_text(path, _page(folder, finished, config, rows))
    return path


def _page(
    folder: pathlib.Path,
    results: Mapping[str, Any],
    config: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
) -> str:
    run = results.get("run") or {}
    name = run.get("config") or folder.resolve().name
    figures = parts.pictures(folder / "figures", results.get("figures") or ())
    body = [
        _header(name, run, f"{verdict.sentence(results)} {collapse.at_end(rows)}".strip()),
        _probe_sections(results),
        parts.section("Training", _curve_lead(rows), parts.charts(rows)),
        parts.section("Is it learning?", _SIGNS, parts.charts(rows, signs=True)),
        _measure_section(results),
        parts.section("What it has learned", "", figures),
        parts.section("Notes", "", parts.notes(run.get("notes") or ())),
        parts.section("Run", "", parts.facts(run, config) + parts.config(config)),
    ]
    return parts.document(f"{name}: report", body)


def _header(name: str, run: Mapping[str, Any], sentence: str) -> str:
    dataset = run.get("dataset")
    source = run.get("config_string")
    numbers = re.sub(r"(-?\d+\.\d+( %)?)", r"<strong>\1</strong>", html.escape(sentence))
    eyebrow = f"<p class='eyebrow'><code>{html.escape(source)}</code></p>" if source else ""
    on = f" <span>on {html.escape(dataset)}</span>" if dataset else ""
    return (
        f"<header>{eyebrow}<h1>{html.escape(name)}{on}</h1>"
        f"<p class='verdict'>{numbers}</p>{parts.tiles(run)}</header>"
    )


def _probe_sections(results: Mapping[str, Any]) -> str:
    groups = tables.groups(results.get("rows") or ())
    sections = []
    for title, kind in (
        ("The method's own classifier", (True, False, False)),
        ("Probes with all labels", (False, False, False)),
        ("Probes with few labels", (False, False, True)),
        ("Control: permuted training labels", (False, True, False)),
        ("Control: few labels, permuted", (False, True, True)),
    ):
        chosen = [
            group
            for group in groups
            if (group.own_classifier, group.permuted, group.few_labels) == kind
        ]
        if chosen:
            published = _source(results) if tables.has_published(chosen) else ""
            sections.append(
                parts.section(
                    title,
                    _probe_lead(chosen),
                    probes.table(chosen) + published,
                )
            )
    return "".join(sections)


def _measure_section(results: Mapping[str, Any]) -> str:
    measures = tables.measures(results.get("rows") or ())
    note = any("published" in measure.values for measure in measures)
    return parts.section(
        "Other measures", "", parts.measures(measures) + (_source(results) if note else "")
    )


def _source(results: Mapping[str, Any]) -> str:
    """The source of the published numbers, and how they were measured otherwise."""
    note = tables.published_note(results)
    return f"<p class='source'>{html.escape(note)}</p>" if note else ""


def _probe_lead(groups: Sequence[tables.Group]) -> str:
    if all(group.own_classifier for group in groups):
        return "Accuracy in percent of the classifier that was trained together with the encoder."
    splits = " or ".join(dict.fromkeys(group.split for group in groups))
    if any(group.permuted for group in groups):
        return f"Accuracy in percent on the {splits} split, which must stay near chance."
    spread = any(tables.spread(row) for group in groups for row in group.rows)
    majority = tables.MAJORITY in tables.columns(groups)
    tuned = any(group.evaluation.startswith("finetune") for group in groups)
    features = "frozen features, except for fine-tuning" if tuned else "frozen features"
    return (
        f"Accuracy in percent on the {splits} split, on {features}"
        f"{'; ± is the standard deviation over fits' if spread else ''}"
        f"{'; majority is always predicting the more frequent value' if majority else ''}."
    )


def _curve_lead(rows: Sequence[Mapping[str, Any]]) -> str:
    smooth = len(rows) >= curves.SMOOTH_FROM
    lines = "Thin lines: every logged value. Thick lines: running mean." if smooth else ""
    return f"{lines} {vocabulary.describe_curves(parts.metric_names(rows))}".strip()


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
