"""Checkpoints of the training state. The only module that uses orbax.

A checkpoint is a folder `<step>/` with `arrays/` (orbax), `leaves.json` (name, shape and dtype of
every leaf), `metrics.json` (those of the step, where given) and `manifest.json` (see `checksums`).
It is written under a draft name and renamed when complete, so a process killed at any moment leaves
the earlier checkpoints unchanged. The manifest is needed because orbax alone restores some damaged
files without an error.
"""

import contextlib
import functools
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.processes import distributed
from dim_jax.rundir import best_checkpoint, checksums, tree_leaves, writing

_DRAFT = "draft-"  # being written, or being deleted: never read
_UNREADABLE = "unreadable-"
_ARRAYS, _LEAVES = "arrays", "leaves.json"
_NOTES = "notes.json"  # the state of the input pipeline
_MARGIN = 2**17  # bytes for the files of a checkpoint besides the arrays


class Checkpoints:
    """The newest `keep` checkpoints of one run, and the best by the metric `keep_best`, if given.

    `best.json` names the best (see `best_checkpoint.find`); a run continues from the newest. With
    several processes, all of them make the same calls, on a shared file system.
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
        `notes` is JSON, see the method of that name. Checkpoints older than the newest `keep`,
        except the best, are deleted after the new one is complete.

        Raises: TypeError for a leaf that is not numeric; contracts.UserError when the disk is
            full, after the unfinished checkpoint is removed.
        """
        leaves = tree_leaves.named_leaves(tree)
        if distributed.of_first(self._path(step).exists()):
            return
        draft = self._directory / f"{_DRAFT}{step}"
        steps = self.steps()
        advice = f"checkpoint {steps[-1]} is kept" if steps else "there is no earlier checkpoint"
        size = sum(tree_leaves.as_array(leaf).nbytes for leaf in leaves.values()) + _MARGIN
        files = {_LEAVES: {name: tree_leaves.signature(leaf) for name, leaf in leaves.items()}}
        files |= (
            {} if metrics is None else {best_checkpoint.METRICS: best_checkpoint.finite(metrics)}
        )
        files |= {_NOTES: dict(notes)} if notes else {}
        if distributed.is_first():
            self._delete_drafts()
            writing.check_room(f"checkpoint {step}", self._directory, size, advice)
        remove_draft = functools.partial(writing.remove, draft)
        with writing.explain_full_disk(
            f"checkpoint {step}", self._directory, remove_draft, advice=advice
        ):
            self._write(step, draft, leaves, files)
        distributed.wait_for_all()

    def _write(self, step: int, draft: Path, leaves: dict[str, Any], files: dict) -> None:
        """`files` are JSON files by name."""
        if distributed.is_first():
            draft.mkdir(parents=True)
        distributed.wait_for_all()
        # Orbax refuses arrays without elements; leaves.json holds their shapes.
        filled = {
            name: tree_leaves.as_array(leaf)
            for name, leaf in leaves.items()
            if not tree_leaves.is_empty(leaf)
        }
        with writing.quiet_threads(), _orbax() as orbax, _checkpointer(orbax) as checkpointer:
            checkpointer.save(draft / _ARRAYS, args=orbax.args.PyTreeSave(filled))
        if distributed.is_first():
            for name, content in files.items():
                _write_json(draft / name, content)
            checksums.write(draft)
            draft.rename(self._path(step))
            self._delete_old()

    def restore_latest(
        self, template: contracts.Tree, log: Callable[[str], Any] = print
    ) -> tuple[int, contracts.Tree] | None:
        """The newest readable checkpoint as (step, tree), or None when there is none.

        `template` gives structure, shapes, dtypes and shardings (concrete arrays or
        jax.ShapeDtypeStruct); the shardings may differ from those at the time of saving. Damaged
        checkpoints are moved aside, with one line to `log` that names them and the one used
        instead.

        Raises: contracts.UserError naming the first leaf that differs from the template in name,
            shape or kind of number.
        """
        step = self._newest_readable(log) if distributed.is_first() else -1
        return self._load(distributed.of_first(step), template)

    def find_best(self) -> best_checkpoint.Best | None:
        """The best checkpoint by `keep_best`; None when there is none."""
        if self._keep_best is None:
            return None
        return best_checkpoint.find(map(self._path, self.steps()), self._keep_best)

    def restore_best(
        self, template: contracts.Tree, log: Callable[[str], Any] = print
    ) -> tuple[best_checkpoint.Best, contracts.Tree] | None:
        """The best checkpoint and its tree, as `restore_latest`; None when there is none.

        A damaged one is left alone, with one line to `log`.
        """
        best = self.find_best()
        fault = checksums.fault(self._path(best.step)) if best and distributed.is_first() else None
        if fault:
            log(f"the best checkpoint, {self._path(best.step)}, is unreadable ({fault})")
        step = distributed.of_first(-1 if best is None or fault else best.step)
        restored = self._load(step, template)
        return restored and (best, restored[1])

    def _load(self, step: int, template: contracts.Tree) -> tuple[int, contracts.Tree] | None:
        if step < 0:
            return None
        leaves = tree_leaves.named_leaves(template)
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
        """The step to restore, -1 for none; damaged newer checkpoints are moved aside."""
        damaged, newest = [], -1
        for step in reversed(self.steps()):
            fault = checksums.fault(self._path(step))
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
        best = self.find_best()
        if best is not None:
            writing.replace_text(self._directory / best_checkpoint.BEST, _as_text(best._asdict()))
        for step in self.steps()[: -self._keep]:
            if best is not None and step == best.step:
                continue
            # Renamed first: an interrupted deletion must not leave half a checkpoint.
            renamed = self._directory / f"{_DRAFT}deleted-{step}"
            self._path(step).rename(renamed)
            shutil.rmtree(renamed)


