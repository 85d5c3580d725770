"""The page and the figures of an estimate, and the statements on them."""

import html.parser
import math
import re

import made_up
import numpy as np
import pytest

from dim_jax.mi import figures, page, statements
from dim_jax.mi.columns import Columns

N = 200


def samples(name, discrete=False, width=2):
    rng = np.random.default_rng(0)
    value = rng.integers(0, 3, N) if discrete else rng.normal(size=(N, width))
    return Columns.of(value, name)


def written(tmp_path, estimate=None, **options):
    path = page.write_html(estimate or made_up.estimate(), tmp_path / "page.html", **options)
    return path.read_text()


def test_page_is_complete_and_alone(tmp_path):
    options = dict(x=samples("x"), y=samples("y", True), command="python -m dim_jax.mi '<x>.npy'")
    text = written(tmp_path, title="<x> and y", seconds=3.21, **options)
    assert "http" not in re.sub(r"base64,[^']*", "", text)
    assert text.count("data:image/png;base64,") == 3
    for part in (
        *("&lt;x&gt; and y", "0.523 nats", "0.481 to 0.572", "0.755", "≥ 0.412", "3.2 s"),
        *("Statements that these numbers support", "Statements that they do not support"),
        *("Training and held-out values", "y against x", "constant columns are left out"),
        *("1,000 permutations", "python -m dim_jax.mi &#x27;&lt;x&gt;.npy&#x27;"),
    ):
        assert part in text, part
    html.parser.HTMLParser().feed(text)


def test_parts_without_content_are_left_out(tmp_path):
    changes = dict(curve=(), null=np.array([]), guaranteed=None, notes=(), critics={})
    estimate = made_up.estimate(p_value=math.nan, **changes)
    text = written(tmp_path, estimate)
    assert text.count("data:image/png;base64,") == 1
    assert "No permutations were made" in text and "nan" not in re.sub(r"base64,[^']*", "", text)
    for title in ("Fitting", "The samples", "Remarks on the data", "The same estimate again"):
        assert title not in text
    images = Columns.of(np.random.default_rng(0).normal(size=(N, 2, 2, 1)), "x")
    assert figures.scatter(images, samples("y")) is None


@pytest.mark.parametrize(("across", "down"), [(1, 1), (3, 2), (5, 4)])
def test_scatter_has_up_to_three_columns_of_each(across, down):
    drawn = figures.scatter(samples("x", width=across), samples("y", width=down))
    assert len(drawn.axes) == min(3, across) * min(3, down)
    points = drawn.axes[0].collections[0].get_offsets()
    assert points.shape == (N, 2) and np.abs(points).max() < 3.1
    assert abs(points.mean()) < 1e-6


def test_normal_scores_depend_on_ranks_alone():
    x, y = samples("x", width=1), samples("y", width=1)
    stretched = Columns.of(np.exp(5 * x.values), "x")
    first, second = (
        figures.scatter(each, y).axes[0].collections[0].get_offsets() for each in (x, stretched)
    )
    np.testing.assert_array_equal(first, second)


def test_plot_of_an_estimate():
    drawn = made_up.estimate().plot()
    assert len(drawn.axes) == 2
    assert figures.png(drawn).startswith(b"\x89PNG")
    labels = [tick.get_text() for tick in drawn.axes[0].get_yticklabels()]
    assert labels == ["value, 95 %", "permuted pairs", "guaranteed, at least"]
    inside = made_up.estimate(nats=0.001).plot()
    assert any("value 0.001" in text.get_text() for text in inside.axes[1].texts)


def test_curve_of_one_step():
    estimate = made_up.estimate()
    assert figures.curves(made_up.estimate(curve=estimate.curve[:1])) is not None


def joined(function, **changes):
    return " ".join(function(made_up.estimate(**changes)))


@pytest.mark.parametrize(
    ("changes", "can", "cannot"),
    [
        ({}, "I(x; y) is estimated at 0.523 nats", "lower or an upper bound"),
        ({}, "I(x; y) is at least 0.412 nats", "That x causes y"),
        (dict(label="lower bound in expectation"), "a lower bound in expectation", "causes"),
        (dict(p_value=0.4), "estimated at", "independent (p = 0.4)"),
        (dict(reliable=False, why="few samples"), "at least 0.412", "is 0.523 nats: few samples"),
        (dict(nats=-0.01), "estimated at -0.010", "That the information is negative"),
        (dict(interval=(6.0, 9.0)), "6.000 to 9.000", "above ln n = 8.5 nats"),
        (dict(reliable=False, p_value=0.4, guaranteed=0.0), "None: ", "independent"),
    ],
)
def test_statements(changes, can, cannot):
    assert can in joined(statements.supported, **changes)
    assert cannot in joined(statements.unsupported, **changes)


def test_statements_that_are_not_made():
    assert "at least" not in joined(statements.supported, guaranteed=0.0)
    assert "at least" not in joined(statements.supported, guaranteed=None)
    assert "dependent" not in joined(statements.supported, p_value=0.06)
    assert "dependent" in joined(statements.supported, p_value=0.06, confidence=0.9)
    assert "independent" not in joined(statements.unsupported, p_value=math.nan)
    assert "bound:" not in joined(statements.unsupported, label="lower bound in expectation")


def test_conditional_information_is_named(tmp_path):
    text = written(tmp_path, given=True)
    assert "I(x; y | z) is estimated" in text and "dependent given z" in text
    assert "I(x; y) " not in text


def test_smallest_p_value_is_named():
    assert "smallest that 1,000 permutations" in statements.fields(made_up.estimate())["p-value"]
    assert "smallest" not in statements.fields(made_up.estimate(p_value=0.002))["p-value"]
