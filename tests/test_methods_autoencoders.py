"""AE, VAE and AAE: the losses from their parts, the bounds of the likelihood, mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from dim_jax import build, contracts, losses
from dim_jax.methods import autoencoders
from dim_jax.nets import pure

N, D = 8, 3
SHAPE = (4, 4, 1)
RNG = jax.random.key(2)


def linear_encoder() -> pure.Net:
    """Flattened pixels times a matrix, and fc the pixels themselves: no statistics."""

    def init(rng, images):
        return {"w": jax.random.normal(rng, (images[0].size, D)) / 4}, {}

    def apply(params, stats, images, *, train, rng=None):
        flat = images.reshape(len(images), -1)
        return {"conv": images, "fc": flat, "y": flat @ params["w"]}, stats

    return pure.Net(init, apply)


def linear_decoder(shape=SHAPE) -> pure.Net:
    size = int(np.prod(shape))

    def init(rng, codes):
        return {"w": jax.random.normal(rng, (codes.shape[-1], size)) / 2}, {}

    def apply(params, stats, codes, *, train, rng=None):
        return (codes @ params["w"]).reshape(-1, *shape), stats

    return pure.Net(init, apply)


def make(**changes) -> contracts.Method:
    plain = dict(
        encoder=linear_encoder(),
        decoder=linear_decoder(),
        reconstruction=1.0,
        posterior="deterministic",
        beta=0.0,
        gamma=0.0,
        prior=None,
        discriminator=None,
        penalty=0.0,
    )
    return autoencoders.make(**(plain | changes))


def adversarial(prior: str, penalty: float = 0.5) -> contracts.Method:
    return make(
        reconstruction=0.1,
        gamma=2.0,
        prior=build.make("prior", prior),
        discriminator=build.make("discriminator", dict(name="discriminator", widths=(16, 8))),
        penalty=penalty,
    )


@pytest.fixture(scope="module")
def batch() -> contracts.Batch:
    images = jax.random.uniform(jax.random.key(0), (1, N, *SHAPE), minval=-1.0)
    return contracts.Batch(images=images, labels=jnp.zeros(N, int), index=jnp.arange(N))


def weights(params):
    own = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["encoder"])
    return own["encoder"]["w"], own["decoder"]["w"]


def test_the_autoencoder_minimises_the_squared_error(batch):
    method = make()
    params, state = jax.jit(method.init)(RNG, batch)
    step = jax.jit(method.loss)(params, state, batch, RNG, 0)
    x = np.asarray(batch["images"][0], np.float64).reshape(N, -1)
    down, up = weights(params)
    errors = ((x @ down @ up - x) ** 2).sum(axis=1)
    np.testing.assert_allclose(step.losses["encoder"], errors.mean(), rtol=1e-5)
    np.testing.assert_allclose(step.metrics["reconstruction/error"], errors.mean() / 16, rtol=1e-5)
    assert method.generative.draw is None and method.generative.log_weights is None


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_the_variational_loss_is_the_mean_over_its_draws(batch, beta):
    """In expectation: error of the mean, plus what the noise adds through a linear decoder."""
    method = make(posterior="gaussian", beta=beta)
    params, state = jax.jit(method.init)(RNG, batch)
    rngs = jax.random.split(RNG, 4000)
    step = jax.jit(jax.vmap(lambda rng: method.loss(params, state, batch, rng, 0)))(rngs)
    found = step.losses["encoder"]
    x = np.asarray(batch["images"][0], np.float64).reshape(N, -1)
    down, up = weights(params)
    affine = params["encoder"]["deviation"]["linear"]
    log_deviation = x @ np.asarray(affine["kernel"]) + np.asarray(affine["bias"])
    variance = np.exp(2 * log_deviation)
    errors = ((x @ down @ up - x) ** 2).sum(axis=1) + variance @ (up**2).sum(axis=1)
    rate = (variance + (x @ down) ** 2 - 1 - 2 * log_deviation).sum(axis=1) / 2
    expected = (errors + beta * rate).mean()
    assert abs(np.mean(found) - expected) < 5 * np.std(found) / np.sqrt(len(rngs))
    np.testing.assert_allclose(step.metrics["rate"], rate.mean(), rtol=1e-5)
    of_images = jax.jit(method.generative.rate)(params, state, batch["images"][0])
    np.testing.assert_allclose(of_images, rate, rtol=1e-4)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_bounds_of_the_evidence_of_a_linear_model(batch, weight):
    """The evidence is known: ELBO < importance-weighted bound < it, and many draws reach it."""
    method = make(posterior="gaussian", beta=1.0, reconstruction=weight)
    params, state = jax.jit(method.init)(RNG, batch)
    images = batch["images"][0]
    x = np.asarray(images, np.float64).reshape(N, -1)
    _, up = weights(params)
    covariance = up.T @ up + np.eye(16) / (2 * weight)
    evidence = stats.multivariate_normal(np.zeros(16), covariance).logpdf(x)
    weigh = jax.jit(method.generative.log_weights, static_argnums=4)
    logs = np.asarray(weigh(params, state, RNG, images, 20_000), np.float64)
    assert logs.shape == (20_000, N)
    bound = special.logsumexp(logs, axis=0) - np.log(len(logs))
    few = special.logsumexp(logs.reshape(-1, 10, N), axis=1).mean(axis=0) - np.log(10)
    assert np.all(logs.mean(axis=0) < few) and np.all(few < evidence + 0.05)
    np.testing.assert_allclose(bound, evidence, atol=0.15)


@pytest.mark.parametrize("prior", ["gaussian", "uniform"])
def test_the_adversarial_losses_from_the_discriminators_scores(batch, prior):
    method = adversarial(prior, penalty=0.0)
    params, state = jax.jit(method.init)(RNG, batch)
    step = jax.jit(method.loss)(params, state, batch, RNG, 0)
    x = np.asarray(batch["images"][0], np.float64).reshape(N, -1)
    down, up = weights(params)
    codes = special.expit(x @ down) if prior == "uniform" else x @ down
    assert method.generative.code(jnp.asarray(x @ down)) == pytest.approx(codes, rel=1e-5)
    net = build.make("discriminator", dict(name="discriminator", widths=(16, 8)))
    logits, _ = net.apply(params["discriminator"], {}, jnp.asarray(codes), train=True)
    confusion = np.log1p(np.exp(-np.asarray(logits, np.float64))).mean()
    error = ((codes @ up - x) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(step.losses["encoder"], 0.1 * error + 2 * confusion, rtol=1e-5)
    np.testing.assert_allclose(step.metrics["prior/confusion"], confusion, rtol=1e-5)


def test_the_penalty_is_on_samples_of_the_prior(batch):
    """It adds half the squared slope there, and nothing to the encoder's loss."""
    plain, smooth = adversarial("gaussian", 0.0), adversarial("gaussian", 0.5)
    params, state = jax.jit(plain.init)(RNG, batch)
    before, after = (
        jax.jit(method.loss)(params, state, batch, RNG, 0).losses for method in (plain, smooth)
    )
    net = build.make("discriminator", dict(name="discriminator", widths=(16, 8)))
    real = smooth.generative.draw(jax.random.fold_in(RNG, 2), (N, D))
    slopes = jax.vmap(jax.grad(lambda z: net.apply(params["discriminator"], {}, z, train=True)[0]))
    expected = 0.5 * np.mean(np.sum(np.asarray(jax.jit(slopes)(real)) ** 2, axis=1))
    added = after["discriminator"] - before["discriminator"]
    np.testing.assert_allclose(added, expected, rtol=1e-3)
    assert after["encoder"] == before["encoder"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(posterior="normal"), "unknown posterior 'normal'"),
        (dict(beta=1.0), "beta is 1 .* deterministic posterior"),
        (
            dict(posterior="gaussian", beta=1.0, gamma=1.0),
            "gamma is 1 and the posterior is gaussian",
        ),
        (dict(gamma=1.0), "the prior or the discriminator is None; set both or gamma=0"),
    ],
)
def test_mistakes_are_one_sentence(changes, message):
    with pytest.raises(contracts.UserError, match=message):
        make(**changes)


