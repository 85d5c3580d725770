"""The smaller parts of the report page, as functions from plain data to HTML."""

import base64
import html
import json
import pathlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dim_jax.report import curves, formats, style, tables

_WIDE_FROM = 1.9  # width over height from which a picture takes the full width of the page
_SIGNS = ("features/", "grad_norm/")  # the beginnings of the names of signs of learning
_PNG = b"\x89PNG\r\n\x1a\n"


def document(title: str, content: Iterable[str], generator: str = "dim_jax.report") -> str:
    """A page with its style sheet and script, which needs no other file and no network.

    Args:
      content: HTML, in its order.
      generator: the module that wrote the page.
    """
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='generator' content='{generator}'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><link rel='icon' href='data:,'>"
        f"<style>{style.CSS}</style></head><body><main>{''.join(content)}</main>"
        f"<script>{style.SCRIPT}</script></body></html>\n"
    )


def section(title: str, lead: str, content: str) -> str:
    """A section with its heading; empty without content."""
    if not content:
        return ""
    text = f"<p>{html.escape(lead)}</p>" if lead else ""
    return f"<section><h2>{html.escape(title)}</h2>{text}{content}</section>"


def tiles(run: Mapping[str, Any]) -> str:
    """The key facts; missing ones are omitted."""
    device, devices = run.get("device"), run.get("devices") or 1
    facts = [
        ("Device", f"{devices} × {device}" if device and devices > 1 else device),
        ("Steps", _format_optional(run.get("steps"), formats.count)),
        ("Epochs", _format_optional(run.get("epochs"), lambda value: f"{value:,.4g}")),
        ("Training time", _format_optional(run.get("train_seconds"), formats.duration)),
        ("Images per second", _format_optional(run.get("images_per_second"), formats.count)),
        ("Seed", run.get("seed")),
    ]
    return facts_in_tiles({name: str(value) for name, value in facts if value is not None})


def facts_in_tiles(facts: Mapping[str, str]) -> str:
    """Facts in large letters, by their names."""
    cells = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd{' class=text' if len(value) > 11 else ''}>"
        f"{html.escape(value)}</dd></div>"
        for name, value in facts.items()
    )
    return f"<dl class='tiles'>{cells}</dl>" if cells else ""


def charts(rows: Sequence[Mapping[str, Any]], *, signs: bool = False) -> str:
    """One chart for every loss, then one for every other metric except the timings.

    Args:
      signs: of the signs of learning alone, which otherwise are left out.
    """
    figures = []
    for name in metric_names(rows):
        if name.startswith(_SIGNS) != signs:
            continue
        logged = [row for row in rows if name in row]
        steps = [row["step"] for row in logged]
        figures.append(curves.chart(name, steps, [row[name] for row in logged]))
    return f"<div class='curves'>{''.join(figures)}</div>" if figures else ""


