"""The Deep InfoMax configs: the method's block, and what the configs of several data sets share."""

import ml_collections
from ml_collections.config_dict import placeholder

from configs import common

BOUNDS = {
    "infonce": "infonce",
    "jsd": "jensen_shannon",
    "dv": "donsker_varadhan",
    "gan": "gan",
    "nwj": "nwj",
    "rkl": "reverse_kl",
    "h2": "squared_hellinger",
    "chi2": "pearson_chi2",
}
TASKS = ("plain", "coord", "occlude", "both")
# Encode-and-dot, 2048: paper, Tables 8-9; 256 costs a fortieth of its multiplications.
CRITIC_WIDTHS = {"paper": 2048, "cpu": 256, "smoke": 16}


def dim(
    *,
    encoder: dict,
    weights: str,
    bound: str,
    critic_width: int,
    concat_width: int,
    tasks: str = "plain",
    with_prior: bool = True,
) -> dict:
    """The DIM method with the published weights of "global", "local" or "mixed".

    tasks: one of `TASKS`, the extra tasks of Table 5.

    alpha, beta, gamma: Hjelm et al. 2019, Table 1 (global 1, 0, 1; local 0, 1, 0.1) and Table 4
    (mixed 0.5, 0.1; its gamma is not printed, 0.1 is ours).
    """
    alpha, beta, gamma = {
        "local": (0.0, 1.0, 0.1),
        "global": (1.0, 0.0, 1.0),
        "mixed": (0.5, 0.1, 0.1),
    }[weights]
    return dict(
        name="dim",
        encoder=encoder,
        bound=dict(name=BOUNDS[bound]),
        alpha=alpha,
        beta=beta,
        gamma=gamma if with_prior else 0.0,
        # Tables 6 (concat, 512) and 8-9 (encode-and-dot, 2048) of the paper.
        global_critic=dict(name="concat", widths=(concat_width, concat_width)),
        local_critic=dict(name="encode_and_dot", width=critic_width, norm_anchors=True),
        prior=dict(name="uniform"),
        # Table 10 and the official code, prior_matching.py.
        discriminator=dict(name="discriminator", widths=(1000, 200)),
        penalty=1.0,
        # 10 pixels, the receptive field of the 8x8 map: section 4.3 (from memory).
        occlusion=10 if tasks in ("occlude", "both") else placeholder(int),
        # Weight 1: official DIM code, coordinates.py, for the absolute ones; the other is ours.
        absolute=1.0 if tasks in ("coord", "both") else 0.0,
        relative=1.0 if tasks in ("coord", "both") else 0.0,
        # Two layers of 512 units, batch norm: section 4.3 (from memory).
        coordinates=dict(name="coordinates", widths=(concat_width, concat_width)),
        sampled_locations=placeholder(int),
        negatives=placeholder(int),
    )


def dim_alexnet(
    argument: str,
    *,
    name: str,
    classes: int,
    crop: int | None,
    splits: dict,
    published: dict,
    published_finetuned: dict,
) -> ml_collections.ConfigDict:
    """DIM on 64x64 images with the AlexNet-like encoder, the DIM rows of Table 2.

    crop: train on random crops of so many pixels and on flips; None for neither.
    splits: `train_split` and `test_split` of the data set.
    published: accuracies of conv, fc and y by (weights, bound).
    published_finetuned: the same of the fine-tuned encoder; where it is empty none is fine-tuned.
    """
    words = common.parse(
        argument,
        weights=("local", "global", "mixed"),
        bound=tuple(BOUNDS),
        tasks=TASKS,
        budget=common.BUDGETS,
    )
    budget = words["budget"]
    smoke = budget == "smoke"
    method = dim(
        # Published: 96, 4096 (official DIM code, alex64x64); a third of that in `cpu`: ours.
        encoder=common.encoder(
            "alexnet64",
            smoke=smoke,
            width=96 if budget == "paper" else 32,
            hidden=4096 if budget == "paper" else 1024,
        ),
        weights=words["weights"],
        bound=words["bound"],
        tasks=words["tasks"],
        critic_width=CRITIC_WIDTHS[budget],
        concat_width=32 if smoke else 512,
    )
    # 225 locations of an image; a quarter of them in `cpu`: ours.
    method["sampled_locations"] = 56 if budget == "cpu" else placeholder(int)
    method["occlusion"] = 21 if words["tasks"] in ("occlude", "both") else placeholder(int)
    optimizer = common.adam_of(budget)
    key = (words["weights"], words["bound"])
    plain = words["tasks"] == "plain"
    return common.config(
        augment=common.augment(crop=crop, flip=crop is not None),
        data=common.data(name, **splits),
        method=common.monitored(method, classes=classes),
        players=dict(encoder=optimizer, discriminator=optimizer, probe=common.adam(1e-3)),
        train=common.train(
            batch_size=64,
            # 200: Hjelm et al. 2019, data sets other than CIFAR (from memory).
            epochs={"paper": 200, "cpu": 2, "smoke": 2}[budget],
            steps_per_dispatch={"paper": 100, "cpu": 20, "smoke": 4}[budget],
            save_epochs={"paper": 5, "cpu": 0.5, "smoke": 1}[budget],
        ),
        evals=common.evals(labels_per_class=10)
        | (common.finetuned(budget) if published_finetuned else {}),
        published=dict(
            mlp=published.get(key, {}) if plain else {},
            finetune=published_finetuned.get(key, {}) if plain else {},
        ),
        published_source="Hjelm et al. 2019, Table 2",
    )


