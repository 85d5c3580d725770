"""The critic of one column given the other side, against plain local fits and known information."""

import dataclasses
import math

import numpy as np
import pytest

from dim_jax.mi import held_out, location
from dim_jax.mi.sides import Side

N = 600


@pytest.fixture(scope="module")
def sides():
    """y = a smooth function of x plus noise that is uniform, or whose deviation rises with x."""
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (2 * N, 1))
    noise = random.uniform(-0.2, 0.2, (2 * N, 1))
    return Side.of(x), Side.of(np.sin(3 * x) + noise), Side.of(np.exp(2 * x) * noise)


def fitted(x, y, swapped=False, varying=False, width=0.2):
    few = slice(N)
    options = dict(swapped=swapped, varying=varying, width=width)
    return location.Location.fit(x.take(few), y.take(few), **options)


def local_line(query, rows, values, width):
    """Weighted least squares of a line, by NumPy, without the ridge."""
    weights = np.exp(-(((rows - query) / width) ** 2) / 2)
    design = np.stack([np.ones(len(rows)), rows - query], axis=1) * np.sqrt(weights)[:, None]
    return np.linalg.lstsq(design, values * np.sqrt(weights), rcond=None)[0][0]


def test_averages_are_local_lines(sides):
    rows, values = sides[0].scores[:N], sides[1].standard[:N, 0]
    queries = np.linspace(-1.5, 1.5, 7)[:, None]
    expected = [local_line(query, rows[:, 0], values, 0.2) for query in queries[:, 0]]
    given = location._average(queries, rows, values, 0.2)
    np.testing.assert_allclose(given, expected, atol=0.04)  # the ridge flattens the lines
    two = np.concatenate([rows, np.zeros_like(rows)], axis=1)  # by rows, not by a grid
    there = np.concatenate([queries, np.zeros_like(queries)], axis=1)
    np.testing.assert_allclose(location._average(there, two, values, 0.2), given, atol=0.02)


def test_seen_samples_have_no_part_in_their_averages(sides):
    rows, values = sides[0].scores[:N], sides[1].standard[:N, 0]
    given = location._average(rows[:5], rows, values, 0.2, values[:5])
    for index in range(5):
        rest = np.arange(N) != index
        alone = location._average(rows[index : index + 1], rows[rest], values[rest], 0.2)
        np.testing.assert_allclose(given[index], alone[0], atol=5e-3)


def test_the_information_of_a_function_with_noise(sides):
    """Of x uniform and small noise: the entropy of y less that of the noise."""
    x, y, _ = sides
    test = slice(N, None)
    value = held_out.value(fitted(x, y)(x.take(test), y.take(test)))
    grid = np.linspace(-1, 1, 4001)
    density = np.histogram(
        (np.sin(3 * grid)[:, None] + np.linspace(-0.2, 0.2, 401)).ravel(), 400, density=True
    )
    step = np.diff(density[1])[0]
    kept = density[0][density[0] > 0]
    truth = -np.sum(kept * np.log(kept)) * step - math.log(0.4)
    assert 0.8 * truth < value < truth + 0.05


def test_noise_of_varying_size_needs_its_deviation(sides):
    x, _, y = sides
    test = slice(N, None)
    values = [
        held_out.value(fitted(x, y, varying=varying)(x.take(test), y.take(test)))
        for varying in (False, True)
    ]
    assert values[1] > values[0] + 0.2


def test_swapped_sides_have_the_transposed_scores(sides):
    x, y, _ = sides
    critic = fitted(x, y, swapped=True)
    there = dataclasses.replace(critic, swapped=False)
    few = slice(N, N + 50)
    np.testing.assert_array_equal(
        critic(x.take(few), y.take(few)), there(y.take(few), x.take(few)).T
    )


def test_the_width_fits_the_function():
    random = np.random.default_rng(1)
    x = random.normal(size=(N, 1))
    slow = x + 3 * random.normal(size=(N, 1))
    fast = np.sin(12 * x) + 0.1 * random.normal(size=(N, 1))
    widths = [location.choose_width(Side.of(x), Side.of(y), swapped=False) for y in (slow, fast)]
    assert widths[0] > widths[1]
