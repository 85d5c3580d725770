"""The progress of an embedding: a bar on a terminal, else a line every ten seconds."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from dim_jax.encoder import embedding

SECONDS = 10.0  # between two lines


class Meter:
    """The images per second of an embedding."""

    def __init__(self):
        self._ticks: list[tuple[int, float]] = []

    def __call__(self, done: int) -> None:
        self._ticks.append((done, time.monotonic()))
        if len(self._ticks) > embedding.AHEAD + 3:
            del self._ticks[-2]  # between the first that counts and the last

    def rate(self) -> float | None:
        """Without compiling, and without the images decoded meanwhile; None of too few images."""
        ticks = self._ticks[embedding.AHEAD + 1 :]
        if len(ticks) < 2:
            return None
        (first, began), (last, ended) = ticks[0], ticks[-1]
        return (last - first) / (ended - began)


@contextlib.contextmanager
def shown(meter: Meter, total: int) -> Iterator[Callable[[int], None]]:
    """A context manager with a function of the number of images done, which tells the meter too."""
    if not sys.stdout.isatty():
        yield _lines(meter, total)
        return
    from dim_jax import report

    with report.Console().progress(total) as bar:

        def show(done: int) -> None:
            meter(done)
            bar.update(done, {"time/images_per_second": meter.rate()})

        yield show


def _lines(meter: Meter, total: int) -> Callable[[int], None]:
    printed = time.monotonic()

    def show(done: int) -> None:
        nonlocal printed
        meter(done)
        if time.monotonic() > printed + SECONDS and (rate := meter.rate()):
            print(f"{done:,} of {total:,} images, {rate:,.0f} per second", flush=True)
            printed = time.monotonic()

    return show
