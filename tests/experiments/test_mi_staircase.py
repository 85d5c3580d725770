"""The staircase: its data, its measures and claims on known numbers, and a run that continues."""

import json
import math

import jax
import numpy as np
import pytest
from scipy import stats

from dim_jax import contracts
from experiments import (
    fragments_mi,
    mi_staircase,
    mi_staircase_data,
    mi_staircase_figure,
    mi_staircase_summary,
)


def test_pairs_have_the_information_of_their_stair():
    for nats in mi_staircase_data.NATS:
        rho = mi_staircase_data.correlation(nats)
        np.testing.assert_allclose(-10 * math.log(1 - rho**2), nats)


def test_batches_and_their_density_ratio():
    rho = mi_staircase_data.correlation(6.0)

    @jax.jit
    def of(key):
        pairs = [mi_staircase_data.draw(key, (rho, cubed)) for cubed in (False, True)]
        return pairs, mi_staircase_data.log_ratio(*pairs[0], rho)

    ((x, y), (same, cubes)), ratios = of(jax.random.key(0))
    assert x.shape == y.shape == (64, 20) and ratios.shape == (64, 64)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_allclose(cubes, y**3 / math.sqrt(15), rtol=1e-5)
    joint = stats.multivariate_normal(cov=[[1, rho], [rho, 1]])
    for i, j in ((0, 0), (3, 7)):
        both = np.stack([x[i], y[j]], axis=1)
        product = stats.norm.logpdf(x[i]).sum() + stats.norm.logpdf(y[j]).sum()
        np.testing.assert_allclose(ratios[i, j], joint.logpdf(both).sum() - product, rtol=1e-3)


def test_measures_are_of_the_last_quarter():
    values = np.full((5, 8), 1e6)
    values[:, 6:] = [[3, 5], [4, 4], [6, 6], [8, np.nan], [0, -np.inf]]
    measured = mi_staircase_summary.measures(values)
    np.testing.assert_array_equal(measured["bias"][:3], [2, 0, 0])
    np.testing.assert_array_equal(measured["variance"][:3], [1, 0, 0])
    np.testing.assert_array_equal(measured["mse"][:3], [5, 0, 0])
    assert not np.isfinite(measured["bias"][3:]).any()


def test_rows_gather_the_seeds_of_an_estimator():
    training = mi_staircase.Training("gaussian", "separable", "jensen_shannon", 0, 4)
    facts = dict(cpu=0.5, device="CPU", commit="c")
    values = np.array(mi_staircase_data.NATS)[:, None] + np.zeros((5, 4))
    other = np.where(np.arange(5)[:, None] == 4, np.nan, values + 1)
    (row,) = mi_staircase_summary.rows(
        {
            training._replace(seed=1): {"smile_1": other, "facts": facts},
            training: {"smile_1": values, "facts": facts},
        }
    )
    assert row["seeds"] == [0, 1] and row["not_finite"] == [0, 4] and row["largest"] == [10, None]
    assert row["bias"] == [[0] * 5, [1, 1, 1, 1, None]]
    json.dumps(row, allow_nan=False)


def _row(estimator, bias, variance, largest=4.0, critic="separable"):
    """A row of one seed whose last stair has this bias and variance."""
    last = dict(bias=[[0] * 4 + [bias]], variance=[[0] * 4 + [variance]])
    keys = dict(distribution="gaussian", critic=critic, estimator=estimator)
    return dict(keys, seeds=[0], steps=10, largest=[largest], **last)


LIKE_THE_PICTURE = [
    _row("infonce", -5.9, 0.01),
    _row("nwj", -5.5, 20),
    _row("smile_1", 0.1, 0.9),
    _row("smile_5", 0.4, 0.7),
    _row("smile_inf", -1.0, 4),
]


def _verdicts(rows):
    return [claim["verdict"] for claim in mi_staircase_summary.claims(rows)]


def test_claims_of_rows_like_the_papers():
    """Ceiling, variance of NWJ, variance and bias of SMILE, order of bias and of variance."""
    assert _verdicts(LIKE_THE_PICTURE) == ["hit", "hit", "hit", "miss", "hit", "hit"]
    between = [_row(each["estimator"], -5.7, 1.0) for each in LIKE_THE_PICTURE[2:]]
    assert _verdicts([*LIKE_THE_PICTURE[:2], *between])[2:4] == ["hit", "hit"]


@pytest.mark.parametrize(
    ("place", "changed"),
    [
        (0, _row("infonce", -5.9, 0.01, largest=4.16)),
        (1, _row("infonce", -5.9, 2.1)),
        (2, _row("smile_5", 0.4, 21)),
        (4, _row("smile_inf", -7, 4)),
        (5, _row("smile_inf", -1.0, 0.001)),
        (5, _row("nwj", -5.5, 0.5)),
    ],
)
def test_claims_can_miss(place, changed):
    rows = [
        changed if each["estimator"] == changed["estimator"] else each for each in LIKE_THE_PICTURE
    ]
    assert _verdicts(rows)[place] == "miss"


