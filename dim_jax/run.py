"""One experiment from config to report: data, training, encoder, evaluation, report."""

import contextlib
import functools
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from PIL import Image

import dim_jax
from dim_jax import build, checkpoint, contracts, data, encoder, report, steps, train
from dim_jax.evaluate import controls, suite
from dim_jax.workdir import Workdir

_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


class Outputs:
    """Where a training run's rows and lines go: metrics.jsonl, TensorBoard and the console."""

    def __init__(self, folder: Workdir, console: report.Console):
        self._folder = folder
        self._console = console
        self._enabled = jax.process_index() == 0
        self._exit = contextlib.ExitStack()
        self._jsonl = report.JsonlWriter(folder.metrics, enabled=self._enabled)
        self.log = console.log

    def begin(self, step: int, plan: train.Plan) -> Mapping[str, Any]:
        """Drops what was written after `step`, opens the writers, returns the last row kept."""
        self._jsonl.truncate_after(step)
        self._tensorboard = report.TensorBoardWriter(
            self._folder.tensorboard, enabled=self._enabled, resume_step=step
        )
        self._progress = self._exit.enter_context(self._console.progress(plan.total_steps, step))
        rows = report.read_rows(self._folder.metrics)
        return rows[-1] if rows else {}

    def append(self, row: Mapping[str, Any]) -> None:
        """Writes one row of metrics everywhere."""
        self._jsonl.append(row)
        self._tensorboard.append(row)
        self._progress.update(row["step"], row)

    def close(self) -> None:
        """Ends the progress bar and closes the files."""
        self._exit.close()
        self._jsonl.close()
        self._tensorboard.close()


def train_and_evaluate(config: Mapping[str, Any], workdir: str, source: str) -> dict[str, Any]:
    """Runs, or continues, the experiment of a resolved config; returns what results.json holds.

    Args:
      config: plain nested dicts (see configs/).
      workdir: the run folder.
      source: the config file with its arguments, for the record.

    Raises:
      UserError: the config, the data or the folder is not usable; training diverged.
      train.Stopped: a signal came; the run is saved.
    """
    folder = Workdir(workdir)
    console = report.Console(enabled=jax.process_index() == 0)
    folder.check(config)
    if folder.results.exists():
        report.write_html(folder.path)
        console.log(f"this run is finished; its report: {folder.report}")
        results = json.loads(folder.results.read_text())
        console.results(results)
        return results
    suite.check(config["evals"])
    method = build.make("method", config["method"])
    dataset = data.load(**_data_arguments(config["data"]))
    durations = train.plan(config["train"], len(dataset.splits["train"].images), jax.device_count())
    initial = train.initial_state(method, config, dataset, durations)
    folder.claim(config)
    for line in _description(config, dataset, durations, initial):
        console.log(line)
    outputs = Outputs(folder, console)
    checkpoints = checkpoint.Checkpoints(folder.checkpoints, keep=config["train"]["keep"])
    with contextlib.closing(outputs):
        loop = train.Loop.of(initial, config, dataset, durations, checkpoints, outputs)
        final = loop.run()
    facts = _run_facts(config, source, dataset, durations, final, loop)
    return _judge(folder, console, config, method, dataset, initial, final, facts)


def _judge(folder, console, config, method, dataset, initial, final, facts) -> dict[str, Any]:
    """Evaluates the trained representation beside its controls; writes results and report."""
    scaling = data.scaling(dataset.facts, config["data"]["scaling"])
    trained = _frozen(method, final.params, final.state, scaling)
    export(folder.encoder, config, dataset, trained, facts)
    began = time.perf_counter()
    representations = {
        "trained": trained,
        "untrained": _frozen(method, initial.params, initial.state, scaling),
        "pixels": controls.pixels(),
        "pca": controls.pca(dataset.splits["train"].images, _width(trained, dataset)),
    }
    rng = jax.random.key(config["seed"])
    rows, figures = suite.run(config["evals"], representations, dataset, rng, log=console.log)
    facts["eval_seconds"] = time.perf_counter() - began
    published = config.get("published", {})
    for row in rows:
        known = published.get(row["eval"], {}) if row["representation"] == "trained" else {}
        row["published"] = known.get(row["tap"])
    results = {
        "format": 1,
        "run": facts,
        "rows": rows,
        "published_source": config.get("published_source") if any(published.values()) else None,
        "figures": [],
    }
    folder.figures.mkdir(exist_ok=True)
    for name, title, caption, image in figures:
        Image.fromarray(np.asarray(image)).save(folder.figures / name)
        results["figures"].append({"file": name, "title": title, "caption": caption})
    folder.write_json(folder.results, results)
    report.write_html(folder.path)
    console.results(results)
    console.log(f"report: {folder.report}")
    console.log(f"encoder: {folder.encoder} (dim_jax.load_encoder({str(folder.path)!r}))")
    return results


