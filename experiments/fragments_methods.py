"""Measured beside published results of each method, as Markdown."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence

from experiments import fragments, table_text
from experiments.fragments import markdown

CONFIGS = {  # of each page of docs/methods: how the names of its config files begin
    "aae": ("aae",),
    "ae": ("ae",),
    "amdim": ("amdim_",),
    "barlow": ("barlow",),
    "bigan": ("bigan",),
    "byol": ("byol",),
    "cmc": ("cmc",),
    "cpc": ("cpc_",),
    "dim": ("dim_", "quickstart", "folder", "arrays"),
    "exemplar": ("exemplar",),
    "gan": ("gan",),
    "implicit_generator": ("implicit_generator", "generator_ring"),
    "manifold": ("manifold_", "shiftmnist"),
    "moco": ("moco",),
    "nat": ("nat",),
    "sigreg": ("sigreg",),
    "simclr": ("simclr",),
    "supervised": ("supervised",),
    "swav": ("swav",),
    "vae": ("vae",),
    "vicreg": ("vicreg",),
    "wpc": ("wpc",),
}
_ANY_METHOD = "views"  # the config whose word `method` is the page
PAGES = {  # of docs/results: the result file, its page and title
    "dim_table1_long": ("dim-table1", "CIFAR-10, 25 and 60 epochs"),
    "dim_long_choice_cpu": ("dim-table1", "Recipes on validation images, 8 epochs"),
    "dim_table1_cpu": ("dim-table1", "CIFAR-10, one epoch"),
    "dim_cifar10_cpu": ("dim-table1", "CIFAR-10, 2 and 10 epochs"),
    "baselines_own_terms_cpu": ("dim-table1", "Adversarial baselines"),
    "dim_table4_cpu": ("dim-table4", "Other measures of y"),
    "dim_sigreg_prior_cpu": ("dim-sigreg", "A normal prior by SIGReg"),
    "dim_table5_cpu": ("dim-table5", "Extra tasks"),
    "dim_figure9_cpu": ("dim-figure9", "Number of negatives"),
    "dim_a6_beta_vae_cpu": ("dim-a6", "Dependence of a beta-VAE's coordinates"),
    "amdim_ablations_cpu": ("amdim", "Ablations of AMDIM"),
    "cmc_views_cpu": ("cmc", "Colour channels as views"),
    "learning_signs_cpu": ("learning-signs", "Numbers without labels"),
    "views_table_cpu": ("views", "Methods across views under one encoder"),
    "exemplar_table1_cpu": ("exemplar", "Exemplar-CNN, Table 1"),
    "exemplar_representations_cpu": ("exemplar", "Representations of Exemplar-CNN"),
    "manifold_embedding_cpu": ("manifold", "Filters of the image-manifold layer"),
    "manifold_shiftmnist_cpu": ("shiftmnist", "shiftMNIST, 10,000 training images"),
    "manifold_shiftmnist_column_cpu": ("shiftmnist", "shiftMNIST, earlier rates"),
    "manifold_shiftmnist_paper": ("shiftmnist", "shiftMNIST, all training images"),
    "manifold_shiftmnist_choice_cpu": ("shiftmnist", "Choice of strengths on shiftMNIST"),
    "quickstart_seeds": ("quickstart", "Quick start"),
    "arrays_gratings": ("arrays", "Arrays of five channels"),
    "generator_ring": ("generators", "Eight Gaussians on a ring"),
    "dim_table11_cpu": ("dim-table11", "Generators on MNIST, Table 11"),
    "dim_figure15_cpu": ("dim-figure15", "Scores of real and generated images, Figure 15"),
}
_HEADINGS = (
    *("row", "evaluation", "tap", "measured", "published", "difference", "untrained encoder"),
    *("raw pixels", "PCA", "seeds", "steps"),
)
_MAIN_TAPS = ("clean", "y", "test", "conv")  # of evaluations without published numbers


def method(page: str, results: Mapping[str, dict]) -> str:
    """All rows that train with the method's configs, experiment by experiment."""
    blocks = [block for name in PAGES if name in results for block in _of(page, name, results)]
    return fragments.unbroken("\n\n".join(blocks or [_NOTHING]) + "\n")


_NOTHING = "No training with these configs has been measured yet."


def _of(page: str, name: str, results: Mapping[str, dict]) -> Iterator[str]:
    content = results[name]
    rows = [row for row in content["rows"] if _is_of(page, row)]
    if not rows or name.endswith("_choice_cpu"):
        return
    content = {**content, "rows": rows}
    target, title = PAGES[name]
    yield f"{{ref}}`{title} <results-{target}>`"
    yield fragments.summary(content)
    lines = [line for row in rows for line in _lines(row, results[name]["rows"])]
    if lines:
        kept = fragments.without_empty(_HEADINGS, lines)
        yield f"Accuracies in percent:\n\n{markdown(*kept)}"
    yield from filter(None, [fragments.measures(content, fragments.MEASURES.get(name, ()))])
    yield from filter(None, [fragments.claims(content, [row["label"] for row in rows])])
    yield from filter(None, [fragments.differences(content)])


def _is_of(page: str, row: dict) -> bool:
    path, _, words = row["config"].partition(":")
    if (name := pathlib.Path(path).stem) == _ANY_METHOD:
        return not {page, f"method={page}"}.isdisjoint(words.split(","))
    return name.startswith(CONFIGS[page])


def _lines(row: dict, rows: Sequence[dict]) -> Iterator[tuple[str, ...]]:
    """A row's accuracies that have a published number; without any, those of its main tap."""
    cells = [
        cell
        for cell in row["measures"]
        if (cell["metric"], cell["representation"]) == ("accuracy", "trained")
        and not cell["eval"].endswith("_permuted")
    ]
    published = [cell for cell in cells if cell["published_percent"] is not None]
    main = [tap for tap in _MAIN_TAPS if any(cell["tap"] == tap for cell in cells)][:1]
    for cell in published or [cell for cell in cells if cell["tap"] in main]:
        yield _line(row, cell, [row, *(other for other in rows if _same_encoder(row, other))])


def _same_encoder(row: dict, other: dict) -> bool:
    """Whether another row's controls hold for this one: its data and its taps are the same.

    Some experiments measure the controls of an encoder in one row only.
    """
    return row["dataset"] == other["dataset"] and _taps(row) <= _taps(other)


def _taps(row: dict) -> set[tuple[str, str]]:
    return {
        (cell["eval"], cell["tap"])
        for cell in row["measures"]
        if cell["metric"] == "accuracy" and not cell["eval"].endswith("_permuted")
    }


def _line(row: dict, cell: dict, rows: Sequence[dict]) -> tuple[str, ...]:
    """One accuracy beside its controls, those of the first of `rows` that has them."""
    controls = [
        table_text.percent(table_text.accuracy(rows, cell["eval"], *where), published=False)
        for where in (("untrained", cell["tap"]), ("pixels", "pixels"), ("pca", "pca"))
    ]
    published = cell["published_percent"]
    labels = "" if cell["labels"] == "all" else f", {cell['labels']}"
    return (
        *(row["label"], (cell["protocol"] or cell["eval"]) + labels, f"`{cell['tap']}`"),
        table_text.percent(cell, published=False),
        *(
            ("", "")
            if published is None
            else (f"{published:.1f}", f"{cell['difference_points']:+.1f}")
        ),
        *(*controls, f"{len(row['seeds'])}", f"{row['steps']:,}"),
    )
