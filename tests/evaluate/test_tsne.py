import matplotlib
import numpy as np
import pytest

from dim_jax.evaluate.figures import drawing, tsne


def hexes(image):
    return {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(image.reshape(-1, 3), axis=0)}


@pytest.mark.parametrize("count", [3, 14, 40])
def test_picture_of_labelled_points(count):
    points = np.random.default_rng(0).normal(size=(200, 2))
    image = tsne.picture(points, np.arange(200) % count, tuple(f"c{i}" for i in range(count)))
    assert image.dtype == np.uint8 and image.shape[2] == 3
    assert (image[0] == 255).all() and (image[-1] == 255).all()
    assert (image.shape[1] > 1.2 * image.shape[0]) == (count <= 20)  # room for a legend
    if count <= 20:
        assert (image[:, int(0.72 * image.shape[1]) :] < 128).any()


def test_classes_have_different_colours():
    for count in (2, 10, 11, 30):
        colours = [tuple(matplotlib.colors.to_rgb(colour)) for colour in drawing.colours(count)]
        assert len(set(colours)) == count


def test_any_class_name_can_be_written():
    points = np.random.default_rng(0).normal(size=(50, 2))
    labels = np.zeros(50, np.int32)
    names = ["a", "_a", "$a$", "a_{$", "犬", "\\frac", 60 * "x"]
    images = [tsne.picture(points, labels, (name,)) for name in names]
    for image in images:
        assert (image[:, int(0.73 * image.shape[1]) :] < 60).any()  # written, not left out


def test_points_without_labels():
    points = np.random.default_rng(0).normal(size=(50, 2))
    image = tsne.picture(points, np.full(50, -1), None)
    assert (image < 200).any() and image.shape[0] == image.shape[1]


@pytest.mark.parametrize("count", [1, 3, 50])
def test_a_collapsed_representation_is_one_point(count):
    assert (tsne.plane(np.ones((count, 8), np.float32)) == 0).all()


def test_clusters_stay_apart():
    random = np.random.default_rng(0)
    y = random.normal(size=(90, 8)) + 30 * np.eye(8)[np.arange(90) % 3]
    points = tsne.plane(y.astype(np.float32))
    centres = np.stack([points[index::3].mean(0) for index in range(3)])
    nearest = np.linalg.norm(points[:, None] - centres, axis=-1).argmin(1)
    np.testing.assert_array_equal(nearest, np.arange(90) % 3)


def test_evaluation_is_the_same_twice_and_leaves_no_pyplot(digits, encoder, rng):
    few = {
        "test": digits.splits["test"]._replace(
            images=digits.splits["test"].images[:80], labels=digits.splits["test"].labels[:80]
        )
    }
    first = tsne.evaluate(encoder, few, rng, classes=digits.facts.classes)["map2d"]
    second = tsne.evaluate(encoder, few, rng, classes=digits.facts.classes)["map2d"]
    np.testing.assert_array_equal(first, second)
    import sys

    assert "matplotlib.pyplot" not in sys.modules
