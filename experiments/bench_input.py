"""Images per second of the input: resident and streamed, beside PyTorch's DataLoader and tf.data.

    TFDS_DATA_DIR=PATH python -m experiments.bench_input --budget=cpu        or smoke

All readers give shuffled batches u8[n,h,w,c] of one TFDS set through one decoder (OpenCV), so what
differs is how the work is spread and handed over. They run in turns in one process; a turn first
takes untimed what was made ready while others ran (`_drain`). PyTorch and tf.data are
measured where they are installed. With a training step as consumer (DIM of the config's budget
"cpu"), streamed over resident says whether the step is kept fed.
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import importlib.util
import json
import math
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table

import dim_jax
from configs import dim_cifar10, dim_imagenet
from dim_jax import build, data, run_metadata, settings
from dim_jax.data import resident, sources
from dim_jax.nets import products
from dim_jax.training import input_pipeline, preprocessing, train_step, trainer
from experiments import table

MEASURED = ("resident", "streaming")
OTHERS = {"torch": "torch.utils.data.DataLoader", "tensorflow": "tf.data"}
UNITS = {
    "images_per_second": "median over the rounds; null: not installed",
    "slowest, fastest": "of the rounds, images per second",
    "over_resident": "images_per_second / those of resident with the same consumer",
    "over_torch": "images_per_second / those of the fastest DataLoader without a consumer",
}
COLUMNS = ("data", "consumer", "reader", "threads", "processes", "images_per_second")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One data set: `steps` of `batch` images a dispatch, `dispatches` of them timed a round."""

    name: str
    image_size: int | None
    config: Callable[[str], Any]
    budget: str
    train_split: str = "train"
    batch: int = 64
    steps: int = 10
    dispatches: int = 6  # without a consumer
    rounds: int = 5
    consumed_steps: int = 4
    consumed_dispatches: int = 3  # with a training step
    consumed_rounds: int = 4
    threads: tuple[int, ...] = (1, 2)
    processes: tuple[int, ...] = (0, 2)  # of the stream and of the DataLoader; 0 = none


_few = functools.partial(
    Measurement, train_split="train[:256]", batch=16, steps=2, dispatches=2, rounds=1
)
BUDGETS = {
    "smoke": (
        _few(
            *("cifar10", None, dim_cifar10.get_config, "smoke"),
            **dict(consumed_dispatches=1, consumed_rounds=1, threads=(1,), processes=(0,)),
        ),
    ),
    "cpu": (
        Measurement("cifar10", None, dim_cifar10.get_config, "cpu"),
        Measurement(
            *("imagenette/128px-v2", 64, dim_imagenet.get_config, "cpu"),
            **dict(consumed_steps=1, consumed_dispatches=2, consumed_rounds=3),
        ),
    ),
}


def run(budget: str, results: pathlib.Path = table.RESULTS) -> None:
    """Measures every data set of the budget, writes bench_input_<budget>.json, prints the table."""
    rows, load = [], [os.getloadavg()[0]]
    for measurement in BUDGETS[budget]:
        print(f"== {measurement}", flush=True)
        rows += measured(measurement)
        load.append(os.getloadavg()[0])
    content = {
        "experiment": f"bench_input_{budget}",
        **{
            "device": run_metadata.device(),
            "cores": os.cpu_count(),
            "commit": run_metadata.commit(),
        },
        "versions": {"python": platform.python_version(), "dim_jax": dim_jax.__version__}
        | {name: _version(name) for name in ("jax", "grain", "numpy", "torch", "tensorflow")},
        "load_averages": load,  # above the number of cores: other work took part of them
        "units": UNITS,
        "rows": rows,
    }
    results.mkdir(exist_ok=True)
    (results / f"bench_input_{budget}.json").write_text(json.dumps(content, indent=1) + "\n")
    report(content)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def measured(measurement: Measurement) -> list[dict]:
    """One row for each reader, without a consumer and with a training step."""
    options = dict(image_size=measurement.image_size, train_split=measurement.train_split)
    options["test_split"] = "train[:16]"  # not used
    roads = {road: data.load(measurement.name, road=road, **options) for road in MEASURED}
    rows = []
    with contextlib.ExitStack() as stack:
        readers = dict(_readers(measurement, roads, stack))
        rounds = _in_turns(readers, measurement.dispatches, measurement.rounds, measurement.steps)
        size = measurement.steps * measurement.batch
        rows += _rows(measurement, "none", rounds, size * measurement.dispatches)
        missing = {OTHERS[name] for name in OTHERS if importlib.util.find_spec(name) is None}
        rows += [_row(measurement, "none", (name, None, None), None) for name in sorted(missing)]
    with contextlib.ExitStack() as stack:
        trained = dict(_trained(measurement, roads, stack))
        rounds = _in_turns(
            *(trained, measurement.consumed_dispatches, measurement.consumed_rounds),
            measurement.consumed_steps,
        )
        size = measurement.consumed_steps * measurement.batch
        rows += _rows(measurement, "training step", rounds, size * measurement.consumed_dispatches)
    return _with_ratios(rows)


