"""Mean and variance of positions under responses: by loops, without a spread, in full precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax.nets import layers

FLOOR = 1e-3


def drawn(channels: int = 9, dimensions: int = 2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    responses = generator.dirichlet(0.2 * np.ones(channels), size=(4, 5))
    return responses, generator.normal(2.0, 1.5, size=(channels, dimensions))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_moments_by_loops_in_any_units(scale):
    responses, positions = drawn()
    positions = scale * positions
    found = layers.moments(*map(jnp.float32, (responses, positions)), FLOOR)
    for index in np.ndindex(4, 5):
        mean = sum(y * e for y, e in zip(responses[index], positions, strict=True))
        variance = sum(
            y * (e - mean) ** 2 for y, e in zip(responses[index], positions, strict=True)
        )
        np.testing.assert_allclose(found[0][index], mean, rtol=1e-5, atol=1e-6 * scale)
        expected = variance + FLOOR * positions.var(axis=0)
        np.testing.assert_allclose(found[1][index], expected, rtol=1e-3)


@pytest.mark.parametrize("equal", [(0,), (0, 1)], ids=["one coordinate", "both"])
def test_equal_positions_have_a_variance_and_gradients(equal):
    responses, positions = map(jnp.float32, drawn())
    positions = positions.at[:, equal].set(0.5)

    def log_variance(positions):
        mean, variance = layers.moments(responses, positions, FLOOR)
        return jnp.sum(jnp.log(variance) + jnp.sqrt(variance) + mean)

    value, slopes = jax.value_and_grad(log_variance)(positions)
    assert np.isfinite(value) and np.isfinite(slopes).all()
    variance = layers.moments(responses, positions, FLOOR)[1]
    np.testing.assert_allclose(variance[..., equal], FLOOR, rtol=1e-6)


def test_products_are_in_full_precision_forward_and_backward():
    """A CPU has no other: what counts on an accelerator is what its program asks for."""
    responses, positions = map(jnp.float32, drawn())

    def total(responses, positions):
        return sum(jnp.sum(part) for part in layers.moments(responses, positions, FLOOR))

    gradient = jax.make_jaxpr(jax.grad(total, argnums=(0, 1)))(responses, positions)
    products = [e for e in gradient.jaxpr.eqns if e.primitive.name == "dot_general"]
    products += [
        inner
        for equation in gradient.jaxpr.eqns
        if "jaxpr" in equation.params
        for inner in equation.params["jaxpr"].jaxpr.eqns
        if inner.primitive.name == "dot_general"
    ]
    assert len(products) >= 3
    highest = (jax.lax.Precision.HIGHEST,) * 2
    assert {product.params["precision"] for product in products} == {highest}
