"""Many columns by their information: order, p-values, corrections, and the command."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from dim_jax import contracts, mi
from dim_jax.mi import columns, command, corrections, independence

N = 300


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def known():
    """A ranking of columns whose dependence on y is known."""
    y, noise = draw(N), draw(N, 3, seed=1)
    x = {
        "nothing": noise[:, 0],
        "line": y + noise[:, 1],
        "circle": y**2 + 0.1 * noise[:, 2],
        "constant": np.ones(N),
        "copy": np.exp(y),
        "class": (y > 0).astype(int),
    }
    return mi.ranking(x, y, permutations=200)


def test_the_order_is_that_of_the_information(known):
    names = [row.name for row in known.rows]
    assert names[:2] == ["copy", "circle"] and {*names[2:4]} == {"line", "class"}
    rows = {row.name: row for row in known.rows}
    low, high = rows["line"].interval
    assert low < 0.5 * math.log(2) < high
    low, high = rows["class"].interval
    assert low < math.log(2) < high or abs(rows["class"].nats - math.log(2)) < 0.1
    assert rows["circle"].position == 2 and rows["circle"].p_value < 1e-6


def test_rows_without_a_test(known):
    rows = {row.name: row for row in known.rows}
    assert rows["constant"].nats == 0 and rows["constant"].notes == (
        "constant is constant, and shares no information",
    )
    assert rows["copy"].nats == math.inf and "monotone function" in rows["copy"].notes[0]
    for name in ("constant", "copy"):
        assert math.isnan(rows[name].p_value) and math.isnan(rows[name].corrected)
    # Four are tested: the smallest p-value is multiplied by four.
    tested = [row for row in known.rows if not math.isnan(row.p_value)]
    least = min(tested, key=lambda row: row.p_value)
    assert least.corrected == pytest.approx(4 * least.p_value)


def test_a_ranking_as_text_and_as_numbers(known):
    lines = str(known).splitlines()
    assert lines[0].split() == ["column", "nats", "95%", "interval", "p", "p", "(holm)", "remark"]
    assert lines[1].startswith("copy") and len(lines) == 7
    assert known.to_dict()["rows"][0]["name"] == "copy"


def test_names_types_and_classes():
    y = np.arange(N) % 3
    x = np.stack([y + 0.3 * draw(N), draw(N, seed=1)], axis=1)
    ranking = mi.ranking(x, y, names=["a", "b"], correction="benjamini_hochberg", permutations=99)
    assert [row.name for row in ranking.rows] == ["a", "b"]
    assert 0.7 < ranking.rows[0].nats < math.log(3) + 0.05
    assert "p (benjamini_hochberg)" in str(ranking)


def test_p_values_are_uniform_and_their_tails_too():
    rng = np.random.default_rng(0)
    laws = (rng.normal, rng.standard_cauchy, lambda size: rng.integers(0, 3, size))
    values = []
    for index in range(400):
        x = columns.Columns.of(laws[index % 3](size=60), "x")
        y = columns.Columns.of(np.round(rng.exponential(size=60), 1), "y")
        options = dict(blocks=None, permutations=99, random=rng)
        values.append(independence.p_value(x, y, **options))
    values = np.array(values)
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert np.mean(values < 0.01) < 0.03 and values.min() > 1e-5


def test_blocks_are_permuted_together():
    blocks = np.repeat(np.arange(30), 10)
    x, y = (np.repeat(draw(30, seed=seed), 10) for seed in (3, 4))
    columns_of = [columns.Columns.of(values, "x") for values in (x, y)]
    random = np.random.default_rng(0)
    by_sample, by_block = (
        independence.p_value(*columns_of, blocks=each, permutations=200, random=random)
        for each in (None, blocks)
    )
    assert by_sample < 0.01 < by_block


def test_corrections_are_those_of_the_definitions():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(corrections.holm(p), [0.03, 0.06, 0.06, 0.02])
    expected = stats.false_discovery_control(p, method="bh")
    np.testing.assert_allclose(corrections.benjamini_hochberg(p), expected)
    np.testing.assert_allclose(
        corrections.corrected(np.array([0.5, np.nan]), "holm"), [0.5, np.nan]
    )


@pytest.mark.slow
def test_errors_of_families_of_columns():
    """Of 40 columns without dependence, with as many of each type, in 10 families."""
    rng = np.random.default_rng(0)
    least = []
    for _ in range(10):
        y = columns.Columns.of(rng.standard_cauchy(size=200), "y")
        values = [
            independence.p_value(
                *(columns.Columns.of(column, "x"), y),
                **dict(blocks=None, permutations=200, random=rng),
            )
            for column in (*rng.normal(size=(20, 200)), *rng.integers(0, 4, size=(20, 200)))
        ]
        least.append(corrections.corrected(np.array(values), "holm").min())
    assert np.mean(np.array(least) <= 0.05) <= 0.3  # 4 or more of 10 have probability 0.001


def test_pairs():
    x = draw(N, 3)
    x[:, 1] += x[:, 0]
    x = np.concatenate([x, x[:, :1] ** 3, np.ones((N, 1))], axis=1)
    pairs = mi.pairwise(x, names="abcde", permutations=99)
    np.testing.assert_array_equal(pairs.nats, pairs.nats.T)
    assert np.isnan(np.diagonal(pairs.nats)).all()
    assert pairs.nats[0, 3] == math.inf and math.isnan(pairs.corrected[0, 3])
    assert abs(pairs.nats[0, 1] - 0.5 * math.log(2)) < 0.15
    assert pairs.corrected[0, 1] < 1e-4 < 0.05 < pairs.corrected[0, 2]
    assert (pairs.nats[4, :4] == 0).all()
    assert "e is constant, and shares no information" in pairs.notes
    assert str(pairs).splitlines()[0].split() == ["nats", *"abcde"]
    json.dumps(pairs.to_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(correction="bonferoni"), "unknown correction 'bonferoni'"),
        (dict(names="abc"), "names has 3 different names for 2 columns"),
        (dict(y=draw(70)), r"unequal numbers of samples \(x\[:, 0\] 60, y 70\)"),
        (dict(x=np.full((60, 2), [1, np.nan])), r"x\[:, 1\] is NaN in 60 of 60 rows"),
        (dict(x=draw(60, 4, 4, 1)), r"x has images of the shape \[4, 4, 1\]"),
        (dict(confidence=2), "confidence is 2"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(contracts.UserError, match=message):
        mi.ranking(**{"x": draw(60, 2), "y": draw(60, seed=1)} | options)


def test_pairs_need_two_columns():
    with pytest.raises(contracts.UserError, match="1 column"):
        mi.pairwise(draw(60))


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = draw(100, 2)
    np.save("x.npy", x)
    np.save("y.npy", x[:, 1] + draw(100, seed=1))
    arguments = ["x.npy", "y.npy", "--ranking", "--permutations=99"]
    assert command.run([*arguments, "--json=r.json"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "p (holm)" in printed[0] and "x[:, 1]" in printed[2] and printed[-1].endswith("r.json")
    assert json.loads((tmp_path / "r.json").read_text())["rows"][0]["position"] == 1
    assert command.run([*arguments, "--method=knn"]) == 2
    assert "--ranking has no --method" in capsys.readouterr().err
