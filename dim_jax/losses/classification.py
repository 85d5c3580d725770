"""Cross-entropy losses and entropies of class probabilities, in nats."""

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts


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
      labels: i[n]; examples with label -1 are unlabelled and ignored.
      clip, penalty: AMDIM's classifiers use 10 and 1e-3 (official code, costs.py, where logits of
        unlabelled examples are penalised too).

    Returns:
      (f32[], f32[]): both 0 for a batch without any label.

    Raises:
      UserError: a label that the logits have no class for; labels that are traced are not checked.
    """
    _check_labels(labels, logits.shape[-1])
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


def _check_labels(labels: jax.Array, classes: int) -> None:
    """Without it the loss of such a label would be NaN."""
    largest = -1 if isinstance(labels, jax.core.Tracer) else np.max(np.asarray(labels), initial=-1)
    if largest >= classes:
        raise contracts.UserError(
            f"a label is {largest} and the classifier has {classes} classes; set its argument "
            f"classes, outputs or features to {largest + 1} or more"
        )


def surrogate_split(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean cross-entropy of the views of an image in nats, split into two summands.

        mean_part = mean over images of [ lse(mean_v logits) - mean_v logits[label] ]
        variation = mean over images of [ mean_v lse(logits) - lse(mean_v logits) ]

    Logits are affine in the features, so that the first part is the cross-entropy of the mean
    feature. The second is at least 0 (Jensen), and 0 if the views' logits differ by constants.

    Args:
      logits: f[v,n,k], of v views of each image.
      labels: i32[n] in 0..k-1.

    Returns:
      (mean_part f[], variation f[]): for both, smaller is better.

    Source: the interpretation in Dosovitskiy et al. 2014 (Exemplar-CNN), section 3.
    """
    logits = logits.astype(jnp.float32)
    # Relative to the logit of the label, on which neither part depends: all terms stay small.
    positive = jnp.take_along_axis(logits, labels[None, :, None], axis=-1)
    logits = logits - positive
    mean_part = jax.nn.logsumexp(logits.mean(axis=0), axis=-1)
    total = jax.nn.logsumexp(logits, axis=-1).mean(axis=0)
    return jnp.mean(mean_part), jnp.mean(total - mean_part)


def batch_entropy(probabilities: jax.Array) -> jax.Array:
    """Entropy f32[] in nats of the MEAN of distributions f[...,k] over a batch; at most log k.

    This is the entropy of a sample from the distribution of a random example or location. It is
    large if all k occur about equally often, however sharp each distribution is. It exceeds the
    mean of the entropies of the examples by the mutual information of example and sample.

    Source: Klindt et al. 2020, H[y^]; the poster equates the two, which in general are not equal.
    """
    mean = probabilities.astype(jnp.float32).reshape(-1, probabilities.shape[-1]).mean(axis=0)
    # The smallest normal number: 0 log 0 is 0, and its gradient is finite.
    return -jnp.sum(mean * jnp.log(jnp.maximum(mean, jnp.finfo(jnp.float32).tiny)))
