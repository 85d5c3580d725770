"""Context networks: from a map of local features to a causal map of contexts.

A context predicts local features of the rows below it, so it depends on its own row and those above
only. Each network is a module, f[n,h,w,d] -> f[n,h,w,width], for the encoders of `folded`; `width`
defaults to that of the local features. None has batch norm, whose statistics include other rows.
`in_directions` has such a map for each of several directions.

Source: van den Oord et al. 2018, section 3.3; Hjelm et al. 2019, section 4.2; official Greedy
  InfoMax code (vision), for the convolutions.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import convolutions, layers, turns


class _Gru(nn.Module):
    """States of a gated recurrent unit, f[t,...,c] -> f[t,...,width], starting from zeros."""

    width: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        of_inputs = layers.Linear(3 * self.width, name="of_input")(inputs)
        of_state = layers.Linear(3 * self.width, name="of_state")
        state = jnp.zeros((*inputs.shape[1:-1], self.width))
        states = []
        for of_input in of_inputs:
            reset, update, new = jnp.split(of_input, 3, axis=-1)
            old_reset, old_update, old = jnp.split(of_state(state), 3, axis=-1)
            new = jnp.tanh(new + nn.sigmoid(reset + old_reset) * old)
            update_gate = nn.sigmoid(update + old_update)
            state = update_gate * state + (1 - update_gate) * new
            states.append(state)
        return jnp.stack(states)


class _RowGru(nn.Module):
    width: int | None

    @nn.compact
    def __call__(self, local: jax.Array, *, train: bool) -> jax.Array:
        del train
        width = self.width or local.shape[-1]
        along = _Gru(width, name="along_rows")(jnp.moveaxis(local, 2, 0))
        left = jnp.pad(along[:-1], ((1, 0), (0, 0), (0, 0), (0, 0)))
        seen = jnp.concatenate([local, jnp.moveaxis(left, 0, 2)], axis=-1)
        down = _Gru(width, name="down_columns")(jnp.moveaxis(seen, 1, 0))
        return jnp.moveaxis(down, 0, 1)


class _GatedConv(nn.Module):
    """tanh(a) * sigmoid(b), with convolutions a and b over 3 columns of a row and the row above."""

    width: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        shape = (2, 3, inputs.shape[-1], 2 * self.width)
        kernel = self.param("kernel", layers.fan_in_uniform, shape)
        # A 3x3 kernel with zeros for the row below.
        masked = jnp.pad(kernel, ((0, 1), (0, 0), (0, 0), (0, 0)))
        x = convolutions.conv(inputs, masked, 1, 1)
        x = x + self.param("bias", nn.initializers.zeros, x.shape[-1:])
        value, gate = jnp.split(x, 2, axis=-1)
        outputs = jnp.tanh(value) * nn.sigmoid(gate)
        return outputs + inputs if outputs.shape == inputs.shape else outputs


class _MaskedConv(nn.Module):
    width: int | None
    depth: int

    @nn.compact
    def __call__(self, local: jax.Array, *, train: bool) -> jax.Array:
        del train
        x, width = local, self.width or local.shape[-1]
        for index in range(self.depth):
            x = _GatedConv(width, name=f"layer{index}")(x)
        return layers.Linear(width, name="output")(x)


class _InDirections(nn.Module):
    network: nn.Module
    directions: tuple[str, ...]

    @nn.compact
    def __call__(self, local: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        maps = {}
        for direction in self.directions:
            network = self.network.clone(name=direction, parent=self)
            context = network(turns.turned(local, direction), train=train)
            maps[direction] = turns.turned_back(context, direction)
        return maps


def in_directions(*, context: nn.Module, directions: Sequence[str]) -> nn.Module:
    """A copy of a context network for each direction, with separate parameters.

    At each place, the copy of "down" sees the rows down to that of the place, the copy of "right"
    the columns from the left to that of the place, that of "up" the rows from that of the place to
    the last, that of "left" the columns from that of the place to the last;
    CPC predicts what each does not see. Returns {direction: f[n,h,w,width]}.

    Args:
      context: a network of one direction.
      directions: of "down", "up", "right" and "left", each once.

    Raises: contracts.UserError: other directions, or none.

    Source: Henaff et al. 2020, section 3.2 (from memory); whether its directions share the
      parameters of the context network is not printed there, as far as we remember.
    """
    directions = tuple(directions)
    turns.check(directions)
    if isinstance(context, _InDirections):
        raise contracts.UserError(
            "context.context is 'in_directions' itself; set it to a network of one direction, "
            "such as masked_conv"
        )
    return _InDirections(context, directions)


def row_gru(*, width: int | None) -> nn.Module:
    """A gated recurrent unit (GRU) along each column, whose state is the context.

    At (r, c) its input is the local feature there and the state at (r, c - 1) of a second unit,
    which runs along the row from the left. So a context sees all rows and all columns up to its
    own.

    Source: section 4.2 of Hjelm et al. 2019 has "a GRU-based PixelRNN" with as many hidden units
      as features; the connections between rows are not published, and these are ours. The unit is
      that of PyTorch (Cho et al. 2014, with the reset gate after the product).
    """
    return _RowGru(width)


def masked_conv(*, width: int | None, depth: int) -> nn.Module:
    """`depth` gated convolutions over a row and the row above it, then a 1x1 convolution.

    A context sees its own row, `depth` rows above and `depth` columns to each side. A layer has a
    residual connection where the widths are equal. Published (Greedy InfoMax): depth 4, the width
    of the local features.

    Differs: one stack of layers. The original has two, to hide what is to the right of a context
      in its own row, which is not needed to predict the rows below.
    """
    return _MaskedConv(width, depth)
