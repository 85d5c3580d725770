"""The parts that configs share: the words of the argument, and the blocks of a run.

A config imports ml_collections and this package only. Every scientific number stands in a config,
or here where several share it, with its source. A config is written in its published setting;
smaller budgets are changes of it (`budgeted`).
"""

import difflib
from typing import Any

import ml_collections
from ml_collections.config_dict import FieldReference, placeholder

from configs.common.budgets import BUDGETS as BUDGETS
from configs.common.budgets import LONG as LONG
from configs.common.budgets import LONG_BUDGETS as LONG_BUDGETS
from configs.common.budgets import SMALL_ENCODER as SMALL_ENCODER
from configs.common.budgets import budgeted as budgeted
from configs.common.budgets import faster as faster
from configs.common.budgets import longer as longer
from configs.common.budgets import under as under
from configs.common.evaluations import GAUSSIAN as GAUSSIAN
from configs.common.evaluations import TAPS as TAPS
from configs.common.evaluations import evals as evals
from configs.common.evaluations import finetuned as finetuned
from configs.common.evaluations import fit_to as fit_to
from configs.common.evaluations import of_mlp as of_mlp
from configs.common.evaluations import sample_quality as sample_quality
from dim_jax import settings

LAYERS = ("published", "first", "second", "third")


def parse(argument: str | None, **choices: tuple[str, ...]) -> dict[str, str]:
    """Reads "word,key=value": the first choice of each key is its default.

    A bare word stands for the key whose choices contain it.

    Raises: settings.UserError for a word or a value that is no choice, with the nearest one.
    """
    chosen = {key: values[0] for key, values in choices.items()}
    words = {value: key for key, values in choices.items() for value in values}
    for part in filter(None, (argument or "").split(",")):
        key, _, value = part.rpartition("=")
        key = key or words.get(part, "")
        if key not in choices or value not in choices[key]:
            options = [*choices.get(key, [*words, *(f"{name}=..." for name in choices)])]
            near = difflib.get_close_matches(value, options, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'? There are" if near else "use"
            raise settings.UserError(
                f"unknown config argument '{part}': {hint} {', '.join(options)}"
            )
        chosen[key] = value
    return chosen


def config(**blocks) -> ml_collections.ConfigDict:
    """A config of these blocks, with the defaults of `dim_jax.settings` for all other settings.

    Published numbers are those of the data sets that the config names, not of ones set by hand.
    """
    defaults = dict(augment=augment(), encoder=_block(settings.Encoder))
    named = dict(published_data=blocks["data"]["name"])
    named |= dict(published_on=settings.evaluated_on(blocks["evals"]))
    blocks = defaults | named | blocks
    return _block(settings.Config, **blocks)


def judge_on(
    config: ml_collections.ConfigDict, key: str, data: dict, published: dict, **evaluation: Any
) -> None:
    """Adds `evals.KEY`, an evaluation on another data set, with its published numbers by tap.

    data: the settings of its images, with their `name`.
    """
    config.evals[key] = ml_collections.ConfigDict(dict(evaluation, data=data))
    config.published_on = settings.evaluated_on(config.evals.to_dict())
    if published:
        config.published[key] = published


def augment(**changes) -> ml_collections.ConfigDict:
    """The block `augment`: how training images are augmented, unless asked not at all."""
    return _block(settings.Augment, **changes)


def data(name: str, **changes) -> ml_collections.ConfigDict:
    """The block `data`: [-1, 1] pixels and the data set's own splits unless changed.

    "symmetric" scaling, mean 0.5 and std 0.5: official DIM code, torchvision_datasets.py.
    """
    return _block(settings.Data, name=name, **changes)


def train(**changes) -> ml_collections.ConfigDict:
    """The block `train`; `batch_size` is that of the complete job."""
    return _block(settings.Train, **changes)


def _block(block: type[settings.Block], **values) -> ml_collections.ConfigDict:
    """A block with the defaults of its settings; those that are None may be set to their type."""
    fields = {}
    for name, each in block.settings().items():
        value = values.pop(name) if name in values else each.default
        if value is settings.REQUIRED:
            raise settings.UserError(f"the config sets no {each.key}: {each.help}")
        if value is None:
            fields[name] = placeholder(each.kind)
        else:
            one = each.kind is float and not isinstance(value, tuple | list)
            fields[name] = float(value) if one else value
    if values:
        raise settings.unknown(f"setting of '{block.block}'", next(iter(values)), block.settings())
    return ml_collections.ConfigDict(_separate(fields))


def _separate(value: Any) -> Any:
    """The value with a copy of each block in it, so that a change of one changes no other.

    A ConfigDict keeps a dict that stands in several places, such as one optimizer of two players,
    as one object.
    """
    if isinstance(value, FieldReference):
        return FieldReference(value.get(), value.get_type())
    if isinstance(value, ml_collections.ConfigDict):
        fields = dict(value.items(preserve_field_references=True))
        return ml_collections.ConfigDict(_separate(fields))
    if isinstance(value, dict):
        return {key: _separate(entry) for key, entry in value.items()}
    return value


def adam(learning_rate: float, *, b1: float = 0.5, b2: float = 0.999, decay: bool = False) -> dict:
    """Adam, unless changed with the betas of the official DIM code (optimizer.py).

    The rate is constant as published, or falls along half a cosine to 0, which short runs need.
    """
    return dict(
        **dict(name="adam", learning_rate=learning_rate, b1=b1, b2=b2),
        schedule=dict(name="cosine", warmup_epochs=0.0) if decay else dict(name="constant"),
        every=1,
    )


def monitored(method: dict, classes: int) -> dict:
    """The method, watched by an online classifier of the published form on conv, fc and y."""
    return dict(
        name="probe",
        taps=TAPS,
        # Hjelm et al. 2019, section 4.2: 200 hidden units, dropout 0.1.
        classifier=dict(name="classifier", hidden=200, dropout=0.1, classes=classes),
        method=method,
    )


def encoder(
    name: str,
    *,
    width: int = 64,
    hidden: int = 1024,
    features: int = 64,
    layer: str = "published",
) -> dict:
    """An encoder at the published size (official DIM code, configs/convnets.py) unless changed.

    `layer` of `LAYERS` is the block whose map gives the local features.
    """
    local = {} if layer == "published" else dict(local=LAYERS.index(layer) - 1)
    return dict(name=name, width=width, hidden=hidden, features=features, norm="batch", **local)
