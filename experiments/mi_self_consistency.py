"""Do estimators of mutual information obey its rules, on images beside their upper rows?

    python -m experiments.mi_self_consistency --budget=cpu     or paper, smoke
        --part=critics|gaussians|estimate|entropies     one part; the default is all
        --only=cifar10                                  rows of this data set

X is an image, Y the same with the lower rows masked; the three tests are those of
`experiments.masked_images`. Critics are trained on training images and valued on test images, in
batches of as many pairs, all of different images. `gaussians` is a difference of entropies of
normal laws, `estimate` is `dim_jax.mi.estimate`, `entropies` brackets the truth.

Writes experiments/results/mi_self_consistency_<budget>.json after each row, and a figure; rows that
it has are not run again.

Source: Song and Ermon 2020, section 4 and Figs. 4 to 6. Differs: MLP critics (256 units; two
networks and a dot product, or one joint network) on flat pixels, where the paper has convolutions;
far fewer steps; values of test images. The paper's settings are from memory.
"""

import dataclasses
import functools
import importlib.metadata
import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from dim_jax import contracts, mi, run_metadata
from dim_jax.settings import UserError
from experiments import critic_training, masked_images, mi_self_consistency_summary, table

NAME = "mi_self_consistency"
PARTS = ("entropies", "critics", "gaussians", "estimate")
OBJECTIVES = ("infonce", "jensen_shannon", "nwj", "mine")
ESTIMATORS = ("infonce", "nwj", "mine", "js_nwj", "smile_1", "smile_5", "smile_inf")
BATCH = 64
_KEYS = ("part", "data", "form", "objective", "test", "rows", "seed")  # of a row, no two alike
_FITTED = 30_000  # images of the normal laws


class Grid(NamedTuple):
    """Visible rows of the baseline, and of the other tests; `steps` of training if critics."""

    baseline: tuple[int, ...]
    others: tuple[int, ...]
    steps: int = 0
    objectives: tuple[str, ...] = OBJECTIVES

    def cells(self) -> Iterator[tuple[str, int]]:
        """(test, rows)."""
        for test in masked_images.TESTS:
            for rows in self.baseline if test == "baseline" else self.others:
                yield test, rows


class Samples(NamedTuple):
    """Of `mi.estimate`: their number, and whether pixels are given as columns or images."""

    count: int
    grid: Grid
    columns: bool


@dataclasses.dataclass(frozen=True)
class Plan:
    """critics: {(data, critic): grid}. gaussians: {data: grid}. estimate: {(data, form): ..}.

    batches: of held-out pairs. wide: (pairs, batches) that separable critics are also valued on.
    """

    seeds: tuple[int, ...]
    critics: dict[tuple[str, str], Grid]
    gaussians: dict[str, Grid]
    estimate: dict[tuple[str, str], Samples]
    batches: int
    wide: tuple[int, int]
    images: int | None = None


_MNIST = (0, 3, 7, 14, 21, 28)
BUDGETS = {
    "paper": Plan(
        (0, 1, 2),
        {
            (data, critic): Grid(tuple(range(0, size + 1, 4)), tuple(range(4, size + 1, 4)), 20_000)
            for data, size in (("mnist", 28), ("cifar10", 32))
            for critic in ("separable", "joint")
        },
        {"mnist": Grid(_MNIST, _MNIST[2:])},
        {("mnist", "columns"): Samples(5000, Grid((0, 3, 4, 5, 7, 14), (3, 4, 5, 7, 14)), True)},
        batches=156,
        wide=(1000, 10),
    ),
    "cpu": Plan(
        (0, 1, 2),
        {
            ("mnist", "separable"): Grid(_MNIST, (7, 14, 28), 400),
            ("mnist", "joint"): Grid((0, 14), (14,), 120, ("jensen_shannon",)),
            ("cifar10", "separable"): Grid(
                (0, 16, 32), (16, 32), 250, ("infonce", "jensen_shannon")
            ),
        },
        {"mnist": Grid(_MNIST, (7, 14))},
        {
            ("mnist", "columns"): Samples(1000, Grid((0, 3, 5), (5,)), True),
            ("mnist", "images"): Samples(500, Grid((0, 5), (5,)), False),
        },
        batches=100,
        wide=(1000, 5),
    ),
    "smoke": Plan(
        (0, 1),
        {("digits", "separable"): Grid((0, 4), (4,), 3, ("jensen_shannon",))},
        {"digits": Grid((0, 2, 4), (4,))},
        {},
        batches=2,
        wide=(100, 1),
        images=400,
    ),
}


