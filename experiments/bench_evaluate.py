"""Time of evaluations: encoding beside PyTorch's, each probe, and all evaluations of a run.

    python -m pip install -e '.[bench]'
    python -m experiments.bench_evaluate --budget=cpu           or smoke

CPU seconds are user and system time of the process; other work on the machine changes them little.
Encoding and the forms of a probe run in turns in one process; the median of their rounds counts.
The evaluations are those of a config, on networks that were not trained, which take as long; the
second run has another seed and finds what the first left in the cache folder.
"""

import dataclasses
import functools
import importlib.util
import json
import pathlib
import resource
import statistics
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import dim_jax
from dim_jax import build, contracts, data, experiment, run_metadata, settings
from dim_jax.commandline import config_file
from dim_jax.evaluate import features, reference_representations, shared_results, suite
from dim_jax.evaluate.probes import knn, labelled, mlp, svm
from dim_jax.nets import products
from experiments import table

UNITS = {
    "images_per_second": "images / seconds, median of the rounds",
    "images_per_cpu_second": "images / user and system seconds, median of the rounds",
    "over_pytorch_same_dtype": "images_per_second / the larger of PyTorch's in the same dtype",
    "cpu_seconds": "user and system seconds of the process, median of the rounds",
    "before_over_now": "cpu_seconds of the form 'before' of this probe / of this one",
    "accuracy": "of the probe on random features, to see that both forms agree",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes. `encoder` is a config's block; `images` are encoded in a round; probes: examples.

    evals: the keys of the config's evaluations that are timed; None = all.
    """

    encoder: dict
    side: int
    images: int
    rounds: int
    examples: int
    tests: int
    features: int
    config: str
    evals: tuple[str, ...] | None = None


BUDGETS = {
    "smoke": Case(
        *(dict(name="dcgan32", width=4, hidden=16, features=8), 32, 16, 1, 200, 50, 512),
        *("configs/dim_cifar10.py:local,budget=smoke", ("knn",)),
    ),
    "cpu": Case(
        *(dict(name="dcgan32", width=64, hidden=1024, features=64), 32, 2048, 5),
        *(10_000, 2_000, 4096),
        "configs/dim_cifar10.py:local,budget=cpu",
    ),
}


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _in_turns(variants: dict, rounds: int) -> dict[tuple, tuple[float, float, object]]:
    """{variant: (seconds, CPU seconds, last result)}, medians after one round to warm up."""
    taken: dict[tuple, list] = {key: [] for key in variants}
    for turn in range(rounds + 1):
        for key, variant in variants.items():
            began, used = time.perf_counter(), _cpu_seconds()
            result = variant()
            if turn:
                times = time.perf_counter() - began, _cpu_seconds() - used
                taken[key].append((*times, result))
    return {
        key: (*(statistics.median(run[i] for run in runs) for i in (0, 1)), runs[-1][2])
        for key, runs in taken.items()
    }


def encoding(case: Case) -> list[dict]:
    """Rows of our evaluation's encoding and of PyTorch's forward pass in evaluation mode."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (case.images, case.side, case.side, 3), np.uint8)
    split = data.Split(images, np.zeros(case.images, np.int32))
    net = build.make("encoder", case.encoder)
    params, stats = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, *images.shape[1:])))

    @jax.jit
    def represent(params, stats, images):
        return contracts.probed(net.apply(params, stats, images / 255.0, train=False)[0])

    frozen = contracts.Frozen(functools.partial(represent, params, stats))

    variants: dict = {
        ("dim_jax", "float32"): lambda: features.extract(frozen, split, contracts.PROBED_TAPS),
        **_theirs(case, images),
    }
    taken = _in_turns(variants, case.rounds)
    rows = []
    for (form, dtype), (seconds, cpu_seconds, _) in taken.items():
        same = [each[0] for key, each in taken.items() if "py" in key[0] and key[1] == dtype]
        compared = same and form == "dim_jax"
        rows.append(
            {
                **{"part": "encode", "form": form, "dtype": dtype},
                "images_per_second": case.images / seconds,
                "images_per_cpu_second": case.images / cpu_seconds,
                "over_pytorch_same_dtype": min(same) / seconds if compared else None,
            }
        )
    return rows


def _theirs(case: Case, images: np.ndarray) -> dict[tuple[str, str], Callable[[], None]]:
    """PyTorch's passes by (form, dtype), with our batch size, which is its faster one too."""
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: ours alone (python -m pip install -e '.[bench]')")
        return {}
    import torch

    from experiments import torch_steps

    model, _ = torch_steps.make_encoder(case.encoder)
    model = model.eval().to(memory_format=torch.channels_last)
    passes = {}
    for form, network in (("eager", model), ("compiled", torch.compile(model))):
        for dtype in products.DTYPES:

            def encode(network=network, rounded=dtype == "bfloat16"):
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=rounded):
                    for start in range(0, case.images, 128):
                        batch = torch.from_numpy(images[start : start + 128])
                        network(batch.permute(0, 3, 1, 2).float() / 255)

            passes[f"pytorch {form}", dtype] = encode
    return passes


