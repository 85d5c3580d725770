"""Line charts: odd inputs do not break them, and what is drawn is what was logged."""

import html
import json
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from dim_jax.report import curves

STEPS = list(range(10, 1010, 10))


def parsed(figure):
    """The figure as a tree, which also proves that its markup is balanced."""
    return ET.fromstring(figure)


def points(figure):
    return json.loads(parsed(figure).get("data-points"))


def paths(figure):
    return [node.get("d") for node in parsed(figure).iter("path")]


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", text)]


@pytest.mark.parametrize(
    "values",
    [
        [3.0],
        [0.0],
        [None],
        [math.nan, None, math.inf],
        [2.5] * 100,
        [0.0] * 100,
        [-1e-30] * 100,
        [1e30, -1e30],
        [math.nan, *range(98), -math.inf],
        [None if step % 3 else float(step) for step in range(100)],
        [1e-12 * step for step in range(100)],
        [10.0 ** (step - 50) for step in range(100)],
        [1.0] * 99 + [1e9],
    ],
)
def test_odd_values_give_finite_markup(values):
    figure = curves.chart("loss/encoder", STEPS[: len(values)], values)
    for node in parsed(figure).iter():
        for key in ("d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "points"):
            text = node.get(key, "")
            assert "nan" not in text
            assert "inf" not in text


def test_one_point_is_drawn_as_a_point():
    figure = curves.chart("x", [7], [3.25])
    assert len([node for node in parsed(figure).iter("circle") if node.get("cx")]) == 1
    assert "3.25" in figure
    ticks = [node.text for node in parsed(figure).iter("text") if node.get("class") == "x"]
    assert ticks == ["7"]


def test_no_finite_value_says_so():
    assert "no finite value" in curves.chart("x", [1, 2], [None, math.nan])


def test_a_gap_splits_the_line_and_is_counted():
    figure = curves.chart("x", [1, 2, 3, 4, 5], [1.0, 2.0, None, math.inf, 3.0])
    assert paths(figure)[0].count("M") == 2
    assert "2 not finite" in figure
    assert [point[2] for point in points(figure)] == [1, 2, 5]


def test_the_running_mean_does_not_bridge_a_gap():
    values = [None if 40 <= step < 60 else float(step) for step in range(100)]
    thin, strong = paths(curves.chart("x", STEPS, values))
    assert thin.count("M") == strong.count("M") == 2


def test_the_running_mean_beside_a_gap_is_of_the_values_there_are():
    values = [None if 40 <= step < 60 else 1.0 for step in range(100)]
    values[0] = 0.0
    thin, strong = (numbers(path)[1::2] for path in paths(curves.chart("x", STEPS, values)))
    np.testing.assert_allclose(strong[20:], thin[20:], atol=0.1)


def test_larger_values_are_higher_and_later_steps_to_the_right():
    pixels = points(curves.chart("x", [1, 2, 3], [1.0, 5.0, 3.0]))
    assert pixels[0][0] < pixels[1][0] < pixels[2][0]
    assert pixels[1][1] < pixels[2][1] < pixels[0][1]


def test_log_axis_only_for_positive_values_over_a_wide_range():
    decay = [1000 * math.exp(-step / 8) for step in range(100)]
    assert "log scale" in curves.chart("x", STEPS, decay)
    assert "log scale" not in curves.chart("x", STEPS, [-1.0, *decay[1:]])
    assert "log scale" not in curves.chart("x", STEPS, [2 + step / 100 for step in range(100)])
    # A rate that ends near zero is read on a linear axis.
    cosine = [1e-8 + 0.5 * (1 + math.cos(math.pi * step / 99)) for step in range(100)]
    assert "log scale" not in curves.chart("x", STEPS, cosine)


def test_a_log_axis_maps_equal_ratios_to_equal_distances():
    figure = curves.chart("x", STEPS, [2.0 ** -(step / 5) for step in range(100)])
    assert "log scale" in figure
    y = [point[1] for point in points(figure)]
    assert np.ptp(np.diff(y)) < 0.3  # pixels, rounded to a tenth


@pytest.mark.parametrize("log", [False, True])
def test_labels_of_the_axes_stand_where_such_values_are(log):
    """Between the points beside it, which the axes map linearly, or by their logarithms."""
    values = [2.0 ** -(step / 5) if log else 3.0 + step / 20 for step in range(100)]
    figure = curves.chart("x", STEPS, values)
    assert ("log scale" in figure) == log
    drawn = np.array([point[:2] for point in points(figure)])
    labels = {axis: [] for axis in "xy"}
    for node in parsed(figure).iter("text"):
        labels[node.get("class")].append((float(node.text), float(node.get(node.get("class")))))
    assert len(labels["x"]) >= 3 and len(labels["y"]) >= 3
    scaled = np.log if log else np.asarray
    slope, start = np.polyfit(scaled(values), drawn[:, 1], 1)
    for value, place in labels["y"]:
        assert slope * scaled(value) + start + 3.5 == pytest.approx(place, abs=0.3)
        assert curves._TOP - 0.1 <= place - 3.5 <= curves.HEIGHT - curves._BOTTOM + 0.1
    slope, start = np.polyfit(STEPS, drawn[:, 0], 1)
    for value, place in labels["x"]:
        assert slope * value + start == pytest.approx(place, abs=0.3)


def test_a_few_extreme_values_do_not_press_the_curve_flat():
    values = [500.0, *(math.sin(step / 9) for step in range(1, 100))]
    figure = curves.chart("x", STEPS, values)
    assert "1 off the axis" in figure
    y = [point[1] for point in points(figure)]
    assert max(y[1:]) - min(y[1:]) > 0.5 * curves.HEIGHT
    assert min(y) >= 0


def test_many_values_are_thinned_but_keep_their_extremes():
    values = np.random.default_rng(0).normal(size=20_000)
    values[12_345], values[777] = 4.9, -4.9
    figure = curves.chart("x", list(range(20_000)), list(values))
    drawn = points(figure)
    assert len(drawn) <= 400
    assert {12_345, 777, 0, 19_999} <= {point[2] for point in drawn}
    assert len(figure) < 40_000


def test_the_strong_line_is_the_running_mean():
    values = np.random.default_rng(1).normal(size=300)
    figure = curves.chart("x", list(range(300)), list(values))
    thin, strong = paths(figure)
    assert np.std(numbers(strong)[1::2]) < 0.5 * np.std(numbers(thin)[1::2])
    # In the middle: the mean of 10 values to each side, here from the points of the thin line.
    expected = np.mean(numbers(thin)[1::2][140:161])
    assert abs(numbers(strong)[1::2][150] - expected) < 0.2


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 8000), (0.1, 0.1003), (1e-9, 5e-9)])
def test_ticks_are_round_and_inside(low, high):
    ticks = curves.ticks(low, high)
    assert 3 <= len(ticks) <= 6
    assert all(low - 1e-9 * (high - low) <= tick <= high + 1e-9 * (high - low) for tick in ticks)
    assert np.ptp(np.diff(ticks)) < 1e-6 * (high - low)


