"""Modes and energy distance of points, against sums in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import suite
from dim_jax.evaluate.measures import modes

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def points(seed, count=600):
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    drawn = CENTRES[labels] + 0.5 * random.normal(size=(count, 2))
    return dataset.Split(drawn.astype(np.float32).reshape(-1, 1, 1, 2), labels)


def test_energy_distance_is_that_of_all_pairs(monkeypatch):
    random = np.random.default_rng(0)
    one, other = random.normal(size=(7, 2)), random.normal(1.0, 2.0, size=(5, 2))

    def mean(pairs):
        return np.mean([np.sqrt(np.sum((x - y) ** 2)) for x, y in pairs])

    expected = (
        2 * mean(itertools.product(one, other))
        - mean(itertools.permutations(one, 2))
        - mean(itertools.permutations(other, 2))
    )
    monkeypatch.setattr(modes, "_BLOCK", 3)
    assert modes.energy_distance(one, other) == pytest.approx(expected, rel=1e-12)


def test_energy_distance_has_no_bias():
    """Its mean over samples of one distribution is 0; that of the biased form is not."""
    random = np.random.default_rng(1)
    drawn = [modes.energy_distance(*random.normal(size=(2, 10, 2))) for _ in range(400)]
    assert abs(np.mean(drawn)) < 4 * np.std(drawn) / 20


def test_points_count_for_a_class_within_three_deviations():
    known = np.array(
        [[-1.0, 0], [1, 0], [0, -1], [0, 1]] * 3
    )  # a coordinate deviates by 0.5 ** 0.5
    known = known + CENTRES.repeat(4, axis=0)
    labels = np.arange(3).repeat(4)
    limit = 3 * 0.5**0.5
    shown = np.array([[limit - 0.01, 0], [limit + 0.01, 0], [10, 0.0]])
    found = modes.classes_hit(shown, known, labels)
    assert found == {"modes": 3, "modes_covered": 2, "high_quality": pytest.approx(2 / 3)}
    # Of 1,200 points a tenth of the share of a class is 40.
    counts = (1121, 40, 39)
    shown = np.concatenate([np.tile(c, (n, 1)) for c, n in zip(CENTRES, counts, strict=True)])
    assert modes.classes_hit(shown, known, labels)["modes_covered"] == 2
    assert modes.classes_hit(shown + 100, known, labels)["modes_covered"] == 0
    unlabelled = modes.classes_hit(shown, np.vstack([known, known + 50]), np.r_[labels, [-1] * 12])
    assert unlabelled["modes"] == 3


def generator(collapsed: bool) -> contracts.Frozen:
    """Points of the three classes, or of the first alone, from normal codes."""

    def decode(params, state, codes):
        which = 0 if collapsed else jnp.floor(3 * jax.scipy.stats.norm.cdf(codes[:, 2])).astype(int)
        return (params[which] + 0.5 * codes[:, :2]).reshape(-1, 1, 1, 2)

    generative = contracts.Generative(decode, draw=jax.random.normal, width=3)
    method = contracts.Method(None, None, None, generative)

    def represent(images):
        return {"y": images.reshape(len(images), -1)}

    return contracts.Frozen(represent, method, jnp.asarray(CENTRES, jnp.float32), {}, jnp.asarray)


def test_a_collapsed_generator_is_told_from_a_perfect_one(rng):
    splits = {"train": points(0), "test": points(1)}
    good, bad = (modes.evaluate(generator(bad), splits, rng) for bad in (False, True))
    assert good["y/modes"] == good["y/modes_covered"] == 3 and bad["y/modes_covered"] == 1
    assert abs(good["y/energy_distance"]) < 0.1 < 1 < bad["y/energy_distance"]
    assert abs(good["y/energy_distance_real"]) < 0.1
    for name in ("y/high_quality", "y/high_quality_real"):
        assert good[name] == pytest.approx(1 - np.exp(-4.5), abs=0.02)


def test_images_are_refused_before_training(digits):
    with pytest.raises(contracts.UserError, match=r"8x8x1 and .* 'modes' compares points"):
        suite.check({"modes": {"name": "modes"}}, digits)
    one = {"train": points(0), "test": points(1, 1)}
    with pytest.raises(contracts.UserError, match="a split has only one"):
        modes.check_splits(one)
