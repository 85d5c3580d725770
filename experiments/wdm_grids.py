"""Digits that CPC and WPC tell in grids of 1 to 9, whose information is known: n log 10 nats.

    python -m experiments.wdm_grids --budget=cpu        or paper, smoke
        --part=numbers|controls|batches|choice     one part; the default is all of them

CPC is `methods.wpc` with penalty 0: encoder, critic, pairs, batches and steps are alike in both.
Linear probes of the frozen y of one grid tell the class at each position, on grids of test digits.
Writes experiments/results/wdm_grids_<budget>.json after each row, and its figure; rows that it has
are not run again.

The penalty was chosen before, with n = 9 and seed 0, for the accuracy on the grids of training
digits on which the probe is fitted; test digits had no part in it. The page of the results has that
pilot; the part "choice" repeats it at this length with another seed.

Source: Ozair et al. 2019 (from memory).
"""

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Iterator

import jax
import numpy as np
import optax

from dim_jax import contracts, run_metadata
from dim_jax.methods import wpc
from dim_jax.nets import critics, encoders
from experiments import digit_grids, table, wdm_grids_summary

NAME = "wdm_grids"
PARTS = ("numbers", "controls", "batches", "choice")
METHODS = ("cpc", "wpc")
CHOICE_SEED = 100
# Keys of random streams.
_INIT, _TRAINING, _PROBE, _TEST, _HELD_OUT, _FIT = range(6)


@dataclasses.dataclass(frozen=True)
class Penalty:
    """The constraint of WPC: its weight, and the temperature of the scores."""

    weight: float = 1.0
    sided: str = "one"
    temperature: float = 1.0


CPC = Penalty(weight=0.0)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Grids, sizes and lengths of a budget.

    points: between pairs, at which the slopes of a step are taken. probed: grids that the probe is
    fitted to and judged on. pixels: the numbers of digits with a probe of raw pixels.
    """

    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    batch: int
    batches: tuple[int, ...]
    steps: int
    points: int
    rate: float
    probed: tuple[int, int]
    probe_steps: int
    pixels: tuple[int, ...]
    channels: tuple[int, ...] = (16, 32)
    hidden: int = 256
    features: int = 128
    held_out: int = 256
    penalty: Penalty = Penalty()
    others: tuple[Penalty, ...] = ()


BUDGETS = {
    "paper": Plan(
        **dict(numbers=tuple(range(1, 10)), seeds=(0, 1, 2), batch=64, batches=(16, 256)),
        **dict(steps=20_000, points=64, rate=1e-3, probed=(20_000, 10_000), probe_steps=5000),
        **dict(pixels=tuple(range(1, 10)), channels=(64, 128), hidden=1024, features=256),
    ),
    "cpu": Plan(
        **dict(numbers=tuple(range(1, 10)), seeds=(0, 1, 2), batch=32, batches=(8, 128)),
        **dict(steps=800, points=16, rate=2e-3, probed=(5000, 2000), probe_steps=1000),
        pixels=(1, 5, 9),
        others=(Penalty(0.1), Penalty(10.0), Penalty(1.0, "two"), Penalty(temperature=0.5)),
    ),
    "smoke": Plan(
        **dict(numbers=(1, 2), seeds=(0,), batch=8, batches=(4,), steps=4, points=4, rate=1e-3),
        **dict(probed=(64, 32), probe_steps=4, pixels=(1,), channels=(4, 4), hidden=8),
        **dict(features=8, held_out=8),
    ),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the results."""

    part: str
    method: str
    n: int
    batch: int
    seed: int
    penalty: Penalty = CPC

    @property
    def key(self) -> dict:
        """The entries of a row that no two rows share."""
        return dataclasses.asdict(self)


def cases(plan: Plan) -> Iterator[Case]:
    """All rows; the first seed of every setting before the second of any."""
    most = plan.numbers[-1]
    for seed in plan.seeds:
        for n in plan.numbers:
            for method in METHODS:
                yield Case("numbers", method, n, plan.batch, seed, _penalty(plan, method))
        for batch in plan.batches:
            for method in METHODS:
                yield Case("batches", method, most, batch, seed, _penalty(plan, method))
    for n in plan.numbers:
        yield Case("controls", "untrained", n, plan.batch, plan.seeds[0])
    for n in plan.pixels:
        yield Case("controls", "pixels", n, plan.batch, plan.seeds[0])
    for penalty in (CPC, plan.penalty, *plan.others) if plan.others else ():
        method = "wpc" if penalty.weight else "cpc"
        yield Case("choice", method, most, plan.batch, CHOICE_SEED, penalty)


def _penalty(plan: Plan, method: str) -> Penalty:
    return plan.penalty if method == "wpc" else CPC


def make(plan: Plan, penalty: Penalty, points: int) -> contracts.Method:
    """WPC of pairs of grids; with weight 0 it is CPC."""
    encoder = encoders.strided(
        **dict(channels=plan.channels, kernels=(4, 3), strides=(4, 2)),
        **dict(hidden=plan.hidden, features=plan.features),
    )
    return wpc.make(
        **dict(
            encoder=encoder, global_critic=critics.bilinear(), objective="infonce", inputs="pixels"
        ),
        **dict(penalty=penalty.weight, sided=penalty.sided, temperature=penalty.temperature),
        points=points,
    )


