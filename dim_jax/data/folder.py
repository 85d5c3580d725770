"""Folders of images: PATH/*.png, PATH/CLASS/*.png, or PATH/train/... with PATH/test/... ."""

import dataclasses
import os
import pathlib
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import (
    dataset,
    facts,
    fingerprint,
    folder_layout,
    folder_listing,
    holdout,
    image_files,
    lazy,
    pixels,
    sources,
)


@dataclasses.dataclass(frozen=True)
class Files:
    """The image files of one split: a `sources.Source`.

    image_size: None = all have one size. bits: of 16-bit images, see `image_files.decode`.
    """

    files: list[pathlib.Path]
    names: tuple[str, ...]
    labels: np.ndarray
    shape: tuple[int, int, int]
    image_size: int | None
    bits: int | None = None

    def __len__(self) -> int:
        return len(self.files)

    def read(self, rows: Sequence[int]) -> sources.Examples:
        """The examples at some positions; see `sources.Source`."""
        images = np.empty((len(rows), *self.shape), np.uint8)
        for position, row in enumerate(rows):
            images[position] = self._load(self.files[row])
        return sources.Examples(images, *self.targets(rows))

    def targets(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Labels and no attributes at some positions; see `sources.Source`."""
        return self.labels[list(rows)], np.zeros((len(rows), 0), np.int8)

    def _load(self, file: pathlib.Path) -> np.ndarray:
        image = image_files.decode(file, self.image_size, self.bits)
        if self.image_size:
            image = pixels.fit(image, self.image_size)
        if image.shape != self.shape:
            raise contracts.UserError(
                f"{file} is {image.shape[1]}x{image.shape[0]} where other images are "
                f"{self.shape[1]}x{self.shape[0]} (width x height): set data.image_size, such as "
                "64, to resize and centre-crop all of them"
            )
        return image


class _Listing(NamedTuple):
    """The images of a folder before any is read: those of the training folder, then of the other.

    counts: of the images of each folder. sizes: of the files, in bytes.
    """

    files: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    counts: tuple[int, ...]
    facts: facts.Facts
    notes: tuple[str, ...]

    def rows(self, rows: np.ndarray, image_size: int | None) -> Files:
        """The source of the images at some positions."""
        paths, names = self.files[rows].tolist(), tuple(self.names[rows].tolist())
        return Files(
            *(paths, names, self.labels[rows], self.facts.shape, image_size, self.facts.bits)
        )


def open_(block: settings.Data, seed: int) -> sources.Opened:
    """The images below a folder, which become u8[n,h,w,3]; see `data.load` for the layouts.

    Raises:
      UserError: no such folder; no images in it; images beside class folders; fewer than two
        images; splits or classes that are not clear; what `folder_listing` and `image_files`
        refuse. Reading raises it for a broken image, and without image_size for one of another
        size.
    """
    listing = _list(block)
    if len(listing.files) < 2:
        name = listing.files[0].name
        raise contracts.UserError(f"{_root(block)} holds a single image, {name}: add more")
    if len(listing.counts) == 2:
        parts = np.split(np.arange(len(listing.files)), listing.counts[:1])
    else:
        parts = holdout.hold_out_by_name(listing.names, listing.labels, block.test_fraction, seed)
    rows = dict(zip(("train", "test"), parts, strict=True))
    opened = {role: listing.rows(part, block.image_size) for role, part in rows.items()}
    listed = {
        role: (opened[role].names, listing.sizes[part].tolist()) for role, part in rows.items()
    }
    bits, classes = listing.facts.bits, listing.facts.classes
    identity = fingerprint.of_files(block.name, classes, listed, bits)
    return sources.Opened(listing.facts, opened, identity, listing.notes)


def open_all(block: settings.Data) -> dataset.Dataset:
    """All images below a folder, lazily, as the one split "all" in the order of their names.

    Raises:
      UserError: as `open_`, but for a single image.
    """
    listing = _list(block)
    source = listing.rows(np.argsort(listing.names.astype(str)), block.image_size)
    images = lazy.Images(source, block.worker_threads)
    splits = {"all": dataset.Split(images, source.labels, source.names)}
    return dataset.Dataset(listing.facts, splits, notes=listing.notes)


def _list(block: settings.Data) -> _Listing:
    root, size = _root(block), block.image_size
    layout = folder_layout.layout(root, block.train_split, block.test_split)
    ignored = folder_listing.Ignored()
    folders = [folder for folder in (layout.train, layout.test) if folder is not None]
    listings = [folder_listing.images(folder, ignored) for folder in folders]
    classes = _class_names(folders, listings)
    images = [image for listing in listings for image in listing]
    files = np.array([image.path for image in images])
    bits, notes = _survey(files, block)
    if classes is None and images[0].label is not None:
        only = facts.printable(images[0].label)
        notes.append(f"All images are of one class ({only}), so they have no labels.")
    shape = (size, size, 3) if size else image_files.decode(files[0], None, bits).shape
    codes = {name: code for code, name in enumerate(classes or ())}
    return _Listing(
        files,
        np.array([file.relative_to(root).as_posix() for file in files], object),
        np.array([codes.get(image.label, -1) for image in images], np.int32),
        np.array([image.size for image in images]),
        tuple(map(len, listings)),
        facts.Facts(block.name, shape, classes, None, None, bits=bits),
        (*layout.notes, *ignored.describe(root), *notes),
    )


def _root(block: settings.Data) -> pathlib.Path:
    """The folder that the setting `data.name` names."""
    path = block.name.removeprefix("folder:")
    root = pathlib.Path(os.path.expanduser(path))  # unlike Path.expanduser, never raises
    folder_listing.check_name(root)
    if not path or not root.is_dir():
        raise contracts.UserError(
            f"the folder {path or '(nothing after folder:)'} does not exist: set data.name to "
            "folder:PATH with the path of a folder of images"
        )
    return root


def _survey(files: Sequence[pathlib.Path], block: settings.Data) -> tuple[int | None, list[str]]:
    """The bits of the 16-bit images, None if there are none, and notes on what is read."""
    threads = sources.thread_count(block.worker_threads)
    survey, notes, bits = image_files.survey(files, threads), [], None
    if survey.several:
        files_read = folder_listing.count(len(survey.several), "file")
        notes.append(
            f"{files_read} with several images (such as {survey.several[0].name}): the first of "
            "each is read."
        )
    if survey.deep:
        origin, bits = "as data.bits says", block.bits
        if bits is None:
            highest, bits = image_files.bits(survey.deep, threads)
            origin = f"the highest value is {highest:,}"
        notes.append(
            f"{len(survey.deep):,} of {len(files):,} images have 16 bits per channel, of which "
            f"{bits} are in use ({origin}): values 0 to {2**bits - 1:,} become 0 to 255."
        )
    return bits, notes


def _class_names(
    folders: list[pathlib.Path], listings: list[list[folder_listing.Image]]
) -> tuple[str, ...] | None:
    """The sorted class names of the training images; None if there are fewer than two."""
    train, test = ({image.label for image in listing} for listing in (listings[0], listings[-1]))
    if (None in train) != (None in test):
        flat, nested = folders if None in train else folders[::-1]
        raise contracts.UserError(
            f"{nested} has a sub-folder per class and {flat} has none: arrange both in the same way"
        )
    if None in train:
        return None
    unknown = sorted(test - train)
    if unknown:
        alike = {unicodedata.normalize("NFC", name) for name in train}
        if unicodedata.normalize("NFC", unknown[0]) in alike:
            raise contracts.UserError(
                f"the class {unknown[0]} in {folders[-1]} and the one in {folders[0]} have names "
                "of the same letters in two Unicode forms (NFC and NFD): rename one of them"
            )
        raise contracts.UserError(
            f"the class {unknown[0]} in {folders[-1]} has no images in {folders[0]}: add some or "
            "remove it"
        )
    return tuple(sorted(train)) if len(train) > 1 else None
