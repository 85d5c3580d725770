"""Prior distributions of a representation, for adversarial prior matching and for a statistic.

A prior is a pair: `sample(rng, shape [n,d]) -> f[n,d]`, and `squash(y f[n,d]) -> f[n,d]`, which
maps an unbounded representation to the support of the prior. `squash` is applied only in the prior
term: critics and probes see y itself. A prior with a `distance` is matched without a discriminator.

Source: Hjelm et al. 2019, section 3.3; official DIM code, prior_matching.py (uniform with a
sigmoid). The paper reports that ball, sphere and Gaussian were worse; their squashing is not
published. SIGReg: Balestriero and LeCun 2025.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.losses import gaussianity


class Prior(NamedTuple):
    """A prior over representations; see the module docstring.

    distance(y f[n,d], rng) -> (f[], metrics): minimised by the encoder in the place of what a
        discriminator tells it; None for priors that need one.
    """

    sample: Callable[[jax.Array, tuple[int, int]], jax.Array]
    squash: Callable[[jax.Array], jax.Array]
    distance: Callable[[jax.Array, jax.Array], tuple[jax.Array, contracts.Scalars]] | None = None


def _normalise(y: jax.Array) -> jax.Array:
    # rsqrt of a maximum, not a norm: the norm's gradient at y = 0 is NaN.
    return y * jax.lax.rsqrt(jnp.maximum(jnp.sum(y**2, -1, keepdims=True), 1e-12))


def _sample_sphere(rng: jax.Array, shape: tuple[int, int]) -> jax.Array:
    return _normalise(jax.random.normal(rng, shape))


def _sample_ball(rng: jax.Array, shape: tuple[int, int]) -> jax.Array:
    direction, distance = jax.random.split(rng)
    radius = jax.random.uniform(distance, (shape[0], 1)) ** (1 / shape[1])
    return radius * _sample_sphere(direction, shape)


def uniform() -> Prior:
    """Uniform on [0,1]^d, with a sigmoid of y. The published choice."""
    return Prior(jax.random.uniform, jax.nn.sigmoid)


def gaussian() -> Prior:
    """Standard normal in d dimensions; y is unchanged."""
    return Prior(jax.random.normal, lambda y: y)


def ball() -> Prior:
    """Uniform in the unit ball; y is divided by sqrt(1 + |y|^2)."""
    return Prior(_sample_ball, lambda y: y / jnp.sqrt(1 + jnp.sum(y**2, -1, keepdims=True)))


def sphere() -> Prior:
    """Uniform on the unit sphere; y is divided by |y|."""
    return Prior(_sample_sphere, _normalise)


def sigreg(*, directions: int = 256, knots: int = 17, limit: float = 3.0) -> Prior:
    """Standard normal in d dimensions, matched by SIGReg instead of a discriminator.

    Its metrics are "sigreg", the statistic of the batch, and "sigreg_level", its expectation for
    normal draws (`losses.sigreg`, with these arguments).
    """
    level = gaussianity.sigreg_level(knots=knots, limit=limit)

    def distance(y, rng):
        value = gaussianity.sigreg(y, rng, directions=directions, knots=knots, limit=limit)
        return value, {"sigreg": value, "sigreg_level": jnp.full((), level)}

    return Prior(_refuse, lambda y: y, distance)


def _refuse(rng: jax.Array, shape: tuple[int, int]) -> jax.Array:
    raise contracts.UserError(
        "the prior 'sigreg' is matched by a statistic of a batch and this method draws from its "
        "prior; set method.prior.name to 'gaussian'"
    )
