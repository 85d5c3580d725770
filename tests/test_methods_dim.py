"""DIM's losses against an independent computation, and what each weight leaves out."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from dim_jax import augment, build, contracts, data, losses
from dim_jax.training import train_step

RNG = jax.random.key(2)


@pytest.fixture(scope="module")
def batch():
    split = data.load("digits", image_size=32).splits["train"]
    pixels = data.normalise(jnp.asarray(split.images[:6]), (0.5,), (0.5,))
    return dict(images=pixels[None], labels=jnp.asarray(split.labels[:6]), index=jnp.arange(6))


def make(config, **changes):
    spec = {**config("quickstart")["method"]["method"], **changes}
    return build.make("method", spec), spec


def run(method, batch, rng=RNG):
    params, state = jax.jit(method.init)(RNG, batch)
    return jax.jit(method.loss)(params, state, batch, rng, 0), params, state


@pytest.fixture(scope="module")
def initial(config, batch):
    """Initial params and state of DIM(L), which no weight but those of 0 and no bound changes."""
    return jax.jit(make(config)[0].init)(RNG, batch)


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
    step, params, state = run(method, batch, jax.random.key(7))
    roles = ("encoder", "global_critic", "local_critic", "discriminator")
    encoder, global_critic, local_critic, discriminator = (
        build.make(role, spec[role]) for role in roles
    )

    @jax.jit
    def forward(params, state):
        """Scores of all pairs of images by each critic, and logits of the squashed codes."""
        own, scores = params["encoder"], {}
        taps, _ = encoder.apply(own["encoder"], state["encoder"], batch["images"][0], train=True)
        y, conv, local = taps["y"], taps["conv"], taps["local"]
        scores["global"], _ = global_critic.all_pairs(
            own["global"], state["global"], y, conv.reshape(6, -1), train=True
        )
        scores["local"], _ = local_critic.all_pairs(
            own["local"], state["local"], y, local.reshape(6, -1, local.shape[-1]), train=True
        )
        codes = jax.nn.sigmoid(y)
        return scores, discriminator.apply(params["discriminator"], {}, codes, train=True)[0]

    scores, judged = forward(params, state)
    information = {
        name: infonce(np.asarray(each, np.float64).reshape(6, 6, -1))
        for name, each in scores.items()
    }
    confusion = np.mean(np.logaddexp(0, -np.asarray(judged, np.float64)))
    expected = -(alpha * information["global"] + beta * information["local"]) + gamma * confusion
    assert step.losses["encoder"] == pytest.approx(expected, rel=1e-4)
    assert step.metrics["global/bound"] == pytest.approx(information["global"], rel=1e-4)
    assert step.metrics["local/bound"] == pytest.approx(information["local"], rel=1e-4)
    assert step.metrics["prior/confusion"] == pytest.approx(confusion, rel=1e-4)


def test_discriminator_loss_is_binary_cross_entropy_and_a_penalty(config, batch, initial):
    params, state = initial
    found = {}
    for penalty in (0.0, 1.0):
        method, spec = make(config, penalty=penalty)
        found[penalty] = jax.jit(method.loss)(params, state, batch, jax.random.key(7), 0).losses
    net = build.make("discriminator", spec["discriminator"])
    encoder = build.make("encoder", spec["encoder"])
    taps, _ = jax.jit(functools.partial(encoder.apply, train=True))(
        params["encoder"]["encoder"], state["encoder"], batch["images"][0]
    )
    key = jax.random.fold_in(jax.random.key(7), 0)  # what the step draws first: the prior
    real = jax.random.uniform(key, taps["y"].shape)
    fake = jax.nn.sigmoid(taps["y"])

    @jax.jit
    @jax.value_and_grad
    def logit_and_slope(code):
        return net.apply(params["discriminator"], {}, code[None], train=True)[0][0]

    logits, penalties = {}, []
    for name, codes in (("real", real), ("fake", fake)):
        scored, slopes = zip(*map(logit_and_slope, codes), strict=True)
        logits[name] = np.array(scored, np.float64)
        penalties.append(np.mean(np.sum(np.array(slopes, np.float64) ** 2, axis=1)))
    entropy = np.mean(np.logaddexp(0, -logits["real"])) + np.mean(np.logaddexp(0, logits["fake"]))
    assert found[0.0]["discriminator"] == pytest.approx(entropy, rel=1e-5)
    difference = found[1.0]["discriminator"] - found[0.0]["discriminator"]
    assert difference == pytest.approx(sum(penalties) / 2, rel=1e-3)


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


BOUNDS = ("donsker_varadhan", "jensen_shannon", "infonce")
PRIORS = ("uniform", "gaussian", "ball", "sphere")  # with a discriminator
# Each bound and each prior once.
FAST = {
    *(("infonce", "uniform"), ("donsker_varadhan", "gaussian")),
    *(("jensen_shannon", "ball"), ("infonce", "sphere")),
}


@pytest.mark.parametrize(
    ("bound", "prior"),
    [
        pytest.param(*case, marks=() if case in FAST else pytest.mark.slow)
        for case in itertools.product(BOUNDS, PRIORS)
    ],
)
def test_every_bound_and_prior_gives_finite_losses(config, batch, bound, prior):
    method, _ = make(config, bound=dict(name=bound), prior=dict(name=prior), alpha=1.0)
    step, _, _ = run(method, batch)
    for name, value in {**step.losses, **step.metrics}.items():
        assert jnp.isfinite(value), name
    assert step.metrics["local/nats"] <= np.log(6) + 1e-6


def test_sigreg_takes_the_place_of_the_discriminator(config, batch, initial):
    """The encoder's loss is minus the local bound and gamma times the statistic of y."""
    sigreg = dict(name="sigreg", directions=8, knots=9, limit=4.0)
    method, spec = make(config, beta=1.0, gamma=0.3, prior=sigreg, discriminator=None)
    params, state = initial
    params = {"encoder": params["encoder"]}
    assert jax.eval_shape(method.init, RNG, batch)[0].keys() == params.keys()
    encoder = build.make("encoder", spec["encoder"])

    @jax.jit
    def step_and_statistic(params, state):
        own = params["encoder"]["encoder"], state["encoder"]
        taps, _ = encoder.apply(*own, batch["images"][0], train=True)
        key = jax.random.fold_in(RNG, 0)  # what the step draws first: the directions
        statistic = losses.sigreg(taps["y"], key, directions=8, knots=9, limit=4.0)
        return method.loss(params, state, batch, RNG, 0), statistic

    step, statistic = jax.device_get(step_and_statistic(params, state))
    assert step.losses.keys() == {"encoder"}
    assert "prior/confusion" not in step.metrics
    assert step.metrics["prior/sigreg"] == pytest.approx(statistic, rel=1e-5)
    level = losses.sigreg_level(knots=9, limit=4.0)
    assert step.metrics["prior/sigreg_level"] == pytest.approx(level)
    expected = -step.metrics["local/bound"] + 0.3 * statistic
    assert step.losses["encoder"] == pytest.approx(expected, rel=1e-5)


