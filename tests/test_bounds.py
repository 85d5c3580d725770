"""Bounds against float64 loops, golden values, closed forms and mistakes."""

import math
import subprocess
import sys
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from dim_jax import bounds

# The references: loops over pairs, in the words of the definitions.


def _entries(positives):
    pairs = list(np.ndindex(positives.shape))
    return [p for p in pairs if positives[p]], [p for p in pairs if not positives[p]]


def _loop_donsker_varadhan(scores, positives):
    joint, product = _entries(positives)
    entries = [t for i, j in product for t in scores[i, j]]
    partition = logsumexp(entries) - math.log(len(entries))
    return np.mean([t for i, j in joint for t in scores[i, j]]) - partition


def _loop_jensen_shannon(scores, positives):
    joint, product = _entries(positives)
    expected_joint = np.mean([np.mean(np.logaddexp(0, -scores[p])) for p in joint])
    expected_product = np.mean([np.mean(np.logaddexp(0, scores[p])) for p in product])
    return 2 * math.log(2) - expected_joint - expected_product


def _loop_infonce(scores, positives, negatives):
    terms = []
    n, m, locations = scores.shape
    for i, p in _entries(positives)[0]:
        columns = [j for j in range(m) if not positives[i, j]]
        rows = [k for k in range(n) if not positives[k, p]]
        for l in range(locations):
            rest = {
                "locations": [t for j in columns for t in scores[i, j]],
                "candidates": [logsumexp(scores[i, j]) - math.log(locations) for j in columns],
                "same_location": [scores[i, j, l] for j in columns],
                "anchors": [scores[k, p, l] for k in rows],
            }[negatives]
            size = 1 + len(rows if negatives == "anchors" else columns)
            terms.append(math.log(size) + scores[i, p, l] - logsumexp([scores[i, p, l], *rest]))
    return np.mean(terms)


NEGATIVES = ("locations", "candidates", "same_location", "anchors")
BOUNDS = {
    "dv": (bounds.donsker_varadhan, _loop_donsker_varadhan),
    "jsd": (bounds.jensen_shannon, _loop_jensen_shannon),
} | {
    name: (partial(bounds.infonce, negatives=name), partial(_loop_infonce, negatives=name))
    for name in NEGATIVES
}
every_bound = pytest.mark.parametrize("bound", BOUNDS)


@cache
def _compiled(bound):
    return jax.jit(BOUNDS[bound][0])


@cache
def _compiled_gradient(bound):
    return jax.jit(jax.value_and_grad(BOUNDS[bound][0]))


def _reference(bound, scores, positives):
    flat = scores.reshape(*scores.shape[:2], math.prod(scores.shape[2:]))
    return BOUNDS[bound][1](flat, positives)


def _layout(name):
    shape, positives = {
        "locations": ((4, 4, 3), np.eye(4, dtype=bool)),
        "map": ((3, 3, 2, 3), np.eye(3, dtype=bool)),
        "rolled": ((5, 5, 2), np.roll(np.eye(5, dtype=bool), 2, axis=1)),
        "queue": ((3, 8), np.eye(3, 8, dtype=bool)),
    }[name]
    return 2 * np.random.default_rng(3).standard_normal(shape) + 1, positives


@every_bound
@pytest.mark.parametrize("layout", ["locations", "map", "rolled", "queue"])
def test_value_and_gradient_equal_float64_loops(bound, layout):
    scores, positives = _layout(layout)
    expected = _reference(bound, scores, positives)
    slopes = np.zeros(scores.shape)
    for index in np.ndindex(scores.shape):
        step = np.zeros(scores.shape)
        step[index] = 1e-5
        up, down = (_reference(bound, scores + s, positives) for s in (step, -step))
        slopes[index] = (up - down) / 2e-5
    value_and_grad = jax.jit(jax.value_and_grad(partial(BOUNDS[bound][0], positives=positives)))
    single = value_and_grad(jnp.asarray(scores, jnp.float32))
    assert single[0].dtype == jnp.float32 and single[0].shape == ()
    with jax.enable_x64(True):
        double = value_and_grad(jnp.asarray(scores))
    np.testing.assert_allclose(double[0], expected, rtol=1e-12)
    np.testing.assert_allclose(single[0], expected, rtol=1e-5)
    np.testing.assert_allclose(double[1], slopes, atol=1e-9)
    np.testing.assert_allclose(single[1], slopes, atol=1e-5)


