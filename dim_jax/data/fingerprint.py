"""The fingerprint of a data set, kept in the run folder, and its first difference from another."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dim_jax import contracts

FORMAT = 1


def of(
    name: str, classes: Sequence[str] | None, images: Mapping[str, int], bits: int | None = None
) -> dict[str, Any]:
    """The fingerprint, as JSON: what has to stay the same while a run is continued.

    Args:
      name: of the data, with their version if they have one.
      images: the number of images of each split.
      bits: in use of the channels of 16-bit images.
    """
    classes = None if classes is None else list(classes)
    return dict(format=FORMAT, name=name, classes=classes, images=dict(images), bits=bits)


def of_files(
    name: str,
    classes: Sequence[str] | None,
    files: Mapping[str, tuple[Sequence[str], Sequence[int]]],
    bits: int | None,
) -> dict[str, Any]:
    """`of` images in files, with the names of the files of each split and their sizes in bytes."""
    images = {role: len(names) for role, (names, _) in files.items()}
    return {**of(name, classes, images, bits), "files": _pack(files)}


def _pack(files: Mapping[str, Any]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(files).encode())).decode()


def _unpack(packed: str) -> dict[str, Any]:
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def without_test(there: Mapping[str, Any]) -> dict[str, Any]:
    """A fingerprint without the files and the number of the test images."""
    rest = {key: _of_others(there[key]) for key in ("images",) if key in there}
    if "files" in there:
        rest["files"] = _pack(_of_others(_unpack(there["files"])))
    return {**there, **rest}


def _of_others(by_role: Mapping[str, Any]) -> dict[str, Any]:
    return {role: value for role, value in by_role.items() if role != "test"}


def of_arrays(
    name: str,
    classes: Sequence[str] | None,
    images: Mapping[str, int],
    checksums: Mapping[str, int],
) -> dict[str, Any]:
    """`of` images in arrays, with checksums of their parts, such as "images" and "labels"."""
    return {**of(name, classes, images), "checksums": dict(checksums)}


def with_scaling(there: Mapping[str, Any], scaling: Mapping[str, Sequence[float]]) -> dict:
    """A fingerprint with the scaling of the channels that was measured on the training images.

    It notices images of the same number and size whose pixels are others.
    """
    return {**there, "scaling": {key: list(values) for key, values in scaling.items()}}


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """The first difference between two fingerprints in words, None if there is none.

    Raises:
      UserError: `there`, which was read from a run folder, is damaged.
    """
    try:
        for key, what in (("format", "the format of data.json"), ("name", "the data set")):
            if there[key] != here[key]:
                return f"{what} was {there[key]} and is {here[key]}"
        return _file_difference(_files(there), _files(here)) or next(
            (
                f"{what} was {there[key]} and is {here[key]}"
                for key, what in (
                    ("images", "the number of images"),
                    ("classes", "the list of classes"),
                    ("bits", "data.bits of the 16-bit images"),
                )
                if there[key] != here[key]
            ),
            _checksum_difference(there.get("checksums", {}), here.get("checksums", {}))
            or _scaling_difference(there.get("scaling"), here.get("scaling")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise contracts.UserError(
            "data.json, the fingerprint of the data in the run folder, is damaged: restore it, or "
            "use another --workdir"
        ) from error


def _checksum_difference(there: Mapping[str, int], here: Mapping[str, int]) -> str | None:
    changed = [part for part in sorted({*there, *here}) if there.get(part) != here.get(part)]
    return f"the {contracts.abridged(changed, 3)} changed since" if changed else None


def _scaling_difference(there: Mapping | None, here: Mapping | None) -> str | None:
    """Of what both measured; other machines add in another order, which changes the last bits."""
    for key in sorted({*(there or {})} & {*(here or {})}):
        if not np.allclose(there[key], here[key], rtol=1e-4, atol=0):
            return (
                "pixels changed since, as the scaling of the channels did "
                f"({key}: {_first_values(there[key])} then, {_first_values(here[key])} now)"
            )
    return None


def _first_values(values: Sequence[float]) -> str:
    return contracts.abridged([f"{value:.6g}" for value in values], 5)


def _files(content: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """{name: (split, size)}, empty for images that are no files."""
    if "files" not in content:
        return {}
    files = _unpack(content["files"])
    return {
        name: (role, size)
        for role, (names, sizes) in files.items()
        for name, size in zip(names, sizes, strict=True)
    }


def _file_difference(there: dict, here: dict) -> str | None:
    names = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
    if not names:
        return None
    first = names[0]
    if first not in there:
        text = f"{first} was added since"
    elif first not in here:
        text = f"{first} was removed since"
    else:
        (role, size), (new_role, new_size) = there[first], here[first]
        text = f"{first} had {size:,} bytes and has {new_size:,}"
        if size == new_size:
            text = f"{first} was a {role} image and is a {new_role} image"
    return f"{text}, the first of {len(names):,} differences" if len(names) > 1 else text
