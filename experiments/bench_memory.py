"""Memory over 10,000 small steps, and what saving a checkpoint takes on top.

    python -m experiments.bench_memory [--steps=10000] [--parts saving growth scores]

Writes experiments/results/bench_memory_cpu.json: MiB resident every tenth of the run (training,
rows of metrics, TensorBoard and checkpoints as in a command), the peak while one large checkpoint
is saved and restored, above what was resident before, and the temporary memory and seconds of the
local term of DIM at batch 1,024, its scores held or made in blocks. About three minutes on two
cores; `--parts` measures some and keeps the others of the file.
"""

import argparse
import contextlib
import functools
import json
import os
import pathlib
import statistics
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from configs import quickstart
from dim_jax import bounds, build, data, outputs, report, run_metadata, settings
from dim_jax.losses import score_blocks
from dim_jax.methods import dim
from dim_jax.nets import critics, products
from dim_jax.processes import memory_usage
from dim_jax.rundir import checkpoint, workdir
from dim_jax.training import preprocessing, trainer
from experiments import table

NAME = "bench_memory_cpu"
BATCH = 16
PER_DISPATCH = 5
WARM_UP = 0.2  # of the steps: allocators and caches fill first
_RESET_PEAK = pathlib.Path("/proc/self/clear_refs")


class Sampled(outputs.Outputs):
    """The outputs of a command, noting the resident memory at every row."""

    def __init__(self, folder: workdir.Workdir, console: report.Console):
        super().__init__(folder, console)
        self.samples: list[tuple[int, float]] = []

    def append(self, row) -> None:
        super().append(row)
        self.samples.append((row["step"], memory_usage.host()))


def growth(steps: int) -> dict:
    """MiB resident over a run of tiny DIM steps, and how much more at its end than early on."""
    config = quickstart.get_config("smoke").to_dict()
    dataset = data.load("digits", image_size=32)
    epoch = len(dataset.splits["train"].images) // BATCH
    config["train"] |= dict(
        batch_size=BATCH, epochs=steps / epoch, steps_per_dispatch=PER_DISPATCH, save_epochs=5.0
    )
    typed, split = settings.Config.of(config), dataset.splits["train"]
    prepared = preprocessing.Preprocessing.of(typed, dataset.facts)
    durations = trainer.plan(typed.train, len(split.images), 1)
    method = build.make("method", typed.method)
    initial = trainer.initial_state(method, typed, split, prepared, durations)
    with tempfile.TemporaryDirectory() as name:
        folder = workdir.Workdir(name)
        folder.claim(config)
        with contextlib.closing(Sampled(folder, report.Console(enabled=False))) as writers:
            checkpoints = checkpoint.Checkpoints(folder.checkpoints)
            one = jax.devices()[:1]
            trainer.Loop.of(
                *(initial, typed, split, prepared, durations, checkpoints, writers, one)
            ).run()
    return summary(writers.samples, durations)


def summary(samples: list[tuple[int, float]], durations: trainer.Plan) -> dict:
    """Medians of the tenths of the run; growth is from the first after warming up to the last."""
    last = samples[-1][0]
    tenths = [
        statistics.median(mib for step, mib in samples if part < 10 * step / last <= part + 1)
        for part in range(10)
    ]
    return {
        "steps": last,
        "checkpoints_saved": last // durations.save_steps,
        "mib_by_tenth": tenths,
        "growth_mib": round(tenths[-1] - tenths[int(10 * WARM_UP)], 1),
    }


def saving(mib: int) -> dict:
    """Extra peaks of saving and restoring a state of so many MiB, in MiB.

    To be called first in a process: memory that was freed and is still resident would be used again
    and not be seen.
    """
    tree = {f"w{part}": jnp.full((mib // 8, 2**18), float(part)) for part in range(8)}
    jax.block_until_ready(tree)
    with tempfile.TemporaryDirectory() as folder:
        small = checkpoint.Checkpoints(pathlib.Path(folder) / "small")
        small.save(1, {"w": np.zeros(1)})  # what importing takes is not counted
        checkpoints = checkpoint.Checkpoints(pathlib.Path(folder) / "large")
        extra = {"save": _extra(lambda: checkpoints.save(1, tree))}
        extra["restore"] = _extra(lambda: checkpoints.restore_latest(tree))
    return {"state_mib": mib, **{f"{name}_extra_peak_mib": value for name, value in extra.items()}}


def scores(batch: int = 1024, locations: int = 64, width: int = 256, rounds: int = 3) -> dict:
    """The local InfoNCE term of DIM on features, value and gradient in bfloat16, in turns.

    With all scores at once ("held"), and in the blocks that the method chooses by itself.
    """
    critic = critics.encode_and_dot(width=width, norm_anchors=True)
    keys = jax.random.split(jax.random.key(0), 3)
    y, local = (
        jax.random.normal(key, (batch, *shape))
        for key, shape in zip(keys, ((64,), (locations, 128)), strict=False)
    )
    params, stats = jax.jit(critic.init)(keys[2], y, local)
    images = score_blocks.images_per_block(batch, local)
    given = {"held": 0, "blocks": images}

    def term(images, params, y, local):
        arguments = (bounds.infonce, critic, params, stats, y, local, np.arange(batch))
        return dim.information("local", *arguments, images=images)[0]

    programs = {}
    for name, images in given.items():
        value = products.computed_in(functools.partial(term, images), "bfloat16")
        step = jax.jit(jax.value_and_grad(value, (0, 1, 2)))
        programs[name] = step.lower(params, y, local).compile()
    seconds = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.process_time()
            jax.block_until_ready(program(params, y, local))
            seconds[name].append(time.process_time() - start)
    median = {name: statistics.median(each) for name, each in seconds.items()}
    memory = {name: each.memory_analysis() for name, each in programs.items()}
    return {
        **{"batch": batch, "locations": locations, "width": width, "images_per_block": images},
        "scores_mib": batch * batch * locations * 4 / 2**20,
        **{f"{n}_temp_mib": round(m.temp_size_in_bytes / 2**20, 1) for n, m in memory.items()},
        "blocks_over_held_cpu_seconds": round(median["blocks"] / median["held"], 3),
    }


def _extra(action) -> float:
    _RESET_PEAK.write_text("5")  # Linux: the peak starts again from what is resident
    before = memory_usage.host()
    kept = action()
    del kept
    return round(memory_usage.host_peak() - before, 1)


PARTS = ("saving", "growth", "scores")  # saving first: see there


def measure(steps: int, parts=PARTS, results: pathlib.Path = table.RESULTS) -> dict:
    """Measures these parts, writes them and prints all."""
    file = results / f"{NAME}.json"
    device = {"device": f"CPU with {os.cpu_count()} cores", "commit": run_metadata.commit()}
    kept = file.exists() and set(parts) != set(PARTS)
    content = json.loads(file.read_text()) if kept else {"experiment": NAME, **device}
    functions = {"saving": lambda: saving(256), "growth": lambda: growth(steps), "scores": scores}
    for part in parts:
        content[part] = functions[part]() | device
    file.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))
    return content


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    measure(given.steps, [part for part in PARTS if part in given.parts])
