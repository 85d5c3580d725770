"""Estimates against laws whose mutual information is known, with their optimal critics."""

import json
import math
import pathlib
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dim_jax import bounds
from dim_jax.bounds import divergences

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())


def gaussian(rng, mi, batch, dimension=20):
    """(log p(y_j | x_i) / p(y_j), log p(y_j | x_i), log p(y_j)) of correlated Gaussians."""
    rho = math.sqrt(1 - math.exp(-2 * mi / dimension))
    x = rng.standard_normal((batch, dimension))
    y = rho * x + math.sqrt(1 - rho**2) * rng.standard_normal((batch, dimension))
    squares = (y**2).sum(1)
    distance = squares - 2 * rho * x @ y.T + rho**2 * (x**2).sum(1)[:, None]
    constant = dimension / 2 * math.log(2 * math.pi)
    marginal = -squares / 2 - constant
    conditional = -distance / (2 * (1 - rho**2)) - constant
    conditional -= dimension / 2 * math.log(1 - rho**2)
    return conditional - marginal, conditional, marginal


def entropy(dimension=20):
    return dimension / 2 * math.log(2 * math.pi * math.e)


def diagonal(matrix):
    return jnp.diagonal(jnp.asarray(matrix))


def shifted(matrix):
    """Cyclic negatives: the positive and the next candidate of each anchor."""
    return jnp.stack([diagonal(matrix), diagonal(jnp.roll(matrix, -1, axis=1))], axis=1)


# Name in the oracle: value from (log ratio, log conditional, log marginal).
ESTIMATES = {
    "dv_offdiag": lambda t, c, m: bounds.donsker_varadhan(t),
    "dv_cyclic_shift": lambda t, c, m: bounds.donsker_varadhan(shifted(t), np.zeros(len(t), int)),
    "nwj_optimal_shift": lambda t, c, m: bounds.nwj(t + 1),
    "nwj_unshifted_critic": lambda t, c, m: bounds.nwj(t),
    "tuba_logcond_true_marginal_baseline": lambda t, c, m: bounds.tuba(c, log_baseline=m),
    "tuba_unit_baseline_x1.5": lambda t, c, m: bounds.tuba(t, log_baseline=math.log(1.5)),
    "jsd_fgan": lambda t, c, m: bounds.jensen_shannon(t),
    "gan_unshifted": lambda t, c, m: bounds.gan(t),
    "rkl": lambda t, c, m: bounds.reverse_kl(t),
    "h2": lambda t, c, m: bounds.squared_hellinger(t / 2),
    "infonce_row": lambda t, c, m: bounds.infonce(t),
    "infonce_col": lambda t, c, m: bounds.infonce(t, negatives="anchors"),
    "infonce_sym": lambda t, c, m: bounds.symmetric_infonce(t),
    "infonce_positive_excluded": lambda t, c, m: bounds.decoupled_infonce(t),
    "smile_tau1": lambda t, c, m: bounds.smile(t, tau=1.0),
    "smile_tau5": lambda t, c, m: bounds.smile(t, tau=5.0),
    "smile_tau10": lambda t, c, m: bounds.smile(t, tau=10.0),
    "ipm_difference_w1_value": lambda t, c, m: bounds.wasserstein(t),
    "doe_or_ba_true_conditional": lambda t, c, m: bounds.difference_of_entropies(m, diagonal(c)),
    "club_offdiag_true_conditional": lambda t, c, m: bounds.club(c),
    "club_with_diag_true_conditional": lambda t, c, m: bounds.club(c, include_positives=True),
    "l1out_true_conditional": lambda t, c, m: bounds.leave_one_out(c),
    **{
        f"interp_alpha{alpha}_unit_baseline": lambda t, c, m, alpha=alpha: bounds.interpolated(
            t, alpha=alpha
        )
        for alpha in (0.01, 0.1, 0.5, 0.9, 1.0)
    },
}


@jax.jit
def estimates(ratio, conditional, marginal):
    return {name: f(ratio, conditional, marginal) for name, f in ESTIMATES.items()}


def test_all_oracle_estimates_but_the_wrong_partition_are_compared():
    assert set(GOLDEN["gaussian"]["1"]["64"]["first_batch"]) - {"dv_with_diag"} == set(ESTIMATES)


@pytest.mark.parametrize("batch", [64, 256, 1024])
@pytest.mark.parametrize("mi", [1, 2, 5])
def test_the_first_gaussian_batch_to_ten_digits(mi, batch):
    oracle = GOLDEN["gaussian"][str(mi)][str(batch)]
    matrices = gaussian(np.random.default_rng([7, mi, batch]), mi, batch)
    check = oracle["first_batch_check"]
    np.testing.assert_allclose(matrices[0].trace(), check["trace_T"], rtol=1e-10)
    np.testing.assert_allclose(matrices[0].sum(), check["sum_T"], rtol=1e-10)
    with jax.enable_x64(True):
        values = estimates(*matrices)
    for name, expected in oracle["first_batch"].items():
        if name in ESTIMATES:
            np.testing.assert_allclose(values[name], expected, rtol=1e-10, err_msg=name)


