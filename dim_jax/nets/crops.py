"""Overlapping crops of an image, and their codes as a map, for strided-crop encoders.

The side of a crop is two eighths of the image's unless asked for more, and the stride one eighth,
so there are 7 x 7 crops and neighbouring ones overlap by half: 8 pixels with a stride of 4 in an
image of 32, 16 pixels with a stride of 8 in one of 64. Where training changes each patch by itself
(`augment.patches`), the image is a mosaic of them (`dim_jax.augment.patches`).

Source: Hjelm et al. 2019, section 4.2 (the comparison with CPC); official DIM code, misc.py.
"""

from collections.abc import Callable

import jax

from dim_jax import contracts
from dim_jax.augment import patches

EIGHTHS = 2  # of the image's side: published


def unfold(images: jax.Array, eighths: int = EIGHTHS, side: int | None = None) -> jax.Array:
    """All crops of all images, f[n,h,h,c] -> f[n * g * g, e h/8, e h/8, c], g = 9 - e.

    Crop (i g + r) g + s shows rows r h/8 to (r + e) h/8 of image i, and columns likewise with s.

    Args:
      eighths: e.
      side: of images; those with the side of its mosaic are mosaics of such crops. None: no image
        is a mosaic.

    Raises: contracts.UserError: images that are not square or whose side is not a multiple of 8.
    """
    if side is not None and images.shape[1] == patches.mosaic_side(side, eighths):
        return patches.lift(images, patches.grid(eighths))
    return patches.cut(images, eighths)


def fold(codes: jax.Array, eighths: int = EIGHTHS) -> jax.Array:
    """The codes of the crops, in the order of `unfold`, as maps: f[n * g * g,1,1,d] -> f[n,g,g,d].

    Raises: ValueError: codes with more than one location, or of an incomplete image.
    """
    count = patches.grid(eighths)
    places, height, width, channels = codes.shape
    if (height, width) != (1, 1) or places % count**2:
        raise ValueError(
            f"codes have shape {codes.shape}; folding needs [n * {count**2}, 1, 1, d], one "
            "location for each crop; let the network of the crops end at 1x1"
        )
    return codes.reshape(-1, count, count, channels)


def fields(side: int, eighths: int) -> Callable[[int], contracts.Fields]:
    """The fields of the codes in images of this side, or in their mosaics, where crops are apart.

    Returns: a function of the side of an image or mosaic, for `pure.net`.
    """

    def of_side(shown: int) -> contracts.Fields:
        is_mosaic = shown == patches.mosaic_side(side, eighths)
        size = eighths * side // patches.STRIPS
        return contracts.Fields(size, size if is_mosaic else side // patches.STRIPS, 0)

    return of_side


def check(name: str, side: int, eighths: int) -> Callable[[jax.Array], None]:
    """A `check` for `pure.net` that images f[n,h,w,c] or their mosaics have the encoder's side."""

    def check_images(images: jax.Array) -> None:
        sides = [side, patches.mosaic_side(side, eighths)]
        if images.ndim == 4 and [*images.shape[1:3]] in [[each, each] for each in sides]:
            return
        others = {
            patches.mosaic_side(side, other): other for other in range(1, patches.LARGEST + 1)
        }
        size = "x".join(map(str, images.shape[1:3]))
        if images.ndim == 4 and images.shape[1] == images.shape[2] in others:
            raise contracts.UserError(
                f"augment.patches is {others[images.shape[1]]} and the crops of the encoder "
                f"'{name}' span {eighths} eighths of a side; set both to the same number"
            )
        raise contracts.UserError(
            f"images are {size} pixels and the encoder '{name}' needs {side}x{side}; "
            f"set data.image_size={side} or choose another encoder"
        )

    return check_images
