"""A failed write is one sentence, whoever noticed it; what was there before stays."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dim_jax import contracts
from dim_jax.report import writers
from dim_jax.rundir import writing

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, ["No space left on device", "free space and"]),
        (errno.EDQUOT, ["uota", "free some of your quota and"]),
        (errno.EFBIG, ["File too large", "ulimit -f"]),
    ],
)
def test_no_room_is_one_sentence(tmp_path, code, words):
    with (
        pytest.raises(contracts.UserError) as caught,
        writing.explain_failed_write(
            "the table", tmp_path / "a" / "b", advice="the chairs are kept"
        ),
    ):
        raise OSError(code, "as the system says")
    message = str(caught.value)
    for word in ["the table could not be written to", f"{tmp_path}/a/b", "the chairs", *words]:
        assert word in message
    assert "MiB free" in message and "run the same command again" in message
    assert "\n" not in message


def test_the_cause_is_found_below_other_errors():
    with (
        pytest.raises(contracts.UserError, match="No space left"),
        writing.explain_failed_write("it", "here"),
    ):
        try:
            raise ValueError("RESOURCE_EXHAUSTED: Failed to write [os_error_code='28']")
        except ValueError as error:
            raise RuntimeError("saving failed") from error


@pytest.mark.parametrize(
    "error",
    [
        OSError("cannot write mode F as PNG"),  # of Pillow, without a number of the system
        ValueError("no"),
        KeyboardInterrupt(),
        contracts.UserError("as it was"),
    ],
)
def test_other_errors_stay_and_the_draft_goes(error):
    cleaned = []
    with (
        pytest.raises(type(error)) as caught,
        writing.explain_failed_write("it", "here", lambda: cleaned.append(1)),
    ):
        raise error
    assert caught.value is error and cleaned == [1]


@pytest.mark.parametrize("code", ["EACCES", "EROFS", "ENOTDIR", "EISDIR", "EIO", "ENAMETOOLONG"])
def test_any_failed_write_is_one_sentence(tmp_path, code):
    number = getattr(errno, code)
    with (
        pytest.raises(contracts.UserError, match=re.escape(os.strerror(number))) as caught,
        writing.explain_failed_write("the table", tmp_path),
    ):
        raise OSError(number, "as the system says", str(tmp_path / "leg"))
    assert f"the table could not be written to {tmp_path}: " in str(caught.value)
    assert f"({tmp_path}/leg); " in str(caught.value) and "--workdir" in str(caught.value)


def test_errors_elsewhere_are_no_failed_writes(tmp_path):
    for path, expected in ((tmp_path / "a", contracts.UserError), ("/elsewhere", PermissionError)):
        with (
            pytest.raises(expected),
            writing.explain_failed_write("the run", tmp_path, only_there=True),
        ):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))


def test_a_folder_that_is_still_written_to_is_removed(tmp_path, monkeypatch):
    folder, calls, really = tmp_path / "draft", [], writing.shutil.rmtree
    folder.mkdir()

    def remove(path, ignore_errors):
        really(path, ignore_errors=ignore_errors)
        calls.append(path)
        if len(calls) in (1, 3):  # a thread of the writer
            path.mkdir()

    monkeypatch.setattr(writing.shutil, "rmtree", remove)
    writing.remove(folder)
    assert not folder.exists() and len(calls) == 6


def test_room_is_checked_before_writing(tmp_path):
    writing.check_room("it", tmp_path / "later", 1, "all is kept")
    with pytest.raises(contracts.UserError, match=r"it needs .* MiB in .* are free; all is kept"):
        writing.check_room("it", tmp_path / "later", 2**60, "all is kept")


# Checkpoints 1 and 2 fit, 3 does not. Optional argument: limit of file sizes in bytes.
SAVE = """
import resource, sys
import numpy as np
from dim_jax import contracts
from dim_jax.rundir import checkpoint, writing

checkpoints = checkpoint.Checkpoints(sys.argv[1])
if sys.argv[2] != "room":
    writing.check_room = lambda *arguments: None
for step in (1, 2, 3):
    if step == 3 and sys.argv[2] == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    values = np.random.default_rng(step).random((20, 20_000), np.float32)
    try:
        checkpoints.save(step, {f"w{index}": row for index, row in enumerate(values)})
    except contracts.UserError as error:
        sys.exit(f"{step}: {error}")
"""


def save(folder: Path, how: str) -> str:
    command = [sys.executable, "-c", SAVE, str(folder), how]
    done = subprocess.run(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    return done.stderr


def check(error: str, folder: Path, *words: str) -> None:
    """One line, and the two checkpoints that fitted."""
    assert error.startswith("3: checkpoint 3 ") and error.count("\n") == 1, error
    for word in ("checkpoint 2 is kept", str(folder), *words):
        assert word in error, error
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


@pytest.fixture
def small(tmp_path):
    """A file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no file system may be mounted: {error}")
    if done.returncode:
        pytest.skip(f"no file system may be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("how", "word"), [("room", "are free"), ("write", "No space left on device")]
)
def test_a_checkpoint_on_a_full_disk(small, how, word):
    check(save(small / "checkpoints", how), small / "checkpoints", word)


def test_a_checkpoint_above_the_limit_of_file_sizes(tmp_path):
    check(save(tmp_path / "checkpoints", "limit"), tmp_path / "checkpoints", "File too large")


def test_a_row_that_does_not_fit_is_an_error_once():
    writer = writers.JsonlWriter("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        writer.append({"step": 1})
    writer.close()


def test_events_that_do_not_fit_are_an_error_once(tmp_path, monkeypatch):
    writer = writers.TensorBoardWriter(tmp_path)

    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer._events, "flush", full)
    with pytest.raises(OSError, match="No space left"):
        writer.append({"step": 1, "loss/encoder": 1.0})
    writer.append({"step": 2, "loss/encoder": 1.0})
    writer.close()


def test_a_report_that_does_not_fit_leaves_the_older_one(tmp_path, monkeypatch):
    (tmp_path / "page").write_text("old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        writing.replace_text(tmp_path / "page", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    assert (tmp_path / "page").read_text() == "old"


def test_a_file_is_replaced_and_no_draft_stays(tmp_path):
    path = tmp_path / "a.json"
    mine = tmp_path / "a.json.new"
    mine.write_text("mine")
    writing.replace_text(path, "alt\n")
    writing.replace_text(path, "ü\udcff\n")
    assert path.read_bytes() == "ü?\n".encode()
    assert {*tmp_path.iterdir()} == {path, mine} and mine.read_text() == "mine"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_replacement_that_fails_leaves_the_older_file(tmp_path, error):
    def write(draft):
        draft.write_text("half")
        raise error

    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(type(error)):
        writing.replace_file(path, write)
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "old"


def test_a_replacement_is_on_disk_before_it_has_the_name(tmp_path, monkeypatch):
    """The file is synced before the renaming, the folder behind it."""
    path, states = tmp_path / "a.json", []
    monkeypatch.setattr(writing.os, "fsync", lambda descriptor: states.append(path.exists()))
    writing.replace_text(path, "new")
    assert states == [False, True]
