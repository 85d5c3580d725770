"""The images of a source as the evaluations of an encoder's run would read them, batch by batch."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dim_jax import contracts, data
from dim_jax.data import colours, folder_layout, lazy, sources
from dim_jax.encoder import embedding
from dim_jax.rundir import paths


class Examples(NamedTuple):
    """Images [m,h,w,c] and their positions in the source; broken ones are left out."""

    images: np.ndarray
    rows: np.ndarray


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The images of a source for one encoder.

    names: of the images, or their positions from 0 where the source has no names. labels: i32[n],
    -1 = none; None together with `classes` for a source without labels. broken: {position: what is
    wrong with the image}, of those skipped so far.
    """

    images: lazy.Images
    names: Sequence[str]
    labels: np.ndarray | None
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]
    broken: dict[int, str]
    grey: bool

    def batches(self, size: int) -> Iterator[Examples]:
        """The images in order; threads decode the next ones while the caller uses one batch.

        Raises:
          UserError: the first broken image, unless they are skipped.
        """
        start = 0
        for images in self.images.batches(size, embedding.AHEAD):
            rows = np.arange(start, start + len(images))
            start += len(images)
            if self.broken:
                kept = [row not in self.broken for row in rows.tolist()]
                images, rows = images[kept], rows[kept]
            if self.grey:
                images = colours.as_grey(images)
            yield Examples(images, rows)


@dataclasses.dataclass(frozen=True)
class _Skipping:
    """A `sources.Source` with zeros in the place of broken images, which are listed in `broken`."""

    source: sources.Source
    broken: dict[int, str]

    def __len__(self) -> int:
        return len(self.source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def read(self, rows: Sequence[int]) -> sources.Examples:
        try:
            return self.source.read(rows)
        except contracts.UserError as error:
            if len(rows) == 1:
                self.broken[rows[0]] = str(error)
                zeros = np.zeros((1, *self.source.shape), self.source.dtype)
                return sources.Examples(zeros, *self.source.targets(rows))
        parts = [self.read([row]) for row in rows]
        return sources.Examples(*map(np.concatenate, zip(*parts, strict=True)))


def open_folder(card: Mapping[str, Any], folder: str, *, skip_broken: bool = False) -> Inputs:
    """The images below a folder.

    Raises:
      UserError: no such folder, or what `open_source` raises.
    """
    path = paths.expand(folder, "--folder")
    if not path.is_dir():
        raise contracts.UserError(
            f"the folder {folder} does not exist; give --folder a folder of images"
        )
    return open_source(card, f"folder:{path}", skip_broken=skip_broken)


def open_source(
    card: Mapping[str, Any],
    name: str,
    *,
    skip_broken: bool = False,
    image_column: str | None = None,
    label_column: str | None = None,
) -> Inputs:
    """The images of a source that `data.load_all` takes, for the encoder of a card.

    Args:
      skip_broken: leave out images that cannot be read, instead of raising.
      image_column, label_column: as the settings of `data`.

    Raises:
      UserError: a source that cannot be read, or images of another size.
    """
    columns = {"image_column": image_column, "label_column": label_column}
    try:
        loaded = data.load_all(name, **reading(card), **columns)
    except folder_layout.UnclearSplitsError as error:
        raise contracts.UserError(
            f"{error.held}, and it is not clear which are classes: give --folder one of them"
        ) from error
    broken: dict[int, str] = {}
    if skip_broken:
        split = loaded.splits["all"]
        images = lazy.Images(_Skipping(split.images.source, broken), split.images.worker_threads)
        loaded = loaded._replace(splits={"all": split._replace(images=images)})
    loaded = data.centre(loaded, card.get("crop"))
    split, classes = loaded.splits["all"], loaded.facts.classes
    return Inputs(
        images=split.images,
        names=[*map(str, range(len(split.images)))] if split.names is None else split.names,
        labels=None if classes is None else np.asarray(split.labels),
        classes=classes,
        notes=(*loaded.notes, *_notes_on_unit(card, loaded.facts)),
        broken=broken,
        grey=is_made_grey(card, loaded.facts),
    )


def reading(card: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `data` by which images are read as the encoder of a card takes them."""
    # Cards of version 0.1.0 do not say how: the complete images are resized.
    size, fit = card.get("resize", card["image_shape"][0]), card.get("fit") or "resize"
    return {"image_size": size, "fit": fit, "bits": card.get("bits"), "channels": _channels(card)}


def _channels(card: Mapping[str, Any]) -> int | None:
    """The channels that encoded images keep; an encoder of arrays has no such setting."""
    count = card["image_shape"][2]
    is_raw = card.get("dtype", "uint8") != "uint8" or count not in (1, 3)
    return count if card.get("channels") is None and is_raw else card.get("channels")


def is_made_grey(card: Mapping[str, Any], facts: data.Facts) -> bool:
    """Whether an encoder of grey images gets coloured ones, `colours.as_grey`.

    Raises:
      UserError: images of another size.
    """
    wanted, given = tuple(card["image_shape"]), tuple(facts.shape)
    if wanted == given:
        return False
    if wanted == (*given[:2], 1) and given[2] == 3 and facts.dtype == "uint8":
        return True
    given, wanted = ("x".join(map(str, shape)) for shape in (given, wanted))
    raise contracts.UserError(
        f"the images of {facts.name} are {given} (height x width x channels) and this encoder "
        f"needs {wanted}; give it images like those that it was trained on"
    )


def _notes_on_unit(card: Mapping[str, Any], facts: data.Facts) -> tuple[str, ...]:
    wanted = card.get("dtype", "uint8")
    if facts.dtype == wanted or not card.get("pixel_range"):
        return ()
    return (
        f"The images are {facts.dtype} and the encoder was trained on {wanted}: their values must "
        "have the same unit.",
    )
