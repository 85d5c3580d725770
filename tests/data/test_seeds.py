"""Seed patches: their law, their margins, and real images."""

import itertools

import numpy as np
import pytest

from dim_jax import contracts, data
from dim_jax.data import dataset, facts, seeds


def of(images, labels=None) -> dataset.Dataset:
    labels = np.arange(len(images), dtype=np.int32) if labels is None else labels
    return dataset.Dataset(
        facts.Facts("made", images.shape[1:], None, None, None),
        {name: dataset.Split(images, labels) for name in ("train", "test")},
    )


def energy(image: np.ndarray, top: int, left: int, side: int) -> float:
    """The summed squared gradient in a window, pixel by pixel in float64."""
    grey = image.astype(np.float64).mean(-1)
    height, width = grey.shape
    total = 0.0
    for row, column in itertools.product(range(top, top + side), range(left, left + side)):
        high, low = min(row + 1, height - 1), max(row - 1, 0)
        right, before = min(column + 1, width - 1), max(column - 1, 0)
        total += ((grey[high, column] - grey[low, column]) / (high - low)) ** 2
        total += ((grey[row, right] - grey[row, before]) / (right - before)) ** 2
    return total


@pytest.fixture
def noise() -> np.ndarray:
    """Grey images of 6x7 pixels, noise of four strengths."""
    random = np.random.default_rng(0)
    strengths = np.array([10, 20, 30, 40])[:, None, None, None]
    return (128 + strengths * random.uniform(-1, 1, (4, 6, 7, 1))).astype(np.uint8)


def draw(images, *arguments):
    return seeds._draw(dataset.Split(images, None), *arguments)


def test_the_first_place_is_drawn_in_proportion_to_its_energy(noise):
    """Patches of two pixels, one in 120 places: the counts of 4,000 draws by chi square."""
    places = list(itertools.product(range(4), range(5), range(6)))
    expected = np.array([energy(noise[n], top, left, 2) for n, top, left in places])
    counts = dict.fromkeys(places, 0)
    for seed in range(4000):
        random = np.random.default_rng(seed)
        drawn = draw(noise, np.arange(4), (2, 2), 1, random)
        counts[int(drawn.image[0]), int(drawn.top[0]), int(drawn.left[0])] += 1
    expected = 4000 * expected / expected.sum()
    found = np.array([counts[place] for place in places])
    statistic = np.sum((found - expected) ** 2 / expected)
    assert statistic < 119 + 4 * np.sqrt(2 * 119)  # and the uniform law is far from it:
    assert np.sum((found - 4000 / 120) ** 2 / (4000 / 120)) > 1000


def test_no_place_twice_and_every_place_when_as_many_are_wanted(noise):
    drawn = draw(noise, np.arange(4), (2, 2), 120, np.random.default_rng(0))
    assert len({*zip(drawn.image, drawn.top, drawn.left, strict=True)}) == 120
    few = draw(noise, np.arange(4), (2, 2), 60, np.random.default_rng(0))
    assert len({*zip(few.image, few.top, few.left, strict=True)}) == 60


def test_places_of_an_image_are_a_quarter_of_the_patch_apart():
    images = np.random.default_rng(0).integers(0, 255, (3, 40, 30, 3), np.uint8)
    drawn = draw(images, np.arange(3), (8, 8), 10_000, np.random.default_rng(1))
    for n in range(3):
        tops = np.unique(drawn.top[drawn.image == n])
        lefts = np.unique(drawn.left[drawn.image == n])
        assert set(np.diff(tops)) == set(np.diff(lefts)) == {2}
        assert len(tops) in (16, 17) and len(lefts) in (11, 12)
        assert np.sum(drawn.image == n) == len(tops) * len(lefts)
    offsets = {
        tuple(seeds._positions(7, 3, 1, np.random.default_rng(seed))[0]) for seed in range(50)
    }
    assert offsets == {(0, 3, 6), (1, 4, -1), (2, 5, -1)}


