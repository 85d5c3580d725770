"""Mutual information of image patches and their embeddings in a manifold layer, in nats.

A layer maps every patch to a normal distribution N(mean, variance) in its embedding space
(`contracts.Embedded`); z^ is one sample of it. Methods maximise this information, evaluations
measure it.

Source: Klindt, Balle, Shlens and Simoncelli 2020 (poster); see dim_jax/methods/manifold.py.
"""

import jax
import jax.numpy as jnp

from dim_jax import bounds, contracts, losses

NEGATIVES = ("patches", "same_location")


def layer_information(
    rng: jax.Array, layer: contracts.Embedded, *, locations: int, negatives: str
) -> jax.Array:
    """Lower bound of the information of a layer in nats, f32[], at most log n for n images.

    Args:
      locations, negatives: as in `drawn`.
    """
    return bounds.known_conditional(drawn(rng, layer, locations=locations, negatives=negatives))


def drawn(
    rng: jax.Array, layer: contracts.Embedded, *, locations: int, negatives: str
) -> jax.Array:
    """log q(z^_j | x_i) in nats, f[n,n,locations], of one sample z^_j per image and location.

    Args:
      locations: number of locations drawn for each image.
      negatives: "patches", locations are drawn independently for each image, so that patches
        anywhere are compared; "same_location", they are shared, so that patches are compared with
        those at the same place in other images.
    """
    place_key, draw_key = jax.random.split(rng)
    count, dimensions = len(layer.mean), layer.mean.shape[-1]
    mean, variance = (x.reshape(count, -1, dimensions) for x in (layer.mean, layer.variance))
    shape = (1 if negatives == "same_location" else count, locations)
    places = jax.random.randint(place_key, shape, 0, mean.shape[1])
    places = jnp.broadcast_to(places, (count, locations))[..., None]
    mean, variance = (jnp.take_along_axis(x, places, axis=1) for x in (mean, variance))
    points = mean + jnp.sqrt(variance) * jax.random.normal(draw_key, mean.shape)
    return log_conditional(points, mean, variance)


def log_conditional(points: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
    """log N(points_j; mean_i, variance_i) in nats, f[n,m,l] for f[m,l,d], f[n,l,d] and f[n,l,d]."""
    return losses.gaussian_log_density(
        points[None], mean[:, None], 0.5 * jnp.log(variance)[:, None]
    )
