"""Table 5 of Deep InfoMax on CIFAR-10: DIM(L) InfoNCE with occlusion and coordinate prediction.

    python -m experiments.dim_table5 --budget=cpu

The published plain row (conv 77.46, fc 73.33, y 70.65) differs from Table 1's, its settings are
not printed; beside our plain row stands Table 1's. Weights of the tasks are ours.
"""

from experiments import table

DIFFERS = {
    "paper": "weights of the tasks and the occluding rectangle are ours",
    "cpu": "10 epochs, rate and critic width of the cpu budget; probe protocol mlp-v1; tasks ours",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
SEEDS = {"paper": (0,), "cpu": (0, 1, 2), "smoke": (0,)}
TASKS = {"plain": "DIM", "coord": "+ coord", "occlude": "+ occlude", "both": "+ both"}


def rows(budget: str) -> list[table.Row]:
    """The four rows under one budget."""
    return [
        table.Row(
            label,
            f"configs/dim_cifar10.py:local,bound=infonce,tasks={task},judge=mlp,budget={budget}",
            seeds=SEEDS[budget],
            differs=DIFFERS[budget],
        )
        for task, label in TASKS.items()
    ]


if __name__ == "__main__":
    budget = table.budget(DIFFERS)
    table.run(f"dim_table5_{budget}", rows(budget))
