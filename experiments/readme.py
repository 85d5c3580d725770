"""Writes the README's results, from experiments/results/*.json, and its table of the bounds.

python -m experiments.readme
"""

import json
import pathlib

from dim_jax import bounds
from experiments import table, table_text

README = pathlib.Path(__file__).parent.parent / "README.md"
MADE_HERE = ": python -m experiments.readme -->\n"

SECTIONS = {
    "dim_cifar10_cpu": ("CIFAR-10, `budget=cpu`", "mlp"),
    "quickstart_seeds": ("The quick start", "svm_few"),
}


def results() -> str:
    """Tables of what was measured."""
    tables = []
    for name, (title, evaluation) in SECTIONS.items():
        path = table.RESULTS / f"{name}.json"
        if path.exists():
            tables.append(_table(title, evaluation, json.loads(path.read_text())))
    return "\n".join(tables)


def _table(title: str, evaluation: str, content: dict) -> str:
    first = content["rows"][0]
    measure = next(item for item in first["measures"] if item["eval"] == evaluation)
    labels = measure["labels"] if measure["labels"] == "all" else f"{measure['labels']},"
    lines = [
        f"**{title}**: test accuracy in percent, `{measure['protocol']}`, {labels} labels, "
        f"{first['test_examples']:,} test images, {first['steps']:,} steps on "
        f"{first['device']}. In brackets: published (1000 epochs, another probe schedule) and the "
        "difference. Minutes of training, on a machine shared with other work."
        if any(item["published_percent"] for item in first["measures"])
        else f"**{title}**: test accuracy in percent, `{measure['protocol']}`, "
        f"{measure['labels']} (mean and deviation of {len(first['seeds'])} seeds), "
        f"{first['test_examples']:,} test images, {first['steps']:,} steps on {first['device']}.",
        "",
        "| | conv | fc | y | pixels | PCA | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in content["rows"]:
        for encoder in ("trained", "untrained") if row is first else ("trained",):
            label, _, *texts = table_text.line(row, evaluation, encoder)
            lines.append(f"| {' | '.join([label or 'untrained encoder', *texts])} |")
    return "\n".join(lines) + "\n"


def bounds_table() -> str:
    """What every function of `dim_jax.bounds` computes."""
    return bounds.table() + "\n"


def bounds_speed() -> str:
    """Time and memory of the bounds on a CPU, from experiments/bench_bounds.py."""
    content = json.loads((table.RESULTS / "bench_bounds_cpu.json").read_text())
    lines = [
        f"Value and gradient of dot-product scores, float32, {content['device']}, jax "
        f"{content['versions']['jax']} (`python -m experiments.bench_bounds`):",
        "",
        "| pairs | function | dense | blockwise | dense, MiB | blockwise, MiB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in content["rows"]:
        if row["critic"] == "dot" and row["dtype"] == "float32" and row["batch"] >= 8192:
            dense = "does not fit" if not row["dense_seconds"] else f"{row['dense_seconds']:.2f} s"
            lines.append(
                f"| {row['batch']:,} | `{row['bound']}` | {dense} | "
                f"{row['blockwise_seconds']:.2f} s | {row['dense_temp_mib']:,.0f} | "
                f"{row['blockwise_temp_mib']:,.0f} |"
            )
    return "\n".join(lines) + "\n"


def parts(text: str, name: str) -> tuple[str, str, str]:
    """A text before, between and after the markers of a section."""
    before, _, rest = text.partition(f"<!-- {name}{MADE_HERE}")
    between, _, after = rest.partition(f"<!-- end of {name} -->")
    return before, between, after


GENERATED = {"bounds": bounds_table, "speed": bounds_speed, "results": results}


def write() -> None:
    """Replaces the generated sections of the README."""
    text = README.read_text()
    for name, section in GENERATED.items():
        before, _, after = parts(text, name)
        text = f"{before}<!-- {name}{MADE_HERE}{section()}<!-- end of {name} -->{after}"
    README.write_text(text)


if __name__ == "__main__":
    write()
