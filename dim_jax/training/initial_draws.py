"""The random numbers of an initialisation, drawn by one program for all shapes.

An initialisation draws every leaf by itself, and XLA compiles each draw by itself: for a network of
70 leaves that takes longer than the rest of its initialisation. The bits of a draw are a function
of its key and of the position of a number, so that one program gives those of any shape.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.extend import random as prng
from jax.extend.core import primitives

_BLOCK = 2**16  # numbers of one call of the program


def evaluate(
    function: Callable[[jax.Array], Any], key: jax.Array, options: dict[str, Any] | None = None
) -> Any:
    """function(key), as jax.jit would compute it, bit for bit.

    Keys are derived first, outside of the compiled program, and so are the bits that are drawn with
    them. What does not follow from `key` alone, such as draws within a loop, stays in the program.

    Args:
      options: the compiler options of the program.
    """
    if not _is_counted(key):
        return jax.jit(function, compiler_options=options)(key)
    traced = jax.jit(function).trace(key)
    drawn: list[jax.Array] = []

    def draw(key, shape):
        drawn.append(_bits(key, shape))
        return drawn[-1]

    jax.eval_shape(lambda: _walk(traced.jaxpr, [key], draw))
    program = jax.jit(
        lambda drawn: _walk(traced.jaxpr, [key], lambda *_: drawn.pop(0)), compiler_options=options
    )
    return jax.tree.unflatten(jax.tree.structure(traced.out_info), program(drawn))


def _walk(closed: core.ClosedJaxpr, inputs: Sequence[Any], draw: Callable) -> list[Any]:
    """The outputs of a jaxpr, with `draw(key, shape)` for the bits of keys that are known."""
    jaxpr = closed.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *inputs], strict=True))

    def read(atom):
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in _live(jaxpr):
        results = _apply(jaxpr, equation, [read(atom) for atom in equation.invars], draw)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _live(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """The equations on which the outputs depend; the forward pass of an `init` is none of them."""
    needed = {atom for atom in jaxpr.outvars if isinstance(atom, core.Var)}
    live = []
    for equation in reversed(jaxpr.eqns):
        if equation.effects or not needed.isdisjoint(equation.outvars):
            needed.update(atom for atom in equation.invars if isinstance(atom, core.Var))
            live.append(equation)
    return reversed(live)


def _apply(jaxpr: core.Jaxpr, equation: core.JaxprEqn, inputs: list[Any], draw) -> list[Any]:
    if equation.primitive is primitives.jit_p:
        return _walk(equation.params["jaxpr"], inputs, draw)
    known = {
        atom: value
        for atom, value in zip(equation.invars, inputs, strict=True)
        if isinstance(atom, core.Var)
    }
    alone = jaxpr.replace(
        constvars=[], invars=list(known), outvars=equation.outvars, eqns=[equation]
    )
    of_keys = any(_is_key(atom.aval) for atom in (*equation.invars, *equation.outvars))
    if not of_keys or any(isinstance(each, jax.core.Tracer) for each in inputs):
        return jax.core.eval_jaxpr(alone, [], *known.values())
    if equation.primitive is primitives.random_bits_p:
        (key,), shape = inputs, equation.params["shape"]
        if key.ndim == 0 and equation.params["bit_width"] == 32 and _is_counted(key):
            return [draw(key, shape)]
    with jax.ensure_compile_time_eval():
        return jax.core.eval_jaxpr(alone, [], *known.values())


def _is_key(aval: Any) -> bool:
    return jax.dtypes.issubdtype(getattr(aval, "dtype", np.float32), jax.dtypes.prng_key)


def _is_counted(key: jax.Array) -> bool:
    """Whether the bits of a key are those of `_bits`; of a traced one they cannot be known."""
    if isinstance(key, jax.core.Tracer):
        return False
    return jax.config.jax_threefry_partitionable and str(jax.random.key_impl(key)) == "threefry2x32"


def _bits(key: jax.Array, shape: tuple[int, ...]) -> np.ndarray:
    """jax.random.bits(key, shape), u32."""
    with jax.ensure_compile_time_eval():
        bits = np.empty(shape, np.uint32)
        flat = bits.reshape(-1)
        words = jax.random.key_data(key)
        for start in range(0, flat.size, _BLOCK):
            high, low = divmod(start, 2**32)
            block = _block(words, np.uint32(high), np.uint32(low))
            flat[start : start + _BLOCK] = np.asarray(block)[: flat.size - start]
    return bits


@jax.jit
def _block(words: jax.Array, high: jax.Array, low: jax.Array) -> jax.Array:
    """The bits of the numbers from high * 2^32 + low on; a block never straddles two `high`."""
    position = low + jnp.arange(_BLOCK, dtype=jnp.uint32)
    counts = jnp.concatenate([jnp.full_like(position, high), position])
    first, second = prng.threefry_2x32(words, counts).reshape(2, _BLOCK)
    return first ^ second