def _in_turns(readers: dict, dispatches: int, rounds: int, count: int) -> dict[Any, list[float]]:
    """Seconds of each round of each reader; the first round warms up and does not count."""
    seconds = {key: [] for key in readers}
    for turn in range(rounds + 1):
        for key, take in readers.items():
            for _ in range(_drain(key, count)):
                take()
            start = time.perf_counter()
            for _ in range(dispatches):
                take()
            if turn:
                seconds[key].append(time.perf_counter() - start)
    return seconds


def _drain(key: tuple, count: int) -> int:
    """The dispatches of `count` batches that take all that a reader can have made ready.

    A stream keeps batches in grain's buffer (in each process its own, and a queue of as many) and
    one dispatch on the device; a DataLoader keeps two batches for each process.
    """
    reader, threads, processes = key
    if reader != "streaming":
        return 2
    buffered = max(count, 2 * threads)
    if processes:
        buffered = (buffered + count) * processes
    return 2 + math.ceil(buffered / count)  # and the dispatch on the device, and one to spare


def _readers(measurement: Measurement, roads, stack) -> Iterator[tuple[tuple, Callable[[], Any]]]:
    """(reader, threads, processes) -> a function that waits for the images of one dispatch."""
    yield ("resident", None, 0), _gathered(measurement, roads["resident"])
    with_processes = [(1, count) for count in measurement.processes if count]
    for threads, processes in (*((threads, 0) for threads in measurement.threads), *with_processes):
        made = _source(measurement, roads, threads, processes=processes)
        source = stack.enter_context(contextlib.closing(made))
        take = functools.partial(source.arguments, measurement.steps, measurement.steps)
        yield ("streaming", threads, processes), lambda take=take: jax.block_until_ready(take())
    source = roads["streaming"].splits["train"].images.source
    if importlib.util.find_spec("torch") is not None:
        for processes in measurement.processes:
            yield (OTHERS["torch"], 1, processes), _torch(measurement, source, processes)
    if importlib.util.find_spec("tensorflow") is not None:
        for threads in measurement.threads:
            yield (OTHERS["tensorflow"], threads, 0), _tf_data(measurement, source, threads)


def _gathered(measurement: Measurement, dataset: data.Dataset) -> Callable[[], Any]:
    """The gather of a dispatch's batches, stored instead of trained on."""
    split, batch = dataset.splits["train"], measurement.batch
    epoch_steps = resident.steps_per_epoch(len(split.images), batch)
    arrays = jax.device_put((split.images, split.labels))

    @jax.jit
    def gather(step, images, labels):
        first = step // epoch_steps
        spanned = resident.epochs_spanned(measurement.steps, epoch_steps)
        orders = resident.epoch_orders(0, first, spanned, len(images))

        def body(step, _):
            rows = resident.batch_indices(orders, first, step, epoch_steps, batch)
            return step + 1, resident.gather(images, labels, rows)

        return jax.lax.scan(body, step, length=measurement.steps)

    state = {"step": jnp.int32(0)}

    def take():
        state["step"], batches = gather(state["step"], *arrays)
        return jax.block_until_ready(batches)

    return take


def _source(
    measurement: Measurement, roads, threads: int, *, processes: int = 0, count: int | None = None
) -> input_pipeline.Source:
    """A streamed source without end, at its first step."""
    source = input_pipeline.open_(
        roads["streaming"].splits["train"],
        _config(measurement, worker_threads=threads, worker_processes=processes),
        train_step.mesh(jax.devices()[:1]),
        batch_size=measurement.batch,
        total_steps=10**9,
        dispatch_steps=count or measurement.steps,
    )
    source.start(0, None)
    return source


class _TorchImages:
    """A map-style data set for PyTorch, which asks for the rows of a batch at once."""

    def __init__(self, source: sources.Source):
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitems__(self, rows: list[int]) -> sources.Examples:
        return self._source.read(rows)


def _collated(examples: sources.Examples) -> tuple[Any, Any]:
    import torch

    return torch.from_numpy(examples.images), torch.from_numpy(examples.labels)


def _torch(measurement: Measurement, source, processes: int) -> Callable[[], Any]:
    import torch

    loader = torch.utils.data.DataLoader(
        _TorchImages(source),
        batch_size=measurement.batch,
        shuffle=True,
        drop_last=True,
        num_workers=processes,
        collate_fn=_collated,
        persistent_workers=processes > 0,
        # Forking a process in which JAX runs threads may hang.
        multiprocessing_context="spawn" if processes else None,
    )
    batches = _endless(lambda: loader)
    return lambda: [next(batches) for _ in range(measurement.steps)]


