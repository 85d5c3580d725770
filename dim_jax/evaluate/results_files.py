"""The files that show finished evaluations: results.json, figures and the report of a folder."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from dim_jax import report
from dim_jax.evaluate import cache, results
from dim_jax.rundir import writing
from dim_jax.rundir.workdir import Workdir


def write(
    folder: Workdir,
    console: report.Console,
    store: cache.Store,
    run: Mapping[str, Any],
    rows: Sequence[results.Row],
    figures: Iterable[results.Figure],
    published_source: str | None = None,
    published_differs: str | None = None,
) -> dict[str, Any]:
    """Writes and prints the results; returns the content of results.json.

    Args:
      store: of the finished evaluations, which are removed once results.json has them.
      run: its block of that name.
      published_source, published_differs: of the numbers `published` of the rows; None without any.
    """
    content = {
        "format": 1,
        "run": run,
        "rows": rows,
        "published_source": published_source,
        "published_differs": published_differs or None,
        "figures": _write_figures(folder, figures),
    }
    folder.write_json(folder.results, content)
    store.remove()
    with writing.explain_failed_write("the report", folder.report):
        report.write_html(folder.path)
    console.results(content)
    console.log(f"report: {folder.report}")
    return content


def _write_figures(folder: Workdir, figures: Iterable[results.Figure]) -> list[dict[str, str]]:
    """The entry of each figure in results.json."""
    figures = [*figures]
    with writing.explain_failed_write("the figures", folder.figures, advice=writing.SAVED):
        folder.figures.mkdir(exist_ok=True)
        for figure in figures:
            Image.fromarray(np.asarray(figure.image)).save(folder.figures / figure.file)
    return [{"file": each.file, "title": each.title, "caption": each.caption} for each in figures]
