"""BiGAN's losses against an independent computation, and which way each player pulls."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from dim_jax import build, contracts, data
from dim_jax.training import train_step

RNG = jax.random.key(2)


@pytest.fixture(scope="module")
def batch():
    split = data.load("digits", image_size=32).splits["train"]
    pixels = data.normalise(jnp.asarray(split.images[:8]), (0.5,), (0.5,)).repeat(3, axis=-1)
    return dict(images=pixels[None], labels=jnp.asarray(split.labels[:8]), index=jnp.arange(8))


def make(config, words="", **changes):
    spec = {**config("bigan", f"smoke{words}")["method"]["method"], **changes}
    return build.make("method", spec), spec


def pairs(spec, params, state, images):
    """((x, E(x)), (G(z), z)) of one step with the key `RNG`, and the function of their scores."""
    encoder, generator, net = (
        build.make(role, spec[role]) for role in ("encoder", "generator", "discriminator")
    )
    prior = build.make("prior", spec["prior"])

    @jax.jit
    def forward(own, state):
        taps, _ = encoder.apply(own["encoder"], state["encoder"], images, train=True)
        noise = jax.random.normal(jax.random.fold_in(RNG, 2), taps["y"].shape)
        z = prior.sample(jax.random.fold_in(RNG, 1), taps["y"].shape)
        made, _ = generator.apply(own["generator"], state["generator"], z, train=True)
        return taps, noise, z, made

    own = params["encoder"]
    taps, noise, z, made = forward(own, state)
    codes = np.asarray(taps["y"], np.float64)
    if spec["posterior"] == "gaussian":
        kernel, bias = (np.asarray(own["spread"]["linear"][part]) for part in ("kernel", "bias"))
        codes += np.exp(np.asarray(taps["fc"]) @ kernel + bias) * np.asarray(noise)
    if spec["prior"]["name"] == "uniform":
        codes = special.expit(codes)

    @jax.jit
    def score(image, code):
        return net.apply(params["discriminator"], {}, image[None], code[None], train=True)[0][0]

    return (images, jnp.float32(codes)), (made, z), score


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [
        ("deterministic", "gaussian"),
        ("gaussian", "uniform"),
        pytest.param("deterministic", "uniform", marks=pytest.mark.slow),
        pytest.param("gaussian", "gaussian", marks=pytest.mark.slow),
    ],
)
def test_losses_are_cross_entropies_of_the_scores(config, batch, posterior, prior):
    method, spec = make(config, f",posterior={posterior},prior={prior}", penalty=0.0)
    params, state = jax.jit(method.init)(RNG, batch)
    step = jax.jit(method.loss)(params, state, batch, RNG, 0)
    *both, score = pairs(spec, params, state, batch["images"][0])
    encoded, generated = (
        np.array([score(*pair) for pair in zip(*side, strict=True)], np.float64) for side in both
    )
    # Labels: 1 for pairs of the data, 0 for those of the prior; the other player swaps them.
    entropy = np.mean(np.logaddexp(0, -encoded)) + np.mean(np.logaddexp(0, generated))
    swapped = np.mean(np.logaddexp(0, encoded)) + np.mean(np.logaddexp(0, -generated))
    assert step.losses["discriminator"] == pytest.approx(entropy, rel=1e-5)
    assert step.losses["encoder"] == pytest.approx(swapped, rel=1e-5)
    assert abs(entropy - swapped) > 1e-3
    assert step.metrics["encoded/score"] == pytest.approx(encoded.mean(), rel=1e-4)
    assert step.metrics["generated/score"] == pytest.approx(generated.mean(), rel=1e-4)
    right = np.mean([*(encoded > 0), *(generated < 0)])
    assert step.metrics["discriminator/accuracy"] == pytest.approx(right)


@pytest.mark.parametrize(
    "posterior", [pytest.param("deterministic", marks=pytest.mark.slow), "gaussian"]
)
def test_the_penalty_is_the_slope_at_pairs_of_the_data(config, batch, posterior):
    words = f",posterior={posterior}"
    (plain, _), (penalised, spec) = (make(config, words, penalty=p) for p in (0.0, 1e4))
    params, state = jax.jit(plain.init)(RNG, batch)
    plain, step = (jax.jit(each.loss)(params, state, batch, RNG, 0) for each in (plain, penalised))
    of_data, _, score = pairs(spec, params, state, batch["images"][0])
    gradient = jax.jit(jax.grad(score, (0, 1)))
    slopes = [
        sum(np.sum(np.asarray(part, np.float64) ** 2) for part in gradient(*pair))
        for pair in zip(*of_data, strict=True)
    ]
    assert step.metrics["discriminator/penalty"] == pytest.approx(np.mean(slopes), rel=1e-4)
    added = step.losses["discriminator"] - plain.losses["discriminator"]
    assert added == pytest.approx(1e4 * np.mean(slopes), rel=1e-3)
    assert step.losses["encoder"] == plain.losses["encoder"]


@pytest.mark.slow
@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
def test_each_player_pulls_its_own_way(config, batch, posterior):
    """On one batch with the same codes: first the discriminator alone, then the other one alone."""
    method, _ = make(config, f",posterior={posterior}")
    params, state = jax.jit(method.init)(RNG, batch)
    descent = optax.adam(1e-2)

    @jax.jit
    def move(params, moments, moves):
        """A step of the players p with moves[p] = 1; the others have moves[p] = 0."""
        slopes, step = train_step.player_gradients(method.loss, params, state, batch, RNG, 0)
        slopes = {
            player: jax.tree.map(lambda slope, player=player: moves[player] * slope, each)
            for player, each in slopes.items()
        }
        changes, moments = descent.update(slopes, moments)
        accuracy = step.metrics["discriminator/accuracy"]
        return optax.apply_updates(params, changes), moments, accuracy

    def accuracies(player, count):
        nonlocal params
        moments = descent.init(params)
        moves = {each: float(each == player) for each in params}
        for _ in range(count):
            params, moments, accuracy = move(params, moments, moves)
            yield float(accuracy)

    rising = list(accuracies("discriminator", 40))
    falling = list(accuracies("encoder", 60))
    assert rising[0] < 0.8 and falling[0] > 0.9
    assert falling[-1] < 0.3


def test_a_drawn_posterior_is_seen_in_training_only(config, batch):
    method, _ = make(config, ",posterior=gaussian")
    params, state = jax.jit(method.init)(RNG, batch)
    wide = {**params, "encoder": {**params["encoder"]}}
    wide["encoder"]["spread"] = jax.tree.map(lambda leaf: leaf + 1, params["encoder"]["spread"])
    loss = jax.jit(method.loss)
    losses = [loss(each, state, batch, RNG, 0).losses["encoder"] for each in (params, wide)]
    assert losses[0] != losses[1]
    represent = jax.jit(method.represent)
    taps = [represent(each, state, batch["images"][0]) for each in (params, wide)]
    jax.tree.map(np.testing.assert_array_equal, *taps)


def test_what_it_can_make(config, batch):
    method, _ = make(config, ",prior=uniform")
    params, state = jax.jit(method.init)(RNG, batch)
    codes = method.generative.draw(jax.random.key(0), (5, 8))
    decode = jax.jit(method.generative.decode)
    images = decode(params, state, codes)
    assert images.shape == (5, 32, 32, 3) and np.abs(images).max() <= 1
    alone = decode(params, state, codes[3:4])
    np.testing.assert_allclose(images[3:4], alone, atol=1e-5)
    y = np.linspace(-3, 3, 8)[None]
    np.testing.assert_allclose(method.generative.code(jnp.float32(y)), special.expit(y), rtol=1e-5)


def test_only_the_published_form_stands_beside_published_numbers(config):
    for words, conv in (("", 62.57), ("deterministic,data=stl10", 71.53)):
        assert config("bigan", words)["published"]["mlp_paper"]["conv"] == conv
    for words in ("posterior=gaussian", "prior=uniform"):
        assert not any(config("bigan", words)["published"].values())
    assert config("bigan", "deterministic")["evals"]["uniformity"]["prior"] == "gaussian"
    assert "prior" not in config("bigan", "prior=uniform")["evals"]["uniformity"]


def test_mistakes(config, batch):
    with pytest.raises(contracts.UserError, match="posterior is 'normal'; set it to 'determini"):
        make(config, posterior="normal")
    small = dict(name="decoder", base=4, widths=(4,), shape=(28, 28, 3))
    method, _ = make(config, generator=small)
    with pytest.raises(contracts.UserError, match=r"28x28x3 and the data has 32x32x3.*shape"):
        jax.eval_shape(method.init, RNG, batch)