def _tf_data(measurement: Measurement, source, threads: int) -> Callable[[], Any]:
    import tensorflow as tf

    def read(rows):
        return source.read(rows.tolist()).images

    made = tf.data.Dataset.range(len(source)).shuffle(len(source), reshuffle_each_iteration=True)
    made = made.batch(measurement.batch, drop_remainder=True)
    made = made.map(
        lambda rows: tf.numpy_function(read, [rows], tf.uint8), num_parallel_calls=threads
    )
    batches = _endless(lambda: made.prefetch(2 * threads).as_numpy_iterator())
    return lambda: [next(batches) for _ in range(measurement.steps)]


def _endless(epoch: Callable[[], Any]) -> Iterator[Any]:
    while True:
        yield from epoch()


def _config(measurement: Measurement, **data_settings) -> settings.Config:
    config = measurement.config(f"budget={measurement.budget}").to_dict()
    config["data"] |= data_settings
    config["train"] |= dict(batch_size=measurement.batch, epochs=1.0)
    return settings.Config.of(config)


def _trained(measurement: Measurement, roads, stack) -> Iterator[tuple[tuple, Callable[[], Any]]]:
    """(road, threads, processes) -> a function that trains for one dispatch."""
    config = _config(measurement)
    method = build.make("method", config.method["method"])  # without the monitor around it
    loss = products.computed_in(method.loss, config.compute_dtype)
    method = method._replace(loss=loss)
    dataset = roads["resident"]
    split, count = dataset.splits["train"], measurement.consumed_steps
    prepared = preprocessing.Preprocessing.of(config, dataset.facts)
    durations = trainer.plan(config.train, len(split.images), 1)
    initial = trainer.initial_state(method, config, split, prepared, durations)
    mesh = train_step.mesh(jax.devices()[:1])
    dispatch = train_step.make_dispatch(prepared, 0, measurement.batch, len(split.images), mesh)
    yield (
        ("resident", None, 0),
        _training(dispatch, initial, input_pipeline.Resident(split, mesh), count),
    )
    streamed = train_step.make_streamed_dispatch(prepared, 0, mesh)
    for threads in measurement.threads:
        made = _source(measurement, roads, threads, count=count)
        source = stack.enter_context(contextlib.closing(made))
        yield ("streaming", threads, 0), _training(streamed, initial, source, count)


def _training(dispatch, initial, source: input_pipeline.Source, count: int) -> Callable[[], Any]:
    state = {"now": jax.tree.map(jnp.copy, initial)}

    def take():
        arguments = source.arguments(count, count)
        state["now"], metrics = dispatch(state["now"], *arguments, count=count)
        return jax.block_until_ready(metrics)

    return take


def _rows(measurement: Measurement, consumer: str, rounds: dict, images: int) -> list[dict]:
    return [
        _row(measurement, consumer, key, [images / each for each in seconds])
        for key, seconds in rounds.items()
    ]


def _row(measurement: Measurement, consumer: str, key: tuple, rates: list[float] | None) -> dict:
    reader, threads, processes = key
    return {
        **{"data": measurement.name, "image_size": measurement.image_size},
        **{"batch": measurement.batch, "consumer": consumer, "reader": reader},
        **{"threads": threads, "processes": processes, "rounds": len(rates or ())},
        "images_per_second": rates and statistics.median(rates),
        "slowest": rates and min(rates),
        "fastest": rates and max(rates),
    }


def _with_ratios(rows: list[dict]) -> list[dict]:
    """Ratios of medians to the resident road and to the fastest DataLoader."""
    kept = {
        row["consumer"]: row["images_per_second"] for row in rows if row["reader"] == "resident"
    }
    torch = [row["images_per_second"] for row in rows if row["reader"] == OTHERS["torch"]]
    best = max(filter(None, torch), default=None)
    for row in rows:
        rate = row["images_per_second"]
        row["over_resident"] = rate and rate / kept[row["consumer"]]
        alone = row["consumer"] == "none"
        row["over_torch"] = rate / best if rate and best and alone else None
    return rows


def report(content: dict) -> None:
    """Prints every row; what the columns mean is in `UNITS`."""
    columns = (*COLUMNS, "over_resident", "over_torch")
    printed = rich.table.Table(*(key.replace("_", " ") for key in columns), padding=0)
    printed.title = f"{content['experiment']}, {content['device']}"
    for row in content["rows"]:
        cells = [row[key] for key in columns]
        if row["images_per_second"] is None:
            cells[columns.index("images_per_second")] = "not installed"
        printed.add_row(*(_cell(cell) for cell in cells))
    rich.console.Console(width=144).print(printed)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return format(value, ",.0f" if value >= 100 else ".2f")
    return str(value)


if __name__ == "__main__":
    run(table.budget(BUDGETS))
