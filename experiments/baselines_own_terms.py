"""Do the adversarial baselines of Deep InfoMax do what they are made for?

    python -m experiments.baselines_own_terms --budget=cpu

AAE: its codes are like the prior, coordinate by coordinate. The share of coordinates that
Kolmogorov's test with 500 test images does not tell from the normal prior at level 0.01, beside an
autoencoder's (Makhzani et al. 2015). Batches are of 256: with 64 images a batch's own mean is as
far from 0 as what is to be corrected.

BiGAN: encoder and generator invert each other (Donahue et al. 2017). E(G(z)) against z and G(E(x))
against x, each beside chance. For `cpu` a narrow network with 16 codes, which learns in minutes
what the full one does not learn in one epoch.
"""

from experiments import evaluations, table

DIFFERS = {
    "paper": "AE and AAE: batch 256",
    "cpu": "bfloat16, rates of the cpu budget; AE and AAE: 4 epochs, batch 256, a narrow decoder; "
    "BiGAN: 3 epochs, a quarter of the encoder's channels, 16 codes, narrow networks",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
CONFIGS = {"AE": "ae.py:", "AAE": "aae.py:prior=gaussian,", "BiGAN": "bigan.py:deterministic,"}
_BATCH = ("--config.train.batch_size=256",)
_SHORT = ("--config.train.epochs=4", "--config.compute_dtype=bfloat16")
_NARROW = (
    "--config.train.epochs=3",
    "--config.compute_dtype=bfloat16",
    *("--config.method.method.encoder.width=16", "--config.method.method.encoder.hidden=256"),
    "--config.method.method.encoder.features=16",
    "--config.method.method.generator.base=64",
    "--config.method.method.generator.widths=(32,16,8)",
    "--config.method.method.discriminator.width=16",
)


def rows(budget: str) -> list[table.Row]:
    """The three baselines under one budget."""
    return [
        table.Row(
            label,
            config,
            _overrides(label, budget),
            evals=evaluations.trained(config),
            differs=DIFFERS[budget],
            compared=False,  # the published accuracies are of other batches and networks
        )
        for label, words in CONFIGS.items()
        for config in [f"configs/{words}data=cifar10,budget={budget}"]
    ]


def _overrides(label: str, budget: str) -> tuple[str, ...]:
    if label == "BiGAN":
        return _NARROW if budget == "cpu" else ()
    return (*_BATCH, *_SHORT) if budget == "cpu" else _BATCH


def directions(rows) -> list[table.Direction]:
    """The adversarial term brings the marginals to the prior."""
    del rows
    measure = ("uniformity", "y", "kolmogorov_gaussian_passed")
    return [table.Direction("more coordinates pass with the prior term", "AAE", "AE", measure)]


if __name__ == "__main__":
    table.main("baselines_own_terms", rows, DIFFERS, directions)