@cache
def many_batches(mi, batch, count):
    rng = np.random.default_rng(11)
    drawn = [gaussian(rng, mi, batch) for _ in range(count)]
    values = [estimates(*(part.astype(np.float32) for part in matrices)) for matrices in drawn]
    return {name: np.array([value[name] for value in values]) for name in ESTIMATES}


@pytest.mark.parametrize("mi", [1, 2, 5])
def test_the_mean_over_fresh_gaussian_batches(mi):
    oracle = GOLDEN["gaussian"][str(mi)]["64"]
    for name, values in many_batches(mi, 64, 100).items():
        error = math.hypot(oracle["se"][name], values.std() / math.sqrt(len(values)))
        margin = (8 if name == "rkl" else 4) * error  # the reverse KL has heavy tails
        assert abs(values.mean() - oracle["mean"][name]) < margin, name


LOWER = [
    *("nwj_optimal_shift", "nwj_unshifted_critic", "tuba_logcond_true_marginal_baseline"),
    *("tuba_unit_baseline_x1.5", "infonce_row", "infonce_col", "infonce_sym"),
    *(name for name in ESTIMATES if name.startswith("interp")),
]


@pytest.mark.parametrize("mi", [1, 2, 5])
def test_lower_bounds_are_below_and_upper_bounds_above_the_truth(mi):
    values = many_batches(mi, 64, 100)

    def away(name):  # in standard errors
        return (values[name].mean() - mi) / (values[name].std() / math.sqrt(100))

    for name in LOWER:
        assert away(name) < 3, name
    for name in ("club_offdiag_true_conditional", "l1out_true_conditional"):
        assert away(name) > -3, name
    # What is labelled "neither" does leave the truth behind.
    for name in ("infonce_positive_excluded", "smile_tau1", "dv_cyclic_shift"):
        assert mi == 1 or away(name) > 3, name


def test_jensen_shannon_gives_a_guaranteed_part_of_the_information():
    for mi in (1, 2, 5):
        value = many_batches(mi, 64, 100)["jsd_fgan"].mean()
        assert 0.5 * mi < bounds.jsd_to_mi_lower_bound(value) < mi


def test_divergences_of_the_gaussian_at_the_optimal_critic():
    population = GOLDEN["population"]["1"]
    means = {name: values.mean() for name, values in many_batches(1, 64, 100).items()}
    hellinger = population["squared_hellinger_2_minus_2bc"]
    np.testing.assert_allclose(means["h2"], hellinger, rtol=0.03)
    np.testing.assert_allclose(means["rkl"], population["kl_product_to_joint"], rtol=0.1)
    np.testing.assert_allclose(
        means["club_offdiag_true_conditional"], population["jeffreys"], rtol=0.05
    )


def test_barber_agakov_of_the_true_conditional_is_the_information():
    _, conditional, _ = gaussian(np.random.default_rng(5), 2, 4000)
    value = bounds.barber_agakov(diagonal(conditional), entropy=entropy())
    np.testing.assert_allclose(value, 2.0, atol=0.2)


# X uniform on n symbols, Y = X: all pairs of symbols, and all batches of few, can be listed.


def all_batches(symbols, batch):
    draws = np.stack(np.meshgrid(*[np.arange(symbols)] * batch), -1).reshape(-1, batch)
    return draws[:, :, None] == draws[:, None, :]


@pytest.mark.parametrize("symbols", [2, 8, 64])
def test_identity_channel(symbols):
    """Rows are symbols; a weight per entry makes the means those of joint and product law."""
    facts = GOLDEN["identity_channel"][str(symbols)]

    def law(positive, negative, match, other):
        product = negative(match) / symbols + negative(other) * (1 - 1 / symbols)
        return positive(match) - product

    ratio, none = jnp.float32(math.log(symbols)), jnp.float32(-60.0)
    jsd = law(divergences.jensen_shannon_positive, divergences.jensen_shannon_negative, ratio, none)
    np.testing.assert_allclose(jsd, facts["jsd_fgan_2js"], rtol=1e-5)
    np.testing.assert_allclose(bounds.jsd_to_mi_lower_bound(jsd), facts["mi"], rtol=1e-4)
    hellinger = law(
        divergences.squared_hellinger_positive,
        divergences.squared_hellinger_negative,
        ratio / 2,
        none,
    )
    np.testing.assert_allclose(hellinger, facts["squared_hellinger"], rtol=1e-5)
    chi2 = law(
        divergences.pearson_chi2_positive,
        divergences.pearson_chi2_negative,
        jnp.float32(2.0 * (symbols - 1)),
        jnp.float32(-2.0),
    )
    np.testing.assert_allclose(chi2, facts["chi2_pearson"], rtol=1e-5)


