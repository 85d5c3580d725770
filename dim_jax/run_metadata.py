"""What a run says about itself: the opening lines, the facts in results.json, the exported card."""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import dim_jax
from dim_jax import contracts, data, encoder
from dim_jax.processes import memory_usage
from dim_jax.rundir import exported_encoder
from dim_jax.training import train_step, trainer

_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


def opening(config, dataset, durations: trainer.Plan, initial: train_step.TrainState) -> list[str]:
    """The lines that a run prints before it trains: data, method, and resolved durations."""
    train_images, test_images = (len(dataset.splits[name].images) for name in ("train", "test"))
    shape = "x".join(map(str, dataset.facts.shape))
    devices = jax.device_count()
    processes = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    patches = config["data"].get("seeds") is not None
    sizes = ", ".join(f"{name} {count:,}" for name, count in _parameters(initial.params).items())
    return [
        f"data: {dataset.facts.name}, {train_images:,} training and {test_images:,} test images "
        f"of {shape}{_changes(patches, **config.get('augment', {}))}; {dataset.road}",
        f"method: {config['method']['name']}; parameters by player: {sizes}",
        f"training: {durations.total_steps:,} steps = {config['train']['epochs']:g} epochs of "
        f"{durations.epoch_steps:,}; global batch {durations.batch_size} on {devices} x "
        f"{device()}{processes} ({durations.batch_size // devices} each), products in "
        f"{config['compute_dtype']}; seed {config['seed']}",
    ]


def _changes(patches: bool = False, **block) -> str:
    """How training images differ from those that are evaluated, "" if they do not.

    Args:
      patches: of images are trained on, and the images themselves are evaluated.
    """
    whole = "whole images" if patches else None
    crop, boxes = block.get("crop"), block.get("resized_crop")
    square = f" {crop}x{crop}" if crop else ""
    squares = f"random{square} crops, {whole or 'centre ones'} in evaluations"
    parts = [squares] if crop and not boxes else []
    if boxes:
        centre = f", {whole or 'centres'} in evaluations" if crop else ""
        parts.append(
            f"random crops of {boxes[0]:g} to {boxes[1]:g} resized{square and ' to'}"
            f"{square}{centre}"
        )
    parts += ["random flips"] if block.get("flip") else []
    if pixels := block.get("translate"):
        parts.append(f"{block.get('translate_rate', 1):.0%} moved by up to {pixels} pixels")
    if strengths := block.get("jitter"):
        shown = "/".join(f"{strength:g}" for strength in strengths)
        parts.append(f"{block.get('jitter_rate', 1):.0%} with colours jittered by {shown}")
    rates = {"grey": "made grey", "blur": "blurred", "solarise": "solarised"}
    parts += [f"{block[key]:.0%} {what}" for key, what in rates.items() if block.get(key)]
    if (views := block.get("views", 1)) > 1:
        parts.append(f"{views} views of each image")
    return "".join(f"; {part}" for part in parts)


def _parameters(params: Mapping[str, Any]) -> dict[str, int]:
    return {
        player: sum(leaf.size for leaf in jax.tree.leaves(tree)) for player, tree in params.items()
    }


_CHECKED_LABELS = 10_000


def identity(config: Mapping[str, Any], dataset: data.Dataset) -> dict[str, Any]:
    """What has to be the same in all processes of a run, as numbers: the config and the data."""
    splits = dataset.splits.items()
    return {
        "the config": zlib.crc32(json.dumps(config, sort_keys=True).encode()),
        "the road of the data (1 = streaming)": int(data.is_streamed(dataset.splits["train"])),
        **{f"the number of {name} images": len(split.images) for name, split in splits},
        **{
            f"the checksum of the {name} data": zlib.crc32(
                np.asarray(split.images[0]).tobytes(),
                # Of a stream not all: that would read the whole of it.
                zlib.crc32(np.asarray(split.labels[:_CHECKED_LABELS]).tobytes()),
            )
            for name, split in splits
        },
    }


def facts(config, source, dataset, durations, final, loop) -> dict[str, Any]:
    """The `run` block of results.json, but for what evaluation takes."""
    images = durations.total_steps * durations.batch_size
    return {
        "config": pathlib.Path(source.partition(":")[0]).stem,
        "config_string": source,
        "device": device(),
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "steps": durations.total_steps,
        "epochs": durations.total_steps / durations.epoch_steps,
        "batch_size": durations.batch_size,
        "compute_dtype": config["compute_dtype"],
        "seed": config["seed"],
        "train_seconds": loop.train_seconds,
        "compile_seconds": loop.compile_seconds,
        "images_per_second": images / loop.train_seconds if loop.train_seconds else None,
        "parameters": _parameters(final.params),
        "dataset": dataset.facts.name,
        "train_examples": len(dataset.splits["train"].images),
        "test_examples": len(dataset.splits["test"].images),
        "commit": commit(),
        "versions": {
            "python": platform.python_version(),
            "dim_jax": dim_jax.__version__,
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "train_peak_mib": memory_usage.peaks(),
        "notes": [],
    }


def published(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """{evaluation: {tap: number}} of the config, {} if its data are not those of the numbers."""
    own = config["data"]["name"]
    return config.get("published", {}) if config.get("published_data", own) == own else {}


def device() -> str:
    """The accelerator's name, or the CPU with its number of cores."""
    first = jax.devices()[0]
    if first.platform != "cpu":
        return first.device_kind
    return f"CPU with {os.cpu_count()} cores"


def commit() -> str | None:
    """The commit of the source tree, if dim_jax runs from one."""
    command = ["git", "-C", os.path.dirname(__file__), "rev-parse", "HEAD"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    return None


def export(
    directory: pathlib.Path,
    config: Mapping[str, Any],
    dataset: data.Dataset,
    trained: contracts.Frozen,
    facts: Mapping[str, Any],
) -> None:
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
    exported_encoder.write(
        directory,
        jax.device_get(trained.params["encoder"]["encoder"]),
        jax.device_get(trained.state["encoder"]),
        card,
    )