def _difference(saved: dict[str, dict], wanted: dict[str, Any]) -> str | None:
    """A description of the first leaf at which a checkpoint and a template differ."""
    for name, leaf in wanted.items():
        if name not in saved:
            return f"it has no {name!r}"
        here, there = tree_leaves.signature(leaf), saved[name]
        if here["shape"] != there["shape"] or tree_leaves.kind(leaf) != tree_leaves.kind(
            np.dtype(there["dtype"])
        ):
            there, here = (f"{leaf['dtype']}{leaf['shape']}" for leaf in (there, here))
            return f"{name!r} is {there} in it and {here} in this run"
    extra = next((name for name in saved if name not in wanted), None)
    return None if extra is None else f"it has {extra!r}, which this run does not have"


def _restore(path: Path, wanted: dict[str, Any]) -> list[Any]:
    """The leaves of a checkpoint, in the order, types, dtypes and shardings of `wanted`."""
    filled = {name: leaf for name, leaf in wanted.items() if not tree_leaves.is_empty(leaf)}
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
    return orbax.RestoreArgs(restore_type=np.ndarray, dtype=tree_leaves.as_array(leaf).dtype)


def _like(leaf: Any, array: Any) -> Any:
    """A Python or NumPy scalar where the template has one, else the array."""
    return array if isinstance(leaf, np.ndarray) or _is_on_devices(leaf) else type(leaf)(array)


def _empty_like(leaf: Any) -> Any:
    empty = np.zeros(leaf.shape, leaf.dtype)
    return jax.device_put(empty, _sharding(leaf)) if _is_on_devices(leaf) else empty


def _as_text(content: dict) -> str:
    return json.dumps(content, indent=1) + "\n"


def _write_json(path: Path, content: dict) -> None:
    path.write_text(_as_text(content))


@contextlib.contextmanager
def _orbax() -> Iterator[Any]:
    """The orbax module, imported on first use, with its log messages silenced."""
    from absl import logging

    logger = logging.get_absl_logger()
    level = logger.level
    logger.setLevel("CRITICAL")  # errors are raised too; the threads' tracebacks are not needed
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


def describe_continuation(directory: str | os.PathLike) -> str:
    """The end of a sentence: how the same command continues from the checkpoints in a folder."""
    steps = Checkpoints(directory).steps()
    return f"continues from checkpoint {steps[-1]}" if steps else "starts again"
