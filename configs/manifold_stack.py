"""Three image-manifold layers on each other, learned from the images alone or with a classifier.

    python -m dim_jax.main --config configs/manifold_stack.py:data=cifar10,budget=cpu

Words: data=mnist | cifar10; terms=i_h | i | ce_i_h | ce, what is learned by: the information of
patches and their embedding (i), the entropy of the mean response (h), the cross-entropy of a
classifier (ce); passed=responses | mean, what of a layer goes on to the next one and to probes;
budget=paper | cpu | smoke.

Metric: accuracy of a linear probe of `conv`, what the third layer passes on, beside that of the
untrained layers. The conference abstract has three layers on these data sets and neither sizes nor
numbers: all that stands here is ours.
Measured under `cpu`, seed 0, in percent, trained and untrained: MNIST 93.3 and 91.4, pixels 90.5;
CIFAR-10 27.7 and 37.6, pixels 35.3, so that there the two terms alone lose what tells the classes.
With passed=mean, 32 and 128 numbers: MNIST 72.3 and 58.3 (i: 33.9, ce_i_h: 93.2, ce: 98.0),
CIFAR-10 17.3 and 21.1 (ce: 37.3). `responses` became the default for that. `paper` was not run.
Source: Klindt, Balle, Shlens and Simoncelli 2020.
"""

from configs import common
from configs.common import manifold

TERMS = ("i_h", "i", "ce_i_h", "ce")
PASSED = ("responses", "mean")


def get_config(argument: str = ""):
    words = common.parse(
        argument, data=tuple(manifold.SCALINGS), terms=TERMS, passed=PASSED, budget=common.BUDGETS
    )
    terms = words["terms"].split("_")
    evals = dict(
        linear=dict(name="linear", protocol="linear-v1", taps=("conv",)),
        embedding=manifold.EMBEDDING,
        filters=dict(name="filters"),
    )
    if "ce" in terms:
        evals["classifier"] = dict(name="own_classifier")
    method = manifold.method(
        channels=(256, 256, 256),
        kernels=(9, 5, 3),
        strides=(1, 1, 1),
        pools=(2, 2, 1),
        dimensions=(8, 16, 32),
        passed=words["passed"],
        hidden=(),
        features=10 if "ce" in terms else 32,
        supervised=float("ce" in terms),
        information=3 * (float("i" in terms),),
        entropy=3 * (float("h" in terms),),
    )
    return manifold.config(
        words["data"],
        words["budget"],
        method=method,
        evals=evals,
        cpu={"method.encoder.strides": (2, 1, 1), "method.encoder.pools": (1, 2, 1)},
        smoke={"method.encoder.channels": (8, 8, 8)},
    )
