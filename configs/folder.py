"""Deep InfoMax on your own images: a folder in, an encoder and its features out.

    python -m dim_jax.main --config configs/folder.py --config.data.name=folder:PATH

Word: `smoke` (seconds). PATH holds images directly (no labels), in one sub-folder per class, or
in either way below train/ and test/. Images are cut to 64x64; the encoder is the 64x64 one of the
official code at half its width. Without labels the probes switch off. Nothing here was published:
the learning rate and the length are ours.
"""

from configs import common
from configs.common import infomax

SMOKE = {
    **{"train.batch_size": 16, "train.epochs": 2},
    **{"train.steps_per_dispatch": 4, "train.save_epochs": 1},
    **common.under("method", infomax.SMOKE),
}


def get_config(argument: str = ""):
    budget = common.parse(argument, budget=("full", "smoke"))["budget"]
    method = infomax.dim(
        encoder=common.encoder("dcgan64", width=32), critic_width=256, concat_width=512
    )
    adam = common.adam(1e-3, decay=True)
    config = common.config(
        data=common.data("folder:PATH", image_size=64),
        method=method,
        players=dict(encoder=adam, discriminator=adam),
        train=common.train(batch_size=64, epochs=50, steps_per_dispatch=10, save_epochs=5),
        evals=common.evals(labels_per_class=10),
        published={},
        published_source="",
    )
    return common.budgeted(config, budget, smoke=SMOKE)
