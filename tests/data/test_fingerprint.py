"""The fingerprint of a data set, and what differs from another one."""

import json

import pytest

from dim_jax import contracts
from dim_jax.data import fingerprint

FILES = {"train": (["cat/0.png", "dog/1.png"], [10, 11]), "test": (["cat/2.png"], [12])}


def of(files=FILES, classes=("cat", "dog"), bits=None) -> dict:
    """As it is read from a run folder."""
    return json.loads(json.dumps(fingerprint.of_files("folder:x", classes, files, bits)))


def test_equal_data_have_no_difference():
    assert fingerprint.difference(of(), of()) is None


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"train": (["cat/0.png"], [10])}, "dog/1.png was removed since"),
        (
            {"train": (["cat/0.png", "cat/7.png", "dog/1.png"], [10, 5, 11])},
            "cat/7.png was added since",
        ),
        (
            {"train": (["cat/0.png", "dog/1.png"], [10, 1100])},
            "dog/1.png had 11 bytes and has 1,100",
        ),
        (
            {"train": (["cat/0.png", "cat/2.png", "dog/1.png"], [10, 12, 11]), "test": ([], [])},
            "cat/2.png was a test image and is a train image",
        ),
        (
            {"train": (["ape/0.png", "dog/1.png"], [10, 11])},
            "ape/0.png was added since, the first of 2 differences",
        ),
    ],
)
def test_the_first_different_file_is_named(files, words):
    assert fingerprint.difference(of(), of({**FILES, **files})) == words


def test_other_pixels_are_noticed_by_their_scaling():
    there = fingerprint.with_scaling(of(), dict(low=(0.0, 2.0), mean=(0.25, 0.5)))
    near = fingerprint.with_scaling(of(), dict(low=(0.0, 2.0), mean=(0.25, 0.5000001)))
    other = fingerprint.with_scaling(of(), dict(low=(0.0, 3.0), mean=(0.25, 0.5)))
    assert fingerprint.difference(there, near) is None
    assert fingerprint.difference(of(), other) is None  # of an older version
    assert "(low: 0, 2 then, 0, 3 now)" in fingerprint.difference(there, other)


def test_other_differences():
    assert "data.bits of the 16-bit images was None and is 12" in fingerprint.difference(
        of(), of(bits=12)
    )
    older, newer = (
        fingerprint.of(f"mnist/3.0.{patch}", ("a",), {"train": 5 + patch}) for patch in (1, 2)
    )
    assert fingerprint.difference(older, newer) == "the data set was mnist/3.0.1 and is mnist/3.0.2"
    assert "{'train': 6} and is {'train': 7}" in fingerprint.difference(
        older, {**newer, "name": older["name"]}
    )


@pytest.mark.parametrize("there", [None, [], {}, {**of(), "files": "x"}, {**of(), "files": 3}])
def test_a_damaged_fingerprint_is_an_error(there):
    with pytest.raises(contracts.UserError, match=r"data\.json.* is damaged"):
        fingerprint.difference(there, of())
