"""XLA's flag is set for GPUs only, and every jaxlib knows it: an unknown one ends the process."""

import os
import subprocess
import sys

import pytest

from dim_jax.processes import xla_flags


@pytest.mark.parametrize(
    ("platforms", "before", "after"),
    [
        ("cpu", "", ""),
        ("tpu,cpu", "", ""),
        ("cuda", "", "--xla_gpu_deterministic_ops=true"),
        ("cuda,cpu", "--a=1", "--a=1 --xla_gpu_deterministic_ops=true"),
        *(
            ("gpu", flags, flags)
            for flags in ("--xla_gpu_deterministic_ops=true", "--xla_gpu_deterministic_ops=false")
        ),
    ],
)
def test_the_flag_is_set_where_a_gpu_may_be_used(monkeypatch, platforms, before, after):
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setenv("XLA_FLAGS", before)
    xla_flags.ask_for_determinism()
    assert os.environ["XLA_FLAGS"] == after


@pytest.mark.parametrize("plugin", [None, "jax_cuda13_plugin", "jax_plugins.xla_cuda12"])
def test_without_a_named_platform_the_installed_plugins_decide(monkeypatch, plugin):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setattr(xla_flags, "_is_installed", lambda module: module == plugin)
    xla_flags.ask_for_determinism()
    assert ("XLA_FLAGS" in os.environ) == (plugin is not None)
    monkeypatch.delenv("XLA_FLAGS", raising=False)


@pytest.mark.parametrize(
    ("flag", "fine"), [(f"{xla_flags.FLAG}=true", True), ("--xla_gpu_determinist=true", False)]
)
def test_jaxlib_knows_the_flag(flag, fine):
    code = "import jax; print(jax.numpy.ones(3).sum())"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flag}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.returncode == 0) is fine, done.stderr
    assert fine or "Unknown flag" in done.stderr
