"""InfoNCE with negatives that share a latent variable with the positive: no bound any more.

x = z + e and y = e + noise, columns independent and normal. With one z for each pair, InfoNCE of x
and y bounds I(x; y). With one z for all pairs of a batch it bounds I(x; y | z), which is larger:
the negatives are no draws from the marginal law of x.

Source: Tschannen et al. 2020, section 4 (from memory); the law and its numbers are ours.
"""

import math
from collections.abc import Sequence

import jax
import numpy as np

from experiments import critic_training, halves_of_digits

WIDTH, LATENT, NOISE, BATCH, MEASURED = 10, 2.0, 0.5, 128, 200
LEARNING_RATE = 5e-3


def information() -> float:
    """I(x; y) in nats, exact."""
    correlation = 1 / ((1 + LATENT**2) * (1 + NOISE**2))  # squared
    return -WIDTH / 2 * math.log1p(-correlation)


def information_given_latent() -> float:
    """I(x; y | z) in nats, exact."""
    return WIDTH / 2 * math.log1p(1 / NOISE**2)


def draw(key: jax.Array, shared: jax.Array) -> tuple[jax.Array, jax.Array]:
    """y and x f[n,d] of a batch: the anchors are y, whose candidates x shift with z."""
    of_z, of_e, of_noise = jax.random.split(key, 3)
    z = LATENT * jax.random.normal(of_z, (BATCH, WIDTH))
    z = jax.numpy.where(shared, z[:1], z)
    e = jax.random.normal(of_e, (BATCH, WIDTH))
    return e + NOISE * jax.random.normal(of_noise, (BATCH, WIDTH)), z + e


def study(steps: int, seeds: Sequence[int]) -> dict:
    """Values of InfoNCE on new batches, by kind of negatives and seed, beside the exact ones."""
    training = critic_training.trainer(
        halves_of_digits.bilinear(), "infonce", draw, learning_rate=LEARNING_RATE
    )

    def value(shared: bool, seed: int) -> float:
        state = critic_training.start(training, jax.random.key(seed), np.array(shared))
        state, _ = critic_training.train(training, state, np.array(shared), steps)
        _, values = critic_training.train(training, state, np.array(shared), MEASURED, learn=False)
        return float(values["infonce"].mean())

    return {
        "information": information(),
        "information_given_latent": information_given_latent(),
        "steps": steps,
        "independent": [value(False, seed) for seed in seeds],
        "shared": [value(True, seed) for seed in seeds],
    }
