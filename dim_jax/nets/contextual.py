"""Encoders with a context network above the map of another encoder."""

import flax.linen as nn
import jax

from dim_jax.nets import pure, turns


def contextual(*, encoder: pure.Net, context: nn.Module) -> pure.Net:
    """The encoder with contexts (`nets.contexts`) of its local features, as CPC needs them.

    Taps: local and conv as of the encoder; context, a map f[n,h,w,d], or one
    for each direction; fc and y, the means of the local features and of the contexts over their
    locations. With batch norm in the encoder, a
    little information on the rows below leaks into a context, and more where the receptive fields
    of rows overlap.

    Args:
      encoder: with a map as its tap `local`, such as `amdim.amdim32`.
    """
    both = pure.with_head(encoder, pure.net(context), "local", part="context", output="context")

    def apply(params, stats, images: jax.Array, *, train: bool, rng=None):
        taps, stats = both.apply(params, stats, images, train=train, rng=rng)
        contexts = taps.pop("context")
        return taps | turns.summarised(taps["local"], contexts), stats

    return both._replace(apply=apply)
