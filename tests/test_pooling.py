"""Max pooling against flax's: values and gradients, also of equal maxima and pixels left over."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax.nets import pooling


@pytest.mark.parametrize(("window", "stride"), [(3, 2), (3, 3), (2, 1), (3, 1), (5, 2)])
def test_max_pooling_is_that_of_flax_and_its_gradient(window, stride):
    """Rounded to halves, most windows have their maximum several times."""
    random = np.random.default_rng(0)
    inputs = np.float32(np.round(2 * random.normal(size=(2, 12, 11, 3))) / 2)

    @functools.partial(jax.jit, static_argnums=0)
    def both(pool, inputs):
        outputs, pull_back = jax.vjp(pool, inputs)
        return outputs, pull_back(jnp.sin(jnp.arange(outputs.size).reshape(outputs.shape)))[0]

    outputs, gradient = both(lambda x: pooling.max_pool(x, window, stride), inputs)
    expected, slopes = both(lambda x: nn.max_pool(x, (window,) * 2, (stride,) * 2), inputs)
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_allclose(gradient, slopes, rtol=0, atol=1e-6)
