"""Losses of SwAV, Barlow Twins, VICReg and SIGReg against their definitions in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from scipy import integrate, special, stats

from dim_jax import contracts, losses

N, D, K = 16, 5, 4
KEY = jax.random.key(3)


def swap(first, second):
    """Both views as scores with the prototypes, K of their features."""
    codes = losses.sinkhorn(second[:, :K], epsilon=0.3, steps=3)
    return losses.swap_loss(first[:, :K], codes, temperature=0.1)


OURS = {
    "swap": swap,
    "barlow_twins": lambda *pair: losses.barlow_twins(*pair, off_diagonal=0.3)[0],
    "vicreg": lambda *pair: losses.vicreg(*pair, invariance=25, variance=5, covariance=2)[0],
    # Of one feature the unit vector is 1 or -1, which the statistic does not tell apart.
    "sigreg": lambda first, second: (
        losses.sigreg(first[:, :1], KEY, directions=3)
        + losses.sigreg(second[:, :1], KEY, directions=1, knots=33, limit=5.0)
    ),
}


def codes_by_loops(scores, epsilon, steps):
    q = np.exp(scores / epsilon)
    for _ in range(steps):
        for j in range(q.shape[1]):
            q[:, j] /= q[:, j].sum()
        for i in range(len(q)):
            q[i] /= q[i].sum()
    return q


def swap_by_loops(first, second):
    codes = codes_by_loops(second[:, :K].copy(), 0.3, 3)
    logits = first[:, :K] / 0.1
    logs = logits - special.logsumexp(logits, axis=1, keepdims=True)
    return -sum(codes[i] @ logs[i] for i in range(N)) / N


def barlow_by_loops(first, second):
    pair = [(x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) for x in (first, second)]
    total = 0.0
    for i in range(D):
        for j in range(D):
            correlation = np.mean(pair[0][:, i] * pair[1][:, j])
            total += (1 - correlation) ** 2 if i == j else 0.3 * correlation**2
    return total


def vicreg_by_loops(first, second):
    total = 25 * np.mean((first - second) ** 2)
    for x in (first, second):
        deviations = np.sqrt(x.var(axis=0, ddof=1) + 1e-4)
        total += 5 * np.mean(np.maximum(0, 1 - deviations)) / 2
        covariances = np.cov(x.T)
        total += 2 * sum(covariances[i, j] ** 2 for i in range(D) for j in range(D) if i != j) / D
    return total


def distance(x, t):
    """The integrand of the statistic of Epps and Pulley for values x f[n] at the knots t."""
    t = np.asarray(t)
    phi = np.exp(1j * np.multiply.outer(t, x)).mean(axis=-1)
    return np.abs(phi - np.exp(-(t**2) / 2)) ** 2 * np.exp(-(t**2) / 2)


def sigreg_by_definition(first, second):
    total = 0.0
    for x, knots, limit in ((first[:, 0], 17, 3.0), (second[:, 0], 33, 5.0)):
        t = np.linspace(-limit, limit, 2 * knots - 1)
        total += N * integrate.trapezoid(distance(x, t), t)
    return total


DEFINITIONS = {
    "swap": swap_by_loops,
    "barlow_twins": barlow_by_loops,
    "vicreg": vicreg_by_loops,
    "sigreg": sigreg_by_definition,
}


@pytest.fixture(scope="module")
def views():
    """Two views whose features have means, and deviations on both sides of 1."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(N, D)) * np.linspace(0.5, 1.5, D) + 0.3
    return np.float32(first), np.float32(first + 0.5 * rng.normal(size=(N, D)))


@jax.jit
def all_of(first, second):
    return {name: jax.value_and_grad(loss, (0, 1))(first, second) for name, loss in OURS.items()}


@pytest.fixture(scope="module")
def found(views):
    return jax.device_get(all_of(*views))


@pytest.mark.parametrize("name", OURS)
def test_values_and_gradients_of_the_definitions(name, views, found):
    """The gradient along a direction, beside a difference of the definition in float64."""
    value, gradients = found[name]
    pair = np.float64(views)
    assert value == pytest.approx(DEFINITIONS[name](*pair), rel=1e-5)
    way = np.random.default_rng(1).normal(size=pair.shape)
    if name == "swap":
        assert (gradients[1] == 0).all()  # codes are targets
        way[1] = 0
    sides = [DEFINITIONS[name](*(pair + step * way)) for step in (1e-5, -1e-5)]
    slope = (sides[0] - sides[1]) / 2e-5
    assert np.sum(way * np.float64(gradients)) == pytest.approx(slope, rel=1e-4)


