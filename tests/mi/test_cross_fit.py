"""Folds: what each sample takes part in, and that blocks are not divided."""

import numpy as np
import pytest

from dim_jax.mi import committee, cross_fit, held_out
from dim_jax.mi.pooled import Pooled
from dim_jax.mi.sides import Side

N = 300


def gaussians(seed: int = 0, rho: float = 0.7):
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, N, 3))
    return Side.of(x), Side.of(rho * x + np.sqrt(1 - rho**2) * noise)


def blocks(seed: int = 0) -> np.ndarray:
    """Of 1 to 12 samples, in any order."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 13, N)
    labels = np.repeat(np.arange(N), sizes)[:N]
    return np.unique(rng.permutation(labels), return_inverse=True)[1]


def test_folds_hold_every_sample_once():
    parts = cross_fit.folds(N + 3, None, np.random.default_rng(0))
    assert [len(part) for part in parts] == [61, 61, 61, 60, 60]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(N + 3))
    other = cross_fit.folds(N + 3, None, np.random.default_rng(1))
    assert not np.array_equal(parts[0], other[0])


@pytest.mark.parametrize("seed", range(3))
def test_blocks_are_in_one_fold(seed):
    labels = blocks(seed)
    parts = cross_fit.folds(N, labels, np.random.default_rng(seed))
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(N))
    held = [set(labels[part]) for part in parts]
    assert sum(map(len, held)) == len(set(labels))
    assert max(map(len, parts)) - min(map(len, parts)) <= 12


@pytest.mark.parametrize("in_blocks", [False, True])
def test_no_sample_is_valued_by_critics_that_it_chose(monkeypatch, without_network, in_blocks):
    x, y = gaussians()
    labels = blocks() if in_blocks else None
    position = {score: index for index, score in enumerate(x.scores[:, 0])}
    seen = []
    fit = cross_fit.Committee.fit

    def spy(x, y, checked_x, checked_y, **options):
        seen.append([[position[score] for score in side.scores[:, 0]] for side in (x, checked_x)])
        for side, other in ((x, y), (checked_x, checked_y)):
            assert len(side.scores) == len(other.scores)
        return fit(x, y, checked_x, checked_y, **options)

    monkeypatch.setattr(cross_fit.Committee, "fit", spy)
    parts = cross_fit.folds(N, labels, np.random.default_rng(0))
    folds = cross_fit.run(x, y, parts, blocks=labels, permutations=5)
    assert len(folds) == len(seen) == 5
    valued = np.concatenate([fold.samples for fold in folds])
    np.testing.assert_array_equal(np.sort(valued), np.arange(N))
    for fold, part, (training, validation) in zip(folds, parts, seen, strict=True):
        np.testing.assert_array_equal(np.sort(fold.samples), part)
        used = [*fold.samples, *training, *validation]
        assert len(used) == len({*used}) == N
        if in_blocks:
            assert not {*labels[fold.samples]} & {*labels[training], *labels[validation]}
            assert len({*labels[training]} & {*labels[validation]}) <= 1


def test_folds_measure_the_samples_in_their_order(without_network):
    x, y = gaussians()
    parts = cross_fit.folds(N, None, np.random.default_rng(0))
    folds = cross_fit.run(x, y, parts, permutations=200)
    truth = 3 * -0.5 * np.log(1 - 0.7**2)
    shares = np.array([len(fold.samples) for fold in folds]) / N
    value = shares @ [fold.held.value for fold in folds]
    assert truth - 0.3 < value < truth + 0.2
    # A sample far off the line y = x has a small log ratio.
    off = np.sum((x.scores - y.scores) ** 2, axis=1)
    influence = np.empty(N)
    for fold in folds:
        influence[fold.samples] = fold.held.influence
        assert fold.permuted.shape == (200,) and fold.permuted.max() < fold.tested
    assert np.corrcoef(influence, off)[0, 1] < -0.3


def test_independent_samples_have_no_critics_and_a_test(without_network):
    x, _ = gaussians(0)
    _, y = gaussians(1)
    parts = cross_fit.folds(N, None, np.random.default_rng(0))
    folds = cross_fit.run(x, y, parts, permutations=200)
    empty = [fold for fold in folds if not fold.weights]
    assert empty
    for fold in empty:
        assert fold.held.value == 0.0
        assert fold.permuted.std() > 0  # of the Gaussian critic


def test_many_samples_are_scored_in_chunks(monkeypatch, without_network):
    x, y = gaussians()
    parts = cross_fit.folds(N, None, np.random.default_rng(0))
    plain = cross_fit.run(x, y, parts, permutations=5)
    sizes = []
    measure = held_out.measure

    def spy(matrices, *limits):
        sizes.extend(map(len, matrices))
        return measure(matrices, *limits)

    monkeypatch.setattr(held_out, "measure", spy)
    monkeypatch.setattr(committee, "CHUNK", 50)
    folds = cross_fit.run(x, y, parts, permutations=5)
    assert max(sizes) <= 50 and sum(sizes) == N
    for fold, other in zip(folds, plain, strict=True):
        np.testing.assert_array_equal(fold.samples, other.samples)
        assert abs(fold.held.value - other.held.value) < 0.25


def test_progress_rises_to_the_end(without_network):
    told = []
    x, y = gaussians()
    parts = cross_fit.folds(N, None, np.random.default_rng(0))
    cross_fit.run(x, y, parts, permutations=0, progress=told.append)
    assert told == sorted(told) and all(0 <= each <= 1 for each in told)


@pytest.mark.parametrize("seed", range(2))
def test_rare_rows_that_are_equal_are_not_overrated(without_network, seed):
    """The critics score such pairs by hundreds of nats, and no pair of the product is one."""
    random, share, columns = np.random.default_rng(seed), 0.06, 8
    shown = random.random((400, 1)) < share
    side = Side.of(np.where(shown, random.integers(1, 5, (400, columns)), 0).astype(float))
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    entropy += share * columns * np.log(4)
    parts = cross_fit.folds(400, None, random)
    pooled = Pooled.of(cross_fit.run(side, side, parts, permutations=0))
    assert pooled.bound <= pooled.value < entropy
    assert 0.0 < pooled.limited < 2 * share
