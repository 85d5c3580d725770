"""Reconstructions, traversals and likelihood bounds of a method's own decoder.

For methods that are `contracts.Generative`; decoders of frozen features are `msssim`'s.
"""

import functools
from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing

_TAPS = ("y",)
_FIGURES = {
    "decoded": (
        "Its own reconstructions",
        "Test images above what the method's own decoder makes of their codes.",
    ),
    "traversals": (
        "Latent traversals",
        "One test image, and in each row one coordinate of its code from -3 to 3 deviations of "
        "the prior: those coordinates whose means vary most over test images, the first the most.",
    ),
}

_BATCH = 256  # images at a time
_TRAVERSED, _STEPS, _EXTENT = 8, 11, 3.0
_ACTIVE = 0.01  # variance of a coordinate's mean, Burda et al. 2016


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    taps: Iterable[str] = _TAPS,
    draws: int = 64,
    judged: int = 512,
) -> dict[str, float | np.ndarray]:
    """Numbers of the decoder on test images, and pictures u8[h,w,3].

    "y/reconstruction_error": mean squared error of a pixel in the images' normalised units, over
        all test images; those are [-1, 1] with "symmetric" scaling. Smaller is better.
    With densities (VAE), on `judged` test images, in nats for each image:
    "y/rate": KL of the posterior from the prior, in closed form, over all test images
    "y/elbo": the evidence lower bound, the mean of `draws` importance weights' logarithms
    "y/importance_weighted_bound": the logarithm of the mean of the same weights: at least the
        ELBO, and in expectation at most the log evidence. Larger is better for both, and they
        are those of the model with KL weight 1 whatever the weight in training.
    "y/active_coordinates": those whose mean varies by more than 0.01 over test images
    Pictures: "decoded", with densities "traversals".

    Args:
      taps: y alone, which decoders read.
      draws: codes drawn for each of the `judged` images.
      judged: the number of test images, spread over the split.

    Raises:
      UserError: a method without a decoder; no draws or no images.
    Source: Kingma and Welling 2014; Burda et al. 2016, equation 8.
    """
    check_method(frozen.method)
    if min(draws, judged) < 1:
        raise contracts.UserError(f"draws is {draws} and judged is {judged}; set both to 1 or more")
    del taps
    generative, test = frozen.method.generative, splits["test"]
    y = features.extract(frozen, test, ("y",))["y"]
    codes = np.asarray(generative.code(jnp.asarray(y)))
    decode = _decoder(frozen)
    results = {"y/reconstruction_error": _error(frozen, decode, test.images, codes)}
    shown = drawing.spread(len(y))
    to_pixels = functools.partial(drawing.as_pixels, frozen.normalise, pixel_range=test.display)
    originals, decoded = dataset.shown(test, shown), to_pixels(decode(codes[shown]))
    results["decoded"] = drawing.rows_of_images({"image": originals, "decoded": decoded})
    if generative.log_weights is not None:
        picked = drawing.spread(len(y), judged)
        results |= _likelihood(frozen, test.images, picked, rng, draws)
        variances = codes.var(axis=0)
        results["y/active_coordinates"] = float(np.sum(variances > _ACTIVE))
        results["traversals"] = _traversals(
            lambda codes: to_pixels(decode(codes)), codes[shown[0]], variances
        )
    return results


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError for a method that infers no codes or decodes none."""
    if method is None or method.generative is None or method.generative.code is None:
        raise contracts.UserError(
            "this representation has no decoder of codes that it infers; remove 'generative' from "
            "evals"
        )


EVALUATION = Evaluation(
    evaluate,
    representations="trained",
    taps=_TAPS,
    figures=_FIGURES,
    check_method=check_method,
)


def _decoder(frozen: contracts.Frozen) -> Callable[[jax.Array], jax.Array]:
    return functools.partial(jax.jit(frozen.method.generative.decode), frozen.params, frozen.state)


def _parts(count: int) -> Iterable[np.ndarray]:
    """Positions of `_BATCH` images at a time; the last ones repeat the last image."""
    for start in range(0, count, _BATCH):
        yield np.minimum(np.arange(start, start + min(_BATCH, count)), count - 1)


def _mean(count: int, values: Callable[[np.ndarray], jax.Array]) -> float:
    """The mean over `count` images of values(positions) -> f[n]."""
    parts = [np.asarray(values(part), np.float64) for part in _parts(count)]
    return float(np.concatenate(parts)[:count].mean())


def _error(frozen, decode, images: np.ndarray, codes: np.ndarray) -> float:
    def errors(part):
        differences = decode(codes[part]) - frozen.normalise(images[part])
        return jnp.mean(differences**2, axis=(1, 2, 3))

    return _mean(len(codes), errors)


def _likelihood(frozen, images: np.ndarray, picked: np.ndarray, rng, draws: int):
    """The rate of all images; both bounds of the picked ones."""
    generative, parts = frozen.method.generative, (frozen.params, frozen.state)
    rate = jax.jit(generative.rate)
    weights = jax.jit(generative.log_weights, static_argnums=4)

    def of_picked(part):
        chosen = frozen.normalise(images[picked[part]])
        return weights(*parts, jax.random.fold_in(rng, part[0]), chosen, draws)

    logs = np.concatenate(
        [np.asarray(of_picked(part), np.float64) for part in _parts(len(picked))], axis=1
    )[:, : len(picked)]
    highest = logs.max(axis=0)
    bounds = highest + np.log(np.mean(np.exp(logs - highest), axis=0))
    return {
        "y/rate": _mean(len(images), lambda part: rate(*parts, frozen.normalise(images[part]))),
        "y/elbo": float(logs.mean()),
        "y/importance_weighted_bound": float(bounds.mean()),
    }


def _traversals(decode, code: np.ndarray, variances: np.ndarray) -> np.ndarray:
    values = np.linspace(-_EXTENT, _EXTENT, _STEPS)
    rows = {}
    for coordinate in np.argsort(-variances, kind="stable")[:_TRAVERSED]:
        codes = np.repeat(code[None], _STEPS, axis=0)
        codes[:, coordinate] = values
        rows[f"{coordinate}"] = decode(codes)
    return drawing.rows_of_images(rows)
