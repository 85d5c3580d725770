import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import suite
from dim_jax.evaluate.measures import ndm

V1 = ndm.PROTOCOLS["ndm-v1"]
V2 = ndm.PROTOCOLS["ndm-v2"]
PAPER = ndm.PROTOCOLS["ndm-paper-v1"]


def short(settings, **changes):
    return settings._replace(fit=settings.fit._replace(**changes))


def equicorrelated(count, correlation, seed, size=8):
    """Gaussian rows f[n,d] of variance 1 whose every two coordinates correlate equally."""
    random = np.random.default_rng(seed)
    common, own = random.normal(size=(count, 1)), random.normal(size=(count, size))
    return (np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own).astype(np.float32)


def both(correlation, train=45_000, test=10_000):
    return {
        "train": equicorrelated(train, correlation, 1),
        "test": equicorrelated(test, correlation, 2),
    }


_LONG = dict(steps=500, batch=128, check_every=250)
_SHORT = dict(steps=100, check_every=50)


@pytest.mark.parametrize(
    ("settings", "correlation", "expected", "rows", "changes"),
    [
        (V1, 0.5, 1.6740, 20_000, _LONG),
        pytest.param(V1, 0.0, 0.0, 45_000, _SHORT, marks=pytest.mark.slow),
    ],
)
def test_total_correlation_of_equicorrelated_gaussians(
    settings, correlation, expected, rows, changes
):
    value = ndm.total_correlation(short(settings, **changes), both(correlation, rows), 0)
    # After 500 steps twelve seeds have 1.48 with a deviation of 0.04.
    assert value == pytest.approx(expected, rel=0.2, abs=0.02)
    assert value < expected + 0.03  # a lower bound, but for the noise of 10,000 rows


@pytest.mark.slow
def test_shuffled_coordinates_are_independent():
    random = np.random.default_rng(0)
    rows = {name: random.permuted(part, axis=0) for name, part in both(0.5).items()}
    settings = short(V1, steps=200, batch=64)
    assert ndm.total_correlation(settings, rows, 0) == pytest.approx(0.0, abs=0.02)


@pytest.mark.slow
def test_trained_on_the_reported_rows_the_value_is_inflated():
    rows = both(0.0, train=300, test=300)
    own = short(PAPER, learning_rate=1e-3, steps=150)  # learns in few steps what 1e-4 learns later
    assert ndm.total_correlation(own, rows, 0) > 0.5
    honest = ndm.total_correlation(short(V1, steps=150, check_every=25), rows, 0)
    assert honest == pytest.approx(0.0, abs=0.1)  # 300 rows are few


def test_the_scale_and_place_of_coordinates_change_nothing_where_standardised():
    rows = both(0.5, train=2000, test=500)
    settings = short(V1, steps=60, check_every=30)
    scale, shift = np.float32(2.0) ** np.arange(-4, 4), np.arange(8, dtype=np.float32)
    moved = {name: part * scale + shift for name, part in rows.items()}
    first, second = (ndm.total_correlation(settings, each, 0) for each in (rows, moved))
    assert first == pytest.approx(second, rel=0.02) and first > 0.1


@pytest.mark.slow
def test_only_the_standardised_form_counts_a_collapsed_function_of_another_coordinate(
    optimised,
):
    """Four independent coordinates, and a fifth that is a function of the first, times 0.01."""
    changes = dict(steps=150, batch=128, check_every=75)
    rows = {
        name: equicorrelated(count, 0.0, seed, size=4)
        for name, count, seed in (("train", 8000, 1), ("test", 2000, 2))
    }

    def value(settings, scale):
        function = {name: scale * np.tanh(2 * part[:, :1]) for name, part in rows.items()}
        more = {name: np.concatenate([rows[name], part], 1) for name, part in function.items()}
        return ndm.total_correlation(settings, more, 0)

    assert value(short(V1, **changes), 0.01) > 0.7
    assert value(short(V2, **changes), 0.01) == pytest.approx(0.0, abs=0.05)


def test_products_keep_each_coordinate_and_break_the_rows():
    rows = jnp.arange(60.0).reshape(20, 3)
    (columns,) = ndm._columns(jax.random.key(0), rows, rows, 2)
    np.testing.assert_array_equal(columns[:, 0], rows)
    for product in (np.asarray(columns[:, 1]), np.asarray(columns[:, 2])):
        np.testing.assert_array_equal(np.sort(product, axis=0), rows)
        assert len({tuple(np.argsort(column)) for column in product.T}) == 3
    assert (columns[:, 1] != columns[:, 2]).any()


