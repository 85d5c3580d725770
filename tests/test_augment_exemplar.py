"""Exemplar-CNN's changes: against SciPy, NumPy and colorsys in float64, and their laws."""

import colorsys
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from dim_jax import augment, contracts
from dim_jax.augment import contrasts, draws, warps

affine = jax.jit(augment.affine, static_argnames="size")
pca_contrast, hsv_power = jax.jit(contrasts.pca_contrast), jax.jit(contrasts.hsv_power)
UNITS = np.random.default_rng(0).uniform(size=(4, 12, 10, 3)).astype(np.float32)
ONES = np.ones(4, np.float32)
FULL = dict(affine=(0.2, 0.7, 1.4, 20.0), pca=(0.5, 2.0), hsv=(0.25, 4.0, 0.7, 1.4, 0.1), hue=0.1)


def warped(image, move, scale, angle, size):
    """The same warp by SciPy, which mirrors at the centres of edge pixels too."""
    rows, columns = size
    found = np.zeros((rows, columns, image.shape[-1]))
    places = np.zeros((2, rows, columns))
    for row in range(rows):
        for column in range(columns):
            x, y = column + 0.5 - columns / 2 - move[0], row + 0.5 - rows / 2 - move[1]
            back_x = (np.cos(angle) * x + np.sin(angle) * y) / scale
            back_y = (-np.sin(angle) * x + np.cos(angle) * y) / scale
            places[:, row, column] = (
                back_y + image.shape[0] / 2 - 0.5,
                back_x + image.shape[1] / 2 - 0.5,
            )
    for channel in range(image.shape[-1]):
        found[..., channel] = ndimage.map_coordinates(
            image[..., channel].astype(np.float64), places, order=1, mode="mirror"
        )
    return found


@pytest.mark.parametrize("size", [(12, 10), (6, 8)])
def test_affine_is_scipys(size):
    moves = np.array([[2.0, -1.0], [0.0, 0.0], [-3.5, 4.25], [9.0, 30.0]], np.float32)
    scales = np.array([0.7, 1.4, 1.0, 0.9], np.float32)
    angles = np.array([0.3, -0.2, 1.5, 3.0], np.float32)
    found = affine(UNITS, moves, scales, angles, size=size)
    for index, image in enumerate(UNITS):
        wanted = warped(image, moves[index], scales[index], angles[index], size)
        np.testing.assert_allclose(found[index], wanted, atol=2e-5)


def test_the_words_of_a_warp_mean_what_they_say():
    """A point on the right: enlarged it is farther, turned clockwise below, moved down lower."""
    image = np.zeros((1, 21, 21, 1), np.float32)
    image[0, 9:12, 14:17] = 1.0  # centre 5 to the right

    def place(move=(0.0, 0.0), scale=1.0, angle=0.0):
        one = affine(image, *(np.array([x], np.float32) for x in (move, scale, angle)))
        return np.array(ndimage.center_of_mass(np.asarray(one)[0, :, :, 0])) - 10

    np.testing.assert_allclose(place(), [0, 5], atol=1e-5)
    np.testing.assert_allclose(place(scale=1.5), [0, 7.5], atol=0.1)
    np.testing.assert_allclose(place(angle=np.pi / 2), [5, 0], atol=0.1)
    np.testing.assert_allclose(place(move=(1.0, 3.0)), [3, 6], atol=1e-4)


def test_a_warp_shows_what_is_around_the_patch():
    """The middle of the larger image, moved, is the patch cut out elsewhere."""
    image = np.random.default_rng(1).uniform(size=(1, 16, 16, 3)).astype(np.float32)
    one = np.ones(1, np.float32)
    found = affine(image, np.array([[2.0, -3.0]], np.float32), one, 0 * one, size=(8, 8))
    np.testing.assert_allclose(found[0], image[0, 7:15, 2:10], atol=1e-5)


