"""Images beside copies whose lower rows are masked: pairs whose information obeys known rules.

X is an image and Y the same image of which only the upper rows are visible, the others are 0. The
tests of Song and Ermon 2020, section 4, with t visible rows:

    baseline    I(X; Y) is 0 for t = 0 and does not fall with t
    processing  I([X, X]; [Y, h(Y)]) = I(X; Y), where h masks three rows more
    additivity  I([X, X']; [Y, Y']) = 2 I(X; Y) for independent images X and X'

Y is a function of X, so that I(X; Y) is the entropy of Y, which `entropy_bracket` bounds.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg

from dim_jax import data

TESTS = ("baseline", "processing", "additivity")
RATIOS = {"processing": 1.0, "additivity": 2.0}  # over the value of the baseline
PROCESSED = 3  # rows that h masks in addition
_NOISE = 1 / 12  # variance of uniform noise that fills the step between two values of a pixel


class Images(NamedTuple):
    """A data set: train and test u8[n,h*w*c], the shape (h, w, c), and the mean f32[c] of pixels
    between 0 and 1."""

    train: np.ndarray
    test: np.ndarray
    shape: tuple[int, int, int]
    mean: np.ndarray


def load(name: str, count: int | None = None) -> Images:
    """A data set of `dim_jax.data`; the first `count` training and test images."""
    loaded = data.load(name)
    train, test = (
        np.ascontiguousarray(loaded.splits[split].images[:count]) for split in ("train", "test")
    )
    flat = (images.reshape(len(images), -1) for images in (train, test))
    return Images(*flat, train.shape[1:], np.asarray(loaded.facts.mean, np.float32))


def visible(shape: tuple[int, int, int], rows: int) -> np.ndarray:
    """b[h*w*c]: the columns of the upper rows."""
    height, width, channels = shape
    return np.arange(height * width * channels) < max(rows, 0) * width * channels


def given(images: Images, test: str, rows: int, split: str = "train") -> dict[str, jax.Array]:
    """Arguments of `draw_one` and `draw_two`, of the same shapes for all tests and rows."""
    first, second = given_rows(test, rows)
    pixels = images.shape[0] * images.shape[1]
    return {
        "images": jnp.asarray(getattr(images, split)),
        "mean": jnp.tile(images.mean, pixels),
        "first": jnp.asarray(visible(images.shape, first), jnp.float32),
        "second": jnp.asarray(visible(images.shape, second), jnp.float32),
        "independent": jnp.asarray(test == "additivity"),
    }


def draw_one(batch: int):
    """draw(key, given) -> x, y f32[batch,d] of the baseline; pixels are centred."""

    def draw(key, given):
        x = _images(key, given, batch)
        return x, x * given["first"]

    return draw


def draw_two(batch: int):
    """draw(key, given) -> x, y f32[batch,2d] of the other tests: twice an image, or two images."""

    def draw(key, given):
        keys = jax.random.split(key)
        one, other = (_images(each, given, batch) for each in keys)
        other = jnp.where(given["independent"], other, one)
        y = [one * given["first"], other * given["second"]]
        return jnp.concatenate([one, other], 1), jnp.concatenate(y, 1)

    return draw


def _images(key, given, batch: int) -> jax.Array:
    """f32[batch,d], all different: an image twice in a batch is no draw of the product."""
    start, stride = jax.random.split(key)
    count = len(given["images"])
    start = jax.random.randint(start, (), 0, count)
    stride = jax.random.randint(stride, (), 1, count // batch + 1)
    chosen = given["images"][(start + stride * jnp.arange(batch)) % count]
    return chosen / 255 - given["mean"]


def pairs(
    images: Images, test: str, rows: int, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """x, y u8[n,h,w,c or 2c]: test images, a second image or copy in further channels."""
    order = np.random.default_rng(seed).permutation(len(images.test))
    if 2 * samples > len(order):
        raise ValueError(f"{2 * samples} images are needed, and there are {len(order)}")
    one, other = (images.test[order[k * samples :][:samples]] for k in range(2))
    sides = [one] if test == "baseline" else [one, other if test == "additivity" else one]
    masks = shown(images, test, rows).reshape(len(sides), -1).astype(np.uint8)
    full = [side.reshape(-1, *images.shape) for side in sides]
    masked = [
        (side * mask).reshape(-1, *images.shape) for side, mask in zip(sides, masks, strict=True)
    ]
    return np.concatenate(full, -1), np.concatenate(masked, -1)


def entropy_bracket(images: Images, rows: int) -> tuple[float, float]:
    """Nats that the entropy of Y is about between: I(X; Y), as Y is a function of X.

    Below, the entropy of the training images as a list, which counts no image that is not in it;
    above, the sum over pixels of the entropy given the pixel to the left, in frequencies. Both are
    of frequencies, whose entropy is too low by less than the number of values over the images.
    """
    _, width, channels = images.shape
    top = images.train.reshape(-1, *images.shape)[:, :rows]
    if not rows:
        return 0.0, 0.0
    listed = _entropy(np.unique(top.reshape(len(top), -1), axis=0, return_inverse=True)[1])
    total = 0.0
    for pixels in np.moveaxis(top, (1, 3), (0, 1)).reshape(rows * channels, len(top), width):
        values = pixels.astype(np.int64)
        joint = values[:, 1:] * 256 + values[:, :-1]
        total += sum(map(_entropy, joint.T)) - sum(map(_entropy, values[:, 1:-1].T))
        total += 0.0 if width > 1 else _entropy(values[:, 0])
    return listed, total


def _entropy(symbols: np.ndarray) -> float:
    shares = np.unique(symbols, return_counts=True)[1] / len(symbols)
    return float(-np.sum(shares * np.log(shares)))


class Moments(NamedTuple):
    """Covariances f64[d,d] of X, or of two of them, about the mean of the training images."""

    fitted: np.ndarray
    held: np.ndarray


def moments(images: Images, test: str, seed: int, count: int | None = None) -> Moments:
    """Of the first `count` training images, and of the test images."""
    random = np.random.default_rng(seed)
    parts = []
    for split in (images.train[:count], images.test):
        one = split.astype(np.float64)
        other = one[random.permutation(len(one))] if test == "additivity" else one
        parts.append(one if test == "baseline" else np.concatenate([one, other], axis=1))
    centred = [part - parts[0].mean(axis=0) for part in parts]
    return Moments(*(part.T @ part / len(part) for part in centred))


def gaussian_difference(moments: Moments, shown: np.ndarray) -> float:
    """Difference of entropies in nats: normal laws of (x, y), x and y, fitted to training images.

        mean over test images of log q(x, y) - log q(x) - log q(y)

    for y the columns `shown` b[d] of x, and uniform noise on the steps between two values of a
    pixel, drawn for x and for y, which keeps their information. A generative estimator, neither a
    lower nor an upper bound. The noise is averaged in closed form.
    """
    size, count = len(shown), int(shown.sum())
    if not count:
        return 0.0
    joint = [
        np.block([[full, full[:, shown]], [full[shown], full[np.ix_(shown, shown)]]])
        + _NOISE * np.eye(size + count)
        for full in moments
    ]
    sides = (slice(size), slice(size, None))
    apart = sum(_cross_entropy(*(each[side, side] for each in joint)) for side in sides)
    return apart - _cross_entropy(*joint)


def shown(images: Images, test: str, rows: int) -> np.ndarray:
    """b[d] or b[2d]: the columns of X, or of two of them, that Y has."""
    first, second = given_rows(test, rows)
    masks = [visible(images.shape, first)]
    if test != "baseline":
        masks.append(visible(images.shape, second))
    return np.concatenate(masks)


def given_rows(test: str, rows: int) -> tuple[int, int]:
    """Visible rows of Y and of what stands beside it."""
    return rows, max(rows - PROCESSED, 0) if test == "processing" else rows


def _cross_entropy(fitted: np.ndarray, held: np.ndarray) -> float:
    """Of centred normal laws with these covariances, without its term in log 2 pi."""
    factor = linalg.cho_factor(fitted)
    log_determinant = 2 * np.sum(np.log(np.diagonal(factor[0])))
    return float(log_determinant + np.trace(linalg.cho_solve(factor, held))) / 2
