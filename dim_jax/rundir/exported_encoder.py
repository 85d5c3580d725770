"""Trained encoders on disk: weights as npz and a JSON card, without devices or pickle."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.processes import distributed
from dim_jax.rundir import checksums, tree_leaves, writing

_WEIGHTS, _CARD, _DIGEST = "weights.npz", "card.json", "weights_sha256"


def write(
    directory: str | os.PathLike,
    params: contracts.Tree,
    state: contracts.Tree,
    card: dict[str, Any],
) -> None:
    """Writes `weights.npz` and `card.json`: NumPy arrays and JSON, without devices or pickle.

    Trees are nested dicts; an array is stored as "params/<path>" or "state/<path>". npz does not
    support bfloat16, which is stored as float32. An older export is replaced by renaming.

    Raises: TypeError for a leaf that is not numeric or a container that is not a dict.
    """
    leaves = tree_leaves.named_leaves({"params": params, "state": state}, dicts_only=True)
    if not distributed.is_first():
        return
    directory = Path(directory).absolute()
    draft, old = (directory.with_name(f".{directory.name}.{word}") for word in ("draft", "old"))
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    with writing.explain_full_disk(
        "the encoder", directory, clean_up=lambda: shutil.rmtree(draft, ignore_errors=True)
    ):
        draft.mkdir(parents=True)
        np.savez(draft / _WEIGHTS, **{name: _for_npz(leaf) for name, leaf in leaves.items()})
        card = {**card, _DIGEST: checksums.sha256(draft / _WEIGHTS)}
        (draft / _CARD).write_text(json.dumps(card, indent=1) + "\n")
    if directory.exists():
        directory.rename(old)
    draft.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


def read(directory: str | os.PathLike) -> tuple[dict, dict, dict[str, Any]]:
    """(params, state, card) as `write` wrote them: nested dicts of NumPy arrays, and the card.

    Raises: contracts.UserError when the folder holds no export or a damaged one.
    """
    directory = Path(directory)
    for name in (_CARD, _WEIGHTS):
        if not (directory / name).is_file():
            raise contracts.UserError(
                f"{directory} has no {name}; give a finished run or an exported encoder"
            )
    try:
        card = json.loads((directory / _CARD).read_text())
        intact = card.pop(_DIGEST) == checksums.sha256(directory / _WEIGHTS)
    except (ValueError, KeyError, TypeError, AttributeError):
        intact = False
    if not intact:
        raise contracts.UserError(
            f"the export in {directory} is damaged: {_WEIGHTS} and {_CARD} do not belong together "
            "or were cut short; export or copy it again"
        )
    trees: dict[str, dict] = {"params": {}, "state": {}}
    with np.load(directory / _WEIGHTS, allow_pickle=False) as arrays:
        for name in arrays.files:
            _insert(trees, name.split("/"), arrays[name])
    return trees["params"], trees["state"], card


def _for_npz(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    return array.astype(np.float32) if array.dtype == jnp.bfloat16 else array


def _insert(tree: dict, path: list[str], leaf: np.ndarray) -> None:
    *parents, last = path
    for key in parents:
        tree = tree.setdefault(key, {})
    tree[last] = leaf
