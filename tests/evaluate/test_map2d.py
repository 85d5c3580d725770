import matplotlib
import numpy as np
import pytest

from dim_jax.evaluate import drawing, map2d


def hexes(image):
    return {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(image.reshape(-1, 3), axis=0)}


@pytest.mark.parametrize("count", [3, 14, 40])
def test_picture_of_labelled_points(count):
    points = np.random.default_rng(0).normal(size=(200, 2))
    image = map2d.picture(points, np.arange(200) % count, tuple(f"c{i}" for i in range(count)))
    assert image.dtype == np.uint8 and image.shape[2] == 3
    assert (image[0] == 255).all() and (image[-1] == 255).all()
    legend = image[:, int(0.82 * image.shape[1]) :]
    assert (legend < 128).any() == (count <= 20)


def test_classes_have_different_colours():
    for count in (2, 10, 11, 30):
        colours = [tuple(matplotlib.colors.to_rgb(colour)) for colour in drawing.colours(count)]
        assert len(set(colours)) == count


def test_points_without_labels():
    points = np.random.default_rng(0).normal(size=(50, 2))
    image = map2d.picture(points, np.full(50, -1), None)
    assert (image < 200).any()
    assert (image[:, int(0.82 * image.shape[1]) :] == 255).all()


def test_evaluation_is_the_same_twice_and_leaves_no_pyplot(digits, encoder, rng):
    few = {
        "test": digits.splits["test"]._replace(
            images=digits.splits["test"].images[:80], labels=digits.splits["test"].labels[:80]
        )
    }
    first = map2d.evaluate(encoder, few, rng, classes=digits.facts.classes)["map2d"]
    second = map2d.evaluate(encoder, few, rng, classes=digits.facts.classes)["map2d"]
    np.testing.assert_array_equal(first, second)
    import sys

    assert "matplotlib.pyplot" not in sys.modules
