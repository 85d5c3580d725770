"""Exemplar-CNN: its loss, bound and split, classes over devices, and what it represents."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from dim_jax import build, contracts
from dim_jax.methods import exemplar
from dim_jax.training import train_step

CLASSES = 16
SPEC = dict(
    name="exemplar",
    encoder=dict(name="exemplar", widths=(3, 4), hidden=6, dropout=0.0, side=8),
    classes=CLASSES,
    pooled=True,
)
RNG = jax.random.key(5)


def batch(views=1, count=4):
    images = np.random.default_rng(0).normal(size=(views, count, 8, 8, 3)).astype(np.float32)
    index = np.array([3, 0, 15, 7, 9, 2, 4, 11])[:count]
    return contracts.Batch(
        images=jnp.asarray(images), labels=jnp.zeros(count, jnp.int32), index=jnp.asarray(index)
    )


def started(views=1, **changes):
    method = build.make("method", SPEC | changes)
    given = batch(views)
    params, state = jax.jit(method.init)(jax.random.key(0), given)
    return method, params, state, given


def cross_entropy(logits, index):
    total = 0.0
    for row, own in zip(np.asarray(logits, np.float64), index, strict=True):
        total += np.log(np.exp(row - row[own]).sum()) / len(index)
    return total


@pytest.mark.parametrize("views", [1, 2, 3])
def test_loss_bound_and_split(views):
    """All views of all images count alike, each as its own image's index."""
    method, params, state, given = started(views)
    step = jax.jit(method.loss)(params, state, given, RNG, 0)
    represent = jax.jit(method.represent)
    taps = [represent(params, state, view) for view in given["images"]]
    rows = [each["logits"] for each in taps]
    wanted = np.mean([cross_entropy(row, given["index"]) for row in rows])
    np.testing.assert_allclose(step.losses["encoder"], wanted, rtol=1e-5)
    np.testing.assert_allclose(
        step.metrics["exemplar/bound"], math.log(CLASSES) - wanted, atol=1e-5
    )
    right = np.mean([np.argmax(row, axis=1) == given["index"] for row in rows])
    np.testing.assert_allclose(step.metrics["exemplar/accuracy"], right)
    assert ("exemplar/variation" in step.metrics) == (views > 1)
    if views > 1:
        parts = [step.metrics[f"exemplar/{name}"] for name in ("mean_loss", "variation")]
        np.testing.assert_allclose(sum(parts), step.losses["encoder"], atol=1e-5)
        # The first is the loss of the mean feature.
        features = np.mean([each["y"] for each in taps], axis=0)
        kernel, bias = jax.tree.leaves(params["encoder"]["surrogate"])[::-1]
        kernel, bias = (kernel, bias) if kernel.ndim == 2 else (bias, kernel)
        of_mean = cross_entropy(features @ np.asarray(kernel) + np.asarray(bias), given["index"])
        np.testing.assert_allclose(parts[0], of_mean, rtol=1e-5)
        assert parts[1] > 0


def test_the_split_adds_up_under_dropout():
    method, params, state, given = started(2, encoder=SPEC["encoder"] | dict(dropout=0.5))
    loss = jax.jit(method.loss)
    found = [loss(params, state, given, jax.random.key(i), 0) for i in range(2)]
    for step in found:
        parts = [step.metrics[f"exemplar/{name}"] for name in ("mean_loss", "variation")]
        np.testing.assert_allclose(sum(parts), step.losses["encoder"], atol=1e-5)
    assert found[0].losses["encoder"] != found[1].losses["encoder"]


def test_nothing_is_known_at_zero_weights():
    method, params, state, given = started()
    silent = jax.tree.map(jnp.zeros_like, params)
    found = jax.jit(method.loss)(silent, state, given, RNG, 0)
    np.testing.assert_allclose(found.metrics["exemplar/bound"], 0.0, atol=1e-6)


def test_steps_raise_the_bound_towards_its_ceiling():
    method, params, state, given = started()

    @jax.jit
    def descended(params):
        gradient, step = train_step.player_gradients(method.loss, params, state, given, RNG, 0)
        params = jax.tree.map(lambda p, g: p - 0.2 * g, params, gradient)
        return params, step.metrics["exemplar/bound"]

    values = []
    for _ in range(151):
        params, value = descended(params)
        values.append(value)
    assert values[0] < 1.0 < values[-1] <= math.log(CLASSES)


