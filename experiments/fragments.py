"""The result of an experiment as Markdown, from its JSON file: no number is typed by hand."""

import re
from collections.abc import Iterable, Iterator, Sequence

from experiments import table_text

PROBES = {
    "classifier": "The model's own classifier",
    "knn": "k-nearest neighbours",
    "linear": "Linear probe",
    "mlp": "MLP probe",
    "own_classifier": "The model's own classifier",
    "svm": "Linear SVM",
}
_SCORES = (
    *("score_mean_real", "score_std_real", "score_mean_generated", "score_std_generated"),
    "score_overlap",
)
MEASURES = {  # shown besides accuracies; every run's report has all of them
    "baselines_own_terms_cpu": (
        *("kolmogorov_gaussian", "kolmogorov_gaussian_passed", "reconstruction_error"),
        *("code_recovery", "code_recovery_chance", "image_error", "image_error_random"),
    ),
    "cmc_views_cpu": ("retrieval",),
    "dim_a6_beta_vae_cpu": None,  # all
    "dim_figure15_cpu": ("fid[supervised]", *_SCORES),
    "dim_sigreg_prior_cpu": (
        *("normality_passed", "kolmogorov_gaussian_passed", "kolmogorov_gaussian"),
    ),
    "dim_table11_cpu": (
        *("fid[supervised]", "kid[supervised]", "precision[supervised]", "recall[supervised]"),
        *_SCORES,
    ),
    "dim_table4_cpu": ("ssim_dim_compat", "ms_ssim", "ndm", "ndm_after_sigmoid"),
    "exemplar_representations_cpu": ("bound",),
    "exemplar_table1_cpu": ("bound", "bound_ceiling"),
    "generator_ring": ("modes_covered", "high_quality", "energy_distance", *_SCORES),
    "learning_signs_cpu": (
        *("features/z/deviation", "features/z/rank", "features/y/alignment"),
        *("lidar", "effective_rank", "alignment", "uniformity"),
    ),
    "views_table_cpu": (
        *("effective_rank", "lidar", "alignment", "uniformity", "images_per_second"),
    ),
    "manifold_shiftmnist_cpu": ("follows_pixel",),
    "manifold_embedding_cpu": (
        *("entropy_fraction", "information", "information_ceiling", "used", "positions", "order"),
    ),
}
FIGURES = {  # of experiments/results, with what they show
    "dim_a1_jsd_vs_mi": "Jensen-Shannon divergence against mutual information",
    "dim_a6_beta_vae_cpu": "Measures against beta",
    "dim_figure9_cpu": "Accuracy against the number of negatives",
    "dim_figure15_cpu": "Histograms of the scores of real and generated images",
    "mi_staircase_cpu": "Values, bias, variance and error of estimators of mutual information",
    "wdm_grids_cpu": "Accuracy by digits and batch size, nats beside their ceiling, slopes",
    "mi_and_representations_cpu": "Accuracy of the probe of bijections, critics and encoders",
    "manifold_embedding_cpu": "Filters at their positions in the embedding plane",
}
_CONTROLS = ("raw pixels", "PCA", "training minutes")


def experiment(name: str, content: dict) -> str:
    """The tables of an experiment, its claims as hit or miss, its figure and its runs."""
    evaluations = table_text.evaluations(content)
    permuted = [evaluation for evaluation in evaluations if evaluation.endswith("_permuted")]
    blocks = [
        summary(content),
        *(accuracies(content, each) for each in evaluations if each not in permuted),
        permuted_labels(content, permuted),
        measures(content, MEASURES.get(name, ())),
        claims(content),
        rankings(content),
        figure(name),
        missing(content),
        differences(content),
        runs(content),
    ]
    return unbroken("\n\n".join(filter(None, blocks)) + "\n")


def unbroken(text: str) -> str:
    """The text, in which no line ends between a number, its deviation and what was published."""
    return re.sub(r"(?<=\d) (?=[±(])|(?<=\d,) (?=[+-]\d)", "\u00a0", text)


def divergences(content: dict) -> str:
    """The exact study of App. A.1: a row for every number of symbols, and the figure."""
    rows = [
        (
            *(f"{row['size']}", f"{row['tables']}", f"{row['spearman']:.4f}"),
            f"{row['largest_information_nats']:.3f}",
            f"{100 * row['share_of_information_guaranteed']:.0f} %",
            f"{row['tables_where_guarantee_fails']}",
        )
        for row in content["rows"]
    ]
    headings = (
        *("symbols", "random tables", "rank correlation", "largest information, nats"),
        *("guaranteed share of the information", "tables that break the guarantee"),
    )
    facts = f"Seed {content['seed']}, computed in float64 without sampling, commit "
    differs = f"Differences from the published set-up: {content['differs']}."
    return "\n\n".join(
        [
            f"{facts}`{content['commit'][:10]}`.",
            markdown(headings, rows),
            figure("dim_a1_jsd_vs_mi"),
            differs,
        ]
    )


