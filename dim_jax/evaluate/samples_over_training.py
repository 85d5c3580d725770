"""Images of the same codes at the checkpoints of a training: files of a run, and one figure."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import generated, results
from dim_jax.evaluate.figures import drawing, samples
from dim_jax.rundir import writing

_GRID = (4, 10)  # rows and columns of images; the figure has the first row of each file
_POINTS = 500
_SHOWN = 8  # steps in the figure
_STREAM = 0x5A  # of random numbers, besides those of training and evaluation
_TITLE = "Samples over training"


class SamplesOverTraining:
    """`step_00001000.png` in a folder: images of 40 fixed codes, one beside the other.

    The codes follow from the seed alone, so that images at the same place are comparable, and a run
    that is continued writes the same files. Points are in `step_00001000.npy`, f32[n,2].
    """

    def __init__(self, folder: Path, frozen: contracts.Frozen, split: dataset.Split, seed: int):
        """`frozen` is the method at any parameters; nothing is written if it draws no codes."""
        generative = frozen.method.generative
        self._draws = bool(generative and generative.draw)
        if not self._draws:
            return
        self._folder, self._frozen, self._split = folder, frozen, split
        self._points = generated.is_points(split)
        self._decode = jax.jit(generative.decode)
        self._rng = jax.random.fold_in(jax.random.key(seed), _STREAM)

    @functools.cached_property
    def _codes(self) -> np.ndarray:
        count = _POINTS if self._points else _GRID[0] * _GRID[1]
        return generated.codes(self._frozen, self._split, self._rng, count)

    def write(self, step: int, train_state: Any) -> None:
        """Writes the images of a train state, in one move.

        Raises:
          UserError: the file could not be written.
        """
        if not self._draws:
            return
        # On one device, also of parameters that are on several, or in several processes.
        params, state = jax.device_get((train_state.params, train_state.state))
        images = np.asarray(self._decode(params, state, self._codes))
        with writing.explain_failed_write("the samples", self._folder, advice=writing.SAVED):
            self._folder.mkdir(exist_ok=True)  # and no parent: a deleted run stays deleted
            writing.replace_file(self._path(step), functools.partial(self._save, images))

    def figures(self, steps: Iterable[int]) -> tuple[list[results.Figure], list[str]]:
        """The files of at most eight of the steps as a figure, and a note on those left out.

        Both are empty for a method that draws no codes.
        """
        if not self._draws:
            return [], []
        steps = list(steps)
        read = {step: self._read(step) for step in steps}
        there = [step for step in steps if read[step] is not None]
        missing = [f"{step:,}" for step in steps if read[step] is None]
        notes = []
        if missing:
            which = contracts.abridged(missing, 5)
            notes.append(f"{_TITLE}: no readable file of step {which}, left out.")
        if not there:
            return [], notes
        rows = {
            f"step {there[place]:,}": read[there[place]]
            for place in np.unique(drawing.spread(len(there), _SHOWN))
        }
        caption = "At checkpoints, from the same codes in evaluation mode."
        if self._points:
            image = samples.scatter(rows, generated.real_points(self._frozen, self._split))
            caption += " In grey the points of the test data."
        else:
            image = drawing.rows_of_images(rows)
            caption += " The run folder has more images of each step, in samples/."
        return [results.Figure("samples_over_training.png", _TITLE, caption, image)], notes

    def _path(self, step: int) -> Path:
        return self._folder / f"step_{step:08d}.{'npy' if self._points else 'png'}"

    def _save(self, images: np.ndarray, draft: Path) -> None:
        if self._points:
            with draft.open("wb") as file:
                np.save(file, images.reshape(-1, 2))
            return
        pixels = drawing.as_pixels(self._frozen.normalise, images, self._split.display)
        Image.fromarray(_tiles(pixels)).save(draft, format="PNG")

    def _read(self, step: int) -> np.ndarray | None:
        """The first row of images u8[n,h,w,3] of a file, or its points; None if it has none."""
        try:
            if self._points:
                points = np.load(self._path(step), allow_pickle=False)
                return points if points.shape == (_POINTS, 2) else None
            with Image.open(self._path(step)) as image:
                pixels = np.asarray(image)
        except (OSError, ValueError, SyntaxError, EOFError):  # PIL raises them for damaged files
            return None
        height, width = self._split.images.shape[1:3]
        if pixels.shape != (_GRID[0] * height, _GRID[1] * width, 3):
            return None
        return pixels[:height].reshape(height, _GRID[1], width, 3).swapaxes(0, 1)


def _tiles(images: np.ndarray) -> np.ndarray:
    """Images u8[n,h,w,c] as one, in the rows and columns of the grid."""
    coloured = np.stack([drawing.coloured(image) for image in images])
    rows = coloured.reshape(*_GRID, *coloured.shape[1:]).swapaxes(1, 2)
    return rows.reshape(_GRID[0] * images.shape[1], _GRID[1] * images.shape[2], 3)
