"""Deep InfoMax and related methods in JAX. See docs/; `from dim_jax import bounds` for the bounds.

Nothing is imported here, so that `import dim_jax.bounds` loads nothing but JAX.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    if name == "load_encoder":
        from dim_jax.encoder import load_encoder

        return load_encoder
    if name == "load_generator":
        from dim_jax.generator import load_generator

        return load_generator
    raise AttributeError(f"module 'dim_jax' has no attribute {name!r}")