def dim_cifar(
    argument: str,
    *,
    name: str,
    classes: int,
    published: dict,
    published_tasks: dict,
    published_measures: dict,
) -> ml_collections.ConfigDict:
    """DIM on CIFAR-10 or CIFAR-100, the DIM rows of Tables 1, 4 and 5 (Hjelm et al. 2019).

    published, published_tasks: accuracies of conv, fc and y by (weights, bound), and by task.
    published_measures: by weights, what Table 4 has of each evaluation.
    """
    words = common.parse(
        argument,
        weights=("local", "global", "mixed"),
        bound=tuple(BOUNDS),
        tasks=TASKS,
        layer=common.LAYERS,
        prior=("uniform", "none"),
        budget=common.BUDGETS,
        judge=common.JUDGES,
    )
    budget = words["budget"]
    smoke = budget == "smoke"
    method = dim(
        encoder=common.encoder("dcgan32", smoke=smoke, layer=words["layer"]),
        weights=words["weights"],
        bound=words["bound"],
        tasks=words["tasks"],
        with_prior=words["prior"] != "none",
        critic_width=CRITIC_WIDTHS[budget],
        concat_width=32 if smoke else 512,
    )
    optimizer = common.adam_of(budget)
    slices = dict(train_split="train[:512]", test_split="test[:256]") if smoke else {}
    return common.config(
        data=common.data(name, **slices),
        method=common.monitored(method, classes=classes),
        players=dict(
            encoder=optimizer,
            discriminator=optimizer,
            probe=common.adam(1e-3),  # a monitor: ours
        ),
        train=common.train(
            batch_size=64,  # official DIM code, README
            epochs={"paper": 1000, "cpu": 10, "smoke": 2}[budget],
            steps_per_dispatch={"paper": 100, "cpu": 50, "smoke": 4}[budget],
            save_epochs={"paper": 10, "cpu": 1, "smoke": 1}[budget],
        ),
        evals=common.judged(words["judge"], budget),
        **_published_cifar(words, published, published_tasks, published_measures),
    )


def _published_cifar(words: dict, rows: dict, tasks: dict, measures: dict) -> dict:
    """What the paper prints for these words, by evaluation, and in which table."""
    found, table = {}, 1
    as_published = words["layer"] == "published" and words["prior"] != "none"
    if as_published and words["tasks"] == "plain":
        found["mlp"] = rows.get((words["weights"], words["bound"]), {})
    elif as_published and (words["weights"], words["bound"]) == ("local", "infonce"):
        found["mlp"], table = tasks[words["tasks"]], 5
    # Table 4 does not print its bound; JSD is that of DIM(G) in Table 1.
    if as_published and words["judge"] == "table4" and words["bound"] == "jsd":
        found, table = dict(measures.get(words["weights"], {})), 4
        found |= {f"svm_{loss}": found["svm"] for loss in common.HINGES if "svm" in found}
    return dict(published=found, published_source=f"Hjelm et al. 2019, Table {table}")
