"""Are the codes of an adversarial autoencoder like its prior, coordinate by coordinate?

    python -m experiments.aae_marginals --budget=cpu

The share of coordinates that Kolmogorov's test with 500 test images does not tell from the normal
prior at level 0.01, and the mean Kolmogorov distance, of an autoencoder without and with the
adversarial term (Makhzani et al. 2015). Batches are of 256: with 64 images a batch's own mean is as
far from 0 as what is to be corrected.
"""

from experiments import table

DIFFERS = {
    "paper": "batch 256",
    "cpu": "4 epochs in bfloat16, batch 256, rates of the cpu budget, a narrow decoder",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
_BATCH = ("--config.train.batch_size=256",)
_SHORT = (*_BATCH, "--config.train.epochs=4", "--config.compute_dtype=bfloat16")
CONFIGS = {"AE": "ae.py:", "AAE": "aae.py:prior=gaussian,"}


def rows(budget: str) -> list[table.Row]:
    """Both autoencoders under one budget."""
    return [
        table.Row(
            label,
            f"configs/{config}data=cifar10,judge=trained,budget={budget}",
            _SHORT if budget == "cpu" else _BATCH,
            differs=DIFFERS[budget],
            compared=False,  # the published accuracies are of batches of 64
        )
        for label, config in CONFIGS.items()
    ]


def directions(rows) -> list[table.Direction]:
    """The adversarial term brings the marginals to the prior."""
    del rows
    measure = ("uniformity", "y", "kolmogorov_gaussian_passed")
    return [table.Direction("more coordinates pass with the prior term", "AAE", "AE", measure)]


if __name__ == "__main__":
    table.main("aae_marginals", rows, DIFFERS, directions)