@pytest.mark.parametrize("mapped", ["shard_map", "pmap"])
def test_classes_over_devices_are_the_dense_ones(mapped):
    """Eight devices with a part of the classifier each: value and gradients of the whole."""
    devices, n, d = jax.devices()[:8], 6, 5
    keys = jax.random.split(jax.random.key(0), 3)
    features, index = jax.random.normal(keys[0], (n, d)), jnp.array([0, 63, 8, 7, 31, 8])
    weights, bias = jax.random.normal(keys[1], (d, 64)), jax.random.normal(keys[2], (64,))

    def dense(features, weights, bias):
        logits = features @ weights + bias
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(n), index]) - math.log(64)

    def here(features, weights, bias):
        return -exemplar.surrogate_bound(features @ weights + bias, index, axis_name="classes")

    wanted = jax.jit(jax.value_and_grad(dense, argnums=(0, 1, 2)))(features, weights, bias)
    each = jax.value_and_grad(here, argnums=(0, 1, 2))
    if mapped == "shard_map":
        auto = (jax.sharding.AxisType.Auto,)
        mesh = jax.make_mesh((8,), ("classes",), devices=devices, axis_types=auto)
        whole, columns = PartitionSpec(), PartitionSpec("classes")
        of_weights = PartitionSpec(None, "classes")
        specs = (whole, of_weights, columns)
        run = jax.shard_map(each, mesh=mesh, in_specs=specs, out_specs=(whole, specs))
        value, gradients = jax.jit(run)(features, weights, bias)
    else:
        parts = weights.reshape(d, 8, 8).swapaxes(0, 1), bias.reshape(8, 8)
        run = jax.pmap(each, "classes", in_axes=(None, 0, 0), devices=devices)
        values, (of_features, of_weights, of_bias) = run(features, *parts)
        value = values[3]
        gradients = (
            of_features.sum(axis=0),
            of_weights.swapaxes(0, 1).reshape(d, 64),
            of_bias.reshape(64),
        )
    np.testing.assert_allclose(value, wanted[0], rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), gradients, wanted[1])


def test_no_device_holds_more_than_its_classes():
    devices, n, d, classes = jax.devices()[:8], 6, 5, 4096
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((8,), ("classes",), devices=devices, axis_types=auto)
    whole, columns = PartitionSpec(), PartitionSpec(None, "classes")

    def here(features, weights, index):
        return exemplar.surrogate_bound(features @ weights, index, axis_name="classes")

    run = jax.shard_map(here, mesh=mesh, in_specs=(whole, columns, whole), out_specs=whole)
    shapes = [((n, d), jnp.float32), ((d, classes), jnp.float32), ((n,), jnp.int32)]
    arguments = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
    shardings = [jax.sharding.NamedSharding(mesh, s) for s in (whole, columns, whole)]
    compiled = jax.jit(run, in_shardings=shardings).lower(*arguments).compile().as_text()
    assert f"[{n},{classes // 8}]" in compiled.replace("{1,0}", "")
    assert f"{classes}]" not in compiled


def test_taps():
    method, params, state, given = started()
    taps = jax.eval_shape(method.represent, params, state, given["images"][0])
    names = {"conv", "fc", "y", "logits", "pooled", "pooled_conv1", "pooled_conv2", "pooled_fc"}
    assert taps.keys() == names and taps["logits"].shape == (4, CLASSES)
    without = build.make("method", SPEC | dict(pooled=False))
    taps = jax.eval_shape(without.represent, params, state, given["images"][0])
    assert taps.keys() == {"conv", "fc", "y", "logits"}
    assert method.examples == CLASSES and method.per_example


def test_halves_of_a_batch_make_the_loss_of_the_whole():
    method, params, state, given = started(2)

    loss = jax.jit(method.loss)

    def of(rows):
        part = contracts.Batch(
            images=given["images"][:, rows],
            labels=given["labels"][rows],
            index=given["index"][rows],
        )
        return loss(params, state, part, RNG, 0)

    whole = loss(params, state, given, RNG, 0)
    halves = [of(slice(0, 2)), of(slice(2, 4))]
    for name in ("exemplar/bound", "exemplar/variation"):
        mean = np.mean([half.metrics[name] for half in halves])
        np.testing.assert_allclose(mean, whole.metrics[name], rtol=1e-4)


def test_what_cannot_be():
    with pytest.raises(contracts.UserError, match="classes is 1"):
        build.make("method", SPEC | dict(classes=1))
    other = dict(name="dcgan28", width=2, hidden=4, features=3)
    method = build.make("method", SPEC | dict(encoder=other))
    given = batch()
    images = jnp.zeros((1, 4, 28, 28, 3))
    with pytest.raises(contracts.UserError, match="pooled"):
        jax.eval_shape(method.init, RNG, given | dict(images=images))
