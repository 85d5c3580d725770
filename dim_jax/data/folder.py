"""Folders of images: PATH/*.png, PATH/CLASS/*.png, or PATH/train/... with PATH/test/... ."""

import os
import pathlib
import unicodedata
from typing import NamedTuple

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import (
    decoding,
    encoded_images,
    facts,
    fingerprint,
    folder_layout,
    folder_listing,
    holdout,
    image_files,
    sources,
)


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
    decoding: decoding.Decoding
    notes: tuple[str, ...]

    def rows(self, rows: np.ndarray) -> encoded_images.Files:
        """The source of the images at some positions."""
        paths, names = self.files[rows].tolist(), tuple(self.names[rows].tolist())
        return encoded_images.Files(paths, names, self.labels[rows], self.decoding)


def open_(block: settings.Data, seed: int) -> sources.Opened:
    """The images below a folder, [n,h,w,c]; see `data.load` for the layouts.

    Raises:
      UserError: no such folder; no images in it; images beside class folders; fewer than two
        images; splits or classes that are not clear; what `folder_listing` and `decoding`
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
    opened = {role: listing.rows(part) for role, part in rows.items()}
    listed = {
        role: (opened[role].names, listing.sizes[part].tolist()) for role, part in rows.items()
    }
    bits, classes = listing.facts.bits, listing.facts.classes
    identity = fingerprint.of_files(block.name, classes, listed, bits)
    return sources.Opened(listing.facts, opened, identity, listing.notes)


def open_all(block: settings.Data) -> sources.Opened:
    """All images below a folder as the one source "all", in the order of their names.

    Raises:
      UserError: as `open_`, but for a single image; reading raises it for each broken one.
    """
    listing = _list(block, lenient=True)
    source = listing.rows(np.argsort(listing.names.astype(str)))
    return sources.Opened(listing.facts, {"all": source}, notes=listing.notes)


def _list(block: settings.Data, *, lenient: bool = False) -> _Listing:
    root = _root(block)
    layout = folder_layout.layout(root, block.train_split, block.test_split)
    ignored = folder_listing.Ignored()
    folders = [folder for folder in (layout.train, layout.test) if folder is not None]
    listings = [folder_listing.images(folder, ignored) for folder in folders]
    classes = _class_names(folders, listings)
    images = [image for listing in listings for image in listing]
    if not lenient and (empty := next((image for image in images if not image.size), None)):
        raise image_files.unreadable(empty.path, image_files.EMPTY)
    files = np.array([image.path for image in images])
    chosen, notes = decoding.survey(files, block, lenient=lenient)
    if classes is None and images[0].label is not None:
        only = facts.printable(images[0].label)
        notes += (f"All images are of one class ({only}), so they have no labels.",)
    codes = {name: code for code, name in enumerate(classes or ())}
    return _Listing(
        files,
        np.array([file.relative_to(root).as_posix() for file in files], object),
        np.array([codes.get(image.label, -1) for image in images], np.int32),
        np.array([image.size for image in images]),
        tuple(map(len, listings)),
        decoding.facts_of(block.name, chosen, classes),
        chosen,
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
