"""Three image-manifold layers on each other, learned from the images alone or with a classifier.

    python -m dim_jax.main --config configs/manifold_stack.py:data=cifar10,budget=cpu

Words: data=mnist | cifar10; terms=i_h | i | ce_i_h | ce, what is learned by: the information of
patches and their embedding (i), the entropy of the mean response (h), the cross-entropy of a
classifier (ce); budget=paper | cpu | smoke.

Metric: accuracy of a linear probe of `conv`, the embedding of the third layer, beside that of the
untrained layers. The conference abstract has three layers on these data sets and neither sizes nor
numbers: all that stands here is ours, with more channels than a patch has numbers.
Source: Klindt, Balle, Shlens and Simoncelli 2020.
"""

from configs import common
from configs.common import manifold

DATA = {"mnist": "unit", "cifar10": "standardized"}  # and the scaling of its pixels
TERMS = ("i_h", "i", "ce_i_h", "ce")
LAYERS = 3


def get_config(argument: str = ""):
    words = common.parse(argument, data=tuple(DATA), terms=TERMS, budget=common.BUDGETS)
    data, terms, budget = words["data"], words["terms"].split("_"), words["budget"]
    smoke = budget == "smoke"
    epochs = {"paper": 20, "cpu": 6, "smoke": 2}[budget]
    evals = dict(
        linear=dict(name="linear", protocol="linear-v1", taps=("conv",)),
        embedding=dict(name="embedding", group=128, images=128 if smoke else 1024),
        filters=dict(name="filters"),
    )
    if "ce" in terms:
        evals["classifier"] = dict(name="classifier")
    return common.config(
        data=common.data(data, scaling=DATA[data], **_splits(budget)),
        method=_method(terms, budget),
        players=dict(encoder=common.adam(3e-3, decay=True)),
        train=common.train(
            batch_size=64 if smoke else 128,
            epochs=epochs,
            steps_per_dispatch={"paper": 100, "cpu": 26, "smoke": 4}[budget],
            save_epochs=epochs,
        ),
        evals=evals,
        compute_dtype="bfloat16" if budget == "cpu" else "float32",
    )


def _splits(budget: str) -> dict[str, str]:
    if budget == "smoke":
        return dict(train_split="train[:512]", test_split="test[:256]")
    return {} if budget == "paper" else dict(train_split="train[:10000]")


def _method(terms: list[str], budget: str) -> dict:
    cpu = budget == "cpu"
    return manifold.method(
        channels=LAYERS * (8 if budget == "smoke" else 256,),
        kernels=(9, 5, 3),
        strides=(2 if cpu else 1, 1, 1),
        pools=(1 if cpu else 2, 2, 1),
        dimensions=(8, 16, 32),
        passed="mean",
        hidden=(),
        features=10 if "ce" in terms else 32,
        supervised=float("ce" in terms),
        information=LAYERS * (float("i" in terms),),
        entropy=LAYERS * (float("h" in terms),),
    )