@every_bound
def test_diagonal_is_the_default_and_masks_may_be_traced(bound):
    f = BOUNDS[bound][0]
    scores, positives = _layout("locations")
    eager = f(scores)
    np.testing.assert_allclose(f(scores, positives), eager, rtol=1e-7)
    np.testing.assert_allclose(jax.jit(f)(scores, positives), eager, rtol=1e-6)


def _golden_matrix():
    i, j = np.ogrid[:5, :5]
    return 0.1 * ((7 * i + 3 * j) % 11) - 0.4 + 0.9 * (i == j)


def _golden_local():
    """Four images, three locations, two globals (last axis)."""
    i, j, l, m = np.ogrid[:4, :4, :3, :2]
    return 0.1 * ((7 * i + 3 * j + 5 * l + 2 * m) % 13) - 0.5 + 0.8 * (i == j)


GOLDEN_MATRIX = {
    "dv": 1.0767349078517046,
    "jsd": 0.3720712049773114,
    "locations": 0.7347002685576829,
    "candidates": 0.7347002685576829,
    "same_location": 0.7347002685576829,
    "anchors": 0.7308453284222028,
}
GOLDEN_LOCAL = {
    "dv": 0.803535030170643,
    "jsd": 0.2984146239915926,
    "locations": math.log(4) - 1.6258471986259975,
    "candidates": 0.5183154996402869,
    "same_location": 0.5135150861242164,
    "anchors": 0.5191150437548342,
}


@every_bound
def test_golden_values(bound):
    f = _compiled(bound)
    local = f if bound in ("dv", "jsd") else jax.vmap(f, in_axes=-1)  # InfoNCE: globals apart
    np.testing.assert_allclose(f(_golden_matrix()), GOLDEN_MATRIX[bound], rtol=1e-5)
    np.testing.assert_allclose(local(_golden_local()).mean(), GOLDEN_LOCAL[bound], rtol=1e-5)
    with jax.enable_x64(True):
        np.testing.assert_allclose(f(_golden_matrix()), GOLDEN_MATRIX[bound], rtol=1e-12)
        np.testing.assert_allclose(local(_golden_local()).mean(), GOLDEN_LOCAL[bound], rtol=1e-12)


def test_golden_donsker_varadhan_location_by_location():
    per_location = jax.vmap(jax.vmap(bounds.donsker_varadhan, in_axes=-1), in_axes=-1)
    np.testing.assert_allclose(per_location(_golden_local()).mean(), 0.8040312800957882, rtol=1e-5)


@every_bound
def test_order_of_images_and_locations_does_not_matter(bound):
    f = _compiled(bound)
    scores, _ = _layout("locations")
    images, locations = np.array([2, 0, 3, 1]), np.array([1, 2, 0])
    shuffled = f(scores[images][:, images][:, :, locations])
    np.testing.assert_allclose(shuffled, f(scores), rtol=1e-6)


@every_bound
def test_shift_invariance(bound):
    f = _compiled(bound)
    scores, _ = _layout("locations")
    changes = {
        "all": np.float64(3),
        "per anchor": np.array([1.0, -2, 3, 0.5])[:, None, None],
        "per candidate": np.random.default_rng(1).standard_normal((1, 4, 3)),
    }
    invariant = {"dv": {"all"}, "jsd": set(), "anchors": {"all", "per candidate"}}
    for name, change in changes.items():
        same = np.allclose(f(scores + change), f(scores), atol=1e-5)
        assert same == (name in invariant.get(bound, {"all", "per anchor"})), name


EXTREMES = {  # name: (entries, what they become)
    "huge positive": (np.s_[1, 1], 1e4),
    "tiny positive": (np.s_[1, 1], -1e4),
    "huge negative": (np.s_[2, 0, 1], 1e4),
    "tiny negative": (np.s_[2, 0, 1], -1e4),
    "all huge": (..., 1e4),
    "all tiny": (..., -1e4),
}


@every_bound
@pytest.mark.parametrize("case", EXTREMES)
def test_large_scores_give_finite_exact_values_and_gradients(bound, case):
    scores = np.random.default_rng(4).standard_normal((4, 4, 3)).astype(np.float32)
    entries, value = EXTREMES[case]
    scores[entries] = value + (scores[entries] if entries is ... else 0)
    value, slopes = _compiled_gradient(bound)(scores)
    expected = _reference(bound, scores.astype(np.float64), np.eye(4, dtype=bool))
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0


@every_bound
def test_no_constant_stands_in_for_a_positive_among_the_negatives(bound):
    """All scores at -30: a mask by a finite constant such as -10 would weigh e^20 too much."""
    scores = np.full((4, 4, 3), -30.0)
    expected = {"jsd": 2 * math.log(2) - 30, "locations": math.log(4 / (1 + 3 * 3))}
    np.testing.assert_allclose(_compiled(bound)(scores), expected.get(bound, 0.0), atol=1e-5)


