"""Devices that are not there and memory that is used up: one sentence each."""

import jax
import pytest

from dim_jax import contracts
from dim_jax.processes import backend


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("Unable to initialize backend 'gpuu': not known"), "gpuu"),
        (AssertionError(), "no such device"),
    ],
)
def test_platforms_that_are_not_there(monkeypatch, error, words):
    def devices():
        raise error

    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(contracts.UserError, match=f"JAX_PLATFORMS='cuda'.*{words}.*unset it"):
        backend.start()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nmore"),
    ],
)
def test_memory_that_is_used_up(error):
    with (
        pytest.raises(
            contracts.UserError, match=r"out of memory \(.*\); .*train.batch_size"
        ) as caught,
        backend.explain_out_of_memory(),
    ):
        raise error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [jax.errors.JaxRuntimeError("INTERNAL: a fault"), ValueError("RESOURCE_EXHAUSTED")]
)
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as caught, backend.explain_out_of_memory():
        raise error
    assert caught.value is error
