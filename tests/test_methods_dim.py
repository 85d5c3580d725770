"""DIM's losses against an independent computation, and what each weight leaves out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from dim_jax import augment, build, contracts, data

RNG = jax.random.key(2)


@pytest.fixture(scope="module")
def batch():
    split = data.load("digits", image_size=32).splits["train"]
    pixels = data.normalise(jnp.asarray(split.images[:6]), (0.5,), (0.5,))
    return dict(images=pixels[None], labels=jnp.asarray(split.labels[:6]), index=jnp.arange(6))


def make(config, **changes):
    spec = {**config("quickstart")["method"]["method"], **changes}
    return build.make("method", spec), spec


def infonce(scores: np.ndarray) -> float:
    """The local objective (type R) by loops, float64, scores [n, n, l]."""
    n, _, locations = scores.shape
    total = 0.0
    for i in range(n):
        others = np.concatenate([scores[i, j] for j in range(n) if j != i])
        for l in range(locations):
            total += scores[i, i, l] - special.logsumexp(np.append(others, scores[i, i, l]))
    return np.log(n) + total / (n * locations)


def test_encoder_loss_is_equation_8(config, batch):
    alpha, beta, gamma = 0.5, 0.1, 0.3
    method, spec = make(config, alpha=alpha, beta=beta, gamma=gamma)
    params, state = method.init(RNG, batch)
    step = method.loss(params, state, batch, jax.random.key(7), 0)

    parts = {role: build.make(role, spec[role]) for role in ("encoder", "discriminator")}
    critics = {
        "global": build.make("global_critic", spec["global_critic"]),
        "local": build.make("local_critic", spec["local_critic"]),
    }
    own = params["encoder"]
    taps, _ = parts["encoder"].apply(
        own["encoder"], state["encoder"], batch["images"][0], train=True
    )
    candidates = {
        "global": taps["conv"].reshape(6, -1),
        "local": taps["local"].reshape(6, -1, taps["local"].shape[-1]),
    }
    information = {}
    for name, critic in critics.items():
        scores, _ = critic.all_pairs(
            own[name], state[name], taps["y"], candidates[name], train=True
        )
        information[name] = infonce(np.asarray(scores, np.float64).reshape(6, 6, -1))
    squashed = jax.nn.sigmoid(taps["y"])
    judged, _ = parts["discriminator"].apply(params["discriminator"], {}, squashed, train=True)
    confusion = np.mean(np.logaddexp(0, -np.asarray(judged, np.float64)))
    expected = -(alpha * information["global"] + beta * information["local"]) + gamma * confusion
    assert step.losses["encoder"] == pytest.approx(expected, rel=1e-4)
    assert step.metrics["global/bound"] == pytest.approx(information["global"], rel=1e-4)
    assert step.metrics["local/bound"] == pytest.approx(information["local"], rel=1e-4)
    assert step.metrics["prior/confusion"] == pytest.approx(confusion, rel=1e-4)


def test_discriminator_loss_is_binary_cross_entropy_and_a_penalty(config, batch):
    losses = {}
    for penalty in (0.0, 1.0):
        method, spec = make(config, penalty=penalty)
        params, state = method.init(RNG, batch)
        losses[penalty] = method.loss(params, state, batch, jax.random.key(7), 0).losses
    net = build.make("discriminator", spec["discriminator"])
    encoder = build.make("encoder", spec["encoder"])
    taps, _ = encoder.apply(
        params["encoder"]["encoder"], state["encoder"], batch["images"][0], train=True
    )
    key = jax.random.fold_in(jax.random.key(7), 0)  # what the step draws first: the prior
    real = jax.random.uniform(key, taps["y"].shape)
    fake = jax.nn.sigmoid(taps["y"])

    def logit(code):
        return net.apply(params["discriminator"], {}, code[None], train=True)[0][0]

    logits = {
        name: np.array([logit(code) for code in codes], np.float64)
        for name, codes in (("real", real), ("fake", fake))
    }
    entropy = np.mean(np.logaddexp(0, -logits["real"])) + np.mean(np.logaddexp(0, logits["fake"]))
    assert losses[0.0]["discriminator"] == pytest.approx(entropy, rel=1e-5)
    slopes = [
        np.mean([np.sum(np.asarray(jax.grad(logit)(code), np.float64) ** 2) for code in codes])
        for codes in (real, fake)
    ]
    difference = losses[1.0]["discriminator"] - losses[0.0]["discriminator"]
    assert difference == pytest.approx(sum(slopes) / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("weights", "critics", "players"),
    [
        (dict(alpha=1.0, beta=0.0, gamma=1.0), {"encoder", "global"}, {"encoder", "discriminator"}),
        (dict(alpha=0.0, beta=1.0, gamma=0.0), {"encoder", "local"}, {"encoder"}),
        (
            dict(alpha=0.5, beta=0.1, gamma=0.1),
            {"encoder", "global", "local"},
            {"encoder", "discriminator"},
        ),
    ],
)
def test_a_weight_of_zero_leaves_its_part_out(config, batch, weights, critics, players):
    method, _ = make(config, **weights)
    params, _ = jax.eval_shape(method.init, RNG, batch)
    assert params["encoder"].keys() == critics
    assert params.keys() == players


@pytest.mark.parametrize("bound", ["donsker_varadhan", "jensen_shannon", "infonce"])
@pytest.mark.parametrize("prior", ["uniform", "gaussian", "ball", "sphere"])
def test_every_bound_and_prior_gives_finite_losses(config, batch, bound, prior):
    method, _ = make(config, bound=dict(name=bound), prior=dict(name=prior), alpha=1.0)
    params, state = method.init(RNG, batch)
    step = jax.jit(method.loss)(params, state, batch, RNG, 0)
    for name, value in {**step.losses, **step.metrics}.items():
        assert jnp.isfinite(value), name
    assert step.metrics["local/nats"] <= np.log(6) + 1e-6


def run(method, batch, rng=RNG):
    params, state = method.init(RNG, batch)
    return jax.jit(method.loss)(params, state, batch, rng, 0), params, state


def test_extra_tasks_add_their_losses_and_leave_the_rest(config, batch):
    plain, _, _ = run(make(config)[0], batch)
    method, _ = make(config, absolute=2.0, relative=3.0)
    step, params, state = run(method, batch)
    assert {"absolute", "relative"} <= params["encoder"].keys() & state.keys()
    for name in ("local/bound", "prior/confusion"):
        np.testing.assert_allclose(step.metrics[name], plain.metrics[name], rtol=1e-5)
    assert step.losses["encoder"] > plain.losses["encoder"] + 1
    for name in ("absolute", "relative"):
        assert 0 <= step.metrics[f"{name}/accuracy"] < 0.5
    gradient = jax.grad(lambda p: method.loss(p, state, batch, RNG, 0).losses["encoder"])(params)
    for part in ("encoder", "absolute", "relative"):
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient["encoder"][part])) > 0


def test_occlusion_changes_y_and_not_the_features_it_predicts(config, batch):
    method, spec = make(config, occlusion=10, gamma=0.0)
    step, params, state = run(method, batch)
    encoder = build.make("encoder", spec["encoder"])
    own = params["encoder"]
    key = jax.random.fold_in(RNG, 1)
    images = batch["images"][0]
    hidden, _ = encoder.apply(
        own["encoder"],
        state["encoder"],
        augment.occlude(key, images, block=10),
        train=True,
    )
    intact, stats = encoder.apply(own["encoder"], state["encoder"], images, train=True)
    critic = build.make("local_critic", spec["local_critic"])
    local = intact["local"].reshape(6, -1, intact["local"].shape[-1])
    scores, _ = critic.all_pairs(own["local"], state["local"], hidden["y"], local, train=True)
    expected = infonce(np.asarray(scores, np.float64))
    assert step.metrics["local/bound"] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(step.features["y"], intact["y"], atol=1e-5)
    for ours, theirs in zip(
        jax.tree.leaves(step.state["encoder"]), jax.tree.leaves(stats), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_fewer_locations_and_fewer_negatives(config, batch):
    few, _, _ = run(make(config, sampled_locations=3)[0], batch)
    one, _, _ = run(make(config, negatives=1)[0], batch)
    assert jnp.isfinite(few.losses["encoder"])
    assert one.metrics["local/bound"] <= np.log(2) + 1e-6
    with pytest.raises(contracts.UserError, match="1000000 negatives"):
        run(make(config, negatives=1_000_000)[0], batch)


def test_a_task_needs_its_head(config):
    with pytest.raises(contracts.UserError, match=r"absolute and relative .*coordinates is none"):
        make(config, absolute=1.0, relative=1.0, coordinates=None)


@pytest.mark.parametrize("words", ["tasks=both", "layer=first", "bound=nwj", "bound=chi2,global"])
def test_words_of_the_cifar_config(words, config):
    spec = config("dim_cifar10", f"{words},budget=smoke")["method"]["method"]
    method = build.make("method", spec)
    images = jax.random.normal(jax.random.key(0), (1, 4, 32, 32, 3))
    small = dict(images=images, labels=jnp.zeros(4, int), index=jnp.arange(4))
    step, params, _ = run(method, small)
    assert jnp.isfinite(step.losses["encoder"])
    assert ("absolute" in params["encoder"]) == (words == "tasks=both")


def test_a_layer_that_the_encoder_lacks(config):
    spec = config("quickstart")["method"]["method"]["encoder"]
    with pytest.raises(contracts.UserError, match="local=5 and the encoder 'dcgan32' has 3"):
        build.make("encoder", {**spec, "local": 5})
