"""Divergences against closed forms in NumPy, the penalties against hand-made gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax.bounds import divergences

SCORES = np.array([-1e4, -30.0, -1.5, 0.0, 0.3, 2.0, 30.0, 1e4])


# Every other term in float64, and the score beyond which float32 overflows (sign: on which side).
CLOSED_FORMS = {
    "kl_positive": (lambda t: t, None),
    "kl_negative": (lambda t: np.exp(t - 1), 89.72),
    "reverse_kl_positive": (lambda t: -np.exp(-t), -88.72),
    "reverse_kl_negative": (lambda t: t - 1, None),
    "squared_hellinger_positive": (lambda t: 1 - np.exp(-t), -88.72),
    "squared_hellinger_negative": (lambda t: np.exp(t) - 1, 88.72),
    "pearson_chi2_positive": (lambda t: t, None),
    "pearson_chi2_negative": (lambda t: t + t**2 / 4, 3.689e19),
}
OVERFLOWING = [name for name, (_, limit) in CLOSED_FORMS.items() if limit is not None]


def _log_sigmoid(x):
    return -np.logaddexp(0.0, -x)


def test_gan_terms_are_log_probabilities():
    positive = divergences.gan_positive(jnp.asarray(SCORES))
    negative = divergences.gan_negative(jnp.asarray(SCORES))
    np.testing.assert_allclose(positive, _log_sigmoid(SCORES), rtol=1e-6)
    np.testing.assert_allclose(negative, -_log_sigmoid(-SCORES), rtol=1e-6)


def test_jensen_shannon_is_the_divergence_at_the_optimal_critic():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    middle = (p + q) / 2
    twice_js = np.sum(p * np.log(p / middle)) + np.sum(q * np.log(q / middle))
    critic = jnp.asarray(np.log(p / q))
    shifted = np.sum(p * divergences.jensen_shannon_positive(critic)) - np.sum(
        q * divergences.jensen_shannon_negative(critic)
    )
    unshifted = np.sum(p * divergences.gan_positive(critic)) - np.sum(
        q * divergences.gan_negative(critic)
    )
    np.testing.assert_allclose(shifted, twice_js, rtol=1e-6)
    np.testing.assert_allclose(unshifted, twice_js - 2 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_terms_equal_their_closed_forms(name):
    scores = np.array([-30.0, -1.5, -1e-3, 0.0, 0.3, 2.0, 30.0])
    term = getattr(divergences, name)
    expected = CLOSED_FORMS[name][0](scores)
    np.testing.assert_allclose(term(jnp.asarray(scores, jnp.float32)), expected, 5e-6, 1e-8)


P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
# The optimal critic and the divergence, for a density ratio r = P / Q.
OPTIMA = {
    "kl": (1 + np.log(P / Q), np.sum(P * np.log(P / Q))),
    "reverse_kl": (np.log(P / Q), np.sum(Q * np.log(Q / P))),
    "squared_hellinger": (np.log(P / Q) / 2, np.sum((np.sqrt(P) - np.sqrt(Q)) ** 2)),
    "pearson_chi2": (2 * (P / Q - 1), np.sum((P - Q) ** 2 / Q)),
}


@pytest.mark.parametrize("name", OPTIMA)
def test_estimate_is_largest_at_the_optimal_critic_and_there_the_divergence(name):
    positive, negative = (getattr(divergences, f"{name}_{of}") for of in ("positive", "negative"))

    def estimate(critic):
        return jnp.sum(P * positive(critic)) - jnp.sum(Q * negative(critic))

    critic, divergence = OPTIMA[name]
    critic = jnp.asarray(critic, jnp.float32)
    np.testing.assert_allclose(estimate(critic), divergence, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(estimate)(critic), 0, atol=1e-6)
    for shift in (-0.5, 0.1, 1.0):
        assert estimate(critic + shift * jnp.array([1.0, -1.0, 0.5])) < divergence


@pytest.mark.parametrize(
    ("name", "steepest"),
    [
        *(("gan_positive", 1), ("gan_negative", 1)),
        *(("jensen_shannon_positive", 1), ("jensen_shannon_negative", 1)),
        *(("kl_positive", 1), ("reverse_kl_negative", 1), ("pearson_chi2_positive", 1)),
        ("pearson_chi2_negative", 1 + 1e4 / 2),
    ],
)
def test_terms_and_slopes_are_finite_at_large_scores(name, steepest):
    term, scores = getattr(divergences, name), jnp.asarray(SCORES, jnp.float32)
    assert np.isfinite(term(scores)).all()
    slopes = jax.vmap(jax.grad(term))(scores)
    assert np.isfinite(slopes).all()
    assert (np.abs(slopes) <= steepest).all()


@pytest.mark.parametrize("name", OVERFLOWING)
def test_terms_with_an_exponential_or_a_square_overflow_where_their_docstring_says(name):
    """By definition, not by the way they are computed; the other side stays finite."""
    term, limit = getattr(divergences, name), CLOSED_FORMS[name][1]
    inside, outside, other = jnp.float32([limit * 0.999, limit * 1.001, -limit * 0.999])
    assert np.isfinite(term(inside)) and np.isfinite(term(other))
    assert np.isinf(term(outside))
    assert f"{abs(limit):.3g}".replace("e+", "e") in term.__doc__


@pytest.mark.parametrize("column", [False, True])
def test_gradient_penalty_equals_the_hand_made_gradient(column):
    rng = np.random.default_rng(0)
    inputs, hidden = rng.standard_normal((6, 4)), rng.standard_normal((4, 5))
    out = rng.standard_normal(5)

    def score_fn(x):
        scores = jnp.tanh(x @ hidden) @ out
        return scores[:, None] if column else scores

    slopes = ((1 - np.tanh(inputs @ hidden) ** 2) * out) @ hidden.T
    expected = np.mean(np.sum(slopes**2, axis=1))
    value = divergences.gradient_penalty(score_fn, jnp.asarray(inputs, jnp.float32))
    assert value.shape == () and value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(
        jax.jit(lambda x: divergences.gradient_penalty(score_fn, x))(inputs), expected, rtol=1e-5
    )


def test_gradient_penalty_trains_the_critic():
    """d/dw of mean_i |w|^2 is 2 w for a linear critic, whatever the inputs."""
    w = jnp.array([1.0, -2.0, 0.5])
    slopes = jax.grad(lambda w: divergences.gradient_penalty(lambda x: x @ w, jnp.ones((7, 3))))(w)
    np.testing.assert_allclose(slopes, 2 * w, rtol=1e-6)


def test_gradient_penalty_sums_over_all_input_axes():
    value = divergences.gradient_penalty(lambda x: 3 * x.sum((1, 2)), jnp.zeros((2, 4, 5)))
    np.testing.assert_allclose(value, 9 * 20, rtol=1e-6)


def test_gradient_penalty_of_pairs_is_over_both_sides_together():
    """T(x, z) = x B z: the slopes are B z by x and x B by z."""
    rng = np.random.default_rng(3)
    x, z, matrix = (rng.standard_normal(shape) for shape in ((6, 2, 2), (6, 3), (4, 3)))
    flat = x.reshape(6, 4)
    slopes = np.sum((z @ matrix.T) ** 2, axis=1) + np.sum((flat @ matrix) ** 2, axis=1)

    def score_fn(pair):
        return jnp.sum((pair["x"].reshape(6, 4) @ matrix) * pair["z"], axis=1)

    pair = {"x": jnp.float32(x), "z": jnp.float32(z)}
    value = divergences.gradient_penalty(score_fn, pair)
    assert value.shape == () and value.dtype == jnp.float32
    np.testing.assert_allclose(value, slopes.mean(), rtol=1e-5)
    with pytest.raises(ValueError, match="same first axis"):
        divergences.gradient_penalty(score_fn, {"x": x, "z": z[:5]})


def test_gradient_penalty_wants_one_score_per_input():
    with pytest.raises(ValueError, match=r"shape \(6, 2\) for inputs \(6, 3\).*one score per"):
        divergences.gradient_penalty(lambda x: x[:, :2], jnp.ones((6, 3)))


def _norms(slopes):
    return np.sqrt(sum(np.sum(leaf.reshape(len(leaf), -1) ** 2, axis=1) for leaf in slopes))


def _expected(norms, sided):
    return np.mean((norms - 1) ** 2 if sided == "two" else np.maximum(norms - 1, 0) ** 2)


@pytest.mark.parametrize("sided", ["one", "two"])
def test_lipschitz_penalty_equals_the_hand_made_gradient(sided):
    """A tanh critic of (anchors f[n, 4], candidates f[n, 2, 3]); slopes on both sides of 1."""
    rng = np.random.default_rng(1)
    anchors, candidates = rng.standard_normal((9, 4)), rng.standard_normal((9, 2, 3))
    hidden, out = rng.standard_normal((10, 5)), 0.25 * rng.standard_normal(5)

    def score_fn(pair):
        x = jnp.concatenate([pair[0], pair[1].reshape(-1, 6)], axis=1)
        return (jnp.tanh(x @ hidden) @ out)[:, None]

    x = np.concatenate([anchors, candidates.reshape(-1, 6)], axis=1)
    norms = _norms([((1 - np.tanh(x @ hidden) ** 2) * out) @ hidden.T])
    assert norms.min() < 0.9 and norms.max() > 1.1
    pair = jnp.float32(anchors), jnp.float32(candidates)

    @jax.jit
    def run(pair):
        penalty = divergences.lipschitz_penalty(score_fn, pair, sided=sided)
        return penalty, divergences.input_slopes(score_fn, pair)

    (value, largest), slopes = run(pair)
    np.testing.assert_allclose(slopes, norms, rtol=1e-4)
    parts = divergences.slope_penalty(slopes, sided=sided)
    np.testing.assert_allclose(parts, value, rtol=1e-6)
    assert value.shape == largest.shape == () and value.dtype == largest.dtype == jnp.float32
    np.testing.assert_allclose(value, _expected(norms, sided), rtol=1e-4)
    np.testing.assert_allclose(largest, norms.max(), rtol=1e-5)


@pytest.mark.parametrize("sided", ["one", "two"])
@pytest.mark.parametrize("length", [0.0, 0.5, 1.0, 3.0])
def test_lipschitz_penalty_of_a_linear_critic(sided, length):
    """Slope |w| everywhere; the gradient 2 (|w| - 1) w / |w|, and 0 at w = 0 and in the slack."""
    direction = np.array([0.6, -0.8, 0.0])
    w = jnp.float32(length * direction)

    def penalty(w):
        inputs = {"anchors": jnp.ones((7, 2)), "candidates": jnp.zeros((7, 1))}
        return divergences.lipschitz_penalty(
            lambda pair: pair["anchors"] @ w[:2] + pair["candidates"] @ w[2:], inputs, sided=sided
        )

    (value, largest), slopes = jax.value_and_grad(penalty, has_aux=True)(w)
    np.testing.assert_allclose(value, _expected(np.array([length]), sided), atol=1e-6)
    np.testing.assert_allclose(largest, length, rtol=1e-6)
    pulls = length > 1 or (sided == "two" and length > 0)
    np.testing.assert_allclose(slopes, pulls * 2 * (length - 1) * direction, atol=1e-5)


def _tanh_network(sided):
    """((x, hidden, out), penalty, its derivatives by hidden and by out), by hand in float64.

    The slope of out . tanh(x hidden) is g = hidden (out * (1 - t^2)), and the penalty the mean of
    f(|g|); `sided` None is |g|^2.
    """
    rng = np.random.default_rng(4)
    x, hidden, out = rng.normal(size=(7, 3)), rng.normal(size=(3, 5)), 0.5 * rng.normal(size=5)
    t = np.tanh(x @ hidden)
    slopes = (out * (1 - t**2)) @ hidden.T
    norms = np.linalg.norm(slopes, axis=1)
    if sided is None:
        value, by_slopes = np.mean(norms**2), 2 * slopes
    else:
        excess = norms - 1 if sided == "two" else np.maximum(norms - 1, 0)
        assert 0 < np.sum(norms > 1) < 7
        value, by_slopes = np.mean(excess**2), (2 * excess / norms)[:, None] * slopes
    by_slopes = by_slopes / len(x)
    back = by_slopes @ hidden  # of out * (1 - t^2)
    by_out = np.sum(back * (1 - t**2), axis=0)
    by_sums = back * out * -2 * t * (1 - t**2)  # of x hidden
    by_hidden = by_slopes.T @ (out * (1 - t**2)) + x.T @ by_sums
    return (x, hidden, out), value, by_hidden, by_out


@pytest.mark.parametrize("sided", [None, "one", "two"])
def test_derivatives_of_penalties_by_the_weights_are_those_by_hand(sided):
    (x, hidden, out), value, by_hidden, by_out = _tanh_network(sided)

    def penalty(hidden, out):
        def score(x):
            return jnp.tanh(x @ hidden) @ out

        if sided is None:
            return divergences.gradient_penalty(score, jnp.asarray(x))
        return divergences.lipschitz_penalty(score, jnp.asarray(x), sided=sided)[0]

    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(penalty, (0, 1)))
        found, (of_hidden, of_out) = both(jnp.asarray(hidden), jnp.asarray(out))
        assert of_hidden.dtype == jnp.float64
    np.testing.assert_allclose(found, value, rtol=1e-12)
    np.testing.assert_allclose(of_hidden, by_hidden, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(of_out, by_out, rtol=1e-10, atol=1e-13)


def test_lipschitz_penalty_of_bfloat16_inputs_is_float32():
    value, largest = divergences.lipschitz_penalty(
        lambda x: 2 * x.sum(1), jnp.ones((3, 4), jnp.bfloat16), sided="two"
    )
    assert value.dtype == largest.dtype == jnp.float32
    assert (value, largest) == (9, 4)


# X = Y uniform on {-1, 1}: half of the mass of the product law has to move by 2, so W1 is 1.
AGREE = (jnp.array([1.0, -1.0, 1.0, -1.0]), jnp.array([1.0, -1.0, 1.0, -1.0]))
ALL_FOUR = (jnp.array([1.0, -1.0, 1.0, -1.0]), jnp.array([1.0, -1.0, -1.0, 1.0]))


def _distance_to_agreement(pair):
    """1 - distance to the nearer joint pair: 1-Lipschitz everywhere, W1 on the two-point case."""
    squares = [(pair[0] - x) ** 2 + (pair[1] - x) ** 2 for x in (-1.0, 1.0)]
    squares = jnp.minimum(*squares)
    return 1 - jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)


def test_penalty_tells_a_true_1_lipschitz_critic_from_one_that_only_looks_so_on_the_support():
    def product(pair):
        return pair[0] * pair[1]

    for critic in (product, _distance_to_agreement):
        assert jnp.mean(critic(AGREE)) - jnp.mean(critic(ALL_FOUR)) == 1
    # Apart from x = -y, where the distance has its kink.
    points = tuple(jnp.array(x) for x in ([1.0, 1.0, -1.0], [0.5, -0.5, 0.25]))
    value, largest = divergences.lipschitz_penalty(_distance_to_agreement, points, sided="two")
    np.testing.assert_allclose((value, largest), (0, 1), atol=1e-6)
    value, largest = divergences.lipschitz_penalty(product, AGREE, sided="one")
    np.testing.assert_allclose((value, largest), ((np.sqrt(2) - 1) ** 2, np.sqrt(2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "sided", "message"),
    [
        (np.ones((6, 3)), "both", "sided is 'both'.*'one'.*'two'"),
        ((np.ones((6, 3)), np.ones((5, 3))), "one", r"\(6, 3\), \(5, 3\).*same first axis"),
        ((np.ones((6, 3)), np.float32(1)), "one", r"\(6, 3\), \(\).*same first axis"),
        ((np.ones((6, 3)), np.ones((6, 2))), "one", r"gives shape \(6, 3\).*one score per input"),
    ],
)
def test_lipschitz_penalty_explains_what_does_not_fit(inputs, sided, message):
    with pytest.raises(ValueError, match=message):
        divergences.lipschitz_penalty(lambda pair: 2 * pair[0], inputs, sided=sided)


def test_between_lies_on_the_segment_with_one_weight_per_pair():
    rng = np.random.default_rng(2)
    joint, product = (
        {"anchors": rng.standard_normal((50, 4)), "candidates": rng.standard_normal((50, 2, 3))}
        for _ in range(2)
    )
    joint["candidates"] = joint["candidates"].astype(np.float32)
    points = divergences.between(jax.random.key(0), joint, product)
    weights = np.concatenate(
        [
            ((points[key] - product[key]) / (joint[key] - product[key])).reshape(50, -1)
            for key in joint
        ],
        axis=1,
    )
    np.testing.assert_allclose(weights, np.broadcast_to(weights[:, :1], (50, 10)), atol=1e-3)
    weights = np.median(weights, axis=1)
    assert (weights > -1e-6).all() and (weights < 1 + 1e-6).all()
    assert weights.min() < 0.1 and weights.max() > 0.9 and len(set(weights)) == 50


def test_between_keeps_dtypes_and_equal_ends():
    pair = jnp.float32([0.3, 7.0]), jnp.bfloat16([[1.5], [2.0]])
    points = divergences.between(jax.random.key(1), pair, pair)
    assert [x.dtype for x in points] == [jnp.float32, jnp.bfloat16]
    for point, end in zip(points, pair, strict=True):
        np.testing.assert_allclose(np.float32(point), np.float32(end), rtol=1e-6)


@pytest.mark.parametrize("product", [np.ones((4, 2)), (np.ones((4, 3)),), np.ones((1, 3))])
def test_between_wants_equal_shapes(product):
    with pytest.raises(ValueError, match=r"joint pairs have shapes \(4, 3\) and product.*equal"):
        divergences.between(jax.random.key(0), np.ones((4, 3)), product)
