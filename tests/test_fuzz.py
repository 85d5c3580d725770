"""Random commands that look valid: see `fuzz`."""

import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).with_name("fuzz.py")


@pytest.mark.slow
def test_100_random_commands_end_with_one_sentence_and_change_nothing_of_the_user():
    ended = subprocess.run(
        [sys.executable, SCRIPT, "--count=100"],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "XLA_FLAGS"},
    )
    assert ended.returncode == 0, ended.stdout[-10_000:] + ended.stderr[-2_000:]
    assert "100 commands: 0 not as they should" in ended.stdout
