"""Deep InfoMax on scikit-learn's 1,797 scanned digits: no download, 90 seconds on 2 CPU cores.

    python -m dim_jax.main --config configs/quickstart.py

Word: `smoke` (seconds). Local DIM with InfoNCE on 8x8 digits enlarged to 32x32, a quarter of the
published encoder's width. Metric: test accuracy of probes that see 5 labels per class; measured
at y, mean of 3 seeds: MLP 90.6, SVM 90.6, k-NN 89.4 (experiments/results/quickstart_seeds.json).
There is no published number for this data set.
"""

from configs import common
from configs.common import infomax

SMOKE = {
    "train.epochs": 2,
    **common.under("method.method", infomax.smoke()),
    **{
        "method.method.global_critic.widths": (16, 16),
        "method.method.coordinates.widths": (16, 16),
    },
}


def get_config(argument: str = ""):
    budget = common.parse(argument, budget=("quick", "smoke"))["budget"]
    method = infomax.dim(
        encoder=common.encoder("dcgan32", width=16, hidden=256), critic_width=128, concat_width=128
    )
    adam = common.adam(1e-3, decay=True)  # ours: ten times the published rate, for a short run
    config = common.config(
        data=common.data("digits", image_size=32),
        method=common.monitored(method, classes=10),
        players=dict(encoder=adam, discriminator=adam, probe=adam),
        train=common.train(batch_size=64, epochs=40, steps_per_dispatch=11, save_epochs=5),
        evals=common.evals(labels_per_class=5),
        published={},
        published_source="",
    )
    return common.budgeted(config, budget, smoke=SMOKE)
