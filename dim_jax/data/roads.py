"""The two roads of a data set: resident, decoded once into memory, or streamed from disk."""

import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset, lazy, memory, sources

ROADS = ("auto", "resident", "streaming")


def check(road: str) -> None:
    """Raises UserError unless the road is one of `ROADS`."""
    if road not in ROADS:
        raise contracts.unknown("data.road", str(road), ROADS)


def take(opened: sources.Opened, road: str, worker_threads: int | None) -> dataset.Dataset:
    """The data set on a road; "auto" is resident while the training images fit in memory.

    That is the memory of this process's machine; processes that differ in it are told so by the
    run (see `record.identity`).

    Raises:
      UserError: an image that cannot be read; images that do not fit in memory.
    """
    needed = len(opened.sources["train"]) * int(np.prod(opened.facts.shape))
    streamed = road == "streaming" or (road == "auto" and not memory.fits(needed))
    if not streamed:
        why = f"resident: {memory.size(needed)}" + (" fit in memory" if road == "auto" else "")
        return dataset.Dataset(
            opened.facts,
            {role: _resident(one, worker_threads) for role, one in opened.sources.items()},
            why,
        )
    why = f"streamed from disk: decoded {memory.size(needed)}"
    why += ", as data.road asks" if road == "streaming" else f", and {memory.described()}"
    splits = {}
    for role, source in opened.sources.items():
        images = lazy.Images(source, worker_threads)
        splits[role] = dataset.Split(images, lazy.Labels(images), source.names)
    return dataset.Dataset(opened.facts, splits, why)


def _resident(source: sources.Source, worker_threads: int | None) -> dataset.Split:
    images, labels, attributes = sources.read_all(source, worker_threads)
    return dataset.Split(images, labels, source.names, sources.known(attributes))
