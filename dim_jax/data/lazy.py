"""The images of a streamed split: they look like an array and are decoded when indexed."""

import numpy as np

from dim_jax import contracts
from dim_jax.data import memory, sources


class Images:
    """Images u8[n,h,w,c] on disk, for whoever reads an array in parts.

    `images[i]`, `images[start:stop]` and `images[positions]` are decoded arrays, in the order asked
    for, by several threads. `images[:, top:bottom, left:right]` decodes nothing: it is the same
    images cut. As a whole they become an array (`np.asarray`) only where they fit in memory.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        source: sources.Source,
        worker_threads: int | None = None,
        rows: np.ndarray | None = None,
        window: tuple[slice, ...] = (),
    ):
        """rows: positions in the source, None = all. window: the part of every image."""
        self.source = source
        self.worker_threads = worker_threads
        self.rows = np.arange(len(source)) if rows is None else rows
        self._window = window
        one = np.broadcast_to(np.uint8(0), source.shape)
        self.shape = (len(self.rows), *one[window].shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key) -> "np.ndarray | Images":
        if isinstance(key, tuple):
            first, *window = key
            cut = self._cut(tuple(window))
            whole = isinstance(first, slice) and first == slice(None)
            return cut if whole else cut[first]
        rows = self.rows[key]  # raises IndexError as for any array
        return self._decode(rows) if np.ndim(rows) else self._decode(rows[None])[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if copy is False:
            raise ValueError("images on disk become an array by decoding, which is a copy")
        images = self._decode(self.rows)
        return images if dtype is None else images.astype(dtype)

    def select(self, rows: np.ndarray) -> "Images":
        """The images at some positions, as lazy as these."""
        return Images(self.source, self.worker_threads, self.rows[rows], self._window)

    def _cut(self, window: tuple[slice, ...]) -> "Images":
        if self._window:
            raise IndexError("these images are cut already; cut the whole ones once")
        return Images(self.source, self.worker_threads, self.rows, window)

    def _decode(self, rows: np.ndarray) -> np.ndarray:
        needed = len(rows) * int(np.prod(self.source.shape))
        if not memory.fits(needed):
            raise contracts.UserError(
                f"{len(rows):,} images are wanted at once, decoded {memory.size(needed)}, and "
                f"{memory.described()}: set data.eval_train_images, such as 50000, or a smaller "
                "data.test_split, such as test[:10000]"
            )
        images = sources.read(self.source, rows, self.worker_threads).images
        return images[(slice(None), *self._window)] if self._window else images


class Labels:
    """Labels i32[n] beside the images on disk, read when they are indexed by slice or positions."""

    dtype = np.dtype(np.int32)

    def __init__(self, images: Images):
        self._images = images
        self.shape = (len(images),)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        return self._read(self._images.rows[key])[0]

    def targets(self) -> tuple[np.ndarray, np.ndarray | None]:
        """All labels i32[n] and attributes u8[n,a], None where there are none or not all known."""
        labels, attributes = self._read(self._images.rows)
        return labels, sources.known(attributes)

    def _read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return sources.targets_of(self._images.source, rows, self._images.worker_threads)
