"""The settings of data and training, and of a complete config."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from dim_jax.settings.augmentation import Augment
from dim_jax.settings.checks import (
    BLOCK,
    BOOLEAN,
    FRACTION,
    LARGEST_SIDE,
    PORTION,
    POSITIVE,
    TEXT,
    at_least,
    is_integer,
    is_number,
    one_of,
)
from dim_jax.settings.definition import (
    REQUIRED,
    Block,
    Check,
    Scope,
    Setting,
    UserError,
    setting,
)
from dim_jax.settings.encoder import Encoder
from dim_jax.settings.evaluations import evaluated_on


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Block):
    """The training loop."""

    block: ClassVar[str] = "train"

    batch_size: int = setting(
        REQUIRED,
        at_least(1),
        "Images per step of the complete job; must be divisible by the number of devices.",
    )
    epochs: float = setting(REQUIRED, POSITIVE, "Length of the training.", scope="length")
    microbatches: int = setting(
        1,
        at_least(1),
        "Run the encoder on this number of parts of the batch, one after the other, and compare "
        "all examples; saves memory for one more forward pass.",
    )
    norm_groups: int = setting(
        1,
        at_least(1),
        "Batch norm with the statistics of this number of groups of consecutive examples.",
    )
    accumulate: int = setting(
        1,
        at_least(1),
        "Average gradients over this number of parts of the batch; only for losses that do not "
        "compare examples.",
    )
    steps_per_dispatch: int = setting(
        REQUIRED, at_least(1), "Steps that run on the device per call from the host."
    )
    save_epochs: float = setting(
        REQUIRED, POSITIVE, "Interval between checkpoints.", type="float, epochs"
    )
    keep: int = setting(
        2, at_least(1), "Number of the newest checkpoints that stay.", scope="machine"
    )
    keep_best: str | None = setting(
        None,
        TEXT,
        "A metric of `metrics.jsonl`: its best checkpoint stays as well (losses, gradient norms, "
        "uniformity and alignment: the smallest, others: the largest), and `encoder_best/` has its "
        "encoder.",
        scope="machine",
    )
    init_from: str | None = setting(
        None,
        TEXT,
        "A run folder or an exported encoder: start from its parameters and state, as far as they "
        "fit, instead of random ones. The optimizers and the step start anew.",
    )
    max_minutes: float | None = setting(
        None,
        POSITIVE,
        "Stop after this time, saved, with exit code 75.",
        type="float, minutes",
        scope="machine",
    )


_SEED = Check(  # JAX reads 32 bits of it
    lambda value: is_integer(value) and 0 <= value < 2**32,
    "set it to an integer from 0 to 4294967295",
)
_PUBLISHED = Check(
    lambda value: (
        isinstance(value, Mapping)
        and all(isinstance(taps, Mapping) for taps in value.values())
        and all(is_number(number) for taps in value.values() for number in taps.values())
    ),
    "set it to a block of numbers, such as {'mlp': {'y': 70.0}}",
)
_IS_BLOCK = BLOCK._replace(holds=lambda value: isinstance(value, Block))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Block):
    """A complete config: the settings of its root and its blocks."""

    block: ClassVar[str] = ""

    seed: int = setting(
        0,
        _SEED,
        "Seed of the initial parameters, the order of the images and all random draws. Runs with "
        "different seeds differ in nothing else.",
    )
    deterministic: bool = setting(
        False,
        BOOLEAN,
        "Ask for the same bits on a GPU too, on the same machine, number of devices and versions. "
        "It costs speed. A CPU and a TPU are deterministic without it. It was not tried on a GPU.",
    )
    compute_dtype: str = setting(
        "float32",
        one_of("float32", "bfloat16"),
        "dtype of the operands of matrix products and convolutions in training: `float32` or "
        "`bfloat16`. Parameters, sums, norms, scores and losses stay float32; evaluations do not "
        "depend on it.",
    )
    data: Data = setting(REQUIRED, _IS_BLOCK, "The images.")
    augment: Augment = setting(Augment(), _IS_BLOCK, "Random augmentation.")
    encoder: Encoder = setting(Encoder(), _IS_BLOCK, "The start of the encoder.")
    method: Mapping[str, Any] = setting(REQUIRED, BLOCK, "The method and its networks.")
    players: Mapping[str, Any] = setting(REQUIRED, BLOCK, "One optimizer per player.")
    train: Train = setting(REQUIRED, _IS_BLOCK, "The training loop.")
    evals: Mapping[str, Any] = setting(
        REQUIRED,
        BLOCK,
        "Evaluations after training.",
        scope="evaluation",
    )
    published: Mapping[str, Any] | None = setting(
        None,
        _PUBLISHED,
        "Published numbers, `{evaluation: {tap: value}}`; the report shows them beside the "
        "measured ones.",
        scope="evaluation",
    )
    published_data: str | None = setting(
        None,
        TEXT,
        "The data set that the published numbers belong to, by default the config's. With other "
        "data they are not shown.",
        scope="evaluation",
    )
    published_on: Mapping[str, Any] | None = setting(
        None,
        BLOCK,
        "The data sets that published numbers of evaluations with `data` belong to, `{evaluation: "
        "name}`, by default the config's. Beside others they are not shown.",
        scope="evaluation",
    )
    published_source: str = setting(
        "", TEXT, "Source of the published numbers.", scope="evaluation"
    )
    published_differs: str = setting(
        "",
        TEXT,
        "A sentence on how the published numbers were measured otherwise than those of this "
        "config; the report shows it beside the source.",
        scope="evaluation",
    )
    track: str | None = setting(
        None,
        one_of("wandb", "mlflow", "trackio"),
        "A tracker of experiments that gets the settings, the metrics and the results as well, if "
        "its package is installed.",
        scope="machine",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.encoder.init and self.train.init_from:
            raise UserError(
                f"encoder.init is {self.encoder.init!r} and train.init_from is "
                f"{self.train.init_from!r}, and both set the encoder; set one of them to None"
            )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The config with these values: nested mappings, as configs return them.

        Raises:
          UserError: an unknown key, a missing one, or a value that is not valid.
        """
        values = dict(values)
        for block in BLOCKS:
            if isinstance(values.get(block.block), Mapping):
                values[block.block] = block.of(values[block.block])
        return super().of(values)

    def is_of_published_data(self) -> bool:
        """Whether the published numbers are those of the config's data set."""
        return self.published_data in (None, self.data.name)


