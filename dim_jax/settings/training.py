"""The settings of the training loop."""

import dataclasses
from typing import ClassVar

from dim_jax.settings.checks import POSITIVE, TEXT, at_least
from dim_jax.settings.definition import REQUIRED, Block, setting


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
