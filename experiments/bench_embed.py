"""Images per second of embedding a folder of JPEGs, beside its decoder and its encoder alone.

    python -m experiments.bench_embed --budget=cpu        or smoke

The folder is made for the measurement: structured noise of 320x240 pixels, whose files are as large
as those of photographs; many names are of one file. The command, its decoder and its encoder run in
turns in one process, all without their first batches, and the median of their rounds counts. On a
CPU, decoder and encoder share the cores, and `over_parts` is what the command adds to their work.
The linear encoder takes next to no time, as any encoder does on an accelerator. The peak memory of
its command is measured in two more processes, of a tenth of the images and of all.
"""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import cv2
import jax
import numpy as np
import rich.console
import rich.table
from PIL import Image

import dim_jax
from dim_jax import build, data, encoder, run_metadata
from dim_jax.data import image_files, pixels
from dim_jax.encoder import command, embedding, inputs, progress
from dim_jax.rundir import exported_encoder
from experiments import table

HEIGHT, WIDTH = 240, 320
_CONTENTS = 50  # different images; a file holds one of them
UNITS = {
    "images_per_second": "of the command after its first batches, median over the rounds",
    "decoder, encoder": "images per second of each alone, with as many threads",
    "over_decoder": "images_per_second / decoder",
    "peak_mib": "resident memory of the command's process at most, by the number of images",
    "cpu_milliseconds": "of an image, of the command, its decoder and its encoder",
    "over_parts": "CPU time of decoder and encoder / of the command",
    "decoded_per_cpu_second": "images that one thread decodes and resizes",
    "complete_per_cpu_second": "the same, decoded in their complete size before they are resized",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """An encoder of images of `side` pixels, and the number of images."""

    encoder: dict
    side: int
    images: int


def _dcgan(side: int, width: int) -> Case:
    return Case(dict(name=f"dcgan{side}", width=width, hidden=1024, features=64), side, 2000)


_LINEAR = dict(name="linear", features=64)
# (cases, rounds); dcgan64 of width 32 is the encoder of configs/folder.py.
BUDGETS = {
    "smoke": ((Case(_LINEAR, 16, 1500),), 1),
    "cpu": ((Case(_LINEAR, 64, 20_000), _dcgan(64, 32), _dcgan(32, 64)), 5),
}


def run(budget: str, results: pathlib.Path = table.RESULTS) -> None:
    """Measures every case, writes bench_embed_<budget>.json, prints the table."""
    cases, rounds = BUDGETS[budget]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for images in {case.images for case in cases} | {cases[0].images // 10}:
            _write_images(folder / str(images), images)
        rows = [_measured(case, folder, rounds) for case in cases]
        rows[0]["peak_mib"] = _peaks(cases[0], folder)
    versions = {name: importlib.metadata.version(name) for name in ("jax", "numpy", "pillow")}
    content = {
        "experiment": f"bench_embed_{budget}",
        **{
            "device": run_metadata.device(),
            "cores": os.cpu_count(),
            "commit": run_metadata.commit(),
        },
        "versions": {"python": platform.python_version(), "dim_jax": dim_jax.__version__}
        | versions,
        **{"height": HEIGHT, "width": WIDTH, "rounds": rounds},
        "units": UNITS,
        "rows": rows,
    }
    results.mkdir(exist_ok=True)
    (results / f"bench_embed_{budget}.json").write_text(json.dumps(content, indent=1) + "\n")
    report(content)


def _write_images(folder: pathlib.Path, count: int) -> None:
    folder.mkdir()
    for content in range(min(_CONTENTS, count)):
        Image.fromarray(_image(content)).save(folder / f"{content:05}.jpg", quality=90)
    for number in range(_CONTENTS, count):
        (folder / f"{number:05}.jpg").hardlink_to(folder / f"{number % _CONTENTS:05}.jpg")


def _image(seed: int) -> np.ndarray:
    """An image whose structures of twice the size are 1.5 times as strong."""
    random = np.random.default_rng(seed)
    image = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for octave in range(1, 9):
        coarse = random.normal(size=(2**octave * 3 // 4, 2**octave, 3)).astype(np.float32)
        image += cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) / 1.5**octave
    image = (image - image.mean()) / image.std()
    return np.clip(128 + 50 * image, 0, 255).astype(np.uint8)


def _measured(case: Case, folder: pathlib.Path, rounds: int) -> dict:
    exported = folder / f"{case.encoder['name']}_{case.side}"
    _export(case, exported)
    loaded, source = encoder.load_encoder(exported), str(folder / str(case.images))
    images = data.load_all(source, image_size=case.side).splits["all"].images
    decoded = np.asarray(images)

    def complete():
        meter = progress.Meter()
        opened = inputs.open_folder(loaded.card, source)
        command.write_features(loaded, opened, "y", folder / "features.npz", meter)
        return meter.rate()

    def decoder():
        meter, done = progress.Meter(), 0
        for part in images.batches(embedding.BATCH, embedding.AHEAD):
            done += len(part)
            meter(done)
        return meter.rate()

    def encoding():
        began = time.perf_counter()
        encoder.embed(loaded, decoded, batch=embedding.BATCH)
        return len(decoded) / (time.perf_counter() - began)

    whole = {"command": complete, "decoder": decoder, "encoder": encoding}
    files = images.source.files[:_CONTENTS]
    medians = _in_turns(
        {
            **{
                key: lambda each=each: _with_cpu_time(each, len(images))
                for key, each in whole.items()
            },
            "decoded_per_cpu_second": lambda: (_decoded(files, case.side, case.side),),
            "complete_per_cpu_second": lambda: (_decoded(files, None, case.side),),
        },
        rounds,
    )
    cpu = {key: medians[key][1] for key in whole}
    return {
        **{"encoder_name": case.encoder["name"], "side": case.side, "config": case.encoder},
        "images": case.images,
        "images_per_second": medians["command"][0],
        **{key: medians[key][0] for key in medians if key != "command"},
        "over_decoder": medians["command"][0] / medians["decoder"][0],
        "cpu_milliseconds": cpu,
        "over_parts": (cpu["decoder"] + cpu["encoder"]) / cpu["command"],
    }


# ru_maxrss of a child counts the memory of the process that started it.
_PEAK = """
import sys
from dim_jax.encoder import command
assert command.main(sys.argv[1:]) == 0
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""


def _peaks(case: Case, folder: pathlib.Path) -> dict[str, float]:
    """{number of images: MiB of the command's process}, of a tenth of the images and of all."""
    peaks = {}
    for images in (case.images // 10, case.images):
        run = folder / f"{case.encoder['name']}_{case.side}"
        task = ["--run", run, "--folder", folder / str(images), "--out", folder / "peak.npz"]
        printed = subprocess.run(
            [sys.executable, "-c", _PEAK, *map(str, task)],
            **dict(check=True, capture_output=True, text=True),
        ).stdout
        peaks[str(images)] = int(printed.split()[-1]) / 1024
    return peaks


def _with_cpu_time(variant: Callable[[], float], images: int) -> tuple[float, float]:
    """(images per second, milliseconds of CPU time of one image), of all threads."""
    began = time.process_time()
    rate = variant()
    return rate, 1e3 * (time.process_time() - began) / images


def _in_turns(variants: dict[str, Callable[[], tuple]], rounds: int) -> dict[str, tuple]:
    """The medians of each number of each variant; the first round warms up and does not count."""
    measured: dict[str, list[tuple]] = {key: [] for key in variants}
    for turn in range(rounds + 1):
        for key, variant in variants.items():
            numbers = variant()
            if turn:
                measured[key].append(numbers)
    return {
        key: tuple(statistics.median(column) for column in zip(*each, strict=True))
        for key, each in measured.items()
    }


def _decoded(files: list[pathlib.Path], wanted: int | None, side: int) -> float:
    """Images that this thread decodes and resizes in a second of its CPU time."""
    began = time.thread_time()
    for file in files:
        pixels.fit(image_files.decode(file, wanted, None), side)
    return len(files) / (time.thread_time() - began)


def _export(case: Case, folder: pathlib.Path) -> None:
    """An encoder with random weights."""
    net, shape = build.make("encoder", case.encoder), (case.side, case.side, 3)
    images = np.zeros((2, *shape), np.float32)
    params, stats = jax.jit(net.init)(jax.random.key(0), images)
    card = {
        **{"format": encoder.FORMAT, "image_shape": list(shape), "resize": case.side},
        **{"encoder": case.encoder, "mean": [0.5] * 3, "std": [0.5] * 3},
        "taps": encoder.tap_shapes(case.encoder, shape),
    }
    exported_encoder.write(folder, params, stats, card)


def report(content: dict) -> None:
    """Prints every row; what the columns mean is in `UNITS`."""
    columns = {
        **{"encoder_name": "", "side": "d"},
        **dict.fromkeys(("images_per_second", "decoder", "encoder"), ",.0f"),
        **dict.fromkeys(("over_decoder", "over_parts"), ".2f"),
        **dict.fromkeys(("decoded_per_cpu_second", "complete_per_cpu_second"), ",.0f"),
    }
    printed = rich.table.Table(*(key.replace("_", " ") for key in columns), padding=0)
    printed.title = f"{content['experiment']}, {content['device']}"
    for row in content["rows"]:
        printed.add_row(*(format(row[key], form) for key, form in columns.items()))
    rich.console.Console(width=144).print(printed)


if __name__ == "__main__":
    run(table.budget(BUDGETS))
