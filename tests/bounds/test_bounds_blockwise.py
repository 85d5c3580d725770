"""Block by block: the dense value and gradient, in memory that does not grow with the matrix.

A program holds all estimators: compiling is what costs.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references

from dim_jax import bounds
from dim_jax.bounds import blockwise
from dim_jax.nets import critics

every = pytest.mark.parametrize("name", references.ESTIMATORS)
MIB = 2**20


def over_blocks(name, *arguments, **more):
    estimator = references.ESTIMATORS[name]
    f = getattr(blockwise, estimator.function.__name__)
    return f(*arguments, **estimator.options, **more)


def features(batch, locations, dtype=np.float32, candidates=None):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((batch, 5))
    shape = (candidates or batch, *locations, 5)
    return x.astype(dtype), rng.standard_normal(shape).astype(dtype) / 2


def close(ours, theirs, rtol):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(np.abs(b).max(), 1e-2))


def gradients(value, parts, names=tuple(references.ESTIMATORS)):
    """{name: (value, gradient)} of a function (name, parts) -> value, in one program."""

    @jax.jit
    def program(parts):
        return {name: jax.value_and_grad(partial(value, name))(parts) for name in names}

    return jax.device_get(program(parts))


@cache
def thirteen(block, dtype):
    """Results over blocks of some rows, or of the dense matrix (None)."""
    columns = np.random.default_rng(2).permutation(13)

    def value(name, parts):
        if block is None:
            return references.call(name, bounds.dot(*parts), columns)
        return over_blocks(name, *parts, positives=columns, block=block)

    return gradients(value, features(13, (3,), dtype))


@every
@pytest.mark.parametrize(
    "block", [4, *(pytest.param(size, marks=pytest.mark.slow) for size in (13, 1024))]
)
def test_blockwise_equals_dense(name, block):
    with jax.enable_x64(True):
        ours, theirs = (thirteen(size, np.float64)[name] for size in (block, None))
    close(ours, theirs, rtol=1e-12)


@pytest.mark.slow
@every
def test_blockwise_equals_dense_in_float32(name):
    """Over several blocks and a padded one; the other sizes differ in what float64 shows."""
    block = 4
    close(thirteen(block, np.float32)[name], thirteen(None, np.float32)[name], rtol=1e-5)


NOT_SQUARE = tuple(name for name, e in references.ESTIMATORS.items() if not e.square)


@cache
def queue(block):
    mask = np.eye(6, 17, dtype=bool)[::-1]

    def value(name, parts):
        if block is None:
            return references.call(name, bounds.dot(*parts), mask)
        return over_blocks(name, *parts, positives=mask, block=block)

    return gradients(value, features(6, (), candidates=17), NOT_SQUARE)


@pytest.mark.parametrize("name", NOT_SQUARE)
def test_a_queue_and_a_mask(name):
    """More candidates than anchors; a mask in place of columns; blocks that do not divide."""
    close(queue(4)[name], queue(None)[name], rtol=1e-5)


def test_a_concat_critic_and_its_parameters():
    """An MLP on pairs that closes over its parameters; features are trees."""
    critic = critics.concat(widths=(16, 8))
    x, y = features(9, (2,))
    params, stats = critic.init(jax.random.key(0), x, y)

    def score(params, x, y):
        scores, _ = critic.all_pairs(params, stats, x["x"], y["y"], train=True)
        return scores + y["bias"][None, :, None]

    parts = (params, {"x": x}, {"y": y, "bias": jnp.linspace(0, 1, 9)})

    @jax.jit
    @jax.value_and_grad
    def ours(parts):
        params, x, y = parts
        return blockwise.infonce(x, y, partial(score, params), block=4)

    theirs = jax.value_and_grad(lambda parts: bounds.infonce(score(*parts)))
    close(ours(parts), theirs(parts), rtol=1e-5)


def test_bfloat16_features_add_up_in_float32():
    """The more blocks, the more sums: gradients must not lose digits with every block."""
    x, y = (jnp.asarray(part, jnp.bfloat16) for part in features(256, ()))
    wide = tuple(part.astype(jnp.float32) for part in (x, y))
    value, slopes = jax.value_and_grad(lambda p: blockwise.infonce(*p, block=8))((x, y))
    expected = jax.value_and_grad(lambda p: bounds.infonce(bounds.dot(*p)))(wide)
    assert value.dtype == jnp.float32 and slopes[0].dtype == jnp.bfloat16
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    for ours, theirs in zip(slopes, expected[1], strict=True):
        error = np.abs(ours.astype(np.float32) - theirs).max() / np.abs(theirs).max()
        assert error < 2**-8  # one rounding to bfloat16


def test_derivatives_of_bfloat16_features_are_products_of_bfloat16():
    """In the backward pass; forward mode and second derivatives stay."""
    x, y = (jnp.asarray(part, jnp.bfloat16) for part in features(6, (3,)))
    wide = tuple(part.astype(jnp.float32) for part in (x, y))

    def value(x, y):
        return bounds.infonce(bounds.dot(x, y))

    def products(*parts):
        text = str(jax.make_jaxpr(jax.grad(value, (0, 1)))(*parts))
        return text.count("preferred_element_type=bfloat16")

    assert products(x, y) == 2 and products(*wide) == 0
    ours, expected = (jax.jit(jax.grad(value, (0, 1)))(*parts) for parts in ((x, y), wide))
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == jnp.bfloat16
        assert np.abs(a.astype(np.float32) - b).max() / np.abs(b).max() < 2**-6
    moved, still = (jax.jvp(value, parts, parts) for parts in ((x, y), wide))
    np.testing.assert_allclose(moved, still, rtol=1e-2)
    assert jax.eval_shape(jax.hessian(value), x, y).shape == (6, 5, 6, 5)


def test_vmap_over_several_globals():
    x = np.random.default_rng(3).standard_normal((7, 5, 2)).astype(np.float32)
    _, y = features(7, (3,))
    f = jax.vmap(partial(blockwise.infonce, block=3), in_axes=(-1, None))
    dense = jax.vmap(lambda x, y: bounds.infonce(bounds.dot(x, y)), in_axes=(-1, None))
    np.testing.assert_allclose(f(x, y), dense(x, y), rtol=1e-6)


def test_mine_over_blocks_carries_its_state():
    x, y = features(9, ())
    state = bounds.MineState(jnp.array(0.3), jnp.array(0.5))
    ours = blockwise.mine(x, y, state=state, decay=0.9, block=4)
    close(ours, bounds.mine(bounds.dot(x, y), state=state, decay=0.9), rtol=1e-5)


def test_every_bound_of_a_matrix_has_its_blockwise_form():
    of_no_matrix = {"barber_agakov", "difference_of_entropies", "jsd_to_mi_lower_bound"}
    assert {f.__name__ for f in bounds.ESTIMATORS} - of_no_matrix == {
        name for name in dir(blockwise) if hasattr(getattr(blockwise, name), "facts")
    }


# Memory: of the compiled program, never run at these sizes here.


def temporary_mib(f, *shapes):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(f).lower(*arrays).compile().memory_analysis().temp_size_in_bytes / MIB


@pytest.mark.parametrize("name", ["infonce", "donsker_varadhan", "jensen_shannon"])
def test_65536_dot_products_take_less_than_256_mib(name):
    f = jax.value_and_grad(getattr(blockwise, name), argnums=(0, 1))
    assert temporary_mib(f, (65_536, 128), (65_536, 128)) < 256
    dense = jax.value_and_grad(lambda x, y: getattr(bounds, name)(bounds.dot(x, y)))
    assert temporary_mib(dense, (65_536, 128), (65_536, 128)) > 32 * 1024


def test_a_concat_critic_at_4096_takes_less_than_256_mib():
    critic = critics.concat(widths=(512, 512))
    x = jax.ShapeDtypeStruct((4096, 64), jnp.float32)
    params, stats = jax.eval_shape(critic.init, jax.random.key(0), x, x)

    def value(params, x, y):
        def score(x, y):
            return critic.all_pairs(params, stats, x, y, train=True)[0]

        return blockwise.infonce(x, y, score)

    step = jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2)))
    memory = step.lower(params, x, x).compile().memory_analysis()
    assert memory.temp_size_in_bytes / MIB < 256
