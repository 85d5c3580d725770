"""Deep InfoMax on your own images: a folder in, an encoder and its features out.

    python -m dim_jax.main --config configs/folder.py --config.data.name=folder:PATH

Words: encoder=dcgan64 | auto; `smoke` (seconds). PATH holds images directly (no labels), in one
sub-folder per class, or in either way below train/ and test/. Images are cut to 64x64; the encoder
is the 64x64 one of the official code at half its width, or, with `auto`, that of data.image_size,
any of 15 sides from 24 to 256. Without labels the probes switch off. Nothing here was published:
the learning rate and the length are ours.
"""

from ml_collections.config_dict import placeholder

from configs import common
from configs.common import infomax

SMOKE = {
    **{"train.batch_size": 16, "train.epochs": 2},
    **{"train.steps_per_dispatch": 4, "train.save_epochs": 1},
    **common.under("method", infomax.smoke()),
}


def get_config(argument: str = ""):
    words = common.parse(argument, budget=("full", "smoke"), encoder=("dcgan64", "auto"))
    encoder = common.encoder(words["encoder"], width=32)
    if words["encoder"] == "auto":
        encoder["local"] = placeholder(int)  # the block of the local features, if not its choice
    method = infomax.dim(encoder=encoder, critic_width=256, concat_width=512)
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
    return common.budgeted(config, words["budget"], smoke=SMOKE)
