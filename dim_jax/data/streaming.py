"""Streaming of batches from disk with grain, in the order of the resident road.

The examples of a step are a function of (seed, step), the same as in `resident`. So both roads
train on the same batches, and a run may change the road, the number of processes or the number of
workers at any step.
"""

import dataclasses
import functools
import signal
import threading
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from dim_jax import contracts
from dim_jax.data import resident, sources

Batch = dict[str, np.ndarray]
_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a stream.

    rows: the positions in each global batch that this process loads; None = all.
    ahead: number of prefetched batches. worker_processes: 0 = decode in threads of this process.
    """

    source: sources.Source
    seed: int
    batch_size: int
    total_steps: int
    rows: Sequence[int] | None = None
    ahead: int = 2
    worker_threads: int | None = None
    worker_processes: int = 0


@dataclasses.dataclass(frozen=True)
class _Batches:
    """Random access for grain: element k is the batch of step `first + k`."""

    settings: Settings
    first: int

    def __len__(self) -> int:
        return max(0, self.settings.total_steps - self.first)

    def __getitem__(self, position: int) -> Batch:
        if not 0 <= position < len(self):
            raise IndexError(position)
        settings, step = self.settings, self.first + int(position)
        index = indices(settings.seed, step, len(settings.source), settings.batch_size)
        if settings.rows is not None:
            index = index[np.asarray(settings.rows)]
        examples = settings.source.read(index.tolist())
        return {"step": step, "images": examples.images, "labels": examples.labels, "index": index}


def indices(seed: int, step: int, examples: int, batch_size: int) -> np.ndarray:
    """The positions in the data set, i32[batch], of the images of one global step."""
    epoch, place = divmod(step, resident.steps_per_epoch(examples, batch_size))
    return order(seed, epoch, examples)[place * batch_size : (place + 1) * batch_size]


def order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """The order i32[n] of one epoch, as on the resident road; computed once, on the host."""
    with _LOCK:  # not once per thread
        return _cached_order(seed, epoch, examples)


@functools.lru_cache(maxsize=4)  # the current and the next epoch, and another seed in tests
def _cached_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    with jax.default_device(_host()):
        order = np.array(_compute_order(seed, epoch, examples)[0])
    order.setflags(write=False)
    return order


@functools.partial(jax.jit, static_argnames="examples")
def _compute_order(seed: int, epoch: int, examples: int) -> jax.Array:
    return resident.epoch_orders(seed, epoch, 1, examples)


def _host() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names only an accelerator
        return jax.local_devices()[0]


class Stream:
    """An iterator over the batches from one step on, with a state that can be saved.

    A batch is {"images": [n,h,w,c], "labels": i32[n], "index": i32[n]} with this process's rows.
    """

    def __init__(self, settings: Settings, step: int, saved: dict[str, Any] | None = None):
        """saved: the result of `state` before step `step`; ignored for other worker_processes."""
        self._settings = settings
        self._step = step
        fits = saved is not None and saved["worker_processes"] == settings.worker_processes
        self._first = saved["first"] if fits else step
        self._iterator = iter(_pipeline(settings, self._first))
        if fits:
            self._iterator.set_state(saved["grain"])

    def __next__(self) -> Batch:
        try:
            batch = dict(next(self._iterator))
        except contracts.UserError as error:
            # Without grain's long traceback of its threads.
            raise contracts.UserError(str(error)) from None
        step = int(batch.pop("step"))
        if step != self._step:
            raise RuntimeError(f"the input is at step {step} and training at {self._step}")
        self._step += 1
        return batch

    def state(self) -> dict[str, Any]:
        """The state of the iterator after the last batch, as JSON."""
        return {
            "worker_processes": self._settings.worker_processes,
            "first": self._first,
            "grain": self._iterator.get_state(),
        }

    def close(self) -> None:
        """Stops threads and processes."""
        self._iterator.close()


def _pipeline(settings: Settings, first: int) -> Any:
    import grain  # takes a second to import

    threads = sources.thread_count(settings.worker_threads)
    batches = grain.MapDataset.source(_Batches(settings, first)).to_iter_dataset(
        grain.ReadOptions(
            num_threads=threads, prefetch_buffer_size=max(settings.ahead, 2 * threads)
        )
    )
    if not settings.worker_processes:
        return batches
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain's processes read absl flags, which we do not use
    return batches.mp_prefetch(
        grain.multiprocessing.MultiprocessingOptions(
            num_workers=settings.worker_processes, per_worker_buffer_size=max(1, settings.ahead)
        ),
        worker_init_fn=_initialise_worker,
    )


def _initialise_worker(number: int, workers: int) -> None:
    """Workers compute orders on the CPU and ignore Ctrl-C and hang-ups: the run saves first."""
    del number, workers
    jax.config.update("jax_platforms", "cpu")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):  # not on Windows
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
