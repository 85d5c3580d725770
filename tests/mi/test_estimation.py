"""Estimates beside known information, and what they say where samples are too few.

Most tests have arrays of one shape, whose programs are compiled once.
"""

import math
from typing import NamedTuple

import jax.monitoring
import numpy as np
import pytest
from sklearn import metrics

from dim_jax import contracts, mi
from dim_jax.mi import network, sampling_errors

N = 400
TRUTH = -1.5 * math.log(1 - 0.6**2)  # of three columns with correlation 0.6


def gaussians(seed: int = 0, rho: float = 0.6, count: int = N, columns: int = 3):
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, count, columns))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def is_near(estimate: mi.Estimate, truth: float) -> bool:
    """Within three standard errors, and of 400 samples these are themselves inexact."""
    return abs(estimate.nats - truth) < 3 * estimate.standard_error + 0.01


class Runs(NamedTuple):
    first: mi.Estimate
    again: mi.Estimate
    other: mi.Estimate
    compiled: list[int]
    told: list[tuple[float, str]]


@pytest.fixture(scope="module")
def runs() -> Runs:
    """The same estimate two times and one of other samples, and what each compiles and tells."""
    count, compiled, estimates, told = [0], [], [], []

    def listen(event: str, _: float, **__) -> None:
        count[0] += event.endswith("backend_compile_duration")

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for seed in (3, 3, 4):
            before = count[0]
            told.clear()
            options = dict(seed=seed, progress=lambda *each: told.append(each))
            estimates.append(mi.estimate(*gaussians(seed), **options))
            compiled.append(count[0] - before)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return Runs(*estimates, compiled, told)


def test_gaussians_have_their_information(runs):
    for estimate in (runs.first, runs.other):
        assert is_near(estimate, TRUTH)
        low, high = estimate.interval
        assert low < estimate.nats < high and low < TRUTH < high
        assert 0 < estimate.guaranteed < TRUTH
        assert estimate.p_value == 2 / 1001 and estimate.null.shape == (1000,)
        assert estimate.samples == N and estimate.dimensions == (3, 3)
        assert estimate.critics["gaussian"] > 0.5 and min(estimate.critics.values()) >= 0
        assert {point.fold for point in estimate.curve} == {0, 1, 2, 3, 4}
    assert runs.first.reliable, runs.first.why


def test_equal_seeds_give_equal_bits(runs):
    first, again = runs.first.to_dict(), runs.again.to_dict()
    assert first == again
    assert runs.other.nats != runs.first.nats


def test_the_second_call_compiles_nothing(runs):
    assert runs.compiled[0] > 0 and runs.compiled[1] == 0


def test_other_samples_of_the_same_shape_compile_nothing(runs):
    assert runs.compiled[2] == 0


def test_progress_is_told(runs):
    fractions = [fraction for fraction, _ in runs.told]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert {text for _, text in runs.told} == {"x and y"}


def test_independent_samples_have_none():
    (x, _), (y, _) = gaussians(2), gaussians(3)
    estimate = mi.estimate(x, y)
    assert abs(estimate.nats) < 0.02 and estimate.interval[0] == 0.0
    assert estimate.guaranteed < 0.01
    assert 0 < estimate.p_value <= 1
    assert estimate.reliable, estimate.why


