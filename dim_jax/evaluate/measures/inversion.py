"""Errors of an encoder and a generator as inverses of each other, of codes and of images.

For methods that can draw codes of a prior and make images of them. The reference is the same number
with codes, or images, that do not belong together.

Source: Donahue et al. 2017, theorem 2 (at the optimum of BiGAN encoder and generator are inverses).
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features
from dim_jax.evaluate.evaluation import Evaluation

_BATCH = 256  # images or codes at a time
_DRAW, _ORDER = range(2)  # the purposes of random numbers


def evaluate(
    frozen: contracts.Frozen, splits: Mapping[str, dataset.Split], rng: jax.Array
) -> dict[str, float]:
    """Recovery of drawn codes z from G(z), and of test images x from E(x).

    As many codes are drawn as there are test images; m is their mean, z' another one of them and
    x' another test image, drawn at random.

        code_recovery         mean cosine of E(G(z)) - m and z - m; 1 = recovered
        code_recovery_chance  the same of E(G(z)) - m and z' - m
        code_error            mean |E(G(z)) - z|^2 / mean |E(G(z)) - z'|^2; 0 = recovered, 1 = none
        image_error           mean squared error of G(E(x)) against x, per pixel and channel of the
                              normalised images; 0 = recovered
        image_error_random    the same against x'

    E(x) is the code of y in evaluation mode, without the noise of a posterior. A generator that
    makes one grey image for all codes has a small image_error: what counts is its distance to
    image_error_random.

    Returns:
      {"y/code_recovery", "y/code_recovery_chance", "y/code_error", "y/image_error",
      "y/image_error_random"}

    Raises:
      UserError: a method that draws no codes, or fewer than two test images.
    """
    check_method(frozen.method)
    check_splits(splits)
    draw_rng, order_rng = (jax.random.fold_in(rng, purpose) for purpose in (_DRAW, _ORDER))
    y = features.extract(frozen, splits["test"], ("y",))["y"]
    z = np.asarray(frozen.method.generative.draw(draw_rng, y.shape))
    results = _of_codes(z, _in_batches(functools.partial(_recovered(frozen), z), len(z)))
    errors = _in_batches(
        functools.partial(_errors(frozen), y, splits["test"].images, _others(order_rng, len(y))),
        len(y),
    )
    means = np.mean(errors, axis=0, dtype=np.float64)
    results |= {"image_error": means[0], "image_error_random": means[1]}
    return {f"y/{name}": float(value) for name, value in results.items()}


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError for a method that draws no codes, makes no images of them or infers none."""
    generative = method and method.generative
    if not (generative and generative.draw and generative.code):
        raise contracts.UserError(
            "the evaluation 'inversion' draws codes of a prior, makes images of them and infers "
            "these codes again, and this method cannot; remove it from evals or choose one with a "
            "generator and an encoder of its codes, such as bigan"
        )


def check_splits(splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError where there are fewer than two test images."""
    if len(splits["test"].images) < 2:
        raise contracts.UserError(
            "the evaluation 'inversion' compares test images with other ones and there is only "
            "one; set a larger data.test_split"
        )


EVALUATION = Evaluation(
    evaluate,
    representations="encoders",
    taps=("y",),
    check_splits=check_splits,
    check_method=check_method,
)


def _of_codes(z: np.ndarray, recovered: np.ndarray) -> dict[str, Any]:
    """The three numbers of drawn codes f[n,d] and the codes recovered from their images."""
    z, recovered = z.astype(np.float64), recovered.astype(np.float64)
    others, mean = np.roll(z, 1, axis=0), z.mean(axis=0)  # draws are independent: any order will do
    error, chance = (np.mean(np.sum((recovered - rows) ** 2, axis=1)) for rows in (z, others))
    return {
        "code_recovery": np.mean(_cosines(recovered - mean, z - mean)),
        "code_recovery_chance": np.mean(_cosines(recovered - mean, others - mean)),
        "code_error": error / chance,
    }


def _cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.sum(left * right, axis=1) / np.maximum(lengths, 1e-12)


def _others(rng: jax.Array, count: int) -> np.ndarray:
    """For each of `count` images the position of another one, drawn at random."""
    order = np.asarray(jax.random.permutation(rng, count))
    others = np.empty_like(order)
    others[order] = np.roll(order, 1)
    return others


def _recovered(frozen: contracts.Frozen):
    """(codes f[n,d], positions) -> E(G(z)) of those at the positions, f[m,d]."""
    method = frozen.method

    @jax.jit
    def encoded_again(params, state, codes):
        images = method.generative.decode(params, state, codes)
        return method.generative.code(method.represent(params, state, images)["y"])

    def recovered(z: np.ndarray, rows: np.ndarray) -> jax.Array:
        return encoded_again(frozen.params, frozen.state, z[rows])

    return recovered


def _errors(frozen: contracts.Frozen):
    """(y, images, positions of others, positions) -> the two errors of those, f[m,2]."""
    generative = frozen.method.generative

    @jax.jit
    def compared(params, state, y, *images):
        decoded = generative.decode(params, state, generative.code(y))
        errors = [jnp.mean((decoded - frozen.normalise(x)) ** 2, axis=(1, 2, 3)) for x in images]
        return jnp.stack(errors, axis=1)

    def errors(y: np.ndarray, images, others: np.ndarray, rows: np.ndarray) -> jax.Array:
        return compared(frozen.params, frozen.state, y[rows], images[rows], images[others[rows]])

    return errors


def _in_batches(function, count: int) -> np.ndarray:
    """`function` of the positions 0 to count - 1, some at a time, one below the other."""
    size = min(_BATCH, count)
    parts = []
    for start in range(0, count, size):
        # The last batch repeats the last position, so that one shape is compiled.
        rows = np.minimum(np.arange(start, start + size), count - 1)
        parts.append(np.asarray(function(rows)))
    return np.concatenate(parts)[:count]