def test_eight_devices_equal_one(views, found):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = [jax.device_put(x, NamedSharding(mesh, P("data"))) for x in views]
    theirs = jax.device_get(all_of(*split))
    for ours, other in zip(jax.tree.leaves(found), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(other, ours, rtol=1e-4, atol=1e-5)


codes_of = jax.jit(losses.sinkhorn)


def test_codes_use_all_prototypes_equally():
    scores = np.random.default_rng(2).normal(size=(12, K))
    few = codes_of(scores, epsilon=0.5, steps=3)
    np.testing.assert_allclose(few, codes_by_loops(scores, 0.5, 3), rtol=1e-5)
    many = np.asarray(codes_of(scores, epsilon=0.5, steps=40))
    np.testing.assert_allclose(many.sum(axis=0), 12 / K, rtol=1e-4)
    np.testing.assert_allclose(many.sum(axis=1), 1, rtol=1e-5)
    none = codes_of(scores, epsilon=0.5, steps=0)
    np.testing.assert_allclose(none, special.softmax(scores / 0.5, axis=1), rtol=1e-5)


def test_codes_of_extreme_scores_are_finite():
    scores = np.random.default_rng(2).normal(size=(12, K))
    for scale in (1e4, 1e30, -1e30):
        codes = np.asarray(codes_of(scale * scores, epsilon=1e-3, steps=3))
        np.testing.assert_allclose(codes.sum(axis=1), 1, rtol=1e-5)


def test_parts_are_unweighted(views):
    loss, parts = jax.jit(losses.barlow_twins)(*views, off_diagonal=0.3)
    assert loss == pytest.approx(parts["invariance"] + 0.3 * parts["redundancy"])
    weights = dict(invariance=25.0, variance=5.0, covariance=2.0)
    loss, parts = jax.jit(losses.vicreg)(*views, **weights)
    assert loss == pytest.approx(sum(weights[name] * part for name, part in parts.items()))


def test_collapsed_features_have_finite_gradients_and_their_price():
    same = np.ones((N, D), np.float32)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(all_of(same, same)))
    assert losses.barlow_twins(same, same, off_diagonal=0.3)[0] == D
    _, parts = losses.vicreg(same, same, invariance=25, variance=25, covariance=1)
    assert parts["variance"] == pytest.approx(1 - np.sqrt(1e-4))


@pytest.mark.parametrize("shapes", [((4, 3), (4, 2)), ((1, 3), (1, 3)), ((2, 4, 3), (2, 4, 3))])
def test_views_of_one_batch(shapes):
    pair = [jnp.zeros(shape) for shape in shapes]
    with pytest.raises(contracts.UserError, match="the same shape"):
        losses.barlow_twins(*pair, off_diagonal=0.3)
    with pytest.raises(contracts.UserError, match="at least two images"):
        losses.vicreg(*pair, invariance=1, variance=1, covariance=1)


def test_sigreg_converges_to_the_integral():
    x = np.random.default_rng(4).uniform(-2, 1, size=N)
    expected, _ = integrate.quad(lambda t: distance(x, t), -9, 9, limit=200)
    value = losses.sigreg(jnp.asarray(x[:, None]), KEY, directions=1, knots=129, limit=9.0)
    assert value == pytest.approx(N * expected, rel=1e-5)


def test_sigreg_is_the_mean_over_directions():
    """Of two features: 2,000 random directions, beside directions at equal angles."""
    rows = np.random.default_rng(5).uniform(-1, 2, size=(N, 2)) * (1, 2)
    t = np.linspace(-3, 3, 33)
    angles = np.linspace(0, np.pi, 100, endpoint=False)
    values = [
        N * integrate.trapezoid(distance(rows @ (np.cos(a), np.sin(a)), t), t) for a in angles
    ]
    found = losses.sigreg(jnp.asarray(rows), KEY, directions=2000)
    assert found == pytest.approx(np.mean(values), abs=5 * np.std(values) / np.sqrt(2000))


def test_the_level_is_the_mean_of_normal_draws():
    exact = np.sqrt(2 * np.pi) * (1 - 1 / np.sqrt(3))
    assert losses.sigreg_level(knots=200, limit=9.0) == pytest.approx(exact, rel=1e-6)
    for knots, limit in ((17, 3.0), (9, 5.0)):
        t = np.linspace(-limit, limit, 2 * knots - 1)
        expected = integrate.trapezoid((1 - np.exp(-(t**2))) * np.exp(-(t**2) / 2), t)
        assert losses.sigreg_level(knots=knots, limit=limit) == pytest.approx(expected, rel=1e-6)

    @jax.jit
    @jax.vmap
    def statistic(key):
        rows, units = jax.random.split(key)
        return losses.sigreg(jax.random.normal(rows, (8, 6)), units, directions=4)

    drawn = statistic(jax.random.split(KEY, 1000))
    error = float(stats.sem(drawn))
    assert np.mean(drawn) == pytest.approx(losses.sigreg_level(), abs=4 * error)
    assert error < 0.03


def test_rows_that_descend_reach_the_level_of_normal_draws():
    """From uniform rows off the origin, measured in directions that the descent did not see."""
    rows = 3 * jax.random.uniform(KEY, (64, 4))

    @jax.jit
    def descend(rows):
        def step(index, rows):
            key = jax.random.fold_in(KEY, index)
            return rows - 2 * jax.grad(losses.sigreg)(rows, key, directions=16)

        after = jax.lax.fori_loop(0, 100, step, rows)
        return [losses.sigreg(each, KEY, directions=200) for each in (rows, after)]

    before, after = descend(rows)
    assert before > 10 and after < losses.sigreg_level()


def test_the_backward_pass_keeps_projections_only():
    rows = jax.ShapeDtypeStruct((1000, 8), np.float32)

    def kept(rows):
        return jax.vjp(lambda rows: losses.sigreg(rows, KEY, directions=32, knots=17), rows)[1]

    sizes = [leaf.size for leaf in jax.tree.leaves(jax.eval_shape(kept, rows))]
    assert sum(sizes) < 3 * 1000 * 32


def test_gathered_rows_are_taken_inside_shard_map():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

    def values(rows):
        rows = jax.lax.all_gather(rows, "data", tiled=True)
        codes = losses.sinkhorn(rows, epsilon=0.05, steps=2)
        swapped = losses.swap_loss(rows, codes, temperature=0.1)
        return jax.lax.pmean(swapped + losses.sigreg(rows, KEY, directions=2), "data")

    sharded = jax.shard_map(values, mesh=mesh, in_specs=P("data"), out_specs=P())
    # Loops check there on which devices a value depends.
    assert jax.eval_shape(jax.grad(sharded), jnp.zeros((4, 3))).shape == (4, 3)
