"""Bounds on several devices equal those on one, in value and gradient, dense and blockwise.

The critic is x' W y; W is replicated, x and y are split over the devices. Each program holds all
estimators: compiling is what costs.
"""

import re
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from dim_jax import bounds

every = pytest.mark.parametrize("name", references.ESTIMATORS)
slow = pytest.mark.slow


def model(batch, dtype=np.float64):
    rng = np.random.default_rng(6)
    w, x = rng.standard_normal((3, 3)), rng.standard_normal((batch, 3))
    y = rng.standard_normal((batch, 2, 3))
    columns = rng.permutation(batch)  # the positive is often on another device
    return tuple(part.astype(dtype) for part in (w, x, y)), np.eye(batch, dtype=bool)[columns]


def mesh(devices):
    assert len(jax.devices()) >= devices, "needs virtual devices; see tests/conftest.py"
    return jax.make_mesh(
        (devices,), ("data",), devices=jax.devices()[:devices], axis_types=(AxisType.Auto,)
    )


def scores_of(w, x, y):
    return jnp.einsum("id,de,jle->ijl", x, w, y)


def all_of(value):
    """{name: (value, gradients)} of a function (name, parts) -> value."""

    def step(parts):
        return {
            name: jax.value_and_grad(partial(value, name))(parts) for name in references.ESTIMATORS
        }

    return step


@cache
def on_one_device(batch, dtype):
    parts, positives = model(batch, dtype)
    return jax.jit(all_of(lambda name, parts: references.call(name, scores_of(*parts), positives)))(
        parts
    )


def device_value(form, sharded, name, parts, positives):
    """What one device computes; it gathers the side that is not sharded."""
    gather = partial(lax.all_gather, axis_name="data", tiled=True)
    w, x, y = parts
    x, y = (x, gather(y)) if sharded == "anchors" else (gather(x), y)
    options = dict(axis_name="data", sharded=sharded)
    if form == "dense":
        return references.call(name, scores_of(w, x, y), positives, **options)
    estimator = references.ESTIMATORS[name]
    blockwise = getattr(bounds.blockwise, estimator.function.__name__)

    def critic(x, y):
        return scores_of(w, x, y)

    return blockwise(x, y, critic, positives, block=3, **estimator.options, **options)


@cache
def on_devices(runner, form, sharded, devices, batch, dtype):
    parts, positives = model(batch, dtype)

    def step(parts, positives, sum_gradients):
        results = all_of(lambda name, p: device_value(form, sharded, name, p, positives))(parts)
        if not sum_gradients:
            return results
        return {
            name: (value, (lax.psum(w, "data"), x, y))
            for name, (value, (w, x, y)) in results.items()
        }

    split = (P(), P("data"), P("data"))
    axis = 0 if sharded == "anchors" else 1
    if runner == "pmap":
        w, x, y = parts
        blocks = (w, *(np.stack(np.split(part, devices)) for part in (x, y)))
        results = jax.pmap(
            partial(step, sum_gradients=True),
            axis_name="data",
            in_axes=((None, 0, 0), 0),
            devices=jax.devices()[:devices],
        )(blocks, np.stack(np.split(positives, devices, axis=axis)))
        # To the host at once: a second program on all devices beside one that still waits for its
        # collectives can starve it on few cores.
        results = jax.device_get(results)
        for value, (w, _, _) in results.values():
            assert (value == value[0]).all() and (w == w[0]).all()
        return {
            name: (value[0], (w[0], x.reshape(-1, 3), y.reshape(-1, 2, 3)))
            for name, (value, (w, x, y)) in results.items()
        }
    checked = runner == "shard_map"
    results = jax.jit(
        jax.shard_map(
            partial(step, sum_gradients=not checked),
            mesh=mesh(devices),
            in_specs=(split, P("data") if sharded == "anchors" else P(None, "data")),
            out_specs={name: (P(), split) for name in references.ESTIMATORS},
            check_vma=checked,
        )
    )(parts, positives)
    return jax.device_get(results)


