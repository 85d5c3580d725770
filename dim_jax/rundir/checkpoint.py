"""Checkpoints of the training state. The only module that uses orbax.

A checkpoint is a folder `<step>/` with `arrays/` (orbax), `leaves.json` (name, shape and dtype of
every leaf), `provenance.json` (its step and config), `metrics.json` (those of the step, where
given) and `manifest.json` (see `checksums`). It is written under a draft name and renamed when
complete, so a process killed at any moment leaves the earlier checkpoints unchanged. The manifest
is needed because orbax alone restores some damaged files without an error.
"""

import contextlib
import functools
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.processes import distributed
from dim_jax.rundir import best_checkpoint, checksums, provenance, tree_leaves, writing

_DRAFT, _DELETED = "draft-", "draft-deleted-"  # being written, being deleted: never read
_UNREADABLE = "unreadable-"
_ARRAYS, _LEAVES = "arrays", "leaves.json"
_STEP = "step"  # the leaf that counts the steps
_NOTES = "notes.json"  # the state of the input pipeline
_STEP_NAME = re.compile("0|[1-9][0-9]*")
_DRAFT_NAME = re.compile(f"({_DELETED}|{_DRAFT})[0-9]+")
_MARGIN = 2**17  # bytes for the files of a checkpoint besides the arrays


class Checkpoints:
    """The newest `keep` checkpoints of one run, and the best by the metric `keep_best`, if given.

    `best.json` names the best (see `best_checkpoint.find`); a run continues from the newest. With
    several processes, all of them make the same calls, on a shared file system. A leaf "step" of
    the trees is the step of the checkpoint.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        keep: int = 2,
        keep_best: str | None = None,
        config: Mapping[str, Any] | None = None,
    ):
        """`config` is recorded in checkpoints; those of another training are refused."""
        if keep < 1:
            raise ValueError(f"keep is {keep}; at least one checkpoint is needed, so set keep >= 1")
        self._directory = Path(directory).absolute()
        self._keep = keep
        self._keep_best = keep_best
        self._config = config

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        return sorted(int(path.name) for path in self._places() if path.is_dir())

    def _places(self) -> list[Path]:
        """The entries that are named like a checkpoint."""
        if not self._directory.is_dir():
            return []
        return [path for path in self._directory.iterdir() if _STEP_NAME.fullmatch(path.name)]

    def notes(self, step: int) -> dict[str, Any]:
        """The JSON that was saved beside checkpoint `step`, {} where there is none."""
        path = self._path(step) / _NOTES
        return json.loads(path.read_text()) if path.is_file() else {}

    def metrics(self, step: int) -> dict[str, float]:
        """The metrics that were saved with checkpoint `step`, {} where there are none."""
        return best_checkpoint.read_metrics(self._path(step))

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
        files |= {provenance.FILE: provenance.record(step, self._config)}
        files |= (
            {} if metrics is None else {best_checkpoint.METRICS: best_checkpoint.finite(metrics)}
        )
        files |= {_NOTES: dict(notes)} if notes else {}
        if distributed.is_first():
            self._delete_drafts()
            writing.check_room(f"checkpoint {step}", self._directory, size, advice)
        remove_draft = functools.partial(writing.remove, draft)
        with writing.explain_failed_write(
            f"checkpoint {step}", self._directory, remove_draft, advice=advice
        ):
            self._write(step, draft, leaves, files)
        distributed.wait_for_all()

    def _write(self, step: int, draft: Path, leaves: dict[str, Any], files: dict) -> None:
        """`files` are JSON files by name."""
        if distributed.is_first():
            self._directory.mkdir(exist_ok=True)  # and no parent: a deleted run stays deleted
            draft.mkdir()
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

        Raises: contracts.UserError naming a checkpoint that is not the one that its name says or is
            of another run, before anything is moved; or naming the first leaf that differs from the
            template in name, shape or kind of number.
        """
        with distributed.together():
            if distributed.is_first():
                self.check()
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
        difference = tree_leaves.difference(json.loads((path / _LEAVES).read_text()), leaves)
        if difference:
            raise contracts.UserError(
                f"checkpoint {path} does not fit this run: {difference}; use the config that wrote "
                "it or another --workdir"
            )
        values = _restore(path, leaves)
        _check_step(path, dict(zip(leaves, values, strict=True)))
        return step, jax.tree.unflatten(jax.tree.structure(template), values)

    def read(self, below: Sequence[str]) -> tuple[int, dict[str, np.ndarray]] | None:
        """The newest readable checkpoint's step and leaves below some names; None without one.

        Nothing is moved: the run may be another one.

        Raises: contracts.UserError for a checkpoint that is not the one that its name says.
        """
        for step in reversed(self.steps()):
            path = self._path(step)
            if checksums.fault(path) is not None:
                continue
            if fault := provenance.mismatch(path, None):
                raise _misplaced(path, fault)
            leaves = {
                name: np.empty(leaf["shape"], jnp.dtype(leaf["dtype"]))
                for name, leaf in json.loads((path / _LEAVES).read_text()).items()
                if name.partition("/")[0] in (*below, _STEP)
            }
            values = dict(zip(leaves, _restore(path, leaves), strict=True))
            _check_step(path, values)
            return step, values
        return None

    def check(self) -> None:
        """Raises contracts.UserError for a checkpoint that is misplaced or of another run."""
        for path in self._places():
            fault: str | None = "is not a folder"
            if path.is_dir():
                fault = provenance.mismatch(path, self._config)
            if fault and not (path.is_dir() and checksums.fault(path)):  # not a damaged one
                raise _misplaced(path, fault)

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
            _remove(aside)
            self._path(step).rename(aside)
        if damaged:
            instead = "starting from the beginning" if newest < 0 else f"using checkpoint {newest}"
            log(f"unreadable in {self._directory}: checkpoint {', '.join(damaged)}; {instead}")
        return newest

    def _delete_drafts(self) -> None:
        for path in self._directory.glob(f"{_DRAFT}*"):
            if _DRAFT_NAME.fullmatch(path.name):
                _remove(path)

    def _delete_old(self) -> None:
        best = self.find_best()
        if best is not None:
            writing.replace_text(self._directory / best_checkpoint.BEST, _as_text(best._asdict()))
        for step in self.steps()[: -self._keep]:
            if best is not None and step == best.step:
                continue
            # Renamed first: an interrupted deletion must not leave half a checkpoint.
            renamed = self._directory / f"{_DELETED}{step}"
            self._path(step).rename(renamed)
            _remove(renamed)


def _misplaced(path: Path, fault: str) -> contracts.UserError:
    return contracts.UserError(
        f"checkpoint {path} {fault}; move it out of this folder, or put the right one in its place"
    )


def _check_step(path: Path, leaves: Mapping[str, Any]) -> None:
    step = int(jax.device_get(leaves.get(_STEP, path.name)))
    if step != int(path.name):
        raise _misplaced(path, f"holds the state of step {step}")


def _remove(path: Path) -> None:
    """Removes a file or a folder; of a link, the link."""
    if path.is_file() or path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _restore(path: Path, wanted: dict[str, Any]) -> list[Any]:
    """The leaves of a checkpoint, in the order, types, dtypes and shardings of `wanted`."""
    filled = {name: leaf for name, leaf in wanted.items() if not tree_leaves.is_empty(leaf)}
    with _orbax() as orbax, _checkpointer(orbax) as checkpointer:
        restore_args = {name: _restore_args(orbax, leaf) for name, leaf in filled.items()}
        arrays = checkpointer.restore(
            path / _ARRAYS,
            args=orbax.args.PyTreeRestore(filled, restore_args, partial_restore=True),
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
