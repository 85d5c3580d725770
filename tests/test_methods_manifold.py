"""The manifold method against float64 loops over the same draws, and what its weights do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special, stats

from dim_jax import bounds, contracts
from dim_jax.losses import manifold_information
from dim_jax.methods import manifold
from dim_jax.nets import encoders
from dim_jax.nets import manifold as layers
from dim_jax.training import train_step

RNG = jax.random.key(3)
N = 12
BOTH = dict(supervised=1.0, information=(1.0, 0.5), entropy=(0.25, 2.0))


def net():
    return layers.manifold(
        channels=(10, 6),
        kernels=(3, 3),
        strides=(1, 1),
        pools=(2, 1),
        dimensions=(3, 2),
        gain=4.0,
        passed="mean",
        hidden=(),
        features=4,
    )


def batch() -> contracts.Batch:
    labels = jnp.arange(N) % 4
    pixels = jax.random.normal(RNG, (1, N, 8, 8, 1))
    return contracts.Batch(images=pixels, labels=labels.at[0].set(-1), index=jnp.arange(N))


def made(**changes):
    weights = {**BOTH, **changes}
    locations = weights.pop("locations", 3)
    negatives = weights.pop("negatives", "patches")
    encoder = weights.pop("encoder", net())
    method = manifold.make(
        encoder=encoder,
        classifier=None,
        tap="y",
        locations=locations,
        negatives=negatives,
        **weights,
    )
    params, state = jax.jit(method.init)(jax.random.key(1), batch())
    return method, params, state


def embedded(n: int = N, *, certain: bool = False) -> contracts.Embedded:
    """A layer whose laws are drawn at random; `certain`: far apart and narrow."""
    generator = np.random.default_rng(0)
    mean = generator.normal(size=(n, 3, 3, 2)) * (100.0 if certain else 1.0)
    variance = generator.uniform(0.1, 0.2, size=mean.shape)
    nothing = jnp.zeros((1, 1))
    return contracts.Embedded(nothing, jnp.asarray(mean), jnp.asarray(variance), nothing, nothing)


information = jax.jit(
    manifold_information.layer_information, static_argnames=("locations", "negatives")
)


def information_by_loops(rng, layer, locations, negatives) -> float:
    """The words of `drawn` and the bound, one draw at a time, with its random numbers."""
    n, d = len(layer.mean), layer.mean.shape[-1]
    mean, variance = (np.asarray(x, np.float64).reshape(n, -1, d) for x in layer[1:3])
    place_key, draw_key = jax.random.split(rng)
    shared = negatives == "same_location"
    places = jax.random.randint(place_key, (1 if shared else n, locations), 0, mean.shape[1])
    noise = np.asarray(jax.random.normal(draw_key, (n, locations, d)), np.float64)
    total = 0.0
    for location in range(locations):
        place = [int(places[0 if shared else i, location]) for i in range(n)]
        for j in range(n):
            law = mean[j, place[j]], np.sqrt(variance[j, place[j]])
            point = law[0] + law[1] * noise[j, location]
            densities = [
                stats.norm.logpdf(point, mean[i, place[i]], np.sqrt(variance[i, place[i]])).sum()
                for i in range(n)
            ]
            total += densities[j] - special.logsumexp(densities) + np.log(n)
    return total / (n * locations)


@pytest.mark.parametrize("negatives", manifold_information.NEGATIVES)
def test_information_by_loops(negatives):
    layer = embedded()
    value = information(RNG, layer, locations=4, negatives=negatives)
    assert value == pytest.approx(information_by_loops(RNG, layer, 4, negatives), abs=1e-4)
    assert 0 < value < np.log(N)


def test_information_reaches_log_n_where_laws_do_not_overlap():
    layer = embedded(certain=True)
    value = information(RNG, layer, locations=4, negatives="patches")
    assert value == pytest.approx(np.log(N), abs=0.05)
    assert value <= np.log(N) + 1e-5


def test_no_information_in_equal_laws():
    layer = embedded()
    flat = layer._replace(mean=jnp.zeros_like(layer.mean), variance=jnp.ones_like(layer.variance))
    value = information(RNG, flat, locations=4, negatives="patches")
    assert value == pytest.approx(0, abs=1e-5)


def test_shuffled_draws_have_no_information():
    laws = manifold_information.drawn(RNG, embedded(128), locations=8, negatives="patches")
    own, shuffled = (
        float(bounds.known_conditional(laws, np.roll(np.arange(128), shift))) for shift in (0, 1)
    )
    assert shuffled < 0 < own


def test_locations_are_shared_where_asked():
    """Laws that are told apart by their location alone: nothing to know if it is shared."""
    places = jnp.arange(9.0).reshape(1, 3, 3, 1)
    mean = jnp.broadcast_to(100 * places, (N, 3, 3, 2))
    layer = embedded()._replace(mean=mean, variance=jnp.ones_like(mean))
    shared, free = (
        information(RNG, layer, locations=6, negatives=negatives)
        for negatives in ("same_location", "patches")
    )
    assert shared == pytest.approx(0, abs=1e-4)
    assert free > 1.0


@pytest.mark.parametrize("negatives", manifold_information.NEGATIVES)
def test_loss_by_loops(negatives):
    method, params, state = made(negatives=negatives)
    rng = jax.random.key(9)
    step = jax.jit(method.loss)(params, state, batch(), rng, 0)
    apply = jax.jit(functools.partial(net().apply, train=False))
    taps, _ = apply(params["encoder"]["encoder"], {}, batch()["images"][0])
    logits = np.asarray(taps["y"], np.float64)[1:]  # the first image has no label
    labels = np.asarray(batch()["labels"])[1:]
    chosen = logits[np.arange(N - 1), labels]
    expected = np.mean(special.logsumexp(logits, axis=1) - chosen)
    draws = jax.random.split(rng)[1]
    for index, layer in enumerate(taps["embedded"]):
        key = jax.random.fold_in(draws, index)
        known = information_by_loops(key, layer, 3, negatives)
        rows = np.asarray(layer.responses, np.float64).reshape(-1, layer.responses.shape[-1])
        used = stats.entropy(rows.mean(axis=0))
        assert step.metrics[f"manifold/information_{index + 1}"] == pytest.approx(known, abs=1e-3)
        assert step.metrics[f"manifold/entropy_{index + 1}"] == pytest.approx(used, abs=1e-4)
        assert used <= np.log(rows.shape[1])
        expected -= BOTH["information"][index] * known + BOTH["entropy"][index] * used
    assert step.losses["encoder"] == pytest.approx(expected, abs=2e-3)
    right = np.mean(logits.argmax(axis=1) == labels)
    assert step.metrics["accuracy"] == pytest.approx(right)


def gradients(method, params, state):
    """(gradients of the encoder's loss, the step)"""
    return jax.jit(functools.partial(train_step.player_gradients, method.loss))(
        params, state, batch(), RNG, 0
    )


def test_gradients_are_finite_and_reach_all_that_a_layer_learns():
    method, params, state = made()
    found, _ = gradients(method, params, state)
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        assert np.isfinite(leaf).all() and np.any(leaf != 0), path


def test_terms_without_weight_are_metrics_only():
    method, params, state = made(information=(0.0, 0.0), entropy=(0.0, 0.0))
    found, step = gradients(method, params, state)

    @jax.jit
    @jax.value_and_grad
    def cross_entropy(params):
        taps, _ = net().apply(params["encoder"]["encoder"], {}, batch()["images"][0], train=True)
        rows = jax.nn.log_softmax(taps["y"])[jnp.arange(1, N), batch()["labels"][1:]]
        return -rows.mean()

    plain, expected = cross_entropy(params)
    assert step.losses["encoder"] == pytest.approx(float(plain), rel=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), found, expected
    )
    for name in ("information_1", "information_2", "entropy_1", "entropy_2"):
        assert step.metrics[f"manifold/{name}"] != 0


