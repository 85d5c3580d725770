"""Metadata of a run: the opening lines, the facts in results.json, the card of the encoder."""

import dataclasses
import json
import pathlib
import types
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dim_jax import contracts, data, encoder, published, settings
from dim_jax.nets import halving
from dim_jax.processes import environment, memory_usage
from dim_jax.processes.environment import commit as commit
from dim_jax.processes.environment import device as device
from dim_jax.rundir import exported_encoder, provenance, workdir
from dim_jax.training import preprocessing, start, train_step, trainer


def opening(
    config: settings.Config,
    dataset: data.Dataset,
    durations: trainer.Plan,
    initial: train_step.TrainState,
    notes: Sequence[str] = (),
    overridden: Mapping[str, Any] = types.MappingProxyType({}),
) -> list[str]:
    """The lines that a run prints before it trains; they show every setting that has been set.

    overridden: as of `published.overrides`.
    """
    train_images, test_images = (len(dataset.splits[name].images) for name in ("train", "test"))
    shape = "x".join(map(str, dataset.facts.shape))
    devices = jax.device_count()
    processes = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    sizes = ", ".join(f"{name} {count:,}" for name, count in _parameters(initial.params).items())
    unused = sorted(config.players.keys() - initial.params.keys())
    evaluated = "centre crops" if config.data.seeds is None else "the complete images"
    if (size := config.data.eval_size) is not None:
        evaluated += f" of images of {size}x{size}"
    augmentation = config.augment.describe(evaluated)
    lines = [
        f"data: {dataset.facts.name}, {train_images:,} training and {test_images:,} test images "
        f"of {shape}; {dataset.road}",
        f"classes: {data.describe_classes(dataset.facts.classes)}",
        *(f"note: {note}" for note in notes),
        f"augmentation: {'; '.join(augmentation)}" if augmentation else "",
        f"method: {_method_names(config.method)}; parameters by player: {sizes}{_unused(unused)}",
        _sized_encoder(config.method, config.augment.crop or dataset.facts.shape[0]),
        f"training: {durations.total_steps:,} steps = {config.train.epochs:g} epochs of "
        f"{durations.epoch_steps:,}; global batch {durations.batch_size} on {devices} x "
        f"{device()}{processes} ({durations.batch_size // devices} each), products in "
        f"{config.compute_dtype}; {durations.dispatch_steps} steps per dispatch, a checkpoint "
        f"every {min(durations.save_steps, durations.total_steps):,}; seed {config.seed}",
        _other_settings(config, " ".join(augmentation.values()).split()),
        published.line(config, overridden),
    ]
    return [line for line in lines if line]


def _unused(players: Sequence[str]) -> str:
    """The players of a config that the method does not have, as those of a term with weight 0."""
    names = ", ".join(f"players.{player}" for player in players)
    return f"; without a player, so not used: {names}" if players else ""


def _method_names(method: Mapping[str, Any]) -> str:
    """Such as "dim" or, of a method that wraps it, "dim, with probe"."""
    inner = method.get("method")
    return f"{_method_names(inner)}, with {method['name']}" if inner else method["name"]


def _sized_encoder(method: Mapping[str, Any], side: int) -> str:
    """The architecture of an encoder that follows from the side of its images, "" of others."""
    spec = method
    while isinstance(inner := spec.get("method") or spec.get("encoder"), Mapping):
        spec = inner
    if spec.get("name") != "auto":
        return ""
    return f"encoder: auto for {halving.describe(side, spec.get('local'))}"


def _other_settings(config: settings.Config, told: Sequence[str]) -> str:
    """The settings with another value than their default that no other line tells of."""
    root = config.changed()
    shown = ("deterministic", "published_data", "track")
    changed = {name: root[name] for name in shown if name in root}
    if config.is_of_published_data() or config.published == {}:
        changed.pop("published_data", None)
    for block in (config.data, config.augment, config.encoder, config.train):
        values = block.changed().items()
        changed |= {f"{block.block}.{name}": value for name, value in values}
    told = [f"augment.{name}" for name in told]
    parts = [f"{key}={value}" for key, value in changed.items() if key not in told]
    return f"settings: {', '.join(parts)}" if parts else ""


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
                # At most as many as of a stream, of which all would be read from disk.
                zlib.crc32(np.asarray(split.labels[:_CHECKED_LABELS]).tobytes()),
            )
            for name, split in splits
        },
    }


