"""GANs and the generator of two Gaussians, against losses and slopes computed in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dim_jax import build, contracts
from dim_jax.losses import generation
from dim_jax.nets import generators

RNG = jax.random.key(3)
POINTS = np.random.default_rng(0).normal(size=(16, 1, 1, 2)).astype(np.float32)
BATCH = dict(images=POINTS[None], labels=np.zeros(16, np.int32), index=np.arange(16))
NETS = dict(
    encoder=dict(name="mlp", widths=(5,)),
    generator=dict(name="mlp_generator", widths=(6,), shape=(1, 1, 2)),
    prior=dict(name="gaussian"),
    dimensions=3,
)
GAN = dict(name="gan", objective="non_saturating", regulariser="none", penalty=0.0)
GAN |= dict(convention="half", **NETS)
IMPLICIT = dict(
    **dict(name="implicit_generator", targets=(1.0, -1.0), penalty=0.0, convention="half"),
    **NETS,
    discriminator=dict(name="discriminator", widths=(4,)),
)


def stepped(spec, **changes):
    method = build.make("method", {**spec, **changes})
    params, state = method.init(jax.random.key(1), BATCH)
    return method, params, state, method.loss(params, state, BATCH, RNG, 0)


def drawn(method, params, state):
    codes = method.generative.draw(jax.random.fold_in(RNG, 0), (16, 3))
    return np.asarray(method.generative.decode(params, state, codes), np.float64)


def scores(method, params, state, images) -> np.ndarray:
    taps = method.represent(params, state, jnp.float32(images))
    return np.asarray(taps["y"], np.float64)[:, 0]


def slopes(method, params, state, images) -> np.ndarray:
    """|dy / dx| of every image, one after the other."""

    def score(image):
        return method.represent(params, state, image[None])["y"][0, 0]

    gradients = jax.lax.map(jax.grad(score), jnp.float32(images))
    return np.linalg.norm(np.asarray(gradients, np.float64).reshape(len(images), -1), axis=1)


@pytest.mark.parametrize("objective", ["non_saturating", "least_squares", "wasserstein"])
def test_losses_of_the_gan_are_those_of_its_scores(objective):
    changes = dict(objective=objective)
    if objective == "wasserstein":
        changes |= dict(regulariser="lipschitz", penalty=1e-9)
    method, params, state, step = stepped(GAN, **changes)
    assert step.losses.keys() == {"encoder", "generator"}
    real = scores(method, params, state, POINTS)
    fake = scores(method, params, state, drawn(method, params, state))
    expected = {
        "non_saturating": (
            np.logaddexp(0, -fake).mean(),
            np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean(),
        ),
        "least_squares": (
            np.mean((fake - 1) ** 2) / 2,
            (np.mean((real - 1) ** 2) + np.mean(fake**2)) / 2,
        ),
        "wasserstein": (-fake.mean(), fake.mean() - real.mean()),
    }[objective]
    assert step.losses["generator"] == pytest.approx(expected[0], rel=1e-5)
    assert step.losses["encoder"] == pytest.approx(expected[1], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("convention", "factor"), [("half", 0.5), ("full", 1.0)])
def test_the_contractive_penalty_has_two_conventions(convention, factor):
    changes = dict(regulariser="contractive", convention=convention)
    *_, without = stepped(GAN, **changes)
    method, params, state, step = stepped(GAN, penalty=10.0, **changes)
    expected = factor * np.mean(slopes(method, params, state, POINTS) ** 2)
    assert step.metrics["encoder/penalty"] == pytest.approx(expected, rel=1e-4)
    added = step.losses["encoder"] - without.losses["encoder"]
    assert added == pytest.approx(10 * float(step.metrics["encoder/penalty"]), rel=1e-4)
    assert step.losses["generator"] == without.losses["generator"]


def test_the_penalty_of_wgan_is_between_real_and_generated_images():
    method, params, state, step = stepped(
        GAN, objective="wasserstein", regulariser="lipschitz", penalty=10.0
    )
    weights = np.asarray(jax.random.uniform(jax.random.fold_in(RNG, 1), (16,)), np.float64)
    fake, weights = drawn(method, params, state), weights[:, None, None, None]
    steepness = slopes(method, params, state, weights * POINTS + (1 - weights) * fake)
    assert step.metrics["encoder/penalty"] == pytest.approx(np.mean((steepness - 1) ** 2), rel=1e-4)
    assert step.metrics["encoder/slope"] == pytest.approx(steepness.max(), rel=1e-4)


def test_losses_of_two_gaussians_are_those_of_their_discriminators():
    method, params, state, step = stepped(IMPLICIT)
    real = scores(method, params, state, POINTS)
    fake = scores(method, params, state, drawn(method, params, state))
    net = build.make("discriminator", IMPLICIT["discriminator"])

    def logits(player, codes):
        outputs, _ = net.apply(params[player], {}, jnp.float32(codes)[:, None], train=True)
        return np.asarray(outputs, np.float64)

    confusions = []
    sides = [("discriminator_real", 1.0, real, 1), ("discriminator_generated", -1.0, fake, 2)]
    for player, mean, codes, purpose in sides:
        wanted = mean + jax.random.normal(jax.random.fold_in(RNG, purpose), (16, 1))[:, 0]
        on_wanted, on_codes = logits(player, wanted), logits(player, codes)
        entropy = np.logaddexp(0, -on_wanted).mean() + np.logaddexp(0, on_codes).mean()
        assert step.losses[player] == pytest.approx(entropy, rel=1e-5)
        confusions.append(np.logaddexp(0, -on_codes).mean())
    assert step.losses["encoder"] == pytest.approx(sum(confusions), rel=1e-5)
    assert step.losses["generator"] == pytest.approx((fake.mean() - 1) ** 2, rel=1e-5)
    assert step.metrics["generated/deviation"] == pytest.approx(fake.std(), rel=1e-4)


def test_the_encoder_of_two_gaussians_is_contracted_at_real_and_generated_images():
    method, params, state, step = stepped(IMPLICIT, penalty=2.0, convention="full")
    *_, without = stepped(IMPLICIT)
    both = np.concatenate([POINTS, drawn(method, params, state)])
    expected = np.mean(slopes(method, params, state, both) ** 2)
    assert step.metrics["encoder/penalty"] == pytest.approx(expected, rel=1e-4)
    added = step.losses["encoder"] - without.losses["encoder"]
    assert added == pytest.approx(2 * float(step.metrics["encoder/penalty"]), rel=1e-4)


@pytest.mark.parametrize(
    ("convention", "words"),
    [("half", "half of the mean squared slope"), ("full", "without the half")],
)
def test_the_report_says_which_penalty_and_which_targets(convention, words):
    gan = build.make(
        "method", GAN | dict(regulariser="contractive", penalty=10.0, convention=convention)
    )
    assert len(gan.notes) == 1 and "10 times" in gan.notes[0] and words in gan.notes[0]
    assert build.make("method", GAN).notes == ()
    implicit = build.make("method", IMPLICIT | dict(penalty=1.0, convention=convention))
    assert "0.317 of their mass" in implicit.notes[0] and words in implicit.notes[1]


@pytest.mark.parametrize("targets", [(1.0, -1.0), (2.5, -2.5), (0.3, 0.0)])
def test_overlap_is_the_integral_of_the_smaller_density(targets):
    grid = np.linspace(-12, 12, 200_001)
    lower = np.minimum(*(stats.norm.pdf(grid, mean) for mean in targets))
    assert generation.overlap(targets) == pytest.approx(np.trapezoid(lower, grid), rel=1e-6)


def test_an_averaged_generator_trains_its_parameters_and_is_evaluated_at_their_average():
    plain = generators.mlp_generator(widths=(4,), shape=(1, 1, 2))
    net = generators.averaged(generator=plain, decay=0.75)
    codes = jax.random.normal(RNG, (5, 3))
    params, state = net.init(RNG, codes)
    moved = jax.tree.map(lambda leaf: leaf + 1.0, params)
    outputs, state = net.apply(moved, state, codes, train=True)
    np.testing.assert_array_equal(outputs, plain.apply(moved, {}, codes, train=True)[0])
    expected = jax.tree.map(lambda leaf: leaf + 0.25, params)
    at_average, kept = net.apply(moved, state, codes, train=False)
    np.testing.assert_allclose(
        at_average, plain.apply(expected, {}, codes, train=False)[0], rtol=1e-5
    )
    jax.tree.map(np.testing.assert_array_equal, kept, state)


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (IMPLICIT, dict(targets=(1.0, 1.0)), "targets are both 1, .* set two different means"),
        (GAN, dict(regulariser="smooth"), "regulariser is 'smooth'; set it to 'none' or"),
        (GAN, dict(objective="hinge"), "objective is 'hinge'; set it to"),
        (
            GAN,
            dict(regulariser="contractive", convention="x"),
            "convention is 'x'; set it to 'half' or",
        ),
        (GAN, dict(objective="wasserstein"), "nothing bounds the critic's scores; set regulari"),
        (GAN, dict(encoder=dict(name="mlp", widths=(4,), features=2)), "tap y .* has the width 2"),
        (
            GAN,
            dict(generator=dict(name="mlp_generator", widths=(), shape=(1, 2, 2))),
            "generator makes images of 1x2x2 and the data has 1x1x2",
        ),
    ],
)
def test_mistakes_are_one_sentence(spec, changes, message):
    with pytest.raises(contracts.UserError, match=message):
        stepped(spec, **changes)
