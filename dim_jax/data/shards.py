"""Webdataset tar files: the images of their samples, with labels from other members."""

import json
import pathlib
import re
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import archives, folder_listing, packed, patterns, sources, tar_index

_EXTENSIONS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_IMAGES = {extension.lstrip(".") for extension in folder_listing.EXTENSIONS}
_LABELS = ("cls", "label")  # extensions of labels, in the order of preference; then a key of `json`
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_LONG = 5  # seconds that the making of indexes takes before a note says so


def open_(block: settings.Data, seed: int) -> sources.Opened:
    """The images in tar files, which become u8[n,h,w,3] as those of a folder do.

    A sample is the members with the same path up to the first dot of the base name: one image, and
    its label, which is the text of `.cls` or `.label`, or the value of `label` in `.json`;
    `data.image_column` and `data.label_column` name other extensions or another key. Splits are
    those that the names of the files name, else samples are held out by key.

    Raises:
      UserError: no such files; what `tar_index` refuses; a sample with no image or two; a key twice
        in a split; labels in some samples only. Reading raises it for a broken image.
    """
    return archives.open_(_list(block), block, seed)


def open_all(block: settings.Data) -> sources.Opened:
    """All images as the one source "all", in the order of the tar files.

    Raises:
      UserError: as `open_`.
    """
    return archives.open_all(_list(block), block)


def _list(block: settings.Data) -> archives.Listing:
    files = patterns.files(block, _EXTENSIONS)
    names = patterns.names(files)
    indexes, notes = _read_indexes(files)
    wanted = _image_extensions(block, indexes)
    images = [_images(index, wanted) for index in indexes]
    count = [len(index.keys) for index in indexes]
    splits = patterns.splits(files, block)
    keys = [key for index in indexes for key in index.keys]
    by_sample = None if splits is None else np.repeat(splits, count).tolist()
    _check_keys(keys, np.repeat(np.arange(len(files)), count), by_sample, names)
    members = [
        f"{name}/{index.keys[sample]}.{index.extensions[extension]}"
        for name, index, rows in zip(names, indexes, images, strict=True)
        for sample, extension in zip(index.sample[rows], index.extension[rows], strict=True)
    ]
    return archives.Listing(
        packed.Parts(
            tuple(members),
            tuple("." + member.rpartition(".")[2] for member in members),
            tuple(files),
            np.repeat(np.arange(len(files)), count),
            *(
                np.concatenate(
                    [getattr(i, of)[rows] for i, rows in zip(indexes, images, strict=True)]
                )
                for of in ("offsets", "sizes")
            ),
        ),
        keys=keys,
        labels=_labels(block, indexes),
        splits=by_sample,
        classes=None,
        notes=notes,
        checksums={name: index.checksum for name, index in zip(names, indexes, strict=True)},
    )


def _read_indexes(files: Sequence[pathlib.Path]):
    """(indexes, notes)"""
    start, indexes, unkept = time.monotonic(), [], 0
    for file in files:
        index, is_kept = tar_index.read(file)
        indexes.append(index)
        unkept += not is_kept
    seconds = time.monotonic() - start
    if not unkept or seconds < _LONG:
        return indexes, ()
    return indexes, (
        f"The indexes of {folder_listing.count(unkept, 'tar file')} took {seconds:.0f} s and are "
        "made at every start, because neither their folder nor the cache folder is writable.",
    )


def _image_extensions(block: settings.Data, indexes: Sequence[tar_index.Index]) -> set[str]:
    there = _extensions(indexes)
    if block.image_column is None:
        return {one for one in there if one.rpartition(".")[2] in _IMAGES}
    asked = block.image_column.lstrip(".").lower()
    if asked not in there:
        raise contracts.UserError(
            f"data.image_column is {block.image_column} and the samples of {block.name} have the "
            f"extensions {contracts.abridged(there, 8)}: use one of these"
        )
    return {asked}


def _extensions(indexes: Sequence[tar_index.Index]) -> list[str]:
    return sorted({extension for index in indexes for extension in index.extensions})


def _images(index: tar_index.Index, extensions: set[str]) -> np.ndarray:
    """The members i64[n] that are the images of the samples, in the order of these."""
    members = index.members(extensions)
    counts = np.bincount(index.sample[members], minlength=len(index.keys))
    for wrong, what in ((counts == 0, "no image"), (counts > 1, "several images")):
        if wrong.any():
            key = int(wrong.argmax())
            codes = index.extension[index.sample == key]
            has = ", ".join(sorted({index.extensions[code] for code in codes}))
            change = (
                "add one, or remove the sample"
                if what == "no image"
                else "set data.image_column to the extension to read"
            )
            raise contracts.UserError(
                f"the sample {index.keys[key]} in {index.path} has {what} (its extensions: {has}): "
                f"{change}"
            )
    return members[np.argsort(index.sample[members], kind="stable")]


