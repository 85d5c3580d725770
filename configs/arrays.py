"""Deep InfoMax on arrays of any number of channels: microscopy, bands, spectrograms, scans.

    python -m dim_jax.main --config configs/arrays.py --config.data.name=array:PATH

Words: scaling=standardized | quantiles | symmetric; `smoke` (seconds). PATH is an npy or npz file,
a folder of npy files, zarr or HDF5; `shards:`, `parquet:`, `list:` and `folder:` are other sources,
with data.channels for encoded images of other than 3 channels. Images are square, 24 to 256 pixels
after data.image_size; the encoder is that of their side. Nothing here was published: the learning
rate and the length are ours. Generated images of 5 channels: experiments/arrays_gratings.py.
"""

from ml_collections.config_dict import placeholder

from configs import common
from configs.common import infomax

SMOKE = {
    **{"train.batch_size": 16, "train.epochs": 2},
    **{"train.steps_per_dispatch": 4, "train.save_epochs": 1},
    **common.under("method", infomax.smoke()),
}
LINEAR = dict(linear=dict(name="linear", protocol="linear-v1"))


def get_config(argument: str = ""):
    words = common.parse(
        argument,
        scaling=("standardized", "quantiles", "symmetric"),
        budget=("full", "smoke"),
    )
    encoder = common.encoder("auto", width=32, hidden=512)
    encoder["local"] = placeholder(int)  # the block of the local features, if not its choice
    method = infomax.dim(encoder=encoder, critic_width=256, concat_width=512)
    adam = common.adam(1e-3, decay=True)
    config = common.config(
        data=common.data("array:PATH", scaling=words["scaling"]),
        method=method,
        players=dict(encoder=adam, discriminator=adam),
        train=common.train(batch_size=64, epochs=50, steps_per_dispatch=10, save_epochs=5),
        evals=LINEAR | common.evals(labels_per_class=10),
        published={},
        published_source="",
    )
    return common.budgeted(config, words["budget"], smoke=SMOKE)