def test_a_decoder_of_another_size_is_refused(batch):
    with pytest.raises(
        contracts.UserError, match=r"decoder makes images of 2x8x1 .* set .* shape .*\(4, 4, 1\)"
    ):
        jax.eval_shape(make(decoder=linear_decoder((2, 8, 1))).init, RNG, batch)


def test_the_rate_falls_as_beta_grows():
    """Trained on the same images by the same steps."""
    images = jax.random.normal(jax.random.key(1), (1, 64, *SHAPE))
    batch = contracts.Batch(images=images, labels=jnp.zeros(64, int), index=jnp.arange(64))
    rates = []
    for beta in (0.1, 1.0, 10.0):
        method = make(posterior="gaussian", beta=beta)
        params, state = jax.jit(method.init)(RNG, batch)

        @jax.jit
        def descend(params, rng, method=method, state=state):
            gradient = jax.grad(
                lambda params: method.loss(params, state, batch, rng, 0).losses["encoder"]
            )(params)
            return jax.tree.map(lambda p, g: p - 2e-3 * g, params, gradient)

        for number in range(300):
            params = descend(params, jax.random.fold_in(RNG, number))
        rate = jax.jit(method.generative.rate)(params, state, images[0])
        rates.append(float(np.mean(rate)))
    assert rates[0] > rates[1] > rates[2] >= 0
    assert losses.gaussian_kl(jnp.ones((1, 1)), jnp.zeros((1, 1)))[0] == pytest.approx(0.5)


def test_codes_are_drawn_from_the_posterior(batch):
    method = make(posterior="gaussian", beta=1.0)
    params, state = jax.jit(method.init)(RNG, batch)
    images = batch["images"][0]
    draw = jax.jit(jax.vmap(lambda rng: method.generative.infer(params, state, rng, images)))
    drawn = np.asarray(draw(jax.random.split(RNG, 20_000)), np.float64)
    mean, variance = drawn.mean(axis=0), drawn.var(axis=0)
    expected = jax.jit(method.represent)(params, state, images)["y"]
    np.testing.assert_allclose(mean, expected, atol=0.05)
    rate = (variance + mean**2 - 1 - np.log(variance)).sum(axis=1) / 2
    of_images = jax.jit(method.generative.rate)(params, state, images)
    np.testing.assert_allclose(of_images, rate, rtol=0.03, atol=0.02)
    assert make().generative.infer is None


def test_samples_are_of_codes_drawn_from_the_prior():
    """The normal law of a VAE, the uniform one that an AAE is matched to; an AE has none."""
    laws = {
        stats.norm(): make(posterior="gaussian", beta=1.0),
        stats.uniform(): adversarial("uniform"),
    }
    for law, method in laws.items():
        codes = np.asarray(method.generative.draw(RNG, (4000, D)), np.float64)
        assert codes.shape == (4000, D)
        assert stats.kstest(codes.ravel(), law.cdf).pvalue > 1e-3
    assert make().generative.draw is None
