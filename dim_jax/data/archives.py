"""Data sets of encoded images that are packed in large files, from a list of these images."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dim_jax import settings
from dim_jax.data import decoding, encoded_images, fingerprint, packed, partition, sources


class Listing(NamedTuple):
    """The images in large files before any is decoded, in the order of the files.

    keys, labels, splits, classes: as for `partition.partition`. checksums: of the files.
    """

    parts: packed.Parts
    keys: Sequence[str]
    labels: Sequence[Any] | None
    splits: Sequence[str] | None
    classes: Sequence[str] | None
    notes: tuple[str, ...]
    checksums: Mapping[str, int]


def open_(listing: Listing, block: settings.Data, seed: int) -> sources.Opened:
    """The sources "train" and "test" of images in large files, and their facts.

    Raises:
      UserError: what `partition.partition` refuses, or an image that cannot be read.
    """
    parts = listing.parts
    divided = partition.partition(
        *(block.name, block, seed),
        names=listing.keys,
        labels=listing.labels,
        splits=listing.splits,
        classes=listing.classes,
    )
    chosen, notes = decoding.survey(parts, block)
    opened = {
        role: _source(parts, rows, divided.labels, chosen) for role, rows in divided.rows.items()
    }
    listed = {
        role: (list(source.names), source.files.sizes.tolist()) for role, source in opened.items()
    }
    identity = fingerprint.of_files(block.name, divided.classes, listed, chosen.bits)
    identity["checksums"] = {
        f"labels of {role} images": zlib.crc32(source.labels.tobytes())
        for role, source in opened.items()
    } | {f"content of {name}": checksum for name, checksum in listing.checksums.items()}
    known = decoding.facts_of(block.name, chosen, divided.classes)
    notes = (*listing.notes, *divided.notes, *notes)
    return sources.Opened(known, opened, identity, notes)


def open_all(listing: Listing, block: settings.Data) -> sources.Opened:
    """All images in large files as the one source "all", and their facts.

    Raises:
      UserError: labels of several types. Reading raises it for each broken image.
    """
    parts = listing.parts
    labels, classes = partition.codes_of(block.name, listing.labels, len(parts), listing.classes)
    chosen, notes = decoding.survey(parts, block, lenient=True)
    source = _source(parts, np.arange(len(parts)), labels, chosen)
    known = decoding.facts_of(block.name, chosen, classes if len(classes) > 1 else None)
    return sources.Opened(known, {"all": source}, notes=(*listing.notes, *notes))


def _source(parts: packed.Parts, rows: np.ndarray, labels: np.ndarray, chosen: decoding.Decoding):
    selected = parts.select(rows)
    return encoded_images.Files(selected, selected.names, labels[rows], chosen)
