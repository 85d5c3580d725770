"""Deep InfoMax with strided-crop encoders: the DIM rows of Table 3 (Hjelm et al. 2019).

    python -m dim_jax.main --config configs/dim_strided.py:globals=multiple,budget=cpu

Words: data=cifar10 | stl10; globals=single | multiple; body=published | resnet | resnet19 |
alexnet (37 or 19 layers; published is resnet on CIFAR-10 and alexnet on STL-10);
budget=paper | cpu | smoke; judge=mlp | y | all (`mlp` leaves out what Table 3 does not have, `y`
asks for the MLP on y only).
`paper` is the published setting: 1000 epochs of CIFAR-10, 200 of STL-10, on an accelerator. `cpu`
shortens it for two cores: a quarter of the encoder's width, 19 layers unless the body says
otherwise, a narrower critic, a higher rate, 10 epochs. `smoke` takes seconds.

Metric: test accuracy of an MLP with 200 hidden units on the frozen features. Published, single and
multiple globals: CIFAR-10 80.95 and 77.51, STL-10 76.97 and 78.21. The table does not say of which
layer; they stand beside conv, the 7x7 map, and which body made the CIFAR-10 row is known from a
comment in the official code only. No budget but smoke was run.
"""

from ml_collections.config_dict import placeholder

from configs import common
from configs.common import infomax

# Hjelm et al. 2019, Table 3 (from memory; every ordering in the text agrees).
PUBLISHED = {
    ("cifar10", "single"): 80.95,
    ("cifar10", "multiple"): 77.51,
    ("stl10", "single"): 76.97,
    ("stl10", "multiple"): 78.21,
}
FAMILY = {"cifar10": "resnet", "stl10": "alexnet"}
SIDE = {"cifar10": 32, "stl10": 64}
CLASSES = 10  # of both


def get_config(argument: str = ""):
    words = common.parse(
        argument,
        data=("cifar10", "stl10"),
        globals=("single", "multiple"),
        body=("published", "resnet", "resnet19", "alexnet"),
        budget=common.BUDGETS,
        judge=("mlp", "y", "all"),
    )
    budget = words["budget"]
    optimizer = common.adam_of(budget)
    epochs = 1000 if words["data"] == "cifar10" else 200  # official DIM code, README
    row = {}
    if body(words).startswith(FAMILY[words["data"]]):
        row = dict(conv=PUBLISHED[words["data"], words["globals"]])
    return common.config(
        **images(words["data"], smoke=budget == "smoke"),
        method=common.monitored(method(words), classes=CLASSES),
        players=dict(encoder=optimizer, probe=common.adam(1e-3)),  # the probe, a monitor: ours
        train=common.train(
            batch_size=64,  # official DIM code, README
            epochs={"paper": epochs, "cpu": 10, "smoke": 2}[budget],
            steps_per_dispatch={"paper": 100, "cpu": 50, "smoke": 4}[budget],
            save_epochs={"paper": 10, "cpu": 1, "smoke": 1}[budget],
        ),
        evals=common.judged(words["judge"], budget),
        published=dict(mlp=row),
        published_source="Hjelm et al. 2019, Table 3",
    )


def body(words: dict) -> str:
    """The network of the crops: resnet (37 layers), resnet19 or alexnet."""
    if words["body"] != "published":
        return words["body"]
    family = FAMILY[words["data"]]
    return "resnet19" if family == "resnet" and words["budget"] != "paper" else family


def encoder(words: dict) -> dict:
    """The encoder at the published size (official DIM code, configs/) unless the budget is less."""
    budget, kind, side = words["budget"], body(words), SIDE[words["data"]]
    smoke, several = budget == "smoke", words["globals"] == "multiple"
    # 96 and 64 channels: convnets.py, resnets.py; a quarter for two cores: ours.
    published = 96 if kind == "alexnet" else 64
    spec = dict(norm="batch", width={"paper": published, "cpu": published // 4, "smoke": 4}[budget])
    if kind == "alexnet":
        name = f"alexnet{side}"
    else:
        name = f"resnet{side}"
        # Bottlenecks in each stage: resnets.py. One each: the smallest that shrinks as they do.
        deep = (3, 6, 3) if kind == "resnet" else (2, 2, 2)
        spec["blocks"] = (1, 1, 1) if smoke else deep
    if several:
        # 192 numbers a global: convnets.py, foldmultialex64x64; on the ResNet ours.
        return dict(name=f"folded_multi_{name}", features=8 if smoke else 192, **spec)
    spec |= dict(features=8 if smoke else 64, hidden=1024)
    if kind == "alexnet":
        spec |= dict(hidden=4096, dropout=0.1)
    if smoke:
        spec["hidden"] = 32
    return dict(name=f"folded_{name}", **spec)


def method(words: dict) -> dict:
    """DIM(L) with InfoNCE and without prior: section 4.2."""
    block = infomax.dim(
        encoder=encoder(words),
        weights="local",
        bound="infonce",
        # 1024 for the comparison with CPC: README; 256 for two cores: ours.
        critic_width={"paper": 1024, "cpu": 256, "smoke": 16}[words["budget"]],
        concat_width=512,
    )
    unused = dict(global_critic=None, prior=None, discriminator=None, coordinates=None)
    # All 25 globals: official DIM code; the paper draws some of them.
    return {**block, **unused, "gamma": 0.0, "sampled_globals": placeholder(int)}


def images(name: str, *, smoke: bool) -> dict:
    """The blocks `data` and `augment`: CIFAR-10 as it is, or STL-10's random crops."""
    if name == "cifar10":
        slices = dict(train_split="train[:512]", test_split="test[:256]") if smoke else {}
        return dict(data=common.data(name, **slices))
    # Random 64x64 crops: section 4.2. The labelled part is what probes are trained on.
    parts = ("train[:256]", "unlabelled[:256]") if smoke else ("train", "unlabelled")
    splits = dict(train_split="+".join(parts), test_split="test[:256]" if smoke else "test")
    return dict(data=common.data(name, **splits), augment=common.augment(crop=64, flip=True))