def test_pca_contrast_is_that_of_loops():
    factors = np.random.default_rng(2).uniform(0.5, 2.0, (4, 3)).astype(np.float32)
    found = pca_contrast(UNITS, factors)
    for image, own, result in zip(UNITS.astype(np.float64), factors, found, strict=True):
        pixels = image.reshape(-1, 3)
        mean = pixels.mean(axis=0)
        _, _, axes = np.linalg.svd(pixels - mean, full_matrices=False)  # the largest first
        wanted = np.array(
            [
                mean + sum(own[k] * np.dot(x - mean, axes[k]) * axes[k] for k in range(3))
                for x in pixels
            ]
        )
        np.testing.assert_allclose(result, np.clip(wanted, 0, 1).reshape(image.shape), atol=1e-4)


def test_hsv_power_is_that_of_loops():
    rng = np.random.default_rng(3)
    powers = rng.uniform(0.25, 4, (4, 2)).astype(np.float32)
    factors = rng.uniform(0.7, 1.4, (4, 2)).astype(np.float32)
    shifts = rng.uniform(-0.1, 0.1, (4, 2)).astype(np.float32)
    found = hsv_power(UNITS, powers, factors, shifts)
    for index in np.ndindex(*UNITS.shape[:3]):
        own, (h, s, v) = index[0], colorsys.rgb_to_hsv(*map(float, UNITS[index]))
        s, v = (
            np.clip(factors[own, k] * x ** powers[own, k] + shifts[own, k], 0, 1)
            for k, x in enumerate((s, v))
        )
        np.testing.assert_allclose(found[index], colorsys.hsv_to_rgb(h, s, v), atol=2e-4)


def test_grey_and_black_pixels_stay_grey():
    grey = np.tile(np.linspace(0, 1, 30, dtype=np.float32).reshape(1, 5, 6, 1), (4, 1, 1, 3))
    found = hsv_power(grey, *(np.full((4, 2), x, np.float32) for x in (0.5, 1.4, 0.1)))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[..., 0], found[..., 2])


def test_identity_parameters_change_nothing():
    ones, zeros = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
    nothing = dict(affine=(0.0, 1.0, 1.0, 0.0), pca=(1.0, 1.0), hsv=(1.0, 1.0, 1.0, 1.0, 0.0))
    for found in (
        affine(UNITS, zeros, ONES, 0 * ONES),
        pca_contrast(UNITS, ones),
        hsv_power(UNITS, ones[:, :2], ones[:, :2], zeros),
        jax.jit(augment.pipeline(**nothing))(jax.random.key(0), UNITS),
    ):
        np.testing.assert_allclose(found, UNITS, atol=1e-5)


def test_a_warp_that_moves_nothing_is_the_middle():
    change = jax.jit(augment.pipeline(crop=8, affine=(0.0, 1.0, 1.0, 0.0)))
    np.testing.assert_allclose(change(jax.random.key(0), UNITS), UNITS[:, 2:10, 1:9], atol=1e-6)


@pytest.mark.parametrize("word", FULL)
def test_every_image_has_its_own_draw(word):
    same = np.tile(UNITS[:1], (6, 1, 1, 1))
    change = jax.jit(augment.pipeline(**{word: FULL[word]}))
    found = np.asarray(change(jax.random.key(0), same))
    assert found.min() >= 0 and found.max() <= 1
    for i in range(6):
        for j in range(i):
            assert np.abs(found[i] - found[j]).max() > 1e-3
    np.testing.assert_array_equal(found, change(jax.random.key(0), same))
    assert np.abs(found - change(jax.random.key(1), same)).max() > 1e-3


