"""The shortcut pixel: where it is, what it is worth, and what stays as it was."""

import numpy as np
import pytest

from dim_jax import contracts, data, settings
from dim_jax.data import dataset, lazy, shortcut

# Clockwise around a 28x28 image, one pixel from its border: row and column of each class.
SPREAD = [
    *((1, 1), (1, 11), (1, 21), (6, 26), (16, 26)),
    *((26, 26), (26, 16), (26, 6), (21, 1), (11, 1)),
]


@pytest.fixture(scope="module")
def plain():
    return data.load("digits", image_size=28)


def block(**changes):
    return settings.Data(name="digits", **changes)


@pytest.mark.parametrize(
    ("kind", "place", "strength"),
    [
        ("location", "column", 1.0),
        ("location", "spread", 0.5),
        ("value", "column", 1.0),
        ("value", "column", 0.3),
    ],
)
def test_one_pixel_tells_the_class(plain, kind, place, strength):
    changes = dict(shortcut=kind, shortcut_place=place, shortcut_strength=strength)
    marked = data.load("digits", image_size=28, **changes)
    told = {name: marked.splits[name].labels for name in ("train", "test")}
    told["misled"] = marked.splits["misled"].told
    for name, classes in told.items():
        before, after = plain.splits[name.replace("misled", "test")], marked.splits[name]
        np.testing.assert_array_equal(before.labels, after.labels)
        for image, changed, label in zip(before.images, after.images, classes, strict=True):
            expected = image.copy()
            if kind == "value":
                expected[0, 0] = round(255 * strength * label / 9)
            elif place == "spread":
                expected[SPREAD[label]] = round(255 * strength)
            else:
                expected[9 + label, 1] = round(255 * strength)
            np.testing.assert_array_equal(changed, expected)
    np.testing.assert_array_equal(marked.splits["clean"].images, plain.splits["test"].images)
    assert marked.splits["test"].told is None
    (note,) = marked.notes
    assert kind in note and f"{strength:g} of white" in note


def test_misleading_classes_are_others_equally_likely_and_the_same_in_every_run(plain):
    labels = np.repeat(np.arange(10, dtype=np.int32), 900)
    images = np.zeros((len(labels), 28, 28, 1), np.uint8)
    many = plain._replace(
        splits={"train": plain.splits["train"], "test": (dataset.Split(images, labels))}
    )
    told = shortcut.add(many, block(shortcut="value")).splits["misled"].told
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, told), 1)
    assert not counts.diagonal().any()
    others = counts[~np.eye(10, dtype=bool)]
    # 100 each; chi-squared with 8 degrees of freedom for each class, 80 in all: 80 +- 5 * 12.6.
    assert 17 < np.sum((others - 100) ** 2 / 100) < 143
    again = data.load("digits", image_size=28, shortcut="value", seed=5).splits["misled"]
    once = data.load("digits", image_size=28, shortcut="value").splits["misled"]
    np.testing.assert_array_equal(again.told, once.told)


@pytest.mark.parametrize(("height", "width", "classes"), [(28, 28, 10), (32, 48, 16), (40, 20, 2)])
def test_spread_places_are_apart_and_on_the_frame(height, width, classes):
    found = shortcut.places("spread", classes, height, width)
    frame = np.zeros((height, width), bool)
    frame[1, 1:-1] = frame[-2, 1:-1] = frame[1:-1, 1] = frame[1:-1, -2] = True
    assert frame[tuple(found.T)].all()
    for index, one in enumerate(found):
        assert all(np.hypot(*(one - other)) >= 6 for other in found[:index])


def test_evaluations_see_the_other_splits_too(plain):
    judged = data.evaluated(data.load("digits", image_size=28, shortcut="location"), limit=100)
    assert set(judged.splits) == {"train", "test", "clean", "misled"}
    assert len(judged.splits["clean"].images) == len(plain.splits["test"].images)
    misled, rows = judged.splits["misled"], np.array([5, 2])
    np.testing.assert_array_equal(data.select(misled, rows).told, misled.told[rows])


def test_none_changes_nothing(plain):
    assert set(plain.splits) == {"train", "test"} and not plain.notes


def test_mistakes(plain):
    with pytest.raises(contracts.UserError, match="did you mean 'location'"):
        data.load("digits", shortcut="locations")
    with pytest.raises(contracts.UserError, match=r"needs 19 rows and 2 columns .* are 8x8"):
        data.load("digits", shortcut="location")
    test, value = plain.splits["test"], block(shortcut="value")
    unlabelled = test._replace(labels=np.full_like(test.labels, -1))
    with pytest.raises(contracts.UserError, match="some have no label"):
        shortcut.add(plain._replace(splits={**plain.splits, "test": unlabelled}), value)
    streamed = test._replace(images=lazy.Images.__new__(lazy.Images))
    with pytest.raises(contracts.UserError, match=r"set data\.road to resident"):
        shortcut.add(plain._replace(splits={**plain.splits, "test": streamed}), value)
    alone = plain._replace(facts=plain.facts._replace(classes=("one",)))
    with pytest.raises(contracts.UserError, match="digits has one; set"):
        shortcut.add(alone, value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(shortcut_place="spread"), r"shortcut is None, so that .*_place to column"),
        (dict(shortcut_strength=0.5), r"shortcut is None, so that .*_strength to 1\.0"),
        (dict(shortcut="value", shortcut_place="spread"), "in the same corner for all classes"),
        (dict(shortcut="value", shortcut_strength=0.02), "needs 10 .* for 10 classes .* gives 6"),
        (dict(shortcut="location", shortcut_strength=0.001), "needs 1 .* gives 0; set a larger"),
    ],
)
def test_settings_that_make_no_pixel_or_none_that_tells_are_refused(plain, changes, message):
    with pytest.raises(contracts.UserError, match=message):
        shortcut.add(plain, block(**changes))


@pytest.mark.parametrize("size", [1, 3, 22])
def test_spread_places_need_room(size):
    with pytest.raises(contracts.UserError, match=f"places of 10 .* images are {size}x{size}"):
        data.load("digits", image_size=size, shortcut="location", shortcut_place="spread")
