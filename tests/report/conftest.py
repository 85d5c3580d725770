"""A small run folder for the tests of the page and the console."""

import json
import math
import struct
import zlib

import pytest

DIMS = {"conv": 4096, "fc": 1024, "y": 64, "pixels": 3072, "pca": 64}


def row(evaluation, representation, tap, value, **more):
    return {
        "eval": evaluation,
        "protocol": f"{evaluation}-v1",
        "representation": representation,
        "tap": tap,
        "dim": DIMS.get(tap),
        "labels": "all",
        "metric": "accuracy",
        "value": value,
        "std": None,
        "fits": 1,
        "split": "test",
        "published": None,
        **more,
    }


def rows():
    """Every number is its own, so that a test can look for it."""
    mlp = {"std": 0.0021, "fits": 3}
    few = {"labels": "10 per class", "std": 0.0112, "fits": 3}
    measure = {"protocol": None, "metric": "kolmogorov_uniform"}
    return [
        row("mlp", "trained", "conv", 0.5803, published=75.21, **mlp),
        row("mlp", "trained", "fc", 0.5371, published=75.57, **mlp),
        row("mlp", "trained", "y", 0.5512, published=69.13, **mlp),
        row("mlp", "untrained", "conv", 0.4331, **mlp),
        row("mlp", "untrained", "fc", 0.3922, **mlp),
        row("mlp", "untrained", "y", 0.3481, **mlp),
        row("mlp", "pixels", "pixels", 0.4604, **mlp),
        row("mlp", "pca", "pca", 0.4671, **mlp),
        row("svm", "trained", "y", 0.4951),
        row("svm", "untrained", "y", 0.3122),
        row("svm", "pixels", "pixels", 0.3713),
        row("svm", "pca", "pca", 0.3984),
        row("knn", "trained", "y", 0.4836),
        row("knn", "untrained", "y", 0.3018),
        row("mlp", "trained", "y", 0.3477, **few),
        row("mlp", "pixels", "pixels", 0.2409, **few),
        row("uniformity", "trained", "y", 0.0437, **measure),
        row("uniformity", "untrained", "y", 0.2876, **measure),
        row("neighbours", "trained", "y", 0.4625, protocol=None, metric="purity@4"),
    ]


def results():
    return {
        "format": 1,
        "run": {
            "config": "dim_cifar10",
            "config_string": "configs/dim_cifar10.py:local,bound=infonce",
            "device": "cpu",
            "devices": 1,
            "steps": 8000,
            "epochs": 16.0,
            "seed": 3,
            "train_seconds": 1932.4,
            "compile_seconds": 14.2,
            "eval_seconds": 341.0,
            "images_per_second": 2875.3,
            "parameters": {"encoder": 1381952},
            "versions": {"jax": "0.10.2"},
            "dataset": "cifar10",
            "train_examples": 50000,
            "test_examples": 10000,
            "notes": ["A note of one line."],
        },
        "rows": rows(),
        "published_source": "Hjelm et al. 2019, Table 1",
        "published_differs": "They are of mlp-paper-v1.",
        "figures": [{"file": "filters.png", "title": "Filters", "caption": "First layer."}],
    }


def png(width, height):
    """A grey PNG image, written by hand."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * ((width + 1) * height))
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.fixture
def finished():
    """The results of a finished run as in results.json."""
    return results()


@pytest.fixture
def folder(tmp_path):
    """A finished run's folder."""
    (tmp_path / "results.json").write_text(json.dumps(results()))
    config = {"seed": 3, "method": {"name": "dim", "encoder": {"depth": 64}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    logged = [
        {
            "step": step,
            "epoch": step / 500,
            "loss/encoder": 5 * math.exp(-step / 900),
            "loss/prior": 1.38,
            "accuracy": step / 9000,
            "time/seconds": step / 7,
        }
        for step in range(40, 8040, 40)
    ]
    text = "".join(json.dumps(line) + "\n" for line in logged)
    (tmp_path / "metrics.jsonl").write_text(text)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "filters.png").write_bytes(png(30, 20))
    return tmp_path