def test_without_labels():
    """Labels change nothing, and there is no classifier to represent."""
    method, params, state = made(supervised=0.0)
    loss = jax.jit(method.loss)
    step = loss(params, state, batch(), RNG, 0)
    other = {**batch(), "labels": jnp.full(N, -1)}
    assert step.losses["encoder"] == loss(params, state, other, RNG, 0).losses["encoder"]
    assert "accuracy" not in step.metrics
    pixels = batch()["images"][0]
    taps = jax.eval_shape(method.represent, params, state, pixels)
    assert set(taps) == set(contracts.PROBED_TAPS)
    supervised, params, state = made()
    taps = jax.jit(supervised.represent)(params, state, pixels)
    np.testing.assert_array_equal(taps["logits"], taps["y"])


def test_embedded_is_of_every_layer():
    method, params, state = made()
    first, second = jax.eval_shape(method.embedded, params, state, batch()["images"][0])
    assert first.responses.shape == (N, 6, 6, 10) and second.responses.shape == (N, 1, 1, 6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(negatives="patch"), "unknown negatives 'patch': did you mean 'patches'"),
        (dict(entropy=(-1.0, 0.0)), "none can be below 0"),
        (dict(supervised=0.0, information=(0.0, 0.0), entropy=(0.0, 0.0)), "one has to be above"),
        (dict(locations=0), "method.locations is 0"),
        (dict(information=(1.0,)), "2 manifold layers, method.information 1"),
        (dict(encoder=encoders.linear(features=4)), "set method.encoder.name to manifold"),
    ],
)
def test_mistakes(changes, words):
    with pytest.raises(contracts.UserError, match=words):
        made(**changes)


def test_entropy_alone_brings_all_channels_into_use():
    method, params, state = made(
        supervised=0.0, information=(0.0, 0.0), entropy=(1.0, 1.0), locations=1
    )
    params["encoder"]["encoder"]["manifold0"]["bias"] = 3.0 * jnp.eye(10)[0]
    tx = optax.adam(0.03)
    chosen = tx.init(params)

    @jax.jit
    def step(params, chosen):
        found, now = train_step.player_gradients(method.loss, params, state, batch(), RNG, 0)
        updates, chosen = tx.update(found, chosen)
        return optax.apply_updates(params, updates), chosen, now.metrics["manifold/entropy_1"]

    entropies = []
    for _ in range(60):
        params, chosen, entropy = step(params, chosen)
        entropies.append(float(entropy))
    assert entropies[0] < 0.8 * np.log(10) < 0.98 * np.log(10) < entropies[-1]
