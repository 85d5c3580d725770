"""The spread of features f[n,d] of n images, which needs no labels: whether an encoder collapses.

Of a sample of images, differentiable, in float32. Sources: Garrido et al. 2023 (RankMe), Wang and
Isola 2020 (uniformity, alignment), Chen and He 2021 (the deviation of unit vectors).
"""

import jax
import jax.numpy as jnp

HIGHEST = jax.lax.Precision.HIGHEST


def effective_rank(rows: jax.Array) -> jax.Array:
    """Effective rank of the centred features, between 1 and `largest_rank`; 0 if all are equal.

        exp(-sum_k p_k log p_k),  p_k = s_k / sum_j s_j,  s = singular values of rows - mean

    Args:
      rows: f[n,d].

    Source: Garrido et al. 2023, eq. 3; Roy and Vetterli 2007.
    Differs: the mean of the features is taken off, so that one direction that all images share does
    not count; singular values below 3.5e-4 of the largest one, which the smaller of the two Gram
    matrices does not resolve in float32, count as 0.
    """
    rows = rows.astype(jnp.float32)
    rows = rows - rows.mean(axis=0)
    small = rows if rows.shape[0] <= rows.shape[1] else rows.T
    squares = jnp.linalg.eigvalsh(jnp.dot(small, small.T, precision=HIGHEST))
    smallest = jnp.finfo(jnp.float32).eps * squares[-1]
    singular = jnp.sqrt(jnp.where(squares > smallest, squares, 0.0))
    share = singular / jnp.maximum(singular.sum(), jnp.finfo(jnp.float32).tiny)
    entropy = -jax.scipy.special.xlogy(share, share).sum()
    return jnp.where(squares[-1] > 0, jnp.exp(entropy), 0.0)


def largest_rank(images: int, width: int) -> int:
    """The largest rank of that many centred rows of this width."""
    return min(images - 1, width)


def deviation(rows: jax.Array) -> jax.Array:
    """Standard deviation over images of unit vectors, times sqrt(d), as the mean over coordinates.

    1 if directions are isotropic, 0 if all images have one direction.

    Args:
      rows: f[n,d], normalised here.

    Source: Chen and He 2021, section 4.1.
    """
    return jnp.mean(jnp.std(unit(rows), axis=0)) * rows.shape[-1] ** 0.5


def uniformity(rows: jax.Array) -> jax.Array:
    """Log of the mean potential exp(-2 |u - v|^2) of all pairs of different images; nats, <= 0.

    0 if all unit vectors are equal; about -4 if they are uniform on a sphere of many dimensions.
    Smaller is more uniform.

    Args:
      rows: f[n,d] with n >= 2, normalised here.

    Source: Wang and Isola 2020, eq. 2, t = 2.
    """
    vectors = unit(rows)
    exponents = 4 * (jnp.dot(vectors, vectors.T, precision=HIGHEST) - 1)
    pairs = ~jnp.eye(len(rows), dtype=bool)
    return jax.nn.logsumexp(exponents, where=pairs) - jnp.log(len(rows) * (len(rows) - 1))


def alignment(one: jax.Array, other: jax.Array) -> jax.Array:
    """Mean squared distance of the unit vectors of two views of each image, between 0 and 4.

    0 if features do not change with the view. Smaller is more invariant, also of a collapsed
    encoder: read it beside the uniformity.

    Args:
      one, other: f[n,d], row by row of the same images, normalised here.

    Source: Wang and Isola 2020, eq. 1, alpha = 2.
    """
    return jnp.mean(jnp.sum((unit(one) - unit(other)) ** 2, axis=-1))


def unit(rows: jax.Array) -> jax.Array:
    """Rows f[n,d] divided by their lengths; rows of zeros stay."""
    rows = rows.astype(jnp.float32)
    squares = jnp.sum(rows**2, axis=-1, keepdims=True)
    return rows * jax.lax.rsqrt(jnp.maximum(squares, jnp.finfo(jnp.float32).tiny))