def test_extra_tasks_add_their_losses_and_leave_the_rest(config, batch, initial):
    plain = jax.jit(make(config)[0].loss)(*initial, batch, RNG, 0)
    method, _ = make(config, absolute=2.0, relative=3.0)
    params, state = jax.jit(method.init)(RNG, batch)
    gradient, step = jax.jit(functools.partial(train_step.player_gradients, method.loss))(
        params, state, batch, RNG, 0
    )
    assert {"absolute", "relative"} <= params["encoder"].keys() & state.keys()
    for name in ("local/bound", "prior/confusion"):
        np.testing.assert_allclose(step.metrics[name], plain.metrics[name], rtol=1e-5)
    assert step.losses["encoder"] > plain.losses["encoder"] + 1
    for name in ("absolute", "relative"):
        assert 0 <= step.metrics[f"{name}/accuracy"] < 0.5
    for part in ("encoder", "absolute", "relative"):
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient["encoder"][part])) > 0


def test_occlusion_changes_y_and_not_the_features_it_predicts(config, batch):
    method, spec = make(config, occlusion=True, gamma=0.0)
    step, params, state = run(method, batch)
    encoder = build.make("encoder", spec["encoder"])
    critic = build.make("local_critic", spec["local_critic"])

    @jax.jit
    def forward(own, state, images):
        """Scores of y of occluded images with places of intact ones; taps and state of these."""
        covered = augment.occlude(jax.random.fold_in(RNG, 1), images, fields=encoder.fields(32))
        hidden, _ = encoder.apply(own["encoder"], state["encoder"], covered, train=True)
        intact, stats = encoder.apply(own["encoder"], state["encoder"], images, train=True)
        local = intact["local"].reshape(6, -1, intact["local"].shape[-1])
        scores, _ = critic.all_pairs(own["local"], state["local"], hidden["y"], local, train=True)
        return scores, intact, stats

    scores, intact, stats = forward(params["encoder"], state, batch["images"][0])
    expected = infonce(np.asarray(scores, np.float64))
    assert step.metrics["local/bound"] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(step.features["y"], intact["y"], atol=1e-5)
    for ours, theirs in zip(
        jax.tree.leaves(step.state["encoder"]), jax.tree.leaves(stats), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_occlusion_needs_an_encoder_that_states_its_fields(config, batch):
    method, _ = make(config, occlusion=True)
    assert method.occlusion.fields(32) == (10, 4, -3)
    assert make(config)[0].occlusion is None
    flow = dict(name="real_nvp", couplings=1, widths=(4,), features=4)
    with pytest.raises(contracts.UserError, match="does not state which pixels its local features"):
        make(config, occlusion=True, encoder=flow)
    with pytest.raises(contracts.UserError, match="occlusion is 10; set it to True or False"):
        make(config, occlusion=10)
    wide = {**config("quickstart")["method"]["method"]["encoder"], "name": "alexnet64", "local": 4}
    images = jnp.zeros((2, 64, 64, 1))
    with pytest.raises(contracts.UserError, match="sees 45x45 of them, so that none"):
        make(config, occlusion=True, encoder=wide)[0].occlusion.occlude(RNG, images[:, :48, :48])


def test_fewer_locations_and_fewer_negatives(config, batch, initial):
    def step(**changes):
        return jax.jit(make(config, **changes)[0].loss)(*initial, batch, RNG, 0)

    few, one = step(sampled_locations=3), step(negatives=1)
    assert jnp.isfinite(few.losses["encoder"])
    assert one.metrics["local/bound"] <= np.log(2) + 1e-6
    with pytest.raises(contracts.UserError, match="1000000 negatives"):
        step(negatives=1_000_000)


def test_more_locations_than_there_are_and_weights_of_nothing(config, batch):
    method, _ = make(config, sampled_locations=99_999)
    with pytest.raises(contracts.UserError, match=r"99,999 and an image has \d+ of them; set it"):
        jax.eval_shape(method.init, RNG, batch)
    with pytest.raises(contracts.UserError, match="are all 0, so that nothing would be trained"):
        make(config, alpha=0.0, beta=0.0, gamma=0.0)


def test_a_task_needs_its_head(config):
    with pytest.raises(contracts.UserError, match=r"absolute and relative .*coordinates is None"):
        make(config, absolute=1.0, relative=1.0, coordinates=None)


WORDS = pytest.mark.parametrize(
    "words",
    [
        *("tasks=both", "layer=first", "bound=nwj", "bound=chi2,global", "prior=sigreg"),
        *("mixed,critic=concat,bound=smile", "prior=sphere", "mixed,bound=wasserstein"),
        *("global,bound=tuba,critic=dot,layer=first", "bound=i_alpha"),
    ],
)


def cifar(config, words):
    method = build.make(
        "method", config("dim_cifar10", f"{words},budget=smoke")["method"]["method"]
    )
    images = jax.random.normal(jax.random.key(0), (1, 4, 32, 32, 3))
    return method, dict(images=images, labels=jnp.zeros(4, int), index=jnp.arange(4))


@WORDS
def test_words_of_the_cifar_config(words, config):
    method, small = cifar(config, words)
    params, state = jax.eval_shape(method.init, RNG, small)
    step = jax.eval_shape(method.loss, params, state, small, RNG, 0)
    assert step.losses.keys() == params.keys()
    assert ("absolute" in params["encoder"]) == (words == "tasks=both")
    assert ("discriminator" in params) == (words != "prior=sigreg")
    compared = config("dim_cifar10", words)["evals"]["uniformity"].get("prior", "uniform")
    assert compared == {"prior=sigreg": "gaussian", "prior=sphere": "sphere"}.get(words, "uniform")


def test_critics_of_words(config):
    """Sizes of Tables 6 to 9 and of the released code; layers above the chosen map."""

    def critics(words, name="dim_cifar10"):
        method = config(name, words)["method"]["method"]
        return method["global_critic"], method["local_critic"]

    concat, dot = dict(name="concat", widths=(512, 512)), dict(name="encode_and_dot", width=2048)
    tail = dict(name="tail_and_dot", kernels=(4, 4), strides=(2, 2), pools=(0, 0), width=2048)
    tail |= dict(channels=(128, 256), hidden=(1024,))
    assert critics("") == (concat, dot | dict(norm_anchors=True))
    assert critics("critic=dot") == (tail, dot | dict(norm_anchors=True))
    assert critics("critic=concat") == (concat, concat)
    assert critics("bound=wasserstein") == 2 * (concat | dict(spectral_norm=True),)
    above, _ = critics("critic=dot,layer=first")
    assert above["channels"] == (64, 128, 256) and above["kernels"] == (4, 4, 4)
    large, _ = critics("critic=dot,budget=cpu", "dim_stl10")
    assert (large["channels"], large["pools"]) == ((128, 128, 64), (0, 0, 3))
    assert large["hidden"] == (1024, 1024)
    with pytest.raises(contracts.UserError, match=r"=wasserstein with critic=dot: .*=concat"):
        config("dim_cifar10", "bound=wasserstein,critic=dot")
    for words, published in {"critic=concat": False, "global,bound=jsd,critic=dot": True}.items():
        assert bool(config("dim_cifar10", words)["published"].get("mlp_paper")) == published


def test_a_global_critic_of_maps_scores_the_local_map(config):
    """By loops over its scores of the tap `local`; and the same step in blocks of 2 images."""
    spec = config("dim_cifar10", "global,critic=dot,prior=none,budget=smoke")["method"]["method"]
    dense, blocks = (build.make("method", {**spec, "block": size}) for size in (0, 2))
    encoder = build.make("encoder", spec["encoder"])
    critic = build.make("global_critic", spec["global_critic"])
    images = jax.random.normal(jax.random.key(1), (6, 32, 32, 3))
    small = dict(images=images[None], labels=jnp.zeros(6, int), index=jnp.arange(6))

    @jax.jit
    def everything(rng):
        params, state = dense.init(rng, small)
        modules = params["encoder"]
        taps, _ = encoder.apply(modules["encoder"], state["encoder"], images, train=True)
        given = (modules["global"], state["global"], taps["y"], taps["local"])
        scores, _ = critic.all_pairs(*given, train=True)
        steps = [
            train_step.player_gradients(method.loss, params, state, small, RNG, 0)
            for method in (dense, blocks)
        ]
        return scores, steps

    scores, ((gradient, step), (other, in_blocks)) = everything(RNG)
    assert scores.shape == (6, 6)
    expected = infonce(np.asarray(scores, np.float64)[..., None])
    assert step.metrics["global/bound"] == pytest.approx(expected, rel=1e-4)
    assert step.losses["encoder"] == pytest.approx(-expected, rel=1e-4)
    assert in_blocks.metrics["global/bound"] == pytest.approx(expected, rel=1e-4)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient))
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * largest)
    for network in gradient["encoder"].values():
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(network)) > 0.01 * largest


@pytest.mark.slow
@WORDS
def test_losses_of_words_of_the_cifar_config_are_finite(words, config):
    step, _, _ = run(*cifar(config, words))
    assert jnp.isfinite(step.losses["encoder"])


def test_a_layer_that_the_encoder_lacks(config):
    spec = config("quickstart")["method"]["method"]["encoder"]
    with pytest.raises(contracts.UserError, match="local=5 and the encoder 'dcgan32' has 3"):
        build.make("encoder", {**spec, "local": 5})
