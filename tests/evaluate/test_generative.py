"""What is measured of a method's own decoder, on a decoder whose numbers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.data import dataset, facts
from dim_jax.evaluate.figures import drawing
from dim_jax.evaluate.measures import generative

D = 4


def normalise(images):
    return facts.normalise(images, (0.5,), (0.5,))


def frozen(**changes) -> contracts.Frozen:
    """y: the means of the image's quarters; the decoder fills each quarter with its number."""

    def represent(images):
        blocks = normalise(jnp.asarray(images)).reshape(-1, 2, 4, 2, 4)
        return {"y": blocks.mean(axis=(2, 4)).reshape(-1, D)}

    def decode(params, state, codes):
        return (params * codes).reshape(-1, 2, 2, 1).repeat(4, axis=1).repeat(4, axis=2)

    functions = contracts.Generative(decode, lambda y: y)._replace(**changes)
    method = contracts.Method(None, None, None, functions)
    return contracts.Frozen(represent, method, jnp.float32(1.0), {}, normalise=normalise)


def test_reconstruction_error_is_what_the_quarters_lose(digits, rng):
    found = generative.evaluate(frozen(), digits.splits, rng)
    images = digits.splits["test"].images / 127.5 - 1
    blocks = images.reshape(-1, 2, 4, 2, 4)
    expected = np.mean((blocks - blocks.mean(axis=(2, 4), keepdims=True)) ** 2)
    assert found["y/reconstruction_error"] == pytest.approx(expected, rel=1e-5)
    assert set(found) == {"y/reconstruction_error", "decoded"}
    assert found["decoded"].dtype == np.uint8 and found["decoded"].shape[-1] == 3


def test_bounds_are_of_the_same_weights_in_order(digits, rng):
    """Weights drawn from a known law: the mean of logarithms, and the logarithm of the mean."""

    def log_weights(params, state, rng, images, count):
        return -3.0 + 2.0 * jax.random.normal(rng, (count, len(images)))

    def rate(params, state, images):
        return images.sum(axis=(1, 2, 3))

    judged = frozen(log_weights=log_weights, rate=rate, draw=jax.random.normal)
    found = generative.evaluate(judged, digits.splits, rng, draws=5000, judged=300)
    images = digits.splits["test"].images / 127.5 - 1
    assert found["y/rate"] == pytest.approx(images.sum(axis=(1, 2, 3)).mean(), rel=1e-5)
    assert found["y/elbo"] == pytest.approx(-3.0, abs=0.02)
    # E[exp(N(-3, 4))] = exp(-3 + 2), short of which few draws of a heavy tail fall.
    assert found["y/importance_weighted_bound"] == pytest.approx(-1.0, abs=0.1)
    assert found["y/active_coordinates"] == D
    assert {"decoded", "traversals"} <= found.keys()


def test_bounds_are_of_images_all_over_the_test_split(digits, rng):
    def log_weights(params, state, rng, images, count):
        return jnp.broadcast_to(images.mean(axis=(1, 2, 3)), (count, len(images)))

    judged = frozen(log_weights=log_weights, rate=lambda p, s, images: images[:, 0, 0, 0])
    values = generative.evaluate(judged, digits.splits, rng, draws=2, judged=7)
    images = digits.splits["test"].images
    picked = images[np.linspace(0, len(images) - 1, 7).round().astype(int)] / 127.5 - 1
    assert values["y/elbo"] == pytest.approx(picked.mean(), abs=1e-5)
    assert values["y/importance_weighted_bound"] == pytest.approx(picked.mean(), abs=1e-5)


def test_coordinates_are_active_by_variance_and_traversed_from_the_largest(monkeypatch, rng):
    """Quarters of 400 images, all of one value each, with standard deviations that are known."""
    deviations = np.array([0.09, 0.5, 0.11, 0.2])
    signs = np.resize([1, -1], (400, 1))
    quarters = (signs * deviations).reshape(400, 2, 2).repeat(4, axis=1).repeat(4, axis=2)
    pixels = np.round((quarters[..., None] + 1) * 127.5).astype(np.uint8)
    split = dataset.Split(pixels, np.zeros(400, np.int32))
    monkeypatch.setattr(drawing, "rows_of_images", lambda rows: rows)
    laws = dict(
        log_weights=lambda p, s, rng, images, count: jnp.zeros((count, len(images))),
        rate=lambda p, s, images: images[:, 0, 0, 0],
    )
    values = generative.evaluate(frozen(**laws), {"test": split}, rng, draws=1)
    assert values["y/active_coordinates"] == 3
    rows = values["traversals"]
    assert list(rows) == ["1", "3", "2", "0"]
    # Coordinate 3 fills the lower right quarter: from -3 to 3, cut to [-1, 1], in 11 steps.
    moved = rows["3"][:, 7, 7, 0]
    np.testing.assert_array_equal(moved[[0, 3, 5, 7, 10]], [0, 0, 128, 255, 255])
    assert moved[4] == round((1 - 0.6) * 127.5) and len(moved) == 11
    still = pixels[0, 7, 0, 0]
    np.testing.assert_array_equal(rows["3"][:, 7, 0, 0], still)


def test_pictures_are_in_the_images_own_range(rng):
    values = jnp.array([-1.0, 0.0, 1.0, 7.0]).reshape(4, 1, 1, 1)
    images = drawing.as_pixels(frozen().normalise, values)
    np.testing.assert_array_equal(images.ravel(), [0, 128, 255, 255])


def test_a_representation_without_a_decoder_is_refused(digits, rng):
    plain = contracts.Frozen(frozen().represent, contracts.Method(None, None, None))
    with pytest.raises(
        contracts.UserError, match="no decoder of codes that it infers; remove 'generative'"
    ):
        generative.evaluate(plain, digits.splits, rng)


def test_no_draws_are_refused(digits, rng):
    with pytest.raises(contracts.UserError, match="draws is 0 and judged is 512; set both"):
        generative.evaluate(frozen(), digits.splits, rng, draws=0)