def check_data(folder: workdir.Workdir, fingerprint: Mapping[str, Any]) -> str:
    """A line on test images that have changed since the first checkpoint, "" if none have.

    Without a checkpoint nothing was learned from the data, and without results nothing was measured
    on the test images: what can be mended may be mended and tried again.

    Raises:
      UserError: data that have been learned from, or test images that results are of, have changed.

    Folders of older versions have no record of their data. The images that those versions held out
    of a folder of images were others, so that such a run cannot be continued.
    """
    if not any(folder.checkpoints.glob("[0-9]*")):
        return ""
    if folder.data.exists():
        try:
            there = json.loads(folder.data.read_text(encoding="utf-8"))
        except ValueError:
            there = None
        if difference := data.difference(there, fingerprint):
            rest = data.without_test(there), data.without_test(fingerprint)
            if not folder.results.exists() and not data.difference(*rest):
                return f"test images have changed since the run began: {difference}"
            raise contracts.UserError(
                f"the run in {folder.path} was begun with other data: {difference}; restore the "
                "data, or use another --workdir"
            )
    elif "files" in fingerprint:
        raise contracts.UserError(
            f"the run in {folder.path} was begun by an older version of dim_jax (it has no "
            "data.json), which held out other images of a folder; use another --workdir, or that "
            "version"
        )
    return ""


def facts(config, source, dataset, durations, final, loop) -> dict[str, Any]:
    """The `run` block of results.json, without time and memory of the evaluation."""
    images = durations.total_steps * durations.batch_size
    trainings, data_dir = start.trainings(config), config.data.data_dir
    shared, notes = data.count_trained_on(dataset, trainings, data_dir)
    return {
        "config": pathlib.Path(source.partition(":")[0]).stem,
        "config_string": source,
        "device": device(),
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "steps": durations.total_steps,
        "epochs": durations.total_steps / durations.epoch_steps,
        "batch_size": durations.batch_size,
        "compute_dtype": config.compute_dtype,
        "seed": config.seed,
        "training": provenance.digest(dataclasses.asdict(config)),
        "train_seconds": loop.train_seconds,
        "compile_seconds": loop.compile_seconds,
        "images_per_second": images / loop.train_seconds if loop.train_seconds else None,
        "parameters": _parameters(final.params),
        "dataset": dataset.facts.name,
        "train_examples": len(dataset.splits["train"].images),
        "test_examples": len(dataset.splits["test"].images),
        "test_examples_trained_on": shared,
        "commit": commit(),
        "versions": environment.versions(),
        "train_peak_mib": memory_usage.peaks(),
        "notes": notes,
    }


def export(
    directory: pathlib.Path,
    config: settings.Config,
    evaluated: data.Facts,
    prepared: preprocessing.Preprocessing,
    trained: contracts.Frozen,
    facts: Mapping[str, Any],
) -> None:
    """Writes the trained encoder as npz and a JSON card (see `encoder.load_encoder`).

    Args:
      config: the encoder is that of its innermost method.
      evaluated: facts of the images that the encoder takes.
    """
    method, block = config.method, config.data
    while "method" in method:
        method = method["method"]
    one = jax.ShapeDtypeStruct((1, *evaluated.shape), evaluated.dtype)
    shapes = jax.eval_shape(trained.represent, one)
    own = encoder.tap_shapes(method["encoder"], evaluated.shape)  # not those of a classifier
    pixel_range = evaluated.pixel_range
    height, width, _ = evaluated.uncropped or evaluated.shape
    card = {
        "format": encoder.FORMAT,
        "encoder": method["encoder"],
        "image_shape": list(evaluated.shape),
        "fit": block.fit,
        "channels": block.channels,
        "resize": height if height == width else None,
        "crop": evaluated.shape[0] if evaluated.uncropped else None,
        "mean": list(prepared.mean),
        "std": list(prepared.std),
        "taps": {tap: list(shape.shape[1:]) for tap, shape in shapes.items() if tap in own},
        "unreached": [tap for tap in trained.unreached if tap in own],
        "data": evaluated.name,
        "trained_on": [*start.trainings(config), block.images()],
        "bits": evaluated.bits,
        "dtype": evaluated.dtype,
        "pixel_range": pixel_range and pixel_range._asdict(),
        **{
            key: facts[key]
            for key in ("config", "config_string", "training", "steps", "commit", "versions")
        },
    }
    exported_encoder.write(
        directory,
        jax.device_get(trained.params["encoder"]["encoder"]),
        jax.device_get(trained.state["encoder"]),
        card,
    )
