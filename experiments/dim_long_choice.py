"""Recipes for the budget `long` of DIM(L), compared on validation images.

    python -m experiments.dim_long_choice --budget=cpu

The candidates are configs/dim_cifar10.py with budget=long and other batches, rates and critics:
unless named, batches of 256 at a rate of 1.5e-3, and a critic 256 wide with layer norm of the
anchors. They train for eight epochs on the first 45,000 training images of CIFAR-10, and probes of
conv and y are tested on the other 5,000, so that no test image takes part in the choice. Eight
epochs say which setting learns faster, not which one ends higher after sixty.
"""

from experiments import evaluations, table

DIFFERS = {
    "cpu": "8 epochs, 45,000 training images; probe protocol mlp-v1, tested on 5,000 other "
    "training images of CIFAR-10; minutes on one of two cores, the other busy",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
BOUNDS = {"infonce": "InfoNCE", "jsd": "JSD"}
_RATES = "--config.players.{}.learning_rate={}"


def _recipe(*, batch: int = 256, rate: str = "1.5e-3", width: int = 256, norm: bool = True):
    """Overrides of batch size, learning rates, and the critic's width and norm of the anchors."""
    return (
        f"--config.train.batch_size={batch}",
        "--config.train.steps_per_dispatch=39",
        *(_RATES.format(name, rate) for name in ("encoder", "discriminator")),
        f"--config.method.method.local_critic.width={width}",
        f"--config.method.method.local_critic.norm_anchors={norm}",
    )


_SMALL = dict(batch=64, rate="1e-3")
CANDIDATES = {
    "batch 256, rate 1.5e-3": _recipe(),
    "batch 64, rate 1e-3": _recipe(**_SMALL),
    "critic 512 wide": _recipe(width=512),
    # As in Table 8 of the paper; the official code of April 2019 has the norm.
    "anchors without layer norm": _recipe(norm=False),
    "anchors without layer norm, batch 64, rate 1e-3": _recipe(**_SMALL, norm=False),
}
_VALIDATED = (
    "--config.data.train_split=train[:45000]",
    "--config.data.test_split=train[45000:]",
    "--config.train.epochs=8",
)


def rows(budget: str) -> list[table.Row]:
    """Every candidate with every bound."""
    words = {"cpu": "long"}.get(budget, budget)
    return [
        _row(
            f"{title}, {label}",
            f"configs/dim_cifar10.py:local,bound={bound},budget={words}",
            each,
            budget,
        )
        for bound, title in BOUNDS.items()
        for label, each in CANDIDATES.items()
    ]


def _row(label: str, config: str, overrides: tuple[str, ...], budget: str) -> table.Row:
    evals = evaluations.chosen(config, "mlp", "uniformity")
    evals["mlp"] |= {"taps": ("conv", "y"), "representations": ("trained",)}
    validated = _VALIDATED if budget == "cpu" else ()
    return table.Row(
        label,
        config,
        (*validated, *overrides),
        differs=DIFFERS[budget],
        compared=False,
        evals=evals,
    )


if __name__ == "__main__":
    table.main("dim_long_choice", rows, DIFFERS)
