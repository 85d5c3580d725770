"""Writers of training metrics: JSON lines and TensorBoard event files.

Both writers take the same row, {"step": int, name: number, ...}, and have to be closed at the end.
They are safe if the process is killed at any moment: appended rows are on disk, and a resumed run
drops the rows after its checkpoint. `enabled` is True only on the process that writes; on the
others every call does nothing.
"""

import contextlib
import json
import math
import numbers
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from dim_jax.rundir import writing

Row = Mapping[str, Any]


class JsonlWriter:
    """Appends rows to a JSON-lines file.

    Every line is valid JSON: numbers that are not finite become null.
    """

    def __init__(self, path: str | os.PathLike, *, enabled: bool = True):
        self._path = pathlib.Path(path)
        self._enabled = enabled
        self._file = None

    def append(self, row: Row) -> None:
        """Writes one row and flushes it to the operating system."""
        if not self._enabled:
            return
        plain = {name: as_plain(value) for name, value in row.items()}
        line = json.dumps(plain, allow_nan=False) + "\n"
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8", newline="\n")
        try:
            self._file.write(line)
            self._file.flush()
        except OSError:
            # Closing tries to write the rest again; its error must not replace the first one.
            with contextlib.suppress(OSError):
                self.close()
            self._file = None
            raise

    def truncate_after(self, step: int) -> int:
        """Keeps the rows up to and including `step`; call it before the first append of a run.

        Unfinished lines of a killed process are dropped too. The file is replaced atomically, so
        that nothing is lost if the process is killed here.

        Returns: the number of dropped lines.
        """
        if not self._enabled or not self._path.exists():
            return 0
        self.close()
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        retained = [line for line in lines if (row := _parse(line)) and row.get("step", 0) <= step]
        writing.replace_text(self._path, "".join(f"{line}\n" for line in retained))
        return len(lines) - len(retained)

    def close(self) -> None:
        """Closes the file; the next append opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


class TensorBoardWriter:
    """Writes the scalars of each row as TensorBoard events.

    `resume_step` is the step of the checkpoint from which a run continues: TensorBoard then hides
    the later events of an earlier process. Values that are not finite are omitted.

    Events are written by the calling thread. tensorboardX's SummaryWriter would queue them, so that
    a killed process could lose events from before its checkpoint, which are not written again.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        enabled: bool = True,
        resume_step: int | None = None,
    ):
        self._events = None
        if not enabled:
            return
        # Imported here, so that a report does not need to load protobuf.
        with _torch_hidden():
            from tensorboardX import event_file_writer
            from tensorboardX.proto import event_pb2, summary_pb2

        self._event_pb2, self._summary_pb2 = event_pb2, summary_pb2
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        # The default file name has a resolution of seconds: a quick restart would overwrite a file.
        suffix = f".{time.time_ns()}.{os.getpid()}"
        self._events = event_file_writer.EventsWriter(
            os.path.join(directory, "events"), filename_suffix=suffix
        )
        if resume_step is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._write(resume_step + 1, session_log=start)
        self._events.flush()

    def append(self, row: Row) -> None:
        """Writes every finite number of the row except `step` as a scalar at this step."""
        if self._events is None:
            return
        plain = {name: as_plain(value) for name, value in row.items() if name != "step"}
        values = [
            self._summary_pb2.Summary.Value(tag=name, simple_value=value)
            for name, value in plain.items()
            if isinstance(value, int | float)
        ]
        try:
            self._write(row["step"], summary=self._summary_pb2.Summary(value=values))
            self._events.flush()
        except OSError:
            events, self._events = self._events, None
            # Not `events.close`, which fails at the unwritten rest and leaves the file open.
            with contextlib.suppress(OSError):
                events._py_recordio_writer.close()
            raise

    def close(self) -> None:
        """Closes the event file; later rows are dropped."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _write(self, step: int, **what: Any) -> None:
        event = self._event_pb2.Event(step=int(step), wall_time=time.time(), **what)
        self._events.write_event(event)


@contextlib.contextmanager
def _torch_hidden() -> Iterator[None]:
    """Lets tensorboardX be imported without PyTorch, which takes seconds and is not needed."""
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # an import raises ImportError, as where it is not installed
    try:
        yield
    finally:
        if hidden:
            del sys.modules["torch"]


def read_rows(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file in order, without unfinished lines; [] without a file."""
    path = pathlib.Path(path)
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [row for line in lines if (row := _parse(line))]


def damaged_lines(path: str | os.PathLike) -> list[int]:
    """The numbers, from 1, of complete lines that hold no row; [] without a file."""
    path = pathlib.Path(path)
    if not path.exists():
        return []
    *complete, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return [number for number, line in enumerate(complete, 1) if _parse(line) is None]


def _parse(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def as_plain(value: Any) -> Any:
    """A Python number, string, bool or None; arrays of one element count as numbers."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, numbers.Real) and not math.isfinite(value):
        return None
    return value
