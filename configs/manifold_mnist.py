"""The image-manifold layer on MNIST, which embeds its filters in the plane.

    python -m dim_jax.main --config configs/manifold_mnist.py:terms=ce_i_h,budget=cpu

Words: terms=ce_i_h | ce_i | ce | i_h, what is learned by: the cross-entropy of a classifier (ce),
the information of patches and their embedding (i), the entropy of the mean response (h);
budget=paper | cpu | smoke.
"""

from configs import common

TERMS = ("ce_i_h", "ce_i", "ce", "i_h")


def get_config(argument: str = ""):
    words = common.parse(argument, terms=TERMS, budget=common.BUDGETS)
    terms, budget = words["terms"].split("_"), words["budget"]
    smoke = budget == "smoke"
    epochs = {"paper": 20, "cpu": 8, "smoke": 2}[budget]
    evals = dict(
        embedding=dict(name="embedding"),
        classifier=dict(name="classifier"),
        mlp=dict(name="mlp", protocol="mlp-v1", taps=("conv", "y")),
        filters=dict(name="filters"),
    )
    if "ce" not in terms:
        evals.pop("classifier")
    return common.config(
        data=common.data("mnist", scaling="unit", **_splits(budget)),
        method=_method(terms, budget),
        players=dict(encoder=common.adam(1e-3, decay=True)),
        train=common.train(
            batch_size=64 if smoke else 128,
            epochs=epochs,
            steps_per_dispatch={"paper": 100, "cpu": 26, "smoke": 4}[budget],
            save_epochs=epochs,
        ),
        evals=evals,
    )


def _splits(budget: str) -> dict[str, str]:
    if budget == "smoke":
        return dict(train_split="train[:512]", test_split="test[:256]")
    return {} if budget == "paper" else dict(train_split="train[:10000]")


def _method(terms: list[str], budget: str) -> dict:
    encoder = dict(
        name="manifold",
        channels=(8 if budget == "smoke" else 256,),
        kernels=(9,),
        strides=(1 if budget == "paper" else 2,),
        pools=(1,),
        dimensions=(2,),
        gain=4.0,
        passed="mean",
        hidden=(),
        features=10,
    )
    return dict(
        name="manifold",
        encoder=encoder,
        classifier=None,
        tap="y",
        supervised=float("ce" in terms),
        information=(float("i" in terms),),
        entropy=(float("h" in terms),),
        locations=4,
        negatives="patches",
    )
