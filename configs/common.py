"""What the configs share: the string argument, the blocks of a run, and the method's pieces.

A config imports ml_collections and this module only. Every scientific number stands in a config,
or here where several share it, with its source.
"""

import difflib

import ml_collections
from ml_collections.config_dict import placeholder

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
LAYERS = ("published", "first", "second", "third")
BUDGETS = ("paper", "cpu", "smoke")
# Encode-and-dot, 2048: paper, Tables 8-9; 256 costs a fortieth of its multiplications.
CRITIC_WIDTHS = {"paper": 2048, "cpu": 256, "smoke": 16}
HINGES = ("hinge", "squared_hinge")
_PERMUTED = dict(taps=("y",), permuted=True, representations=("trained",))  # the control's


def parse(argument: str | None, **choices: tuple[str, ...]) -> dict[str, str]:
    """Reads "word,key=value": the first choice of each key is its default.

    A bare word stands for the key whose choices contain it.

    Raises: ValueError for a word or a value that is no choice, with the nearest one.
    """
    chosen = {key: values[0] for key, values in choices.items()}
    words = {value: key for key, values in choices.items() for value in values}
    for part in filter(None, (argument or "").split(",")):
        key, _, value = part.rpartition("=")
        key = key or words.get(part, "")
        if key not in choices or value not in choices[key]:
            known = [*choices.get(key, [*words, *(f"{name}=..." for name in choices)])]
            near = difflib.get_close_matches(value, known, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'? There are" if near else "use"
            raise ValueError(f"unknown config argument '{part}': {hint} {', '.join(known)}")
        chosen[key] = value
    return chosen


def config(**blocks) -> ml_collections.ConfigDict:
    """The blocks of a run as one ConfigDict; images are not changed in training unless asked.

    Published numbers are those of the data set that the config names, not of one set by hand.
    """
    defaults = dict(
        seed=0,
        deterministic=False,  # bit-equal reruns on a GPU too: dim_jax/determinism.py
        # of the operands of matrix products and convolutions in training; or "bfloat16"
        compute_dtype="float32",
        augment=augment(),
        published_data=blocks["data"]["name"],
    )
    return ml_collections.ConfigDict({**defaults, **blocks})


def augment(*, crop: int | None = None, flip: bool = False) -> ml_collections.ConfigDict:
    """The `augment` block: random crops of so many pixels, and flips left to right."""
    block = ml_collections.ConfigDict(dict(crop=placeholder(int), flip=flip))
    block.crop = crop
    return block


def data(name: str, *, image_size: int | None = None, **changes) -> dict:
    """The `data` block: [-1, 1] pixels and the data set's own splits unless changed."""
    block = dict(
        name=name,
        **dict(data_dir=placeholder(str), image_size=placeholder(int)),
        **dict(train_split=placeholder(str), test_split=placeholder(str)),
        test_fraction=0.2,  # only for data without a test split of its own
        scaling="symmetric",  # mean 0.5, std 0.5: official DIM code, torchvision_datasets.py
        # Streaming decodes from disk, by threads (one for each core) of so many processes.
        **dict(road="auto", worker_threads=placeholder(int), worker_processes=0),
        eval_train_images=placeholder(int),  # all, or 50,000 where they do not fit in memory
    )
    block = ml_collections.ConfigDict(block)
    block.update(image_size=image_size, **changes)
    return block


def adam(learning_rate: float, *, decay: bool = False) -> dict:
    """Adam with the betas of the official DIM code (optimizer.py).

    The rate is constant as published, or falls along half a cosine to 0, which short runs need.
    """
    return dict(
        name="adam",
        learning_rate=learning_rate,
        b1=0.5,
        b2=0.999,
        schedule=dict(name="cosine", warmup_epochs=0.0) if decay else dict(name="constant"),
        every=1,
    )


def adam_of(budget: str) -> dict:
    """Adam at the published rate, 1e-4 and constant (official DIM code, README).

    Short budgets have ten times that with a decay: ours.
    """
    return adam(1e-4) if budget == "paper" else adam(1e-3, decay=True)


def train(*, batch_size: int, epochs: float, steps_per_dispatch: int, save_epochs: float) -> dict:
    """The `train` block; `batch_size` is that of the whole job.

    keep: how many of the newest checkpoints stay. keep_best: a metric of metrics.jsonl whose best
    checkpoint stays too (losses: the smallest; others: the largest). max_minutes: training stops
    then, saved, with exit code 75.
    """
    return dict(
        batch_size=batch_size,
        **dict(microbatches=1, norm_groups=1, accumulate=1),  # whole: dim_jax/division.py
        epochs=float(epochs),
        steps_per_dispatch=steps_per_dispatch,
        save_epochs=float(save_epochs),
        **dict(keep=2, keep_best=placeholder(str), max_minutes=placeholder(float)),
    )


def evals(*, labels_per_class: int, subsets: int = 3) -> dict:
    """The usual evaluations: MLP, SVM and k-NN probes, with all labels and with few.

    `mlp_permuted` is the control whose training labels are permuted: it must stay near chance.
    """
    few = dict(labels_per_class=labels_per_class, subsets=subsets)
    return dict(
        mlp=dict(name="mlp", protocol="mlp-v1"),
        svm=dict(name="svm", protocol="svm-v1"),
        knn=dict(name="knn", protocol="knn-v1"),
        mlp_permuted=dict(name="mlp", protocol="mlp-v1", **_PERMUTED),
        mlp_few=dict(name="mlp", protocol="mlp-v1", **few),
        svm_few=dict(name="svm", protocol="svm-v1", **few),
        knn_few=dict(name="knn", protocol="knn-v1", **few),
        uniformity=dict(name="uniformity"),
        neighbours=dict(name="neighbours"),
        filters=dict(name="filters"),
        map2d=dict(name="map2d"),
    )


def measures(budget: str) -> dict:
    """Table 4's measures: the SVM, reconstruction, information and dependence of y.

    In the budget "paper" five SVMs, by the paper's hinge and by the official code's squared one.
    """
    encoders = ("trained", "untrained")
    judged = dict(taps=("conv", "fc", "y"), representations=(*encoders, "pixels", "pca"))
    protocols = {"svm": "svm-v1"}
    if budget == "paper":
        protocols = {f"svm_{loss}": f"svm-{loss.replace('_', '-')}-v1" for loss in HINGES}
    return {
        **{key: dict(name="svm", protocol=name, **judged) for key, name in protocols.items()},
        "svm_permuted": dict(name="svm", protocol="svm-v1", **_PERMUTED),
        "msssim": dict(name="msssim", protocol="msssim-v1", representations=encoders),
        "mine": dict(name="mine", protocol="mine-v1", representations=encoders),
        "ndm": dict(name="ndm", protocol="ndm-v1", representations=encoders),
    }


def monitored(method: dict, classes: int) -> dict:
    """The method, watched by an online classifier of the published form on conv, fc and y."""
    return dict(
        name="probe",
        taps=("conv", "fc", "y"),
        # Hjelm et al. 2019, section 4.2: 200 hidden units, dropout 0.1.
        classifier=dict(name="classifier", hidden=200, dropout=0.1, classes=classes),
        method=method,
    )


def encoder(
    name: str, *, smoke: bool, width: int = 64, hidden: int = 1024, layer: str = "published"
) -> dict:
    """An encoder at the published size (official DIM code, configs/convnets.py) unless changed.

    `smoke` makes it tiny. `layer` of `LAYERS` is the block whose map gives the local features.
    """
    local = {} if layer == "published" else dict(local=LAYERS.index(layer) - 1)
    more = dict(norm="batch", **local)
    if smoke:
        return dict(name=name, width=4, hidden=32, features=8, **more)
    return dict(name=name, width=width, hidden=hidden, features=64, **more)


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


def judged(judge: str, budget: str) -> dict:
    """The evaluations by the words "all", "mlp", "y" or "table4"."""
    usual = evals(labels_per_class=10)
    if judge == "mlp":
        kept = ("mlp", "mlp_permuted", "uniformity", "neighbours", "filters")
        return {key: usual[key] for key in kept}
    if judge == "y":
        mlp = {**usual["mlp"], "taps": ("y",)}
        return {"mlp": mlp, **{key: usual[key] for key in ("mlp_permuted", "uniformity")}}
    if judge == "table4":
        return measures(budget) | {"uniformity": usual["uniformity"]}
    return usual


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
    words = parse(
        argument,
        weights=("local", "global", "mixed"),
        bound=tuple(BOUNDS),
        tasks=TASKS,
        budget=BUDGETS,
    )
    budget = words["budget"]
    smoke = budget == "smoke"
    method = dim(
        # Published: 96, 4096 (official DIM code, alex64x64); a third of that in `cpu`: ours.
        encoder=encoder(
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
    optimizer = adam_of(budget)
    key = (words["weights"], words["bound"])
    plain = words["tasks"] == "plain"
    return config(
        augment=augment(crop=crop, flip=crop is not None),
        data=data(name, **splits),
        method=monitored(method, classes=classes),
        players=dict(encoder=optimizer, discriminator=optimizer, probe=adam(1e-3)),
        train=train(
            batch_size=64,
            # 200: Hjelm et al. 2019, data sets other than CIFAR (from memory).
            epochs={"paper": 200, "cpu": 2, "smoke": 2}[budget],
            steps_per_dispatch={"paper": 100, "cpu": 20, "smoke": 4}[budget],
            save_epochs={"paper": 5, "cpu": 0.5, "smoke": 1}[budget],
        ),
        evals=evals(labels_per_class=10) | (finetuned(budget) if published_finetuned else {}),
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
    words = parse(
        argument,
        weights=("local", "global", "mixed"),
        bound=tuple(BOUNDS),
        tasks=TASKS,
        layer=LAYERS,
        prior=("uniform", "none"),
        budget=BUDGETS,
        judge=("all", "mlp", "y", "table4"),
    )
    budget = words["budget"]
    smoke = budget == "smoke"
    method = dim(
        encoder=encoder("dcgan32", smoke=smoke, layer=words["layer"]),
        weights=words["weights"],
        bound=words["bound"],
        tasks=words["tasks"],
        with_prior=words["prior"] != "none",
        critic_width=CRITIC_WIDTHS[budget],
        concat_width=32 if smoke else 512,
    )
    optimizer = adam_of(budget)
    slices = dict(train_split="train[:512]", test_split="test[:256]") if smoke else {}
    return config(
        data=data(name, **slices),
        method=monitored(method, classes=classes),
        players=dict(
            encoder=optimizer,
            discriminator=optimizer,
            probe=adam(1e-3),  # a monitor: ours
        ),
        train=train(
            batch_size=64,  # official DIM code, README
            epochs={"paper": 1000, "cpu": 10, "smoke": 2}[budget],
            steps_per_dispatch={"paper": 100, "cpu": 50, "smoke": 4}[budget],
            save_epochs={"paper": 10, "cpu": 1, "smoke": 1}[budget],
        ),
        evals=judged(words["judge"], budget),
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
        found |= {f"svm_{loss}": found["svm"] for loss in HINGES if "svm" in found}
    return dict(published=found, published_source=f"Hjelm et al. 2019, Table {table}")


def finetuned(budget: str) -> dict:
    """Fine-tuning of the trained and the untrained encoder, on conv; numbers: the protocol."""
    protocol = "finetune-paper-v1" if budget == "paper" else "finetune-v1"
    return dict(finetune=dict(name="finetune", protocol=protocol))
