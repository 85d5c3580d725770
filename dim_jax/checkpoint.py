"""Training state on disk, and the exported encoder. The only module that knows orbax.

A checkpoint is a folder `<step>/` with `arrays/` (orbax), `leaves.json` (name, shape and dtype of
every leaf), `metrics.json` (those of the step, where given) and `manifest.json` (see `manifest`).
It is written under a draft name and renamed when complete, so a process killed at any moment leaves
the former checkpoints as they were. The manifest is needed because orbax alone restores some
damaged files without complaint.
"""

import contextlib
import functools
import json
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from dim_jax import best, contracts, disk, manifest

_DRAFT = "draft-"  # being written, or being deleted: never read
_UNREADABLE = "unreadable-"
_ARRAYS, _LEAVES = "arrays", "leaves.json"
_NOTES = "notes.json"  # the state of the input pipeline
_MARGIN = 2**17  # bytes for what a checkpoint has besides arrays
_WEIGHTS, _CARD, _DIGEST = "weights.npz", "card.json", "weights_sha256"


class Checkpoints:
    """The newest `keep` checkpoints of one run, and the best by the metric `keep_best`, if given.

    `best.json` names the best (see `best.find`); what a run continues from is always the newest.
    With several processes every one of them makes the same calls, on a shared file system.
    """

    def __init__(self, directory: str | os.PathLike, keep: int = 2, keep_best: str | None = None):
        if keep < 1:
            raise ValueError(f"keep is {keep}; at least one checkpoint is needed, so set keep >= 1")
        self._directory = Path(directory).absolute()
        self._keep = keep
        self._keep_best = keep_best

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        if not self._directory.is_dir():
            return []
        return sorted(int(path.name) for path in self._directory.iterdir() if path.name.isdigit())

    def notes(self, step: int) -> dict[str, Any]:
        """The JSON that was saved beside checkpoint `step`, {} where there is none."""
        path = self._path(step) / _NOTES
        return json.loads(path.read_text()) if path.is_file() else {}

    def save(
        self,
        step: int,
        tree: contracts.Tree,
        *,
        metrics: Mapping[str, float] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes `tree` as checkpoint `step` and waits for it; does nothing when that step exists.

        Leaves are arrays or Python numbers; `metrics` are those that `keep_best` chooses by;
        `notes` is JSON, see the method of that name. Older checkpoints than the newest `keep`, but
        for the best, are deleted after the new one is complete.

        Raises: TypeError for a leaf that is not numeric; contracts.UserError when the disk is
            full, after the unfinished checkpoint was removed.
        """
        leaves = _named_leaves(tree)
        if _agreed(self._path(step).exists()):
            return
        draft = self._directory / f"{_DRAFT}{step}"
        steps = self.steps()
        kept = f"checkpoint {steps[-1]} is kept" if steps else "no checkpoint was there before"
        size = sum(_as_array(leaf).nbytes for leaf in leaves.values()) + _MARGIN
        beside = {_LEAVES: {name: _signature(leaf) for name, leaf in leaves.items()}}
        beside |= {} if metrics is None else {best.METRICS: best.finite(metrics)}
        beside |= {_NOTES: dict(notes)} if notes else {}
        if _is_first_process():
            self._delete_drafts()
            disk.check_room(f"checkpoint {step}", self._directory, size, kept)
        remove_draft = functools.partial(disk.remove, draft)
        with disk.writing(f"checkpoint {step}", self._directory, remove_draft, advice=kept):
            self._write(step, draft, leaves, beside)
        _meet("saved")

    def _write(self, step: int, draft: Path, leaves: dict[str, Any], beside: dict) -> None:
        """`beside` are JSON files by name."""
        if _is_first_process():
            draft.mkdir(parents=True)
        _meet("draft")
        # Orbax refuses arrays without elements; their shape in leaves.json is all there is.
        filled = {name: _as_array(leaf) for name, leaf in leaves.items() if not _is_empty(leaf)}
        with disk.quiet_threads(), _orbax() as orbax, _checkpointer(orbax) as checkpointer:
            checkpointer.save(draft / _ARRAYS, args=orbax.args.PyTreeSave(filled))
        if _is_first_process():
            for name, content in beside.items():
                _write_json(draft / name, content)
            manifest.write(draft)
            draft.rename(self._path(step))
            self._delete_old()

    def restore_latest(
        self, template: contracts.Tree, log: Callable[[str], Any] = print
    ) -> tuple[int, contracts.Tree] | None:
        """The newest readable checkpoint as (step, tree), or None when there is none.

        `template` gives structure, shapes, dtypes and shardings (concrete arrays or
        jax.ShapeDtypeStruct), which need not be those of the devices that saved. Damaged
        checkpoints are moved aside, with one line to `log` saying which and what is used instead.

        Raises: contracts.UserError naming the first leaf that differs from the template in name,
            shape or kind of number.
        """
        step = self._newest_readable(log) if _is_first_process() else -1
        return self._load(_agreed(step), template)

    def find_best(self) -> best.Best | None:
        """The best checkpoint by `keep_best`; None without one."""
        if self._keep_best is None:
            return None
        return best.find(map(self._path, self.steps()), self._keep_best)

    def restore_best(
        self, template: contracts.Tree, log: Callable[[str], Any] = print
    ) -> tuple[best.Best, contracts.Tree] | None:
        """The best checkpoint and its tree, as `restore_latest`; None when there is none.

        A damaged one is left alone, with one line to `log`.
        """
        found = self.find_best()
        fault = manifest.fault(self._path(found.step)) if found and _is_first_process() else None
        if fault:
            log(f"the best checkpoint, {self._path(found.step)}, is unreadable ({fault})")
        step = _agreed(-1 if found is None or fault else found.step)
        restored = self._load(step, template)
        return restored and (found, restored[1])

    def _load(self, step: int, template: contracts.Tree) -> tuple[int, contracts.Tree] | None:
        if step < 0:
            return None
        leaves = _named_leaves(template)
        path = self._path(step)
        difference = _difference(json.loads((path / _LEAVES).read_text()), leaves)
        if difference:
            raise contracts.UserError(
                f"checkpoint {path} does not fit this run: {difference}; use the config that wrote "
                "it or another --workdir"
            )
        return step, jax.tree.unflatten(jax.tree.structure(template), _restore(path, leaves))

    def _path(self, step: int) -> Path:
        return self._directory / str(step)

    def _newest_readable(self, log: Callable[[str], Any]) -> int:
        """The step to restore, -1 for none; the damaged ones above it are moved aside."""
        damaged, newest = [], -1
        for step in reversed(self.steps()):
            fault = manifest.fault(self._path(step))
            if fault is None:
                newest = step
                break
            damaged.append(f"{step} ({fault})")
            aside = self._directory / f"{_UNREADABLE}{step}"
            shutil.rmtree(aside, ignore_errors=True)
            self._path(step).rename(aside)
        if damaged:
            instead = "starting from the beginning" if newest < 0 else f"using checkpoint {newest}"
            log(f"unreadable in {self._directory}: checkpoint {', '.join(damaged)}; {instead}")
        return newest

    def _delete_drafts(self) -> None:
        for path in self._directory.glob(f"{_DRAFT}*"):
            path.unlink() if path.is_file() else shutil.rmtree(path)

    def _delete_old(self) -> None:
        found = self.find_best()
        if found is not None:
            draft = self._directory / f"{_DRAFT}{best.BEST}"
            _write_json(draft, found._asdict())
            draft.replace(self._directory / best.BEST)
        for step in self.steps()[: -self._keep]:
            if found is not None and step == found.step:
                continue
            # Renamed first: a deletion cut short must not leave half a checkpoint under its name.
            doomed = self._directory / f"{_DRAFT}deleted-{step}"
            self._path(step).rename(doomed)
            shutil.rmtree(doomed)


def export(
    directory: str | os.PathLike,
    params: contracts.Tree,
    state: contracts.Tree,
    card: dict[str, Any],
) -> None:
    """Writes `weights.npz` and `card.json`: NumPy arrays and JSON, no devices, no pickle.

    Trees are nested dicts; an array is stored as "params/<path>" or "state/<path>", bfloat16
    widened to float32 because npz does not know it. An older export is replaced by renaming.

    Raises: TypeError for a leaf that is not numeric or a container that is not a dict.
    """
    leaves = _named_leaves({"params": params, "state": state}, dicts_only=True)
    if not _is_first_process():
        return
    directory = Path(directory).absolute()
    draft, old = (directory.with_name(f".{directory.name}.{word}") for word in ("draft", "old"))
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    with disk.writing(
        "the encoder", directory, clean_up=lambda: shutil.rmtree(draft, ignore_errors=True)
    ):
        draft.mkdir(parents=True)
        np.savez(draft / _WEIGHTS, **{name: _for_npz(leaf) for name, leaf in leaves.items()})
        _write_json(draft / _CARD, {**card, _DIGEST: manifest.sha256(draft / _WEIGHTS)})
    if directory.exists():
        directory.rename(old)
    draft.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


def load_export(directory: str | os.PathLike) -> tuple[dict, dict, dict[str, Any]]:
    """(params, state, card) as `export` wrote them: nested dicts of NumPy arrays, and the card.

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
        intact = card.pop(_DIGEST) == manifest.sha256(directory / _WEIGHTS)
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


def _named_leaves(tree: contracts.Tree, dicts_only: bool = False) -> dict[str, Any]:
    """Leaves by path, such as "params/encoder/conv_0/kernel", in the tree's order."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name in leaves:
            raise ValueError(f"two leaves are called {name!r}; use keys without '/'")
        if dicts_only and not all(isinstance(key, jax.tree_util.DictKey) for key in path):
            raise TypeError(f"leaf {name!r} is inside a list or tuple; only dicts can be exported")
        if _kind(leaf) is None:
            raise TypeError(f"leaf {name!r} is a {type(leaf).__name__}; only numbers can be saved")
        leaves[name] = leaf
    return leaves


def _as_array(leaf: Any) -> Any:
    return leaf if hasattr(leaf, "dtype") else np.asarray(leaf)


def _is_empty(leaf: Any) -> bool:
    return math.prod(np.shape(leaf)) == 0


def _kind(leaf: Any) -> str | None:
    """What sort of number the leaf (or dtype) holds; None when it is none."""
    dtype = leaf if isinstance(leaf, np.dtype) else _as_array(leaf).dtype
    for kind in (np.bool_, np.integer, np.floating, np.complexfloating):
        if isinstance(dtype, np.dtype) and jnp.issubdtype(dtype, kind):
            return kind.__name__
    return None


def _signature(leaf: Any) -> dict[str, Any]:
    return {"shape": list(np.shape(leaf)), "dtype": _as_array(leaf).dtype.name}


def _difference(saved: dict[str, dict], wanted: dict[str, Any]) -> str | None:
    """The first leaf at which a checkpoint and a template differ, in words."""
    for name, leaf in wanted.items():
        if name not in saved:
            return f"it has no {name!r}"
        here, there = _signature(leaf), saved[name]
        if here["shape"] != there["shape"] or _kind(leaf) != _kind(np.dtype(there["dtype"])):
            there, here = (f"{one['dtype']}{one['shape']}" for one in (there, here))
            return f"{name!r} is {there} in it and {here} in this run"
    extra = next((name for name in saved if name not in wanted), None)
    return None if extra is None else f"it has {extra!r}, which this run has not"


def _restore(path: Path, wanted: dict[str, Any]) -> list[Any]:
    """The leaves of a checkpoint, in the order, types, dtypes and shardings of `wanted`."""
    filled = {name: leaf for name, leaf in wanted.items() if not _is_empty(leaf)}
    with _orbax() as orbax, _checkpointer(orbax) as checkpointer:
        restore_args = {name: _restore_args(orbax, leaf) for name, leaf in filled.items()}
        arrays = checkpointer.restore(
            path / _ARRAYS,
            args=orbax.args.PyTreeRestore(item=filled, restore_args=restore_args),
        )
    return [
        _like(leaf, arrays[name]) if name in filled else _empty_like(leaf)
        for name, leaf in wanted.items()
    ]


def _is_on_devices(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)


def _sharding(leaf: Any) -> jax.sharding.Sharding:
    return leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])


def _restore_args(orbax: Any, leaf: Any) -> Any:
    if _is_on_devices(leaf):
        return orbax.ArrayRestoreArgs(sharding=_sharding(leaf), dtype=leaf.dtype)
    return orbax.RestoreArgs(restore_type=np.ndarray, dtype=_as_array(leaf).dtype)


def _like(leaf: Any, array: Any) -> Any:
    """A Python or NumPy scalar where the template has one, else the array."""
    return array if isinstance(leaf, np.ndarray) or _is_on_devices(leaf) else type(leaf)(array)


def _empty_like(leaf: Any) -> Any:
    empty = np.zeros(leaf.shape, leaf.dtype)
    return jax.device_put(empty, _sharding(leaf)) if _is_on_devices(leaf) else empty


def _for_npz(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    return array.astype(np.float32) if array.dtype == jnp.bfloat16 else array


def _insert(tree: dict, path: list[str], leaf: np.ndarray) -> None:
    *parents, last = path
    for key in parents:
        tree = tree.setdefault(key, {})
    tree[last] = leaf


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


@contextlib.contextmanager
def _orbax() -> Iterator[Any]:
    """The orbax module, imported on first use and silenced: its notices are for developers."""
    from absl import logging

    logger = logging.get_absl_logger()
    level = logger.level
    logger.setLevel("CRITICAL")  # errors come as exceptions too, without the tracebacks of threads
    try:
        with warnings.catch_warnings(action="ignore"):
            import orbax.checkpoint as orbax

            yield orbax
    finally:
        logger.setLevel(level)


def _checkpointer(orbax: Any) -> Any:
    # Random-looking float32 does not compress: measured, the fastest of orbax's formats.
    handler = orbax.PyTreeCheckpointHandler(use_zarr3=True, use_compression=False)
    return orbax.Checkpointer(handler)


def _is_first_process() -> bool:
    return jax.process_index() == 0


def _meet(reason: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"checkpoint: {reason}")


def _agreed(value: int) -> int:
    """The first process's value, on all processes."""
    if jax.process_count() == 1:
        return int(value)
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))
