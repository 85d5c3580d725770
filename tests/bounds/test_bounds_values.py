"""Every estimator against float64 loops and golden values: value, gradient, numerics.

A program holds all estimators: compiling is what costs.
"""

import json
import math
import pathlib
import subprocess
import sys
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references

from dim_jax import bounds

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())
every = pytest.mark.parametrize("name", references.ESTIMATORS)


@jax.jit
def values(scores, positives=None):
    """{name: value} of every estimator."""
    return {name: references.call(name, scores, positives) for name in references.ESTIMATORS}


@partial(jax.jit, static_argnames="names")
def gradients(scores, positives=None, names=tuple(references.ESTIMATORS)):
    """{name: (value, gradient)} of the named estimators."""
    return {
        name: jax.value_and_grad(partial(references.call, name))(scores, positives)
        for name in names
    }


def layout(name):
    shape, positives = {
        "locations": ((4, 4, 3), np.eye(4, dtype=bool)),
        "map": ((3, 3, 2, 3), np.eye(3, dtype=bool)),
        "permuted": ((5, 5, 2), np.eye(5, dtype=bool)[[3, 0, 4, 1, 2]]),
        "queue": ((3, 8), np.eye(3, 8, dtype=bool)),
        "rolled": ((4, 3), np.eye(1, 3, dtype=bool).repeat(4, axis=0)),  # positive comes first
    }[name]
    return 2 * np.random.default_rng(3).standard_normal(shape) + 1, positives


def fits(name, layout):
    estimator = references.ESTIMATORS[name]
    if layout == "queue":
        return not estimator.square
    return layout != "rolled" or not (estimator.square or estimator.unique)


CASES = [
    (name, kind)
    for name in references.ESTIMATORS
    for kind in ("locations", "map", "permuted", "queue", "rolled")
    if fits(name, kind)
]


