"""Deep InfoMax and its family in JAX. See docs/; `from dim_jax import bounds` for the bounds.

Nothing is imported here, so that `import dim_jax.bounds` costs JAX and no more.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    if name == "load_encoder":
        from dim_jax.encoder import load_encoder

        return load_encoder
    raise AttributeError(f"module 'dim_jax' has no attribute {name!r}")
