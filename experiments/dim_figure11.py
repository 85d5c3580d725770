"""Figure 11 of Deep InfoMax on CelebA: what the weights alpha, beta and gamma do.

    python -m experiments.dim_figure11 --budget=paper

The paper says that alpha matters more here than on CIFAR-10, because attributes are details of the
whole image. It prints no grid and no numbers, so none stand beside ours. Needs CelebA on disk (see
configs/dim_celeba.py).
"""

from experiments import table, weights

DIFFERS = {
    "paper": "grid, evaluations and protocols ours",
    "cpu": "the cpu budget of the config; grid, evaluations and protocols ours",
    "smoke": "tiny networks, few images, 2 epochs",
}
MEASURES = (
    ("attributes at y, %", ("attributes", "y", "accuracy")),
    ("balanced, %", ("attributes", "y", "balanced_accuracy")),
    ("MS-SSIM", ("msssim", "y", "ms_ssim")),
    ("NDM after sigmoid, nats", ("ndm", "y", "ndm_after_sigmoid")),
)


def rows(budget: str) -> list[table.Row]:
    """The grid of weights under one budget."""
    config = f"configs/dim_celeba.py:mixed,bound=jsd,critic=concat,budget={budget}"
    return weights.rows(config, budget, DIFFERS[budget])


def directions(rows) -> list[table.Direction]:
    """What the paper says of the corners of the grid."""
    del rows
    local, both = weights.label(0, 1, 0.1), weights.label(1, 1, 0.1)
    return [table.Direction("attributes gain from alpha", both, local, MEASURES[0][1])]


if __name__ == "__main__":
    content = table.main("dim_figure11", rows, DIFFERS, directions)
    name = content["experiment"]
    weights.draw(content, name.rpartition("_")[2], MEASURES, table.RESULTS / f"{name}.png")