def summary(content: dict) -> str:
    """One paragraph: what the numbers are, how many seeds, images, steps, on which device."""
    rows = content["rows"]
    seeds = {len(row["seeds"]) for row in rows}
    spread = "one seed"
    if max(seeds) > 1:
        upto = "up to " if len(seeds) > 1 else ""
        spread = f"mean ± standard deviation over {upto}{max(seeds)} seeds"
        if any(len(cell.get("values", (0,))) == 1 for row in rows for cell in row["measures"]):
            spread += "; a number without ± is of one seed"
    steps = span([row["steps"] for row in rows if row["steps"] > 1])
    devices = ", ".join(dict.fromkeys(row["device"] for row in rows))
    text = (
        f"Data set `{rows[0]['dataset']}`: {rows[0]['train_examples']:,} training and "
        f"{rows[0]['test_examples']:,} test images. {steps} training steps on {devices}; {spread}."
    )
    cells = [cell for row in rows for cell in row["measures"]]
    if any(cell.get("published_percent") or cell.get("published") for cell in cells):
        text += " In parentheses: the published value and the difference from it."
    return text


def span(values: Iterable[int]) -> str:
    """The smallest and the largest of several numbers."""
    ends = dict.fromkeys((min(values), max(values)))
    return " to ".join(f"{value:,}" for value in ends)


def accuracies(content: dict, evaluation: str) -> str:
    """The table of one evaluation: test accuracy in percent of every row at every tap."""
    taps = table_text.taps(content, evaluation)
    rows = [
        (label, encoder, *texts)
        for row in content["rows"]
        for encoder in ("trained", "untrained")
        for label, _, *texts in [table_text.line(row, evaluation, encoder, taps)]
    ]
    heading = f"**{protocol(content, evaluation)}**, test accuracy in percent:"
    kept = without_empty(("", *taps, *_CONTROLS), [*_one_untrained(rows)])
    return f"{heading}\n\n{markdown(*kept)}"


def protocol(content: dict, evaluation: str) -> str:
    """An evaluation in words: the probe, its protocol and the labels it was trained with."""
    cell = next(
        cell for row in content["rows"] for cell in row["measures"] if cell["eval"] == evaluation
    )
    probe = PROBES.get(evaluation) or PROBES[evaluation.partition("_")[0]]
    labels = f"{cell['labels']} labels" if cell["labels"] == "all" else cell["labels"]
    if not cell["protocol"]:
        return probe
    return f"{probe} (`{cell['protocol']}`, {labels.replace('all,', 'all labels,')})"


def permuted_labels(content: dict, evaluations: Sequence[str]) -> str:
    """One line: the accuracies of probes with permuted training labels."""
    values = [
        100 * cell["value"]
        for row in content["rows"]
        for cell in row["measures"]
        if cell["eval"] in evaluations and cell["metric"] == "accuracy"
    ]
    if not values:
        return ""
    ends = dict.fromkeys(f"{value:.1f}" for value in (min(values), max(values)))
    return f"Control with permuted training labels: {' to '.join(ends)} percent."


def measures(content: dict, shown: Sequence[str] | None) -> str:
    """The table of the measures that are not accuracies; None shows all of them."""
    names = [key for key in table_text.other_measures(content) if shown is None or key[2] in shown]
    if not names:
        return ""
    taps = {tap for _, tap, _ in names if tap}
    headings = [_heading(content, key, names, with_tap=len(taps) > 1) for key in names]
    rows = [
        (row["label"] if encoder == "trained" else "", encoder, *cells)
        for row in content["rows"]
        for encoder in ("trained", "untrained")
        for cells in [table_text.others(row, names, encoder)]
    ]
    at = f" at `{next(iter(taps))}`" if len(taps) == 1 else ""
    kept = without_empty(("", *headings), [*_one_untrained(rows, minutes=False)])
    return f"**Other measures**{at}:\n\n{markdown(*kept)}"


