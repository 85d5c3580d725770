"""Distance of features to a standard normal distribution, from random projections (SIGReg)."""

import jax
import jax.numpy as jnp
import numpy as np


def sigreg(
    rows: jax.Array, rng: jax.Array, *, directions: int, knots: int = 17, limit: float = 3.0
) -> jax.Array:
    """Sketched isotropic Gaussian regularisation: is every projection standard normal? Minimised.

        mean over unit vectors a of
            n * integral over |t| <= limit of |phi_a(t) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt
        phi_a(t) = mean over rows of exp(i t <a, row>)

    The statistic of Epps and Pulley, of values that are not standardised, so that mean and variance
    count too, by the trapezoidal rule. The integrand is even: half of the range is evaluated, and
    doubled. Cosines and sines of one knot at a time are in memory, n * directions numbers, and
    computed again in the backward pass.

    Independent standard normal rows have the expectation `sigreg_level`, for every n, d and number
    of directions: E|phi_a(t) - exp(-t^2 / 2)|^2 = (1 - exp(-t^2)) / n. Rows can be below this
    level, down to 0: spread more evenly than a sample.

    Args:
      rows: f[n,d], of all devices.
      rng: key of the unit vectors, uniform on the sphere; a new one for every step.
      directions: number of unit vectors; 256 in the authors' short example, 1024 in their README.
      knots, limit: 17 points on [0, 3] in the authors' code; the paper has 17 on [-5, 5].

    Returns: f32[], at least 0. In LeJEPA it has the weight lambda and the distance of the views
      1 - lambda, with lambda = 0.02 in the short example.

    Source: Balestriero and LeCun 2025 (arXiv:2511.08544), section 4; official code, MINIMAL.md and
      lejepa/univariate/epps_pulley.py; Epps and Pulley 1983. The [-5, 5] of the paper is from notes
      about it.
    """
    units = jax.random.normal(rng, (rows.shape[1], directions))
    units /= jnp.linalg.norm(units, axis=0)
    projections = jnp.dot(rows.astype(jnp.float32), units, precision=jax.lax.Precision.HIGHEST)

    @jax.checkpoint  # without it the backward pass would keep the cosines of all knots
    def distance(knot):
        t, height, weight = knot
        real, imaginary = jnp.cos(t * projections).mean(0), jnp.sin(t * projections).mean(0)
        return weight * jnp.mean((real - height) ** 2 + imaginary**2)

    return len(rows) * jnp.sum(jax.lax.map(distance, _quadrature(knots, limit)))


def sigreg_level(*, knots: int = 17, limit: float = 3.0) -> float:
    """The expectation of `sigreg` for independent standard normal rows.

        integral over |t| <= limit of (1 - exp(-t^2)) exp(-t^2 / 2) dt

    by the same trapezoidal rule: 1.052 for the default. The integral over all t is
    sqrt(2 pi) (1 - 1 / sqrt(3)) = 1.059.
    """
    t, _, weights = _quadrature(knots, limit)
    return float(np.sum(weights * -np.expm1(-(t.astype(np.float64) ** 2))))


def _quadrature(knots: int, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Knots f32, exp(-t^2 / 2) and weights of the doubled range; without 0, where phi is 1."""
    t = np.linspace(0, limit, knots)[1:]
    heights = np.exp(-(t**2) / 2)
    steps = np.full(len(t), 2 * limit / (knots - 1))
    steps[-1] /= 2
    return tuple(np.float32(x) for x in (t, heights, steps * heights))
