"""Reconstruction from frozen features: the similarity of test images and their reconstructions.

A decoder learns, with mean squared error, to reconstruct the training images from frozen features;
the numbers are taken on test images. Images are decoded and compared in [-1, 1], the range that
DIM's encoders read ("symmetric" scaling), whatever scaling this encoder's own images have.

Source: Hjelm et al. 2019, section 4.2 and Table 4; official DIM code, msssim_eval.py.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset, facts
from dim_jax.evaluate import features, fit
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing
from dim_jax.evaluate.measures import ssim
from dim_jax.evaluate.probes import labelled
from dim_jax.evaluate.protocols import Protocols
from dim_jax.nets import heads, pure

_TAPS = ("y",)
_FIGURES = {
    "reconstructions": (
        "Reconstructions",
        "Test images above what a decoder makes of their features. The decoder was trained on "
        "the training images; the encoder was not trained for it.",
    )
}

_RANGE = 2.0  # of images in [-1, 1]
_BATCH = 256  # test images at a time


class Protocol(NamedTuple):
    """A decoder from frozen features to images, trained with mean squared error.

    base, widths: of `heads.decoder`.
    standardise, learning_rate, betas, milestones, batch, epochs, min_steps: as in `mlp.Protocol`.
    """

    base: int
    widths: tuple[int, ...]
    standardise: bool
    learning_rate: float
    betas: tuple[float, float]
    milestones: tuple[int, ...] | None
    batch: int
    epochs: int
    min_steps: int


PROTOCOLS = Protocols(
    "MS-SSIM",
    {
        # The official code (deconvnets.py, msssim_eval.py): network, rate, milestones and batch.
        # The number of epochs is its framework's default, 500; beyond the second milestone the rate
        # is 1e-6. Differs: the encoder's batch norm runs in inference mode. On a GPU or TPU.
        "msssim-paper-v1": Protocol(
            base=512,
            widths=(256, 128, 64),
            standardise=False,
            learning_rate=1e-4,
            betas=(0.5, 0.999),
            milestones=(50, 100),
            batch=64,
            epochs=500,
            min_steps=0,
        ),
        # A narrow decoder, a fortieth of the work for each image, in few passes: for a CPU, 0.13 s
        # a step on two cores, 1,170 steps on CIFAR-10. Not tuned; its numbers compare
        # representations with each other, not with the published table.
        "msssim-v1": Protocol(
            base=64,
            widths=(32, 16, 16),
            standardise=True,
            learning_rate=3e-3,
            betas=(0.9, 0.999),
            milestones=None,
            batch=128,
            epochs=3,
            min_steps=500,
        ),
    },
)


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "msssim-v1",
    taps: Iterable[str] = _TAPS,
    permuted: bool = False,
) -> dict[str, float | np.ndarray]:
    """Similarity of test images and their reconstructions, and a picture u8[h,w,3] of some.

    For each tap, means over all test images:
      "<tap>/ms_ssim": true MS-SSIM in [0, 1], larger is better, with as many scales as fit
          (two for 28x28 and 32x32, three for 64x64), whose weights are those of the finest of the
          five published ones, divided by their sum; "<tap>/ms_ssim_scales" is their number
      "<tap>/ssim_dim_compat": the number that the released code calls MS-SSIM, for the published
          table
      "<tap>/reconstruction_error": mean squared error of a pixel in [-1, 1], smaller is better

    Args:
      protocol: a name of `PROTOCOLS`; it holds every setting.
      permuted: the control: the decoder is trained on the features of other training images, drawn
        at random, so that it learns about the mean image; without a picture. It is the lowest value
        of the scale: read the others between it and 1.

    Raises:
      UserError: an unknown protocol or tap, or images smaller than 11x11.
    """
    settings = PROTOCOLS.find(protocol)
    check_splits(splits)
    unit = {name: dataset.in_unit(splits[name]).images for name in ("train", "test")}
    results, decoded = {}, {}
    shown = drawing.spread(len(splits["test"].images))
    for tap in taps:
        rows = _features(frozen, splits, tap, settings.standardise)
        paired = rows["train"]
        if permuted:
            paired = paired[_permutation(rng, len(paired))]
        fits = train(settings, paired, unit["train"], rng)
        params, stats = jax.tree.map(lambda leaf: leaf[0], (fits.params, fits.state))
        score = functools.partial(_scores, settings, params, stats)
        scores = _in_batches(score, rows["test"], unit["test"])
        results |= {f"{tap}/{name}": float(np.mean(values)) for name, values in scores.items()}
        results[f"{tap}/ms_ssim_scales"] = ssim.scales(splits["test"].images.shape)
        if permuted:
            continue
        net = _decoder(settings, splits["test"].images.shape[1:])
        images = jax.jit(functools.partial(net.apply, train=False))(
            params, stats, rows["test"][shown]
        )[0]
        decoded[tap] = np.asarray(jnp.round((images + 1) * 127.5)).astype(np.uint8)
    if decoded:
        originals = {"image": dataset.shown(splits["test"], shown)}
        results["reconstructions"] = drawing.rows_of_images(originals | decoded)
    return results


def check_splits(splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError where the images are smaller than the window of SSIM."""
    ssim.check_size(splits["test"].images.shape, scales=1)


