"""Bounds inside pmap and shard_map: eight devices equal one, in value and gradient.

The critic is x' W y; W is replicated, x and y are split over the devices.
"""

import re
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from dim_jax import bounds

BOUNDS = {"dv": bounds.donsker_varadhan, "jsd": bounds.jensen_shannon} | {
    name: partial(bounds.infonce, negatives=name)
    for name in ("locations", "candidates", "same_location", "anchors")
}
every_bound = pytest.mark.parametrize("bound", BOUNDS)
RUNNERS = ("pmap", "shard_map", "shard_map unchecked")


def _model(batch=16):
    rng = np.random.default_rng(6)
    w, x = rng.standard_normal((3, 3)), rng.standard_normal((batch, 3))
    y = rng.standard_normal((batch, 2, 3))
    positives = np.eye(batch, dtype=bool)[rng.permutation(batch)]  # often on another device
    return (w, x, y), positives


def _scores(w, x, y):
    return jnp.einsum("id,de,jle->ijl", x, w, y)


@cache
def _dense(bound):
    return jax.jit(jax.value_and_grad(lambda parts, mask: BOUNDS[bound](_scores(*parts), mask)))


def _device_step(bound, sharded, sum_gradients):
    """One device's value and gradients; gathers the side that is not sharded."""
    gather = partial(lax.all_gather, axis_name="data", tiled=True)

    def value(parts, positives):
        w, x, y = parts
        scores = _scores(w, x, gather(y)) if sharded == "anchors" else _scores(w, gather(x), y)
        return BOUNDS[bound](scores, positives, axis_name="data", sharded=sharded)

    def step(parts, positives):
        out, (w, x, y) = jax.value_and_grad(value)(parts, positives)
        return out, (lax.psum(w, "data") if sum_gradients else w, x, y)

    return step


def _run_on_devices(runner, bound, sharded, parts, positives):
    assert len(jax.devices()) >= 8, "these tests need 8 (virtual) devices; see tests/conftest.py"
    if runner == "pmap":
        axis = 0 if sharded == "anchors" else 1
        w, x, y = parts
        split = (w, np.stack(np.split(x, 8)), np.stack(np.split(y, 8)))
        blocks = np.stack(np.split(positives, 8, axis=axis))
        step = _device_step(bound, sharded, sum_gradients=True)
        values, (w, x, y) = jax.pmap(
            step, axis_name="data", in_axes=((None, 0, 0), 0), devices=jax.devices()[:8]
        )(split, blocks)
        assert (values == values[0]).all() and (w == w[0]).all()
        return values[0], (w[0], x.reshape(-1, 3), y.reshape(-1, 2, 3))
    mesh = jax.make_mesh((8,), ("data",), devices=jax.devices()[:8], axis_types=(AxisType.Auto,))
    checked = runner == "shard_map"
    split = (P(), P("data"), P("data"))
    return jax.jit(
        jax.shard_map(
            _device_step(bound, sharded, sum_gradients=not checked),
            mesh=mesh,
            in_specs=(split, P("data") if sharded == "anchors" else P(None, "data")),
            out_specs=(P(), split),
            check_vma=checked,
        )
    )(parts, positives)


@every_bound
@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("sharded", ["anchors", "candidates"])
def test_eight_devices_equal_one(bound, runner, sharded):
    parts, positives = _model()
    with jax.enable_x64(True):
        expected = _dense(bound)(parts, positives)
        value, gradients = _run_on_devices(runner, bound, sharded, parts, positives)
        np.testing.assert_allclose(value, expected[0], rtol=1e-12)
        for ours, theirs in zip(gradients, expected[1], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("sharded", ["anchors", "candidates"])
@pytest.mark.parametrize("bound", ["dv", "locations", "anchors"])
def test_one_image_per_device(bound, sharded):
    """Blocks of one row or one column, some without any negative or any positive."""
    parts, positives = _model(batch=8)
    value, gradients = _run_on_devices("pmap", bound, sharded, parts, positives)
    expected = _dense(bound)(parts, positives)
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    for ours, theirs in zip(gradients, expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@every_bound
def test_devices_whose_scores_differ_by_1e4(bound):
    """Each device has its own peak: the sums must be rescaled when they merge."""
    _, positives = _model()
    scores = np.random.default_rng(8).standard_normal((16, 16, 2))
    scores += np.linspace(-1e4, 1e4, 8).repeat(2)[:, None, None]
    f = BOUNDS[bound]
    value = jax.pmap(partial(f, axis_name="data"), axis_name="data", devices=jax.devices()[:8])(
        np.stack(np.split(scores, 8)), np.stack(np.split(positives, 8))
    )
    np.testing.assert_allclose(value, f(scores, positives), rtol=1e-5, atol=1e-5)


def test_local_infonce_gathers_and_reduces_no_scores():
    """Globals gathered: what crosses devices must not grow with the number of locations."""
    mesh = jax.make_mesh((8,), ("data",), devices=jax.devices()[:8], axis_types=(AxisType.Auto,))
    step = jax.shard_map(
        _device_step("locations", "candidates", sum_gradients=False),
        mesh=mesh,
        in_specs=((P(), P("data"), P("data")), P(None, "data")),
        out_specs=(P(), (P(), P("data"), P("data"))),
    )
    w, x, positives = np.zeros((3, 3)), np.zeros((16, 3)), np.eye(16, dtype=bool)

    def crossing(locations):
        y = np.zeros((16, locations, 3))
        text = jax.jit(step).lower((w, x, y), positives).compile().as_text()
        shapes = re.findall(r"= (.*) (?:all-|reduce-scatter|collective-)[a-z-]*\(", text)
        assert shapes
        return sorted(shapes)

    assert crossing(5) == crossing(50)


def test_a_block_without_its_mask_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 16\).*'data'.*positives are missing"):
        jax.vmap(partial(bounds.infonce, axis_name="data"), axis_name="data")(np.zeros((8, 2, 16)))
