"""What the configs share: the string argument and the blocks of a run.

A config imports ml_collections and this package only. Every scientific number stands in a config,
or here where several share it, with its source.
"""

import difflib

import ml_collections
from ml_collections.config_dict import placeholder

LAYERS = ("published", "first", "second", "third")
BUDGETS = ("paper", "cpu", "smoke")
JUDGES = ("all", "mlp", "trained", "y", "table4")
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
        deterministic=False,  # bit-equal reruns on a GPU too: dim_jax/processes/xla_flags.py
        # of the operands of matrix products and convolutions in training; or "bfloat16"
        compute_dtype="float32",
        augment=augment(),
        published_data=blocks["data"]["name"],
    )
    return ml_collections.ConfigDict({**defaults, **blocks})


def augment(
    *,
    crop: int | None = None,
    resized_crop: tuple[float, float] | None = None,
    randaugment: tuple[int, float] | None = None,
    jitter: tuple[float, float, float, float] | None = None,
    **changes,
) -> ml_collections.ConfigDict:
    """The `augment` block: how training images are changed, unless asked not at all.

    Rates are parts of the images. What each word does: dim_jax/augment/composition.py.
    """
    block = ml_collections.ConfigDict(
        dict(
            crop=placeholder(int),  # pixels: the side of random squares, or of resized boxes
            **dict(flip=False, flip_shared=True),  # left to right; in all views of an image or none
            views=1,  # of each image, each changed by itself
            resized_crop=placeholder(tuple),  # least and largest area of the box
            aspect=(3 / 4, 4 / 3),  # of its width / height: torchvision, RandomResizedCrop
            **dict(translate=0, translate_rate=1.0),  # pixels
            randaugment=placeholder(tuple),  # how many changes, and their magnitude, 0 to 30
            **dict(jitter=placeholder(tuple), jitter_rate=1.0),  # b, c, s, h
            **dict(grey=0.0, blur=0.0, solarise=0.0),  # rates
            affine=placeholder(tuple),  # part of a side, least and largest scale, degrees
            pca=placeholder(tuple),  # least and largest factor
            hsv=placeholder(tuple),  # powers and factors, least and largest; shift
            hue=0.0,  # of a turn
        )
    )
    block.update(crop=crop, resized_crop=resized_crop, randaugment=randaugment, jitter=jitter)
    block.update(changes)
    return block


# Bachman et al. 2019 on CIFAR (official AMDIM code, datasets.py): one flip for both views.
AMDIM_CIFAR = dict(
    **dict(views=2, flip=True, flip_shared=True, translate=4, translate_rate=0.8),
    **dict(jitter=(0.4, 0.4, 0.4, 0.2), jitter_rate=0.8, grey=0.25),
)


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
        shortcut=placeholder(str),  # "location" or "value": a pixel that tells the class
        eval_train_images=placeholder(int),  # all, or 50,000 where they do not fit in memory
        # Trained on so many patches of the training images: dim_jax/data/seeds.py; all in pixels.
        **dict(seeds=placeholder(int), patch=placeholder(int), context=placeholder(int)),
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
        **dict(
            microbatches=1, norm_groups=1, accumulate=1
        ),  # whole: dim_jax/training/microbatching.py
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


def judged(judge: str, budget: str) -> dict:
    """The evaluations by the words "all", "mlp", "trained", "y" or "table4" of `JUDGES`."""
    usual = evals(labels_per_class=10)
    if judge == "mlp":
        kept = ("mlp", "mlp_permuted", "uniformity", "neighbours", "filters")
        return {key: usual[key] for key in kept}
    if judge == "trained":  # without controls, where another row of a table has them
        mlp = {**usual["mlp"], "taps": ("conv", "fc", "y")}
        kept = {"mlp": mlp, "uniformity": usual["uniformity"]}
        return {key: {**spec, "representations": ("trained",)} for key, spec in kept.items()}
    if judge == "y":
        mlp = {**usual["mlp"], "taps": ("y",)}
        return {"mlp": mlp, **{key: usual[key] for key in ("mlp_permuted", "uniformity")}}
    if judge == "table4":
        return measures(budget) | {"uniformity": usual["uniformity"]}
    return usual


def finetuned(budget: str) -> dict:
    """Fine-tuning of the trained and the untrained encoder, on conv; numbers: the protocol."""
    protocol = "finetune-paper-v1" if budget == "paper" else "finetune-v1"
    return dict(finetune=dict(name="finetune", protocol=protocol))
