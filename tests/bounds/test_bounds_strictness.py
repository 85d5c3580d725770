"""Bounds in a process where JAX is stricter or wider than by default; traced, which is enough."""

import contextlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from jax import lax

from dim_jax import bounds


def scores(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def blockwise(name, x, y, **options):
    estimator = references.ESTIMATORS[name]
    over_blocks = getattr(bounds.blockwise, estimator.function.__name__)
    return over_blocks(x, y, block=3, **estimator.options, **options)


def on_two_devices(name, x, y):
    def on_one(x, y):
        gathered = lax.all_gather(y, "data", tiled=True)
        dense = references.call(name, bounds.dot(x, gathered), axis_name="data")
        return dense + blockwise(name, x, gathered, axis_name="data")

    return jax.vmap(on_one, axis_name="data")(x, y).sum()


COLUMNS = dict(positives=np.arange(4), excluded=np.eye(4, k=1, dtype=bool))
FORMS = {
    "dense": (references.call, scores(4, 4, 3)),
    "columns": (partial(references.call, **COLUMNS), scores(4, 4, 3)),
    "blockwise": (blockwise, scores(4, 3), scores(4, 2, 3)),
    "devices": (on_two_devices, scores(2, 2, 3), scores(2, 2, 2, 3)),
}


def strict():
    """Without promotion of ranks and types, and with float64."""
    stack = contextlib.ExitStack()
    stack.enter_context(jax.numpy_rank_promotion("raise"))
    stack.enter_context(jax.numpy_dtype_promotion("strict"))
    stack.enter_context(jax.enable_x64(True))
    return stack


@pytest.mark.parametrize(
    "form", ["dense", "columns", "blockwise", pytest.param("devices", marks=pytest.mark.slow)]
)
def test_every_bound_stays_float32(form):
    bound, *features = FORMS[form]

    def values(*features):
        return {name: bound(name, *features) for name in references.ESTIMATORS}

    with strict():
        traced = jax.eval_shape(values, *features)
    assert {leaf.dtype for leaf in jax.tree.leaves(traced)} == {jnp.dtype("float32")}


def test_gradients_stay_float32():
    names = ("dv", "tuba", "interpolated 0.4", "smile", "locations", "leave_one_out")
    for form in ("dense", "blockwise"):
        bound, *features = FORMS[form]
        with strict():
            for name in names:
                slopes = jax.eval_shape(jax.grad(partial(bound, name)), *features)
                assert slopes.dtype == jnp.float32


@pytest.mark.parametrize("name", ["locations", "leave_one_out"])
def test_no_step_of_a_bound_is_no_number(name):
    """JAX looks for them after every operation of an eager call."""
    with jax.debug_nans(True):
        assert np.isfinite(references.call(name, 100 * np.eye(3, dtype=np.float32)))
