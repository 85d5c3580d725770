"""The two sides of a pair as the critics take them: normal scores and features of each sample."""

from typing import NamedTuple, Self

import numpy as np
from scipy import special, stats

_CLASS_DISTANCE = 20.0  # of one-hot rows, so that kernels of different classes do not overlap
_COMPONENTS, _OF_COMPONENTS = 20, 2000  # principal components of images, and images they are of
_LARGEST = 5.0  # deviations, of features


class Side(NamedTuple):
    """One side, x or y, of all samples; rows are samples.

    scores: f64[n,d], the normal score of each column by its rank, or one-hot rows of classes.
    uniform: f64[n,d], the ranks on [0, 1], or one-hot rows.
    standard: f64[n,d], the columns with mean 0 and deviation 1, within 5, or one-hot rows.
    radii: f64[n,r], normal scores of distances from the centre by several measures, or [n,0].
    features: f32[n,k], the inputs of a network: scores, standardised columns and radii.
    """

    scores: np.ndarray
    uniform: np.ndarray
    standard: np.ndarray
    radii: np.ndarray
    features: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, discrete: bool = False) -> Self:
        """Of columns f[n,d], or of classes f[n,1]."""
        if discrete:
            classes = np.unique(values[:, 0], return_inverse=True)[1].reshape(-1)
            hot = np.eye(classes.max() + 1)[classes]
            far = hot * _CLASS_DISTANCE
            return cls(far, far, far, np.empty((len(hot), 0)), hot.astype(np.float32))
        uniform = _ranks(values)
        scores = special.ndtri(uniform)
        standard = np.clip(_standardise(values.astype(np.float64)), -_LARGEST, _LARGEST)
        radii = special.ndtri(_ranks(_radii(values.astype(np.float64), uniform, scores)))
        features = np.concatenate([scores, standard, radii], axis=1)
        return cls(scores, uniform, standard, radii, features.astype(np.float32))

    @classmethod
    def of_images(cls, images: np.ndarray) -> Self:
        """Of images [n,h,w,c]: columns are the principal components, features all pixels."""
        pixels = _standardise(images.reshape(len(images), -1), overall=True).astype(np.float32)
        few = pixels[:: -(-len(pixels) // _OF_COMPONENTS)]
        values, vectors = np.linalg.eigh((few @ few.T).astype(np.float64))
        kept = values[-_COMPONENTS:] > 1e-6 * values[-1]
        directions = few.T @ vectors[:, -_COMPONENTS:][:, kept]
        return cls.of((pixels @ directions).astype(np.float64))._replace(features=pixels)

    @classmethod
    def joined(cls, first: "Side", second: "Side") -> Self:
        """Of the columns of both."""
        scores, uniform, standard, features = (
            np.concatenate([getattr(side, name) for side in (first, second)], axis=1)
            for name in ("scores", "uniform", "standard", "features")
        )
        radii = [side.radii for side in (first, second) if side.radii.size]
        # Squares of distances add up; of normal scores of them, the mean has nearly the same order.
        both = special.ndtri(_ranks(np.mean(radii, axis=0))) if radii else first.radii
        return cls(scores, uniform, standard, both, features)

    @property
    def are_classes(self) -> bool:
        """Whether it is one-hot rows alone."""
        return not self.radii.size

    def take(self, rows: np.ndarray) -> Self:
        """The samples at these positions i[m]."""
        return type(self)(*(array[rows] for array in self))

    def modulated(self, waves: int) -> Self:
        """With scores that also turn with the distance from the centre, for rotations by it.

        The scores are joined by their products with cos(j pi u) and sin(j pi u), j = 1..waves, u
        the rank of the distance on [0, 1].
        """
        if not waves:
            return self
        angles = np.pi * np.arange(1, waves + 1) * special.ndtr(self.radii[:, -1:])
        turns = np.concatenate([np.ones((len(angles), 1)), np.cos(angles), np.sin(angles)], axis=1)
        products = turns[:, :, None] * self.scores[:, None]
        return self._replace(scores=products.reshape(len(angles), -1))


def _ranks(values: np.ndarray) -> np.ndarray:
    return (stats.rankdata(values, axis=0) - 0.5) / len(values)


def _radii(values: np.ndarray, uniform: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """f64[n,4]: of the values, and of scores with the quantiles of Student's t with 1, 2, inf."""
    centred = values - np.median(values, axis=0)
    scale = np.median(np.abs(centred), axis=0)
    squares = (
        np.square(centred / np.where(scale > 0, scale, 1.0)),
        np.square(np.tan(np.pi * (uniform - 0.5))),
        np.square(2 * uniform - 1) / (2 * uniform * (1 - uniform)),
        np.square(scores),
    )
    return np.stack([np.sum(each, axis=1) for each in squares], axis=1)


def _standardise(values: np.ndarray, overall: bool = False) -> np.ndarray:
    """With mean 0 in each column, and deviation 1 in each or, `overall`, in all."""
    centred = values - values.mean(axis=0)
    deviation = centred.std() if overall else centred.std(axis=0)
    return centred / np.where(deviation > 0, deviation, 1.0)
