"""Table 5 of Deep InfoMax on CIFAR-10: DIM(L) InfoNCE with occlusion and coordinate prediction.

    python -m experiments.dim_table5 --budget=cpu

The published plain row (conv 77.46, fc 73.33, y 70.65) differs from Table 1's, its settings are
not printed; beside our plain row stands Table 1's. Weights of the tasks are ours.
"""

from experiments import evaluations, table

DIFFERS = {
    "paper": "weights of the tasks and the occluding rectangle are ours",
    "long": "epochs, batch, rate and critic width of the long budget; probe protocol mlp-v1; "
    "our task weights",
    "cpu": "2 epochs, rate and critic width of the cpu budget; probe protocol mlp-v1; "
    "our task weights",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
SEEDS = {"paper": (0,), "long": (0, 1), "cpu": (0, 1, 2), "smoke": (0,)}
SHORT = {"cpu": ("--config.train.epochs=2",)}
TASKS = {"plain": "DIM", "coord": "+ coord", "occlude": "+ occlude", "both": "+ both"}


def rows(budget: str) -> list[table.Row]:
    """The four rows under one budget."""
    config = f"configs/dim_cifar10.py:local,bound=infonce,budget={budget}"
    evals = evaluations.y(config) if budget == "cpu" else evaluations.mlp(config)
    return [
        table.Row(
            label,
            f"{config},tasks={task}",
            SHORT.get(budget, ()),
            seeds=SEEDS[budget],
            differs=DIFFERS[budget],
            evals=evals,
        )
        for task, label in TASKS.items()
    ]


def directions(rows) -> list[table.Direction]:
    """What Table 5 says of y: every task raises it, both together most."""
    y = (evaluations.judge(rows[0].config), "y", "accuracy")
    return [
        table.Direction("occlusion raises y", "+ occlude", "DIM", y),
        table.Direction("coordinate prediction raises y", "+ coord", "DIM", y),
        table.Direction("both raise y above occlusion alone", "+ both", "+ occlude", y),
    ]


if __name__ == "__main__":
    table.main("dim_table5", rows, DIFFERS, directions)