def export(directory, config, dataset, trained: contracts.Frozen, facts) -> None:
    """Writes the trained encoder as npz and a JSON card (see `encoder.load_encoder`)."""
    spec = config["method"]
    while "method" in spec:
        spec = spec["method"]
    mean, std = data.scaling(dataset.facts, config["data"]["scaling"])
    one = jax.ShapeDtypeStruct((1, *dataset.facts.shape), np.uint8)
    shapes = jax.eval_shape(trained.represent, one)
    card = {
        "format": encoder.FORMAT,
        "encoder": spec["encoder"],
        "image_shape": list(dataset.facts.shape),
        "mean": list(mean),
        "std": list(std),
        "taps": {tap: list(shape.shape[1:]) for tap, shape in shapes.items()},
        "data": dataset.facts.name,
        **{key: facts[key] for key in ("config", "config_string", "steps", "commit", "versions")},
    }
    checkpoint.export(
        directory,
        jax.device_get(trained.params["encoder"]["encoder"]),
        jax.device_get(trained.state["encoder"]),
        card,
    )


def _frozen(method, params, state, scaling) -> contracts.Frozen:
    @jax.jit
    def represent(params, state, images):
        return method.represent(params, state, data.normalise(images, *scaling))

    return contracts.Frozen(functools.partial(represent, params, state), method, params, state)


def _width(frozen: contracts.Frozen, dataset: data.Dataset) -> int:
    one = jax.ShapeDtypeStruct((1, *dataset.facts.shape), np.uint8)
    return jax.eval_shape(frozen.represent, one)["y"].shape[-1]


def _data_arguments(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != "scaling"}


def _description(config, dataset, durations: train.Plan, initial: steps.TrainState) -> list[str]:
    train_images, test_images = (len(dataset.splits[name].images) for name in ("train", "test"))
    shape = "x".join(map(str, dataset.facts.shape))
    devices = jax.device_count()
    sizes = ", ".join(f"{name} {count:,}" for name, count in _parameters(initial.params).items())
    return [
        f"data: {dataset.facts.name}, {train_images:,} training and {test_images:,} test images "
        f"of {shape}",
        f"method: {config['method']['name']}; parameters by player: {sizes}",
        f"training: {durations.total_steps:,} steps = {config['train']['epochs']:g} epochs of "
        f"{durations.epoch_steps:,}; global batch {durations.batch_size} on {devices} x "
        f"{_device()} ({durations.batch_size // devices} each); seed {config['seed']}",
    ]


def _parameters(params: Mapping[str, Any]) -> dict[str, int]:
    return {
        player: sum(leaf.size for leaf in jax.tree.leaves(tree)) for player, tree in params.items()
    }


def _run_facts(config, source, dataset, durations, final, loop) -> dict[str, Any]:
    images = durations.total_steps * durations.batch_size
    return {
        "config": pathlib.Path(source.partition(":")[0]).stem,
        "config_string": source,
        "device": _device(),
        "devices": jax.device_count(),
        "steps": durations.total_steps,
        "epochs": durations.total_steps / durations.epoch_steps,
        "batch_size": durations.batch_size,
        "seed": config["seed"],
        "train_seconds": loop.train_seconds,
        "compile_seconds": loop.compile_seconds,
        "images_per_second": images / loop.train_seconds,
        "parameters": _parameters(final.params),
        "dataset": dataset.facts.name,
        "train_examples": len(dataset.splits["train"].images),
        "test_examples": len(dataset.splits["test"].images),
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            "dim_jax": dim_jax.__version__,
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "notes": [],
    }


def _device() -> str:
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    return f"CPU with {os.cpu_count()} cores"


def _commit() -> str | None:
    """The commit of the source tree, if dim_jax runs from one."""
    command = ["git", "-C", os.path.dirname(__file__), "rev-parse", "HEAD"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    return None
