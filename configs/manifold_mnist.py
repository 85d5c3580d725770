"""The image-manifold layer on MNIST, which embeds its filters in the plane.

    python -m dim_jax.main --config configs/manifold_mnist.py:terms=ce_i_h,budget=cpu

Words: terms=ce_i_h | ce_i | ce | i_h, what is learned by: the cross-entropy of a classifier (ce),
the information of patches and their embedding (i), the entropy of the mean response (h);
passed=responses | mean, what the affine classifier reads (the poster leaves it open; only where it
reads the responses is the embedding of `ce` arbitrary, as in the poster's figure);
budget=paper | cpu | smoke. Without a classifier nothing trains y, and the MLP reads conv.

Metrics: those of the evaluation "embedding" at layer1. The poster has a figure and no numbers.
Measured under `cpu`, means of 3 seeds, about 50 ms a step on one core: of ce, ce_i and ce_i_h the
order is 0.00, 0.77 and 0.44, the entropy 0.76, 0.64 and 0.98 of its maximum, the information 1.5,
3.2 and 3.3 of at most 4.85 nats, the test accuracy 98.0, 97.1 and 97.8 %. With passed=mean, seed 0,
at a rate of 1e-3, ce orders too: order 0.62, 0.76, 0.50, entropy 0.72, 0.63, 0.98, accuracy 96.6,
92.1, 93.4 %.
`paper` was not run.
Source: Klindt et al. 2020 (256 filters of 9x9 in 2 dimensions); all other numbers are ours.
"""

from configs import common
from configs.common import manifold

TERMS = ("ce_i_h", "ce_i", "ce", "i_h")
PASSED = ("responses", "mean")


def get_config(argument: str = ""):
    words = common.parse(argument, terms=TERMS, passed=PASSED, budget=common.BUDGETS)
    terms = words["terms"].split("_")
    judged = "y" if "ce" in terms else "conv"  # without a classifier nothing trains y
    evals = dict(
        embedding=manifold.EMBEDDING,
        classifier=dict(name="own_classifier"),
        mlp=dict(name="mlp", protocol="mlp-v1", taps=(judged,)),
        filters=dict(name="filters"),
    )
    if "ce" not in terms:
        evals.pop("classifier")
    method = manifold.method(
        channels=(256,),
        kernels=(9,),
        strides=(1,),
        pools=(1,),
        dimensions=(2,),
        passed=words["passed"],
        hidden=(),
        features=10,
        supervised=float("ce" in terms),
        information=(float("i" in terms),),
        entropy=(float("h" in terms),),
    )
    return manifold.config(
        "mnist",
        words["budget"],
        method=method,
        evals=evals,
        cpu={"method.encoder.strides": (2,)},
        smoke={"method.encoder.strides": (2,), "method.encoder.channels": (8,)},
    )
