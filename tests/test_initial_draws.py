"""Initialisations with one program for all draws: the same bits as under jax.jit."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax.training import initial_draws


def layers(key):
    module = nn.Sequential(
        [nn.Dense(8), nn.relu, nn.Dense(8, kernel_init=nn.initializers.orthogonal()), nn.Dense(7)]
    )
    return module.init(key, jnp.ones((2, 8)))


def draws(key):
    first, second, third = jax.random.split(key, 3)
    _, looped = jax.lax.scan(
        lambda key, _: (jax.random.fold_in(key, 1), jax.random.normal(key, (3,))), first, length=2
    )
    return {
        "large": jax.random.bits(second, (3, initial_draws._BLOCK // 2)),
        "integers": jax.random.randint(first, (5,), 0, 10),
        "truncated": jax.random.truncated_normal(second, -1.0, 1.0, (4, 3)),
        "bytes": jax.random.bits(first, (6,), jnp.uint8),
        "order": jax.random.permutation(third, 9),
        "of_keys": jax.vmap(lambda key: jax.random.uniform(key, (2,)))(jax.random.split(third, 3)),
        "of_data": jax.random.uniform(jax.random.wrap_key_data(jax.random.key_data(third)), (2,)),
        "looped": looped,
        "key": jax.random.key_data(jax.random.fold_in(key, 5)),
        "none": jnp.zeros(2),
        "scalar": jax.random.uniform(third),
    }


@pytest.mark.parametrize(
    ("function", "kind"), [(layers, "threefry2x32"), (draws, "threefry2x32"), (layers, "rbg")]
)
def test_the_bits_are_those_of_jit(function, kind):
    key = jax.random.key(3, impl=kind)
    expected = jax.tree.leaves_with_path(jax.jit(function)(key))
    found = jax.tree.leaves_with_path(initial_draws.evaluate(function, key))
    assert [path for path, _ in found] == [path for path, _ in expected]
    for (path, value), (_, other) in zip(found, expected, strict=True):
        assert value.dtype == other.dtype, path
        np.testing.assert_array_equal(value, other, err_msg=jax.tree_util.keystr(path))


def test_a_draw_of_another_shape_compiles_no_program_of_its_own(caplog):
    def function(key, sizes):
        return [jax.random.bits(key, (size,)) for size in sizes]

    initial_draws.evaluate(lambda key: function(key, [3]), jax.random.key(0))
    with jax.log_compiles():
        initial_draws.evaluate(lambda key: function(key, range(4, 20)), jax.random.key(0))
    compiled = [line for line in caplog.messages if line.startswith("Compiling")]
    assert len(compiled) == 1  # which has the rest of the function