def test_all_orders_of_a_column_are_equally_likely():
    """The chi-squared statistic of 30,000 orders of three rows, with five degrees of freedom."""
    rows = jnp.broadcast_to(jnp.arange(3)[:, None], (3, 30_000))
    drawn = np.asarray(ndm._permute_columns(jax.random.key(0), rows))
    _, counts = np.unique(drawn, axis=1, return_counts=True)
    assert len(counts) == 6
    assert ((counts - 5000) ** 2 / 5000).sum() < 20.5  # passed by one draw of a thousand


def test_the_second_protocol_differs_from_the_first_in_standardising_alone():
    assert V1.standardise and V1._replace(standardise=False) == V2


def test_the_paper_protocol_is_the_published_one():
    fit = PAPER.fit
    assert (PAPER.trained_on, PAPER.examples, PAPER.standardise) == ("test", 10_000, False)
    assert (fit.batch, fit.steps, fit.learning_rate, fit.milestones) == (
        *(10_000, 1000, 1e-4),
        (500, 750),
    )
    assert (fit.products, fit.reported_products, fit.held_out) == (1, 1, 0.0)
    params, _ = ndm._problem().net.init(jax.random.key(0), jnp.zeros((2, 2, 64)))
    assert [params[name]["kernel"].shape for name in ("linear0", "linear1", "score")] == [
        *((64, 1000), (1000, 200)),
        (200, 1),
    ]


@pytest.fixture
def quick(monkeypatch):
    """The protocol of the default name, with few steps."""
    monkeypatch.setitem(ndm.PROTOCOLS, "ndm-v1", short(V1, steps=20, check_every=10))


@pytest.mark.slow
def test_rows_of_a_suite(quick, encoder, unlabelled, rng):
    evals = {"dependence": {"name": "ndm"}}
    suite.check(evals, unlabelled)
    found, _ = suite.run(evals, {"trained": encoder}, unlabelled, rng, lambda line: None)
    assert [(row["tap"], row["metric"], row["protocol"]) for row in found] == [
        ("y", "ndm", "ndm-v1"),
        ("y", "ndm_after_sigmoid", "ndm-v1"),
    ]
    assert found[0]["value"] > 0.05 and np.isfinite(found[1]["value"])
    again, _ = suite.run(evals, {"trained": encoder}, unlabelled, rng, lambda line: None)
    assert found == again
    other, _ = suite.run(
        evals, {"trained": encoder}, unlabelled, jax.random.key(1), lambda line: None
    )
    assert found[0]["value"] != other[0]["value"]


def test_the_figure_after_the_sigmoid_is_of_squashed_coordinates(quick, digits, rng):
    table = jnp.asarray(equicorrelated(1797, 0.9, 0))
    count = len(digits.splits["train"].images)

    def splits(start, size):
        index = np.arange(start, start + size)
        images = np.stack([index // 256, index % 256], -1).astype(np.uint8)[:, None, None]
        return dataset.Split(images, np.full(size, -1, np.int32))

    def looked_up(squash):
        def represent(images):
            index = images[:, 0, 0].astype(jnp.int32) @ jnp.array([256, 1])
            return {"y": squash(table[index])}

        return contracts.Frozen(jax.jit(represent))

    parts = {"train": splits(0, count), "test": splits(count, 1797 - count)}
    plain = ndm.evaluate(looked_up(lambda y: y), parts, rng)
    squashed = ndm.evaluate(looked_up(jax.nn.sigmoid), parts, rng)
    assert plain["y/ndm_after_sigmoid"] == pytest.approx(squashed["y/ndm"], rel=1e-3)
    assert plain["y/ndm"] != plain["y/ndm_after_sigmoid"]


def test_mistakes(encoder, digits, rng):
    with pytest.raises(contracts.UserError, match="unknown tap 'z'"):
        ndm.evaluate(encoder, digits.splits, rng, taps=("z",))
    with pytest.raises(contracts.UserError, match="NDM protocol 'ndm-1': did you mean"):
        suite.check({"ndm": {"name": "ndm", "protocol": "ndm-1"}})
    with pytest.raises(contracts.UserError, match="unknown NDM protocol 'mine-v1'"):
        suite.check({"ndm": {"name": "ndm", "protocol": "mine-v1"}})


def test_drawn_codes_are_judged_in_the_place_of_their_means(monkeypatch, digits, rng):
    """The rows that the critic sees are those draws, of both splits."""
    seen = {}
    monkeypatch.setattr(
        ndm.features, "drawn_codes", lambda frozen, split, key: split.images[:, 0, :2, 0]
    )
    monkeypatch.setattr(
        ndm, "total_correlation", lambda settings, rows, seed: seen.update(rows) or 7.0
    )
    assert ndm.evaluate(None, digits.splits, rng, drawn=True) == {"y/ndm_of_draws": 7.0}
    for name in ("train", "test"):
        np.testing.assert_array_equal(seen[name], digits.splits[name].images[:, 0, :2, 0])
