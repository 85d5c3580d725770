"""A command goes on when nobody can read its output, and prints in any encoding."""

import io
import os
import pathlib
import subprocess
import sys

import pytest

from dim_jax import main
from dim_jax.processes import standard_streams


def closed_pipe():
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


def closed_file():
    stream = io.StringIO()
    stream.close()
    return stream


UNWRITABLE = {
    "reader gone": closed_pipe,
    "full disk": lambda: os.fdopen(os.open("/dev/full", os.O_WRONLY), "w"),
    "closed": closed_file,
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_what_cannot_be_written_is_lost_without_an_error(kind):
    stream = UNWRITABLE[kind]()
    guarded = standard_streams.Guarded(stream)
    for _ in range(3):
        assert guarded.write("text\n") == 5
        guarded.flush()
    stream.close()  # nothing is left that could not be written


def test_characters_that_the_encoding_lacks_become_question_marks():
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii")
    guarded = standard_streams.Guarded(stream)
    print("3 ± 1 · ✓", "\udcff", file=guarded)
    guarded.flush()
    assert written.getvalue() == b"3 ? 1 ? ? ?\n"
    assert guarded.encoding == "ascii" and not guarded.isatty()


@pytest.mark.parametrize("kind", UNWRITABLE)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_command_ends_with_its_exit_code(monkeypatch, pytestconfig, kind, name):
    monkeypatch.chdir(pytestconfig.rootpath)
    stream = UNWRITABLE[kind]()
    monkeypatch.setattr(sys, name, stream)
    assert main.main(["main.py", "--help"]) == 0
    assert main.main(["main.py", "--config=nowhere.py"]) == 2
    assert getattr(sys, name) is stream
    stream.close()


def test_descriptors_that_are_closed_are_taken_by_the_null_device():
    code = (
        "import os; from dim_jax.processes import standard_streams\n"
        "with standard_streams.guarded():\n"
        "    print('lost')\n"
        "    raise SystemExit(os.open(os.devnull, os.O_RDONLY))"
    )
    command = f'exec {sys.executable} -c "{code}" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", command], cwd=pathlib.Path(__file__).parents[1])
    assert done.returncode >= 3
