"""Peaks of memory are those of this process."""

import os
import subprocess
import sys

import numpy as np

from dim_jax.processes import memory_usage


def test_the_peak_keeps_what_was_given_back():
    before = memory_usage.host_peak()
    grown = np.ones(2**25)  # 256 MiB
    assert memory_usage.host() >= 256
    del grown
    peak = memory_usage.peaks()
    assert peak["host"] >= memory_usage.host() and peak["host"] >= before
    assert peak["device"] is None  # CPU arrays are the host's


def test_the_peak_does_not_fall(monkeypatch):
    peak = memory_usage.host_peak()
    monkeypatch.setattr(memory_usage, "_read_host_peak", lambda: 0)
    assert memory_usage.host_peak() >= peak


def test_a_program_does_not_inherit_the_peak_of_the_one_that_started_it():
    """As getrusage says: it starts a child at its parent's size."""
    grown = np.ones(2**26)  # 512 MiB
    code = "from dim_jax.processes import memory_usage; print(memory_usage.host_peak())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 500
    del grown
