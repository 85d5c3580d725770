"""The quick start with three seeds: few labels, trained against untrained encoder and pixels.

    python -m experiments.quickstart_seeds

The second row has no prior term: the first one's y, after the sigmoid, is closer to uniform.
"""

from experiments import table

SEEDS = (0, 1, 2)
ROWS = [
    table.Row("DIM(L) InfoNCE", "configs/quickstart.py", seeds=SEEDS),
    table.Row(
        "DIM(L) InfoNCE, no prior, 1 seed",
        "configs/quickstart.py",
        ("--config.method.method.gamma=0.0",),
        seeds=(0,),
    ),
]

if __name__ == "__main__":
    table.run("quickstart_seeds", ROWS)