def test_copies_in_one_block_do_not_raise_the_value(runs, without_network):
    x, y = (np.repeat(side[: N // 4], 4, axis=0) for side in gaussians(3))
    estimate = mi.estimate(x, y, blocks=np.repeat(np.arange(N // 4), 4), permutations=200)
    assert estimate.nats < TRUTH + 2 * estimate.standard_error
    assert estimate.standard_error > 1.3 * runs.first.standard_error
    assert estimate.p_value < 0.05


def test_errors_are_of_blocks():
    rng = np.random.default_rng(0)
    sums = rng.normal(size=60)
    influence, blocks = np.repeat(sums, 5), np.repeat(np.arange(60), 5)
    expected = sums.std() / math.sqrt(60)
    assert math.isclose(sampling_errors.standard_error(influence, blocks), expected)
    alone = sampling_errors.standard_error(influence, None)
    assert math.isclose(alone, expected / math.sqrt(5))
    flipped = sampling_errors.flipped_means(influence, blocks, 4000, rng)
    assert abs(flipped.std() / expected - 1) < 0.05
    assert abs(flipped.mean()) < 4 * expected / math.sqrt(4000)


def test_p_value_is_the_share_of_permutations():
    null = np.arange(99.0)
    assert sampling_errors.p_value(-1.0, null) == 1.0
    assert sampling_errors.p_value(98.5, null) == 0.01
    assert sampling_errors.p_value(50.0, null) == 0.5
    assert math.isnan(sampling_errors.p_value(1.0, np.array([])))


def classes(seed: int = 0, count: int = 2000, share: float = 0.7):
    rng = np.random.default_rng(seed)
    x, noise = rng.integers(0, 4, (2, count))
    return x, np.where(rng.random(count) < share, x, noise)


def test_classes_have_the_information_of_their_counts():
    x, y = classes()
    estimate = mi.estimate(x, y, permutations=200)
    cells, rows, columns = 16, 4, 4
    bias = (cells - rows - columns + 1) / (2 * 2000)
    assert math.isclose(estimate.nats, metrics.mutual_info_score(x, y) - bias, abs_tol=1e-12)
    kept, lost = 0.7 + 0.3 / 4, 0.3 / 4
    truth = math.log(4) + kept * math.log(kept) + 3 * lost * math.log(lost)
    assert estimate.interval[0] < truth < estimate.interval[1]
    assert estimate.p_value == 1 / 201 and estimate.reliable


def test_independent_classes_have_no_extreme_value():
    values, levels = [], []
    for seed in range(20):
        x, y = classes(seed, count=400, share=0.0)
        estimate = mi.estimate(x, y, permutations=100)
        values.append(estimate.nats)
        levels.append(estimate.p_value)
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(20) + 1e-3
    assert 0.3 < np.mean(levels) < 0.7 and min(levels) > 0.01


def test_many_classes_are_not_reliable():
    x, y = np.random.default_rng(0).integers(0, 30, (2, 300))
    estimate = mi.estimate(x, y, discrete=True, permutations=50)
    assert not estimate.reliable and "are needed" in estimate.why


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(confidence=1.0), "confidence is 1.0; set it from 0.5"),
        (dict(permutations=-1), "permutations is -1; set it to a number"),
        (dict(permutations=True), "permutations is True"),
    ],
)
def test_settings_are_checked(options, text):
    with pytest.raises(contracts.UserError, match=text):
        mi.estimate(*gaussians(), **options)


@pytest.fixture(scope="module")
def independent() -> list[mi.Estimate]:
    """Of 20 pairs of samples that share nothing, without networks."""
    nothing = network.Network({}, network.Settings(), 0.0, ())
    estimates = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "fit", lambda *arguments, **options: nothing)
        for seed in range(20):
            x, y = np.random.default_rng(seed).normal(size=(2, 250, 3))
            estimates.append(mi.estimate(x, y, seed=seed, permutations=200))
    return estimates


@pytest.mark.slow
def test_values_of_independent_samples_are_not_above_zero_but_for_noise(independent):
    for estimate in independent:
        assert -0.15 < estimate.nats < 3 * estimate.standard_error + 0.01  # 40 validation samples
        assert estimate.interval[0] < 0.02
    assert np.mean([estimate.guaranteed > 0 for estimate in independent]) <= 0.15


@pytest.mark.slow
def test_p_values_of_independent_samples_are_not_extreme(independent):
    levels = np.array([estimate.p_value for estimate in independent])
    assert np.mean(levels < 0.1) <= 0.3  # 0.1 in expectation
    assert 0.3 < np.mean(levels) < 0.7


@pytest.mark.slow
def test_monotone_functions_change_little(runs):
    x, y = gaussians(3)
    estimate = mi.estimate(np.exp(x), np.arctan(y) * 1e6, seed=3)
    assert abs(estimate.nats - runs.first.nats) < runs.first.standard_error


@pytest.mark.slow
def test_a_class_and_a_number(without_network):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, N)
    y = 2.0 * x + rng.normal(size=N)
    grid = np.linspace(-7, 9, 4001)
    density = [np.exp(-((grid - mean) ** 2) / 2) / math.sqrt(2 * math.pi) for mean in (0, 2)]
    mixed = (density[0] + density[1]) / 2
    entropy = -np.sum(mixed * np.log(mixed)) * (grid[1] - grid[0])
    truth = entropy - 0.5 * math.log(2 * math.pi * math.e)
    estimate = mi.estimate(x, y)
    assert is_near(estimate, truth)
    assert estimate.dimensions == (1, 1)


@pytest.mark.slow
def test_conditional_information_of_a_chain_and_of_a_sum(without_network):
    rng = np.random.default_rng(0)
    x, first, second = rng.normal(size=(3, N))
    z = x + first
    chain = mi.estimate(x, z + second, given=z)
    assert is_near(chain, 0.0) and abs(chain.nats) < 0.1 and chain.p_value > 0.01
    assert chain.guaranteed is None and "difference" in chain.label
    y = x + z + second  # given z, x has the variance 1/2 and the noise 1
    truth = 0.5 * math.log(1.5)
    added = mi.estimate(x, y, given=z)
    assert is_near(added, truth)
    assert added.interval[0] < truth < added.interval[1]


@pytest.mark.slow
def test_few_samples_of_many_columns_are_not_reliable():
    estimate = mi.estimate(*gaussians(rho=0.5, count=200, columns=30))
    truth = -15 * math.log(1 - 0.25)
    assert not estimate.reliable, estimate.why
    assert estimate.nats < truth and estimate.guaranteed < truth


@pytest.mark.slow
def test_more_information_than_samples_can_show_is_not_reliable(without_network):
    estimate = mi.estimate(*gaussians(rho=math.sqrt(1 - math.exp(-13.8 / 1.5))))
    assert not estimate.reliable
    assert estimate.guaranteed < 13.8


@pytest.mark.slow
def test_values_without_support_stay_near_the_information(without_network):
    estimate = mi.estimate(*gaussians(rho=math.sqrt(1 - math.exp(-13.8 / 1.5))))
    assert 3 < estimate.nats < 30


@pytest.mark.slow
def test_one_far_sample_does_not_decide_the_value(without_network):
    estimate = mi.estimate(*gaussians(0, columns=2))
    assert is_near(estimate, TRUTH / 1.5) and estimate.standard_error < 0.1


def test_classes_are_counted_given_classes_and_in_blocks():
    random = np.random.default_rng(0)
    x, y = random.integers(0, 2, (2, 600))
    given = mi.estimate(x, y, given=x ^ y, permutations=200)
    assert given.method == "counts" and abs(given.nats - math.log(2)) < 0.01
    assert given.reliable and given.p_value < 0.01
    assert abs(mi.estimate(x, y, given=x, permutations=200).nats) < 1e-9
    copied = mi.estimate(x, x, blocks=np.arange(600) // 10, permutations=200)
    assert copied.method == "counts" and abs(copied.nats - math.log(2)) < 0.01


def test_many_classes_for_few_samples_are_not_reliable():
    random = np.random.default_rng(0)
    x = random.integers(0, 20, 1000)
    estimate = mi.estimate(x, random.permutation(x), permutations=50)
    assert not estimate.reliable and "2.5 samples" in estimate.why
    assert abs(estimate.null.mean()) < 0.05


def test_a_block_as_large_as_a_fold_is_refused():
    x, y = gaussians(0)
    blocks = np.where(np.arange(N) < N // 2, 0, np.arange(N))
    with pytest.raises(contracts.UserError, match=r"the largest block has .* divide it"):
        mi.estimate(x, y, blocks=blocks)


@pytest.mark.parametrize("options", [dict(seed=-1), dict(confidence="a"), dict(discrete=1)])
def test_arguments_of_other_types_are_refused(options):
    with pytest.raises(contracts.UserError, match=f"{next(iter(options))} is .*set it to|from 0.5"):
        mi.estimate(*gaussians(0), **options)


def test_values_below_zero_are_not_reliable_and_leave_room_above():
    reliable, why = sampling_errors.judge(-0.5, 0.1, 0.01, 0.0)
    assert not reliable and "below zero" in why
    assert not sampling_errors.judge(math.nan, 0.1, 0.01, 0.0)[0]


def test_samples_as_dependent_as_pairs_can_show_are_not_reliable():
    reliable, why = sampling_errors.judge(0.5, 0.05, 0.01, 0.0, limited=0.03)
    assert not reliable and why.startswith("3% of the samples")
    assert sampling_errors.judge(0.5, 0.05, 0.01, 0.0, limited=0.01)[0]
