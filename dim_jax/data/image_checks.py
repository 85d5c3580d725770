"""Notes on decoded images: one colour, repeated images, channels that pictures cannot show."""

from collections.abc import Iterable

import numpy as np

from dim_jax.data import dataset

# The most bytes of images that are compared: about a second.
_COMPARED = 2**30
_SAMPLE = 64  # images of a stream that are looked at


def add_notes(data: dataset.Dataset) -> dataset.Dataset:
    """The data set with notes on images of one colour, repeated test images, and other channels.

    Images are compared in memory, where they take at most 1 GiB; of a stream some are decoded to
    see their colours, and none are compared. Points, images of 1x1, get no notes.
    """
    if data.facts.shape[:2] == (1, 1):
        return data
    notes = []
    if _are_plain(data.splits["train"].images):
        notes.append(
            "Every training image has one colour only, so that there is nothing to learn: look at "
            "the files (transparency is dropped)."
        )
    else:
        notes += _repeated(data)
    if (channels := data.facts.shape[-1]) not in (1, 3):
        notes.append(f"Pictures show the mean of the {channels} channels.")
    return data._replace(notes=(*data.notes, *notes))


def _are_plain(images) -> bool:
    """Whether every image has one colour; of images on disk, whether this holds for a sample."""
    if not isinstance(images, np.ndarray):
        images = images[np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int))]
    return all((image == image[:1, :1]).all() for image in images)


def _repeated(data: dataset.Dataset) -> Iterable[str]:
    train, test = (data.splits[role].images for role in ("train", "test"))
    if dataset.is_streamed(data.splits["train"]) or dataset.is_streamed(data.splits["test"]):
        return
    if train.nbytes + test.nbytes > _COMPARED:
        return
    known = {hash(image.tobytes()) for image in train}
    count = sum(hash(image.tobytes()) in known for image in test)
    if count:
        yield (
            f"{count:,} of the {len(test):,} test images {'is' if count == 1 else 'are'} equal to "
            "a training image: accuracies on them do not show how well the encoder generalises."
        )
