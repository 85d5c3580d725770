"""Critics trained by bounds: what is read out, what a step does, and who shares a training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dim_jax import contracts
from experiments import critic_training


def draw(key, rho):
    x, noise = jax.random.normal(key, (2, 16, 2))
    return x, rho * x + jnp.sqrt(1 - rho**2) * noise


SMALL = critic_training.separable(widths=(16,), embedding=4)


def test_values_are_those_of_the_formulas_in_float64():
    scores = np.random.default_rng(0).normal(0, 3, (5, 5))
    log_a = np.arange(5) / 3
    joint, others = np.diagonal(scores), scores[~np.eye(5, dtype=bool)]
    nwj = 1 + joint.mean() - np.exp(others).mean()

    def smile(tau):
        return joint.mean() - np.log(np.exp(np.clip(others, -tau, tau)).mean())

    def tuba(scores):
        others = scores[~np.eye(5, dtype=bool)]
        return 1 + np.diagonal(scores).mean() - np.exp(others).mean()

    def interpolated(alpha, log_a):
        """The loops of Poole et al. 2019, with y on the columns."""
        weights, first, second = np.exp(scores), [], []
        for j in range(5):
            for k in (k for k in range(5) if k != j):
                without = np.delete(weights, k, axis=0).mean(axis=0)
                mixed = alpha * without + (1 - alpha) * np.exp(log_a)
                first.append(scores[j, j] - np.log(mixed[j]))
                second.append(weights[j, k] / mixed[k])
        return 1 + np.mean(first) - np.mean(second)

    zero = np.zeros(5)
    wanted = {
        "infonce": np.mean(joint - np.log(np.exp(scores).mean(axis=1))),
        **{"nwj": nwj, "js_nwj": nwj, "tuba": tuba(scores - log_a)},
        **{name: smile(np.inf) for name in ("mine", "donsker_varadhan", "smile_inf")},
        **{"smile_1": smile(1), "smile_5": smile(5)},
        **{f"interpolated_{alpha}": interpolated(alpha, log_a) for alpha in (0.01, 0.5, 0.99)},
        **{f"interpolated_{alpha}_unit": interpolated(alpha, zero) for alpha in (0.01, 0.5, 0.99)},
        "difference_of_entropies": joint.mean() - log_a.mean(),
    }
    estimators = {
        name: each for name, each in critic_training.ESTIMATORS.items() if name != "jensen_shannon"
    }

    @jax.jit
    def measure(scores, log_a):
        return {
            name: each.value(scores, log_a if _learns(each) else jnp.zeros(5))
            for name, each in estimators.items()
        }

    measured = measure(scores, log_a)
    assert measured.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(measured[name], value, rtol=2e-5, err_msg=name)


def _learns(estimator):
    return critic_training.OBJECTIVES[estimator.objective].learns_baseline


def test_estimators_of_one_objective_share_its_training():
    shared = {"jensen_shannon", "js_nwj", "smile_1", "smile_5", "smile_inf"}
    assert {*critic_training.estimators_of("jensen_shannon")} == shared
    assert critic_training.estimators_of("mine") == ("mine",)
    for name in critic_training.ESTIMATORS.keys() & critic_training.OBJECTIVES.keys():
        assert critic_training.ESTIMATORS[name].objective == name


def test_training_is_adam_along_the_gradient_of_the_objective():
    """Values read out beside it, with the gradients of other bounds, leave it alone."""
    trainer = critic_training.trainer(SMALL, "jensen_shannon", draw, learning_rate=0.01)
    state = critic_training.start(trainer, jax.random.key(1), 0.9)

    @jax.jit
    def by_hand(state):
        x, y = draw(jax.random.split(state.key)[1], 0.9)

        def loss(params):
            scores, _ = critic_training.scores_and_baseline(trainer, params, x, y)
            joint = jnp.diagonal(scores)
            others = jax.nn.softplus(scores).sum() - jax.nn.softplus(joint).sum()
            return jax.nn.softplus(-joint).mean() + others / (len(x) * (len(x) - 1))

        def step(value, slope):
            return value - trainer.learning_rate * slope / (jnp.abs(slope) + 1e-8)

        return jax.tree.map(step, state.params, jax.grad(loss)(state.params))

    wanted, values = by_hand(state), []
    for number in range(200):
        state, value = critic_training.train(trainer, state, 0.9, 1)
        values.append(value["js_nwj"][0])
        if number == 0:
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), state.params, wanted
            )
    assert value.keys() == {"jensen_shannon", "js_nwj", "smile_1", "smile_5", "smile_inf"}
    # 1.66 nats, which a lower bound of small batches may pass by chance.
    assert np.mean(values[:10]) < 0.3 < 0.8 < np.mean(values[-50:]) < 1.8


@pytest.mark.slow
def test_a_baseline_is_trained_and_measuring_does_not_train():
    trainer = critic_training.trainer(SMALL, "tuba", draw, learning_rate=0.01)
    start = critic_training.start(trainer, jax.random.key(0), 0.9)
    assert start.params.keys() == {"critic", "baseline"}
    state, values = critic_training.train(trainer, start, 0.9, 300)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, start.params)
    assert all(jax.tree.leaves(moved["baseline"]))
    assert values["tuba"][:20].mean() < 0.3 < 0.7 < values["tuba"][-100:].mean() < 1.8
    measured, held_out = critic_training.train(trainer, state, 0.9, 300, learn=False)
    jax.tree.map(np.testing.assert_array_equal, measured.params, state.params)
    assert not np.array_equal(held_out["tuba"][:20], values["tuba"][:20])
    assert abs(held_out["tuba"].mean() - values["tuba"][-100:].mean()) < 0.3


@pytest.mark.slow
def test_steps_without_a_finite_gradient_are_left_out():
    trainer = critic_training.trainer(SMALL, "nwj", lambda key, scale: draw(key, 0.5 * scale))
    start = critic_training.start(trainer, jax.random.key(0), 1.0)
    state, values = critic_training.train(trainer, start, np.float32(1e30), 2)
    assert not np.isfinite(values["nwj"]).any()
    jax.tree.map(np.testing.assert_array_equal, state.params, start.params)


def test_joint_critics_score_every_pair_by_itself():
    critic = critic_training.joint(widths=(8, 8))

    @jax.jit
    def scores(key):
        x, y = draw(key, 0.5)
        params = critic.init(key, x, y)
        alone = [critic.scores(params, x[i : i + 1], y[3:4])[0, 0] for i in range(2)]
        return critic.scores(params, x, y), jnp.stack(alone)

    together, alone = scores(jax.random.key(0))
    assert together.shape == (16, 16)
    np.testing.assert_allclose(together[:2, 3], alone, rtol=1e-5)


def test_gaussian_scores_are_log_likelihoods():
    critic = critic_training.gaussian(widths=(8,))

    @jax.jit
    def densities(key):
        x, y = draw(key, 0.5)
        params = critic.init(key, x, y)
        marginal = jnp.array([[0.5, -1.0], [0.1, 0.7]])
        constant = jax.tree.map(jnp.zeros_like, params)  # mean 0, deviation 1
        return y, critic.scores(constant, x, y), critic.baseline(marginal, y)

    y, conditional, marginal = densities(jax.random.key(0))
    standard = stats.norm.logpdf(y).sum(axis=1)
    np.testing.assert_allclose(conditional, np.broadcast_to(standard, (16, 16)), rtol=1e-5)
    wanted = stats.norm.logpdf(y, [0.5, -1.0], np.exp([0.1, 0.7])).sum(axis=1)
    np.testing.assert_allclose(marginal, wanted, rtol=1e-5)


def test_unknown_names_are_named():
    with pytest.raises(contracts.UserError, match="objective 'dv'"):
        critic_training.trainer(SMALL, "dv", draw)
    with pytest.raises(contracts.UserError, match="estimator of nwj 'smile_1'"):
        critic_training.trainer(SMALL, "nwj", draw, estimators=["smile_1"])
