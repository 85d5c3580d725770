"""Figure 10 of Deep InfoMax on CIFAR-10: what the weights alpha, beta and gamma do.

    python -m experiments.dim_figure10 --budget=cpu

The paper says: classification needs beta, reconstruction needs alpha; a small alpha helps
classification, a small beta reconstruction; MINE is highest with both; a low NDM needs gamma, and a
small gamma helps classification. It prints no grid and no numbers, so none stand beside ours. Its
critics are the concatenating ones, as in Table 4.
"""

from experiments import evaluations, table, weights

DIFFERS = {
    "paper": "grid and protocols ours",
    "cpu": "1 epoch, rate and critic width of the cpu budget, grid and protocols ours, no MINE",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
SHORT = {
    "cpu": (
        "--config.train.epochs=1",
        "--config.evals.svm.taps=('y',)",
        *(
            f"--config.evals.{name}.representations=('trained',)"
            for name in ("svm", "msssim", "ndm_unscaled")
        ),
        *(f"--config.evals.{name}.representations=()" for name in ("mine", "ndm")),
    )
}
MEASURES = (
    ("MS-SSIM", ("msssim", "y", "ms_ssim")),
    ("MINE, nats", ("mine", "y", "mine")),
    ("NDM after sigmoid, nats", ("ndm_unscaled", "y", "ndm_after_sigmoid")),
)


def rows(budget: str) -> list[table.Row]:
    """The grid of weights under one budget."""
    # prior=none: no published row belongs to these weights; gamma is set with the others.
    config = f"configs/dim_cifar10.py:mixed,bound=jsd,critic=concat,prior=none,budget={budget}"
    evals = evaluations.measures(config, budget)
    short = SHORT.get(budget, ())
    return weights.rows(config, budget, DIFFERS[budget], short, "method.method", evals)


def _svm(budget: str) -> weights.Measure:
    return ("svm_hinge" if budget == "paper" else "svm", "y", "accuracy")


def directions(rows) -> list[table.Direction]:
    """What the paper says of the corners and the edges of the grid."""
    svm = _svm(rows[0].config.rpartition("=")[2])
    (_, msssim), _, (_, ndm) = MEASURES
    local, globally = weights.label(0, 1, 0.1), weights.label(1, 0, 0.1)
    centre = (*weights.CENTRE, 1.0), (*weights.CENTRE, 0.0)
    strong, without = (weights.label(*point) for point in centre)
    return [
        table.Direction("classification needs beta", local, globally, svm),
        table.Direction("reconstruction needs alpha", globally, local, msssim),
        table.Direction("a low NDM needs gamma", without, strong, ndm),
    ]


if __name__ == "__main__":
    content = table.main("dim_figure10", rows, DIFFERS, directions)
    name = content["experiment"]
    budget = name.rpartition("_")[2]
    measures = (("SVM at y, %", _svm(budget)), *MEASURES)
    weights.draw(content, budget, measures, table.RESULTS / f"{name}.png")
