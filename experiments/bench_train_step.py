"""Images per second of whole training steps, ours beside PyTorch's, and of the trainer itself.

    python -m pip install -e '.[bench]'
    python -m experiments.bench_train_step --budget=cpu           or accelerator, or smoke
    python -m experiments.bench_train_step --case=AMDIM           prints cases with this name alone

A step is DIM(L) with InfoNCE, AMDIM, supervised or a VAE: networks, gradients, Adam; the images
stay on the device. There is a result file for each kind of machine (`machine.kind`), because the
time of products in bfloat16 depends on a matrix unit. All variants run in turns in one process, and
the median of their rounds counts, so that a slow minute slows all of them. Ours are dispatches of
several steps, as in training, and also log metrics. Without PyTorch ours run alone.
"""

import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table

import dim_jax
from configs import common
from dim_jax import build, data, run_metadata, settings
from dim_jax.nets import onednn, products
from dim_jax.rundir import checkpoint
from dim_jax.training import preprocessing, signs, train_step, trainer
from experiments import machine, table, train_step_cases

CEILING = 2048  # side of the matrices whose product is the ceiling
IMAGES = 2048
TRAINER_ROUNDS = 1
UNITS = {
    "seconds": "of one step, median over the rounds",
    "images_per_second": "batch / seconds",
    "gflop": "of one step, in 10^9, as XLA counts the float32 program before it optimises it",
    "gflop_per_second": "gflop / seconds",
    "fraction_of_matmul": "gflop_per_second / that of the product of two 2048 x 2048 matrices in "
    "the same dtype, stored in float32, by JAX in the same rounds",
    "floor_seconds": "of gflop at the rate of that product",
    "over_best_pytorch": "images_per_second / the largest of PyTorch's, of any precision",
    "over_pytorch_same_dtype": "images_per_second / the larger of PyTorch's in the same dtype",
    "trainer_over_bare": "seconds of the compiled dispatches alone / of a whole run of the trainer "
    "over the same steps with its last checkpoint, compiling apart; medians, in turns",
    "share_of_signs": "1 - seconds without the signs of learning (`training.signs`) / seconds; of "
    "dispatches of steps_per_round steps",
}


class Ours:
    """Dispatches of the trainer's own step in one compute dtype; `seconds()` is of one step."""

    def __init__(self, case: train_step_cases.Case, dtype: str, *, signed: bool = True):
        """`signed`: with the signs of learning, as the trainer's."""
        self._case = case
        self._signed = signed
        self.config = settings.Config.of(_config(case))
        method = build.make("method", self.config.method)
        self._method = method._replace(loss=products.computed_in(method.loss, dtype))
        self.dataset = _images(case)
        self._split = self.dataset.splits["train"]
        self._prepared = preprocessing.Preprocessing.of(self.config, self.dataset.facts)
        self.plan = trainer.plan(self.config.train, IMAGES, 1)
        self.initial = trainer.initial_state(
            *(self._method, self.config, self._split, self._prepared, self.plan)
        )
        self._mesh = train_step.mesh(jax.devices()[:1])
        self._arrays = jax.device_put(tuple(self.dataset.splits["train"][:2]))
        self._dispatch = train_step.make_dispatch(self._prepared, 0, case.batch, IMAGES, self._mesh)
        self._state = jax.tree.map(jnp.copy, self.initial)
        self.metrics: dict[str, Any] = {}

    @functools.cached_property
    def _program(self) -> Callable[..., tuple]:
        with contextlib.ExitStack() as stack:
            for name in () if self._signed else ("of_features", "of_gradients"):
                stack.enter_context(mock.patch.object(signs, name, lambda *_: {}))
            lowered = self._dispatch.lower(self.initial, *self._arrays, count=self._case.steps)
        return lowered.compile()

    def gflop(self) -> float:
        """Of one step, before XLA optimises it."""
        images, labels = (array[: self._case.batch] for array in self._arrays)
        batch = {
            "images": self._prepared.plain_views(images),
            "labels": labels,
            "index": jnp.arange(len(labels)),
        }
        # XLA counts no operations in calls of oneDNN. Traces with and without them are not mixed.
        with mock.patch.object(onednn, "suits", lambda *given: False):
            jax.clear_caches()
            lowered = jax.jit(train_step.train_step).lower(self.initial, batch, 0)
        jax.clear_caches()
        return lowered.cost_analysis()["flops"] / 1e9

    def __call__(self) -> float:
        program = self._program  # compiled in the first round, which does not count
        began = time.perf_counter()
        self._state, self.metrics = program(self._state, *self._arrays)
        jax.block_until_ready((self._state.params, self.metrics))
        return (time.perf_counter() - began) / self._case.steps

    def run(self) -> float:
        """Seconds of one step of the trainer: everything but compiling, a last checkpoint too."""
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = checkpoint.Checkpoints(folder)
            loop = trainer.Loop.of(
                *(self.initial, self.config, self._split, self._prepared, self.plan),
                *(checkpoints, _Silent(), self._mesh.devices.flat),
            )
            began = time.perf_counter()
            loop.run()
            seconds = time.perf_counter() - began - loop.compile_seconds
        return seconds / self.plan.total_steps