def run(
    budget: str, results: pathlib.Path = table.RESULTS, part: str | None = None, only: str = ""
) -> dict:
    """Runs the rows that are missing, writes JSON and figure, prints the verdicts.

    Raises: UserError: no such part, or data set of this budget.
    """
    if part not in (None, *PARTS):
        raise UserError(f"part {part!r} is none of {', '.join(PARTS)}; give one of these")
    plan = BUDGETS[budget]
    names = {facts["data"] for facts, _ in _cases(plan)}
    if not any(only in name for name in names):
        raise contracts.unknown("data set", only, names)
    results.mkdir(exist_ok=True)
    path = results / f"{NAME}_{budget}.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    done, commit = {_key(row) for row in rows}, run_metadata.commit()
    for facts, measure in _cases(plan):
        chosen = part in (None, facts["part"]) and only in facts["data"]
        if chosen and _key(facts) not in done:
            began = time.process_time()
            row = {**facts, **measure(), "cpu_seconds": round(time.process_time() - began, 2)}
            rows.append({**row, "commit": commit})
            _write(path, budget, rows)
            print(json.dumps(rows[-1]), flush=True)
    content = _write(path, budget, rows)
    mi_self_consistency_summary.figure(content, results / f"{NAME}_{budget}.png")
    mi_self_consistency_summary.report(content)
    return content


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in _KEYS)


def _cases(plan: Plan) -> Iterator[tuple[dict, functools.partial]]:
    """The facts of each row, and the function that measures it."""
    load = functools.cache(lambda data: masked_images.load(data, plan.images))
    trainers = functools.cache(_trainers)
    moments = functools.lru_cache(1)(
        lambda data, test, seed: masked_images.moments(load(data), test, seed, _FITTED)
    )
    for data, grid in plan.gaussians.items():
        grids = [grid, *(each.grid for (name, _), each in plan.estimate.items() if name == data)]
        for rows in sorted({rows for each in grids for rows in each.baseline}):
            facts = _facts("entropies", data, "", "", "baseline", rows, 0)
            yield facts, functools.partial(_entropies, load, data, rows)
    for (data, critic), grid in plan.critics.items():
        for objective in grid.objectives:
            for test, rows in grid.cells():
                for seed in plan.seeds:
                    facts = _facts("critics", data, critic, objective, test, rows, seed)
                    facts["steps"] = grid.steps
                    yield facts, functools.partial(_critic, plan, load, trainers, facts)
    for data, grid in plan.gaussians.items():
        for test in masked_images.TESTS:
            for seed in plan.seeds if test == "additivity" else plan.seeds[:1]:
                for rows in (rows for each, rows in grid.cells() if each == test):
                    facts = _facts("gaussians", data, "", "likelihood", test, rows, seed)
                    yield facts, functools.partial(_gaussians, load, moments, facts)
    for (data, form), samples in plan.estimate.items():
        for test, rows in samples.grid.cells():
            for seed in plan.seeds:
                facts = _facts("estimate", data, form, "", test, rows, seed)
                facts["samples"] = samples.count
                yield facts, functools.partial(_estimate, load, samples, facts)


def _facts(part, data, form, objective, test, rows, seed) -> dict:
    return dict(zip(_KEYS, (part, data, form, objective, test, rows, seed), strict=True))


def _entropies(load, data: str, rows: int) -> dict:
    return {"bracket": list(masked_images.entropy_bracket(load(data), rows))}


