"""Facts of data sets: the table of channel statistics, and the scaling of pixels by them."""

import unicodedata
from typing import Any, NamedTuple

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import pixel_range as ranges


class Facts(NamedTuple):
    """The properties of a data set that networks and evaluations need.

    shape: (h, w, c) of every image. classes: the names, None = no labels. mean and std: one
    number per channel of pixels in [0, 1], None = unknown. attributes: the names of the binary
    attributes of every image, None = there are none. uncropped: `shape` before `dataset.centre`,
    None = the images are not cropped. bits: in use of the channels of 16-bit images, None = there
    are none. dtype: of the raw pixels. pixel_range: the raw values that are 0 and 1 in [0, 1],
    None = 0 and 255 of uint8. fit: `data.fit`, by which they were given their size; None = they
    have that of their files.
    """

    name: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    attributes: tuple[str, ...] | None = None
    uncropped: tuple[int, int, int] | None = None
    bits: int | None = None
    dtype: str = "uint8"
    pixel_range: ranges.PixelRange | None = None
    fit: str | None = None


class Statistics(NamedTuple):
    """Mean and standard deviation per channel of the training pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


_IMAGENET = Statistics(
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
    "torchvision, references/classification: the customary ImageNet numbers (std is the mean of "
    "the standard deviations within images, so it is smaller than that of all pixels)",
)

# Keys are `digits` and TFDS builder names without config. Shapes and class names are not here:
# they are in the files on disk.
STATISTICS: dict[str, Statistics] = {
    "digits": Statistics(
        (0.305822,),
        (0.376399,),
        "measured on the default training split after the conversion to uint8",
    ),
    "mnist": Statistics(
        (0.1306604762738429,),
        (0.30810780717887876,),
        "customary, all training pixels; rounded to 0.1307, 0.3081 in pytorch/examples, mnist; "
        "measured again on the TFDS files",
    ),
    "fashion_mnist": Statistics(
        (0.2860405969887955,),
        (0.3530242445149223,),
        "customary, all training pixels; rounded to 0.2860, 0.3530 in many repositories",
    ),
    "cifar10": Statistics(
        (0.49139968, 0.48215841, 0.44653091),
        (0.24703223, 0.24348513, 0.26158784),
        "customary, all training pixels; measured again on the TFDS files",
    ),
    "cifar100": Statistics(
        (0.50707516, 0.48654887, 0.44091784),
        (0.26733429, 0.25643846, 0.27615047),
        "customary, all training pixels; rounded to 0.5071, 0.4865, 0.4409 elsewhere",
    ),
    "svhn_cropped": Statistics(
        (0.4376821, 0.4437697, 0.47280442),
        (0.19803012, 0.20101562, 0.19703614),
        "customary, all pixels of the split train",
    ),
    "stl10": Statistics(
        (0.44671062, 0.43980984, 0.40664645),
        (0.26034098, 0.25657727, 0.27126738),
        "customary, the 5,000 labelled training images (not the unlabelled ones)",
    ),
    "tiny_imagenet": Statistics(
        (0.4802, 0.4481, 0.3975),
        (0.2770, 0.2691, 0.2821),
        "customary, all training pixels (0.2302, 0.2265, 0.2262, also in use, are the standard "
        "deviations within images); not in the TFDS catalogue: for a custom build",
    ),
    "celeb_a": Statistics(
        (0.5068, 0.4262, 0.3835),
        (0.3103, 0.2903, 0.2896),
        "customary, the training pixels of the full 218x178 images; not measured here; those of "
        "a centre crop differ slightly",
    ),
    "imagenette": Statistics(
        (0.462491, 0.457818, 0.430508),
        (0.278269, 0.275738, 0.297528),
        "measured on the split train of imagenette/128px-v2",
    ),
    "imagenet2012": _IMAGENET,
    "imagenet_resized": _IMAGENET,
}


def statistics(name: str, channels: int) -> tuple[tuple[float, ...], ...] | tuple[None, None]:
    """The (mean, std) of a data set, (None, None) if the table has none.

    Args:
      name: with or without a TFDS config and version, which the table ignores.
      channels: of the images; statistics of another number of channels do not apply.
    """
    entry = STATISTICS.get(name.split("/")[0].split(":")[0])
    if entry is None or len(entry.mean) != channels:
        return None, None
    return entry.mean, entry.std


def describe_classes(classes: tuple[str, ...] | None, shown: int = 12) -> str:
    """The number and the names of the classes, the first and the last if there are many."""
    if classes is None:
        return "none, the images have no labels"
    names = [printable(name) for name in classes]
    if len(names) > shown:
        names = [*names[: shown - 1], "...", names[-1]]
    return f"{len(classes):,} ({', '.join(names)})"


def printable(name: str) -> str:
    """The name, in quotes if it has control characters or a space at its start or end."""
    control = any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name)
    return repr(name) if control or name != name.strip() else name


def scaling(facts: Facts, kind: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The (mean, std) per channel for `normalise`, for pixels in [0, 1].

    "symmetric" is 0.5 and 0.5, so that pixels are in [-1, 1], as in Deep InfoMax; "unit" is 0 and
    1, so that pixels are in [0, 1], for encoders that convert the colour space; "standardized" uses
    the statistics of the data set; "quantiles" is as "symmetric", for a range of pixels that leaves
    out extreme values.

    Raises:
      UserError: statistics wanted of a set that has none.
    """
    settings.Data.settings()["scaling"].verify(kind)
    if kind in ("symmetric", "quantiles"):
        halves = (0.5,) * facts.shape[-1]
        return halves, halves
    if kind == "unit":
        return (0.0,) * facts.shape[-1], (1.0,) * facts.shape[-1]
    if facts.mean is None or facts.std is None:
        raise contracts.UserError(
            f"no channel statistics are known for {facts.name}: load it with scaling="
            "'standardized', which measures them, or set data.scaling to 'symmetric'"
        )
    return facts.mean, facts.std


def normalise(
    images: Any,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    pixel_range: ranges.PixelRange | None = None,
) -> Any:
    """(pixels - mean) / std per channel, f32[..., c], of pixels u8, or floats in [0, 1].

    With a pixel range, of raw pixels of any type. NumPy in, NumPy out; JAX in, JAX out, also under
    jit.
    """
    images = ranges.to_unit(images, pixel_range)
    shape = (1,) * (images.ndim - 1) + (-1,)
    mean, std = (np.reshape(np.asarray(numbers, np.float32), shape) for numbers in (mean, std))
    return (images - mean) / std
