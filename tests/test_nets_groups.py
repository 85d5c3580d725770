"""Batch norm in groups: its statistics, its place in every network, and what devices exchange."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from dim_jax import contracts
from dim_jax.nets import critics, encoders, folded, heads, layers
from dim_jax.training import train_step

RNG = jax.random.key(0)
SMALL = dict(width=4, hidden=8, features=4)


def close(one, other, tolerance=1e-5):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), one, other
    )


def applied(layer):
    """The layer's outputs and running averages, compiled."""
    return jax.jit(functools.partial(layer.apply, mutable=["batch_stats"]))


@pytest.mark.parametrize("locations", [(), (3,), (2, 3)])
def test_every_group_of_consecutive_examples_has_its_own_statistics(locations):
    drift = jnp.arange(12.0).reshape(12, *(1,) * len(locations), 1)
    inputs = jax.random.normal(RNG, (12, *locations, 5)) * (1 + drift) + drift
    layer = layers.batch_norm(True, groups=4)
    variables = jax.jit(layer.init)(RNG, inputs)
    variables["params"] = {"scale": jnp.linspace(0.5, 2, 5), "bias": jnp.linspace(-1, 1, 5)}
    outputs, after = applied(layer)(variables, inputs)
    x = np.asarray(inputs, np.float64).reshape(4, -1, 5)
    mean, variance = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    scale, bias = (np.asarray(variables["params"][name]) for name in ("scale", "bias"))
    expected = (x - mean) / np.sqrt(variance + 1e-5) * scale + bias
    close(outputs, expected.reshape(inputs.shape), 1e-4)
    averages = after["batch_stats"]
    close(averages["mean"], 0.1 * mean.mean((0, 1)))
    close(averages["var"], 0.9 + 0.1 * variance.mean((0, 1)))


@pytest.mark.parametrize(("train", "groups"), [(True, 1), (True, 3), (False, 1), (False, 3)])
def test_batch_norm_is_that_of_flax_for_each_group(train, groups):
    """Values, running averages and gradients, of inputs whose mean is far from zero."""
    random = np.random.default_rng(0)
    inputs = np.float32(random.normal(3, 0.5, (12, 4, 5)))
    weights, numbers = (np.float32(random.normal(size=shape)) for shape in ((12, 4, 5), (4, 5)))
    flax = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)
    variables = jax.jit(flax.init)(RNG, inputs)
    ours = layers.batch_norm(train, groups=groups)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(ours.init)(RNG, inputs), variables)
    params = {"scale": numbers[0], "bias": numbers[1]}
    stats = {"mean": numbers[2] + 3, "var": numbers[3] ** 2}

    def run(layer, params, inputs, weights):
        outputs, updates = layer.apply(
            {"params": params, "batch_stats": stats}, inputs, mutable=["batch_stats"]
        )
        return jnp.sum(outputs * weights), (outputs, updates["batch_stats"])

    def run_by_groups(params, inputs, weights):
        parts = [np.s_[4 * group : 4 * group + 4] for group in range(groups if groups > 1 else 0)]
        results = [run(flax, params, inputs[part], weights[part]) for part in parts or [np.s_[:]]]
        outputs = jnp.concatenate([outputs for _, (outputs, _) in results])
        averages = [averages for _, (_, averages) in results]
        averages = jax.tree.map(lambda *each: sum(each) / len(each), *averages)
        return sum(total for total, _ in results), (outputs, averages)

    found, expected = (
        jax.jit(jax.value_and_grad(form, (0, 1), has_aux=True))(params, inputs, weights)
        for form in (functools.partial(run, ours), run_by_groups)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max()),
        found,
        expected,
    )


@pytest.mark.parametrize(("shape", "groups"), [((1, 5), 1), ((4, 5), 4), ((2, 1, 1, 5), 2)])
def test_one_value_of_each_channel_is_refused_in_training(shape, groups):
    inputs = jnp.ones(shape)
    message = "got one value of each channel, which it turns into 0; set train.batch_size"
    with pytest.raises(contracts.UserError, match=message):
        jax.eval_shape(layers.batch_norm(True, groups=groups).init, RNG, inputs)
    for train, more in ((False, inputs), (True, jnp.concatenate([inputs, inputs]))):
        jax.eval_shape(layers.batch_norm(train, groups=groups).init, RNG, more)


def test_groups_that_do_not_divide_are_one_sentence():
    with pytest.raises(
        contracts.UserError, match=r"12 examples, which 5 groups do not divide.*norm_groups to a"
    ):
        jax.eval_shape(layers.batch_norm(True, groups=5).init, RNG, jnp.zeros((12, 3)))


NETS = {
    "dcgan32": (encoders.dcgan32(**SMALL), (32, 32, 1)),
    "coordinates": (heads.coordinates(widths=(8,))(3), (5, 6)),
    "classifier": (heads.classifier(hidden=8, dropout=0.0, classes=3), (6,)),
}


