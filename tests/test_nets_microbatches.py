"""Encoders in microbatches: loss and gradient of the whole batch, by memory for a part of it."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training
from jax.sharding import NamedSharding, PartitionSpec

from dim_jax import build, contracts, data
from dim_jax.nets import encoders, folded, layers, microbatches, pure
from dim_jax.training import microbatching, optimizers, preprocessing, train_step

RNG = jax.random.key(0)
SMALL = dict(width=4, hidden=8, features=4)


def images_of(count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    images = random.normal(size=(count, 32, 32, 1)) + np.arange(count)[:, None, None, None] / count
    return np.float32(images)


def batch_of(count: int) -> contracts.Batch:
    split = data.load("digits", image_size=32).splits["train"]
    pixels = np.float32(split.images[:count] / 127.5 - 1)
    return dict(images=pixels[None], labels=split.labels[:count], index=np.arange(count))


def dim(config, norm: str, **changes) -> dict:
    """The spec of a small DIM(L) with InfoNCE and no prior, unless changed."""
    spec = config("quickstart")["method"]["method"]
    encoder = dict(name="dcgan32", **SMALL, norm=norm)
    return {**spec, "encoder": encoder, "gamma": 0.0, **changes}


def distance(found, expected) -> float:
    """The norm of the difference over that of the second, the largest of all leaves.

    Of a leaf below a thousandth of the largest (a gradient that is zero but for rounding), over
    that thousandth.
    """
    found, expected = map(jax.tree.leaves, jax.device_get((found, expected)))
    assert len(found) == len(expected)
    norms = [np.linalg.norm(leaf) for leaf in expected]
    apart = [np.linalg.norm(a - b) for a, b in zip(found, expected, strict=True)]
    return max(d / max(norm, 1e-3 * max(norms)) for d, norm in zip(apart, norms, strict=True))


def gradients_of(method, params, state, batch, parts: int):
    divided = microbatching.divide(
        method, training.block(batch_size=16, microbatches=parts), devices=1
    )
    arguments = (state, batch, jax.random.key(5), 0)
    return jax.jit(lambda params: train_step.player_gradients(divided.loss, params, *arguments))(
        params
    )


def contrast(net: pure.Net, params, images) -> jax.Array:
    """A loss that compares the examples of a batch, by the network's y."""
    y = net.apply(params, {}, images, train=True)[0]["y"]
    return -jnp.mean(jax.nn.log_softmax(y @ y.T).diagonal())


@pytest.mark.parametrize("parts", [2, 3, 12])
def test_the_gradient_of_any_network_is_exact(parts):
    """In double precision nothing but rounding is left of the difference to one pass."""
    net = microbatches.dividable(
        pure.Net(None, lambda params, stats, x, train, rng: ({"y": jnp.tanh(x @ params)}, stats))
    )
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        params, x = jnp.asarray(random.normal(size=(5, 3))), random.normal(size=(12, 5))
        of_batch = jax.jit(jax.value_and_grad(functools.partial(contrast, net)))
        value, gradient = of_batch(params, x)
        with microbatches.count(parts):
            found = of_batch(params, x)
    assert gradient.dtype == np.float64
    assert distance(found, (value, gradient)) < 1e-13


def test_loss_and_gradients_of_a_method_are_those_of_one_pass(config):
    """DIM with both terms, a prior, a probe, and the encoder also run on occluded images."""
    inner = dim(config, "layer", alpha=0.5, gamma=0.1, occlusion=True)
    method = build.make("method", {**config("quickstart")["method"], "method": inner})
    batch = batch_of(16)
    params, state = jax.jit(method.init)(RNG, batch)
    once, whole = gradients_of(method, params, state, batch, 1)
    divided, step = gradients_of(method, params, state, batch, 4)
    for player, value in whole.losses.items():
        assert step.losses[player] == pytest.approx(float(value), rel=1e-6), player
        assert distance(divided[player], once[player]) < 1e-5, player
    assert distance(step.features, whole.features) < 1e-5
    assert distance(step.state, whole.state) < 1e-5


