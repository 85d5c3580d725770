"""Affine couplings (RealNVP): bijections of vectors with exact inverse and log-determinant.

A coupling keeps one half of the coordinates and scales and shifts the other half by functions of
the first. Its inverse needs no inverse of these functions, and its Jacobian is triangular. What is
bijective loses no information: I(g(x); y) = I(x; y) for every y.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.nets import layers

Tree = Any
_RESHAPE = "reshape it to a row of numbers for each example"


class Flow(NamedTuple):
    """A bijection of vectors as pure functions; coordinates keep their places.

    init(rng, x f[n,d]) -> params
    forward(params, x f[n,d]) -> (z f[n,d], log_det f[n]): log_det is the logarithm of the absolute
        determinant of dz/dx, in nats
    inverse(params, z f[n,d]) -> x f[n,d]
    error(params, x f[n,d]) -> f[]: the largest absolute difference of a coordinate of x and of
        inverse(forward(x)); rounding alone makes it more than 0
    halves(d) -> [(kept i[.], moved i[.])]: the coordinates that each coupling keeps and moves
    """

    init: Callable[[jax.Array, jax.Array], Tree]
    forward: Callable[[Tree, jax.Array], tuple[jax.Array, jax.Array]]
    inverse: Callable[[Tree, jax.Array], jax.Array]
    error: Callable[[Tree, jax.Array], jax.Array]
    halves: Callable[[int], list[tuple[np.ndarray, np.ndarray]]]


class Coupling(nn.Module):
    """z = x * exp(s) + t in half of the coordinates, s and t an MLP (ReLU) of the other half.

    |s| < `limit`, by s = limit * tanh(raw / limit). The last layer starts at 0 and the coupling as
    the identity. `kept`: the indices of the coordinates that stay as they are,
    `moved` the others.
    """

    kept: tuple[int, ...]
    moved: tuple[int, ...]
    widths: Sequence[int]
    limit: float

    @nn.compact
    def __call__(self, x: jax.Array, *, invert: bool = False) -> tuple[jax.Array, jax.Array]:
        """x f[n,d] -> (z f[n,d], log_det f[n]), or with `invert` z -> (x, -log_det)."""
        kept, moved = np.array(self.kept), np.array(self.moved)
        log_scale, shift = self._functions(x[:, kept], len(moved))
        part = x[:, moved]
        if invert:
            part, log_scale = (part - shift) * jnp.exp(-log_scale), -log_scale
        else:
            part = part * jnp.exp(log_scale) + shift
        places = np.argsort(np.concatenate([kept, moved]))
        return jnp.concatenate([x[:, kept], part], -1)[:, places], log_scale.sum(-1)

    def _functions(self, x: jax.Array, moved: int) -> tuple[jax.Array, jax.Array]:
        for index, width in enumerate(self.widths):
            x = nn.relu(layers.Linear(width, name=f"linear{index}")(x))
        last = layers.Linear(2 * moved, False, nn.initializers.zeros, name="last")
        raw, shift = jnp.split(last(x), 2, axis=-1)
        return self.limit * jnp.tanh(raw / self.limit), shift


class Couplings(nn.Module):
    """Couplings one after the other; the two of a pair keep opposite halves of the coordinates.

    The halves of a pair are drawn at random, by the number of the pair: the same in every network.
    """

    couplings: int
    widths: Sequence[int]
    limit: float

    @nn.compact
    def __call__(self, x: jax.Array, *, invert: bool = False) -> tuple[jax.Array, jax.Array]:
        """x f[n,d] -> (z f[n,d], log_det f[n]), or with `invert` z -> (x, -log_det)."""
        total = jnp.zeros(len(x), x.dtype)
        modules = [
            Coupling(kept, moved, self.widths, self.limit, name=f"coupling{index}")
            for index, (kept, moved) in enumerate(_halves(x.shape[-1], self.couplings))
        ]
        for module in reversed(modules) if invert else modules:
            x, log_det = module(x, invert=invert)
            total += log_det
        return x, total


def _halves(width: int, couplings: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The coordinates that each coupling keeps and moves."""
    halves = []
    for pair in range((couplings + 1) // 2):
        order = np.random.default_rng(pair).permutation(width)
        parts = [tuple(sorted(map(int, part))) for part in np.split(order, [width // 2])]
        halves += [tuple(parts), tuple(reversed(parts))]
    return halves[:couplings]


class RealNVPEncoder(nn.Module):
    """`Couplings` of the flattened image; their output, as an image, is `conv` and `local`."""

    couplings: int
    widths: Sequence[int]
    limit: float
    features: int | None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        del train
        rows = images.reshape(len(images), -1)
        z, _ = Couplings(self.couplings, self.widths, self.limit, name="flow")(rows)
        maps = z.reshape(images.shape)
        y = z if self.features is None else layers.Linear(self.features, name="y")(z)
        return {"local": maps, "conv": maps, "fc": z, "y": y}


def affine_couplings(*, couplings: int, widths: Sequence[int], limit: float = 1.0) -> Flow:
    """A flow of affine couplings, the identity before training.

    Args:
      couplings: at least 2 move every coordinate.
      widths: of the hidden layers of each coupling's MLP.
      limit: of the logarithm of a coupling's scale. With c couplings, rounding errors grow by
        exp(c * limit) at most through the scales; `Flow.error` measures them.

    Raises: contracts.UserError: no coupling, a width or limit that is not positive; on
      initialisation, x that is not f[n,d] with d of at least 2; later, x or z of another d.

    Source: Dinh et al. 2017, "Density estimation using Real NVP", equations 4 to 8.
    Differs: vectors in place of maps, and halves drawn at random in place of checkerboards and
      channels; no batch norm and no multi-scale outputs.
    """
    if couplings < 1 or min(widths, default=1) < 1 or not limit > 0:
        raise contracts.UserError(
            f"couplings is {couplings}, widths {tuple(widths)} and limit {limit:g}; give at least "
            "one coupling, widths of at least 1 and a limit above 0"
        )
    module = Couplings(couplings, tuple(widths), limit)

    def init(rng, x):
        if x.ndim != 2:
            raise contracts.UserError(f"{_shape(x)} and is to be f[n,d]; {_RESHAPE}")
        check(x)
        return module.init(rng, x)["params"]

    def forward(params, x):
        _check_width(params, x)
        return module.apply({"params": params}, x)

    def inverse(params, z):
        _check_width(params, z)
        return module.apply({"params": params}, z, invert=True)[0]

    def error(params, x):
        return jnp.max(jnp.abs(inverse(params, forward(params, x)[0]) - x))

    def halves(width):
        return [tuple(map(np.array, pair)) for pair in _halves(width, couplings)]

    return Flow(init, forward, inverse, error, halves)


def check(x: jax.Array) -> None:
    """Raises UserError unless x, f[n,...], has at least two numbers for each example."""
    if x.ndim < 2 or x[:1].size < 2:
        raise contracts.UserError(
            f"{_shape(x)} and each example needs at least 2 numbers, one half to scale the other "
            "by; give more"
        )


def _check_width(params: Tree, x: jax.Array) -> None:
    first = params["coupling0"]
    kept = first.get("linear0", first["last"])["kernel"].shape[0]
    width = kept + first["last"]["kernel"].shape[1] // 2
    if x.ndim != 2 or x.shape[1] != width:
        raise contracts.UserError(
            f"{_shape(x)} and the parameters are of f[n,{width}]; {_RESHAPE}, or initialise anew"
        )


def _shape(x: jax.Array) -> str:
    return f"the input of the couplings is {'x'.join(map(str, x.shape)) or 'one number'}"
