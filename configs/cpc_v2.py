"""CPC v2, data-efficient recognition with contrastive predictive coding (Henaff et al. 2020).

    python -m dim_jax.main --config configs/cpc_v2.py:data=cifar10,budget=cpu
    python -m dim_jax.main --config configs/cpc_v2.py:data=imagenette,directions=one,budget=cpu

Words: data=cifar10 | imagenette; norm=layer | batch; directions=four | one; patches=augmented |
plain; context=wide | narrow; size=large | small; budget=paper | cpu | smoke.
Each word but `data` and `budget` takes one ingredient of CPC v2 away: layer norm, so that crops are
independent of each other; prediction down, up, right and left; patches that are changed
independently, so that what neighbours share (colours, edges) predicts nothing; a wide context
network of masked convolutions; patches that are large relative to the image, three eighths of its
side instead of two. A plain run still flips and shifts the images.

Metric: test accuracy of a linear classifier on fc, the mean of the patches' features. The paper has
ImageNet only. Its numbers here are from memory: patches of 80 pixels of 260, an encoder of 161
layers, 71.5 % with a linear classifier of all labels; 78 % with 1 % of the labels (top 5).
"""

from configs import common
from configs.common import datasets, strided

NORMS, PATCHES = ("layer", "batch"), ("augmented", "plain")
DIRECTIONS = {"four": ("down", "up", "right", "left"), "one": ("down",)}
EIGHTHS = {"large": 3, "small": 2}  # of the image's side; 80 of 260 pixels is 2.5 (from memory)
# From the second row on, ours: its large patches share a third with the context's, small ones
# nothing. Of the first row these are two thirds and half.
OFFSETS = {"large": (2, 3, 4), "small": (2, 3, 4)}
# Numbers of a context. A local feature has 1024: ours, in proportion (4096 each, from memory).
WIDTHS = {"wide": 2048, "narrow": 256}
DEPTH = {"wide": 5, "narrow": 2}  # layers: ours
# Of each patch by itself: the colours of SimCLR at half strength and grey in a quarter of them,
# one channel, flips and shears. Kinds and 0.25: from memory; the other numbers are ours.
AUGMENTED = dict(
    flip=True, shear=0.1, jitter=(0.4, 0.4, 0.4, 0.1), jitter_rate=0.8, one_channel=0.2, grey=0.25
)
PLAIN = dict(flip=True, translate=2)  # of the image: ours, about an eighth of its side
CPU = {
    **{"compute_dtype": "bfloat16", "train.epochs": 6, "train.steps_per_dispatch": 25},
    **{"train.save_epochs": 2, "train.batch_size": 64, **common.faster("encoder")},
    # Everywhere costs more than the encoder.
    "method.method.negatives": "images",
}
ENCODER = "method.method.encoder"
NARROW = {"width": 8, "blocks": (1, 1, 1)}  # ours, for two cores
TINY = {"width": 4, "blocks": (1, 1, 1)}
CONTEXT_OF_CPU = {"wide": 64, "narrow": 16}


def get_config(argument: str = ""):
    words = common.parse(
        argument,
        data=("cifar10", "imagenette"),
        norm=NORMS,
        directions=tuple(DIRECTIONS),
        patches=PATCHES,
        context=tuple(WIDTHS),
        size=tuple(EIGHTHS),
        budget=common.BUDGETS,
    )
    dataset = datasets.DATA[words["data"]]
    splits = {} if words["data"] == "cifar10" else datasets.splits(words["data"])
    block = common.config(
        data=common.data(dataset.name, image_size=dataset.image_size, **splits),
        augment=augment(words),
        method=common.monitored(method(words), classes=dataset.classes),
        players=dict(
            encoder=common.adam(4e-4, b1=0.8, b2=0.999, decay=True),  # from memory
            probe=common.adam(1e-3),  # a monitor: ours
        ),
        train=common.train(
            batch_size=512,  # from memory
            epochs=200,  # from memory
            steps_per_dispatch=100,
            save_epochs=10,
        ),
        evals=evals(),
    )
    return common.budgeted(block, words["budget"], cpu=cpu(words), smoke=smoke(words))


def augment(words: dict[str, str]):
    """Changes of each patch by itself, or of the images."""
    if words["patches"] == "plain":
        return common.augment(**PLAIN)
    return common.augment(patches=EIGHTHS[words["size"]], **AUGMENTED)


def method(words: dict[str, str]) -> dict:
    """CPC with InfoNCE and bilinear critics."""
    side = datasets.DATA[words["data"]].side
    kind = words["context"]
    network = dict(name="masked_conv", width=WIDTHS[kind], depth=DEPTH[kind])
    return dict(
        name="cpc",
        encoder=dict(
            name=f"folded_context_resnet{side}",
            width=64,
            blocks=strided.BLOCKS["resnet50"],
            strides=(2, 2, 2),  # 12 -> 6 -> 3 -> 2 -> 1 and 24 -> 12 -> 6 -> 3 -> 2 pixels
            norm=words["norm"],
            eighths=EIGHTHS[words["size"]],
            context=dict(
                name="in_directions", directions=DIRECTIONS[words["directions"]], context=network
            ),
        ),
        local_critic=dict(name="bilinear"),
        bound=dict(name="infonce"),
        offsets=OFFSETS[words["size"]],
        negatives="everywhere",
    )


def evals() -> dict[str, dict]:
    """Linear classifiers of all and of few labels, and retrieval."""
    linear = dict(name="linear", protocol="linear-v1")
    return dict(
        linear=dict(**linear, taps=("fc", "y")),
        linear_few=dict(**linear, taps=("fc",), labels_per_class=50, subsets=3),
        retrieval=dict(name="retrieval"),
        training_views=dict(name="training_views"),
    )


def cpu(words: dict[str, str]) -> dict:
    """A short run of a small encoder on two cores."""
    context = {"width": CONTEXT_OF_CPU[words["context"]], "depth": 2}
    return (
        CPU
        | common.under(ENCODER, NARROW)
        | common.under(f"{ENCODER}.context.context", context)
        | ({"train.epochs": 9} if words["data"] == "imagenette" else {})
    )


def smoke(words: dict[str, str]) -> dict:
    """Tiny networks on 512 images."""
    return (
        datasets.smoke(words["data"])
        | common.under(ENCODER, TINY)
        | common.under(f"{ENCODER}.context.context", {"width": 4, "depth": 1})
        | {"train.batch_size": 64, "method.method.offsets": OFFSETS[words["size"]][:1]}
        | {"method.method.negatives": "images"}
        | common.faster("encoder")
        | {"evals.linear_few.labels_per_class": 2}
    )
