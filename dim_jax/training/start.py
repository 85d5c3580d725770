"""The start of a training: random, from another run, or with the encoder of another one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dim_jax import contracts, settings
from dim_jax.rundir import checkpoint, encoder_files, paths, provenance, tree_leaves, workdir
from dim_jax.training import continuation, preprocessing, train_step

# The encoder in a train state, and its names in an export.
_PLACES = {"params/encoder/encoder": "params", "state/encoder": "state"}


def is_random(config: settings.Config) -> bool:
    """Whether a training starts from random parameters alone."""
    return not (config.train.init_from or config.encoder.init)


def notes(config: settings.Config) -> list[str]:
    """Sentences for the report on what a training started from."""
    lines = []
    if run := config.train.init_from:
        lines.append(f"Trained from {run}; 'untrained' is random.")
    if path := config.encoder.init:
        lines.append(f"The encoder was trained from that of {path}; 'untrained' is random.")
    return lines


def trainings(config: settings.Config) -> list[dict[str, Any]]:
    """The images that the start of a training was trained on, as in the card of an encoder.

    [] if it is random, or was written by an older version or removed since.
    """
    given = config.train.init_from or config.encoder.init
    if not given:
        return []
    folder = workdir.Workdir(given)
    for export in (folder.encoder, folder.path):
        if encoder_files.is_export(export):
            try:
                return encoder_files.read(export)[2].get("trained_on", [])
            except contracts.UserError:
                return []
    try:
        there = settings.Data.of(json.loads(folder.config.read_text(encoding="utf-8"))["data"])
    except (OSError, ValueError, LookupError, contracts.UserError):
        return []
    return [there.images()]


def make(
    config: settings.Config,
    initial: train_step.TrainState,
    image_shape: Sequence[int],
    prepared: preprocessing.Preprocessing,
) -> tuple[train_step.TrainState, str]:
    """The train state at step 0, and a line on what of it is of another run ("" = nothing).

    Args:
      image_shape: (h, w, c) of the images that the encoder takes in evaluations.

    Raises:
      UserError: a `train.init_from` or `encoder.init` that is not usable, or does not fit.
    """
    if run := config.train.init_from:
        return continuation.start_from(initial, run)
    if not config.encoder.init:
        return initial, ""
    where, there, card = _read(paths.expand(config.encoder.init, "encoder.init"))
    here = tree_leaves.named_leaves({"params": initial.params, "state": initial.state})
    here = {name: leaf for name, leaf in here.items() if _name(name)}
    saved = {name: tree_leaves.signature(leaf) for name, leaf in there.items()}
    named = {_name(name): leaf for name, leaf in here.items()}
    images = _other_images(card, image_shape)
    if difference := tree_leaves.difference(saved, named):
        reasons = [difference, images, _advice(card, config.method, images)]
        raise contracts.UserError(
            f"{where} does not fit encoder.init of this run: {'; '.join(filter(None, reasons))}"
        )
    state = continuation.with_leaves(initial, {name: there[_name(name)] for name in here})
    rest = ["everything else anew", images, _other_scaling(card, prepared)]
    return state, f"start: {where}; {'; '.join(filter(None, rest))}"


def _read(path: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The place of an encoder in words, its arrays by their names in an export, and its card.

    The card of a run without an exported encoder is {}.
    """
    folder = workdir.Workdir(path)
    for export in (folder.encoder, path):
        if encoder_files.is_export(export):
            params, state, card = encoder_files.read(export)
            leaves = tree_leaves.named_leaves({"params": params, "state": state})
            return f"the encoder {export} of step {card.get('steps', 'unknown')}", leaves, card
    if found := checkpoint.Checkpoints(folder.checkpoints).read(("params", "state")):
        step, leaves = found
        named = {_name(name): leaf for name, leaf in leaves.items() if _name(name)}
        return f"the encoder of checkpoint {step:,} of {path}", named, {}
    raise contracts.UserError(
        f"encoder.init is {str(path)!r}, which has no exported encoder and no readable checkpoint; "
        "set it to an exported encoder, a run folder or None"
    )


def _name(leaf: str) -> str | None:
    """The name in an export of a leaf of the encoder; None for other leaves."""
    for place, name in _PLACES.items():
        if leaf.startswith(f"{place}/"):
            return name + leaf.removeprefix(place)
    return None


def _other_images(card: Mapping[str, Any], image_shape: Sequence[int]) -> str:
    there = card.get("image_shape", [*image_shape])
    if [*there] == [*image_shape]:
        return ""
    there, here = ("x".join(map(str, shape)) for shape in (there, image_shape))
    return f"it was trained on images of {there} and these are of {here}"


def _other_scaling(card: Mapping[str, Any], prepared: preprocessing.Preprocessing) -> str:
    """The numbers of the scaling of pixels that differ, in words."""
    here, ends = {"mean": prepared.mean, "std": prepared.std}, prepared.pixel_range
    there = {name: card[name] for name in here if name in card}
    if there and (ends or card.get("pixel_range")):
        uint8 = {"low": (0,) * len(prepared.mean), "high": (255,) * len(prepared.mean)}
        for values, source in ((here, ends and ends._asdict()), (there, card.get("pixel_range"))):
            values |= {name: (source or uint8)[name] for name in uint8}
    parts = [
        f"{name} {_numbers(values)} there and {_numbers(here[name])} here"
        for name, values in there.items()
        if _numbers(values) != _numbers(here[name])
    ]
    return f"its pixels were scaled otherwise ({', '.join(parts)})" if parts else ""


def _numbers(values: Sequence[float]) -> str:
    return "/".join(f"{value:.3g}" for value in values)


def _advice(card: Mapping[str, Any], method: Mapping[str, Any], images: str) -> str:
    """The keys of the config's encoder to change, or which images to use."""
    path = "method"
    while "method" in method:
        path, method = f"{path}.method", method["method"]
    there, here = (
        settings.flatten(provenance.plain(spec or {}))
        for spec in (card.get("encoder"), method["encoder"])
    )
    changes = [
        f"set {path}.encoder.{key} to {value!r}"
        for key, value in there.items()
        if key and here.get(key) != value
    ]
    if changes:
        return " and ".join(changes)
    images_of = "images of that shape (data.image_size, augment.crop), or "
    return f"use {images_of if images else ''}an encoder that fits {path}.encoder"
