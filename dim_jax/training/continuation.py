"""Trainings that go on from others: a longer one, and one from another run's parameters."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts, settings
from dim_jax.rundir import checkpoint, encoder_files, paths, tree_leaves, workdir
from dim_jax.training import optimizers, train_step, trainer

_ENCODER = ("params/encoder/encoder", "state/encoder")  # has to fit


def is_finished(folder: workdir.Workdir, train: settings.Train) -> bool:
    """Whether the results of a run folder are those of the end of this training."""
    try:
        run = json.loads(folder.results.read_text())["run"]
        epoch_steps = round(run["steps"] / run["epochs"])
        end = math.ceil(train.epochs * epoch_steps)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError, KeyError, ZeroDivisionError):
        return True  # damaged, which is said where they are read to be shown
    return run["steps"] == end >= _made(folder)


def check(folder: workdir.Workdir, config: settings.Config, durations: trainer.Plan) -> None:
    """Raises UserError if a run folder cannot be trained on, or not to this length."""
    checkpoint.Checkpoints(folder.checkpoints, config=dataclasses.asdict(config)).check()
    made = _made(folder)
    if folder.results.exists() and not made:
        raise contracts.UserError(
            f"{folder.path} has results and no checkpoint to train on from; use another --workdir, "
            "or the train.epochs that it was created with"
        )
    if made > durations.total_steps:
        epochs = math.ceil(1000 * made / durations.epoch_steps) / 1000
        raise contracts.UserError(
            f"train.epochs is {config.train.epochs:g}, which are {durations.total_steps:,} steps, "
            f"and the training in {folder.path} has made {made:,}; set it to {epochs:g} or more, "
            "or use another --workdir"
        )


def describe_length(folder: workdir.Workdir, config: settings.Config) -> list[str]:
    """A line on a training whose length differs from that of the folder, [] without one."""
    try:
        before = json.loads(folder.config.read_text())["train"]["epochs"]
    except (FileNotFoundError, TypeError, KeyError):
        return []
    if before == config.train.epochs:
        return []
    rates = "the learning rates do not depend on it"
    of_length = [
        player
        for player, spec in config.players.items()
        if isinstance(spec, Mapping)
        and spec.get("schedule", {}).get("name") in optimizers.OF_LENGTH
    ]
    if of_length:
        rates = (
            f"from here on the learning rates of {', '.join(of_length)} follow the schedule of "
            f"{config.train.epochs:g} epochs"
        )
    return [f"length: {config.train.epochs:g} epochs, before {before:g}; {rates}"]


def _made(folder: workdir.Workdir) -> int:
    return max(checkpoint.Checkpoints(folder.checkpoints).steps(), default=0)


def start_from(initial: train_step.TrainState, run: str) -> tuple[train_step.TrainState, str]:
    """The train state at step 0 with the parameters and state of another run, and a line on them.

    A part of a player, such as its encoder or a critic, is taken if all of its leaves have the
    names and shapes that they have here, and so is a part of the method's state; the encoder has to
    fit. Optimizers and the step start anew.

    Args:
      run: a run folder, of which the newest checkpoint is read, or an exported encoder.

    Raises:
      UserError: a path that cannot be used; there is neither; its encoder has another architecture.
    """
    where, there = _read(paths.expand(run, "train.init_from"))
    template = {"params": initial.params, "state": initial.state}
    here = _parts(tree_leaves.named_leaves(template))
    for part in _ENCODER:
        saved = {name: tree_leaves.signature(leaf) for name, leaf in there.get(part, {}).items()}
        if difference := tree_leaves.difference(saved, here.get(part, {})):
            raise contracts.UserError(
                f"the encoder in {where} does not fit this run: {difference}; set train.init_from "
                "to a run with this encoder, or method.encoder to that of the run"
            )
    taken = [part for part, leaves in here.items() if _fits(there.get(part), leaves)]
    values = {name: leaf for part in taken for name, leaf in there[part].items()}
    rest = [part for part in here if part not in taken] + ["the optimizers", "the step"]
    line = f"start: {', '.join(taken)} from {where}; {', '.join(rest)} anew"
    return with_leaves(initial, values), line


def with_leaves(initial: train_step.TrainState, values: Mapping[str, Any]) -> train_step.TrainState:
    """The train state at step 0 with other parameters and state where `values` has their leaf.

    A network that averages the encoder, such as the target of BYOL, starts from its values, too.
    """
    template = {"params": initial.params, "state": initial.state}
    leaves = {
        name: jnp.asarray(values[source], leaf.dtype) if source in values else leaf
        for name, leaf in tree_leaves.named_leaves(template).items()
        for source in [name if name in values else _averaged(name)]
    }
    tree = jax.tree.unflatten(jax.tree.structure(template), leaves.values())
    anew = jax.jit(initial.tx.init)(tree["params"])
    return initial.replace(params=tree["params"], state=tree["state"], opt_state=anew)


def _averaged(name: str) -> str:
    """The parameter that a leaf of the state averages, as {NAME: {"params": ..}} in it has them."""
    return re.sub("^state/[^/]+/params/", "params/encoder/", name)


def _read(run: Path) -> tuple[str, dict[str, dict[str, np.ndarray]]]:
    """The place of the parameters, in words, and their leaves by part."""
    folder = workdir.Workdir(run)
    if found := checkpoint.Checkpoints(folder.checkpoints).read(("params", "state")):
        step, leaves = found
        return f"checkpoint {step:,} of {run}", _parts(leaves)
    for export in (folder.encoder, run):
        if encoder_files.is_export(export):
            params, state, card = encoder_files.read(export)
            tree = {"params": {"encoder": {"encoder": params}}, "state": {"encoder": state}}
            where = f"the encoder {export} of step {card.get('steps', 'unknown')}"
            return where, _parts(tree_leaves.named_leaves(tree))
    raise contracts.UserError(
        f"train.init_from is {str(run)!r}, which has no readable checkpoint and no exported "
        "encoder; set it to a run folder, an exported encoder or None"
    )


def _parts(leaves: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Leaves by the part that they belong to: params/PLAYER/PART or state/PART."""
    parts: dict[str, dict[str, Any]] = {}
    for name, leaf in leaves.items():
        depth = {"params": 3, "state": 2}.get(name.partition("/")[0])
        if depth:
            parts.setdefault("/".join(name.split("/")[:depth]), {})[name] = leaf
    return parts


def _fits(there: Mapping[str, Any] | None, here: Mapping[str, Any]) -> bool:
    saved = {name: tree_leaves.signature(leaf) for name, leaf in (there or {}).items()}
    return tree_leaves.difference(saved, dict(here)) is None
