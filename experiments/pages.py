"""Markdown fragments of the documentation, from experiments/results/*.json and the code.

    python -m experiments.pages docs/_generated

The site is built with them: `results/<file>.md` for every result file, `methods/<page>.md` for
every page of a method, `settings/<block>.md`, and `bounds_table.md`, `bounds_speed.md`,
`steps_speed.md`.
"""

import json
import pathlib
import shutil
import sys

from dim_jax import bounds
from experiments import (
    cpc_labels_page,
    fragments,
    fragments_consistency,
    fragments_grids,
    fragments_methods,
    fragments_mi,
    fragments_representations,
    fragments_settings,
    fragments_speed,
    table,
)

STEPS = "bench_train_step_"  # and the kind of a machine


def write(folder: pathlib.Path) -> None:
    """Writes all fragments and copies the figures they show."""
    for name, text in texts().items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:  # a page is rebuilt if it is newer
            path.write_text(text)
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    for source in table.RESULTS.glob("*.png"):
        shutil.copy2(source, figures / source.name)


def results() -> dict[str, dict]:
    """The content of all result files, by name, those of smoke runs left out."""
    paths = sorted(table.RESULTS.glob("*.json"))
    return {
        path.stem: json.loads(path.read_text())
        for path in paths
        if not path.stem.endswith("_smoke")
    }


def texts() -> dict[str, str]:
    """All fragments: {path without suffix: Markdown}."""
    contents = results()
    return {
        "bounds_table": bounds.table() + "\n",
        "bounds_speed": fragments_speed.bounds(contents["bench_bounds_cpu"]),
        "steps_speed": fragments_speed.steps(
            content for name, content in contents.items() if name.startswith(STEPS)
        ),
        **{f"settings/{name}": text for name, text in fragments_settings.tables().items()},
        **{f"results/{name}": _result(name, content) for name, content in contents.items()},
        **{
            f"methods/{page}": fragments_methods.method(page, contents)
            for page in fragments_methods.CONFIGS
        },
    }


def _result(name: str, content: dict) -> str:
    if name.startswith(STEPS):
        return fragments_speed.steps([content])
    if name in fragments_speed.BENCHMARKS:
        return fragments_speed.BENCHMARKS[name](content)
    if name.startswith("mi_benchmark_"):
        return fragments_mi.benchmark(content)
    if name.startswith("mi_staircase_"):
        return fragments_mi.staircase(content)
    if name.startswith("mi_and_representations_"):
        return fragments_representations.representations(content)
    if name.startswith("mi_self_consistency_"):
        return fragments_consistency.self_consistency(content)
    if name.startswith("cpc_labels_"):
        return cpc_labels_page.fragment(name, content)
    if name == "dim_a1_jsd_vs_mi":
        return fragments.divergences(content)
    if name.startswith("wdm_grids_"):
        return fragments_grids.grids(content)
    return fragments.experiment(name, content)


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
