"""The README's results as markdown, from experiments/results/*.json: no number is typed there."""

import json
import pathlib
from collections.abc import Iterator

from experiments import table_text

TITLES = {  # in this order
    "dim_table1_cpu": "CIFAR-10, DIM and its baselines (Table 1)",
    "baselines_own_terms_cpu": "CIFAR-10, what the adversarial baselines are made for",
    "dim_cifar10_cpu": "CIFAR-10, DIM for longer (Table 1)",
    "dim_table5_cpu": "CIFAR-10, extra tasks (Table 5)",
    "dim_table4_cpu": "CIFAR-10, other measures of y (Table 4)",
    "amdim_ablations_cpu": "CIFAR-10, what AMDIM needs",
    "cmc_views_cpu": "CIFAR-10, colour channels as views (CMC)",
    "exemplar_table1_cpu": "CIFAR-10, exemplars",
    "exemplar_representations_cpu": "CIFAR-10, what to take from an exemplar network",
    "manifold_shiftmnist_cpu": "shiftMNIST (Klindt et al. 2020, Table 1)",
    "manifold_shiftmnist_paper": "shiftMNIST on all training images",
    "manifold_embedding_cpu": "MNIST, filters on a plane",
    "dim_figure9_cpu": "CIFAR-10, number of negatives (Figure 9)",
    "quickstart_seeds": "The quick start",
}
EVALUATIONS = {  # of several
    "dim_cifar10_cpu": ("mlp",),
    "manifold_embedding_cpu": ("classifier",),
    "quickstart_seeds": ("svm_few",),
}
MEASURES = {  # beside accuracies, only these: the reports of the runs have the others
    "baselines_own_terms_cpu": (
        *("kolmogorov_gaussian", "kolmogorov_gaussian_passed", "reconstruction_error"),
        *("code_recovery", "code_recovery_chance", "image_error", "image_error_random"),
    ),
    "cmc_views_cpu": ("retrieval",),
    "exemplar_table1_cpu": ("bound", "bound_ceiling"),
    "exemplar_representations_cpu": ("bound",),
    "manifold_embedding_cpu": (
        *("entropy_fraction", "information", "information_ceiling", "used", "positions", "order"),
    ),
    "dim_table4_cpu": ("ssim_dim_compat", "ms_ssim", "ndm", "ndm_after_sigmoid"),
}
FIGURES = ("dim_figure9_cpu", "manifold_embedding_cpu")
_BESIDE = ("pixels", "PCA", "minutes")


def results(folder: pathlib.Path) -> str:
    """All sections, one after the other; experiments without results are left out."""
    sections = [
        section(name, title, json.loads((folder / f"{name}.json").read_text()))
        for name, title in TITLES.items()
        if (folder / f"{name}.json").exists()
    ]
    return "\n".join([*sections, *beta_study(folder), jsd_vs_mi(folder)])


def section(name: str, title: str, content: dict) -> str:
    """One experiment: what it is, its tables, and the paper's claims as hit or miss."""
    found = table_text.evaluations(content)
    permuted = [evaluation for evaluation in found if evaluation.endswith("_permuted")]
    shown = EVALUATIONS.get(name, [each for each in found if each not in permuted])
    lines = [_heading(title, content, shown), "", *_accuracies(content, shown)]
    lines += _controls(content, permuted)
    measures = [
        key for key in table_text.other_measures(content) if key[2] in MEASURES.get(name, ())
    ]
    if measures:
        lines += ["", *_measures(content, measures)]
    claims = [f"- {table_text.verdict(direction)}." for direction in content.get("directions", ())]
    claims += [f"- {table_text.order(order)}." for order in table_text.orders(content)]
    claims += [
        f"- {fall['pixel'].capitalize()}: {fall['claim']}: {fall['points']} ({fall['verdict']})."
        for fall in content.get("falls", ())
    ]
    lines += ["", *claims] if claims else []
    if name in FIGURES:
        lines += ["", f"![{title}](experiments/results/{name}.png)"]
    return "\n".join(lines) + "\n"


def _heading(title: str, content: dict, evaluations) -> str:
    first = content["rows"][0]
    measure = next(item for item in first["measures"] if item["eval"] in evaluations)
    labels = "all labels" if measure["labels"] == "all" else f"{measure['labels']}"
    counts = {len(row["seeds"]) for row in content["rows"]}
    several = f"{'up to ' if len(counts) > 1 else ''}{max(counts)} seeds"
    spread = f", mean and deviation of {several}" if max(counts) > 1 else ", one seed"
    how = f"`{measure['protocol']}`" if measure["protocol"] else "the methods' own classifiers"
    text = (
        f"**{title}**: test accuracy in percent, {how}, {labels}{spread}, "
        f"{first['test_examples']:,} test images, {first['steps']:,} steps on {first['device']}."
    )
    if any(item.get("published_percent") for item in first["measures"]):
        text += " In brackets: published and the difference."
    return text + (f" Differs from the published: {first['differs']}." if first["differs"] else "")


