"""Lazy arrays for streamed splits: images and labels on disk that are decoded when indexed."""

import collections
from collections.abc import Callable, Iterator
from concurrent import futures

import numpy as np

from dim_jax import contracts
from dim_jax.data import memory, sources

_PER_TASK = 16  # images that a thread decodes at a time


class Images:
    """Images [n,h,w,c] on disk, for code that reads an array in parts.

    `images[i]`, `images[start:stop]` and `images[positions]` are decoded by several threads into
    arrays in the given order. `images[:, top:bottom, left:right]` decodes nothing: it is a lazy
    crop. `np.asarray` decodes all images, if they fit in memory.
    """

    ndim = 4

    def __init__(
        self,
        source: sources.Source,
        worker_threads: int | None = None,
        rows: np.ndarray | None = None,
        window: tuple[slice, ...] = (),
    ):
        """rows: positions in the source, None = all. window: the crop of every image."""
        self.source = source
        self.worker_threads = worker_threads
        self.rows = np.arange(len(source)) if rows is None else rows
        self._window = window
        self.dtype = np.dtype(source.dtype)
        one = np.broadcast_to(np.uint8(0), source.shape)
        self.shape = (len(self.rows), *one[window].shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key) -> "np.ndarray | Images":
        if isinstance(key, tuple):
            first, *window = key
            cropped = self._crop(tuple(window))
            all_rows = isinstance(first, slice) and first == slice(None)
            return cropped if all_rows else cropped[first]
        rows = self.rows[key]  # raises IndexError as for any array
        return self._decode(rows) if np.ndim(rows) else self._decode(rows[None])[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if copy is False:
            raise ValueError("images on disk have to be decoded into a new array")
        images = self._decode(self.rows)
        return images if dtype is None else images.astype(dtype)

    def batches(self, size: int, ahead: int = 2) -> Iterator[np.ndarray]:
        """The images in order, [size,h,w,c] and a smaller last array.

        Threads decode the next `ahead` arrays while the caller uses one; no more are in memory.

        Raises:
          UserError: the first damaged image.
        """
        waiting: collections.deque[Callable[[], np.ndarray]] = collections.deque()
        with futures.ThreadPoolExecutor(sources.thread_count(self.worker_threads)) as pool:
            try:
                for start in range(0, len(self), size):
                    waiting.append(self._submit(pool, self.rows[start : start + size]))
                    if len(waiting) > ahead:
                        yield waiting.popleft()()
                while waiting:
                    yield waiting.popleft()()
            finally:  # also when the caller stops early
                pool.shutdown(cancel_futures=True)

    def _submit(self, pool: futures.Executor, rows: np.ndarray) -> Callable[[], np.ndarray]:
        """A function that waits for the images at some positions of the source."""
        images = np.empty((len(rows), *self.shape[1:]), self.dtype)

        def read(start: int) -> None:
            part = slice(start, start + _PER_TASK)
            decoded = self.source.read(rows[part].tolist()).images
            images[part] = decoded[(slice(None), *self._window)]

        tasks = [pool.submit(read, start) for start in range(0, len(rows), _PER_TASK)]

        def wait() -> np.ndarray:
            for task in tasks:
                task.result()
            return images

        return wait

    def select(self, rows: np.ndarray) -> "Images":
        """The lazy images at some positions."""
        return Images(self.source, self.worker_threads, self.rows[rows], self._window)

    def _crop(self, window: tuple[slice, ...]) -> "Images":
        if self._window:
            raise IndexError("these images are cropped already; crop the original images once")
        return Images(self.source, self.worker_threads, self.rows, window)

    def _decode(self, rows: np.ndarray) -> np.ndarray:
        needed = memory.needed((len(rows), *self.source.shape), self.dtype)
        if not memory.fits(needed):
            raise contracts.UserError(
                f"{len(rows):,} images are needed at once, decoded {memory.size(needed)}, and "
                f"{memory.describe_limit()}: set data.eval_train_images, such as 50000, or a "
                "smaller data.test_split, such as test[:10000]"
            )
        images = sources.read(self.source, rows, self.worker_threads).images
        return images[(slice(None), *self._window)] if self._window else images


class Labels:
    """Labels i32[n] of images on disk, read when they are indexed by slice or positions."""

    dtype = np.dtype(np.int32)

    def __init__(self, images: Images):
        self._images = images
        self.shape = (len(images),)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        return self._read(self._images.rows[key])[0]

    def targets(self) -> tuple[np.ndarray, np.ndarray | None]:
        """All labels i32[n], and attributes u8[n,a], None if there are none or one is unknown."""
        labels, attributes = self._read(self._images.rows)
        return labels, sources.binary_attributes(attributes)

    def _read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return sources.read_targets(self._images.source, rows, self._images.worker_threads)
