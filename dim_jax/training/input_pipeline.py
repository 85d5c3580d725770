"""The input pipeline of a dispatch: resident arrays, or streamed batches that are prefetched."""

import dataclasses
from collections.abc import Mapping
from concurrent import futures
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from dim_jax import data, settings
from dim_jax.data import streaming
from dim_jax.training import train_step

_READY = 16  # batches at most that grain keeps beside those of the next dispatch


class Source(Protocol):
    """The images of the next steps, resident or streamed."""

    def start(self, step: int, position: Mapping[str, Any] | None) -> None:
        """Goes to a step; `position` is the one saved there, None or {} if none was."""

    def arguments(self, count: int, following: int) -> tuple[jax.Array, ...]:
        """The arguments of the next dispatch, of `count` steps; `following` is that of the one
        after it, 0 = there is none."""

    def position(self) -> dict[str, Any]:
        """The position after `arguments`, as JSON, to save beside a checkpoint."""

    def close(self) -> None:
        """Ends background work."""


class Resident:
    """All images and labels on every device; a dispatch gathers its batches from them."""

    def __init__(self, split: data.Split, mesh: jax.sharding.Mesh):
        self._arrays = train_step.replicate((split.images, split.labels), mesh)

    def start(self, step: int, position: Mapping[str, Any] | None) -> None:
        """Nothing to do: the batch of a step is a function of (seed, step)."""

    def arguments(self, count: int, following: int) -> tuple[jax.Array, ...]:
        """images u8[n,h,w,c] and labels i32[n], the same for every dispatch."""
        del count, following
        return self._arrays

    def position(self) -> dict[str, Any]:
        """Nothing to save."""
        return {}

    def close(self) -> None:
        """Nothing to end."""


class Streaming:
    """Batches from disk. While one dispatch runs, a thread reads the next one's and moves them to
    the devices; each of several processes reads the rows of its local devices."""

    def __init__(self, stream: streaming.Settings, mesh: jax.sharding.Mesh):
        """stream: its `rows` are set here, from the mesh."""
        rows = rows_of(mesh, stream.batch_size)
        self._settings = dataclasses.replace(stream, rows=rows)
        self._sharding = NamedSharding(mesh, PartitionSpec(None, "data"))
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._begin: tuple[int, dict[str, Any] | None] = 0, None
        self._stream: streaming.Stream | None = None
        self._ahead: tuple[int, futures.Future] | None = None
        self._position: dict[str, Any] = {}

    def start(self, step: int, position: Mapping[str, Any] | None) -> None:
        """Goes to a step, by the saved state of grain's iterator if its set-up is this one."""
        self._begin = step, (position or {}).get("stream")

    def arguments(self, count: int, following: int) -> tuple[jax.Array, ...]:
        """images u8[k,n,h,w,c], labels i32[k,n] and index i32[k,n] of the next k = `count` steps.

        Raises:
          UserError: an image that cannot be read.
        """
        prefetched, future = self._ahead or (count, self._thread.submit(self._make, count))
        if prefetched != count:
            raise RuntimeError(f"{prefetched} steps were prefetched and {count} are requested")
        arrays, self._position = future.result()
        self._ahead = None
        if following:
            self._ahead = following, self._thread.submit(self._make, following)
        return arrays

    def position(self) -> dict[str, Any]:
        """The state of grain's iterator after the last batch that was consumed."""
        return {"stream": self._position} if self._position else {}

    def close(self) -> None:
        """Ends threads and processes."""
        self._thread.shutdown(cancel_futures=True)
        if self._stream is not None:
            self._stream.close()

    def _make(self, count: int) -> tuple[tuple[jax.Array, ...], dict[str, Any]]:
        if self._stream is None:
            self._stream = streaming.Stream(self._settings, *self._begin)
        batches = [next(self._stream) for _ in range(count)]
        stacked = (np.stack([one[key] for one in batches]) for key in ("images", "labels", "index"))
        return tuple(self._place(array) for array in stacked), self._stream.state()

    def _place(self, local: np.ndarray) -> jax.Array:
        shape = (len(local), self._settings.batch_size, *local.shape[2:])
        return jax.make_array_from_process_local_data(self._sharding, local, shape)


def open_(
    split: data.Split,
    config: settings.Config,
    mesh: jax.sharding.Mesh,
    *,
    batch_size: int,
    total_steps: int,
    dispatch_steps: int,
) -> Resident | Streaming:
    """The source of a training split."""
    if not data.is_streamed(split):
        return Resident(split, mesh)
    stream = streaming.Settings(
        split.images.source,
        config.seed,
        batch_size,
        total_steps,
        ahead=min(dispatch_steps, _READY),
        worker_threads=config.data.worker_threads,
        worker_processes=config.data.worker_processes,
    )
    return Streaming(stream, mesh)


def rows_of(mesh: jax.sharding.Mesh, batch_size: int) -> tuple[int, ...] | None:
    """The places of a global batch that lie on this process's devices, in order; None = all."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    slices = sharding.addressable_devices_indices_map((batch_size,)).values()
    rows = sorted({row for (part,) in slices for row in range(*part.indices(batch_size))})
    return None if len(rows) == batch_size else tuple(rows)