@pytest.mark.parametrize("name", NETS)
def test_the_setting_reaches_every_network(name):
    """Two groups give what two calls with half of the batch each give, and the mean state."""
    net, shape = NETS[name]
    random = np.random.default_rng(0)
    inputs = random.normal(size=(8, *shape)).astype(np.float32)
    inputs += np.arange(8, dtype=np.float32).reshape(8, *(1,) * len(shape))
    params, stats = jax.jit(net.init)(RNG, inputs)
    apply = jax.jit(functools.partial(net.apply, train=True))
    halves = [jax.device_get(apply(params, stats, half)) for half in (inputs[:4], inputs[4:])]
    with layers.norm_groups(4):
        other = apply(params, stats, inputs)
    with layers.norm_groups(2):
        grouped = apply(params, stats, inputs)  # compiled again: the setting is part of the key
    outputs = jax.tree.map(lambda *parts: np.concatenate(parts), *(half[0] for half in halves))
    state = jax.tree.map(lambda *parts: sum(parts) / 2, *(half[1] for half in halves))
    close(grouped, (outputs, state), 2e-4)
    first = np.asarray(jax.tree.leaves(other[0])[0])
    assert np.abs(first - jax.tree.leaves(outputs)[0]).max() > 1e-3


def test_a_critic_of_local_features_groups_images():
    critic = critics.encode_and_dot(width=16, norm_anchors=True)
    random = np.random.default_rng(0)
    anchors = np.float32(random.normal(size=(6, 5)) + np.arange(6)[:, None])
    candidates = np.float32(random.normal(size=(6, 4, 7)) * np.arange(1, 7)[:, None, None])
    params, stats = jax.jit(critic.init)(RNG, anchors, candidates)
    all_pairs, pairs = (
        jax.jit(functools.partial(form, train=True)) for form in (critic.all_pairs, critic.pairs)
    )
    with layers.norm_groups(2):
        scores, _ = all_pairs(params, stats, anchors, candidates)
        own, _ = pairs(params, stats, anchors, candidates[:, None])
    for part in (slice(0, 3), slice(3, 6)):
        block, _ = all_pairs(params, stats, anchors[part], candidates[part])
        close(np.asarray(scores)[part, part], block, 1e-4)
    close(np.asarray(own)[:, 0], np.asarray(scores)[np.arange(6), np.arange(6)], 1e-4)


def collectives(function, *arguments) -> list[str]:
    """The collectives of a function whose last argument is split over 8 devices, with shapes."""
    mesh = train_step.mesh()
    whole, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    shardings = (*(whole,) * (len(arguments) - 1), split)
    text = jax.jit(function, in_shardings=shardings).lower(*arguments).compile().as_text()
    names = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
    return [f"{name} {shape}" for shape, name in re.findall(rf"= (.*?) ({names})\(", text)]


@pytest.fixture(scope="module")
def network():
    net, _ = NETS["dcgan32"]
    images = jax.random.normal(RNG, (32, 32, 32, 1))
    return net, *jax.jit(net.init)(RNG, images), images


@pytest.mark.parametrize(("groups", "exchanged"), [(1, True), (4, True), (8, False)])
def test_statistics_of_each_device_need_no_communication(network, groups, exchanged):
    net, *arguments = network

    def forward(params, stats, images):
        with layers.norm_groups(groups):
            return net.apply(params, stats, images, train=True)[0]

    assert bool(collectives(forward, *arguments)) == exchanged


def test_the_backward_pass_sums_over_devices_once(network):
    """One all-reduce: of the loss, the gradients and the running averages."""
    net, *arguments = network

    def gradient(params, stats, images):
        def loss(params):
            with layers.norm_groups(8):
                taps, after = net.apply(params, stats, images, train=True)
            return jnp.mean(jnp.square(taps["y"])), after

        return jax.value_and_grad(loss, has_aux=True)(params)

    assert [name.split()[0] for name in collectives(gradient, *arguments)] == ["all-reduce"]


@pytest.mark.parametrize(
    ("make", "norm"),
    [
        (encoders.dcgan32, "layer"),
        (encoders.dcgan32, "none"),
        (functools.partial(folded.folded_resnet32, blocks=(1, 1, 1)), "none"),
    ],
)
def test_without_batch_norm_nothing_is_shared_between_examples(make, norm):
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 1)).astype(np.float32)
    net, usual = make(**SMALL, norm=norm), make(**SMALL)
    named = jax.eval_shape(usual.init, RNG, images)[0]
    params, stats = jax.jit(net.init)(RNG, images)
    assert stats == {} and params.keys() == named.keys()
    apply = jax.jit(functools.partial(net.apply, train=True))
    taps, stats = jax.device_get(apply(params, {}, images))
    changed = images.copy()
    changed[1:], changed[0, 16:] = 0, 0
    other = jax.device_get(apply(params, {}, changed)[0])
    assert stats == {} and np.abs(taps["y"] - other["y"]).max() > 0
    # What is above the change in the first image keeps its bits: no location sees another one.
    np.testing.assert_array_equal(taps["local"][0, :2], other["local"][0, :2])
    changed = np.concatenate([images[:1], changed[1:]])
    alone = jax.device_get(apply(params, {}, changed)[0])
    for name, tap in taps.items():
        np.testing.assert_array_equal(tap[0], alone[name][0], err_msg=name)


def test_batch_norm_is_the_default_and_an_unknown_norm_names_the_nearest():
    images = jnp.zeros((2, 32, 32, 1))
    shapes = [
        jax.eval_shape(encoders.dcgan32(**SMALL, **more).init, RNG, images)
        for more in ({}, dict(norm="batch"))
    ]
    assert shapes[0] == shapes[1] and shapes[0][1]["conv0_norm"].keys() == {"mean", "var"}
    with pytest.raises(contracts.UserError, match="unknown norm 'bach': did you mean 'batch'"):
        jax.eval_shape(encoders.dcgan32(**SMALL, norm="bach").init, RNG, images)
