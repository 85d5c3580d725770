"""Trained encoders on disk: weights as npz and a JSON card, without devices or pickle."""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.processes import distributed
from dim_jax.rundir import checksums, tree_leaves, writing

CARD = "card.json"
_WEIGHTS, _DIGEST, _CARD_DIGEST = "weights.npz", "weights_sha256", "card_sha256"


def write(
    directory: str | os.PathLike,
    params: contracts.Tree,
    state: contracts.Tree,
    card: dict[str, Any],
) -> None:
    """Writes `weights.npz` and `card.json`: NumPy arrays and JSON, without devices or pickle.

    Trees are nested dicts; an array is stored as "params/<path>" or "state/<path>". npz does not
    support bfloat16, which is stored as float32. An older export is replaced file by file; other
    files in the folder stay.

    Raises: TypeError for a leaf that is not numeric or a container that is not a dict.
    """
    leaves = tree_leaves.named_leaves({"params": params, "state": state}, dicts_only=True)
    if not distributed.is_first():
        return
    directory = Path(directory).absolute()
    draft = writing.draft_of(directory)
    with writing.explain_failed_write(
        "the encoder", directory, clean_up=lambda: shutil.rmtree(draft, ignore_errors=True)
    ):
        draft.mkdir(parents=True, exist_ok=True)
        np.savez(draft / _WEIGHTS, **{name: as_numpy(leaf) for name, leaf in leaves.items()})
        card = {**card, _DIGEST: checksums.sha256(draft / _WEIGHTS)}
        card |= {_CARD_DIGEST: card_digest(card)}
        (draft / CARD).write_text(json.dumps(card, indent=1) + "\n")
        directory.mkdir(exist_ok=True)
        for name in (_WEIGHTS, CARD):
            (draft / name).replace(directory / name)
        draft.rmdir()


def read(directory: str | os.PathLike) -> tuple[dict, dict, dict[str, Any]]:
    """(params, state, card) as `write` wrote them: nested dicts of NumPy arrays, and the card.

    Raises: contracts.UserError when the folder holds no export or a damaged one.
    """
    directory = Path(directory)
    for name in (CARD, _WEIGHTS):
        if not (directory / name).is_file():
            raise contracts.UserError(
                f"{directory} has no {name}; give a finished run or an exported encoder"
            )
    try:
        card = json.loads((directory / CARD).read_text(encoding="utf-8"))
        # Version 0.1.0 wrote no digest of the card.
        intact = card.pop(_CARD_DIGEST, None) in (None, card_digest(card))
        intact &= card.pop(_DIGEST) == checksums.sha256(directory / _WEIGHTS)
        trees = _read_weights(directory / _WEIGHTS) if intact else {}
    # What is no archive of plain arrays by distinct paths, or no card.
    except (ValueError, LookupError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        trees = {}
    except OSError as error:
        raise contracts.UserError(
            f"the export in {directory} cannot be read ({error.strerror}); copy it again"
        ) from error
    if trees.keys() != {"params", "state"}:
        raise contracts.UserError(
            f"the export in {directory} is damaged: {_WEIGHTS} and {CARD} do not belong together "
            "or were cut short; export or copy it again"
        )
    return trees["params"], trees["state"], card


def _read_weights(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return nested({name: arrays[name] for name in arrays.files})


def nested(leaves: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """{"params": .., "state": ..} of arrays by their paths.

    Raises: ValueError, TypeError: an array without numbers, or paths that exclude each other.
    """
    trees: dict[str, Any] = {"params": {}, "state": {}}
    for name, leaf in leaves.items():
        if tree_leaves.kind(leaf) is None:
            raise ValueError(f"{name} holds no numbers")
        *parents, last = name.split("/")
        tree = trees
        for key in parents:
            tree = tree.setdefault(key, {})
        tree[last] = leaf
    return trees


def card_digest(card: dict[str, Any]) -> str:
    """The SHA-256 of a card, whatever the order of its keys and its indentation."""
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def as_numpy(leaf: Any) -> np.ndarray:
    """The leaf as npz stores it: bfloat16 as float32."""
    array = np.asarray(leaf)
    return array.astype(np.float32) if array.dtype == jnp.bfloat16 else array
