"""Losses that are not MI bounds: minimised, float32 scalars."""

import jax
import jax.numpy as jnp


def classification_loss(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy in nats (smaller is better) and accuracy over the labelled examples.

    Args:
      logits: f[n,k].
      labels: i[n]; -1 marks an example without a label, which weighs nothing.

    Returns:
      (f32[], f32[]): both 0 for a batch without any label.
    """
    labelled = labels >= 0
    count = jnp.maximum(jnp.sum(labelled), 1)
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    entropies = -jnp.take_along_axis(
        log_probabilities, jnp.maximum(labels, 0)[:, None], axis=-1
    ).squeeze(-1)
    right = jnp.argmax(logits, -1) == labels
    return (
        jnp.sum(entropies, where=labelled) / count,
        jnp.sum(right, where=labelled).astype(jnp.float32) / count,
    )
