"""The grid of weights: which rows there are, and a map that shows their numbers."""

import numpy as np
import pytest
from PIL import Image

from experiments import dim_figure9, dim_figure10, weights

MEASURES = (("accuracy, %", ("svm", "y", "accuracy")), ("nats", ("ndm", "y", "ndm")))


@pytest.mark.parametrize(("budget", "count"), [("paper", 15 + 3), ("cpu", 8 + 2), ("smoke", 3 + 2)])
def test_every_pair_but_none_and_every_gamma(budget, count):
    rows = weights.rows("config.py", budget, "", method="method")
    labels = [row.label for row in rows]
    assert len(set(labels)) == len(labels)
    assert "alpha 0, beta 0, gamma 0.1" not in labels
    centre = {weights.label(*weights.CENTRE, gamma) for gamma in weights.GAMMAS[budget]}
    assert centre <= set(labels)
    assert len(labels) == count + (
        weights.CENTRE[0] not in weights.GRIDS[budget] and 0.1 in weights.GAMMAS[budget]
    )


def content(rows):
    """Results in which the accuracy is alpha + beta / 10 and the dependence is gamma."""
    found = []
    for row in rows:
        alpha, beta, gamma = (float(text.partition("=")[2]) for text in row.overrides[:3])
        numbers = {("svm", "accuracy"): alpha / 2 + beta / 10, ("ndm", "ndm"): gamma}
        cells = [
            dict(
                **dict(eval=evaluation, tap="y", metric=metric, representation="trained"),
                **dict(value=value, std_over_seeds=None),
            )
            for (evaluation, metric), value in numbers.items()
        ]
        found.append(dict(label=row.label, measures=cells))
    return dict(rows=found)


def test_values_are_those_of_their_row_and_missing_ones_stay_empty(tmp_path):
    rows = weights.rows("config.py", "cpu", "", method="method")
    found = {row["label"]: row for row in content(rows[1:])["rows"]}
    name = weights.label(1.0, 0.1, weights.GAMMA)
    assert weights._value(found, name, MEASURES[0][1]) == pytest.approx(51.0)  # percent
    assert weights._value(found, weights.label(*weights.CENTRE, 1.0), MEASURES[1][1]) == 1.0
    assert np.isnan(weights._value(found, rows[0].label, MEASURES[0][1]))
    weights.draw(content(rows[1:]), "cpu", MEASURES, tmp_path / "grid.png")
    image = np.asarray(Image.open(tmp_path / "grid.png").convert("L"))
    assert image.std() > 10


def test_figure_10_asks_for_what_it_draws():
    for budget in ("paper", "cpu"):
        rows = dim_figure10.rows(budget)
        assert all(row.config.endswith(f"budget={budget}") for row in rows)
        claims = dim_figure10.directions(rows)
        assert claims[0].measure[0] == ("svm_hinge" if budget == "paper" else "svm")


def test_figure_9_draws_what_was_run(tmp_path):
    rows = dim_figure9.rows("cpu")
    cell = dict(eval="mlp", tap="y", metric="accuracy", representation="trained")
    found = [
        dict(label=row.label, measures=[dict(cell, value=0.5, std_over_seeds=None)])
        for row in rows[:-1]
    ]
    assert all("conv" in row.evals["mlp"]["taps"] for row in rows)
    of_y = dim_figure9._curves(found, "y")
    assert of_y["InfoNCE"] == [(count, 50.0, 0.0) for count in (4032, 64, 1)]
    assert len(of_y["JSD"]) == 2 and dim_figure9._curves(found, "conv") == {}
    dim_figure9.draw(dict(rows=found), tmp_path / "y.png")
    found[0]["measures"].append(dict(found[0]["measures"][0], tap="conv", value=0.7))
    assert dim_figure9._curves(found, "conv") == {"InfoNCE": [(4032, 70.0, 0.0)]}
    dim_figure9.draw(dict(rows=found), tmp_path / "both.png")
    one, two = (Image.open(tmp_path / name).convert("L") for name in ("y.png", "both.png"))
    assert np.asarray(one).std() > 10 and np.asarray(two)[:, one.width :].std() > 10
    with pytest.raises(ValueError, match="no row has an accuracy at y or conv"):
        dim_figure9.draw(dict(rows=[dict(found[0], measures=[])]), tmp_path / "y.png")


def test_figure_9_claims_the_same_of_both_taps():
    rows = dim_figure9.rows("cpu")
    claims = dim_figure9.directions(rows)
    assert [claim.measure[1] for claim in claims] == ["y"] * 3 + ["conv"] * 3
    assert {claim.larger for claim in claims} <= {row.label for row in rows}
