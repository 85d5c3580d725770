"""Pairs that are neither positive nor negative: the definitions without them, in every form.

A program holds several estimators: compiling is what costs.
"""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from jax import lax
from jax.sharding import PartitionSpec as P
from scipy.stats import binom

from dim_jax import bounds, contracts

EACH_KIND = ("interpolated 0.4", "symmetric")  # all statistics, and all numbers of what is left
MIB = 2**20
VIEWS = np.arange(8)  # two of each of four images
OTHER_VIEW = np.roll(VIEWS, 4)


def layout():
    """Scores, and kinds of pairs: 1 positive, 0 negative, -1 excluded, as many as it falls."""
    rng = np.random.default_rng(4)
    kinds = np.eye(5, dtype=int)[[3, 0, 4, 1, 2]]
    kinds[(rng.random((5, 5)) < 0.4) & (kinds == 0)] = -1
    return rng.standard_normal((5, 5, 2)), kinds


@cache
def of_scores():
    """{name: (value, gradient)} of all estimators, in float64."""
    scores, kinds = layout()
    masks = dict(positives=kinds == 1, excluded=kinds < 0)

    def program(scores):
        return {
            name: jax.value_and_grad(partial(references.call, name))(scores, **masks)
            for name in references.ESTIMATORS
        }

    with jax.enable_x64(True):
        return jax.device_get(jax.jit(program)(scores))


@pytest.mark.parametrize("name", references.ESTIMATORS)
def test_value_and_gradient_equal_float64_loops(name):
    scores, kinds = layout()
    value, slopes = of_scores()[name]
    np.testing.assert_allclose(value, references.loop(name, scores, kinds), rtol=1e-11)
    expected = references.slopes(name, scores, kinds)
    np.testing.assert_allclose(slopes, expected, atol=1e-8 * max(1.0, np.abs(expected).max()))


def test_nt_xent_has_the_anchor_in_neither_part():
    z = np.random.default_rng(0).standard_normal((8, 3))
    scores = z @ z.T + np.diag(np.full(8, 100.0))
    terms = [
        scores[i, j] - np.logaddexp.reduce([scores[i, k] for k in VIEWS if k != i])
        for i, j in enumerate(OTHER_VIEW)
    ]
    for f in (bounds.infonce, bounds.symmetric_infonce):
        value, slopes = jax.jit(jax.value_and_grad(f))(scores, OTHER_VIEW, VIEWS)
        np.testing.assert_allclose(value, math.log(7) + np.mean(terms), rtol=1e-6)
        assert (np.diag(slopes) == 0).all()


def of_features(form, name, x, y, positives, excluded, **devices):
    estimator = references.ESTIMATORS[name]
    if form == "dense":
        return references.call(name, bounds.dot(x, y), positives, excluded=excluded, **devices)
    blockwise = getattr(bounds.blockwise, estimator.function.__name__)
    more = dict(positives=positives, excluded=excluded, block=3, **estimator.options, **devices)
    return blockwise(x, y, **more)


def features():
    rng = np.random.default_rng(6)
    return rng.standard_normal((8, 3)), rng.standard_normal((8, 2, 3))


def masks(as_columns):
    """Positives and what is excluded: one pair of most rows, or some of all."""
    positives = np.eye(8, dtype=bool)[OTHER_VIEW]
    some = np.random.default_rng(2).random((8, 8)) < 0.3
    columns = np.where(VIEWS == 5, -1, (OTHER_VIEW + 1) % 8)
    return (OTHER_VIEW, columns) if as_columns else (positives, some & ~positives)


def all_gradients(value, parts, names=EACH_KIND):
    """{name: (value, gradients)} of (name, x, y) -> value."""
    return {name: jax.value_and_grad(partial(value, name), (0, 1))(*parts) for name in names}


@cache
def in_one_program(form, as_columns):
    """Blocks with masks that are traced; a matrix with masks that are known."""
    known = masks(as_columns)

    def program(parts, traced):
        given = known if form == "dense" else traced
        return all_gradients(lambda name, *xy: of_features(form, name, *xy, *given), parts)

    with jax.enable_x64(True):
        return jax.device_get(jax.jit(program)(features(), known))


@cache
def on_devices(form, sharded, as_columns):
    """On eight devices, each with one anchor or one candidate."""

    def program(parts, masks):
        def value(name, x, y):
            gather = partial(lax.all_gather, axis_name="data", tiled=True)
            x, y = (x, gather(y)) if sharded == "anchors" else (gather(x), y)
            return of_features(form, name, x, y, *masks, axis_name="data", sharded=sharded)

        def here(columns):  # of this device's candidates
            return columns - lax.axis_index("data")

        if as_columns and sharded == "candidates":
            masks = jax.tree.map(here, masks)
        return all_gradients(value, parts)

    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    by_row, whole = P("data"), P()
    split = by_row if sharded == "anchors" else whole if as_columns else P(None, "data")
    specs = dict(in_specs=(by_row, split), out_specs={n: (whole, by_row) for n in EACH_KIND})
    with jax.enable_x64(True):
        program = jax.jit(jax.shard_map(program, mesh=mesh, **specs))
        return jax.device_get(program(features(), masks(as_columns)))


def close(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max())


