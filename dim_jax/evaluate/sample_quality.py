"""Measures of generated samples, from features: Frechet and kernel distance, precision and recall.

Features are f[n,d], the rows of one network for real and for generated images; distances are only
comparable for equal networks and numbers of images. All sums are float64.
"""

from typing import NamedTuple

import numpy as np

from dim_jax import contracts

_ROWS = 1024  # whose distances to all others are in memory


class Moments(NamedTuple):
    """Of rows: number, mean f64[d], and scatter f64[d,d], the sum of squared deviations."""

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance f64[d,d]."""
        return self.scatter / (self.count - 1)


def moments(features: np.ndarray) -> Moments:
    """The moments of features f[n,d].

    Raises:
      UserError: features that are not finite.
    """
    rows = _rows(features)
    mean = rows.mean(axis=0)
    deviations = rows - mean
    return Moments(len(rows), mean, deviations.T @ deviations)


def merge(one: Moments, other: Moments) -> Moments:
    """The moments of the rows of both, so that features need not be in memory together.

    Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance".
    """
    count = one.count + other.count
    difference = other.mean - one.mean
    weight = one.count * other.count / count
    return Moments(
        count,
        one.mean + difference * (other.count / count),
        one.scatter + other.scatter + weight * np.outer(difference, difference),
    )


def frechet_distance(real: Moments, generated: Moments) -> float:
    """|mean - mean'|^2 + tr(C + C' - 2 (C C')^(1/2)) of two Gaussians with these moments, >= 0.

    On features of the Inception network it is the Frechet inception distance (FID). It falls with
    the number of samples, by a bias of the order of d / n.

    Raises:
      UserError: fewer than two rows, or features of other widths.
    Source: Heusel et al. 2017, equation 6 (Dowson and Landau 1982).
    """
    _check_pair(real.mean, generated.mean)
    if min(real.count, generated.count) < 2:
        raise contracts.UserError(
            f"got moments of {real.count} real and {generated.count} generated images; a "
            "covariance needs at least 2 of each"
        )
    # tr (C C')^(1/2) = tr (C^(1/2) C' C^(1/2))^(1/2), which is symmetric.
    root = _root(real.covariance)
    inner = np.linalg.eigvalsh(root @ generated.covariance @ root)
    overlap = np.sqrt(np.maximum(inner, 0)).sum()
    distance = np.sum((real.mean - generated.mean) ** 2)
    distance += np.trace(real.covariance) + np.trace(generated.covariance) - 2 * overlap
    return float(max(distance, 0.0))


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def kernel_distance(
    real: np.ndarray, generated: np.ndarray, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation, over subsets, of the unbiased squared MMD of two samples.

    The kernel is (x.y / d + 1)^3. On features of the Inception network it is the kernel inception
    distance (KID). Values may be below 0; the mean has no bias from the number of samples.

    Args:
      subsets, size: that many pairs of subsets of `size` rows (all rows if there are fewer), drawn
        without replacement within a subset.

    Raises:
      UserError: fewer than two rows, or features of other widths.
    Source: Binkowski et al. 2018, sections 3.1 and 4.
    """
    real, generated = _rows(real), _rows(generated)
    _check_pair(real[0], generated[0])
    size = min(size, len(real), len(generated))
    if size < 2 or subsets < 1:
        raise contracts.UserError(
            f"got {len(real)} real and {len(generated)} generated images, subsets={subsets} and "
            f"size={size}; at least 2 images and 1 subset are needed"
        )
    random = np.random.default_rng(seed)
    values = [
        _squared_mmd(*(rows[random.choice(len(rows), size, replace=False)] for rows in pair))
        for pair in [(real, generated)] * subsets
    ]
    return float(np.mean(values)), float(np.std(values))


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        values = a @ b.T
        values /= a.shape[1]
        values += 1
        return values * values * values  # a power would take longer than the product of matrices

    def within(rows: np.ndarray) -> float:
        values, count = kernel(rows, rows), len(rows)
        return (values.sum() - np.trace(values)) / (count * (count - 1))

    return within(x) + within(y) - 2 * kernel(x, y).mean()


def inception_score(probabilities: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Mean and standard deviation, over parts, of exp(E KL(p(class | image) || p(class))).

    From 1, for classes that do not depend on the image, to their number.

    Args:
      probabilities: f[n,k] of generated images, in the order in which they were drawn.
      splits: parts of consecutive images; p(class) is the mean of the part.

    Raises:
      UserError: rows that are no probabilities, or fewer images than parts.
    Source: Salimans et al. 2016, section 4.
    """
    rows = _rows(probabilities)
    if rows.min() < 0 or not np.allclose(rows.sum(axis=1), 1, atol=1e-3):
        raise contracts.UserError(
            f"got rows with values from {rows.min():.3g} to {rows.max():.3g} and sums from "
            f"{rows.sum(1).min():.3g} to {rows.sum(1).max():.3g}; the inception score needs "
            "probabilities of classes, such as a softmax of logits"
        )
    if not 1 <= splits <= len(rows):
        raise contracts.UserError(
            f"got {len(rows)} images and splits={splits}; use 1 to {len(rows)} splits"
        )
    scores = [_score(part) for part in np.array_split(rows, splits)]
    return float(np.mean(scores)), float(np.std(scores))


def _score(rows: np.ndarray) -> float:
    mean = rows.mean(axis=0)
    positive = rows > 0
    ratios = np.log(np.divide(rows, mean, out=np.ones_like(rows), where=positive))
    return float(np.exp((rows * ratios).sum(axis=1).mean()))


def precision_and_recall(
    real: np.ndarray, generated: np.ndarray, neighbours: int = 3
) -> tuple[float, float]:
    """Share of generated rows in the manifold of the real ones, and the reverse, in [0, 1].

    The manifold of a sample is the union of balls around its rows, each with the distance of the
    row to its nearest neighbours as radius.

    Args:
      neighbours: k, the nearest neighbour whose distance is the radius.

    Raises:
      UserError: not more than k rows, or features of other widths.
    Source: Kynkaanniemi et al. 2019, equations 1 and 2 (k = 3).
    """
    real, generated = _rows(real), _rows(generated)
    _check_pair(real[0], generated[0])
    if not 1 <= neighbours < min(len(real), len(generated)):
        raise contracts.UserError(
            f"got {len(real)} real and {len(generated)} generated images and "
            f"neighbours={neighbours}; use fewer neighbours than images of either"
        )
    centre = real.mean(axis=0)  # far from 0 the squares would cancel
    real = real - centre
    generated = generated - centre
    radii = _radii(real, neighbours), _radii(generated, neighbours)
    precise, recalled = [], np.zeros(len(real), bool)
    for part in _parts(len(generated)):
        distances = _squared_distances(generated[part], real)
        precise.append((distances <= radii[0]).any(axis=1))
        recalled |= (distances <= radii[1][part, None]).any(axis=0)
    return float(np.concatenate(precise).mean()), float(recalled.mean())


def _radii(rows: np.ndarray, neighbours: int) -> np.ndarray:
    """The squared distance of each row to its k-th nearest neighbour, besides itself."""
    radii = []
    for part in _parts(len(rows)):
        distances = _squared_distances(rows[part], rows)
        distances.partition(neighbours, axis=1)  # the nearest of all is the row itself
        radii.append(distances[:, neighbours].copy())
    return np.concatenate(radii)


def _parts(count: int) -> list[slice]:
    return [slice(start, start + _ROWS) for start in range(0, count, _ROWS)]


def _squared_distances(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    squares = [np.einsum("nd,nd->n", each, each) for each in (rows, others)]
    distances = rows @ others.T
    distances *= -2
    distances += squares[0][:, None]
    distances += squares[1]
    return np.maximum(distances, 0, out=distances)


def _rows(features: np.ndarray) -> np.ndarray:
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or not len(rows):
        raise contracts.UserError(
            f"got features of shape {list(rows.shape)}; measures of samples need [n,d] with a row "
            "per image"
        )
    if not np.isfinite(rows).all():
        raise contracts.UserError(
            "got features that are not finite; look at the images or the network that they are of"
        )
    return rows


def _check_pair(one: np.ndarray, other: np.ndarray) -> None:
    if one.shape != other.shape:
        raise contracts.UserError(
            f"got features of width {one.shape[-1]} and {other.shape[-1]}; use one network for "
            "real and generated images"
        )