def test_claims_compare_the_seeds_that_rows_share():
    nwj = _row("nwj", -5.5, 20)
    nwj |= dict(seeds=[1, 0], variance=[[0, 0.001], [0, 20]], bias=[[0, -5.5]] * 2)
    rows = [nwj if each["estimator"] == "nwj" else each for each in LIKE_THE_PICTURE]
    assert _verdicts(rows) == _verdicts(LIKE_THE_PICTURE)


def test_interpolated_bound_is_compared_with_both():
    rows = [*LIKE_THE_PICTURE, _row("interpolated_0.01", -3, 0.5)]
    hits = [
        claim for claim in mi_staircase_summary.claims(rows) if "interpolated" in claim["claim"]
    ]
    assert [claim["verdict"] for claim in hits] == ["hit"]
    for worse in (_row("interpolated_0.01", -6, 0.5), _row("interpolated_0.01", -3, 21)):
        claims = mi_staircase_summary.claims([*LIKE_THE_PICTURE, worse])
        (claim,) = (each for each in claims if "interpolated" in each["claim"])
        assert claim["verdict"] == "miss"


def test_page_has_means_over_seeds_and_says_what_is_not_finite():
    row = _row("interpolated_0.01", -3.0, 0.5)
    row["bias"] = [[0, 0, 0, 0, -3.0], [0, 0, 0, 0, -4.0], [0, 0, 0, None, -5.0]]
    row |= dict(seeds=[0, 1, 2], steps=4000, mse=[[None] * 5])
    claims = [dict(claim="a claim", measured="4", verdict="miss")]
    facts = dict(experiment="mi_staircase", budget="cpu", device="CPU", commit="c" * 40)
    content = dict(facts, rows=[row], claims=claims, cpu_minutes=40.0, measured="end", differs="d")
    content["missing"] = ["a training"]
    text = fragments_mi.staircase(content)
    (line,) = (each for each in text.splitlines() if each.startswith("| Gaussians"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:3] == ["Gaussians", "separable", "interpolated, α = 0.01"]
    assert cells[6:] == [
        *("not finite in 1 of 3", "-4 ± 1", "0", "0.5", "not finite in 1 of 1", "3", "4,000")
    ]
    assert (
        "Missing: 1 trainings." in text
        and "| a claim | 4 | miss |" in text
        and "figures/mi_staircase_cpu.png" in text
    )


def test_moving_average_leaves_out_what_is_not_finite():
    values = np.array([2.0, np.nan, 4.0])
    decay = 1 - 2 / 4
    wanted = [2, 2, (4 + 2 * decay) / (1 + decay)]
    np.testing.assert_allclose(mi_staircase_figure.smoothed(values, span=3), wanted)


def test_budgets():
    """All estimators in three seeds; the published number of steps."""
    paper = mi_staircase.trainings(mi_staircase.BUDGETS["paper"])
    assert len(paper) == len({*paper}) == 3 * 2 * (7 + 6) + 3
    assert {each.steps for each in paper} == {4000}
    cpu = mi_staircase.trainings(mi_staircase.BUDGETS["cpu"])
    separable = [each for each in cpu if each.critic in ("separable", "none")]
    assert len(separable) == 42 and {each.steps for each in separable} == {4000}


@pytest.mark.slow
def test_a_run_continues_and_writes_its_results(tmp_path, monkeypatch):
    with pytest.raises(contracts.UserError, match="critic 'bilinear'"):
        mi_staircase.run("smoke", tmp_path, tmp_path / "runs", critic="bilinear")
    content = mi_staircase.run("smoke", tmp_path, tmp_path / "runs", critic="exact")
    assert {row["critic"] for row in content["rows"]} == {"exact"} and len(content["missing"]) == 5
    content = mi_staircase.run("smoke", tmp_path, tmp_path / "runs")
    monkeypatch.setattr(mi_staircase, "values", lambda training: pytest.fail("trained again"))
    assert mi_staircase.run("smoke", tmp_path, tmp_path / "runs") == content
    stored = json.loads((tmp_path / "mi_staircase_smoke.json").read_text())
    assert (
        stored["claims"][0]["verdict"] == "hit"
        and stored["missing"] == []
        and len(stored["rows"]) == 17
    )
    assert (tmp_path / "mi_staircase_smoke.png").stat().st_size > 50_000
    text = fragments_mi.staircase(stored)
    assert "| Gaussians | separable | InfoNCE |" in text and "Claims" in text
    exact = {row["estimator"]: row for row in stored["rows"] if row["critic"] == "exact"}
    assert abs(exact["nwj"]["bias"][0][0]) < 0.5 and exact["smile_1"]["bias"][0][0] > 0
