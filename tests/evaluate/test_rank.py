"""RankMe, LiDAR, alignment and uniformity of test images against their definitions."""

import itertools

import numpy as np
import pytest
from scipy import linalg

from dim_jax import contracts
from dim_jax.evaluate import features
from dim_jax.evaluate.measures import alignment, rank

RANDOM = np.random.default_rng(0)


def perplexity(sizes) -> float:
    share = sizes / sizes.sum()
    return np.exp(-sum(p * np.log(p) for p in share if p > 1e-14))


def lidar(views) -> float:
    """By its definition: covariances as sums over classes, and a matrix square root."""
    draws, count, width = views.shape
    centre = views.mean((0, 1))
    between = sum(np.outer(m - centre, m - centre) for m in views.mean(0)) / (count - 1)
    within = np.zeros((width, width))
    for image, draw in itertools.product(range(count), range(draws)):
        apart = views[draw, image] - views[:, image].mean(0)
        within += np.outer(apart, apart) / (count * (draws - 1))
    root = np.linalg.inv(linalg.sqrtm(within + 1e-4 * np.eye(width)).real)
    return perplexity(np.abs(np.linalg.eigvalsh(root @ between @ root)))


@pytest.mark.parametrize(("count", "width"), [(30, 6), (8, 20)])
def test_ranks_of_features_by_their_definitions(count, width):
    rows = RANDOM.normal(size=(count, width)) * np.linspace(1, 0.01, width)
    singular = np.linalg.svd(rows - rows.mean(0), compute_uv=False)
    assert rank.effective_rank(rows) == pytest.approx(perplexity(singular), rel=1e-6)
    assert rank.effective_rank(np.ones((count, width))) == 0
    views = rows + 0.1 * RANDOM.normal(size=(4, count, width))
    assert rank.lidar(views) == pytest.approx(lidar(views), rel=1e-6)
    line = np.broadcast_to(np.linspace(-1, 1, count)[:, None], (count, width))
    assert rank.lidar(np.stack([line, line])) == pytest.approx(1, abs=1e-6)


def test_uniformity_by_its_definition():
    vectors = alignment.unit(RANDOM.normal(size=(9, 5)))
    pairs = itertools.combinations(vectors, 2)
    expected = np.log(np.mean([np.exp(-2 * np.sum((u - v) ** 2)) for u, v in pairs]))
    assert alignment.uniformity(vectors) == pytest.approx(expected, abs=1e-9)
    assert alignment.uniformity(np.ones((3, 1))) == pytest.approx(0, abs=1e-9)


def shifted(images, rng):
    import jax

    return (images + jax.random.randint(rng, images.shape, 0, 40)).astype(images.dtype)


def test_evaluations_of_test_images(network, digits, rng):
    frozen = network(shifted)
    found = rank.evaluate(frozen, digits.splits, rng, images=64, draws=3)
    rows = features.extract(frozen, digits.splits["test"], ["y"])["y"][:64]
    assert found["y/effective_rank"] == pytest.approx(rank.effective_rank(rows), rel=1e-6)
    assert found["y/effective_rank_share"] == pytest.approx(found["y/effective_rank"] / 8)
    assert 1 < found["y/lidar"] <= 8
    aligned = alignment.evaluate(frozen, digits.splits, rng, images=64)
    assert 0 < aligned["y/alignment"] < 2 and aligned["y/uniformity"] < 0
    constant = network(lambda images, rng: images // 2)  # at random, with features that are alike
    assert alignment.evaluate(constant, digits.splits, rng, images=64)["y/alignment"] == 0


def test_views_that_are_not_changed_at_random_are_not_compared(network, digits, rng):
    still = network()
    assert set(alignment.evaluate(still, digits.splits, rng, images=64)) == {"y/uniformity"}
    ranked = rank.evaluate(still, digits.splits, rng, images=64)
    assert set(ranked) == {"y/effective_rank", "y/effective_rank_share"}


def test_without_views_there_is_a_rank_and_no_more(encoder, digits, rng):
    found = rank.evaluate(encoder, digits.splits, rng, taps=["fc"], images=32)
    assert set(found) == {"fc/effective_rank", "fc/effective_rank_share"}
    with pytest.raises(contracts.UserError, match="not trained on views"):
        alignment.evaluate(encoder, digits.splits, rng)
    for options in (dict(images=1), dict(draws=1)):
        with pytest.raises(contracts.UserError, match="set it"):
            rank.evaluate(encoder, digits.splits, rng, **options)
