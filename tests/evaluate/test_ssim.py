"""SSIM against scikit-image; MS-SSIM and the released variant against float64 loops of SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal
from skimage import data, metrics

from dim_jax import contracts
from dim_jax.evaluate.measures import ssim


def pairs(side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Parts of a photograph in [-1, 1] and noisy versions of them, float64, three of each."""
    photograph = data.astronaut()[..., :channels] / 127.5 - 1
    images = np.stack([photograph[at : at + side, 60 + at :][:, :side] for at in (0, 90, 200)])
    noise = np.random.default_rng(0).normal(size=images.shape)
    return images, np.clip(images + 0.3 * noise, -1, 1)


def factors(a, b, sigma, constants, mode):
    """Luminance and contrast-structure maps [h,w] as the papers write them, in float64."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * sigma**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(values):
        return signal.convolve2d(values, window, mode)

    c1, c2 = constants
    ma, mb = mean(a), mean(b)
    saa, sbb, sab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    luminance = (2 * ma * mb + c1) / (ma**2 + mb**2 + c1)
    return luminance, (2 * sab + c2) / (saa + sbb + c2)


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (28, 1), (45, 3)])
def test_ssim_is_that_of_scikit_image(side, channels):
    a, b = pairs(side, channels)
    expected = [
        metrics.structural_similarity(
            *pair,
            data_range=2.0,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for pair in zip(a, b, strict=True)
    ]
    found = jax.jit(lambda a, b: ssim.ssim(a, b, data_range=2.0))(a, b)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    one_scale = jax.jit(lambda a, b: ssim.ms_ssim(a, b, data_range=2.0, weights=(1.0,)))
    np.testing.assert_allclose(one_scale(a, b), found, atol=1e-6)


@pytest.mark.parametrize(("side", "channels", "count"), [(32, 3, 2), (90, 1, 4), (176, 1, 5)])
def test_ms_ssim_is_the_product_of_the_paper(side, channels, count):
    a, b = pairs(side, channels)
    weights = ssim.first_weights(count)
    expected = np.ones((len(a), channels))
    for image, channel in np.ndindex(*expected.shape):
        x, y = a[image, ..., channel], b[image, ..., channel]
        for scale, weight in enumerate(weights):
            luminance, contrast = factors(x, y, 1.5, (0.02**2, 0.06**2), "valid")
            mean = np.mean(contrast if scale < count - 1 else luminance * contrast)
            expected[image, channel] *= max(mean, 0) ** weight
            x, y = (
                (z[0::2, 0::2] + z[1::2, 0::2] + z[0::2, 1::2] + z[1::2, 1::2]) / 4
                for z in (part[: len(part) // 2 * 2, : len(part) // 2 * 2] for part in (x, y))
            )
    found = jax.jit(lambda a, b: ssim.ms_ssim(a, b, data_range=2.0, weights=weights))(a, b)
    np.testing.assert_allclose(found, expected.mean(-1), atol=1e-5)
    if count == 5:
        default = jax.jit(lambda a, b: ssim.ms_ssim(a, b, data_range=2.0))
        np.testing.assert_allclose(default(a, b), found, atol=1e-4)  # the five add up to 1.0001


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (8, 1)])
def test_compat_is_the_released_function(side, channels):
    a, b = pairs(side, channels)
    expected = [
        np.mean(
            [
                np.prod(factors(x[..., c], y[..., c], 11.0, (1e-4, 9e-4), "same"), axis=0)
                for c in range(channels)
            ]
        )
        for x, y in zip(a, b, strict=True)
    ]
    found = jax.jit(ssim.ssim_dim_compat)(a, b)
    np.testing.assert_allclose(found, expected, atol=1e-4)


SCORES = {
    "ssim": lambda a, b: ssim.ssim(a, b, data_range=2.0),
    "ms_ssim": lambda a, b: ssim.ms_ssim(a, b, data_range=2.0, weights=ssim.first_weights(2)),
    "compat": ssim.ssim_dim_compat,
}


@pytest.mark.parametrize("name", SCORES)
def test_one_for_equal_images_and_less_the_more_noise(name):
    images, _ = pairs(32, 3)
    score = jax.jit(SCORES[name])
    for same in (images, np.full_like(images, 0.9)):
        np.testing.assert_array_equal(score(same, same), 1)
    noise = np.random.default_rng(1).normal(size=images.shape)
    found = [score(images, images + level * noise) for level in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)]
    assert (np.diff([np.ones(3), *found], axis=0) < 0).all()
    shuffled = score(images, images[[1, 2, 0]])
    assert (shuffled < 0.5).all()
    np.testing.assert_allclose(score(images[[1, 2, 0]], images), shuffled, atol=1e-5)


def test_an_image_is_scored_by_itself_and_a_negative_is_no_nan():
    a, b = pairs(32, 1)
    for score in map(jax.jit, SCORES.values()):
        np.testing.assert_allclose(score(a, b)[1:2], score(a[1:2], b[1:2]), atol=1e-6)
    np.testing.assert_array_equal(jax.jit(SCORES["ms_ssim"])(a, -a), 0)


def test_how_many_scales_fit():
    sizes = {8: 0, 10: 0, 11: 1, 21: 1, 22: 2, 28: 2, 32: 2, 64: 3, 128: 4, 176: 5, 1000: 5}
    assert {side: ssim.scales((side, side + 9, 3)) for side in sizes} == sizes
    assert sum(ssim.first_weights(2)) == pytest.approx(1)
    with pytest.raises(contracts.UserError, match=r"32x32 and 5 scale.* need 176x176; use fewer"):
        ssim.ms_ssim(*pairs(32, 3), data_range=2.0)
    with pytest.raises(contracts.UserError, match=r"8x8 and 1 scale.*need 11x11"):
        ssim.ssim(*pairs(8, 1), data_range=2.0)
    with pytest.raises(contracts.UserError, match="both must be the same"):
        ssim.ssim_dim_compat(jnp.zeros((2, 32, 32, 3)), jnp.zeros((2, 32, 32, 1)))
