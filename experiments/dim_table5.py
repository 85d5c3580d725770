"""Table 5 of Deep InfoMax on CIFAR-10: DIM(L) InfoNCE with occlusion and coordinate prediction.

    python -m experiments.dim_table5 --budget=cpu

The published plain row (conv 77.46, fc 73.33, y 70.65) differs from Table 1's, its settings are
not printed; beside our plain row stands Table 1's. Weights of the tasks are ours.
"""

from experiments import table

DIFFERS = {
    "paper": "weights of the tasks and the occluding rectangle are ours",
    "cpu": "2 epochs, rate and critic width of the cpu budget; probe protocol mlp-v1; "
    "our task weights",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
SEEDS = {"paper": (0,), "cpu": (0, 1, 2), "smoke": (0,)}
JUDGES = {"paper": "mlp", "cpu": "y", "smoke": "mlp"}
SHORT = {"cpu": ("--config.train.epochs=2",)}
TASKS = {"plain": "DIM", "coord": "+ coord", "occlude": "+ occlude", "both": "+ both"}


def rows(budget: str) -> list[table.Row]:
    """The four rows under one budget."""
    words = f"local,bound=infonce,judge={JUDGES[budget]},budget={budget}"
    return [
        table.Row(
            label,
            f"configs/dim_cifar10.py:{words},tasks={task}",
            SHORT.get(budget, ()),
            seeds=SEEDS[budget],
            differs=DIFFERS[budget],
        )
        for task, label in TASKS.items()
    ]


def directions(rows) -> list[table.Direction]:
    """What Table 5 says of y: every task raises it, both together most."""
    del rows
    y = ("mlp", "y", "accuracy")
    return [
        table.Direction("occlusion raises y", "+ occlude", "DIM", y),
        table.Direction("coordinate prediction raises y", "+ coord", "DIM", y),
        table.Direction("both raise y above occlusion alone", "+ both", "+ occlude", y),
    ]


if __name__ == "__main__":
    table.main("dim_table5", rows, DIFFERS, directions)