def test_flat_images_give_no_patch(noise):
    images = np.concatenate([noise, np.full((9, 6, 7, 1), 200, np.uint8)])
    made = data.seeded(of(images), seeds=4, patch=8, context=0, seed=0)
    np.testing.assert_array_equal(made.splits["train"].images, noise)  # whole: 8 is more than 6, 7
    np.testing.assert_array_equal(made.splits["train"].labels, range(4))
    message = "seeds is 5 and made has 4 places for patches of 8 pixels; set it to at most that"
    with pytest.raises(contracts.UserError, match=message):
        data.seeded(of(images), seeds=5, patch=8, context=0, seed=0)


def test_margins_are_of_the_image_and_mirrored_where_it_ends():
    """Each pixel says where it is, so that the patch's place can be read from its centre."""
    rows, columns = np.mgrid[:20, :24]
    image = np.stack([rows * 7, columns * 7, (rows * columns) % 50], axis=-1).astype(np.uint8)
    images = np.stack([image, image[::-1], image[:, ::-1]])
    made = data.seeded(of(images, np.array([5, 6, 7])), seeds=40, patch=6, context=9, seed=3)
    train = made.splits["train"]
    assert train.images.shape == (40, 24, 24, 3) and made.facts.shape == (24, 24, 3)

    def mirrored(place, size):  # 0, 1, .., size - 1, size - 2, .., 1, 0, 1, ..
        place = abs(place) % (2 * size - 2)
        return min(place, 2 * size - 2 - place)

    places = set()
    for patch, label in zip(train.images, train.labels, strict=True):
        whole = images[label - 5]
        top, left = np.argwhere((whole == patch[9, 9]).all(-1))[0]
        places.add((label, top, left))
        for i, j in itertools.product(range(24), range(24)):
            source = whole[mirrored(top + i - 9, 20), mirrored(left + j - 9, 24)]
            np.testing.assert_array_equal(patch[i, j], source)
    assert len(places) == 40
    assert {top for _, top, _ in places} - {*range(9)} and {left for *_, left in places} & {0, 1}


def test_it_depends_on_the_seed_alone(noise):
    first, again, other = (
        data.seeded(of(noise), seeds=30, patch=2, context=1, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.splits["train"].images, again.splits["train"].images)
    assert not np.array_equal(first.splits["train"].images, other.splits["train"].images)
    np.testing.assert_array_equal(first.splits["test"].images, noise)
    assert "trained on 30 patches of 4 of the 4 training images of made" in first.road
    assert first.notes == (
        "Trained on 30 patches of 2x2 pixels, with 1 pixels around them, of 4 of the 4 training "
        "images of made.",
    )


@pytest.mark.parametrize(
    ("number", "value"), [("seeds", 0), ("patch", None), ("patch", 1), ("context", -1)]
)
def test_numbers_that_cannot_be(noise, number, value):
    numbers = {**dict(seeds=3, patch=2, context=0), number: value}
    with pytest.raises(contracts.UserError, match=f"data.{number} is {value}"):
        data.seeded(of(noise), **numbers, seed=0)


def test_cifar10(tfds_dir):
    """Whole images with mirrored margins, livelier than the usual one."""
    whole = data.load("cifar10", data_dir=tfds_dir, train_split="train[:5000]")
    made = data.seeded(whole, seeds=500, patch=32, context=8, seed=0)
    train = made.splits["train"]
    assert train.images.shape == (500, 48, 48, 3)
    inner = train.images[:, 8:40, 8:40]
    assert len(np.unique(inner.reshape(500, -1), axis=0)) == 500
    np.testing.assert_array_equal(train.images[:, 0:8], train.images[:, 16:8:-1])
    lively, usual = (
        seeds.squared_gradient(images).mean() for images in (inner, whole.splits["train"].images)
    )
    assert 1.3 * usual < lively < 4 * usual
    assert set(train.labels) == set(range(10))


def test_the_same_on_both_roads(tfds_dir):
    made = [
        data.seeded(
            data.load(
                *("imagenette/128px-v2",),
                **dict(data_dir=tfds_dir, image_size=64, train_split="train[:200]", road=road),
            ),
            **dict(seeds=100, patch=32, context=8, seed=0),
        )
        for road in ("resident", "streaming")
    ]
    one, other = (each.splits["train"] for each in made)
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.images.shape == (100, 48, 48, 3) and not data.is_streamed(other)
