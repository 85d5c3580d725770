"""Does SIGReg bring Deep InfoMax's y to a normal prior, where a discriminator does not?

    python -m experiments.dim_sigreg_prior --budget=cpu

DIM(L+G) with InfoNCE on CIFAR-10, without a prior, with a Gaussian prior matched by a discriminator
(Hjelm et al. 2019, section 3.3) and by SIGReg (Balestriero and LeCun 2025). The two losses have
different units: both have the weight of the config, 0.1, and ten times it. Measured on test images:
the share of coordinates of y that Kolmogorov's test does not tell from a standard normal law, and
the share that the test of D'Agostino and Pearson does not tell from any normal law; and an MLP on
y, which says what the prior costs.

Batches are of 256: with 64 images a batch's own mean is as far from 0 as what is to be corrected.
For `cpu` networks, critics and data are small, so that a run takes a minute on two cores.
"""

from experiments import evaluations, table

DIFFERS = {
    "paper": "batch 256; SIGReg is no part of the paper",
    "cpu": "4 epochs of 20,480 images, rate of the cpu budget, batch 256, a quarter of the "
    "encoder's channels, 32 features, narrow critics, 8 local features of an image",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
SEEDS = {"paper": (0,), "cpu": (0, 1, 2), "smoke": (0,)}
NONE = "DIM(L+G), no prior"
ADVERSARIAL, SIGREG = (
    {gamma: f"DIM(L+G), {name}, gamma {gamma}" for gamma in (0.1, 1.0)}
    for name in ("discriminator", "SIGReg")
)
_METHOD = "--config.method.method"
_BATCH = ("--config.train.batch_size=256",)
_SMALL = (
    "--config.data.train_split=train[:20480]",
    *("--config.train.epochs=4", "--config.train.steps_per_dispatch=20"),
    *(f"{_METHOD}.encoder.width=16", f"{_METHOD}.encoder.hidden=256"),
    *(f"{_METHOD}.encoder.features=32", f"{_METHOD}.sampled_locations=8"),
    *(f"{_METHOD}.local_critic.width=64", f"{_METHOD}.global_critic.widths=(64,64)"),
)
_OVERRIDES = {"paper": _BATCH, "cpu": (*_BATCH, *_SMALL), "smoke": ()}


def rows(budget: str) -> list[table.Row]:
    """DIM(L+G) with each prior under one budget."""
    evals = _evaluations(budget)
    kinds = [(NONE, "none", 0.0)]
    for labels, prior in ((ADVERSARIAL, "gaussian"), (SIGREG, "sigreg")):
        kinds += [(label, prior, gamma) for gamma, label in labels.items()]
    return [
        table.Row(
            label,
            f"configs/dim_cifar10.py:mixed,prior={prior},budget={budget}",
            (*_OVERRIDES[budget], f"{_METHOD}.gamma={gamma}"),
            seeds=SEEDS[budget],
            differs=DIFFERS[budget],
            evals=evals,
            compared=False,  # the paper has no such rows
        )
        for label, prior, gamma in kinds
    ]


def _evaluations(budget: str) -> evaluations.Evals:
    """The marginals of all rows against a normal law, and the MLP of y."""
    evals = evaluations.y(f"configs/dim_cifar10.py:mixed,prior=gaussian,budget={budget}")
    evals.pop("mlp_paper", None)  # the paper has no such rows
    evals["mlp"]["representations"] = ("trained",)
    return evals


def directions(rows) -> list[table.Direction]:
    """SIGReg is nearer to the prior than a discriminator, which is nearer than none."""
    del rows
    normal = ("uniformity", "y", "normality_passed")
    standard = ("uniformity", "y", "kolmogorov_gaussian_passed")
    claims = {
        "as DIM's prior the y marginals pass a normality test more often than with the adversarial "
        "Gaussian prior": normal,
        "they pass a test of the standard normal law more often": standard,
    }
    return [
        *(
            table.Direction(f"{claim}; gamma {gamma}", SIGREG[gamma], ADVERSARIAL[gamma], measure)
            for claim, measure in claims.items()
            for gamma in SIGREG
        ),
        *(
            table.Direction(
                f"the adversarial prior brings them nearer to this law; gamma {gamma}",
                *(ADVERSARIAL[gamma], NONE, standard),
            )
            for gamma in ADVERSARIAL
        ),
    ]


if __name__ == "__main__":
    table.main("dim_sigreg_prior", rows, DIFFERS, directions)
