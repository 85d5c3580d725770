"""The settings of a complete config."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from dim_jax.settings.augmentation import Augment
from dim_jax.settings.checks import (
    BLOCK,
    BOOLEAN,
    TEXT,
    is_integer,
    is_number,
    one_of,
)
from dim_jax.settings.data import Data
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
from dim_jax.settings.training import Train

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