def _accuracies(content: dict, evaluations) -> Iterator[str]:
    for number, evaluation in enumerate(evaluations):
        taps = table_text.taps(content, evaluation)
        rows = [
            (label, encoder, *texts)
            for row in content["rows"]
            for encoder in ("trained", "untrained")
            for label, _, *texts in [table_text.line(row, evaluation, encoder, taps)]
        ]
        if len(evaluations) > 1:
            yield from ("", f"{evaluation}:", "") if number else (f"{evaluation}:", "")
        yield from _markdown((*taps, *_BESIDE), _without_repetition(rows, content))


def _controls(content: dict, evaluations) -> Iterator[str]:
    """One line: the accuracies with permuted training labels, from smallest to largest."""
    values = [
        100 * cell["value"]
        for row in content["rows"]
        for cell in row["measures"]
        if cell["eval"] in evaluations and cell["metric"] == "accuracy"
    ]
    if values:
        ends = dict.fromkeys(f"{value:.1f}" for value in (min(values), max(values)))
        yield from ("", f"With permuted training labels: {' to '.join(ends)}.")


def _measures(content: dict, names) -> Iterator[str]:
    headings = [f"{metric.replace('_', ' ')}, {tap}" for _, tap, metric in names]
    rows = [
        (row["label"] if encoder == "trained" else "", encoder, *cells)
        for row in content["rows"]
        for encoder in ("trained", "untrained")
        for cells in [table_text.others(row, names, encoder)]
    ]
    yield from _markdown(headings, _without_repetition(rows, content))


def _without_repetition(rows, content) -> Iterator[tuple[str, ...]]:
    """(label, cells): rows with numbers, and the untrained encoder of the first row only."""
    seen = False
    for label, encoder, *cells in rows:
        numbers = any(cells) and not (encoder == "trained" and not any(cells[:-1]))
        if encoder == "untrained" and numbers:
            if not seen:
                yield "untrained encoder", *cells
            seen = True
        elif encoder == "trained" and numbers:
            yield label, *cells


def _markdown(headings, rows) -> Iterator[str]:
    rows = [*rows]
    filled = [any(row[column + 1] for row in rows) for column in range(len(headings))]
    kept = [0, *(column + 1 for column, full in enumerate(filled) if full)]
    for cells in (("", *headings), ("---",) * (len(headings) + 1), *rows):
        yield f"| {' | '.join(cells[column] for column in kept)} |"


def beta_study(folder: pathlib.Path) -> Iterator[str]:
    """The study of App. A.6: a table over beta, its claims, its figure; nothing before it ran."""
    path = folder / "dim_a6_beta_vae_cpu.json"
    if not path.exists():
        return
    content = json.loads(path.read_text())
    first = content["rows"][0]
    yield (
        f"**Dependence of a beta-VAE's coordinates** (App. A.6), test images, one seed, "
        f"{first['steps']:,} steps on {first['device']}. {first['differs'].capitalize()}.\n"
    )
    names = table_text.other_measures(content)
    rows = [(row["label"], *table_text.others(row, names, "trained")) for row in content["rows"]]
    yield "\n".join(_markdown([name[2].replace("_", " ") for name in names], rows)) + "\n"
    yield "\n".join(f"- {table_text.verdict(claim)}." for claim in content["directions"]) + "\n"
    yield "![Measures over beta](experiments/results/dim_a6_beta_vae_cpu.png)\n"


def jsd_vs_mi(folder: pathlib.Path) -> str:
    """The exact study of App. A.1 in one line, and its figure."""
    rows = json.loads((folder / "dim_a1_jsd_vs_mi.json").read_text())["rows"]
    sizes = ", ".join(str(row["size"]) for row in rows)
    ranks = ", ".join(f"{row['spearman']:.4f}" for row in rows)
    return (
        f"**Jensen-Shannon divergence against mutual information** (App. A.1, exact, "
        f"{rows[0]['tables']} random tables for each size): rank correlations {ranks} for {sizes} "
        "symbols.\n\n![Divergence against information](experiments/results/dim_a1_jsd_vs_mi.png)\n"
    )