@functools.cache  # compiled once for all seeds
def _programs(plan: Plan, case: Case):
    """start(seed) -> params, state; train(params, state, digits, seed) -> the same and metrics."""
    method = make(plan, case.penalty, plan.points)
    optimizer = optax.adam(optax.cosine_decay_schedule(plan.rate, plan.steps))

    def start(digits, seed):
        views, _ = digit_grids.pairs(digits, _key(seed, _INIT), case.batch, case.n)
        return method.init(_key(seed, _INIT), {"images": views})

    def step(digits, carry, key):
        params, state, memory = carry
        drawn, noise = jax.random.split(key)
        views, _ = digit_grids.pairs(digits, drawn, case.batch, case.n)

        def loss(params):
            done = method.loss(params, state, {"images": views}, noise, 0)
            return done.losses["encoder"], done

        gradient, done = jax.grad(loss, has_aux=True)(params)
        updates, memory = optimizer.update(gradient, memory)
        return (optax.apply_updates(params, updates), done.state, memory), done.metrics["pair/nats"]

    def train(params, state, digits, seed):
        keys = jax.random.split(_key(seed, _TRAINING), plan.steps)
        carry = params, state, optimizer.init(params)
        (params, state, _), nats = jax.lax.scan(functools.partial(step, digits), carry, keys)
        return params, state, nats[-max(1, plan.steps // 10) :].mean()

    return jax.jit(start), jax.jit(train)


@functools.cache
def _measures(plan: Plan, n: int, temperature: float):
    """represent(params, state, grids) and held_out(params, state, digits) -> metrics."""
    method = make(plan, Penalty(0.0, temperature=temperature), plan.held_out)

    def held_out(params, state, digits):
        views, _ = digit_grids.pairs(digits, _key(0, _HELD_OUT), plan.held_out, n)
        return method.loss(params, state, {"images": views}, _key(0, _HELD_OUT), 0).metrics

    return jax.jit(lambda *given: method.represent(*given)["y"]), jax.jit(held_out)


def _key(seed: int, stream: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), stream)


def _probe(plan: Plan, case: Case, digits: dict, represent) -> dict:
    """Accuracies on grids that no seed of a method changes."""
    sets = []
    for stream, split, count in zip((_PROBE, _TEST), ("train", "test"), plan.probed, strict=True):
        rows, classes = [], []
        for number, start in enumerate(range(0, count, 500)):
            key = jax.random.fold_in(_key(0, stream), number)
            views, drawn = digit_grids.pairs(digits[split], key, min(500, count - start), case.n)
            rows.append(np.asarray(represent(views[0])))
            classes.append(np.asarray(drawn))
        sets.append((np.concatenate(rows), np.concatenate(classes)))
    # A grid of pixels has many more numbers than y: half as many steps.
    steps = plan.probe_steps // (2 if case.method == "pixels" else 1)
    fitted, test = digit_grids.probe(*sets, _key(case.seed, _FIT), steps=steps)
    return {
        "accuracy_training_digits": round(float(fitted.mean()), 5),
        "accuracy": round(float(test.mean()), 5),
        "by_position": np.asarray(test, float).round(5).tolist(),
    }


def measure(plan: Plan, case: Case, digits: dict) -> dict:
    """One row: its key, accuracies, nats and slopes, and the CPU time."""
    began, row = time.process_time(), case.key
    if case.method == "pixels":
        row |= _probe(plan, case, digits, lambda grids: grids.reshape(len(grids), -1))
    else:
        start, train = _programs(plan, dataclasses.replace(case, part="", seed=0))
        params, state = start(digits["train"], case.seed)
        if case.method != "untrained":
            params, state, nats = train(params, state, digits["train"], case.seed)
            row["nats_in_training"] = round(float(nats), 4)
        represent, held_out = _measures(plan, case.n, case.penalty.temperature)
        row |= _probe(plan, case, digits, functools.partial(represent, params, state))
        metrics = held_out(params, state, digits["test"])
        for name in ("nats", "wasserstein", "slope_mean", "slope_max"):
            row[f"held_out_{name}"] = round(float(metrics[f"pair/{name}"]), 4)
    return row | {"cpu_seconds": round(time.process_time() - began, 1)}


def run(
    budget: str,
    results: pathlib.Path = table.RESULTS,
    digits: dict[str, digit_grids.Digits] | None = None,
    part: str | None = None,
) -> dict:
    """Runs the rows that are missing, writes the JSON after each, then the figure.

    Args:
      digits: of the splits "train" and "test", MNIST's unless given.
      part: one of `PARTS`; all of them unless given.
    """
    if part not in (None, *PARTS):
        raise contracts.unknown("part", part, PARTS)
    plan, path = BUDGETS[budget], results / f"{NAME}_{budget}.json"
    results.mkdir(exist_ok=True)
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    digits = digits or {split: digit_grids.load(split) for split in ("train", "test")}
    content = _write(path, budget, plan, rows)
    for case in cases(plan):
        if part in (None, case.part) and not any(case.key.items() <= row.items() for row in rows):
            rows.append(measure(plan, case, digits) | {"commit": run_metadata.commit()})
            content = _write(path, budget, plan, rows)
            print(json.dumps(rows[-1]), flush=True)
    wdm_grids_summary.draw(content, path.with_suffix(".png"))
    return content


def _write(path: pathlib.Path, budget: str, plan: Plan, rows: list[dict]) -> dict:
    content = {
        "experiment": NAME,
        "budget": budget,
        "plan": dataclasses.asdict(plan),
        "differs": "MNIST digits in a row, a small encoder and short training: ours",
        "machine": "2 shared cores",
        "rows": rows,
    }
    content["claims"] = wdm_grids_summary.claims(content)
    path.write_text(json.dumps(content, indent=1) + "\n")
    return content


if __name__ == "__main__":
    chosen = table.options(BUDGETS, part=f"one of {', '.join(PARTS)}")
    with table.one_sentence():
        run(chosen.budget, part=chosen.part)
