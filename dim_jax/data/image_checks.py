"""Notes on images: of both splits, of one colour, repeated, or with channels not shown."""

from collections.abc import Iterable

import numpy as np

from dim_jax.data import dataset, origins

# The most bytes of images that are compared: about a second.
_COMPARED = 2**30
_SAMPLE = 64  # images of a stream that are looked at


def add_notes(data: dataset.Dataset) -> dataset.Dataset:
    """The data set with notes on test images that are trained on, plain images, and channels.

    Images are compared in memory, where they take at most 1 GiB; of a stream some are decoded to
    see their colours, and none are compared. Points, images of 1x1, get no notes.
    """
    if data.facts.shape[:2] == (1, 1):
        return data
    notes = describe_shared(data, data)
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


def count_shared(judged: dataset.Dataset, trained: dataset.Dataset) -> int:
    """The number of test images of one data set that are stored as training images of another.

    0 where it is not known where they are stored. Copies are other images.
    """
    if judged.stored is None or trained.stored is None:
        return 0
    return origins.count_shared(judged.stored["test"], trained.stored["train"])


def describe_shared(judged: dataset.Dataset, trained: dataset.Dataset) -> list[str]:
    """A sentence on the test images of `count_shared`, [] if there are none."""
    count = count_shared(judged, trained)
    if not count:
        return []
    overlap = "among the training images, as the splits overlap"
    what = overlap if judged is trained else "among those that the encoder was trained on"
    return [
        f"{count:,} of the {origins.count(judged.stored['test']):,} test images of "
        f"{judged.facts.name} {_are(count)} {what}: results on them do not show how well the "
        "encoder generalises."
    ]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _are_plain(images) -> bool:
    """Whether every image has one colour; of images on disk, whether this holds for a sample."""
    if not isinstance(images, np.ndarray):
        images = images[np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int))]
    return all((image == image[:1, :1]).all() for image in images)


def _repeated(data: dataset.Dataset) -> Iterable[str]:
    """The number of test images equal to a training image, unless these are the shared ones."""
    train, test = (data.splits[role].images for role in ("train", "test"))
    if dataset.is_streamed(data.splits["train"]) or dataset.is_streamed(data.splits["test"]):
        return
    if train.nbytes + test.nbytes > _COMPARED:
        return
    known = {hash(image.tobytes()) for image in train}
    count = sum(hash(image.tobytes()) in known for image in test)
    if count > count_shared(data, data):
        yield (
            f"{count:,} of the {len(test):,} test images {_are(count)} equal to "
            "a training image: accuracies on them do not show how well the encoder generalises."
        )
