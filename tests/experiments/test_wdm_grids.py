"""Grids of digits: their pairs and probe, the claims on made-up rows, and a tiny run."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from experiments import digit_grids, wdm_grids, wdm_grids_summary

RNG = jax.random.key(0)


def digits_of(counts) -> digit_grids.Digits:
    """Every pixel of an image of class c is 10 c + its number in the class."""
    labels = np.repeat(np.arange(10), counts)
    number = np.concatenate([np.arange(count) for count in counts])
    order = np.random.default_rng(0).permutation(len(labels))
    images = np.broadcast_to((10 * labels + number)[:, None, None], (len(labels), 28, 28))
    return digit_grids.sort(images[order].astype(np.uint8), labels[order])


def test_second_grid_has_the_next_class_at_each_position():
    digits = digits_of([3, 5, 1, 2, 4, 2, 3, 9, 2, 6])
    views, classes = jax.jit(digit_grids.pairs, static_argnums=(2, 3))(digits, RNG, 400, 3)
    assert views.shape == (2, 400, 28, 84, 1) and classes.shape == (400, 3)
    values = np.rint(np.asarray(views)[..., 0] * 255).astype(int)
    cells = values.reshape(2, 400, 28, 3, 28)
    assert (cells == cells[:, :, :1, :, :1]).all()  # each digit is one image, in its place
    drawn = cells[:, :, 0, :, 0]
    np.testing.assert_array_equal(drawn[0] // 10, classes)
    np.testing.assert_array_equal(drawn[1] // 10, (classes + 1) % 10)
    counts = np.asarray(digits.counts)
    assert {(c, v) for c in range(10) for v in range(counts[c])} == {
        (v // 10, v % 10) for v in drawn.ravel()
    }
    # A fresh image: the numbers of the two sides are independent where both classes have several.
    both = (drawn[0] // 10 == 7) & (counts[drawn[1] // 10] > 1)
    assert len({*zip(drawn[0][both] % 10, drawn[1][both] % 10, strict=True)}) > 9


def test_information_is_that_of_the_classes():
    assert digit_grids.information(9) == pytest.approx(20.723266)


def test_probe_reads_the_positions_that_features_tell():
    random = np.random.default_rng(0)
    classes = random.integers(0, 10, (600, 2))
    features = np.eye(10)[classes[:, 0]] + 0.1 * random.normal(size=(600, 10))
    sets = [
        (jnp.asarray(features[part], jnp.float32), jnp.asarray(classes[part]))
        for part in (slice(400), slice(400, None))
    ]
    _, test = digit_grids.probe(*sets, RNG, steps=300)
    assert test[0] > 0.98 and test[1] < 0.25


def rows(cpc, wpc, slopes=(12.0, 1.5)):
    for method, falls, slope in (("cpc", cpc, slopes[0]), ("wpc", wpc, slopes[1])):
        for seed, fall in enumerate(falls):
            for n in (1, 2):
                row = dict(part="numbers", method=method, n=n, batch=32, seed=seed)
                row |= dict(accuracy=0.9 - fall * (n - 1), held_out_slope_max=slope)
                yield row | dict(nats_in_training=3.0)


def test_claims_hold_only_if_every_seed_bears_them_out():
    plan = dataclasses.asdict(dataclasses.replace(wdm_grids.BUDGETS["cpu"], numbers=(1, 2)))
    content = dict(plan=plan, rows=[*rows((0.3, 0.4, 0.35), (0.1, 0.1, 0.1))])
    first, line, last, slopes, ceiling = wdm_grids_summary.claims(content)
    assert {each["verdict"] for each in (first, line, last, slopes, ceiling)} == {"hit"}
    np.testing.assert_allclose(first["differences"], [20, 30, 25])
    # 25 points, deviation 5, Student's t of 2 degrees at 97.5 %: 4.3027.
    half = 4.302653 * 5 / math.sqrt(3)
    np.testing.assert_allclose(first["interval"], [25 - half, 25 + half], atol=1e-3)
    np.testing.assert_allclose(slopes["mean"], 9)
    np.testing.assert_allclose(ceiling["mean"], math.log(32) - 3, atol=1e-3)
    content["rows"] = [*rows((0.3, 0.4, 0.05), (0.1, 0.1, 0.1), slopes=(2.0, 1.5))]
    verdicts = [each["verdict"] for each in wdm_grids_summary.claims(content)]
    assert verdicts == ["miss", "miss", "miss", "miss", "hit"]
    assert wdm_grids_summary.claims(dict(plan=plan, rows=[])) == []


def test_a_run_continues_where_it_was_and_draws(tmp_path, monkeypatch):
    made_up = {tuple(map(row.get, ("method", "n", "seed"))): row for row in rows([0.3], [0.1])}
    plan = dataclasses.replace(wdm_grids.BUDGETS["smoke"], numbers=(1, 2), batch=32)
    monkeypatch.setitem(wdm_grids.BUDGETS, "smoke", plan)
    seen = []

    def measure(plan, case, digits):
        seen.append(case)
        return made_up[case.method, case.n, case.seed] | case.key

    monkeypatch.setattr(wdm_grids, "measure", measure)
    for _ in range(2):
        content = wdm_grids.run("smoke", tmp_path, {"train": None}, part="numbers")
        assert [case.method for case in seen] == ["cpc", "wpc"] * 2
    assert {each["verdict"] for each in content["claims"]} == {"hit"}
    assert (tmp_path / "wdm_grids_smoke.png").stat().st_size > 10_000
    with pytest.raises(contracts.UserError, match="unknown part 'number': did you mean 'numbers'"):
        wdm_grids.run("smoke", tmp_path, part="number")