def close(ours, theirs, rtol):
    """Relative to the largest entry: gradients hold numbers near zero."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


@every
@pytest.mark.parametrize(
    ("runner", "sharded"),
    [
        ("shard_map", "anchors"),
        pytest.param("pmap", "candidates", marks=slow),
        pytest.param("pmap", "anchors", marks=slow),
        pytest.param("shard_map", "candidates", marks=slow),
        pytest.param("shard_map unchecked", "anchors", marks=slow),
    ],
)
def test_eight_devices_equal_one(name, runner, sharded):
    with jax.enable_x64(True):
        ours = on_devices(runner, "dense", sharded, 8, 16, np.float64)[name]
        close(ours, on_one_device(16, np.float64)[name], rtol=1e-12)


@slow
@every
def test_eight_devices_equal_one_in_float32(name):
    ours = on_devices("shard_map", "dense", "candidates", 8, 16, np.float32)[name]
    close(ours, on_one_device(16, np.float32)[name], rtol=1e-5)


@slow
@every
def test_six_devices_equal_one(name):
    with jax.enable_x64(True):
        ours = on_devices("shard_map", "dense", "anchors", 6, 12, np.float64)[name]
        close(ours, on_one_device(12, np.float64)[name], rtol=1e-12)


@every
@slow
def test_one_image_per_device(name):
    """Blocks of one column, some without any negative or any positive."""
    with jax.enable_x64(True):
        ours = on_devices("pmap", "dense", "candidates", 8, 8, np.float64)[name]
        close(ours, on_one_device(8, np.float64)[name], rtol=1e-12)


@every
@pytest.mark.parametrize(
    ("runner", "sharded"),
    [("shard_map", "anchors"), pytest.param("pmap", "candidates", marks=slow)],
)
def test_blockwise_on_eight_devices_equals_dense_on_one(name, runner, sharded):
    with jax.enable_x64(True):
        ours = on_devices(runner, "blockwise", sharded, 8, 16, np.float64)[name]
        close(ours, on_one_device(16, np.float64)[name], rtol=1e-12)


@every
@pytest.mark.parametrize("devices", [pytest.param(6, marks=slow), 8])
def test_global_view_jit_equals_one_device(name, devices):
    with jax.enable_x64(True):
        results = global_view(devices)
        close(results[name], on_one_device(24, np.float64)[name], rtol=1e-12)


@cache
def global_view(devices):
    """The functions as written for one device, on arrays that are split over several."""
    (w, x, y), positives = model(24)
    over = NamedSharding(mesh(devices), P("data"))
    everywhere = NamedSharding(mesh(devices), P())
    parts = (jax.device_put(w, everywhere), *jax.device_put((x, y), over))
    positives = jax.device_put(positives, over)

    def step(parts, positives):
        return all_of(lambda name, parts: references.call(name, scores_of(*parts), positives))(
            parts
        )

    return jax.device_get(jax.jit(step)(parts, positives))


def per_device(f, sharded="anchors"):
    """f on the blocks of a [16, 16, ...] matrix, by a mapped axis."""
    axis = 0 if sharded == "anchors" else 1

    def run(scores, *rest):
        blocks = [np.stack(np.split(part, 8, axis=axis)) for part in (scores, *rest)]
        mapped = jax.vmap(partial(f, axis_name="data", sharded=sharded), axis_name="data")
        return mapped(*blocks)[0]

    return run


@every
def test_devices_whose_scores_differ_by_1e4(name):
    """Each device has its own peak: the sums must be rescaled when they merge."""
    _, positives = model(16)
    scores = np.random.default_rng(8).standard_normal((16, 16, 2))
    scores += np.linspace(-1e4, 1e4, 8).repeat(2)[:, None, None]
    f = partial(references.call, name)
    value = per_device(f)(scores, positives)
    # Means of the raw scores cancel from 1e4 down to 1, in any order of summing.
    atol = 2e-3 if name in ("smile", "wasserstein", "club", "club of all") else 1e-5
    np.testing.assert_allclose(value, f(scores, positives), rtol=1e-5, atol=atol)


@every
@pytest.mark.parametrize("sharded", ["anchors", "candidates"])
def test_the_diagonal_of_the_whole_matrix_is_the_default(name, sharded):
    scores = np.random.default_rng(8).standard_normal((16, 16, 2))
    f = partial(references.call, name)
    np.testing.assert_allclose(per_device(f, sharded)(scores), f(scores), rtol=1e-5, atol=1e-6)


@every
def test_columns_instead_of_masks(name):
    _, positives = model(16)
    scores = np.random.default_rng(8).standard_normal((16, 16, 2))
    f = partial(references.call, name)
    value = per_device(f)(scores, positives.argmax(1))
    np.testing.assert_allclose(value, f(scores, positives), rtol=1e-5, atol=1e-6)


def test_the_state_of_mine_is_that_of_the_whole_batch():
    scores = np.random.default_rng(8).standard_normal((16, 16))
    f = partial(bounds.mine, decay=0.9, state=bounds.MineState(jnp.array(0.3), jnp.array(0.5)))
    whole = f(scores)
    blocks = np.stack(np.split(scores, 8))
    parts = jax.vmap(partial(f, axis_name="data"), axis_name="data")(blocks)
    for ours, theirs in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(ours, np.full(8, theirs), rtol=1e-5)


def test_likelihood_values_are_means_over_devices():
    values = np.random.default_rng(8).standard_normal((2, 8, 4))
    f = jax.vmap(partial(bounds.difference_of_entropies, axis_name="data"), axis_name="data")
    np.testing.assert_allclose(f(*values), np.full(8, values[1].mean() - values[0].mean()), 1e-5)
    f = jax.vmap(partial(bounds.barber_agakov, entropy=2.0, axis_name="data"), axis_name="data")
    np.testing.assert_allclose(f(values[0]), np.full(8, 2 + values[0].mean()), rtol=1e-5)


# What the compiled program moves and holds.

COLLECTIVE = r"= (.*) (all-[a-z]*|reduce-scatter|collective-permute)(?:-start)?\("


def local_step(form):
    """Local InfoNCE with gradient, globals gathered."""

    def step(w, x, y):
        def value(parts):
            w, x, y = parts
            x = lax.all_gather(x, "data", tiled=True)
            options = dict(axis_name="data", sharded="candidates")
            if form == "dense":
                return bounds.infonce(scores_of(w, x, y), **options)
            critic = partial(scores_of, lax.pcast(w, "data", to="varying"))
            return bounds.blockwise.infonce(x, y, critic, block=4, **options)

        return jax.value_and_grad(value)((w, x, y))

    split = (P(), P("data"), P("data"))
    return jax.jit(jax.shard_map(step, mesh=mesh(8), in_specs=split, out_specs=(P(), split)))


@cache
def compiled_text(form, locations, batch=64):
    shapes = ((3, 5), (batch, 3), (batch, locations, 5))
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return local_step(form).lower(*arrays).compile().as_text()


def largest(text):
    """The most numbers in any array of the program."""
    shapes = re.findall(r"[a-z]+[0-9]+\[([0-9,]+)\]", text)
    return max(np.prod([int(size) for size in shape.split(",")]) for shape in shapes)


def test_local_infonce_holds_one_gather_of_the_globals_and_no_full_scores():
    text = compiled_text("dense", locations=7)
    gathers = [shape for shape, kind in re.findall(COLLECTIVE, text) if kind == "all-gather"]
    assert len(gathers) == 1 and gathers[0].startswith("f32[64,3]")
    # The matrix is 64 x 64 x 7; a device has 64 globals against 8 x 7 locals.
    assert largest(text) <= 64 * 64 * 7 / 8


@pytest.mark.parametrize("form", ["dense", "blockwise"])
def test_what_crosses_devices_does_not_grow_with_the_locations(form):
    moved = re.findall(COLLECTIVE, compiled_text(form, locations=7))
    assert moved and moved == re.findall(COLLECTIVE, compiled_text(form, locations=70))


def test_blockwise_on_devices_reduces_the_gradient_of_the_critic_once():
    """Not once per block: no collective inside a loop."""
    text = compiled_text("blockwise", locations=7)
    moved = [kind for _, kind in re.findall(COLLECTIVE, text)]
    entry = text[text.index("ENTRY") :]
    assert moved == [kind for _, kind in re.findall(COLLECTIVE, entry)]
    assert largest(text) < 64 * 64 * 7 / 8


def test_global_view_local_infonce_holds_no_full_scores():
    over, everywhere = (NamedSharding(mesh(8), spec) for spec in (P("data"), P()))
    shapes = {"w": ((3, 5), everywhere), "x": ((64, 3), over), "y": ((64, 7, 5), over)}
    arrays = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=where) for shape, where in shapes.values()
    ]
    step = jax.value_and_grad(lambda parts: bounds.infonce(scores_of(*parts)))
    assert largest(jax.jit(step).lower(arrays).compile().as_text()) <= 64 * 64 * 7 / 8