@cache
def gradients_by(kind):
    """`gradients` of all estimators that a layout fits, in float32 and in float64."""
    scores, positives = layout(kind)
    names = tuple(name for name, of_layout in CASES if of_layout == kind)
    single = gradients(jnp.asarray(scores, jnp.float32), positives, names)
    with jax.enable_x64(True):
        return single, gradients(jnp.asarray(scores), positives, names)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_value_and_gradient_equal_float64_loops(name, kind):
    scores, positives = layout(kind)
    expected = references.loop(name, scores, positives)
    slopes = references.slopes(name, scores, positives)
    scale = max(1.0, np.abs(slopes).max())
    single, double = (results[name] for results in gradients_by(kind))
    assert single[0].dtype == jnp.float32 and single[0].shape == ()
    np.testing.assert_allclose(single[0], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(single[1], slopes, atol=1e-5 * scale)
    np.testing.assert_allclose(double[0], expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(double[1], slopes, atol=1e-8 * scale)


@every
def test_positives_as_diagonal_mask_or_columns_traced_or_not(name):
    scores, positives = layout("locations")
    diagonal = values(scores)[name]
    for given in known_positives(scores):
        np.testing.assert_allclose(given[name], diagonal, rtol=1e-6)
    for given in (positives, np.arange(4)):
        np.testing.assert_allclose(values(scores, given)[name], diagonal, rtol=1e-5)


@jax.jit
def known_positives(scores):
    """`values` with positives whose numbers are known when the program is compiled."""
    forms = ([0, 1, 2, 3], np.arange(4), np.eye(4, dtype=bool))
    return [values.__wrapped__(scores, form) for form in forms]


@pytest.mark.parametrize("name", ["infonce", "donsker_varadhan"])
def test_eager_calls_equal_compiled_ones(name):
    scores, positives = layout("locations")
    f = getattr(bounds, name)
    for given in (None, jnp.asarray(positives), [0, 1, 2, 3]):
        np.testing.assert_allclose(f(scores, given), jax.jit(f)(scores), rtol=1e-6)


def golden_matrix():
    i, j = np.ogrid[:5, :5]
    return 0.1 * ((7 * i + 3 * j) % 11) - 0.4 + 0.9 * (i == j)


def golden_local():
    """Four images, three locations, two globals (last axis)."""
    i, j, l, m = np.ogrid[:4, :4, :3, :2]
    return 0.1 * ((7 * i + 3 * j + 5 * l + 2 * m) % 13) - 0.5 + 0.8 * (i == j)


def with_baseline(f, **options):
    # Made anew at each call: JAX remembers the float32 of a NumPy array when x64 comes on.
    return lambda scores: f(scores, log_baseline=0.05 * np.arange(5) - 0.1, **options)


MATRIX = {
    "dv_offdiag": bounds.donsker_varadhan,
    "nwj_T_minus_1": bounds.nwj,
    "tuba_log_a_over_y": with_baseline(bounds.tuba),
    "tuba_const_e (equals nwj_T_minus_1)": partial(bounds.tuba, log_baseline=1.0),
    "jsd_fgan_shifted": bounds.jensen_shannon,
    "gan_unshifted": bounds.gan,
    "rkl": bounds.reverse_kl,
    "h2": bounds.squared_hellinger,
    "chi2_fgan": bounds.pearson_chi2,
    "w1_ipm_difference": bounds.wasserstein,
    "infonce_row_fixed_x": bounds.infonce,
    "infonce_col_fixed_y": partial(bounds.infonce, negatives="anchors"),
    "infonce_sym": bounds.symmetric_infonce,
    "infonce_row_positive_excluded_logBminus1": bounds.decoupled_infonce,
    "interp_alpha_0.01_log_a_over_y": with_baseline(bounds.interpolated, alpha=0.01),
    "interp_alpha_0.5_log_a_over_y": with_baseline(bounds.interpolated, alpha=0.5),
    "interp_alpha_1.0_log_a_over_y": with_baseline(bounds.interpolated, alpha=1.0),
    "smile_tau_0.3": partial(bounds.smile, tau=0.3),
    "smile_tau_1.0": partial(bounds.smile, tau=1.0),
    "smile_tau_5.0": partial(bounds.smile, tau=5.0),
    "club_with_diag (T as log q(y_j|x_i))": partial(bounds.club, include_positives=True),
    "club_offdiag": bounds.club,
    "l1out (avg over x_i for fixed y_j)": bounds.leave_one_out,
    "js_train_nwj_value_nwj(T+1)": bounds.js_nwj,
}


def test_every_golden_value_but_the_wrong_partition_is_compared():
    assert set(GOLDEN["matrix"]) - {"dv_with_diag"} == set(MATRIX)
    wrong = {key for key in GOLDEN["local"] if "do_not_use" in key or "fill" in key}
    elsewhere = {key for key in GOLDEN["local"] if key.startswith("amdim")}
    assert set(GOLDEN["local"]) - wrong - elsewhere == set(LOCAL)


@jax.jit
def matrix_values(scores):
    return {key: f(scores) for key, f in MATRIX.items()}


@pytest.mark.parametrize("key", MATRIX)
def test_golden_matrix(key):
    expected = GOLDEN["matrix"][key]
    np.testing.assert_allclose(matrix_values(golden_matrix())[key], expected, rtol=1e-5)
    with jax.enable_x64(True):
        np.testing.assert_allclose(matrix_values(golden_matrix())[key], expected, rtol=1e-12)


@pytest.mark.parametrize("key", MATRIX)
def test_golden_matrix_from_bfloat16_features(key):
    """Features whose dot products are the matrix to 16 bits, if summed in float32."""
    scores = golden_matrix().astype(np.float32)
    coarse = jnp.asarray(scores, jnp.bfloat16)
    fine = jnp.asarray(scores - coarse.astype(np.float32), jnp.bfloat16)
    anchors = jnp.concatenate([coarse, fine], axis=1)
    candidates = jnp.concatenate([jnp.eye(5, dtype=jnp.bfloat16)] * 2, axis=1)
    value = matrix_values(bounds.dot(anchors, candidates))[key]
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, GOLDEN["matrix"][key], rtol=1e-3)


def globals_apart(f):
    return lambda scores: jax.vmap(f, in_axes=-1)(scores).mean()


def infonce(negatives, constant=0.0):
    f = partial(bounds.infonce, negatives=negatives)
    return globals_apart(lambda scores: f(scores) + constant)


LOCAL = {
    "fd_jsd_loss (E_neg-E_pos, shifted)": lambda t: -bounds.jensen_shannon(t),
    "fd_gan_loss": lambda t: -bounds.gan(t),
    "fd_kl_loss": lambda t: -bounds.nwj(t),
    "fd_rkl_loss": lambda t: -bounds.reverse_kl(t),
    "fd_h2_loss": lambda t: -bounds.squared_hellinger(t),
    "fd_w1_loss": lambda t: -bounds.wasserstein(t),
    "fd_chi2_corrected_loss": lambda t: -bounds.pearson_chi2(t),
    "dv_pooled_estimate": bounds.donsker_varadhan,
    "dv_per_location_mean_estimate": lambda t: jax.vmap(
        jax.vmap(bounds.donsker_varadhan, in_axes=-1), in_axes=-1
    )(t).mean(),
    "nce_reference_loss (pos + (B-1)*L negatives, exact mask, no log K)": lambda t: (
        -infonce("locations", -math.log(4))(t)
    ),
    "nce_reference_estimate_logK (NOT a bound)": infonce(
        "locations", math.log(1 + 3 * 3) - math.log(4)
    ),
    "nce_per_image_mean_logB (bound on mean_l I)": infonce("candidates"),
    "nce_same_location_row_logB": infonce("same_location"),
    "nce_fixed_local_other_globals_logB": infonce("anchors"),
    "nce_all_locations_incl_own_logBL (bound on I(X;all Y_l))": infonce("all_locations"),
}


@jax.jit
def local_values(scores):
    return {key: f(scores) for key, f in LOCAL.items()}


@pytest.mark.parametrize("key", LOCAL)
def test_golden_local(key):
    expected = GOLDEN["local"][key]
    np.testing.assert_allclose(local_values(golden_local())[key], expected, rtol=1e-5)
    with jax.enable_x64(True):
        np.testing.assert_allclose(local_values(golden_local())[key], expected, rtol=1e-12)


@every
def test_order_of_images_and_locations_does_not_matter(name):
    scores, _ = layout("locations")
    images, locations = np.array([2, 0, 3, 1]), np.array([1, 2, 0])
    shuffled = scores[images][:, images][:, :, locations]
    np.testing.assert_allclose(values(shuffled)[name], values(scores)[name], rtol=1e-5)


EXTREMES = {  # name: (entries, what they become)
    "huge positive": (np.s_[1, 1], 1e4),
    "tiny positive": (np.s_[1, 1], -1e4),
    "huge negative": (np.s_[2, 0, 1], 1e4),
    "tiny negative": (np.s_[2, 0, 1], -1e4),
    "all huge": (..., 1e4),
    "all tiny": (..., -1e4),
}


def extreme(case):
    scores = np.random.default_rng(4).standard_normal((4, 4, 3)).astype(np.float32)
    where, value = EXTREMES[case]
    scores[where] = value + (scores[where] if where is ... else 0)
    return scores


@every
@pytest.mark.parametrize("case", EXTREMES)
def test_large_scores_give_exact_values_and_finite_gradients(name, case):
    scores = extreme(case)
    value, slopes = gradients(scores)[name]
    if case in references.ESTIMATORS[name].infinite:
        assert value == -math.inf
        assert name != "js_nwj" or np.isfinite(slopes).all()
        return
    with np.errstate(over="ignore", under="ignore"):
        expected = references.loop(name, scores, np.eye(4, dtype=bool))
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0


@pytest.mark.parametrize("function", [bounds.nwj, bounds.reverse_kl, bounds.squared_hellinger])
@pytest.mark.parametrize("case", EXTREMES)
def test_clip_is_the_value_of_the_clipped_critic_and_finite(function, case):
    scores = extreme(case)
    value, slopes = jax.value_and_grad(partial(function, clip=3.0))(jnp.asarray(scores))
    np.testing.assert_allclose(value, function(np.clip(scores, -3, 3)), rtol=1e-6)
    assert np.isfinite(slopes).all()
    assert (np.asarray(slopes)[np.abs(scores) > 3] == 0).all()


@every
def test_no_constant_stands_in_for_a_positive_among_the_negatives(name):
    """All scores at -30: a mask by a finite constant such as -10 would weigh e^20 too much."""
    scores = np.full((4, 4, 3), -30.0)
    expected = references.loop(name, scores, np.eye(4, dtype=bool))
    np.testing.assert_allclose(values(scores)[name], expected, rtol=1e-5, atol=1e-5)


@every
def test_bfloat16_scores_are_reduced_in_float32(name):
    scores = jnp.asarray(3 * np.random.default_rng(5).standard_normal((64, 64)), jnp.bfloat16)
    value, slopes = gradients(scores)[name]
    assert value.dtype == jnp.float32 and slopes.dtype == jnp.bfloat16
    in_float32 = values(scores.astype(jnp.float32))[name]
    np.testing.assert_allclose(value, in_float32, rtol=1e-5)


def test_interpolated_at_one_is_shift_invariant_to_1e4():
    scores, _ = layout("locations")
    f = jax.jit(jax.value_and_grad(partial(bounds.interpolated, alpha=1.0)))
    shift = np.array([1e4, -1e4, 3e3, 0])[None, :, None]
    for ours, theirs in zip(f(scores + shift), f(scores), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_leaving_out_the_largest_of_a_column_keeps_the_others():
    """In float32, 1 + e^-40 - 1 is 0: the sum of the others must not come from a subtraction."""
    scores = np.zeros((3, 3), np.float32)
    scores[1, 0] = 40.0
    value, slopes = jax.value_and_grad(partial(bounds.interpolated, alpha=1.0))(scores)
    expected = references.interpolated(scores[..., None].astype(float), np.eye(3) > 0, 1.0)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert np.isfinite(slopes).all()


@every
def test_two_images_are_enough(name):
    scores = np.random.default_rng(0).standard_normal((2, 2, 3))
    value, slopes = gradients(scores)[name]
    expected = references.loop(name, scores, np.eye(2, dtype=bool))
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    assert np.isfinite(slopes).all()


def test_a_baseline_per_candidate_and_location():
    scores, _ = layout("locations")
    baseline = np.random.default_rng(1).standard_normal((4, 3))
    flat = [
        references.tuba(scores[:, :, [l]], np.eye(4, dtype=bool), baseline[:, l]) for l in range(3)
    ]
    np.testing.assert_allclose(bounds.tuba(scores, log_baseline=baseline), np.mean(flat), rtol=1e-5)
    flat = [
        references.interpolated(scores[:, :, [l]], np.eye(4, dtype=bool), 0.3, baseline[:, l])
        for l in range(3)
    ]
    value = bounds.interpolated(scores, alpha=0.3, log_baseline=baseline)
    np.testing.assert_allclose(value, np.mean(flat), rtol=1e-5)


@pytest.mark.parametrize("level", [-1e4, 1e4])
def test_a_baseline_of_the_scores_size_keeps_gradients_finite(level):
    """Scores and baseline that move together leave TUBA where it is."""
    scores, _ = layout("locations")
    f = jax.jit(jax.value_and_grad(bounds.tuba))
    moved = f(scores + level, log_baseline=jnp.full(4, level))
    for ours, theirs in zip(moved, f(scores, log_baseline=0.0), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-2, atol=2e-3)


def test_likelihood_values():
    rng = np.random.default_rng(2)
    conditional, marginal = rng.standard_normal((2, 6))
    value = bounds.barber_agakov(jnp.asarray(conditional), entropy=1.5)
    np.testing.assert_allclose(value, 1.5 + conditional.mean(), rtol=1e-6)
    value, slopes = jax.value_and_grad(bounds.difference_of_entropies, argnums=(0, 1))(
        jnp.asarray(marginal), jnp.asarray(conditional)
    )
    np.testing.assert_allclose(value, conditional.mean() - marginal.mean(), rtol=1e-5)
    np.testing.assert_allclose(slopes, np.array([[-1 / 6] * 6, [1 / 6] * 6]), rtol=1e-6)


def test_second_derivatives_are_those_of_the_dense_formula():
    """Curvature of InfoNCE along a direction, against differences of gradients."""
    rng = np.random.default_rng(9)
    anchors, candidates, direction = rng.standard_normal((3, 6, 4))
    with jax.enable_x64(True):
        f = partial(bounds.blockwise.infonce, candidates=jnp.asarray(candidates), block=4)
        curved = jax.jvp(jax.grad(f), (anchors,), (direction,))[1]
        up, down = (jax.grad(f)(anchors + c * direction) for c in (1e-5, -1e-5))
        np.testing.assert_allclose(curved, (up - down) / 2e-5, atol=1e-8)


def test_importing_the_bounds_costs_jax_and_no_more():
    code = (
        "import sys, dim_jax.bounds; "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "{'flax', 'optax', 'orbax', 'tensorflow', 'tensorflow_datasets', 'ml_collections'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