def _heading(
    content: dict, key: tuple[str, str, str], names: Sequence[tuple], *, with_tap: bool
) -> str:
    """A metric in words, with its tap, and its protocol where several evaluations measure it."""
    evaluation, tap, metric = key
    text = metric.replace("_", " ") + (f", {tap}" if tap and with_tap else "")
    if sum(other[1:] == key[1:] for other in names) == 1:
        return text
    protocols = (
        cell["protocol"]
        for row in content["rows"]
        for cell in row["measures"]
        if cell["eval"] == evaluation
    )
    return f"{text}, {next(protocols)}"


def claims(content: dict, labels: Iterable[str] | None = None) -> str:
    """The claims that rows bear out or not; those about certain rows only, if named."""
    rows = [
        _claim(direction)
        for direction in content.get("directions", ())
        if labels is None or {direction["larger"], direction["smaller"]} & {*labels}
    ]
    rows += [
        (f"{fall['pixel'].capitalize()}: {fall['claim']}", fall["verdict"], f"{fall['points']}", "")
        for fall in content.get("falls", ())
        if labels is None
    ]
    headings = ("claim", "outcome", "mean difference", "seeds in favour")
    return f"**Claims**:\n\n{markdown(headings, rows)}" if rows else ""


def _claim(direction: dict) -> tuple[str, ...]:
    differences = direction["differences"]
    right = sum(difference > 0 for difference in differences)
    scale, unit = (100, " points") if direction["measure"][2] == "accuracy" else (1, "")
    return (
        direction["claim"][0].upper() + direction["claim"][1:],
        direction["verdict"],
        f"{scale * direction['mean_difference']:+.3g}{unit}",
        f"{right} of {len(differences)}",
    )


def rankings(content: dict) -> str:
    """The order of the rows beside the published one, for every tap with published numbers."""
    rows = [
        (
            *(f"`{order.tap}`", " > ".join(order.ours), " > ".join(order.published)),
            f"{order.correlation:.2f}",
        )
        for order in table_text.orders(content)
    ]
    headings = ("tap", "measured order", "published order", "rank correlation")
    return f"**Order of the rows**:\n\n{markdown(headings, rows)}" if rows else ""


def figure(name: str) -> str:
    """The figure of an experiment, where it has one."""
    if name not in FIGURES:
        return ""
    return f"![{FIGURES[name]}](/_generated/figures/{name}.png)"


def missing(content: dict) -> str:
    """The rows and seeds that have no results yet, where a result file lists them."""
    labels = ", ".join(f"*{label}*" for label in content.get("missing", ()))
    return f"**Not run yet**: {labels}." if labels else ""


def differences(content: dict) -> str:
    """The differences of the rows from the published set-up."""
    texts = {row["differs"]: None for row in content["rows"] if row["differs"]}
    if not texts:
        return ""
    if len(texts) == 1:
        return f"**Differences from the published set-up**: {next(iter(texts))}."
    # In italics: a label may hold commas, or begin like an item of a list.
    labels = {
        text: ", ".join(f"*{row['label']}*" for row in content["rows"] if row["differs"] == text)
        for text in texts
    }
    lines = [f"- {labels[text]}: {text}." for text in texts]
    return "**Differences from the published set-up**:\n\n" + "\n".join(lines)


def runs(content: dict) -> str:
    """Every row's command, seeds, steps, device and commit, folded away."""
    rows = [
        (
            *(row["label"], f"`{table_text.command(row)}`"),
            *(", ".join(map(str, row["seeds"])), f"{row['steps']:,}", f"{row['epochs']:g}"),
            *(row["device"], f"`{row['commit'][:10]}`"),
        )
        for row in content["rows"]
    ]
    headings = ("row", "config and overrides", "seeds", "steps", "epochs", "device", "commit")
    versions = content["rows"][0]["versions"]
    text = ", ".join(f"{package} {version}" for package, version in versions.items())
    table = markdown(headings, rows)
    return f":::{{dropdown}} Command, seeds, steps and commit of every row\n{table}\n\n{text}\n:::"


def _one_untrained(rows, minutes: bool = True) -> Iterator[tuple[str, ...]]:
    """(label, *cells) of rows with numbers, and the untrained encoder of the first row only."""
    seen = False
    for label, encoder, *cells in rows:
        numbers = any(cells[:-1] if minutes and encoder == "trained" else cells)
        if encoder == "untrained" and numbers:
            if not seen:
                yield "untrained encoder", *cells
            seen = True
        elif encoder == "trained" and numbers:
            yield label, *cells


def without_empty(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list, list]:
    """Headings and rows without the columns, but the first, that hold nothing."""
    kept = [0, *(i for i in range(1, len(headings)) if any(row[i] for row in rows))]
    return [headings[i] for i in kept], [[row[i] for i in kept] for row in rows]


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = (headings, ("---",) * len(headings), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