def probes(case: Case) -> list[dict]:
    """Rows of each probe on random features of two clouds per class, with the form before it."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, case.examples + case.tests).astype(np.int32)
    centres = random.normal(size=(10, case.features)) * 0.1
    rows = (centres[labels] + random.normal(size=(len(labels), case.features))).astype(np.float32)
    splits = [slice(case.examples), slice(case.examples, None)]
    train, test = (labelled.Examples(jnp.asarray(rows[s]), labels[s]) for s in splits)
    task = labelled.Task(train, test, 10, None, 0)
    few = task._replace(subsets=labelled.label_subsets(train.labels, 5, 3, 0))

    def plain_knn():
        unit = knn._unit(train.features)
        parts = [test.features[start : start + 500] for start in range(0, case.tests, 500)]
        predicted = np.concatenate([_plain_votes(unit, train.labels, part) for part in parts])
        return np.mean(predicted == test.labels)

    def of(module, protocol, task=task):
        return lambda: module.accuracies(module.PROTOCOLS[protocol], task)

    variants = {
        ("knn", "knn-v1", "before"): plain_knn,
        ("knn", "knn-v1", "now"): of(knn, "knn-v1"),
        ("mlp", "mlp-v1", "before"): of(mlp, "mlp-v1"),
        ("mlp", "mlp-v2", "now"): of(mlp, "mlp-v2"),
        ("svm", "svm-v1", "now"): of(svm, "svm-v1"),
        ("mlp_few", "mlp-v2", "now"): of(mlp, "mlp-v2", few),
        ("svm_few", "svm-v1", "now"): of(svm, "svm-v1", few),
        ("knn_few", "knn-v1", "now"): of(knn, "knn-v1", few),
    }
    taken = _in_turns(variants, min(case.rounds, 2))
    measured = []
    for (probe, protocol, form), (_, cpu_seconds, accuracies) in taken.items():
        earlier = [each[1] for key, each in taken.items() if key[0] == probe and "b" in key[2]]
        measured.append(
            {
                **{"part": "probe", "probe": probe, "protocol": protocol, "form": form},
                "cpu_seconds": cpu_seconds,
                "before_over_now": earlier[0] / cpu_seconds if earlier and form == "now" else None,
                "accuracy": float(np.mean(accuracies)),
            }
        )
    return measured


@jax.jit
def _plain_votes(rows, labels, queries):
    """The vote of knn-v1 by float32 similarities to all examples and JAX's own top-k."""
    cosines, nearest = jax.lax.top_k(knn._unit(queries) @ rows.T, 20)
    weights = jnp.exp((cosines - 1) / 0.07)
    votes = jnp.einsum("qk,qkc->qc", weights, jax.nn.one_hot(labels[nearest], 10))
    return jnp.argmax(votes, axis=1)


def evaluations(case: Case) -> list[dict]:
    """Rows of each evaluation of the config in a first and in a second run of another seed."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed, run in enumerate(("first", "second, another seed")):
            config = config_file.load(case.config).to_dict() | {"seed": seed}
            config["evals"] = {key: config["evals"][key] for key in case.evals or config["evals"]}
            rows += [{"part": "evaluations", "run": run, **row} for row in _timed(config, folder)]
    return rows


def _timed(config: dict, folder: str) -> list[dict]:
    made = experiment.Experiment.of(settings.Config.of(config))
    dataset = made.evaluation_data
    untrained = made.freeze(made.initial)
    params = jax.tree.map(lambda leaf: leaf + 1e-3, made.initial.params)
    representations = {
        "trained": untrained._replace(params=params),
        "untrained": untrained,
        "pixels": reference_representations.pixels(),
        "pca": reference_representations.pca(dataset.splits["train"].images, 64),
    }
    rows, used = [], [_cpu_seconds()]

    def note(line: str) -> None:
        used.append(_cpu_seconds())
        key, name = line.split()[:2]
        rows.append({"eval": key, "representation": name, "cpu_seconds": used[-1] - used[-2]})
        print(f"{rows[-1]['cpu_seconds']:7.1f} CPU s  {line}", flush=True)

    shared = shared_results.Results(pathlib.Path(folder) / "controls", config["method"])
    key = jax.random.key(config["seed"])
    suite.run(config["evals"], representations, dataset, key, note, shared=shared)
    total = {"eval": "all", "representation": "all", "cpu_seconds": used[-1] - used[0]}
    return [*rows, total]


PARTS = {"encode": encoding, "probe": probes, "evaluations": evaluations}


def run(budget: str, results=table.RESULTS) -> None:
    """Measures the parts that bench_evaluate_<budget>.json lacks, writes it, prints the table."""
    results.mkdir(exist_ok=True)
    path = results / f"bench_evaluate_{budget}.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    content = {
        "experiment": f"bench_evaluate_{budget}",
        **{"device": run_metadata.device(), "commit": run_metadata.commit()},
        "versions": {"dim_jax": dim_jax.__version__, "jax": jax.__version__},
        "units": UNITS,
        "rows": rows,
    }
    for part, measure in PARTS.items():
        if all(row["part"] != part for row in rows):
            rows += measure(BUDGETS[budget])
            path.write_text(json.dumps(content, indent=1) + "\n")
    report(content)


def report(content: dict) -> None:
    """Prints every row; what the columns mean is in `UNITS`."""
    words = ("form", "dtype", "probe", "protocol", "run", "eval", "representation")
    for row in content["rows"]:
        numbers = {key: row[key] for key in UNITS if row.get(key) is not None}
        name = " ".join(str(row[key]) for key in words if key in row)
        print(f"{row['part']:12} {name:48}", *(f"{k} {v:,.2f}" for k, v in numbers.items()))


if __name__ == "__main__":
    run(table.budget(BUDGETS))
