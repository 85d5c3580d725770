"""Memory and time of a DIM(L) InfoNCE step, without prior, whose encoder runs in microbatches.

    python -m experiments.bench_microbatches --budget=cpu           or accelerator, or smoke

Measured is the whole training step, as compiled for `train.microbatches` of 1, 4 and 16, in turns
in one process. Batch norm has the statistics of each microbatch. Where all local features of a
large batch are scored the matrix of scores holds the memory, not the encoder: such rows are only
compiled, not run, and stand beside those with `sampled_locations`.

Memory is the compiler's plan and repeats exactly; seconds are medians.
"""

import dataclasses
import functools
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import ml_collections
import optax

import dim_jax
from configs import common
from configs.common import infomax
from dim_jax import build, contracts, run_metadata, settings
from dim_jax.training import microbatching, train_step
from experiments import table, table_text

MIB = 2**20
UNITS = {
    "step_seconds": "seconds of one training step, median over the rounds; none: compiled only",
    "images_per_second": "batch / step_seconds",
    "temp_mib": "MiB of temporary memory of the compiled step, without inputs and outputs",
    "temp_over_whole": "temp_mib / that of one microbatch (the whole batch at once)",
    "time_over_whole": "step_seconds / that of one microbatch",
    "scores_mib": "MiB of the matrix of local scores in float32, of which there are several",
    "loss": "the encoder's loss at the first step",
}
COLUMNS = {
    **dict.fromkeys(("encoder", "batch", "sampled_locations", "microbatches"), ""),
    **{"temp_mib": ",.0f", "temp_over_whole": ".2f", "scores_mib": ",.0f"},
    **{"step_seconds": ".3f", "time_over_whole": ".2f", "images_per_second": ",.0f"},
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A batch of images and the method; rounds 0: compiled, not run."""

    batch: int
    rounds: int
    sampled_locations: int | None = None  # None: all
    encoder: str = "dcgan32"
    side: int = 32
    width: int = 64
    hidden: int = 1024
    critic_width: int = infomax.CPU_WIDTH
    microbatches: tuple[int, ...] = (1, 4, 16)


_WIDE = dict(critic_width=2048)
_ALEXNET = dict(encoder="alexnet64", side=64, width=96, hidden=4096)
BUDGETS = {
    "smoke": (
        Case(32, 1, 4, width=4, hidden=32, critic_width=16, microbatches=(1, 4)),
        Case(32, 0, None, width=4, hidden=32, critic_width=16, microbatches=(1, 4)),
    ),
    "cpu": (Case(256, 3), Case(1024, 2, 8), Case(1024, 0), Case(1024, 0, 8, **_ALEXNET)),
    "accelerator": (
        *(Case(n, 10, locations, **_WIDE) for n in (1024, 4096) for locations in (None, 8)),
        Case(1024, 5, 8, **_ALEXNET, **_WIDE),
    ),
}


def run(budget: str, results: pathlib.Path = table.RESULTS) -> None:
    """Runs the budget's cases, writes bench_microbatches_<budget>.json and prints the table."""
    rows = []
    for case in BUDGETS[budget]:
        print(f"== {case}", flush=True)
        rows.extend(measure(case))
    content = {
        "experiment": f"bench_microbatches_{budget}",
        **{"device": run_metadata.device(), "cores": os.cpu_count()},
        "commit": run_metadata.commit(),
        "versions": {"python": platform.python_version(), "dim_jax": dim_jax.__version__}
        | {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "numpy")},
        "units": UNITS,
        "rows": rows,
    }
    results.mkdir(exist_ok=True)
    (results / f"bench_microbatches_{budget}.json").write_text(json.dumps(content, indent=1) + "\n")
    table_text.benchmark(content, COLUMNS)


def measure(case: Case) -> list[dict]:
    """One row per number of microbatches: memory, and time where the case is run."""
    programs, states = {}, {}
    for parts in case.microbatches:
        create = functools.partial(_state, case, parts)
        states[parts] = create() if case.rounds else jax.eval_shape(create)
        step = jax.jit(train_step.train_step, static_argnums=2, donate_argnums=0)
        programs[parts] = step.lower(states[parts], _batch(case), 0).compile()
    seconds, losses = _in_turns(programs, states, _batch(case), case.rounds)
    mib = {key: x.memory_analysis().temp_size_in_bytes / MIB for key, x in programs.items()}
    return [_row(case, parts, mib, seconds, losses) for parts in programs]


def _row(case: Case, parts: int, mib: dict, seconds: dict, losses: dict) -> dict:
    first = case.microbatches[0]
    locations = case.sampled_locations or _locations(case)
    given = ("encoder", "width", "critic_width", "batch", "sampled_locations", "rounds")
    return {
        **{key: getattr(case, key) for key in given},
        "microbatches": parts,
        "temp_mib": mib[parts],
        "temp_over_whole": mib[parts] / mib[first],
        "scores_mib": case.batch**2 * locations * 4 / MIB,
        "step_seconds": seconds.get(parts),
        "time_over_whole": seconds[parts] / seconds[first] if seconds else None,
        "images_per_second": case.batch / seconds[parts] if seconds else None,
        "loss": losses.get(parts),
    }


def _encoder(case: Case) -> dict:
    return common.encoder(case.encoder, width=case.width, hidden=case.hidden)


def _locations(case: Case) -> int:
    """The number of local features of an image."""
    net = build.make("encoder", _encoder(case))
    images = jax.ShapeDtypeStruct((1, case.side, case.side, 3), jnp.float32)
    variables = jax.eval_shape(net.init, jax.random.key(0), images)
    taps, _ = jax.eval_shape(functools.partial(net.apply, train=False), *variables, images)
    return math.prod(taps["local"].shape[1:3])


def _method(case: Case) -> contracts.Method:
    spec = infomax.dim(
        encoder=_encoder(case),
        critic_width=case.critic_width,
        concat_width=512,
        prior="none",
    )
    spec = ml_collections.ConfigDict(spec).to_dict()
    return build.make("method", spec | {"sampled_locations": case.sampled_locations})


def _batch(case: Case) -> contracts.Batch:
    images = jax.random.normal(jax.random.key(0), (1, case.batch, case.side, case.side, 3))
    numbers = jnp.arange(case.batch)
    return contracts.Batch(images=images, labels=numbers % 10, index=numbers)


def _state(case: Case, parts: int) -> train_step.TrainState:
    """The state before the first step of the method in so many microbatches."""
    durations = dict(epochs=1.0, steps_per_dispatch=1, save_epochs=1.0)
    block = settings.Train(batch_size=case.batch, microbatches=parts, **durations)
    method = microbatching.divide(_method(case), block, devices=1)
    return train_step.initial_state(method, lambda _: optax.adam(1e-4, b1=0.5), 0, _batch(case))


def _in_turns(programs: dict, states: dict, batch, rounds: int) -> tuple[dict, dict]:
    """Median seconds of a step and the first loss; in turns, after one step that warms up."""
    seconds, losses = {parts: [] for parts in programs}, {}
    for turn in range(rounds + 1 if rounds else 0):
        for parts, program in programs.items():
            start = time.perf_counter()
            states[parts], metrics = jax.block_until_ready(program(states[parts], batch))
            if turn:
                seconds[parts].append(time.perf_counter() - start)
            else:
                losses[parts] = float(metrics["loss/encoder"])
    return {parts: statistics.median(taken) for parts, taken in seconds.items() if taken}, losses


if __name__ == "__main__":
    run(table.budget(BUDGETS))
