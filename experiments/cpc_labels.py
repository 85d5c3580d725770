"""Does CPC v2 need fewer labels than a supervised network? Accuracy over the share of the labels.

    python -m experiments.cpc_labels --budget=cpu
    python -m experiments.cpc_labels --budget=cpu --seed=1 --kinds=supervised,pixels  # a part

The encoder of configs/cpc_v2.py is pretrained on CIFAR-10 images without their labels. A share of
the labels, equally many of each class, drawn anew for each seed and number, is then given to
  linear      a linear classifier on fc, the mean of the frozen features of the patches
  mlp         an MLP on conv, the frozen map
  fine-tuned  the pretrained encoder and an MLP on its map, trained together
  supervised  the same encoder and MLP from a random start, with the same training
and to the controls: a linear classifier on fc of the untrained encoder, and on the pixels.
Validation images choose among the networks that `fine-tuned` and `supervised` pass through
(`experiments.labelled_training`). Each accuracy is written as soon as it is there.

Source: Henaff et al. 2020, section 4.1, Figure 1 (ImageNet; from memory).
"""

import argparse
import functools
import json
import pathlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np

import dim_jax
from configs import cpc_v2
from dim_jax import contracts, data, run_metadata
from dim_jax.encoder import loading
from dim_jax.evaluate import features, reference_representations
from dim_jax.evaluate.probes import labelled, linear, mlp
from experiments import cpc_labels_page, labelled_training, table, trainings
from experiments.labelled_training import Images

NAME = "cpc_labels"
CONFIG = "configs/cpc_v2.py"
CLASSES = 10
KINDS = ("supervised", "linear", "untrained", "fine-tuned", "pixels", "mlp")
_PRETRAINED = {"linear", "fine-tuned", "mlp"}
_TRAINED = ("supervised", "fine-tuned")  # with the encoder


class Budget(NamedTuple):
    """The size of a run: images, labels per class (None = all), steps of labelled training."""

    images: int
    validation: int
    test: int
    epochs: float
    labels: tuple[int | None, ...]
    steps: tuple[int, ...]
    tuned: tuple[int | None, ...]  # of `labels`, those of the fine-tuned encoder
    seeds: tuple[int, ...]


BUDGETS = {
    "paper": Budget(
        *(45_000, 5_000, 10_000, 200.0),
        labels=(45, 90, 225, 450, 900, 2_250, None),
        steps=(2_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000),
        tuned=(45, 90, 225, 450, 900, 2_250, None),
        seeds=(0, 1, 2),
    ),
    "cpu": Budget(
        *(10_000, 1_000, 5_000, 5.0),
        labels=(10, 30, 100, 300, None),
        steps=(150, 200, 300, 500, 900),
        tuned=(10, 100),
        seeds=(0, 1, 2),
    ),
    "smoke": Budget(*(512, 64, 128, 1.0), labels=(2, None), steps=(25, 50), tuned=(2,), seeds=(0,)),
}


class Task(NamedTuple):
    """The images of a seed, and the positions of the labelled ones by labels per class."""

    budget: str
    seed: int
    train: Images
    validation: Images
    test: Images
    members: dict[int | None, np.ndarray]


def run(
    budget: str,
    seeds: tuple[int, ...] | None = None,
    kinds: tuple[str, ...] = KINDS,
    results: pathlib.Path = table.RESULTS,
) -> dict:
    """Runs what is missing of these seeds and kinds, then writes the results and the picture.

    Raises: contracts.UserError: no such kind.
    """
    sizes = BUDGETS[budget]
    for kind in kinds:
        if kind not in KINDS:
            raise contracts.unknown("kind", kind, KINDS)
    for seed in seeds or sizes.seeds:
        if _PRETRAINED.intersection(kinds):
            _pretrain(budget, seed)
        task = _task(budget, seed)
        for kind in kinds:
            values = _stored(budget, seed, kind)
            for count in _counts(sizes, kind):
                if str(count) not in values:
                    values[str(count)] = _timed(kind, task, count)
                    _path(budget, seed, kind).write_text(json.dumps(values))
                    print(f"seed {seed}, {kind}, {count} per class: {values[str(count)]}")
    return _write(budget, results)


def _counts(sizes: Budget, kind: str) -> tuple[int | None, ...]:
    return sizes.tuned if kind == "fine-tuned" else sizes.labels


def _path(budget: str, seed: int, part: str) -> pathlib.Path:
    folder = pathlib.Path(table.RUNS) / f"{NAME}_{budget}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"seed{seed}-{part}.json"


def _stored(budget: str, seed: int, kind: str) -> dict[str, dict[str, Any]]:
    """The accuracies of a seed and kind that are there, by labels per class."""
    path = _path(budget, seed, kind)
    return json.loads(path.read_text()) if path.exists() else {}


def _pretrained(budget: str, seed: int) -> pathlib.Path:
    return _path(budget, seed, "").with_name(f"pretrained-seed{seed}")


def _pretrain(budget: str, seed: int) -> None:
    """Trains CPC v2 as a user would, unless its encoder is there."""
    folder, sizes = _pretrained(budget, seed), BUDGETS[budget]
    if (folder / "encoder").is_dir():
        return
    trainings.run(
        [
            *(f"--config={CONFIG}:{_words(budget)}", f"--workdir={folder}"),
            *(f"--config.seed={seed}", "--evals={}"),
            f"--config.data.train_split=train[:{sizes.images}]",
            *("--config.data.test_split=test[:2000]", f"--config.train.epochs={sizes.epochs}"),
        ]
    )


