"""Arrays of five channels: whether an encoder trained on them tells a factor that made them.

    python -m experiments.arrays_gratings

Linear probes of the orientation of gratings (`experiments/gratings.py`), 2,000 training and 500
test images of 32x32 pixels, on trained and untrained encoders, raw pixels and their PCA.
"""

import pathlib

import numpy as np

from experiments import evaluations, gratings, table

SEEDS = (0, 1, 2)
FILE = pathlib.Path(table.RUNS) / "gratings.npz"
_SMALLER = (
    "--config.train.epochs=15",
    "--config.method.encoder.width=16",
    "--config.method.encoder.hidden=128",
    "--config.method.local_critic.width=128",
)
_CONFIG = "configs/arrays.py"


def rows() -> list[table.Row]:
    evals = evaluations.chosen(_CONFIG, "linear", "svm")
    data = f"--config.data.name=array:{FILE}"
    words = {"standardized": "standardised channels", "quantiles": "channels clipped to quantiles"}
    return [
        table.Row(label, f"{_CONFIG}:scaling={word}", (data, *_SMALLER), SEEDS, evals=evals)
        for word, label in words.items()
    ]


def write(file: pathlib.Path) -> None:
    images, labels = gratings.make(2_500, 32, seed=0)
    split = np.where(np.arange(len(images)) < 2_000, "train", "test")
    file.parent.mkdir(parents=True, exist_ok=True)
    names = np.array(gratings.CLASSES)[labels]
    np.savez(file, images=images, labels=names, split=split)


if __name__ == "__main__":
    if not FILE.exists():
        write(FILE)
    chosen = rows()
    table.run(
        "arrays_gratings",
        chosen,
        [
            table.Direction(
                f"{row.label}: y tells the orientation better than {name}",
                *(row.label, row.label),
                ("linear", "y", "accuracy"),
                ("linear", tap, "accuracy", name),
            )
            for row in chosen
            for name, tap in (("untrained", "y"), ("pca", "pca"), ("pixels", "pixels"))
        ],
    )