class _Silent:
    """A trainer's outputs that write nothing."""

    def begin(self, step, plan):
        del step, plan
        return {}

    def append(self, row):
        del row

    def log(self, line):
        del line


def _config(case: train_step_cases.Case) -> dict:
    dispatches = 5
    blocks = common.config(
        augment=common.augment(views=case.views, flip=case.views > 1),
        data=common.data("random"),
        method=case.method,
        players=dict(encoder=case.adam),
        train=common.train(
            batch_size=case.batch,
            epochs=dispatches * case.steps * case.batch / IMAGES,
            steps_per_dispatch=case.steps,
            save_epochs=1e6,  # at the end alone
        ),
        evals={},
    )
    return blocks.to_dict()


def _images(case: train_step_cases.Case) -> data.Dataset:
    random = np.random.default_rng(0)
    shape = (case.side, case.side, 3)
    images = random.integers(0, 256, (IMAGES, *shape), np.uint8)
    labels = random.integers(0, 10, IMAGES).astype(np.int32)
    classes = tuple(map(str, range(10)))
    facts = data.Facts("random", shape, classes, None, None)
    return data.Dataset(facts, {"train": data.Split(images, labels)})


def _theirs(case: train_step_cases.Case) -> dict[tuple[str, str], Callable[[], float]]:
    """PyTorch's steps by (form, dtype); {} where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: ours alone (python -m pip install -e '.[bench]')")
        return {}
    import torch

    from experiments import torch_steps

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = torch.rand(case.batch, 3, case.side, case.side, device=device) * 2 - 1
    labels = torch.randint(10, (case.batch,), device=device)
    steps = {}
    for form in ("eager", "compiled"):
        for dtype in products.DTYPES:
            step = torch_steps.Step(
                *(torch_steps.model(case.method), images, labels, case.adam),
                **dict(compiled=form == "compiled", bfloat16=dtype == "bfloat16"),
            )
            steps[f"pytorch {form}", dtype] = lambda step=step: step.seconds(case.steps)
    return steps


def _ceiling(dtype: str) -> Callable[[], float]:
    """Seconds of one product of two square matrices, stored in float32."""
    square = jnp.ones((CEILING, CEILING), dtype)

    @jax.jit
    def product(left, right):
        return jax.lax.dot(left, right, preferred_element_type=jnp.float32)

    def seconds():
        began = time.perf_counter()
        for _ in range(3):
            jax.block_until_ready(product(square, square))
        return (time.perf_counter() - began) / 3

    return seconds


def compare(case: train_step_cases.Case) -> list[dict]:
    """One row per variant of the step, and one of the trainer."""
    ours = {("dim_jax", dtype): Ours(case, dtype) for dtype in products.DTYPES}
    ceilings = {("matmul", dtype): _ceiling(dtype) for dtype in products.DTYPES}
    whole = {("trainer", dtype): ours["dim_jax", dtype].run for dtype in products.DTYPES}
    unsigned = {("without signs", "float32"): Ours(case, "float32", signed=False)}
    variants = {**ours, **unsigned, **_theirs(case), **ceilings, **whole}
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in variants}
    for turn in range(case.rounds + 1):
        for key, variant in variants.items():
            if key[0] == "trainer" and turn > TRAINER_ROUNDS:
                continue  # each compiles
            seconds = variant()
            if turn:  # the first one warms up
                taken[key].append(seconds)
    seconds = {key: statistics.median(times) for key, times in taken.items()}
    for program in ours.values():
        assert np.isfinite(program.metrics["loss/encoder"]).all()
    gflop = ours["dim_jax", "float32"].gflop()
    return [_row(case, key, seconds, gflop) for key in variants if key[0] != "matmul"]


def _row(case: train_step_cases.Case, key: tuple[str, str], seconds: dict, gflop: float) -> dict:
    (form, dtype), mine = key, seconds[key]
    matmul = 2 * CEILING**3 / 1e9 / seconds["matmul", dtype]
    theirs = {other: s for other, s in seconds.items() if other[0].startswith("pytorch")}
    same = [s for other, s in theirs.items() if other[1] == dtype]
    compared = bool(theirs) and form == "dim_jax"
    return {
        **{"case": case.name, "batch": case.batch, "step": form, "dtype": dtype},
        "seconds": mine,
        "images_per_second": case.batch / mine,
        "gflop": gflop,
        "gflop_per_second": gflop / mine,
        "matmul_gflop_per_second": matmul,
        "floor_seconds": gflop / matmul,
        "fraction_of_matmul": gflop / mine / matmul,
        "over_best_pytorch": min(theirs.values()) / mine if compared else None,
        "over_pytorch_same_dtype": min(same) / mine if compared else None,
        "trainer_over_bare": seconds["dim_jax", dtype] / mine if form == "trainer" else None,
        "share_of_signs": (
            1 - seconds["without signs", dtype] / mine
            if (form, dtype) == ("dim_jax", "float32")
            else None
        ),
        **{"rounds": case.rounds, "steps_per_round": case.steps},
    }


def run(budget: str, results=table.RESULTS, only: str | None = None) -> None:
    """Runs the cases of the budget, prints the table and writes a file for this kind of machine.

    It is bench_train_step_<kind>.json, or bench_train_step_smoke.json.

    Args:
      only: run the cases that have this in their names, and write nothing.
    """
    rows, kind = [], machine.kind()
    cases = [case for case in train_step_cases.BUDGETS[budget] if (only or "") in case.name]
    for case in cases:
        print(f"== {case.name}", flush=True)
        rows += compare(case)
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")
    installed = {name: _version(name) for name in packages}
    name = f"bench_train_step_{budget if budget == 'smoke' else kind.name}"
    content = {
        "experiment": name,
        **{
            "device": run_metadata.device(),
            "machine": kind.text,
            "cores": os.cpu_count(),
            "commit": run_metadata.commit(),
        },
        "versions": {"python": platform.python_version(), "dim_jax": dim_jax.__version__}
        | installed,
        "units": UNITS,
        "rows": rows,
    }
    if only is None:
        results.mkdir(exist_ok=True)
        (results / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    report(content)


def _version(name: str) -> str | None:
    return importlib.metadata.version(name) if importlib.util.find_spec(name) else None


def report(content: dict) -> None:
    """Prints every row; what the columns mean is in `UNITS`."""
    columns = {
        **dict.fromkeys(("case", "step", "dtype"), ""),
        **{"seconds": ".3f", "floor_seconds": ".3f"},
        **{"images_per_second": ",.0f", "gflop_per_second": ",.0f", "fraction_of_matmul": ".2f"},
        **{"over_best_pytorch": ".2f", "over_pytorch_same_dtype": ".2f"},
        **{"trainer_over_bare": ".2f", "share_of_signs": ".3f"},
    }
    printed = rich.table.Table(*(key.replace("_", " ") for key in columns), padding=0)
    printed.title = " and ".join(filter(None, (content["device"], content["machine"])))
    for row in content["rows"]:
        cells = [(row[key], form) for key, form in columns.items()]
        printed.add_row(*("" if x is None else format(x, form) for x, form in cells))
    rich.console.Console(width=144).print(printed)


if __name__ == "__main__":
    chosen = table.options(
        train_step_cases.BUDGETS, case="run the cases whose name contains this, and only print"
    )
    run(chosen.budget, only=chosen.case)
