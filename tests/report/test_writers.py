"""Metrics files survive a killed process: half lines, rows after the checkpoint, NaN."""

import json
import math
import os
import pathlib
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest

from dim_jax.report import writers


@pytest.fixture(autouse=True)
def closing(monkeypatch):
    """Closes every JsonlWriter that a test made, also those of "killed" processes."""
    made = []
    start = writers.JsonlWriter.__init__

    def remember(self, *args, **options):
        start(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(writers.JsonlWriter, "__init__", remember)
    yield
    for writer in made:
        writer.close()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def filled(path, steps):
    writer = writers.JsonlWriter(path)
    for step in steps:
        writer.append({"step": step, "loss/encoder": step / 4})
    return writer


def test_every_row_is_on_disk_after_append(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    filled(path, [1, 2])
    assert lines(path) == [{"step": 1, "loss/encoder": 0.25}, {"step": 2, "loss/encoder": 0.5}]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_numbers_that_are_not_finite_become_null(tmp_path, value):
    path = tmp_path / "metrics.jsonl"
    writers.JsonlWriter(path).append({"step": 1, "loss/encoder": value})

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    row = json.loads(path.read_text(), parse_constant=refuse)
    assert row == {"step": 1, "loss/encoder": None}


def test_array_scalars_keep_their_exact_value(tmp_path):
    path = tmp_path / "metrics.jsonl"
    writers.JsonlWriter(path).append({"step": np.int64(7), "loss/encoder": np.float32(0.1)})
    (row,) = lines(path)
    assert row["step"] == 7
    assert isinstance(row["step"], int)
    assert np.float32(row["loss/encoder"]) == np.float32(0.1)


def test_a_resumed_file_equals_an_uninterrupted_one(tmp_path):
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    filled(whole, range(1, 11))
    filled(killed, range(1, 9))
    with killed.open("a") as file:
        file.write('{"step": 9, "loss/enc')  # the process died here

    writer = writers.JsonlWriter(killed)
    assert writer.truncate_after(6) == 3  # rows 7, 8 and the half line
    for step in range(7, 11):
        writer.append({"step": step, "loss/encoder": step / 4})

    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_file_cut_anywhere_keeps_its_whole_rows(tmp_path, cut):
    path = tmp_path / "metrics.jsonl"
    filled(path, [1, 2, 3])
    path.write_bytes(path.read_bytes()[:-cut])
    writer = writers.JsonlWriter(path)
    writer.truncate_after(3)
    writer.append({"step": 4})
    steps = [row["step"] for row in lines(path)]
    assert steps in ([1, 2, 4], [1, 2, 3, 4])  # the latter where only the newline was cut


def test_truncation_leaves_the_old_file_if_it_dies_before_the_move(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    writer = filled(path, [1, 2, 3])
    before = path.read_bytes()

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        writer.truncate_after(1)
    assert path.read_bytes() == before


def test_truncating_a_file_that_does_not_exist_is_fine(tmp_path):
    assert writers.JsonlWriter(tmp_path / "metrics.jsonl").truncate_after(5) == 0


def test_a_disabled_writer_leaves_no_file(tmp_path):
    writer = writers.JsonlWriter(tmp_path / "a" / "metrics.jsonl", enabled=False)
    writer.append({"step": 1})
    writer.truncate_after(0)
    writer.close()
    board = writers.TensorBoardWriter(tmp_path / "b", enabled=False)
    board.append({"step": 1, "x": 1.0})
    board.close()
    assert list(tmp_path.iterdir()) == []


def test_read_rows_skips_a_half_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert writers.read_rows(path) == []
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert [row["step"] for row in writers.read_rows(path)] == [1, 2]


def events(directory):
    """All events in the order TensorBoard reads them: by file name; framing as in TFRecord."""
    from tensorboardX.proto import event_pb2

    for path in sorted(pathlib.Path(directory).iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            yield event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length


def shown(directory):
    """{step: loss} as TensorBoard shows it: a START event hides the events at or after it."""
    values = {}
    for event in events(directory):
        if event.HasField("session_log"):
            values = {step: value for step, value in values.items() if step < event.step}
        for value in event.summary.value:
            if value.tag == "loss/encoder":
                values[event.step] = value.simple_value
    return values


def test_tensorboard_hides_what_came_after_the_checkpoint(tmp_path):
    first = writers.TensorBoardWriter(tmp_path)
    for step in range(1, 9):
        first.append({"step": step, "loss/encoder": step})
    second = writers.TensorBoardWriter(tmp_path, resume_step=5)  # within the same second
    assert shown(tmp_path) == {step: step for step in range(1, 6)}
    second.append({"step": 6, "loss/encoder": 60.0})
    assert shown(tmp_path) == {**{step: step for step in range(1, 6)}, 6: 60.0}
    for writer in (first, second):
        writer.close()
        writer.append({"step": 9, "loss/encoder": 0.0})
    assert 9 not in shown(tmp_path)


def test_tensorboard_leaves_out_what_is_not_a_finite_number(tmp_path):
    writer = writers.TensorBoardWriter(tmp_path)
    writer.append({"step": 3, "epoch": 0.5, "a": math.nan, "b": None, "c": np.float32(2)})
    writer.close()
    found = [(e.step, v.tag, v.simple_value) for e in events(tmp_path) for v in e.summary.value]
    assert found == [(3, "epoch", 0.5), (3, "c", 2.0)]


def test_a_killed_process_loses_no_appended_row(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from dim_jax.report import writers\n"
        "rows = writers.JsonlWriter(sys.argv[1] + '/metrics.jsonl')\n"
        "board = writers.TensorBoardWriter(sys.argv[1] + '/tensorboard')\n"
        "for step in range(1, 6):\n"
        "    for writer in (rows, board):\n"
        "        writer.append({'step': step, 'loss/encoder': float(step)})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    expected = {step: float(step) for step in range(1, 6)}
    assert shown(tmp_path / "tensorboard") == expected
    rows = writers.read_rows(tmp_path / "metrics.jsonl")
    assert {row["step"]: row["loss/encoder"] for row in rows} == expected