@pytest.mark.parametrize(("symbols", "batch"), [(2, 2), (8, 2), (2, 8)])
def test_infonce_of_the_identity_channel(symbols, batch):
    scores = 1e4 * all_batches(symbols, batch).astype(np.float32)
    expected = GOLDEN["identity_channel"][str(symbols)]["infonce_expected"][str(batch)]
    value = jax.vmap(bounds.infonce)(scores).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert value < math.log(symbols)


LOCATED = ("locations", "candidates", "same_location", "anchors", "all_locations")


@pytest.mark.parametrize("case", [0, 2])
def test_clustered_locations(case):
    """Every location is a copy of X: exact expectations over all batches."""
    facts = GOLDEN["clustered_locals"][case]
    symbols, batch, locations = facts["n"], facts["B"], facts["L"]
    match = 1e4 * all_batches(symbols, batch).astype(np.float32)
    scores = np.broadcast_to(match[..., None], (*match.shape, locations))
    expectation = {
        name: float(jax.vmap(partial(bounds.infonce, negatives=name))(scores).mean())
        for name in LOCATED
    }
    objective = expectation["locations"]
    log_k = math.log(1 + (batch - 1) * locations)
    with_log_k = objective - math.log(batch) + log_k
    expected = facts["reference_sum_over_all_locals_plus_log_1_plus_Bm1_L"]
    np.testing.assert_allclose(with_log_k, expected, rtol=1e-5)
    # With log K it is not a bound; all that are labelled one stay below.
    assert with_log_k > facts["true_mi"] > max(expectation.values())
    for name in ("candidates", "same_location", "anchors"):
        np.testing.assert_allclose(expectation[name], facts["per_image_mean_plus_logB"], rtol=1e-5)


@pytest.mark.parametrize("case", [0, 2])
def test_every_lower_bound_holds_on_clustered_locations(case):
    """Finite critics, several heights: the expectation over all batches is below log symbols."""
    facts = GOLDEN["clustered_locals"][case]
    match = all_batches(facts["n"], facts["B"])
    for height in (0.5, 2.0, math.log(facts["n"]), 8.0):
        scores = np.where(match, height, -height)[..., None].repeat(3, -1).astype(np.float32)
        options = {
            "tuba": dict(log_baseline=0.4),
            "interpolated": dict(alpha=0.5),
        }
        for estimator in bounds.ESTIMATORS:
            kinds = {facts.kind for facts in estimator.facts}
            takes = estimator.facts[0].takes
            if kinds != {"lower bound"} or takes in ("log-likelihoods", "value"):
                continue
            variants = [options.get(estimator.__name__, {})]
            if estimator is bounds.infonce:
                variants = [dict(negatives=name) for name in LOCATED]
            for variant in variants:
                values = jax.vmap(partial(estimator, **variant))(scores)
                assert values.mean() <= facts["true_mi"] + 1e-4, (estimator.__name__, variant)


def test_reference_objective_is_below_the_bound_of_its_average():
    for seed in range(5):
        scores = 3 * np.random.default_rng(seed).standard_normal((6, 6, 7))
        bound = bounds.infonce(scores, negatives="candidates")
        assert bound - math.log(7) <= bounds.infonce(scores) <= bound


def test_wasserstein_of_two_points():
    """X = Y uniform on -1 and 1: W1 = 1, by f(x, y) = x y on the four points."""
    x = np.array([-1.0, 1.0, -1.0, 1.0])
    scores = np.outer(x, x)
    # Of the 12 negatives 4 match and 8 do not: the product law by weights.
    joint, product = scores.diagonal().mean(), np.mean(np.outer([-1, 1], [-1, 1]))
    np.testing.assert_allclose(joint - product, 1.0)
    expected = joint - (scores.sum() - 4) / 12
    np.testing.assert_allclose(bounds.wasserstein(scores), expected, rtol=1e-6)
    draws = np.random.default_rng(0).choice([-1.0, 1.0], (2000, 8))
    values = jax.vmap(bounds.wasserstein)(draws[:, :, None] * draws[:, None, :])
    np.testing.assert_allclose(values.mean(), 1.0, atol=0.02)


