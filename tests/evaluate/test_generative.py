"""What is measured of a method's own decoder, on a decoder whose numbers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.data import facts
from dim_jax.evaluate import generative

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
    assert {"decoded", "samples", "traversals"} <= found.keys()


def test_pictures_are_in_the_images_own_range(rng):
    images = generative._pixels(frozen(), jnp.array([-1.0, 0.0, 1.0, 7.0]).reshape(4, 1, 1, 1))
    np.testing.assert_array_equal(images.ravel(), [0, 128, 255, 255])


def test_a_representation_without_a_decoder_is_refused(digits, rng):
    plain = contracts.Frozen(frozen().represent, contracts.Method(None, None, None))
    with pytest.raises(contracts.UserError, match="no decoder of its own; remove 'generative'"):
        generative.evaluate(plain, digits.splits, rng)


def test_no_draws_are_refused(digits, rng):
    with pytest.raises(contracts.UserError, match="draws is 0 and judged is 512; set both"):
        generative.evaluate(frozen(), digits.splits, rng, draws=0)
