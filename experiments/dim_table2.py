"""Table 2 of Deep InfoMax: Tiny ImageNet and STL-10, AlexNet-like encoder, DIM and its baselines.

    python -m experiments.dim_table2 --budget=paper

Accuracy of an MLP on conv, fc and y, and for STL-10 of the fine-tuned encoder (column SS). Needs
both data sets (see configs/dim_stl10.py and configs/dim_tiny_imagenet.py). --only=STL-10 runs one.
"""

from experiments import dim_table1, table

DIFFERS = {
    "paper": "one seed; the schedule of finetune-paper-v1 is ours",
    "cpu": "2 epochs, a third of the encoder's width, a quarter of the locations, a higher rate; "
    "protocols mlp-v1 and finetune-v1",
    "smoke": "tiny networks, 512 images, 2 epochs",
}


def rows(budget: str) -> list[table.Row]:
    """All rows of both data sets under one budget."""
    return [
        table.Row(f"{label}, {title}", config, differs=DIFFERS[budget])
        for name, title in dict(tiny_imagenet="Tiny ImageNet", stl10="STL-10").items()
        for label, config in dim_table1.commands(name, f"budget={budget}")
    ]


if __name__ == "__main__":
    table.main("dim_table2", rows, DIFFERS)
