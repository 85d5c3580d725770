"""The shortcut pixel: where it is, what it is worth, and what stays as it was."""

import numpy as np
import pytest

from dim_jax import contracts, data
from dim_jax.data import lazy


@pytest.fixture(scope="module")
def plain():
    return data.load("digits", image_size=28)


@pytest.mark.parametrize("kind", ["location", "value"])
def test_one_pixel_tells_the_class(plain, kind):
    marked = data.load("digits", image_size=28, shortcut=kind)
    for name in ("train", "test"):
        before, after = plain.splits[name], marked.splits[name]
        np.testing.assert_array_equal(before.labels, after.labels)
        for image, changed, label in zip(before.images, after.images, after.labels, strict=True):
            expected = image.copy()
            if kind == "location":
                expected[9 + label, 1] = 255
            else:
                expected[0, 0] = round(255 * label / 9)
            np.testing.assert_array_equal(changed, expected)
    np.testing.assert_array_equal(marked.splits["clean"].images, plain.splits["test"].images)
    assert any(kind in note for note in marked.notes)


def test_evaluations_see_the_clean_images_too(plain):
    judged = data.evaluated(data.load("digits", image_size=28, shortcut="location"), limit=100)
    assert set(judged.splits) == {"train", "test", "clean"}
    assert len(judged.splits["clean"].images) == len(plain.splits["test"].images)


def test_none_changes_nothing(plain):
    assert set(plain.splits) == {"train", "test"} and not plain.notes


def test_mistakes(plain):
    from dim_jax.data import shortcut

    with pytest.raises(contracts.UserError, match="did you mean 'location'"):
        data.load("digits", shortcut="locations")
    with pytest.raises(contracts.UserError, match=r"needs 19 rows and 2 columns .* are 8x8"):
        data.load("digits", shortcut="location")
    test = plain.splits["test"]
    unlabelled = test._replace(labels=np.full_like(test.labels, -1))
    with pytest.raises(contracts.UserError, match="some have no label"):
        shortcut.add(plain._replace(splits={**plain.splits, "test": unlabelled}), "value")
    streamed = test._replace(images=lazy.Images.__new__(lazy.Images))
    with pytest.raises(contracts.UserError, match=r"set data\.road to resident"):
        shortcut.add(plain._replace(splits={**plain.splits, "test": streamed}), "value")