def test_views_differ_and_bytes_are_taken():
    images = (255 * UNITS).astype(np.uint8)
    found = jax.jit(augment.pipeline(views=2, crop=8, **FULL))(jax.random.key(0), images)
    assert found.shape == (2, 4, 8, 8, 3) and found.dtype == jnp.float32
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_warps_have_the_law_that_is_said(monkeypatch):
    """What the warp is asked for, of many images: ranges, means, and no two alike."""
    kept = {}

    def watched(images, moves, scales, angles, *, size):
        kept.update(moves=moves, scales=scales, angles=angles, size=size)
        return images

    monkeypatch.setattr(warps, "affine", watched)
    warps.random_affine(
        *(jax.random.key(0), np.zeros((20_000, 10, 10, 1), np.float32)),
        **dict(translate=0.2, scales=(0.7, 1.4), degrees=20.0, size=5),
    )
    moves, angles = np.asarray(kept["moves"]), np.rad2deg(kept["angles"])
    logs = np.log(kept["scales"])
    assert kept["size"] == (5, 5)
    for values, low, high in (
        (moves[:, 0], -1.0, 1.0),  # of the patch's 5 pixels, not of the image's 10
        (moves[:, 1], -1.0, 1.0),
        (angles, -20.0, 20.0),
        (logs, np.log(0.7), np.log(1.4)),
    ):
        span = high - low
        assert low <= values.min() < low + 0.01 * span
        assert high - 0.01 * span < values.max() <= high
        # Uniform: the mean within five of its deviations, the variance that of the law.
        assert abs(values.mean() - (low + high) / 2) < 5 * span / np.sqrt(12 * 20_000)
        np.testing.assert_allclose(values.var(), span**2 / 12, rtol=0.03)
    for one, other in ((moves[:, 0], moves[:, 1]), (moves[:, 0], angles), (angles, logs)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.04


def test_a_log_uniform_factor_is_as_often_above_as_below():
    found = np.asarray(draws.log_uniform(jax.random.key(0), (20_000,), (0.5, 2.0)))
    assert found.min() >= 0.4999 and found.max() <= 2.0001
    assert abs((found > 1).mean() - 0.5) < 0.02


def test_hue_moves_within_its_range():
    red = np.tile(np.array([0.8, 0.2, 0.2], np.float32), (2000, 1, 1, 1))
    change = jax.jit(functools.partial(contrasts.random_hue, shift=0.1))
    found = np.asarray(change(jax.random.key(0), red))[:, 0, 0]
    hues = np.array([(colorsys.rgb_to_hsv(*pixel)[0] + 0.5) % 1 - 0.5 for pixel in found])
    assert -0.1001 <= hues.min() < -0.098 and 0.098 < hues.max() <= 0.1001


@pytest.mark.parametrize(
    "word, value",
    [
        *(("affine", v) for v in ((0.2, 0.7, 1.4), (0.2, 1.4, 0.7, 20.0), (0.2, 0.0, 1.0, 2.0))),
        *(("affine", v) for v in ((-0.1, 0.7, 1.4, 20.0), (0.2, 0.7, 1.4, 200.0))),
        *(("pca", v) for v in ((2.0, 0.5), (0.0, 1.0), (1.0,))),
        *(("hsv", v) for v in ((0.25, 4.0, 0.7, 1.4), (4.0, 0.25, 0.7, 1.4, 0.1))),
        ("hsv", (0.25, 4.0, 0.7, 1.4, -0.1)),
        *(("hue", v) for v in (-0.1, 0.6)),
    ],
)
def test_impossible_numbers(word, value):
    with pytest.raises(contracts.UserError, match=f"augment.{word}"):
        augment.pipeline(**{word: value})


@pytest.mark.parametrize("word", ["pca", "hsv", "hue"])
def test_grey_images_have_no_colours(word):
    with pytest.raises(contracts.UserError, match=f"augment.{word}.* 1 channels"):
        augment.pipeline(**{word: FULL[word]})(jax.random.key(0), UNITS[..., :1])


def test_what_cuts_twice_or_too_much():
    with pytest.raises(contracts.UserError, match="both cut"):
        augment.pipeline(affine=FULL["affine"], resized_crop=(0.5, 1.0))
    with pytest.raises(contracts.UserError, match="use a smaller crop"):
        augment.pipeline(affine=FULL["affine"], crop=11)(jax.random.key(0), UNITS)


def test_no_image_leaves_its_device():
    devices = jax.devices()[:8]
    mesh = jax.make_mesh((8,), ("data",), devices=devices, axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    images = jax.device_put(np.tile(UNITS, (4, 1, 1, 1)), split)
    change = functools.partial(augment.pipeline(**FULL), jax.random.key(0))
    compiled = jax.jit(change).lower(images).compile().as_text()
    assert not any(f"all-{word}" in compiled for word in ("gather", "reduce", "to-all"))
