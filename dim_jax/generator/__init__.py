"""Trained generators for other projects: `load_generator(run)`, which draws codes and images."""

from dim_jax.generator.loading import Generator as Generator
from dim_jax.generator.loading import load_generator as load_generator