def test_mine_removes_the_bias_of_the_gradient():
    """Critic theta T*, theta = 0.8: the slope in theta, mean over steps, beside the population's.

    Marginal samples are the next image's, as in the oracle: B positives and B negatives.
    """
    facts = GOLDEN["mine_gradient"]
    steps, batch, dimension, mi = 24_000, 16, 20, 2
    rho = math.sqrt(1 - math.exp(-2 * mi / dimension))

    def pair_scores(x, y):
        distance = jnp.sum((y - rho * x) ** 2, -1) / (1 - rho**2)
        return (jnp.sum(y**2, -1) - distance - dimension * math.log(1 - rho**2)) / 2

    def step(states, key):
        x, noise = jax.random.normal(key, (2, batch, dimension))
        y = rho * x + math.sqrt(1 - rho**2) * noise
        ratio = jnp.stack([pair_scores(x, y), pair_scores(x, jnp.roll(y, -1, 0))], axis=1)

        def surrogate(theta, state, decay):
            _, surrogate, state = bounds.mine(
                theta * ratio, jnp.zeros(batch, int), state=state, decay=decay
            )
            return surrogate, state

        slopes, new = {}, {}
        for decay, state in states.items():
            slopes[decay], new[decay] = jax.grad(surrogate, has_aux=True)(0.8, state, decay)
        return new, slopes

    start = {decay: bounds.mine_state() for decay in (0.0, 0.9, 0.99)}
    keys = jax.random.split(jax.random.key(3), steps)
    _, slopes = jax.jit(partial(lax.scan, step))(start, keys)
    mean = {decay: float(values[steps // 4 :].mean()) for decay, values in slopes.items()}
    expected = facts["by_batch"][str(batch)]
    np.testing.assert_allclose(mean[0.0], expected["plain_minibatch"], atol=0.06)
    np.testing.assert_allclose(mean[0.9], expected["ema_0.9_debiased"], atol=0.04)
    np.testing.assert_allclose(mean[0.99], expected["ema_0.99_debiased"], atol=0.04)
    bias = {decay: abs(value - facts["population"]) for decay, value in mean.items()}
    assert bias[0.0] > bias[0.9] > bias[0.99]


def test_mine_without_memory_is_donsker_varadhan():
    scores = jnp.asarray(np.random.default_rng(1).standard_normal((5, 5)))
    plain = jax.value_and_grad(bounds.donsker_varadhan)(scores)

    def surrogate(scores, decay, state):
        value, surrogate, state = bounds.mine(scores, state=state, decay=decay)
        return surrogate, (value, state)

    far = bounds.MineState(jnp.array(3.0), jnp.array(0.5))
    for decay, state in ((0.0, far), (0.9, bounds.mine_state())):
        (number, (value, _)), slopes = jax.value_and_grad(surrogate, has_aux=True)(
            scores, decay, state
        )
        np.testing.assert_allclose([number, value], [plain[0]] * 2, rtol=1e-6)
        np.testing.assert_allclose(slopes, plain[1], atol=1e-6)


def test_the_moving_average_of_mine():
    """Three batches by hand."""
    rng = np.random.default_rng(4)
    state, decay, sums, weight = bounds.mine_state(), 0.7, 0.0, 0.0
    for _ in range(3):
        scores = rng.standard_normal((4, 4))
        mean = np.exp(scores)[~np.eye(4, dtype=bool)].mean()
        sums, weight = decay * sums + (1 - decay) * mean, decay * weight + (1 - decay)
        slopes, state = jax.grad(
            lambda t, state=state: bounds.mine(t, state=state, decay=decay)[1:], has_aux=True
        )(jnp.asarray(scores))
        np.testing.assert_allclose(np.exp(state.log_sum), sums, rtol=1e-5)
        np.testing.assert_allclose(state.weight, weight, rtol=1e-5)
        expected = -np.exp(scores) / 12 / (sums / weight)
        np.fill_diagonal(expected, 1 / 4)
        np.testing.assert_allclose(slopes, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("jsd", "mi"),
    [
        *((float(k), v) for k, v in GOLDEN["jsd_to_mi"].items()),
        *((0.0, 0.0), (-0.2, 0.0), (1.4, math.inf)),
    ],
)
def test_jsd_to_mi_lower_bound(jsd, mi):
    np.testing.assert_allclose(bounds.jsd_to_mi_lower_bound(jsd), mi, rtol=1e-5)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.jit(bounds.jsd_to_mi_lower_bound)(jsd), mi, rtol=1e-12)


def test_jsd_to_mi_lower_bound_inverts_the_whole_range():
    t = np.linspace(0.1, 30, 200)
    a = np.exp(-t)
    with jax.enable_x64(True):
        jsd = 2 * math.log(2) - (1 + a) * np.log1p(a) - a * t
        np.testing.assert_allclose(bounds.jsd_to_mi_lower_bound(jsd), t, rtol=1e-3)
