"""Values, influences, bounds and permutations of held-out scores, beside loops in float64."""

import numpy as np
import pytest

from dim_jax import bounds
from dim_jax.mi import held_out

M = 60


def scores(seed: int = 0, rho: float = 0.8, size: int = M) -> np.ndarray:
    """The log density ratio f32[m,m] of Gaussian pairs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=size)
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=size)
    distances = rho**2 * (x[:, None] ** 2 + y**2) - 2 * rho * x[:, None] * y
    ratio = -distances / (2 * (1 - rho**2)) - 0.5 * np.log(1 - rho**2)
    return ratio.astype(np.float32)


def others(matrix: np.ndarray) -> np.ndarray:
    return matrix[~np.eye(len(matrix), dtype=bool)].astype(np.float64)


def pseudo_values(statistic, matrix: np.ndarray) -> np.ndarray:
    """Of the jackknife: what each sample adds to `statistic`, whose mean is nearly the value."""
    count = len(matrix)
    left_out = [statistic(np.delete(np.delete(matrix, i, axis=0), i, axis=1)) for i in range(count)]
    return count * statistic(matrix) - (count - 1) * np.array(left_out)


def test_value_is_donsker_varadhan_of_the_pairs():
    matrix = scores()
    drawn = np.mean([matrix[i, i] for i in range(M)], dtype=np.float64)
    expected = drawn - np.log(np.mean(np.exp(others(matrix))))
    np.testing.assert_allclose(held_out.value(matrix), expected, atol=1e-6)
    np.testing.assert_allclose(held_out.value(matrix), bounds.donsker_varadhan(matrix), atol=1e-5)
    np.testing.assert_allclose(held_out.value(matrix + 7), expected, atol=1e-5)


def test_log_mean_is_over_the_pairs_of_all_matrices():
    first, second = scores(0), scores(1, size=M // 2)
    both = np.concatenate([others(first), others(second)])
    expected = np.log(np.mean(np.exp(both)))
    np.testing.assert_allclose(held_out.log_mean([first, second]), expected, atol=1e-6)
    far = held_out.log_mean([first + 500, second + 500])  # exp(500) overflows in float32
    np.testing.assert_allclose(far, expected + 500, atol=1e-3)


def test_drawn_pairs_have_no_part_in_the_log_mean():
    matrix = scores()
    expected = held_out.log_mean([matrix])
    np.fill_diagonal(matrix, 2000.0)  # beside these, exp of the others is zero
    np.testing.assert_allclose(held_out.log_mean([matrix]), expected, atol=1e-6)
    held = held_out.measure([matrix], expected)
    np.testing.assert_allclose(held.value, 2000 - expected, atol=1e-3)
    assert np.isfinite(held.influence).all() and 0 < held.largest < 1


def test_influences_are_those_of_the_jackknife():
    matrix = scores()
    held = held_out.measure([matrix], log_baseline=0.0)
    np.testing.assert_allclose(held.value, held_out.value(matrix), atol=1e-6)
    np.testing.assert_allclose(held.influence.mean(), held.value, atol=1e-9)
    expected = pseudo_values(held_out.value, matrix)
    assert np.corrcoef(held.influence, expected)[0, 1] > 0.999
    np.testing.assert_allclose(held.influence.std(), expected.std(), rtol=0.03)


def test_several_matrices_have_the_value_of_all_their_pairs():
    matrices = [scores(seed) for seed in range(3)]
    held = held_out.measure(matrices, log_baseline=0.0)
    drawn = np.mean([np.diagonal(each).mean(dtype=np.float64) for each in matrices])
    expected = drawn - np.log(np.mean([np.mean(np.exp(others(each))) for each in matrices]))
    np.testing.assert_allclose(held.value, expected, atol=1e-6)
    assert held.influence.shape == held.bound_influence.shape == (3 * M,)
    np.testing.assert_allclose(held.influence.mean(), expected, atol=1e-6)


@pytest.mark.parametrize("log_baseline", [0.0, 0.4])
def test_bound_is_the_one_of_nguyen_wainwright_and_jordan(log_baseline):
    matrix = scores()
    held = held_out.measure([matrix], log_baseline)
    drawn = np.diagonal(matrix).astype(np.float64)
    expected = np.mean(drawn - log_baseline) + 1 - np.mean(np.exp(others(matrix) - log_baseline))
    np.testing.assert_allclose(held.bound, expected, atol=1e-6)
    np.testing.assert_allclose(held.bound, bounds.nwj(matrix - log_baseline + 1), atol=1e-5)
    np.testing.assert_allclose(
        held.bound, bounds.tuba(matrix, log_baseline=log_baseline), atol=1e-5
    )
    assert held.bound <= held.value
    np.testing.assert_allclose(held.bound_influence.mean(), expected, atol=1e-6)
    jackknife = pseudo_values(lambda each: held_out.measure([each], log_baseline).bound, matrix)
    np.testing.assert_allclose(held.bound_influence, jackknife, atol=0.05 * np.ptp(jackknife))
    np.testing.assert_allclose(held.bound_influence.std(), jackknife.std(), rtol=0.03)


def test_largest_is_the_share_of_one_sample():
    matrix = np.zeros((M, M), np.float32)
    even = held_out.measure([matrix], 0.0).largest
    np.testing.assert_allclose(even, 1 / M)
    matrix[3, 5] = 20.0
    assert held_out.measure([matrix], 0.0).largest > 0.49  # a pair has two samples


def test_permutations_have_the_mean_of_all_pairs():
    matrices = [scores(0), scores(1, size=M // 2)]
    random = np.random.default_rng(0)
    means = held_out.permuted_means(matrices, 2000, None, random)
    expected = sum(len(each) * each.mean(dtype=np.float64) for each in matrices) / (1.5 * M)
    assert means.shape == (2000,)
    assert abs(means.mean() - expected) < 4 * means.std() / np.sqrt(2000)
    drawn = sum(np.trace(each) for each in matrices) / (1.5 * M)
    assert means.max() < drawn


def test_permutations_keep_blocks_together():
    size = 4
    blocks = np.repeat(np.random.default_rng(0).permutation(M // size), size)
    place = np.tile(np.arange(size), M // size)
    shuffled = np.random.default_rng(1).permutation(M)
    place, blocks = place[shuffled], blocks[shuffled]
    order = np.argsort(blocks, kind="stable")
    place[order] = np.tile(np.arange(size), M // size)  # in a block, by the order of the samples
    same = (place[:, None] == place).astype(np.float32)
    by_block = held_out.permuted_means([same], 50, blocks, np.random.default_rng(2))
    np.testing.assert_array_equal(by_block, 1.0)
    alone = held_out.permuted_means([same], 50, None, np.random.default_rng(2))
    assert alone.max() < 0.6
    moved = (blocks[:, None] != blocks).astype(np.float32)
    away = held_out.permuted_means([moved], 50, blocks, np.random.default_rng(2))
    assert away.mean() > 0.8  # they do move


def test_drawn_pairs_with_the_largest_scores_are_counted():
    matrix = np.zeros((M, M), np.float32)
    np.fill_diagonal(matrix, [5.1] * 6 + [4.9] * (M - 6))
    assert held_out.measure([matrix], 0.0, most=6.0).limited == 0.1
    assert held_out.measure([matrix], 0.0).limited == 0.0
