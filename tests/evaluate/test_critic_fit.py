import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import bounds, contracts
from dim_jax.evaluate.measures import critic_fit
from dim_jax.nets import pure

SETTINGS = critic_fit.CriticFit(
    batch=100,
    steps=40,
    learning_rate=0.02,
    milestones=None,
    products=1,
    held_out=0.2,
    check_every=15,
    reported_products=3,
)
# T(x, y) = slope * x.y, one number to fit.
SLOPE = pure.Net(
    lambda key, x, y: ({"slope": jnp.zeros(())}, {}),
    lambda params, stats, x, y, train: (
        params["slope"] * jnp.einsum("nd,nmd->nm", x, y),
        stats,
    ),
)


def objective(scores, positives, state):
    return bounds.donsker_varadhan(scores, positives), state


PROBLEM = critic_fit.Problem(SLOPE, critic_fit.rolled, objective)


def pairs(count, correlation, seed=0):
    x, noise = np.random.default_rng(seed).normal(size=(2, count, 2))
    y = correlation * x + np.sqrt(1 - correlation**2) * noise
    return x.astype(np.float32), y.astype(np.float32)


def test_rolled_columns_hold_the_joint_pair_first_and_never_again():
    x, y = pairs(7, 0.5)
    same, columns = critic_fit.rolled(jax.random.key(0), x, y, 4)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(columns[:, 0], y)
    for row in range(7):
        others = {tuple(np.asarray(other)) for other in columns[row, 1:]}
        assert len(others) == 4 and tuple(y[row]) not in others


def test_value_is_donsker_varadhan_over_all_blocks():
    # 250 pairs are blocks of 84, 83 and 83; the product draws of each stay inside.
    x, y = pairs(250, 0.7)
    params = {"slope": jnp.asarray(0.3)}
    key = jax.random.key(1)
    found = critic_fit.value(PROBLEM, params, (x, y), SETTINGS, key)
    order = np.asarray(jax.random.permutation(key, 250))
    joint, product = [], []
    for block in np.array_split(order, 3):
        joint.append(0.3 * (x[block] * y[block]).sum(1))
        product += [0.3 * (x[block] * np.roll(y[block], k, 0)).sum(1) for k in (1, 2, 3)]
    joint, product = np.concatenate(joint), np.concatenate(product)
    assert len(product) == 750
    assert found == pytest.approx(joint.mean() - np.log(np.exp(product).mean()), abs=1e-5)


@pytest.mark.slow
def test_the_slope_of_gaussians_is_found():
    found = critic_fit.fitted(PROBLEM, pairs(4000, 0.5), SETTINGS._replace(steps=150), 0)
    grid = np.linspace(0.0, 0.9, 91)  # the best slope of this family on many more pairs
    many = pairs(100_000, 0.5, seed=1)
    values = [
        float(critic_fit.value(PROBLEM, {"slope": slope}, many, SETTINGS, jax.random.key(0)))
        for slope in jnp.asarray(grid[::10])
    ]
    assert float(found["slope"]) == pytest.approx(grid[::10][np.argmax(values)], abs=0.08)


def test_without_dependence_the_first_critic_may_be_the_best():
    x, _ = pairs(60, 0.0)
    _, y = pairs(60, 0.0, seed=1)
    wild = SETTINGS._replace(learning_rate=5.0, milestones=())  # the rate never falls
    held = critic_fit.estimate(PROBLEM, (x, y), pairs(500, 0.0, seed=2), wild, 0)
    last = critic_fit.estimate(
        PROBLEM, (x, y), pairs(500, 0.0, seed=2), wild._replace(held_out=0.0), 0
    )
    assert abs(held) < 0.05 < abs(last)


def test_the_held_out_pairs_are_not_trained_on():
    settings = SETTINGS._replace(held_out=0.5)
    train = pairs(200, 0.5)
    held = np.random.default_rng([0, 4]).permutation(200)[:100]
    changed = tuple(array.copy() for array in train)
    changed[1][held] *= 1.01  # ranks of the critics may stay, their training must
    last = [critic_fit.fitted(PROBLEM, each, settings, 0)["slope"] for each in (train, changed)]
    assert last[0] == last[1] != 0


def test_rates_fall_at_the_milestones_or_along_a_cosine():
    def rates(settings):
        transformation = critic_fit._optimizer(settings)
        params = jnp.zeros(())
        state, sizes = transformation.init(params), []
        for _ in range(settings.steps):
            update, state = transformation.update(jnp.ones(()), state, params)
            sizes.append(-float(update))
        return np.array(sizes)

    falling = rates(SETTINGS._replace(milestones=(10, 20)))
    np.testing.assert_allclose(falling[[9, 10, 20]], [0.02, 0.002, 0.0002], rtol=1e-3)
    cosine = rates(SETTINGS) / 0.02
    np.testing.assert_allclose(cosine, (1 + np.cos(np.pi * np.arange(40) / 40)) / 2, rtol=1e-3)


def test_too_few_pairs_and_values_that_are_not_finite():
    x, y = pairs(50, 0.5)
    with pytest.raises(contracts.UserError, match="3 test images are too few"):
        critic_fit.estimate(PROBLEM, (x, y), (x[:3], y[:3]), SETTINGS, 0)
    few = (x[:4], y[:4])
    assert np.isfinite(critic_fit.estimate(PROBLEM, few, few, SETTINGS, 0))
    with pytest.raises(contracts.UserError, match="value is nan on 50 images"):
        critic_fit.estimate(PROBLEM, (x, y), (x * np.nan, y), SETTINGS, 0)
