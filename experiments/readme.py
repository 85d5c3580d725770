"""Writes the README's table of results, from experiments/results/*.json.

    python -m experiments.readme

The documentation has all results (experiments/pages.py); the README has the ten rows of `ROWS`.
"""

import json
import pathlib

from experiments import fragments, table, table_text

README = pathlib.Path(__file__).parent.parent / "README.md"
_START = ": python -m experiments.readme -->\n"

ROWS = {  # what it is: (result file, its row, evaluation, tap)
    "DIM(L) InfoNCE, the quick start": (*("quickstart_seeds", "DIM(L) InfoNCE", "svm_few", "y"),),
    "DIM(L) InfoNCE": ("dim_table1_long", "DIM(L) InfoNCE", "mlp", "y"),
    "the same, convolutional features": ("dim_table1_long", "DIM(L) InfoNCE", "mlp", "conv"),
    "DIM(L) JSD": ("dim_table4_cpu", "DIM(L)", "svm", "y"),
    "VAE": ("dim_table1_cpu", "VAE", "mlp", "y"),
    "AMDIM": ("amdim_ablations_cpu", "AMDIM, CIFAR-10", "linear", "y"),
    "CMC, views L and ab": ("cmc_views_cpu", "L, ab: softmax", "mlp", "y"),
    "Exemplar-CNN": ("exemplar_table1_cpu", "small", "svm", "pooled"),
    "Image-manifold layers, test images without the shortcut": (
        *("manifold_shiftmnist_cpu", "2-layer CNN (max I + H), spread"),
        *("classifier", "clean"),
    ),
    "the same without their terms, a control": (
        *("manifold_shiftmnist_cpu", "manifold layers, no terms, spread"),
        *("classifier", "clean"),
    ),
}
# The published number is of another setting than the row: patches of STL-10.
NOT_COMPARED = {"Exemplar-CNN"}
DATA = {"cifar10": "CIFAR-10", "digits": "8x8 digits", "mnist": "shiftMNIST"}
HEADINGS = (
    *("method", "data", "evaluation", "measured, %", "untrained encoder, %", "published, %"),
    *("seeds", "steps"),
)


def results() -> str:
    """The table: test accuracy, beside the untrained encoder and the published number."""
    lines = [_line(text, *where) for text, where in ROWS.items()]
    return fragments.markdown(HEADINGS, lines) + "\n"


def _line(text: str, file: str, label: str, evaluation: str, tap: str) -> tuple[str, ...]:
    content = json.loads((table.RESULTS / f"{file}.json").read_text())
    row = next(row for row in content["rows"] if row["label"] == label)
    trained = table_text.accuracy([row], evaluation, "trained", tap)
    # The rows of a table have one encoder; some measure it untrained in their first row only.
    untrained = table_text.accuracy([row, *content["rows"]], evaluation, "untrained", tap)
    published = None if text in NOT_COMPARED else trained["published_percent"]
    labels = "" if trained["labels"] == "all" else f", {trained['labels']}"
    return (
        *(text, DATA[row["dataset"]], f"`{trained['protocol'] or evaluation}`, `{tap}`{labels}"),
        table_text.percent(trained, published=False),
        table_text.percent(untrained, published=False),
        "" if published is None else f"{published:.1f}",
        *(f"{len(row['seeds'])}", f"{row['steps']:,}"),
    )


def parts(text: str, name: str) -> tuple[str, str, str]:
    """A text before, between and after the markers of a section."""
    before, _, rest = text.partition(f"<!-- {name}{_START}")
    between, _, after = rest.partition(f"<!-- end of {name} -->")
    return before, between, after


def write() -> None:
    """Replaces the table in the README."""
    before, _, after = parts(README.read_text(), "results")
    README.write_text(f"{before}<!-- results{_START}{results()}<!-- end of results -->{after}")


if __name__ == "__main__":
    write()
