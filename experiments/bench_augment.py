"""Milliseconds of the changes of training images, beside a training step of Deep InfoMax.

    python -m experiments.bench_augment --budget=cpu           or accelerator, or smoke

A change takes one batch of u8 images on the device and gives the normalised views; "none" only
normalises. Each is a program of its own, so that none profits from what a step would fuse. The step
is DIM(L) with InfoNCE on the same batch, float32, without changes. All run in turns in one process,
and the median of their rounds counts.
"""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import dim_jax
from configs import amdim_cifar10
from dim_jax import augment, run_metadata
from dim_jax.training import preprocessing
from experiments import bench_train_step, table, table_text, train_step_cases

UNITS = {
    "milliseconds": "of one batch, median over the rounds",
    "added": "milliseconds - those of `none`",
    "images_per_second": "batch / seconds; an image of two views counts once",
    "part_of_step": "added / milliseconds of the training step",
    "views": "of each image",
}
COLUMNS = {
    **{"change": "", "views": "", "milliseconds": ".2f", "added": ".2f"},
    **{"images_per_second": ",.0f", "part_of_step": ".1%"},
}
STEP = "training step of DIM(L)"
_JITTER = amdim_cifar10.AUGMENT["jitter"]
# SimCLR on CIFAR-10 (Chen et al. 2020, App. B.9): strength 0.5, no blur.
_SIMCLR = dict(
    **dict(views=2, resized_crop=(0.08, 1.0), flip=True, flip_shared=False),
    **dict(jitter=(0.4, 0.4, 0.4, 0.1), jitter_rate=0.8, grey=0.2),
)
CHANGES = {
    "none": {},
    "flip": dict(flip=True),
    "crop 28": dict(crop=28),
    "translate 4": dict(translate=4),
    "resized crop": dict(resized_crop=(0.08, 1.0)),
    "jitter without hue": dict(jitter=(*_JITTER[:3], 0.0)),
    "jitter": dict(jitter=_JITTER),
    "grey": dict(grey=0.25),
    "blur": dict(blur=0.5),
    "solarise": dict(solarise=0.2),
    "AMDIM's recipe": amdim_cifar10.AUGMENT,
    "SimCLR's recipe": _SIMCLR,
}
SPACES = {"to Lab": augment.rgb_to_lab, "to YCbCr": augment.rgb_to_ycbcr}


@dataclasses.dataclass(frozen=True)
class Case:
    """The step, whose batch and side are the changes' too, and how often all are measured."""

    step: train_step_cases.Case
    calls: int  # of a change in one round
    rounds: int


_LARGE = train_step_cases.dcgan(64, 1024)
_step = train_step_cases.local_infomax
BUDGETS = {
    "smoke": Case(_step("", train_step_cases.dcgan(4, 16), 32, 16, 16, 1), 1, 1),
    "cpu": Case(_step("", _LARGE, 32, 256, 256, 2), 5, 7),
    "accelerator": Case(_step("", _LARGE, 32, 2048, 256, 50), 100, 9),
}


def run(budget: str, results: pathlib.Path = table.RESULTS) -> None:
    """Measures all changes, writes bench_augment_<budget>.json and prints the table."""
    case = BUDGETS[budget]
    content = {
        "experiment": f"bench_augment_{budget}",
        **{
            "device": run_metadata.device(),
            "cores": os.cpu_count(),
            "commit": run_metadata.commit(),
        },
        "versions": {"python": platform.python_version(), "dim_jax": dim_jax.__version__}
        | {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy")},
        "units": UNITS,
        "rows": measure(case),
    }
    results.mkdir(exist_ok=True)
    (results / f"bench_augment_{budget}.json").write_text(json.dumps(content, indent=1) + "\n")
    table_text.benchmark(content, COLUMNS)


def measure(case: Case) -> list[dict]:
    """One row for each change, each colour space, and the step."""
    images = np.random.default_rng(0).integers(
        0, 256, (case.step.batch, case.step.side, case.step.side, 3), np.uint8
    )
    programs = {name: _timed(_views(words), images, case) for name, words in CHANGES.items()}
    programs |= {name: _timed(_space(to), images, case) for name, to in SPACES.items()}
    programs[STEP] = bench_train_step.Ours(case.step, "float32")
    taken = {name: [] for name in programs}
    for turn in range(case.rounds + 1):
        for name, program in programs.items():
            seconds = program()
            if turn:  # the first one warms up
                taken[name].append(seconds)
    milliseconds = {name: 1e3 * statistics.median(values) for name, values in taken.items()}
    return [_row(case, name, milliseconds) for name in programs]


def _row(case: Case, name: str, milliseconds: dict[str, float]) -> dict:
    mine, is_step = milliseconds[name], name == STEP
    added = None if is_step else mine - milliseconds["none"]
    return {
        **{"change": name, "batch": case.step.batch, "side": case.step.side},
        "views": CHANGES.get(name, {}).get("views", 1),
        "milliseconds": mine,
        "added": added,
        "images_per_second": 1e3 * case.step.batch / mine,
        "part_of_step": None if is_step else added / milliseconds[STEP],
        **{"rounds": case.rounds, "calls_per_round": case.step.steps if is_step else case.calls},
    }


def _views(words: dict) -> Callable:
    """(rng, images) -> the normalised views of a block with these words."""
    halves = (0.5,) * 3
    prepared = preprocessing.Preprocessing(halves, halves, augment.pipeline(**words))
    return prepared.training_views


def _space(convert: Callable) -> Callable:
    return lambda _, images: convert(images.astype(jnp.float32) / 255)


def _timed(function: Callable, images: np.ndarray, case: Case) -> Callable[[], float]:
    """Seconds of one call, of several with other keys."""
    program, batch = jax.jit(function), jax.device_put(images)
    keys = [jax.random.key(number) for number in range(case.calls)]

    def seconds() -> float:
        began = time.perf_counter()
        for key in keys:
            made = program(key, batch)
        jax.block_until_ready(made)
        return (time.perf_counter() - began) / case.calls

    return seconds


if __name__ == "__main__":
    run(table.budget(BUDGETS))
