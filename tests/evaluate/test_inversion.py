"""Inversion of pairs that are inverses, or not, by construction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.data import facts
from dim_jax.evaluate import reference_representations, suite
from dim_jax.evaluate.measures import inversion
from dim_jax.losses import priors

SIZE = 64  # pixels of a digit, and coordinates of a code
NAMES = ("code_recovery", "code_recovery_chance", "code_error", "image_error", "image_error_random")


def normalise(images):
    return facts.normalise(images, (0.5,), (0.25,))


def linear_pair(prior: priors.Prior, inverse=lambda codes: codes, scale=1.0) -> contracts.Frozen:
    """y = scale * A x and G(code) = A^-1 inverse(code), for a random orthogonal A."""
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(SIZE, SIZE)))[0].astype(np.float32)

    def represent(params, state, images):
        return {"y": params * images.reshape(len(images), -1) @ matrix}

    def decode(params, state, codes):
        return (inverse(codes) @ matrix.T).reshape(-1, 8, 8, 1)

    method = contracts.Method(
        None, None, represent, contracts.Generative(decode, prior.squash, prior.sample)
    )
    params = jnp.float32(scale)

    @jax.jit
    def represent_bytes(images):
        return represent(params, {}, normalise(images))

    return contracts.Frozen(represent_bytes, method, params, {}, normalise)


def measured(frozen, digits, rng):
    found = inversion.evaluate(frozen, digits.splits, rng)
    assert set(found) == {f"y/{name}" for name in NAMES}
    return [found[f"y/{name}"] for name in NAMES]


@pytest.mark.parametrize(
    ("prior", "inverse"),
    [
        (priors.gaussian(), lambda codes: codes),
        (priors.uniform(), lambda codes: jnp.log(codes) - jnp.log1p(-codes)),
    ],
)
def test_inverses(digits, rng, prior, inverse):
    frozen = linear_pair(prior, inverse)
    recovery, chance, code_error, image_error, random = measured(frozen, digits, rng)
    assert recovery == pytest.approx(1, abs=1e-4)
    assert abs(chance) < 4 / np.sqrt(SIZE * len(digits.splits["test"].images))
    assert code_error == pytest.approx(0, abs=1e-4)
    assert image_error == pytest.approx(0, abs=1e-4)
    pixels = normalise(digits.splits["test"].images).astype(np.float64)
    # Two different images of n: twice the variance of each pixel, with n - 1.
    assert random == pytest.approx(2 * pixels.var(axis=0, ddof=1).mean(), rel=0.05)


def test_a_pair_that_is_off_by_a_factor(digits, rng):
    """E(G(z)) = 2 z: with |z|^2 = d the error is (2-1)^2 d, and against other z (2^2 + 1) d."""
    recovery, _, code_error, image_error, random = measured(
        linear_pair(priors.gaussian(), scale=2.0), digits, rng
    )
    pixels = normalise(digits.splits["test"].images).astype(np.float64)
    assert recovery == pytest.approx(1, abs=2e-3)  # cosines are from the mean of the draws
    assert code_error == pytest.approx(1 / 5, rel=0.02)
    assert image_error == pytest.approx(np.mean(pixels**2), rel=1e-4)
    mean, n = pixels.mean(axis=0), len(pixels)
    others = (n * np.mean(mean**2) - np.mean(pixels**2)) / (n - 1)
    assert random == pytest.approx(5 * np.mean(pixels**2) - 4 * others, rel=0.05)


def test_an_encoder_that_sees_nothing_is_at_chance(digits, rng):
    blind = linear_pair(priors.gaussian(), lambda codes: jnp.roll(codes, 2, axis=0))
    recovery, _, code_error, *_ = measured(blind, digits, rng)
    assert abs(recovery) < 0.02
    assert code_error == pytest.approx(1, rel=0.03)
    still = linear_pair(priors.gaussian(), scale=0.0)
    assert measured(still, digits, rng)[2] == pytest.approx(1, rel=0.03)


def test_another_image_is_never_the_same_one():
    for count in (2, 3, 50):
        others = inversion._others(jax.random.key(count), count)
        assert sorted(others) == list(range(count))
        assert not np.any(others == np.arange(count))


def test_rows_of_a_suite(digits, rng):
    evals = {"inversion": {"name": "inversion"}}
    suite.check(evals, digits)
    pair = linear_pair(priors.gaussian())
    shown = {"trained": pair, "untrained": pair, "pixels": reference_representations.pixels()}
    rows, figures = suite.run(evals, shown, digits, rng, lambda line: None)
    assert [(row["representation"], row["metric"]) for row in rows] == [
        (name, metric) for name in ("trained", "untrained") for metric in NAMES
    ]
    assert {(row["tap"], row["dim"]) for row in rows} == {("y", SIZE)} and figures == []


def test_mistakes(encoder, digits, rng):
    with pytest.raises(contracts.UserError, match="this method cannot; remove it from evals"):
        inversion.evaluate(encoder, digits.splits, rng)
    pair = linear_pair(priors.gaussian())
    drawless = pair.method.generative._replace(draw=None)
    with pytest.raises(contracts.UserError, match="this method cannot"):
        method = pair.method._replace(generative=drawless)
        inversion.evaluate(pair._replace(method=method), digits.splits, rng)
    one = {"test": digits.splits["test"]._replace(images=digits.splits["test"].images[:1])}
    with pytest.raises(contracts.UserError, match=r"only one; set a larger data.test_split"):
        inversion.evaluate(pair, one, rng)