def metric_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The numeric metrics of some rows except the timings, losses first, signs of learning last."""
    names = dict.fromkeys(name for row in rows for name in row)
    shown = [
        name
        for name in names
        if name not in ("step", "epoch")
        and not name.startswith("time/")
        and _is_numeric(rows, name)
    ]
    return sorted(shown, key=lambda name: (name.startswith(_SIGNS), not name.startswith("loss/")))


def measures(measures: Iterable[tables.Measure]) -> str:
    """The numbers that are not accuracies, those of the trained encoder first."""
    cards = []
    for measure in measures:
        values = "".join(
            f"<li class='{'trained' if name == 'trained' else 'control'}'>"
            f"<b>{tables.metric_text(measure.metric, value)}</b>"
            f"<small>{html.escape(name)}</small></li>"
            for name, value in measure.values.items()
        )
        detail = " · ".join(part for part in (measure.setting, measure.meaning) if part)
        cards.append(
            f"<div class='measure'><h3>{html.escape(measure.title)}</h3><ul>{values}</ul>"
            f"<p>{html.escape(detail)}</p></div>"
        )
    return f"<div class='measures'>{''.join(cards)}</div>" if cards else ""


def pictures(folder: pathlib.Path, figures: Iterable[Mapping[str, str]]) -> str:
    """The figures of a run, embedded; missing files and files that are not PNG are named."""
    embedded = "".join(_picture(folder / figure["file"], figure) for figure in figures)
    return f"<div class='pictures'>{embedded}</div>" if embedded else ""


def picture(data: bytes, title: str, caption: str = "", file: str = "the picture") -> str:
    """A PNG file, embedded, with its caption; in the place of other data that `file` is missing."""
    title = html.escape(title)
    if data.startswith(_PNG) and len(data) > 24:
        width, height = struct.unpack(">II", data[16:24])
        source = base64.b64encode(data).decode("ascii")
        image = (
            f"<img src='data:image/png;base64,{source}' width='{width}' height='{height}' "
            f"alt='{title}'>"
        )
        wide = " wide" if width >= _WIDE_FROM * height else ""
    else:
        image, wide = f"{html.escape(file)} is missing or not a PNG file", ""
    return (
        f"<figure class='picture{wide}'><div class='frame'>{image}</div>"
        f"<figcaption><b>{title}</b>{html.escape(caption)}</figcaption></figure>"
    )


def config(resolved: Mapping[str, Any]) -> str:
    """The resolved config, collapsed: one table per block, nested names joined by dots."""
    single = {key: value for key, value in resolved.items() if not isinstance(value, Mapping)}
    blocks = {"": single} if single else {}
    blocks |= {key: value for key, value in resolved.items() if isinstance(value, Mapping)}
    rendered = []
    for title, block in blocks.items():
        caption = f"<caption>{html.escape(title)}</caption>" if title else ""
        lines = "".join(
            f"<tr><th scope='row'>{html.escape(key)}</th>"
            f"<td><code>{html.escape(json.dumps(value, ensure_ascii=False))}</code></td></tr>"
            for key, value in _flatten(block)
        )
        rendered.append(f"<table>{caption}{lines}</table>")
    if not rendered:
        return ""
    return (
        f"<details><summary>Resolved configuration</summary>"
        f"<div class='config'>{''.join(rendered)}</div></details>"
    )


def facts(run: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Examples, times, parameters, updates and versions as a list of small facts."""
    versions = run.get("versions") or {}
    parameters = run.get("parameters") or {}
    entries = {
        "Training images": _format_optional(run.get("train_examples"), formats.count),
        "Test images": _format_optional(run.get("test_examples"), formats.count),
        "Compilation": _format_optional(run.get("compile_seconds"), formats.duration),
        "Evaluation": _format_optional(run.get("eval_seconds"), formats.duration),
        "Peak memory": _memory(run.get("peak_mib") or {}),
        "Peak memory, training": _memory(run.get("train_peak_mib") or {}),
        "Best checkpoint": _best(run.get("best") or {}),
        **{f"Parameters, {name}": formats.count(value) for name, value in parameters.items()},
        **_updates(config.get("players") or {}, parameters),
        **{name: str(value) for name, value in versions.items()},
    }
    cells = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in entries.items()
        if value is not None
    )
    return f"<dl class='facts'>{cells}</dl>" if cells else ""


def notes(lines: Iterable[str]) -> str:
    """Remarks as a list, one per line."""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul class='notes'>{items}</ul>" if items else ""


def _picture(path: pathlib.Path, figure: Mapping[str, str]) -> str:
    data = path.read_bytes() if path.is_file() else b""
    title, caption = figure.get("title") or path.stem, figure.get("caption") or ""
    return picture(data, title, caption, path.name)


def _flatten(block: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for key, value in block.items():
        if isinstance(value, Mapping) and value:
            pairs += _flatten(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", value))
    return pairs


def _memory(peaks: Mapping[str, float | None]) -> str | None:
    """Such as "1,024 MiB" or "1,024 MiB, device 7,210 MiB"."""
    host, device = peaks.get("host"), peaks.get("device")
    if host is None:
        return None
    return f"{host:,.0f} MiB" + (f", device {device:,.0f} MiB" if device is not None else "")


def _updates(specs: Mapping[str, Any], players: Iterable[str]) -> dict[str, str]:
    """The steps in which the players are updated, where there are several."""
    turns = {name: (spec.get("every", 1), spec.get("offset", 0)) for name, spec in specs.items()}
    turns = {name: turns[name] for name in players if name in turns}
    if len(turns) < 2:
        return {}
    if all(every == 1 for every, _ in turns.values()):
        return {"Updates": "all players in each step"}
    return {
        f"Updates, {name}": (
            f"every {every} steps, from step {offset + 1}" if every > 1 else "each step"
        )
        for name, (every, offset) in turns.items()
    }


def _best(best: Mapping[str, Any]) -> str | None:
    return f"step {best['step']:,}, {best['metric']} {best['value']:.4g}" if best else None


def _format_optional(value: Any, formatter: Any) -> str | None:
    return None if value is None else formatter(value)


def _is_numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    kinds = {type(row[name]) for row in rows if name in row}
    return kinds <= {int, float, type(None)}
