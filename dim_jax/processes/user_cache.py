"""The user's folder of files that save time when they are there."""

import os
from pathlib import Path


def root() -> Path | None:
    """`dim_jax` in the user's cache folder; None without a home folder."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dim_jax"
    except RuntimeError:
        return None


def folder() -> Path | None:
    """The path in DIM_JAX_CACHE, `root()` where it is not set, None if it is ""."""
    path = os.environ.get("DIM_JAX_CACHE")
    if path is None:
        return root()
    try:
        return Path(path).expanduser() if path.strip() else None
    except RuntimeError:
        return None