EVALUATION = Evaluation(
    evaluate,
    representations="encoders",
    taps=_TAPS,
    protocols=PROTOCOLS,
    figures=_FIGURES,
    reads_images=True,
    check_splits=check_splits,
)


def train(settings: Protocol, rows: jax.Array, images: np.ndarray, rng: jax.Array) -> fit.Fits:
    """One fitted decoder (stacked along a first axis of one), features f32[n,d] to images."""
    net = _decoder(settings, images.shape[1:])
    draws, seed = jax.random.split(rng)
    params, stats = jax.jit(net.init)(draws, rows[:2])
    per_pass, passes = fit.duration(settings, len(rows))
    transformation = fit.adam(
        settings.learning_rate, settings.betas, settings.milestones, per_pass, passes
    )
    fits = fit.start(*jax.tree.map(lambda leaf: leaf[None], (params, stats)), transformation)
    random = np.random.default_rng(np.asarray(jax.random.key_data(seed)))
    orders = fit.orders(np.arange(len(rows), dtype=np.int32), settings.batch, random)
    loss = _loss(settings, images.shape[1:])
    keys = jax.random.split(seed, 1)  # nothing is drawn from them: the decoder has no dropout
    examples = (rows, jnp.asarray(images))
    for order in itertools.islice(orders, passes):
        fits = fit.one_pass(fits, examples, order, keys, loss=loss, transformation=transformation)
    return fits


def _permutation(rng: jax.Array, count: int) -> np.ndarray:
    words = np.asarray(jax.random.key_data(jax.random.fold_in(rng, 1)))
    return np.random.default_rng(words).permutation(count)


@functools.cache
def _decoder(settings: Protocol, shape: tuple[int, int, int]) -> pure.Net:
    return heads.decoder(base=settings.base, widths=settings.widths, shape=shape)


@functools.cache  # one function for equal decoders, so that equal fits are compiled once
def _loss(settings: Protocol, shape: tuple[int, int, int]):
    net = _decoder(settings, shape)

    def loss(params, state, rows, images, key):
        del key
        decoded, state = net.apply(params, state, rows, train=True)
        return jnp.mean((decoded - _symmetric(images)) ** 2), state

    return loss


def _symmetric(images: jax.Array) -> jax.Array:
    return facts.normalise(images, (0.5,), (0.5,))


def _features(frozen, splits, tap: str, standardise: bool) -> dict[str, jax.Array]:
    rows = {
        name: jnp.asarray(features.extract(frozen, splits[name], (tap,))[tap])
        for name in ("train", "test")
    }
    if not standardise:
        return rows
    shift, scale = labelled.statistics(rows["train"])
    return {name: (part - shift) * scale for name, part in rows.items()}


@functools.partial(jax.jit, static_argnames="settings")
def _scores(settings: Protocol, params, stats, rows, images) -> dict[str, jax.Array]:
    """Each test image's numbers f[n]."""
    net = _decoder(settings, images.shape[1:])
    decoded, _ = net.apply(params, stats, rows, train=False)
    images = _symmetric(images)
    weights = ssim.first_weights(ssim.scales(images.shape))
    return {
        "ms_ssim": ssim.ms_ssim(decoded, images, data_range=_RANGE, weights=weights),
        "ssim_dim_compat": ssim.ssim_dim_compat(decoded, images),
        "reconstruction_error": jnp.mean((decoded - images) ** 2, axis=(1, 2, 3)),
    }


def _in_batches(score, rows: jax.Array, images: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers of all images; the last batch is filled up, so that one size is compiled."""
    count = len(images)
    size = min(_BATCH, count)
    parts = []
    for start in range(0, count, size):
        picked = np.minimum(np.arange(start, start + size), count - 1)
        parts.append(jax.tree.map(np.asarray, score(rows[picked], images[picked])))
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}
