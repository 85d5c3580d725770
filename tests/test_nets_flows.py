"""Affine couplings: exact inverse, log-determinant, identity at the start, the encoder's taps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import build, contracts
from dim_jax.nets import flows

RNG = jax.random.key(0)
COUPLINGS, WIDTHS, LIMIT = 4, (6,), 0.5


def moved(tree, scale=0.3):
    """The parameters moved by random numbers: at the start the flow is the identity."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noise = [
        scale * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.map(jnp.add, tree, structure.unflatten(noise))


@pytest.fixture(scope="module")
def measured():
    """Of an odd number of coordinates, in one program."""
    flow = flows.affine_couplings(couplings=COUPLINGS, widths=WIDTHS, limit=LIMIT)

    @jax.jit
    def all_of(x):
        start = flow.init(RNG, x)
        params = moved(start)
        z, log_det = flow.forward(params, x)
        jacobian = jax.vmap(jax.jacfwd(lambda row: flow.forward(params, row[None])[0][0]))(x)
        return {
            "params": params,
            "at_start": flow.forward(start, x),
            "z": z,
            "log_det": log_det,
            "x": flow.inverse(params, z),
            "jacobian": jacobian,
            "error": flow.error(params, x),
        }

    x = jax.random.normal(jax.random.key(2), (3, 5))
    return x, jax.device_get(all_of(x))


def test_inverse_returns_the_input(measured):
    x, values = measured
    assert np.abs(values["z"] - x).max() > 0.1
    np.testing.assert_allclose(values["x"], x, atol=1e-5)
    assert values["error"] == np.abs(values["x"] - x).max() < 1e-5


def test_log_determinant_is_that_of_the_jacobian(measured):
    _, values = measured
    sign, expected = np.linalg.slogdet(np.float64(values["jacobian"]))
    assert (sign == 1).all() and np.abs(expected).min() > 0.01
    np.testing.assert_allclose(values["log_det"], expected, atol=1e-5)


def test_the_flow_starts_as_the_identity(measured):
    x, values = measured
    z, log_det = values["at_start"]
    np.testing.assert_array_equal(z, x)
    np.testing.assert_array_equal(log_det, 0)


def test_couplings_are_their_formula(measured):
    """In float64, one coupling after the other, with the scales bounded by the limit."""
    x, values = measured
    z = np.float64(x)
    flow = flows.affine_couplings(couplings=COUPLINGS, widths=WIDTHS, limit=LIMIT)
    halves = flow.halves(5)
    for index, (kept, other) in enumerate(halves):
        layers = values["params"][f"coupling{index}"]
        hidden = z[:, kept] @ np.float64(layers["linear0"]["kernel"]) + layers["linear0"]["bias"]
        raw, shift = np.split(np.maximum(hidden, 0) @ np.float64(layers["last"]["kernel"]), 2, 1)
        log_scale = LIMIT * np.tanh(raw / LIMIT)
        assert np.abs(log_scale).max() < LIMIT
        z[:, other] = z[:, other] * np.exp(log_scale) + shift
    np.testing.assert_allclose(values["z"], z, atol=1e-5)
    for first, second in zip(halves[::2], halves[1::2], strict=True):
        for part, opposite in zip(first, reversed(second), strict=True):
            np.testing.assert_array_equal(part, opposite)
    assert any((a[0] != b[0]).any() for a, b in zip(halves[::2], halves[2::2], strict=False))


def test_the_encoder_gives_the_image_back():
    arguments = dict(couplings=2, widths=(4,))
    encoder = build.make("encoder", dict(name="real_nvp", **arguments, features=3))
    flow = flows.affine_couplings(**arguments)
    images = jax.random.normal(RNG, (2, 3, 3, 1))

    @jax.jit
    def represent(images):
        params, stats = encoder.init(RNG, images)
        params = moved(params)
        taps, _ = encoder.apply(params, stats, images, train=False)
        return params, stats, taps, flow.inverse(params["flow"], taps["fc"])

    params, stats, taps, restored = represent(images)
    assert not stats and {tap: value.shape for tap, value in taps.items()} == {
        **dict(local=(2, 3, 3, 1), conv=(2, 3, 3, 1), fc=(2, 9), y=(2, 3))
    }
    np.testing.assert_allclose(restored.reshape(images.shape), images, atol=1e-5)
    np.testing.assert_array_equal(taps["conv"].reshape(2, 9), taps["fc"])
    affine = np.asarray(taps["fc"]) @ params["y"]["kernel"] + params["y"]["bias"]
    np.testing.assert_allclose(taps["y"], affine, atol=1e-5)


def test_without_features_y_is_the_bijection():
    encoder = build.make("encoder", dict(name="real_nvp", couplings=2, widths=(4,)))
    params, _ = jax.eval_shape(encoder.init, RNG, jnp.zeros((2, 2, 2, 1)))
    assert params.keys() == {"flow"}


def test_one_number_cannot_be_coupled():
    flow = flows.affine_couplings(couplings=2, widths=(4,))
    with pytest.raises(contracts.UserError, match="is 3x1 and each example needs at least 2"):
        flow.init(RNG, jnp.zeros((3, 1)))
    encoder = build.make("encoder", dict(name="real_nvp", couplings=2, widths=(4,)))
    with pytest.raises(contracts.UserError, match="is 4x1x1x1 and each example needs at least 2"):
        encoder.init(RNG, jnp.zeros((4, 1, 1, 1)))


@pytest.mark.parametrize("shape", [(3,), (4, 3, 3, 1)])
def test_inputs_are_rows(shape):
    flow = flows.affine_couplings(couplings=2, widths=(4,))
    with pytest.raises(contracts.UserError, match="reshape it to a row"):
        flow.init(RNG, jnp.zeros(shape))


@pytest.mark.parametrize("widths", [(), (4, 5)])
def test_inputs_have_the_width_of_the_parameters(widths):
    flow = flows.affine_couplings(couplings=2, widths=widths)
    params = jax.eval_shape(flow.init, RNG, jnp.zeros((3, 5)))
    assert jax.eval_shape(flow.inverse, params, jnp.zeros((2, 5))).shape == (2, 5)
    for shape in ((3, 6), (5,)):
        for apply in (flow.forward, flow.inverse):
            with pytest.raises(contracts.UserError, match=r"parameters are of f\[n,5\]"):
                apply(params, jnp.zeros(shape))


@pytest.mark.parametrize("wrong", [dict(couplings=0), dict(widths=(4, 0)), dict(limit=0.0)])
def test_sizes_are_positive(wrong):
    with pytest.raises(contracts.UserError, match="give at least one coupling"):
        flows.affine_couplings(**{"couplings": 2, "widths": (4,), **wrong})