BLOCKS = (Data, Augment, Encoder, Train)


def all_settings() -> dict[str, Setting]:
    """The settings of the root and of all blocks by their key, such as "train.epochs"."""
    root = Config.settings()
    blocks = {block.block for block in BLOCKS}
    of_root = {each.key: each for name, each in root.items() if name not in blocks}
    return of_root | {each.key: each for block in BLOCKS for each in block.settings().values()}


def scope(key: str) -> Scope:
    """The scope of a key of a config, of whatever depth; "training" of those not defined here."""
    settings = all_settings()
    each = settings.get(key) or settings.get(key.partition(".")[0])
    return each.scope if each else "training"


# Former names of evaluations, which configs and run folders may have.
RENAMED_EVALUATIONS = {
    "classifier": "own_classifier",
    "embedding": "manifold_layers",
    "map2d": "tsne",
    "surrogate": "exemplar_bound",
    "uniformity": "prior_fit",
    "views": "training_views",
}


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config, also one of an older version, with the defaults of all settings that it lacks.

    Evaluations have their present names.
    """
    filled = _filled(Config, config)
    for block in BLOCKS:
        filled[block.block] = _filled(block, config.get(block.block, {}))
    filled["published_data"] = filled["published_data"] or filled["data"].get("name")
    filled["published_on"] = filled["published_on"] or evaluated_on(filled.get("evals", {}))
    filled["evals"] = {
        key: {**spec, "name": RENAMED_EVALUATIONS.get(spec.get("name"), spec.get("name"))}
        for key, spec in filled.get("evals", {}).items()
    }
    return filled


def flatten(tree: Any, path: str = "") -> dict[str, Any]:
    """{"train.epochs": 3, ...} of nested mappings; empty ones are values."""
    if not isinstance(tree, Mapping) or (path and not tree):
        return {path: tree}
    return {
        key: value
        for name, part in tree.items()
        for key, value in flatten(part, f"{path}.{name}" if path else name).items()
    }


def _filled(block: type[Block], values: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {
        name: each.default
        for name, each in block.settings().items()
        if each.default is not REQUIRED and name not in [one.block for one in BLOCKS]
    }
    return {**defaults, **values}
