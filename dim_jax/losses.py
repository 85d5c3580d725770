"""Losses that are not MI bounds: minimised, float32 scalars; and the terms of likelihoods."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dim_jax import divergences


def soft_clip(x: jax.Array, limit: float | None) -> jax.Array:
    """limit * tanh(x / limit), within -limit and limit; x itself without a limit."""
    return x if limit is None else limit * jnp.tanh(x / limit)


def classification_loss(
    logits: jax.Array, labels: jax.Array, *, clip: float | None = None, penalty: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy in nats (smaller is better) and accuracy over the labelled examples.

        mean cross-entropy of soft_clip(logits, clip) + penalty * mean(logits^2)

    Args:
      logits: f[n,k].
      labels: i[n]; -1 marks an example without a label, which weighs nothing.
      clip, penalty: AMDIM's classifiers have 10 and 1e-3 (official code, costs.py, where logits of
        examples without a label are penalised too).

    Returns:
      (f32[], f32[]): both 0 for a batch without any label.
    """
    labelled = labels >= 0
    count = jnp.maximum(jnp.sum(labelled), 1)
    logits = logits.astype(jnp.float32)
    log_probabilities = jax.nn.log_softmax(soft_clip(logits, clip))
    entropies = -jnp.take_along_axis(
        log_probabilities, jnp.maximum(labels, 0)[:, None], axis=-1
    ).squeeze(-1)
    if penalty:
        entropies += penalty * jnp.mean(logits**2, axis=-1)
    right = jnp.argmax(logits, -1) == labels
    return (
        jnp.sum(entropies, where=labelled) / count,
        jnp.sum(right, where=labelled).astype(jnp.float32) / count,
    )


def surrogate_split(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean cross-entropy of the views of an image, as two parts that add up to it, in nats.

        mean_part = mean over images of [ lse(mean_v logits) - mean_v logits[label] ]
        variation = mean over images of [ mean_v lse(logits) - lse(mean_v logits) ]

    Logits are affine in the features, so that the first part is the cross-entropy of the mean
    feature. The second is at least 0 (Jensen), and 0 where the views' logits differ by constants.

    Args:
      logits: f[v,n,k], of v views of each image.
      labels: i32[n] in 0..k-1.

    Returns:
      (mean_part f[], variation f[]): smaller is better, both.

    Source: the reading of Dosovitskiy et al. 2014 (Exemplar-CNN), section 3.
    """
    logits = logits.astype(jnp.float32)
    # Less the label's own logit, which both parts are without: what is added up stays small.
    own = jnp.take_along_axis(logits, labels[None, :, None], axis=-1)
    logits = logits - own
    of_mean = jax.nn.logsumexp(logits.mean(axis=0), axis=-1)
    of_views = jax.nn.logsumexp(logits, axis=-1).mean(axis=0)
    return jnp.mean(of_mean), jnp.mean(of_views - of_mean)


def absolute_coordinates(side: int) -> jax.Array:
    """Row and column of each location of a square map, i[side * side, 2]."""
    places = jnp.arange(side * side)
    return jnp.stack([places // side, places % side], axis=-1)


def relative_coordinates(side: int, source: jax.Array) -> jax.Array:
    """Row and column offset from a source location to all, i[n, side * side, 2], from 0 on.

    Args:
      source: i[n], one location per image.

    Returns: offsets plus side - 1, so between 0 and 2 * side - 2.
    """
    places = absolute_coordinates(side)
    return places[None] - places[source][:, None] + side - 1


class CoordinateTask(NamedTuple):
    """inputs f[n, l, d]; targets i[n, l, 2], each coordinate one of `classes`."""

    inputs: jax.Array
    targets: jax.Array
    classes: int


def coordinate_task(name: str, y: jax.Array, local: jax.Array, rng: jax.Array) -> CoordinateTask:
    """What is to be told from y f[n, d] and the square map local f[n, h, h, c].

    "absolute": where a local feature is. "relative": how far it is from another one of its image,
    of which `rng` draws one per image; that one's offset of 0 is among the targets.

    Source: Hjelm et al. 2019, section 4.3 and App. A.7.
    """
    n, side, _, channels = local.shape
    local = local.reshape(n, side * side, channels)
    every = (n, side * side)
    y = jnp.broadcast_to(y[:, None], (*every, y.shape[-1]))
    if name == "absolute":
        targets = jnp.broadcast_to(absolute_coordinates(side), (*every, 2))
        return CoordinateTask(jnp.concatenate([y, local], -1), targets, side)
    source = jax.random.randint(rng, (n,), 0, side * side)
    start = jnp.take_along_axis(local, source[:, None, None], axis=1)
    inputs = jnp.concatenate([y, jnp.broadcast_to(start, local.shape), local], -1)
    return CoordinateTask(inputs, relative_coordinates(side, source), 2 * side - 1)


def coordinate_loss(logits: jax.Array, coordinates: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sum of the two cross-entropies of row and column, in nats, the mean over all examples.

    Args:
      logits: f[..., 2 * k], those of the row first.
      coordinates: i[..., 2] in 0..k-1.

    Returns:
      (loss f32[], accuracy f32[]): smaller is better; right is who has both coordinates right.

    Source: Hjelm et al. 2019, section 4.3; official DIM code, functions/coordinates.py.
    Differs: no layer norm couples the two softmaxes.
    """
    logits = logits.reshape(*logits.shape[:-1], 2, -1).astype(jnp.float32)
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), coordinates[..., None], axis=-1)
    right = jnp.all(jnp.argmax(logits, -1) == coordinates, axis=-1)
    return -2.0 * jnp.mean(picked), jnp.mean(right.astype(jnp.float32))