def _check_keys(keys: Sequence[str], file: np.ndarray, splits, names: Sequence[str]) -> None:
    """Refuses a key that is twice in a split."""
    splits = [None] * len(keys) if splits is None else splits
    seen: dict[tuple, int] = {}
    for row, place in enumerate(zip(splits, keys, strict=True)):
        first = seen.setdefault(place, row)
        if first != row:
            where = " and ".join(names[file[each]] for each in (first, row))
            raise contracts.UserError(
                f"the key {keys[row]} is in {where}, of the same split: give each sample a "
                "key of its own, or leave one of the files out"
            )


def _labels(block: settings.Data, indexes: Sequence[tar_index.Index]) -> list[Any] | None:
    """A label per sample; None = there are none."""
    labels = _values(block.label_column, indexes)
    absent = [row for row, label in enumerate(labels) if label is None or label == ""]
    if len(absent) == len(labels):
        if block.label_column is None:
            return None
        raise contracts.UserError(
            f"data.label_column is {block.label_column} and no sample of {block.name} has such an "
            f"extension or key of its json (extensions: "
            f"{contracts.abridged(_extensions(indexes), 8)}): use one of these, or set it to None"
        )
    if absent:
        index, key = _place(indexes, absent[0])
        raise contracts.UserError(
            f"the sample {key} in {index.path} has no label and others have one "
            f"({len(absent):,} of {len(labels):,} have none): add labels, -1 for none"
        )
    kinds = [isinstance(label, int) for label in labels]
    if any(kinds) and not all(kinds):
        other = kinds.index(not kinds[0])
        index, key = _place(indexes, other)
        raise contracts.UserError(
            f"the label of the sample {key} in {index.path} is {labels[other]!r} and the first one "
            f"is {labels[0]!r}: make all integers, or all names"
        )
    return labels


def _place(indexes: Sequence[tar_index.Index], row: int) -> tuple[tar_index.Index, str]:
    """The index and the key of a sample by its position among all."""
    return [(index, key) for index in indexes for key in index.keys][row]


def _values(asked: str | None, indexes: Sequence[tar_index.Index]) -> list[Any]:
    """The value of the label of every sample, None where it has none; [] = there are none."""
    there = _extensions(indexes)
    asked = asked and asked.lstrip(".")
    extension = asked.lower() if asked else next((one for one in _LABELS if one in there), None)
    if extension in there:
        return [_label(text) for index in indexes for text in _texts(index, extension)]
    if "json" not in there:
        return []
    return [
        _value(text, asked or "label", index, sample)
        for index in indexes
        for sample, text in enumerate(_texts(index, "json"))
    ]


def _label(text: str | None) -> int | str | None:
    """A text without spaces around it, an integer if it is one."""
    text = text and text.strip()
    return int(text) if text and _INTEGER.fullmatch(text) else text


def _texts(index: tar_index.Index, extension: str) -> list[str | None]:
    """The text with an extension of every sample, None where there is none."""
    members = index.members({extension})
    found: list[str | None] = [None] * len(index.keys)
    for sample, content in zip(index.sample[members], index.read_texts(members), strict=True):
        try:
            found[sample] = content.decode()
        except UnicodeDecodeError as error:
            raise contracts.UserError(
                f"{index.keys[sample]}.{extension} in {index.path} is not text (UTF-8): set "
                "data.label_column to the extension of the labels"
            ) from error
    return found


def _value(text: str | None, key: str, index: tar_index.Index, sample: int) -> Any:
    """The value of a key of JSON text, None if it is not there."""
    if text is None:
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise contracts.UserError(
            f"{index.keys[sample]}.json in {index.path} is not JSON ({error}): write it again"
        ) from error
    value = content.get(key) if isinstance(content, dict) else None
    value = int(value) if isinstance(value, bool) else value
    if not isinstance(value, int | str | None):
        raise contracts.UserError(
            f"{index.keys[sample]}.json in {index.path} has the {key} {str(value)[:40]}, a "
            f"{type(value).__name__}: labels are integers or strings; set data.label_column to "
            "another key"
        )
    return value
