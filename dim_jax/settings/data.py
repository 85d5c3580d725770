"""The settings of the images."""

import dataclasses
from typing import Any, ClassVar

from dim_jax.settings.checks import (
    FRACTION,
    LARGEST_SIDE,
    PORTION,
    TEXT,
    at_least,
    is_integer,
    one_of,
)
from dim_jax.settings.definition import REQUIRED, Block, Check, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Block):
    """The images: their source, size and scaling, and the way they reach the device."""

    block: ClassVar[str] = "data"

    name: str = setting(
        REQUIRED,
        TEXT,
        "`digits` (8x8, part of scikit-learn), an image set of TensorFlow Datasets such as "
        "`cifar10`, `stl10:1.0.0` or `imagenette/160px-v2`, `folder:PATH`, `array:PATH` (npy, npz, "
        "zarr, HDF5), `shards:PATTERN` (tar files), `parquet:PATTERN` or `list:FILE.csv`.",
    )
    data_dir: str | None = setting(
        None,
        TEXT,
        "Folder of the TensorFlow Datasets. None: the environment variable `TFDS_DATA_DIR`, or "
        "else `~/tensorflow_datasets`.",
        scope="machine",
    )
    image_size: int | None = setting(
        None,
        at_least(1, LARGEST_SIDE),
        "Side of the square images, made as `fit` says. None keeps the size; all images must then "
        "share one.",
        type="int, pixels",
    )
    eval_size: int | None = setting(
        None,
        at_least(1, LARGEST_SIDE),
        "Side of the images in evaluations, made as `fit` says; of these `augment.crop` is the "
        "centre. None: `image_size`.",
        type="int, pixels",
    )
    fit: str = setting(
        "resize",
        one_of("resize", "crop", "pad"),
        "`resize` resizes the shorter side to `image_size` and cuts out the centre, `crop` only "
        "cuts out the centre, `pad` puts zeros around the image, made smaller if it does not fit.",
    )
    channels: int | None = setting(
        None,
        at_least(1),
        "Channels of encoded images (folders, lists, shards, parquet), read with their own bits "
        "per channel. None: red, green, blue of 8 bits, to which other images are converted.",
    )
    image_column: str | None = setting(
        None,
        TEXT,
        "Column of the images, of parquet, or of the paths, of a list, or the array of the images. "
        "None: by name.",
    )
    label_column: str | None = setting(
        None,
        TEXT,
        "Column of the labels, of parquet or a list, or extension or JSON key of those in shards, "
        "or the array of the labels. None: by name.",
    )
    train_split: str | None = setting(
        None,
        TEXT,
        "A TFDS split expression such as `train+unlabelled` or `train[:80%]`, a sub-folder, or the "
        "name of a split in a list, an array or the names of files. None: `train`.",
    )
    test_split: str | None = setting(
        None, TEXT, "The same for testing. None: `test`, or else `validation`."
    )
    test_fraction: float = setting(
        0.2,
        FRACTION,
        "Share that is held out, stratified by class, for data without a test split.",
    )
    scaling: str = setting(
        "symmetric",
        one_of("symmetric", "unit", "standardized", "quantiles"),
        "Pixel values seen by the encoder: `symmetric` is [-1, 1], `unit` is [0, 1], "
        "`standardized` has mean 0 and standard deviation 1 per channel of the training images, "
        "`quantiles` maps their quantiles 0.01 and 0.99 to -1 and 1 and clips the rest (for values "
        "with heavy tails). The range of pixels that are not uint8 is that of the training images, "
        "per channel.",
    )
    road: str = setting(
        "auto",
        one_of("auto", "resident", "streaming"),
        "`resident` keeps decoded images in memory, `streaming` decodes them from disk during "
        "training, `auto` is resident while the decoded training images take at most a quarter of "
        "the memory. Both give the same batches in the same order.",
        scope="machine",
    )
    worker_threads: int | None = setting(
        None,
        at_least(1),
        "Threads that decode when streaming. None: one per core.",
        scope="machine",
    )
    worker_processes: int = setting(
        0, at_least(0), "Processes that decode when streaming.", scope="machine"
    )
    bits: int | None = setting(
        None,
        Check(
            lambda value: is_integer(value) and 8 <= value <= 16,
            "set it to an integer from 8 to 16",
        ),
        "Bits in use of encoded images that have 16 per channel, such as 12 of a camera: "
        "the upper 8 of them are kept. None: as many as the highest value of the set needs.",
    )
    shortcut: str | None = setting(
        None,
        one_of("location", "value"),
        "`location` or `value`: a pixel gives the class away (shiftMNIST). The split `clean` has "
        "the test images without it, `misled` with that of another class.",
    )
    shortcut_place: str = setting(
        "column",
        one_of("column", "spread"),
        "Of `location`: pixels next to each other in a column, or spread along the border.",
    )
    shortcut_strength: float = setting(
        1.0, PORTION, "Brightness of the pixel, of `value` the largest; 1 is white."
    )
    eval_train_images: int | None = setting(
        None,
        at_least(1),
        "Largest number of training images that evaluations use. None: all, or 50,000 if they do "
        "not fit in memory.",
        scope="evaluation",
    )
    seeds: int | None = setting(
        None,
        at_least(1),
        "Train on this number of patches of the training images (Exemplar-CNN). None: on the "
        "images.",
    )
    patch: int | None = setting(None, at_least(2), "Side of a seed patch.", type="int, pixels")
    context: int | None = setting(
        None,
        at_least(0),
        "Pixels around a patch that belong to it, so that warps have content at the border.",
        type="int, pixels",
    )

    def images(self) -> dict[str, Any]:
        """{name: value} of the settings that choose the images, without those that are None."""
        values = {name: getattr(self, name) for name in _CHOOSING}
        return {name: value for name, value in values.items() if value is not None}


_CHOOSING = (
    *("name", "image_size", "fit", "channels", "bits", "image_column", "label_column"),
    *("train_split", "test_split", "test_fraction"),
)
