"""Writes the README's results, from experiments/results/*.json, and its table of the bounds.

python -m experiments.readme
"""

import json
import pathlib

from dim_jax import bounds
from experiments import readme_results, table

README = pathlib.Path(__file__).parent.parent / "README.md"
MADE_HERE = ": python -m experiments.readme -->\n"


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


def steps_speed() -> str:
    """Whole training steps beside PyTorch's on a CPU, from experiments/bench_train_step.py."""
    content = json.loads((table.RESULTS / "bench_train_step_cpu.json").read_text())
    cases: dict[str, dict] = {}
    for row in content["rows"]:
        cases.setdefault(row["case"], {})[row["step"], row["dtype"]] = row
    dtypes = ("float32", "bfloat16")
    lines = [
        f"Images per second of whole DIM(L) InfoNCE steps, {content['device']}, jax "
        f"{content['versions']['jax']} and PyTorch {content['versions']['torch']}, the faster of "
        "eager and compiled (`python -m experiments.bench_train_step`, extra `bench`):",
        "",
        "| step | float32 | PyTorch | bfloat16 | PyTorch | bfloat16 over the best of PyTorch "
        "| of the matmul rate | trainer over bare step |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, rows in cases.items():
        cells = []
        for dtype in dtypes:
            theirs = [row for key, row in rows.items() if key == (f"pytorch {key[0][8:]}", dtype)]
            fastest = max(row["images_per_second"] for row in theirs)
            cells += [f"{rows['dim_jax', dtype]['images_per_second']:,.0f}", f"{fastest:,.0f}"]
        ours, trainer = rows["dim_jax", "bfloat16"], rows["trainer", "bfloat16"]
        cells += [f"{ours['over_best_pytorch']:.2f}", f"{ours['fraction_of_matmul']:.2f}"]
        lines.append(f"| {case} | {' | '.join(cells)} | {trainer['trainer_over_bare']:.2f} |")
    return "\n".join(lines) + "\n"


def parts(text: str, name: str) -> tuple[str, str, str]:
    """A text before, between and after the markers of a section."""
    before, _, rest = text.partition(f"<!-- {name}{MADE_HERE}")
    between, _, after = rest.partition(f"<!-- end of {name} -->")
    return before, between, after


GENERATED = {
    "bounds": bounds_table,
    "speed": bounds_speed,
    "steps": steps_speed,
    "results": lambda: readme_results.results(table.RESULTS),
}


def write() -> None:
    """Replaces the generated sections of the README."""
    text = README.read_text()
    for name, section in GENERATED.items():
        before, _, after = parts(text, name)
        text = f"{before}<!-- {name}{MADE_HERE}{section()}<!-- end of {name} -->{after}"
    README.write_text(text)


if __name__ == "__main__":
    write()
