"""Errors of `mi.estimate` on samples of known mutual information, beside peers and the floor.

    python -m experiments.mi_benchmark --budget=cpu     or smoke
        --part=tasks|peers|coverage     one part; the default is tasks and peers
        --only=spiral                   tasks whose name or group contains it
        --folder=...                    samples of the 16 given tasks; else $DIM_JAX_MI_TASKS

Writes experiments/results/mi_benchmark_<budget>.json after each row; rows that it has are not run
again. Without the samples of the given tasks, those of the same names are drawn. The estimator runs
at its defaults on all: no task has a setting. Coverage is that of the interval over 200 draws.
"""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Iterator
from typing import Any

import dim_jax
from dim_jax import mi, run_metadata
from dim_jax.settings import UserError
from experiments import mi_benchmark_summary, mi_laws, mi_peers, mi_tasks, table

UNITS = {
    "truth, nats, interval, standard_error, guaranteed": "nats",
    "truth_standard_error": f"nats, above 0 where the truth is a mean over {mi_laws.DRAWS:,} draws",
    "error": "nats - truth",
    "floor": "mean of the true log density ratio over the same samples - truth",
    "cpu_seconds": "of all threads, user and system; with compilation where first_of_shape",
    "first_of_shape": "whether no call of the process before had arrays of these shapes",
    "stored": "whether the samples are those given, else drawn",
}
PARTS = ("tasks", "peers", "coverage")
PEERS = ("scikit-learn", "knn", "gaussian")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Seeds of each group, the groups with peers, and the laws of coverage with their samples."""

    seeds: dict[str, int]
    peers: tuple[str, ...]
    coverage: dict[str, int]
    repeats: int
    samples: int | None = None  # of all tasks, if not their numbers
    names: tuple[str, ...] | None = None


BUDGETS = {
    "smoke": Plan(
        {"given": 1, "independent": 1},
        ("given",),
        {"1v1-normal-0.75": 200},
        2,
        samples=200,
        names=("1v1-normal-0.75", "independent-2-2"),
    ),
    "cpu": Plan(
        {
            **{"given": 3, "generated": 1, "held_back": 2},
            **{"independent": 5, "small_samples": 3, "large_information": 2},
        },
        ("given", "generated", "held_back"),
        {
            "1v1-normal-0.75": 1000,
            "student-identity-3-3-3": 1000,
            "half_cube-multinormal-sparse-5-5-2-2.0": 1000,
        },
        200,
    ),
}
_PACKAGES = ("jax", "numpy", "scikit-learn", "scipy")
_FIRST_REPEAT = 1000  # draws of coverage are no others' draws


@dataclasses.dataclass(frozen=True)
class Case:
    """One row: a task, a seed and a method."""

    part: str
    task: mi_tasks.Task
    seed: int
    method: str = "default"

    @property
    def key(self) -> tuple:
        """The entries of a row that no two rows share."""
        stored = self.task.stored is not None
        return (self.part, self.task.name, self.task.samples, stored, self.seed, self.method)


def run(
    budget: str,
    results: pathlib.Path = table.RESULTS,
    estimate: Callable | None = None,
    folder: str | os.PathLike | None = None,
    part: str | None = None,
    only: str = "",
) -> dict:
    """Runs the rows that are missing, writes mi_benchmark_<budget>.json, prints the summary.

    Args:
      estimate: the estimator, `mi.estimate` unless given.
      folder: that of the given samples, `mi_tasks.FOLDER` unless given.
      part: one of `PARTS`; tasks and peers unless given.
      only: of the name of a task or a group.
    """
    if part not in (None, *PARTS):
        raise UserError(f"part {part!r} is none of {', '.join(PARTS)}; give one of these")
    estimate = estimate or mi.estimate
    source = mi_tasks.FOLDER if folder is None else pathlib.Path(folder)
    if folder is not None:
        mi_tasks.peers(source)  # which says if they are not there
    results.mkdir(exist_ok=True)
    path = results / f"mi_benchmark_{budget}.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    done, shapes, commit = {_key(row) for row in rows}, set(), run_metadata.commit()
    for case in _cases(BUDGETS[budget], source):
        wanted = case.part == part if part else case.part != "coverage"
        named = only in case.task.name or only in case.task.group
        if wanted and named and case.key not in done:
            rows.append({**_row(case, estimate, shapes), "commit": commit})
            _write(path, budget, rows, source)
            print(json.dumps(rows[-1]), flush=True)
    content = _write(path, budget, rows, source)
    mi_benchmark_summary.report(content)
    return content


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in ("part", "task", "samples", "stored", "seed", "method"))


def _cases(plan: Plan, folder: pathlib.Path) -> Iterator[Case]:
    """The first seed of every task comes before the second of any."""
    chosen = [
        task if plan.samples is None else dataclasses.replace(task, samples=plan.samples)
        for group in plan.seeds
        for task in _tasks(group, folder)
        if plan.names is None or task.name in plan.names
    ]
    for seed in range(max(plan.seeds.values())):
        for task in chosen:
            if seed < plan.seeds[task.group]:
                yield Case("tasks", task, seed)
    for task in chosen:
        if task.group in plan.peers:
            for method in PEERS:
                if method != "scikit-learn" or task.dims == (1, 1):
                    yield Case("peers", task, 0, method)
    for repeat in range(plan.repeats):
        for name, samples in plan.coverage.items():
            task = dataclasses.replace(mi_tasks.task(name), samples=samples)
            yield Case("coverage", task, _FIRST_REPEAT + repeat)


def _tasks(group: str, folder: pathlib.Path) -> Iterator[mi_tasks.Task]:
    if group == "given" and (folder / "truth.json").exists():
        return mi_tasks.given(folder)
    return iter(mi_tasks.tasks(group))


def _row(case: Case, estimate: Callable, shapes: set) -> dict:
    task = case.task
    x, y = task.draw(case.seed)
    shape = (case.method, x.shape, y.shape)
    began = time.process_time()
    measured = _measured(case, estimate, x, y)
    seconds = time.process_time() - began
    nats = measured.get("nats")
    row = {
        **{"part": case.part, "task": task.name, "family": task.family, "group": task.group},
        **{"seed": case.seed, "method": case.method, "samples": task.samples},
        **{"dims": list(task.dims), "stored": task.stored is not None},
        "truth": float(task.nats),
        "truth_standard_error": float(task.truth.standard_error),
        **measured,
        "error": None if nats is None else nats - float(task.nats),
        "floor": float(task.floor(x, y)),
        **{"cpu_seconds": round(seconds, 3), "first_of_shape": shape not in shapes},
    }
    shapes.add(shape)
    return row


def _measured(case: Case, estimate: Callable, x: Any, y: Any) -> dict:
    """The numbers of the method, or the sentence by which it refuses."""
    if case.method == "scikit-learn":
        return {"nats": mi_peers.scikit_learn(x, y)}
    try:
        if case.method == "default":
            return _entries(estimate(x, y, seed=case.seed))
        return _entries(estimate(x, y, method=case.method, seed=case.seed))
    except UserError as error:
        return {"nats": None, "refused": str(error)}


def _entries(estimate: mi.Estimate) -> dict:
    numbers = ("nats", "standard_error", "p_value", "guaranteed")
    return {
        **{name: _number(getattr(estimate, name)) for name in numbers},
        **{
            "interval": [float(end) for end in estimate.interval],
            "confidence": estimate.confidence,
        },
        **{"reliable": bool(estimate.reliable), "why": estimate.why, "label": estimate.label},
    }


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _write(path: pathlib.Path, budget: str, rows: list[dict], folder: pathlib.Path) -> dict:
    """The file with a line for each row; it takes the place of the last one at once."""
    published = mi_tasks.peers(folder) if (folder / "truth.json").exists() else {}
    content = {
        "experiment": f"mi_benchmark_{budget}",
        **{"device": run_metadata.device(), "cores": os.cpu_count()},
        "commit": rows[-1]["commit"] if rows else None,  # the summary has those of all rows
        "versions": {"python": platform.python_version(), "dim_jax": dim_jax.__version__}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "units": UNITS,
        "summary": mi_benchmark_summary.summary(rows, published),
        "published": published,
    }
    return table.write_rows(path, content, rows)


if __name__ == "__main__":
    arguments = table.options(
        BUDGETS,
        part=f"{', '.join(PARTS)}; the default is the first two",
        only="the tasks whose name or group contains this",
        folder="with truth.json and the samples of the given tasks",
    )
    with table.one_sentence():
        run(
            arguments.budget,
            part=arguments.part,
            only=arguments.only or "",
            folder=arguments.folder,
        )