every_form = pytest.mark.parametrize(
    ("form", "sharded", "as_columns"),
    [
        ("blockwise", "nothing", False),
        ("dense", "candidates", True),
        pytest.param("blockwise", "anchors", True, marks=pytest.mark.slow),
        pytest.param("dense", "anchors", False, marks=pytest.mark.slow),
    ],
)


@every_form
@pytest.mark.parametrize("name", EACH_KIND)
def test_by_blocks_and_on_devices_as_in_one_matrix(name, form, sharded, as_columns):
    one = sharded == "nothing"
    ours = in_one_program(form, as_columns) if one else on_devices(form, sharded, as_columns)
    close(ours[name], in_one_program("dense", as_columns)[name])


def test_excluded_columns_of_65536_anchors_take_less_than_256_mib():
    """Those of a block are computed; a mask of all pairs is 4096 MiB."""
    shape = jax.ShapeDtypeStruct((65_536, 128), jnp.float32)
    columns = jax.ShapeDtypeStruct((65_536,), jnp.int32)
    f = jax.value_and_grad(bounds.blockwise.infonce)

    def nt_xent(z, other, own):
        return f(z, z, positives=other, excluded=own)

    memory = jax.jit(nt_xent).lower(shape, columns, columns).compile().memory_analysis()
    assert memory.temp_size_in_bytes / MIB < 256


EYE = np.eye(3, dtype=bool)
FIRST_ROW = ~EYE & (np.arange(3) == 0)[:, None]
MISTAKES = {
    "type": (EYE.astype(float), TypeError, r"float64\[3, 3\].*bool mask or the column"),
    "shape": (np.eye(4, dtype=bool), ValueError, r"\(4, 4\) and scores \(3, 3.*shape \(3, 3\)"),
    "no such column": (np.array([1, 3, -1]), ValueError, "column 3 for row 1.*0 to 2, or -1"),
    "positive": (np.array([1, 1, -1]), ValueError, "row 1 and column 1, which is positive"),
    "positive in a mask": (EYE[[0, 2, 1]], ValueError, "row 0 and column 0.*excluded & ~positives"),
    "none left": (FIRST_ROW, ValueError, "row 0 without any negative.*exclude fewer"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_refused_where_they_are_known(mistake):
    excluded, error, message = MISTAKES[mistake]
    x = np.ones((3, 2), np.float32)
    for call in (
        lambda: bounds.infonce(x @ x.T, excluded=excluded),
        lambda: bounds.blockwise.infonce(x, x, excluded=excluded),
        lambda: bounds.with_fewer_negatives(bounds.nwj, x @ x.T, 1, jax.random.key(0), excluded),
    ):
        with pytest.raises(error, match=message) as raised:
            jax.eval_shape(call)
        assert "\n" not in str(raised.value)


def test_a_candidate_without_negatives():
    scores, column = np.zeros((3, 3), np.float32), FIRST_ROW.T
    with pytest.raises(ValueError, match="column 0 without any negative"):
        bounds.infonce(scores, excluded=column, negatives="anchors")


def test_mistakes_that_are_traced_make_the_value_nan():
    @jax.jit
    def values(excluded):
        scores = jnp.zeros((3, 3))
        drawn = bounds.with_fewer_negatives(bounds.nwj, scores, 1, jax.random.key(0), excluded)
        return bounds.infonce(scores, None, excluded), drawn

    for mistake in ("positive in a mask", "none left"):
        assert np.isnan(values(MISTAKES[mistake][0])).all()
    assert np.isfinite(values(FIRST_ROW.T)).all()


def test_negatives_are_not_drawn_from_excluded_pairs():
    scores = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    excluded = np.array([1, 2, 3, 0])

    def draw(scores, count):
        f = partial(bounds.with_fewer_negatives, bounds.jensen_shannon)
        return f(scores, count, jax.random.key(0), excluded)

    expected = jax.jit(partial(bounds.jensen_shannon, excluded=excluded))(scores)
    np.testing.assert_allclose(jax.jit(draw, static_argnums=1)(scores, 2), expected, rtol=1e-6)
    with pytest.raises(contracts.UserError, match=r"3 negatives.*row 0 has 2 that are not"):
        draw(scores, 3)


def test_mine_leaves_excluded_pairs_out_of_its_moving_average():
    scores, kinds = layout()
    state = bounds.mine_state()
    f = partial(bounds.mine, positives=kinds == 1, excluded=kinds < 0, state=state, decay=0.5)
    _, _, state = jax.jit(f)(scores)
    mean = np.mean([np.exp(scores[pair]).mean() for pair in references.entries(kinds)[1]])
    np.testing.assert_allclose(jnp.exp(state.log_sum) / state.weight, mean, rtol=1e-5)


def test_with_both_views_of_images_among_the_candidates_log_of_their_number_is_too_much():
    """Two equally likely symbols, both views the symbol, six images: what the docs print."""
    same = np.arange(6)  # other images with the anchor's symbol: two candidates each
    value = math.log(11) - binom.pmf(same, 5, 0.5) @ np.log1p(2 * same)
    assert math.log(2) + 0.003 < value < math.log(2) + 0.004
    assert value + math.log(6) - math.log(11) < math.log(2)
    assert bounds.infonce.facts[0].left == "independent" and bounds.nwj.facts[0].left == "marginal"
    text = bounds.__doc__
    assert f"{value:.4f}" in text and f"{math.log(2):.4f}" in text