def _trainers(critic: str, objective: str, is_baseline: bool, wide: int) -> list:
    """Of batches, and of `wide` pairs; made once each, as they are keys of compiled programs."""
    draw = masked_images.draw_one if is_baseline else masked_images.draw_two
    names = [name for name in critic_training.estimators_of(objective) if name in ESTIMATORS]
    return [
        critic_training.trainer(
            critic_training.CRITICS[critic](), objective, draw(batch), estimators=names
        )
        for batch in (BATCH, wide)
    ]


def _critic(plan: Plan, load, trainers, facts: dict) -> dict:
    """Values of training and held-out batches of one critic, means and standard errors."""
    images, critic = load(facts["data"]), facts["form"]
    given, held = (
        masked_images.given(images, facts["test"], facts["rows"], split)
        for split in ("train", "test")
    )
    pairs, wide_batches = plan.wide
    narrow, wide = trainers(critic, facts["objective"], facts["test"] == "baseline", pairs)
    state = critic_training.start(narrow, jax.random.key(facts["seed"]), given)
    state, trained = critic_training.train(narrow, state, given, facts["steps"])
    _, valued = critic_training.train(narrow, state, held, plan.batches, learn=False)
    last = max(facts["steps"] // 4, 1)
    result = {
        "values": {name: _mean(each) for name, each in valued.items()},
        "standard_errors": {
            name: _finite(np.std(each, ddof=1) / np.sqrt(len(each)))
            for name, each in valued.items()
        },
        "training_values": {name: _mean(each[-last:]) for name, each in trained.items()},
    }
    if critic == "separable":
        _, valued = critic_training.train(wide, state, held, wide_batches, learn=False)
        result["wide_values"] = {name: _mean(each) for name, each in valued.items()}
    return result


def _mean(values: jax.Array) -> float | None:
    return _finite(np.mean(np.asarray(values, np.float64)))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _gaussians(load, moments, facts: dict) -> dict:
    images, test = load(facts["data"]), facts["test"]
    shown = masked_images.shown(images, test, facts["rows"])
    known = moments(facts["data"], test, facts["seed"])
    return {"values": {"difference_of_entropies": masked_images.gaussian_difference(known, shown)}}


def _estimate(load, samples: Samples, facts: dict) -> dict:
    """The estimate of the product with its interval, or the sentence by which it refuses."""
    seed = facts["seed"]
    images = load(facts["data"])
    x, y = masked_images.pairs(images, facts["test"], facts["rows"], samples.count, seed)
    if samples.columns:
        x, y = (each.reshape(len(each), -1) for each in (x, y))
    try:
        estimate = mi.estimate(x, y, permutations=0, seed=seed)
    except UserError as error:
        return {"values": {"mi.estimate": None}, "refused": str(error)}
    return {
        "values": {"mi.estimate": estimate.nats},
        "interval": list(estimate.interval),
        **{name: getattr(estimate, name) for name in ("guaranteed", "reliable", "why")},
    }


def _write(path: pathlib.Path, budget: str, rows: list[dict]) -> dict:
    """The file with a line for each row; it takes the place of the last one at once."""
    plan = BUDGETS[budget]
    content = {
        **{"experiment": f"{NAME}_{budget}", "device": run_metadata.device()},
        **{"cores": os.cpu_count(), "note": "Other work ran on the same cores."},
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "numpy", "scipy")},
        "commit": rows[-1]["commit"] if rows else None,
        "settings": {
            **{"batch": BATCH, "learning_rate": critic_training.LEARNING_RATE},
            **{"held_out_batches": plan.batches, "wide": plan.wide, "seeds": plan.seeds},
        },
        "cpu_minutes": round(sum(row["cpu_seconds"] for row in rows) / 60, 1),
        "summary": mi_self_consistency_summary.summary(rows),
    }
    return table.write_rows(path, content, rows)


if __name__ == "__main__":
    arguments = table.options(
        BUDGETS, part=f"{', '.join(PARTS)}; the default is all", only="the rows of this data set"
    )
    with table.one_sentence():
        run(arguments.budget, part=arguments.part, only=arguments.only or "")