def _words(budget: str) -> str:
    return f"data=cifar10,budget={budget}"


def _task(budget: str, seed: int) -> Task:
    sizes = BUDGETS[budget]
    used = sizes.images + sizes.validation
    splits = dict(train_split=f"train[:{used}]", test_split=f"test[:{sizes.test}]")
    loaded = data.load("cifar10", **splits).splits
    both, test = (
        Images(np.asarray(loaded[name].images), loaded[name].labels) for name in ("train", "test")
    )
    train = Images(*(part[: sizes.images] for part in both))
    validation = Images(*(part[sizes.images :] for part in both))
    every = np.arange(sizes.images, dtype=np.int32)
    members = {
        count: every if count is None else labelled.label_subsets(train.labels, count, 1, seed)[0]
        for count in sizes.labels
    }
    return Task(budget, seed, train, validation, test, members)


def _timed(kind: str, task: Task, count: int | None) -> dict[str, Any]:
    """The accuracy "test" of a kind with this number of labels per class, and more about it."""
    started = time.process_time()
    measure = _trained if kind in _TRAINED else _probed
    return measure(kind, task, count) | dict(
        cpu_seconds=round(time.process_time() - started, 1), commit=run_metadata.commit()
    )


def _trained(kind: str, task: Task, count: int | None) -> dict[str, Any]:
    config = cpc_v2.get_config(_words(task.budget)).to_dict()
    spec, start = config["method"]["method"]["encoder"], None
    if kind == "fine-tuned":
        encoder = dim_jax.load_encoder(_pretrained(task.budget, task.seed))
        start = (encoder.params, encoder.stats)
    net = labelled_training.network(json.dumps(spec), CLASSES)
    images = (task.train, task.members[count], task.validation, task.test)
    sizes = BUDGETS[task.budget]
    steps = sizes.steps[sizes.labels.index(count)]
    return labelled_training.train(net, start, *images, steps=steps, seed=task.seed)


def _probed(kind: str, task: Task, count: int | None) -> dict[str, Any]:
    module, protocol = (mlp, "mlp-v2") if kind == "mlp" else (linear, "linear-v1")
    rows = _features(kind, task.budget, task.seed)
    train = labelled.Examples(rows["train"], task.train.labels)
    test = labelled.Examples(rows["test"], task.test.labels)
    asked = labelled.Task(train, test, CLASSES, task.members[count][None], task.seed)
    accuracies = module.accuracies(module.PROTOCOLS.find(protocol), asked)
    return {"test": float(accuracies[0])}


@functools.lru_cache(maxsize=1)
def _features(kind: str, budget: str, seed: int) -> dict[str, jax.Array]:
    """The features of a kind, shifted and scaled to mean 0 and deviation 1 of all train images."""
    task = _task(budget, seed)
    frozen, tap = reference_representations.pixels(), "pixels"
    if kind != "pixels":
        encoder = dim_jax.load_encoder(_pretrained(budget, seed))
        if kind == "untrained":
            encoder = loading.untrained(encoder, 1000 + seed)
        frozen, tap = contracts.Frozen(encoder.encode), "conv" if kind == "mlp" else "fc"
    rows = {
        name: features.extract(frozen, data.Split(*images), (tap,))[tap]
        for name, images in (("train", task.train), ("test", task.test))
    }
    shift, scale = labelled.statistics(rows["train"])
    return {name: labelled.scaled(part, shift, scale) for name, part in rows.items()}


def _write(budget: str, results: pathlib.Path) -> dict:
    """The result file of all accuracies that are there, and its picture."""
    sizes, curves = BUDGETS[budget], []
    for kind in KINDS:
        stored = {seed: _stored(budget, seed, kind) for seed in sizes.seeds}
        for count in _counts(sizes, kind):
            there = {seed: each[str(count)] for seed, each in stored.items() if str(count) in each}
            if there:
                labels = sizes.images if count is None else CLASSES * count
                curve = dict(kind=kind, labels_per_class=count, labels=labels)
                curves.append({**curve, "seeds": [*there], "values": [*there.values()]})
    content = {
        **dict(experiment=NAME, budget=budget, config=f"{CONFIG}:{_words(budget)}"),
        **sizes._asdict(),
        "device": f"{jax.devices()[0].device_kind}, two shared cores",
        "commit": curves[0]["values"][0]["commit"] if curves else "",
        "curves": curves,
    }
    results.mkdir(exist_ok=True)
    (results / f"{NAME}_{budget}.json").write_text(json.dumps(content, indent=1) + "\n")
    if curves:
        cpc_labels_page.draw(content, results / f"{NAME}_{budget}.png")
    print(cpc_labels_page.text(content))
    return content


def main() -> None:
    """The command line."""
    options = table.options(
        BUDGETS, seed="run this seed alone; report all", kinds=f"of {','.join(KINDS)}, with commas"
    )
    with table.one_sentence():
        kinds = tuple(options.kinds.split(",")) if options.kinds else KINDS
        run(options.budget, _seeds(options), kinds)


def _seeds(options: argparse.Namespace) -> tuple[int, ...] | None:
    if options.seed is None:
        return None
    known = [str(seed) for seed in BUDGETS[options.budget].seeds]
    if options.seed not in known:
        raise contracts.unknown("seed", options.seed, known)
    return (int(options.seed),)


if __name__ == "__main__":
    main()