@every_bound
def test_bfloat16_scores_are_reduced_in_float32(bound):
    scores = jnp.asarray(10 * np.random.default_rng(5).standard_normal((64, 64)), jnp.bfloat16)
    value, slopes = _compiled_gradient(bound)(scores)
    assert value.dtype == jnp.float32 and slopes.dtype == jnp.bfloat16
    np.testing.assert_allclose(value, _compiled(bound)(scores.astype(jnp.float32)), rtol=1e-6)


def test_infonce_never_exceeds_the_log_of_the_batch():
    scores = 1e4 * np.eye(16)[:, :, None].repeat(3, axis=2)
    for negatives in NEGATIVES:
        np.testing.assert_allclose(_compiled(negatives)(scores), math.log(16), rtol=1e-6)
    queue = bounds.infonce(1e4 * np.eye(3, 9), np.eye(3, 9, dtype=bool))
    np.testing.assert_allclose(queue, math.log(9), rtol=1e-6)
    np.testing.assert_allclose(_compiled("jsd")(2 * scores - 1e4), math.log(4), rtol=1e-6)


def test_reference_objective_is_below_the_bound_of_its_average():
    for seed in range(5):
        scores = 3 * np.random.default_rng(seed).standard_normal((6, 6, 7))
        bound = _compiled("candidates")(scores)
        assert bound - math.log(7) <= _compiled("locations")(scores) <= bound


# Known mutual information. Scores are those of the optimal critic log p(y|x) / p(y).


def _gaussian_scores(rng, mi, batch, dimension=20):
    rho = math.sqrt(1 - math.exp(-2 * mi / dimension))
    x = rng.standard_normal((batch, dimension))
    y = rho * x + math.sqrt(1 - rho**2) * rng.standard_normal((batch, dimension))
    distance = (y**2).sum(1) - 2 * rho * x @ y.T + rho**2 * (x**2).sum(1)[:, None]
    log_ratio = (y**2).sum(1) / 2 - distance / (2 * (1 - rho**2))
    return log_ratio - dimension / 2 * math.log(1 - rho**2)


# At batch 64. MI: value of the first batch, mean and standard error over 200 batches.
GAUSSIAN = {
    1: {
        "dv": (0.9718519959669711, 1.0009197080552883, 0.012531749284093419),
        "jsd": (0.3966062848985533, 0.4109610967659406, 0.004521502743590116),
        "locations": (0.9378257602106501, 0.9549759797138698, 0.011236822038758861),
        "anchors": (0.9417274314360409, 0.9556057709794925, 0.011228689900418861),
    },
    2: {
        "dv": (2.145477722533556, 2.0164950840529534, 0.01775177044905843),
        "jsd": (0.7458996844056132, 0.6995611186311069, 0.005144860204492965),
        "locations": (1.8740526859229276, 1.8228826012400632, 0.013886682552615543),
        "anchors": (1.905218845082048, 1.8206515514168984, 0.013807995390947405),
    },
    5: {
        "dv": (5.87191750282583, 5.079736312243625, 0.03650919223612054),
        "jsd": (1.219286281906676, 1.1504636075664516, 0.00341236864785488),
        "locations": (3.5739885199841446, 3.436031198063597, 0.010980060918134667),
        "anchors": (3.594442969208869, 3.4366913094283986, 0.010798992475243562),
    },
}


@pytest.mark.parametrize("mi", GAUSSIAN)
def test_gaussian_oracle(mi):
    reproduced = _gaussian_scores(np.random.default_rng([7, mi, 64]), mi, 64)
    rng = np.random.default_rng(11)
    fresh = np.stack([_gaussian_scores(rng, mi, 64) for _ in range(100)])
    for bound, (first, mean, error) in GAUSSIAN[mi].items():
        f = _compiled(bound)
        with jax.enable_x64(True):
            np.testing.assert_allclose(f(reproduced), first, rtol=1e-10)
        values = np.asarray(jax.vmap(f)(fresh))
        margin = 4 * math.hypot(error, values.std() / math.sqrt(len(values)))
        assert abs(values.mean() - mean) < margin, bound
        if bound != "dv":  # its batch value is biased upwards
            assert values.mean() < mi, bound


