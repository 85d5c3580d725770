"""Images against columns and classes: a network with convolutions, and principal components."""

import math

import jax
import numpy as np
import pytest
from sklearn import datasets

from dim_jax import contracts, mi
from dim_jax.mi import network
from dim_jax.mi.sides import Side


def test_patches_are_the_surroundings_of_every_second_pixel():
    maps = np.arange(2 * 5 * 4 * 3, dtype=np.float32).reshape(2, 5, 4, 3)
    patches = np.asarray(network._patches(maps))
    assert patches.shape == (2, 3, 2, 27)
    np.testing.assert_array_equal(patches[1, 1, 1].reshape(3, 3, 3), maps[1, 1:4, 1:4])
    assert (patches[0, 0, 0].reshape(3, 3, 3)[0] == 0).all()  # above the image


def test_a_batch_of_images_is_moved_together():
    images = np.random.default_rng(0).normal(size=(4, 6 * 6)).astype(np.float32)
    moved = np.asarray(network._moved(jax.random.key(3), images, (6, 6, 1)))
    shifts = [
        (i, j)
        for i in range(-2, 3)
        for j in range(-2, 3)
        if np.array_equal(moved, np.roll(images.reshape(4, 6, 6), (i, j), (1, 2)).reshape(4, 36))
    ]
    assert len(shifts) == 1
    assert network._moved(jax.random.key(0), images, None) is images


def test_columns_of_images_are_their_components():
    images = datasets.load_digits().images[:300, :, :, None]
    side = Side.of_images(images)
    assert side.features.shape == (300, 64) and side.scores.shape == (300, 20)
    assert math.isclose(float(side.features.std()), 1.0, rel_tol=1e-3)
    assert np.abs(np.corrcoef(side.standard.T) - np.eye(20)).max() < 0.1


def test_images_beside_given_are_refused():
    images = np.random.default_rng(0).normal(size=(60, 8, 8, 1))
    with pytest.raises(contracts.UserError, match="give features of the images"):
        mi.estimate(images, images[:, 0, 0, 0], given=images[:, 1, 1, 0])


@pytest.mark.slow
def test_digits_tell_most_of_a_noisy_copy_of_their_class():
    digits, random = datasets.load_digits(), np.random.default_rng(0)
    noisy = np.where(random.random(1797) < 0.2, random.integers(0, 10, 1797), digits.target)
    others, same = 0.02, 0.82
    truth = math.log(10) + same * math.log(same) + 9 * others * math.log(others)
    estimate = mi.estimate(digits.images[..., None], noisy, permutations=100)
    assert 0.85 * truth < estimate.nats < truth + 3 * estimate.standard_error
    assert estimate.guaranteed < truth and estimate.p_value < 0.05
