import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate.figures import drawing, neighbours


def test_closest_by_l1_and_never_the_query():
    rows = np.random.default_rng(0).normal(size=(600, 5))
    queries = np.array([3, 599, *range(300)])
    found = neighbours.closest(rows, queries)
    for query, others in zip(queries, found, strict=True):
        distances = np.abs(rows - rows[query]).sum(1)
        expected = [index for index in np.argsort(distances) if index != query][:4]
        np.testing.assert_array_equal(others, expected)


def test_l1_is_not_l2():
    rows = np.array([[0.0, 0.0], [3.0, 0.0], [1.7, 1.7]])  # L1 3 and 3.4, L2 3 and 2.4
    assert neighbours.closest(rows, np.array([0]), 1)[0, 0] == 1


def test_fewer_images_than_neighbours():
    assert neighbours.closest(np.eye(3), np.array([0])).shape == (1, 2)


def cloud(per_class, classes, labels=None):
    """Images whose y is their class, exactly, and a split of them."""
    values = np.repeat(np.arange(classes), per_class)
    images = np.zeros((len(values), 4, 4, 3), np.uint8)
    images[:, 0, 0, 0] = values
    split = dataset.Split(images, (values if labels is None else labels).astype(np.int32))
    frozen = contracts.Frozen(
        jax.jit(lambda batch: {"y": 0.3 * batch[:, 0, 0, :1].astype(jnp.float32)})
    )
    return frozen, {"test": split}


def test_purity_is_one_for_separate_classes_and_chance_for_random_labels(rng):
    found = neighbours.evaluate(*cloud(8, 12), rng)
    assert found["y/purity@4"] == 1.0
    assert found["y/purity@4_sigmoid"] == 1.0
    random = np.random.default_rng(0).integers(0, 4, 800)
    shuffled = neighbours.evaluate(*cloud(100, 8, random), rng)
    assert abs(shuffled["y/purity@4"] - 0.25) < 0.05


def test_purity_before_and_after_the_sigmoid(rng):
    """By loops, on features whose large values the sigmoid brings together."""
    y = 4 * np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    table, labels = jnp.asarray(y), np.arange(60, dtype=np.int32) % 3
    labels[y[:, 0] > 0] = 0
    frozen = contracts.Frozen(jax.jit(lambda images: {"y": table[images[:, 0, 0, 0]]}))
    images = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    purity = neighbours.evaluate(frozen, {"test": dataset.Split(images, labels)}, rng)
    expected = []
    for rows in (y.astype(np.float64), special.expit(y.astype(np.float64))):
        same = []
        for query, row in enumerate(rows):
            nearest = np.argsort(np.abs(rows - row).sum(axis=1))[1:5]
            same += list(labels[nearest] == labels[query])
        expected.append(np.mean(same))
    assert expected[0] != expected[1]
    assert [purity["y/purity@4"], purity["y/purity@4_sigmoid"]] == pytest.approx(expected)


def test_queries_are_the_first_of_each_class_or_the_first_images():
    labels = np.array([2, 2, 0, 1, 0])
    np.testing.assert_array_equal(neighbours._queries(labels, True), [2, 3, 0])
    many = np.arange(100).repeat(2)
    spread = neighbours._queries(many, True)
    assert len(spread) == 10 and spread[0] == 0 and spread[-1] == 198
    np.testing.assert_array_equal(neighbours._queries(np.full(30, -1), False), range(10))


@pytest.mark.parametrize("labelled", [True, False])
def test_picture_frames_the_query_and_its_class(rng, labelled):
    labels = None if labelled else np.full(40, -1)
    found = neighbours.evaluate(*cloud(10, 4, labels), rng, classes=tuple("abcd"))
    image = found["neighbours"]
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert ("y/purity@4" in found) == labelled
    colours = {tuple(colour) for colour in image.reshape(-1, 3)}
    hexes = {f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colours}
    assert drawing.INK in hexes and (image[0, 0] == 255).all()
    assert (drawing.MATCH in hexes) == labelled