def test_batch_statistics_are_those_of_groups_of_the_reordered_batch():
    """Outputs, running averages and gradient; microbatch j has the examples j, j + 4, ..."""
    net, images = encoders.dcgan32(**SMALL), images_of(16)
    params, stats = jax.jit(net.init)(RNG, images)
    order = np.arange(16).reshape(4, 4).T.ravel()

    @jax.jit
    def run(params, images, weights):
        def loss(params):
            taps, after = net.apply(params, stats, images, train=True)
            return jnp.sum(weights * taps["y"]), (taps, after)

        (_, found), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        return found, gradient

    weights = np.random.default_rng(1).normal(size=(16, 4))
    with microbatches.count(4):
        (taps, after), gradient = run(params, images, weights)
    with layers.norm_groups(4):
        (grouped, expected), by_groups = run(params, images[order], weights[order])
    taps = jax.tree.map(lambda tap: np.asarray(tap)[order], taps)
    assert distance(taps, grouped) < 1e-5
    assert distance(after, expected) < 1e-5
    assert distance(gradient, by_groups) < 1e-4
    (_, one), _ = run(params, images, weights)
    assert distance(after, one) > 1e-3


def test_each_microbatch_draws_its_own_dropout_and_evaluation_is_whole():
    net = folded.folded_alexnet32(**SMALL, dropout=0.5, norm="none")
    images = np.repeat(images_of(1), 4, axis=0)
    params, stats = jax.jit(net.init)(RNG, images)
    with microbatches.count(4):
        taps, _ = jax.jit(functools.partial(net.apply, train=True))(params, stats, images, rng=RNG)
        # Three images in four microbatches: evaluation does not mind.
        still, _ = jax.jit(functools.partial(net.apply, train=False))(params, stats, images[:3])
    assert all(np.abs(taps["fc"][0] - taps["fc"][i]).max() > 0 for i in (1, 2, 3))
    assert len(still["y"]) == 3


def test_examples_that_do_not_divide_are_one_sentence():
    net = encoders.dcgan32(**SMALL)
    params, stats = jax.eval_shape(net.init, RNG, images_of(4))
    with (
        microbatches.count(3),
        pytest.raises(contracts.UserError, match=r"4 examples, which 3 microbatches.*a divisor"),
    ):
        jax.eval_shape(functools.partial(net.apply, train=True), params, stats, images_of(4))


def test_the_same_gradient_by_the_memory_of_a_part():
    net, images = encoders.dcgan32(**SMALL, norm="none"), images_of(64)
    params, _ = jax.jit(net.init)(RNG, images)
    sizes, gradients = {}, {}
    for parts in (1, 8):
        with microbatches.count(parts):
            lowered = jax.jit(jax.grad(functools.partial(contrast, net))).lower(params, images)
        compiled = lowered.compile()
        sizes[parts] = compiled.memory_analysis().temp_size_in_bytes
        gradients[parts] = compiled(params, images)
    assert distance(gradients[8], gradients[1]) < 1e-4  # sums of 64 images in another order
    # The images in another order and the gradient stay.
    assert sizes[8] < sizes[1] / 3


def descent(params):
    """The players' optimizers: gradient descent, whose steps do not amplify rounding."""
    spec = dict(name="sgd", learning_rate=0.01, schedule=dict(name="constant"), every=1)
    return optimizers.make(dict.fromkeys(params, spec), 4, 2)


@pytest.mark.slow
def test_every_device_has_a_part_of_each_microbatch(config):
    """Two steps on 8 devices equal those on one, and no device is sent another one's images."""
    method = build.make("method", dim(config, "layer"))
    method = microbatching.divide(method, training.block(batch_size=32, microbatches=2), devices=8)
    split = data.load("digits", image_size=32).splits["train"]
    arrays = (split.images[:64], split.labels[:64])
    initial = train_step.initial_state(method, descent, 3, batch_of(32))
    found = {}
    prepared = preprocessing.Preprocessing((0.5,), (0.5,))
    for devices in (1, 8):
        mesh = train_step.mesh(jax.devices()[:devices])
        dispatch = train_step.make_dispatch(prepared, 3, 32, 64, mesh)
        whole = NamedSharding(mesh, PartitionSpec())
        given = jax.device_put((jax.tree.map(jnp.copy, initial), *arrays), whole)
        compiled = dispatch.lower(*given, count=2).compile()
        state, metrics = compiled(*given)
        found[devices] = jax.device_get((state.params, metrics))
    assert distance(found[8], found[1]) < 1e-3
    text = compiled.as_text()
    # 32 / 2 / 8 = 2 images at a time on a device; with one device the loop would have 16.
    assert re.search(r"f32\[(2,1,|1,2,|2,)32,32,1\]", text)
    assert not re.search(r"f32\[16,32,32,1\]", text)
    gathered = [line for line in text.splitlines() if " all-gather(" in line]
    assert gathered and not any(",32,32,1]" in line for line in gathered)
