"""The leaves of a tree by path, with their shapes and dtypes, as they are named when saved."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts


def named_leaves(tree: contracts.Tree, dicts_only: bool = False) -> dict[str, Any]:
    """Leaves by path, such as "params/encoder/conv_0/kernel", in the tree's order."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name in leaves:
            raise ValueError(f"two leaves are called {name!r}; use keys without '/'")
        if dicts_only and not all(isinstance(key, jax.tree_util.DictKey) for key in path):
            raise TypeError(f"leaf {name!r} is inside a list or tuple; only dicts can be exported")
        if kind(leaf) is None:
            raise TypeError(f"leaf {name!r} is a {type(leaf).__name__}; only numbers can be saved")
        leaves[name] = leaf
    return leaves


def as_array(leaf: Any) -> Any:
    return leaf if hasattr(leaf, "dtype") else np.asarray(leaf)


def is_empty(leaf: Any) -> bool:
    return math.prod(np.shape(leaf)) == 0


def kind(leaf: Any) -> str | None:
    """The NumPy kind of number that the leaf (or dtype) holds; None when it holds none."""
    dtype = leaf if isinstance(leaf, np.dtype) else as_array(leaf).dtype
    for kind in (np.bool_, np.integer, np.floating, np.complexfloating):
        if isinstance(dtype, np.dtype) and jnp.issubdtype(dtype, kind):
            return kind.__name__
    return None


def signature(leaf: Any) -> dict[str, Any]:
    return {"shape": list(np.shape(leaf)), "dtype": as_array(leaf).dtype.name}


def difference(saved: dict[str, dict[str, Any]], wanted: dict[str, Any]) -> str | None:
    """The first leaf, in words, at which saved signatures and leaves of a run differ."""
    for name, leaf in wanted.items():
        if name not in saved:
            return f"it has no {name!r}"
        here, there = signature(leaf), saved[name]
        if here["shape"] != there["shape"] or kind(leaf) != kind(np.dtype(there["dtype"])):
            there, here = (f"{leaf['dtype']}{leaf['shape']}" for leaf in (there, here))
            return f"{name!r} is {there} in it and {here} in this run"
    extra = next((name for name in saved if name not in wanted), None)
    return None if extra is None else f"it has {extra!r}, which this run does not have"
