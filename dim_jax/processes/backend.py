"""The devices that JAX starts on, their memory and their compiler; failures as one sentence."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import jax

from dim_jax import contracts

_OF_A_RUN = (
    "checkpoints stay as they are; lower train.batch_size or data.image_size, or set "
    "train.microbatches or train.accumulate"
)


def start() -> None:
    """Starts JAX's devices. Raises contracts.UserError if JAX_PLATFORMS names none there are."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        wanted = os.environ.get("JAX_PLATFORMS", "")
        reason = str(error).partition("\n")[0] or "it has no such device"
        raise contracts.UserError(
            f"JAX cannot start with JAX_PLATFORMS={wanted!r}: {reason}; set it to cpu, or unset it "
            "to use the devices that there are"
        ) from error


def options_of_one_run(argument: jax.Array) -> dict[str, Any] | None:
    """Compiler options of a program that runs once: CPUs would optimise it for longer than that.

    Args:
      argument: of the program; where it is traced, the options of that other program apply.
    """
    nested = isinstance(argument, jax.core.Tracer)
    unoptimised = jax.default_backend() == "cpu" and not nested
    return {"xla_backend_optimization_level": 0} if unoptimised else None


@contextlib.contextmanager
def explain_out_of_memory(advice: str = _OF_A_RUN) -> Iterator[None]:
    """A context manager. Raises contracts.UserError when memory, of host or device, is used up."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        reason = str(error).partition("\n")[0]
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in reason:
            raise
        raise contracts.UserError(f"out of memory ({reason}); {advice}") from error
