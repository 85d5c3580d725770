"""Writes the results section of the README from experiments/results/*.json.

python -m experiments.readme
"""

import json
import pathlib

from experiments import table

README = pathlib.Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- results: python -m experiments.readme -->\n"
END = "<!-- end of results -->"

SECTIONS = {
    "dim_cifar10_cpu": ("CIFAR-10, `budget=cpu`", "mlp"),
    "quickstart_seeds": ("The quick start", "svm_few"),
}


def section() -> str:
    """The Markdown between the markers."""
    parts = []
    for name, (title, evaluation) in SECTIONS.items():
        path = table.RESULTS / f"{name}.json"
        if path.exists():
            parts.append(_table(title, evaluation, json.loads(path.read_text())))
    return "\n".join(parts)


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
            label, _, *texts = table.line(row, evaluation, encoder)
            lines.append(f"| {' | '.join([label or 'untrained encoder', *texts])} |")
    return "\n".join(lines) + "\n"


def write() -> None:
    """Replaces the section in the README."""
    text = README.read_text()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    README.write_text(text[:start] + section() + text[end:])


if __name__ == "__main__":
    write()
