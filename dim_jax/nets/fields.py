"""Receptive fields of maps that convolutions and poolings make."""

from collections.abc import Iterable

from dim_jax import contracts


def of_layers(layers: Iterable[tuple[int, int, int]]) -> contracts.Fields:
    """The fields of the locations of a map.

    Args:
      layers: (kernel, stride, padding) of each convolution or pooling from the image on, the
        padding being that of one side.
    """
    size, stride, offset = 1, 1, 0
    for kernel, step, padding in layers:
        size += (kernel - 1) * stride
        offset -= padding * stride
        stride *= step
    return contracts.Fields(size, stride, offset)
