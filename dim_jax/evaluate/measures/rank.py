"""The number of directions that frozen features of test images use: RankMe and LiDAR.

Sources: Garrido et al. 2023 (RankMe); Thilak et al. 2023 (LiDAR).
"""

from collections.abc import Iterable, Mapping

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.losses import spread

_TAPS = ("y",)
_WIDEST = 2048  # features of which LiDAR decomposes the covariance
_RIDGE = 1e-4  # added to the covariance within images, as published


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    taps: Iterable[str] = _TAPS,
    images: int = 2048,
    draws: int = 10,
) -> dict[str, float]:
    """Effective ranks of test features, between 1 and min(images - 1, features).

    Args:
      images: at most this many test images.
      draws: views of each image for LiDAR, changed at random as in training.

    Returns:
      "<tap>/effective_rank": `effective_rank` of the features of the images as they are.
      "<tap>/effective_rank_share": relative to the largest possible.
      "<tap>/lidar": `lidar` of their views; absent for representations that are not trained on
          views (pixels, PCA), or whose views are all alike, and for taps of more than 2,048
          features.

    Raises:
      UserError: an unknown tap; fewer than two test images; fewer than two draws.
    """
    test = first(splits["test"], images, "rank")
    if draws < 2:
        raise contracts.UserError(
            f"draws is {draws} in the evaluation 'rank' and a variance needs two; set it to 2 or "
            "more"
        )
    results, narrow = {}, []
    # Those of all test images are in the cache, for other evaluations.
    for tap, rows in features.extract(frozen, splits["test"], taps).items():
        rows = rows[: len(test.images)]
        rank = effective_rank(rows)
        results[f"{tap}/effective_rank"] = rank
        results[f"{tap}/effective_rank_share"] = rank / spread.largest_rank(*rows.shape)
        if rows.shape[1] <= _WIDEST:
            narrow.append(tap)
    if frozen.prepare is not None and frozen.varies and narrow:
        for tap, views in draw(frozen, test, narrow, rng, draws).items():
            results[f"{tap}/lidar"] = lidar(views)
    return results


EVALUATION = Evaluation(evaluate, representations="all", taps=_TAPS)


def first(split: dataset.Split, images: int, name: str) -> dataset.Split:
    """The first `images` of a split; UserError if they are fewer than two."""
    count = min(images, len(split.images))
    if count < 2:
        raise contracts.UserError(
            f"the evaluation '{name}' compares images and has {count} of "
            f"{len(split.images)} test images; set its option images to 2 or more, or remove it"
        )
    return dataset.select(split, np.arange(count))


def draw(
    frozen: contracts.Frozen,
    split: dataset.Split,
    taps: Iterable[str],
    rng: jax.Array,
    draws: int,
) -> dict[str, np.ndarray]:
    """The features {tap: f32[draws,n,d]} of random views of the images, as in training."""
    uncached = features.without_cache(frozen)
    drawn = [
        features.extract(uncached, split, taps, views=1, rng=jax.random.fold_in(rng, number))
        for number in range(draws)
    ]
    return {tap: np.stack([each[tap] for each in drawn]) for tap in drawn[0]}


def effective_rank(rows: np.ndarray) -> float:
    """RankMe of features f[n,d] about their mean, in float64; see `losses.spread.effective_rank`.

    Source: Garrido et al. 2023, eq. 3.
    Differs: the mean is taken off; no epsilon is added to the shares.
    """
    rows = rows.astype(np.float64)
    rows -= rows.mean(axis=0)
    small = rows if rows.shape[0] <= rows.shape[1] else rows.T
    squares = np.linalg.eigvalsh(small @ small.T)
    return _perplexity(np.sqrt(np.where(squares > 1e-15 * squares[-1], squares, 0.0)))


def lidar(views: np.ndarray) -> float:
    """LiDAR of features f[draws,n,d]: directions that tell images apart whatever their view.

    The effective rank of W^-1/2 B W^-1/2, by its eigenvalues: B is the covariance of the images'
    means over views, W that of views about the mean of their image, plus 1e-4 I.

    Source: Thilak et al. 2023, eqs. 2-5; each image with its views is a class.
    """
    views = views.astype(np.float64)
    draws, count, width = views.shape
    means = views.mean(axis=0)
    within = (views - means).reshape(-1, width)
    within = within.T @ within / (count * (draws - 1)) + _RIDGE * np.eye(width)
    values, vectors = np.linalg.eigh(within)
    whitened = (means - means.mean(axis=0)) @ (vectors / np.sqrt(values)) / np.sqrt(count - 1)
    return _perplexity(np.linalg.svd(whitened, compute_uv=False) ** 2)


def _perplexity(sizes: np.ndarray) -> float:
    """Exp of the entropy of shares; 0 if all are 0."""
    total = sizes.sum()
    if not total > 0:
        return 0.0
    share = sizes[sizes > 0] / total
    return float(np.exp(-np.sum(share * np.log(share))))
