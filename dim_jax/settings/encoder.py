"""The settings of the encoder, besides its architecture, which is an argument of the method."""

import dataclasses
from typing import ClassVar

from dim_jax.settings.checks import TEXT
from dim_jax.settings.definition import Block, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoder(Block):
    """The start of the encoder."""

    block: ClassVar[str] = "encoder"

    init: str | None = setting(
        None,
        TEXT,
        "An exported encoder or a run folder: start from the parameters and batch statistics of "
        "its encoder alone, which another method or other data may have trained. None: random.",
    )