def squared_errors(decoded: jax.Array, images: jax.Array) -> jax.Array:
    """Squared error of each image f[n], summed over its pixels and channels; smaller is better.

    Args:
      decoded, images: f[n,h,w,c].
    """
    differences = decoded.astype(jnp.float32) - images.astype(jnp.float32)
    return jnp.sum(differences**2, axis=(1, 2, 3))


def gaussian_kl(mean: jax.Array, log_deviation: jax.Array) -> jax.Array:
    """KL divergence f[n] of N(mean, deviation^2) from N(0, 1) in nats, at least 0.

        sum_k (deviation_k^2 + mean_k^2 - 1) / 2 - log deviation_k

    Args:
      mean, log_deviation: f[n,d]. The coordinates are independent.

    Source: Kingma and Welling 2014, appendix B.
    """
    mean, log_deviation = mean.astype(jnp.float32), log_deviation.astype(jnp.float32)
    # expm1: at the prior itself the difference of squares would be rounding noise.
    return jnp.sum((jnp.expm1(2 * log_deviation) + mean**2) / 2 - log_deviation, axis=-1)


def gaussian_log_density(
    x: jax.Array, mean: jax.Array | float = 0.0, log_deviation: jax.Array | float = 0.0
) -> jax.Array:
    """Log density f[...] of rows x f[...,d] under independent normals, in nats; larger is likelier.

    Args:
      mean, log_deviation: broadcast against x; the standard normal law by default.
    """
    standard = (x - mean) * jnp.exp(-jnp.asarray(log_deviation))
    each = -(standard**2 + math.log(2 * math.pi)) / 2 - log_deviation
    return jnp.sum(each, axis=-1)


def batch_entropy(probabilities: jax.Array) -> jax.Array:
    """Entropy f32[] in nats of the MEAN of distributions f[...,k] over a batch; at most log k.

    Of one draw from the distribution of one example or location, chosen at random. It is large
    where all k are used about equally often, however sure each example is; it is not the mean of
    the examples' entropies, which it exceeds by the information of example and draw.

    Source: Klindt et al. 2020, H[y^]; the poster equates the two, which in general are not equal.
    """
    mean = probabilities.astype(jnp.float32).reshape(-1, probabilities.shape[-1]).mean(axis=0)
    # The smallest normal number: 0 log 0 is 0, and its gradient is finite.
    return -jnp.sum(mean * jnp.log(jnp.maximum(mean, jnp.finfo(jnp.float32).tiny)))


def image_log_density(errors: jax.Array, weight: float, size: int) -> jax.Array:
    """Log density in nats of images with these squared errors, the law whose loss they are.

        -weight * error - size / 2 * log(pi / weight)

    which is that of independent normal pixels around the decoded ones, with variance
    1 / (2 * weight), so that -log density and weight * error differ by a constant.

    Args:
      errors: f[...], as of `squared_errors`.
      size: the number of pixels times channels.
    """
    return -weight * errors - size / 2 * math.log(math.pi / weight)


def adversarial_losses(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What an encoder and a discriminator minimise while codes are matched to a prior, f32[] each.

        confusion = mean softplus(-fake)
        discrimination = mean softplus(fake) + mean softplus(-real)

    Args:
      real, fake: logits f[n] of samples of the prior and of codes.

    Returns:
      (confusion, discrimination): of the encoder, whose fakes are to be taken for real ones, and
      of the discriminator.

    Source: Goodfellow et al. 2014 (the non-saturating form); official DIM code, prior_matching.py.
    """
    confusion = -jnp.mean(divergences.gan_positive(fake))
    discrimination = jnp.mean(divergences.gan_negative(fake)) - jnp.mean(
        divergences.gan_positive(real)
    )
    return confusion, discrimination


def nce_loss(scores: jax.Array, log_z: jax.Array, examples: int) -> jax.Array:
    """Noise-contrastive estimation of which of 1 + k candidates was drawn by chance; minimised.

        -mean over rows of [ log p_0 / (p_0 + k/N) + sum over j > 0 of log (k/N) / (p_j + k/N) ]

    with p_j = exp(score_j) / Z and N = `examples`, of which the noise candidates are drawn.

    Args:
      scores: f[n, 1 + k], the positive first.
      log_z: f[], log Z, a constant of the loss.

    Returns: f32[], at least 0, the sum over the 1 + k candidates of a row.

    Source: Gutmann and Hyvarinen 2010; Wu et al. 2018; official CMC code, NCE/NCECriterion.py.
    """
    noise = math.log((scores.shape[1] - 1) / examples)
    logits = scores.astype(jnp.float32) - jax.lax.stop_gradient(log_z) - noise
    of_rows = jax.nn.softplus(-logits[:, 0]) + jax.nn.softplus(logits[:, 1:]).sum(axis=1)
    return of_rows.mean()
