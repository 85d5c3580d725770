"""Deep InfoMax on STL-10: the DIM rows of Table 2 (Hjelm et al. 2019).

    python -m dim_jax.main --config configs/dim_stl10.py:local,bound=infonce,budget=paper

Trained on the 105,000 labelled and unlabelled training images, random 64x64 crops of the 96x96
pixels and flips; evaluated on the centre crops of the 5,000 labelled training and 8,000 test
images.

Words: weights, bound, critic, prior and tasks of configs/dim_cifar10.py; budget=paper | cpu |
smoke.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y, and of the
encoder fine-tuned with the labels (column SS). Published for DIM(L) with InfoNCE 72.57/70.00/67.08
and 76.81, with JSD 72.86/70.85/65.93 and 76.96. Measured: nothing yet, in no budget; the data set
was not at hand, and the config ran on other images only.
"""

from configs import common
from configs.common import datasets, infomax

# Table 2, columns conv, fc and y of STL-10.
PUBLISHED = {
    ("local", "dv"): dict(conv=69.15, fc=63.81, y=61.92),
    ("local", "jsd"): dict(conv=72.86, fc=70.85, y=65.93),
    ("local", "infonce"): dict(conv=72.57, fc=70.00, y=67.08),
    ("global", "jsd"): dict(conv=42.03, fc=30.82, y=28.09),
}
# Column SS: a small network on conv, and the encoder with it, trained on the labelled images.
PUBLISHED_FINETUNED = {
    ("local", "dv"): dict(conv=71.22),
    ("local", "jsd"): dict(conv=76.96),
    ("local", "infonce"): dict(conv=76.81),
    ("global", "jsd"): dict(conv=51.36),
}
# Ours, for two cores: also a third of the encoder's width, and a quarter of the 225 locations.
CPU = {
    **{"train.epochs": 2, "train.steps_per_dispatch": 20, "train.save_epochs": 0.5},
    "method.method.sampled_locations": 56,
    **common.faster("encoder", "discriminator"),
}
# Official DIM code, configs/convnets.py, alex64x64.
ENCODER = common.encoder("alexnet64", width=96, hidden=4096, features=64)


def get_config(argument: str = ""):
    words = parse(argument)
    config = published(
        words,
        "stl10",
        accuracies=PUBLISHED,
        finetuned=PUBLISHED_FINETUNED,
        evals=common.evals(labels_per_class=10, published=common.TAPS) | common.finetuned(),
    )
    return common.budgeted(
        config,
        words["budget"],
        cpu=cpu(words),
        smoke=smoke(words) | datasets.smoke("stl10"),
    )


def cpu(words: dict[str, str]) -> dict:
    """The changes of the budget, but for what a data set has by itself."""
    narrow = {**ENCODER, "width": 32, "hidden": 1024}
    return CPU | common.under("method.method", infomax.cpu(words, narrow))


def smoke(words: dict[str, str]) -> dict:
    """The changes of the budget, but for the images."""
    changes = common.under("method.method", infomax.smoke(words, ENCODER))
    return changes | common.faster("encoder", "discriminator")


def parse(argument: str) -> dict[str, str]:
    """The words of the configs of 64x64 images."""
    return infomax.parse(argument, tasks=infomax.TASKS)


def published(
    words: dict[str, str],
    name: str,
    *,
    evals: dict,
    accuracies: dict | None = None,
    finetuned: dict | None = None,
    source: str = "Hjelm et al. 2019, Table 2",
    epochs: float = 200,  # Hjelm et al. 2019, data sets other than CIFAR (from memory)
    save_epochs: float = 5,
    **data,
):
    """The published setting of DIM on 64x64 images with the AlexNet-like encoder.

    accuracies, finetuned: those of conv, fc and y by (weights, bound), and of the fine-tuned
      encoder.
    data: more of the block `data`.
    """
    method = infomax.dim(
        encoder=ENCODER,
        weights=words["weights"],  # alpha, beta, gamma: infomax.WEIGHTS
        bound=words["bound"],
        critic=words["critic"],
        critic_width=2048,  # dot products: Tables 8-9
        concat_width=512,  # Tables 6-7
        tasks=words["tasks"],
        prior=words["prior"],
    )
    adam = common.adam(1e-4, b1=0.5, b2=0.999)  # official DIM code, README and optimizer.py
    is_row = words["tasks"] == "plain" and infomax.as_published(words)
    row = (words["weights"], words["bound"]) if is_row else None
    return common.config(
        **datasets.images(name, **datasets.splits(name), **data),
        method=common.monitored(method, classes=datasets.DATA[name].classes),
        # The probe, a monitor: ours.
        players=dict(encoder=adam, discriminator=adam, probe=common.adam(1e-3)),
        train=common.train(
            batch_size=64,  # official DIM code, README
            epochs=epochs,
            steps_per_dispatch=100,
            save_epochs=save_epochs,
        ),
        evals=evals | infomax.fit(words["prior"]) | infomax.occlusion(words["tasks"]),
        published=dict(
            mlp_paper=(accuracies or {}).get(row, {}), finetune=(finetuned or {}).get(row, {})
        ),
        published_source=source,
    )
