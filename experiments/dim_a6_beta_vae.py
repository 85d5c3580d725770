"""Appendix A.6 of Deep InfoMax: does the neural dependency measure fall as beta of a VAE grows?

    python -m experiments.dim_a6_beta_vae --budget=cpu

The weight of the KL divergence presses the codes towards a law whose coordinates are independent,
so a measure of their dependence is to fall with it. The penalty acts on drawn codes; y is the mean
of their law, and both are measured, since the paper does not say which it took. NDM is measured in
the published form, `ndm-paper-v1`, of which each number takes minutes of a CPU, and in two of ours:
`ndm-v2`, and `ndm-v1`, which standardises the coordinates, so that those which a large beta has
collapsed count like the others. Beside NDM: the rate, what the decoder loses, and both bounds of
the evidence of the model with beta 1. The paper prints no table of it.
"""

import itertools
import pathlib

from dim_jax.evaluate.figures import drawing
from experiments import evaluations, table

DIFFERS = {
    "paper": "our betas",
    "cpu": "1 epoch in bfloat16, rate of the cpu budget, a narrow decoder; our betas",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
BETAS = {
    "paper": (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0),
    "cpu": (0.25, 1.0, 2.0, 4.0, 16.0),
    "smoke": (1.0, 4.0),
}
FORMS = {"_paper": "ndm-paper-v1", "_unscaled": "ndm-v2", "": "ndm-v1"}  # ends of keys
MEASURES = {
    **{
        f"NDM, nats, {protocol}": (
            (f"ndm_of_draws{form}", "y", "ndm_of_draws"),
            (f"ndm{form}", "y", "ndm"),
        )
        for form, protocol in FORMS.items()
    },
    "rate, nats": (("generative", "y", "rate"),),
    "squared error of a pixel": (("generative", "y", "reconstruction_error"),),
    "bounds of log p(x), nats": (
        ("generative", "y", "importance_weighted_bound"),
        ("generative", "y", "elbo"),
    ),
}
_LINES = {  # where a panel has two
    "ndm_of_draws": "drawn codes",
    "ndm": "means y",
    "importance_weighted_bound": "importance-weighted",
    "elbo": "ELBO",
}
_SHORT = (
    "--config.train.epochs=1",
    "--config.compute_dtype=bfloat16",
    "--config.evals.ndm.representations=('trained',)",
    *(f"--config.evals.{name}.representations=()" for name in ("svm", "msssim", "mine")),
    "--config.evals.svm_permuted.representations=()",
)


def rows(budget: str) -> list[table.Row]:
    """One VAE for each beta."""
    config = f"configs/vae.py:vae,data=cifar10,budget={budget}"
    return [
        table.Row(
            label(beta),
            config,
            (f"--config.method.method.beta={beta}", *(_SHORT if budget == "cpu" else ())),
            differs=DIFFERS[budget],
            compared=False,  # what is published is of beta 1 only, and in Table 4
            evals=_evaluations(config, budget),
        )
        for beta in BETAS[budget]
    ]


def _evaluations(config: str, budget: str) -> evaluations.Evals:
    """Table 4's measures with those of drawn codes; of `cpu`, NDM of the trained encoder alone."""
    evals = evaluations.measures(config, budget)
    if budget == "cpu":
        evals["ndm_unscaled"]["representations"] = ("trained",)
        evals |= evaluations.as_published("ndm")
    return evaluations.with_draws(evals)


def label(beta: float) -> str:
    """The name of the row of this weight."""
    return f"beta {beta:g}"


def directions(rows) -> list[table.Direction]:
    """Rate and NDM fall from each beta to the next, the latter of draws and of means.

    Not in the form of standardised coordinates, of which the paper says nothing.
    """
    labels = [row.label for row in rows]
    measures = {"rate": ("generative", "y", "rate")}
    for form in ("_paper", "_unscaled"):
        draws, means = MEASURES[f"NDM, nats, {FORMS[form]}"]
        measures[f"NDM of drawn codes, {FORMS[form]},"] = draws
        measures[f"NDM of y, {FORMS[form]},"] = means
    return [
        table.Direction(f"{name} falls from {low} to {high}", low, high, measure)
        for name, measure in measures.items()
        for low, high in itertools.pairwise(labels)
    ]


def figure(content: dict, path: pathlib.Path) -> None:
    """One panel for each measure, over beta."""
    columns = len(MEASURES) // 2
    canvas = drawing.new(3.0 * columns, 5.6)
    panels = canvas.subplots(2, columns)
    for axes, (title, measures) in zip(panels.flat, MEASURES.items(), strict=True):
        for measure in measures:
            if points := [*_points(content, measure)]:
                axes.plot(*zip(*points, strict=True), marker="o", label=_LINES.get(measure[2]))
        axes.set_xscale("log")
        axes.set(title=title, xlabel="beta")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    canvas.tight_layout()
    canvas.savefig(path)


def _points(content: dict, measure: tuple[str, str, str]):
    for row in content["rows"]:
        for cell in row["measures"]:
            if (cell["eval"], cell["tap"], cell["metric"]) == measure:
                yield float(row["label"].removeprefix("beta ")), cell["value"]


if __name__ == "__main__":
    content = table.main("dim_a6_beta_vae", rows, DIFFERS, directions)
    figure(content, table.RESULTS / f"{content['experiment']}.png")
