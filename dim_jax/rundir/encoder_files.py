"""Exported encoders: a folder, or one .npz or .safetensors file of arrays by path and the card."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dim_jax import contracts
from dim_jax.rundir import exported_encoder, tree_leaves

CARD = "card"
_DIGESTS = ("weights_sha256", "card_sha256")


def write(
    draft: Path,
    save: Callable[[Path, dict[str, np.ndarray], str], None],
    params: contracts.Tree,
    state: contracts.Tree,
    card: Mapping[str, Any],
) -> None:
    """Writes the file by `save_npz` or `save_safetensors`.

    An array is stored as "params/<path>" or "state/<path>", the card as JSON.
    """
    leaves = tree_leaves.named_leaves({"params": params, "state": state}, dicts_only=True)
    arrays = {name: exported_encoder.as_numpy(leaf) for name, leaf in leaves.items()}
    card = {key: value for key, value in card.items() if key not in _DIGESTS}
    card |= {"weights_sha256": _digest(arrays)}
    card |= {"card_sha256": exported_encoder.card_digest(card)}
    save(draft, arrays, json.dumps(card))


def save_npz(draft: Path, arrays: dict[str, np.ndarray], card: str) -> None:
    """The arrays, and the card as an array of text."""
    with draft.open("wb") as file:  # given a name, np.savez would append ".npz" to it
        np.savez(file, **{CARD: np.array(card)}, **arrays)


def save_safetensors(draft: Path, arrays: dict[str, np.ndarray], card: str) -> None:
    """The arrays, and the card as metadata."""
    from safetensors import numpy as safetensors

    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in arrays.items()}
    draft.write_bytes(safetensors.save(arrays, {CARD: card}))  # save_file would allow no other user


def is_export(path: Path) -> bool:
    """Whether the path is that of a file, or of the folder of an exported encoder."""
    return path.is_file() or (path / exported_encoder.CARD).is_file()


def read(path: Path) -> tuple[dict, dict, dict[str, Any]]:
    """(params, state, card) of a file or folder: nested dicts of NumPy arrays, and the card.

    Raises: contracts.UserError when it holds no encoder or a damaged one, or is a .safetensors
        file and that package is not installed.
    """
    if not path.is_file():
        return exported_encoder.read(path)
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors}
    if path.suffix.lower() not in readers:
        raise contracts.UserError(
            f"{path} is a file that ends in neither {' nor '.join(readers)}; give a finished run "
            "or an exported encoder"
        )
    try:
        arrays, text = readers[path.suffix.lower()](path)
        card = json.loads(text)
        intact = card.pop("card_sha256") == exported_encoder.card_digest(card)
        intact &= card.pop("weights_sha256") == _digest(arrays)
        trees = exported_encoder.nested(arrays) if intact else {}
    except (ValueError, LookupError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        trees = {}
    except OSError as error:
        raise contracts.UserError(
            f"{path} cannot be read ({error.strerror}); copy it again"
        ) from error
    if trees.keys() != {"params", "state"}:
        raise contracts.UserError(
            f"{path} holds no encoder that this package exported, or was cut short or changed; "
            "export or copy it again"
        )
    return trees["params"], trees["state"], card


def holds(path: Path) -> bool:
    """Whether a file has the card of an encoder; arrays are not read."""
    try:
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as archive:
                return f"{CARD}.npy" in archive.namelist()
        return "image_shape" in _metadata(path)[CARD]
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile):
        return False


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], str]:
    # Of a path, np.load would leave a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays, str(arrays.pop(CARD))


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], str]:
    try:
        import safetensors
        from safetensors import numpy
    except ImportError as error:
        raise contracts.UserError(
            f"{path} is read by safetensors, which is not installed: install it with "
            "`python -m pip install 'dim-jax[safetensors]'`"
        ) from error
    try:
        return numpy.load_file(path), _metadata(path)[CARD]
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error


def _metadata(path: Path) -> dict[str, str]:
    """Of a safetensors file, which starts with the length of its JSON header, u64."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(min(length, 2**27)))["__metadata__"]


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of the arrays in the order of their names, with types and shapes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        leaf = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {leaf.dtype.name} {leaf.shape}\n".encode())
        digest.update(leaf.data)
    return digest.hexdigest()
