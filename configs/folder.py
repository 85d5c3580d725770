"""Deep InfoMax on your own images: a folder in, an encoder and its features out.

    python -m dim_jax.main --config configs/folder.py --config.data.name=folder:PATH

Word: `smoke` (seconds). PATH holds images directly (no labels), in one sub-folder per class, or
in either way below train/ and test/. Images are cut to 64x64; the encoder is the 64x64 one of the
official code at half its width. Without labels the probes switch off. Nothing here was published:
the learning rate and the length are ours.
"""

from configs import common
from configs.common import infomax


def get_config(argument: str = ""):
    smoke = common.parse(argument, budget=("full", "smoke"))["budget"] == "smoke"
    method = infomax.dim(
        encoder=common.encoder("dcgan64", smoke=smoke, width=32),
        weights="local",
        bound="infonce",
        critic_width=16 if smoke else 256,
        concat_width=32 if smoke else 512,
    )
    adam = common.adam(1e-3, decay=True)
    return common.config(
        data=common.data("folder:PATH", image_size=64),
        method=method,
        players=dict(encoder=adam, discriminator=adam),
        train=common.train(
            batch_size=16 if smoke else 64,
            epochs=2 if smoke else 50,
            steps_per_dispatch=4 if smoke else 10,
            save_epochs=1 if smoke else 5,
        ),
        evals=common.evals(labels_per_class=10),
        published={},
        published_source="",
    )
