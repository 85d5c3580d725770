"""Manifold layers: the laws they fit, their shapes, and what cannot be built of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal, special

from dim_jax import contracts
from dim_jax.losses import manifold_information
from dim_jax.nets import layers, manifold, microbatches

RNG = jax.random.key(2)
SIZES = dict(
    channels=(12, 6), kernels=(5, 3), strides=(2, 1), pools=(1, 2), dimensions=(3, 2)
)  # 15 -> 6 -> 4 -> 2 pixels


def encoder(**changes):
    more = dict(gain=2.0, passed="mean", hidden=(7,), features=5)
    return manifold.manifold(**{**SIZES, **more, **changes})


def images(n: int = 4, side: int = 15, channels: int = 1) -> jax.Array:
    return jax.random.normal(RNG, (n, side, side, channels))


def layer_of(x: jax.Array, gain: float = 3.0, **changes):
    """(apply: params -> the layer's laws for x, jitted; params; their laws)"""
    module = manifold.Manifold(
        **{**dict(channels=6, kernel=3, stride=1, dimensions=2, gain=gain), **changes}
    )
    params = jax.jit(module.init)(jax.random.key(5), x)["params"]
    params = {**params, "bias": jax.random.normal(RNG, params["bias"].shape)}
    apply = jax.jit(lambda params: module.apply({"params": params}, x))
    return apply, params, apply(params)


def started(net, x):
    """(params, taps of x in training mode)"""
    params, stats = jax.jit(net.init)(RNG, x)
    return params, jax.jit(functools.partial(net.apply, train=True))(params, stats, x)[0]


def test_moments_by_loops():
    generator = np.random.default_rng(0)
    responses = generator.dirichlet(0.3 * np.ones(7), size=(2, 3))
    positions = generator.normal(5.0, [2.0, 0.1], size=(7, 2))
    mean, variance = layers.moments(jnp.asarray(responses), jnp.asarray(positions), 1e-3)
    for index in np.ndindex(2, 3):
        for d in range(2):
            centre = sum(responses[index][k] * positions[k, d] for k in range(7))
            spread = sum(responses[index][k] * (positions[k, d] - centre) ** 2 for k in range(7))
            floor = 1e-3 * np.mean((positions[:, d] - positions[:, d].mean()) ** 2)
            assert mean[index][d] == pytest.approx(centre, rel=1e-5)
            assert variance[index][d] == pytest.approx(spread + floor, rel=1e-4)


def test_sure_responses_have_the_variance_of_the_floor():
    positions = np.random.default_rng(1).normal(size=(5, 2))
    mean, variance = layers.moments(jnp.eye(5), jnp.asarray(positions), 1e-3)
    np.testing.assert_allclose(mean, positions, atol=1e-6)
    np.testing.assert_allclose(variance, np.tile(1e-3 * positions.var(0), (5, 1)), rtol=1e-2)


def test_responses_are_a_softmax_of_matches_with_unit_filters():
    x = images(2, 6)
    _, params, layer = layer_of(x)
    kernel = np.asarray(params["kernel"], np.float64)
    kernel = kernel / np.sqrt((kernel**2).sum(axis=(0, 1, 2)))
    for n in range(2):
        matches = [
            signal.correlate2d(np.asarray(x[n, ..., 0], np.float64), kernel[..., 0, k], "valid")
            for k in range(6)
        ]
        matches = np.stack(matches, -1) + np.asarray(params["bias"], np.float64)
        expected = special.softmax(3.0 * matches, axis=-1)
        np.testing.assert_allclose(layer.responses[n], expected, rtol=1e-4, atol=1e-6)


def test_layers_tell_their_filters_and_positions():
    x, net = images(2), encoder()
    params, taps = started(net, x)
    for index, layer in enumerate(taps["embedded"]):
        own = params[f"manifold{index}"]
        kernel = np.asarray(own["kernel"], np.float64)
        kernel = kernel / np.sqrt((kernel**2).sum(axis=(0, 1, 2)))
        np.testing.assert_allclose(layer.filters, kernel, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(layer.positions, own["positions"])


def test_filters_may_have_any_norm():
    x = images(2, 6)
    apply, params, layer = layer_of(x)
    again = apply({**params, "kernel": 100 * params["kernel"]})
    np.testing.assert_allclose(again.responses, layer.responses, rtol=1e-4, atol=1e-6)


def test_the_gain_is_learned_and_sharpens():
    x = images(2, 6)
    apply, params, layer = layer_of(x, gain=1.0)
    sharp = apply({**params, "log_gain": jnp.log(50.0)})
    assert sharp.responses.max(axis=-1).mean() > 0.9 > layer.responses.max(axis=-1).mean() + 0.2
    flat = apply({**params, "log_gain": jnp.log(1e-6)})
    np.testing.assert_allclose(flat.responses, 1 / 6, rtol=1e-3)
    np.testing.assert_allclose(flat.mean[0, 0, 0], params["positions"].mean(axis=0), atol=1e-4)
    slope = jax.jit(jax.grad(lambda params: jnp.sum(apply(params).mean ** 2)))(params)["log_gain"]
    assert np.isfinite(slope) and slope != 0


@pytest.mark.parametrize("factor", [1e-3, 0.1, 10.0, 1e3])
def test_information_does_not_change_with_the_scale_of_positions(factor):
    x = images(16, 6)
    apply, params, layer = layer_of(x, gain=10.0)
    scaled = apply({**params, "positions": factor * params["positions"]})
    information = jax.jit(
        manifold_information.layer_information, static_argnames=("locations", "negatives")
    )
    before, after = (
        information(RNG, each, locations=3, negatives="patches") for each in (layer, scaled)
    )
    assert before > 0.3
    assert after == pytest.approx(float(before), abs=1e-3)


def test_shapes_with_strides_and_pools():
    net = encoder()
    _, taps = started(net, images())
    first, second = taps["embedded"]
    assert first.responses.shape == (4, 6, 6, 12) and first.mean.shape == (4, 6, 6, 3)
    assert second.responses.shape == (4, 4, 4, 6) and second.variance.shape == (4, 4, 4, 2)
    assert second.filters.shape == (3, 3, 3, 6) and second.positions.shape == (6, 2)
    assert taps["conv"].shape == taps["local"].shape == (4, 2, 2, 2)
    assert taps["fc"].shape == (4, 7) and taps["y"].shape == (4, 5)
    pooled = second.mean.reshape(4, 2, 2, 2, 2, 2).max(axis=(2, 4))
    np.testing.assert_array_equal(taps["conv"], pooled)


def test_layers_above_the_map_are_relu_layers_and_an_affine_one():
    net = encoder()
    params, taps = started(net, images())
    first, last = (
        {part: np.asarray(leaf, np.float64) for part, leaf in params[name].items()}
        for name in ("fc0", "y")
    )
    fc = np.asarray(taps["conv"], np.float64).reshape(4, -1) @ first["kernel"] + first["bias"]
    assert fc.min() < -1e-3
    fc = np.maximum(fc, 0)
    np.testing.assert_allclose(taps["fc"], fc, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(taps["y"], fc @ last["kernel"] + last["bias"], rtol=1e-4, atol=1e-5)


def test_responses_are_passed_on_where_asked():
    net = encoder(passed="responses", hidden=())
    _, taps = started(net, images(channels=3))
    assert taps["conv"].shape == (4, 2, 2, 6) and taps["fc"].shape == (4, 24)
    assert taps["embedded"][1].filters.shape == (3, 3, 12, 6)
    np.testing.assert_allclose(taps["embedded"][1].responses.sum(-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(channels=(12,)), "channels 1, kernels 2"),
        ({name: () for name in SIZES}, "at least one"),
        (dict(passed="means"), "unknown passed 'means': did you mean 'mean'"),
    ],
)
def test_what_cannot_be_built(changes, words):
    with pytest.raises(contracts.UserError, match=words):
        encoder(**changes)


@pytest.mark.parametrize("side", [4, 8, 9])
def test_images_that_are_too_small(side):
    with pytest.raises(contracts.UserError, match=f"images of {side}x{side} pixels are too small"):
        jax.eval_shape(encoder().init, RNG, images(side=side))


def test_microbatches_make_the_same():
    """Also of what the layers say of their channels, which has no axis of examples."""
    x, net = images(8), encoder()
    params, whole = started(net, x)
    with microbatches.count(4):
        in_parts = jax.jit(lambda params: net.apply(params, {}, x, train=True)[0]).trace(params)
        parts = in_parts.lower().compile()(params)
    assert "scan" in str(in_parts.jaxpr)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), whole, parts)
