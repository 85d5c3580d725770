"""The maps of convolutions of stride 2, by which the encoder `auto` halves a square image.

As many blocks halve the side as leave 4 to 7 locations along it: 2 blocks for 24 pixels, 6 for 256.
The local features are the map whose side is nearest to 8, the side of the published maps for 32 and
64 pixels.
"""

import jax

from dim_jax import contracts

_LARGEST = 7  # the side of the last map at most, so at least 4
_LOCAL = 8


def maps(side: int) -> tuple[int, ...]:
    """The side of each block's map, in locations; 48 -> (24, 12, 6)."""
    sides = [side]
    while sides[-1] > _LARGEST:
        sides.append(sides[-1] // 2)
    return tuple(sides[1:])


def local(side: int) -> int:
    """The index of the block, from 0, whose map gives the local features."""
    distances = [abs(locations - _LOCAL) for locations in maps(side)]
    return distances.index(min(distances))


# 24, 28, 32, 40, 48, 56, 64, 80, ..., 256 pixels: 4, 5, 6 or 7 times a power of 2.
SIDES = tuple(side for side in range(24, 257) if side % 2 ** len(maps(side)) == 0)


def describe(side: int, block: int | None = None) -> str:
    """The architecture for images of a side, in a few words; `block` gives the local features."""
    sides = maps(side)
    block = local(side) if block is None else block
    return (
        f"{side}x{side} images: {len(sides)} blocks of stride 2, local features "
        f"{sides[block]}x{sides[block]}, last map {sides[-1]}x{sides[-1]}"
    )


def side_of(images: jax.Array) -> int:
    """The side of images f[n,h,w,c].

    Raises:
      UserError: they are not square, or their side is none of `SIDES`.
    """
    size = images.shape[1:3]
    if images.ndim == 4 and len({*size}) == 1 and size[0] in SIDES:
        return size[0]
    shorter = min(size, default=0)
    smaller = [side for side in SIDES if side <= shorter][-1:]
    larger = [side for side in SIDES if side > shorter][:1] if shorter not in SIDES else []
    sizes = " or ".join(map(str, smaller + larger))
    crop = f", or augment.crop={smaller[0]}" if smaller else ""
    raise contracts.UserError(
        f"images are {'x'.join(map(str, size))} pixels and the encoder 'auto' needs "
        f"square ones whose side is 4, 5, 6 or 7 times a power of 2, from {SIDES[0]} to "
        f"{SIDES[-1]}; set data.image_size={sizes}{crop}"
    )
