import numpy as np
import pytest

from dim_jax.evaluate import reference_representations


def test_pixels_lie_between_zero_and_one(digits):
    images = digits.splits["test"].images[:5]
    found = reference_representations.pixels().represent(images)
    assert set(found) == {"pixels"}
    np.testing.assert_allclose(found["pixels"], images.reshape(5, 64) / 255, rtol=1e-6)


def spread_over(count, size):
    """Random images whose pixels have clearly separate principal components."""
    random = np.random.default_rng(0)
    values = random.normal(size=(count, size)) * np.geomspace(40, 0.5, size)
    mixed = values @ np.linalg.qr(random.normal(size=(size, size)))[0]
    return np.clip(mixed + 128, 0, 255).astype(np.uint8)


# Exact decomposition, iterative one, and by products of images, of which there are fewer.
@pytest.mark.parametrize(("side", "dim"), [(8, 20), (8, 10), (24, 10), (32, 10)])
def test_pca_is_the_projection_of_the_singular_value_decomposition(side, dim):
    images = spread_over(900, side * side).reshape(-1, side, side, 1)
    train, test = images[:800], images[800:]
    found = np.asarray(reference_representations.pca(train, dim).represent(test)["pca"])
    flat = train.reshape(800, -1) / 255.0
    mean = flat.mean(0)
    basis = np.linalg.svd(flat - mean, full_matrices=False)[2][:dim]
    expected = (test.reshape(100, -1) / 255.0 - mean) @ basis.T
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found * signs, expected, atol=0.02 * expected.std())


def test_pca_of_few_images_has_fewer_components(digits):
    images = digits.splits["train"].images
    assert reference_representations.pca(images[:6], 64).represent(images[:3])["pca"].shape == (
        3,
        6,
    )
    assert reference_representations.pca(images, 200).represent(images[:3])["pca"].shape == (3, 64)


@pytest.mark.parametrize("count", [1, 20])
def test_pca_of_equal_images_is_zero(count):
    images = np.full((count, 16, 16, 3), 9, np.uint8)
    found = reference_representations.pca(images, 8).represent(images)["pca"]
    np.testing.assert_allclose(found, 0, atol=1e-5)