@pytest.mark.parametrize(
    ("symbols", "batch", "locations", "with_log_k", "a_bound"),
    [(8, 4, 25, 3.225578530292864, 1.1395174314998473), (2, 2, 16, 1.416606672028, 0.34657359028)],
)
def test_clustered_locations(symbols, batch, locations, with_log_k, a_bound):
    """X uniform on the symbols, every location a copy of X: exact expectations, all batches."""
    draws = np.stack(np.meshgrid(*[np.arange(symbols)] * batch), -1).reshape(-1, batch)
    match = 1e4 * (draws[:, :, None] == draws[:, None, :])
    scores = np.broadcast_to(match[..., None], (*match.shape, locations)).astype(np.float32)
    expectation = {
        negatives: jax.vmap(_compiled(negatives))(scores).mean() for negatives in NEGATIVES
    }
    log_k = math.log(1 + (batch - 1) * locations)
    objective = expectation.pop("locations")
    np.testing.assert_allclose(objective - math.log(batch) + log_k, with_log_k, rtol=1e-5)
    assert with_log_k > math.log(symbols) > a_bound > objective
    np.testing.assert_allclose(list(expectation.values()), a_bound, rtol=1e-5)


@pytest.mark.parametrize(
    ("jsd", "mi"),
    [
        (0.05, 0.07287997577323449),
        (0.4, 0.636392847697476),
        (1.0, 2.1019538153913615),
        (1.16, 2.838433135838999),
        (1.3, 4.0762185376779545),
        (0.9938582532964797, math.log(8)),  # X = Y uniform on 8 symbols attains it
        (0.0, 0.0),
        (-0.2, 0.0),
        (1.4, math.inf),
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


# What a user can get wrong.

TWO_POSITIVES = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]], bool)
SHARED_CANDIDATE = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], bool)


@every_bound
@pytest.mark.parametrize(
    ("scores", "options", "error", "message"),
    [
        (np.zeros(4), {}, ValueError, r"shape \(4,\).*\[anchors, candidates, \*locations\]"),
        (np.zeros((4, 4, 0)), {}, ValueError, r"shape \(4, 4, 0\).*none of them empty"),
        (np.zeros((4, 4), int), {}, TypeError, r"int32\[4, 4\].*floating-point.*astype"),
        (np.zeros((4, 6, 2)), {}, ValueError, r"\(4, 6, 2\).*pass positives b\[4, 6\]"),
        (np.zeros((1, 1)), {}, ValueError, r"\(1, 1\): a batch of 1 has no negatives.*larger"),
        (np.zeros((4, 4)), {"positives": np.eye(3, dtype=bool)}, ValueError, r"\(3, 3\).*\(4, 4\)"),
        (np.zeros((4, 4)), {"positives": np.eye(4)}, TypeError, r"float64\[4, 4\].*bool"),
        (
            np.zeros((3, 3)),
            {"positives": np.eye(3, k=1, dtype=bool)},
            ValueError,
            "0 True in row 2",
        ),
        (
            np.zeros((3, 3)),
            {"positives": TWO_POSITIVES},
            ValueError,
            "2 True in row 0.*exactly one",
        ),
        (np.zeros((4, 4)), {"axis_name": "data"}, ValueError, r"\(4, 4\).*'data'.*positives"),
        (np.zeros((4, 4)), {"sharded": "rows"}, ValueError, "'rows' is unknown.*'candidates'"),
    ],
)
def test_mistakes_raise_at_trace_time(bound, scores, options, error, message):
    with pytest.raises(error, match=message):
        jax.eval_shape(lambda scores: BOUNDS[bound][0](scores, **options), scores)


def test_mistakes_of_infonce():
    with pytest.raises(ValueError, match=r"'rows' is unknown; use one of.*'same_location'"):
        bounds.infonce(np.zeros((3, 3)), negatives="rows")
    with pytest.raises(ValueError, match=r"2 True in column 0.*at most one"):
        bounds.infonce(np.zeros((3, 3)), SHARED_CANDIDATE, negatives="anchors")
    assert np.isfinite(bounds.infonce(np.zeros((3, 3)), SHARED_CANDIDATE))
    with pytest.raises(ValueError, match=r"\(1, 5\).*along axis 0"):
        bounds.infonce(np.zeros((1, 5)), np.eye(1, 5, dtype=bool), negatives="anchors")
    assert np.isfinite(bounds.infonce(np.zeros((1, 5)), np.eye(1, 5, dtype=bool)))


def test_importing_the_bounds_costs_jax_and_no_more():
    code = (
        "import sys, dim_jax.bounds; "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "{'flax', 'optax', 'orbax', 'tensorflow', 'tensorflow_datasets', 'ml_collections'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