def test_names_are_escaped():
    name = "<b>&'\""
    figure = curves.chart(name, [1, 2], [1.0, 2.0])
    assert name not in figure
    assert html.escape(name) in figure
    assert parsed(figure).find("figcaption/b").text == name


def lines(count, length=100):
    return [
        curves.Line(f"run {index}", index, STEPS[:length], [index + step for step in range(length)])
        for index in range(count)
    ]


@pytest.mark.parametrize("values", [[3.0], [None], [math.nan, 1.0, None], [0.0] * 100])
def test_odd_values_of_an_overlay_give_finite_markup(values):
    odd = curves.Line("odd", 1, STEPS[: len(values)], values)
    for others in ([], lines(2)):
        figure = curves.overlay("loss", [*others, odd])
        assert "nan" not in figure.replace("nans", "") and "inf" not in figure
        parsed(figure)
    assert "no finite value" in curves.overlay("loss", [odd._replace(values=[None])])


def test_lines_of_an_overlay_share_axes_and_have_colours():
    figure = curves.overlay("loss", lines(3, length=30))
    drawn = [node for node in parsed(figure).iter("path") if node.get("class")]
    assert [node.get("class") for node in drawn] == ["main k0", "main k1", "main k2"]
    first, second = (numbers(node.get("d")) for node in drawn[:2])
    assert first[::2] == second[::2] and all(np.array(first[1::2]) > np.array(second[1::2]))
    assert {point[4] for point in points(figure)} == {0, 1, 2}
    assert json.loads(parsed(figure).get("data-names")) == ["run 0", "run 1", "run 2"]


def test_twenty_colours_are_distinct():
    classes = [curves.colour_classes(index) for index in range(20)]
    assert len(set(classes)) == 20 and classes[13] == "k3 dashed"


def test_an_overlay_of_many_lines_is_small():
    values = np.random.default_rng(0).normal(size=(20, 5000)).tolist()
    figure = curves.overlay(
        "loss", [curves.Line(f"run {i}", i, list(range(5000)), row) for i, row in enumerate(values)]
    )
    assert len(figure) < 60_000
    assert not [node for node in parsed(figure).iter("path") if "raw" in node.get("class")]
