"""One way of decoding for all encoded images of a set: their size, bits, channels and type."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import facts, folder_listing, image_files, pixels, raw_images, sources

_U8 = np.dtype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Decoding:
    """The shape and type of all images of a set, and the settings that make them so.

    image_size: None = all have one size, else made so by `fit` (see `pixels.fit`). bits: of 16-bit
    images, see `image_files.decode`. channels: None = red, green, blue of 8 bits, else the images
    keep their bits, see `raw_images`.
    """

    shape: tuple[int, int, int]
    image_size: int | None
    fit: str = "resize"
    bits: int | None = None
    channels: int | None = None
    dtype: np.dtype = _U8

    def image(self, file: image_files.File) -> np.ndarray:
        """The image [h,w,c] of this shape and type.

        Raises:
          UserError: an image that is not readable, or of another size, type or channels; pixels
            that are not finite.
        """
        image = _decode(file, self)
        if self.image_size:
            image = pixels.fit(image, self.image_size, self.fit, file)
        if image.shape != self.shape:
            raise contracts.UserError(
                f"{file} is {image.shape[1]}x{image.shape[0]} where other images are "
                f"{self.shape[1]}x{self.shape[0]} (width x height): set data.image_size, such as "
                "64, to resize and centre-crop all of them"
            )
        return image


def facts_of(name: str, chosen: Decoding, classes: tuple[str, ...] | None) -> facts.Facts:
    """The facts of a set of images that are decoded in this way."""
    return facts.Facts(
        *(name, chosen.shape, classes, None, None), bits=chosen.bits, dtype=str(chosen.dtype)
    )


def survey(
    files: Sequence[image_files.File], block: settings.Data, *, lenient: bool = False
) -> tuple[Decoding, tuple[str, ...]]:
    """The decoding of images, and notes on what is read, by their headers and the first image.

    Args:
      lenient: leave it to `Decoding.image` to refuse files.

    Raises:
      UserError: a file that is not an image, or of a type or channels that the set cannot have;
        both `data.bits` and `data.channels`.
    """
    size, threads = block.image_size, sources.thread_count(block.worker_threads)
    shape = (size, size, block.channels or 3) if size else (0, 0, 0)
    if block.channels and block.bits:
        raise contracts.UserError(
            f"data.bits is {block.bits} and data.channels {block.channels}, which keeps all bits: "
            "set one of them to None"
        )
    if block.channels:
        dtype = raw_images.survey(files, block.channels, threads, lenient=lenient)
        channels = folder_listing.count(block.channels, "channel")
        notes = [f"Images keep their pixels: {channels} of {dtype}."]
        chosen = Decoding(shape, size, block.fit, None, block.channels, dtype)
    else:
        bits, notes = _bits(files, block, lenient)
        chosen = Decoding(shape, size, block.fit, bits)
    if not size:
        chosen = dataclasses.replace(chosen, shape=_decode(files[0], chosen).shape)
    return chosen, tuple(notes)


def _decode(file: image_files.File, chosen: Decoding) -> np.ndarray:
    # A crop is one of the complete image, which a draft would make smaller.
    least = None if chosen.fit == "crop" else chosen.image_size
    if chosen.channels:
        return raw_images.decode(file, chosen.channels, least, chosen.dtype)
    return image_files.decode(file, least, chosen.bits)


def _bits(
    files: Sequence[image_files.File], block: settings.Data, lenient: bool
) -> tuple[int | None, list[str]]:
    """The bits of the 16-bit images, None if there are none, and notes on what is read."""
    threads = sources.thread_count(block.worker_threads)
    survey, notes, bits = image_files.survey(files, threads, lenient=lenient), [], None
    if survey.several:
        files_read = folder_listing.count(len(survey.several), "file")
        notes.append(
            f"{files_read} with several images (such as {survey.several[0].name}): the first of "
            "each is read."
        )
    if survey.deep:
        origin, bits = "as data.bits says", block.bits
        if bits is None:
            highest, bits = image_files.bits(survey.deep, threads)
            origin = f"the highest value is {highest:,}"
        notes.append(
            f"{len(survey.deep):,} of {len(files):,} images have 16 bits per channel, of which "
            f"{bits} are in use ({origin}): values 0 to {2**bits - 1:,} become 0 to 255."
        )
    return bits, notes
