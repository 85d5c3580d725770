"""Table 11 of Deep InfoMax: a generator by two Gaussians beside NS-GAN-CP and WGAN-GP.

    python -m experiments.dim_table11 --budget=cpu

Published on Tiny ImageNet, with the Inception network, whose weights the budget `paper` needs as
inception.safetensors in this folder (docs: how-to on the quality of samples). The smaller budgets
have MNIST and, as the network that judges, an encoder of configs/supervised.py, which they train
first: their distances cannot be compared with the published ones, only the order of the rows can.
"""

import pathlib

from experiments import table, trainings

JUDGE = pathlib.Path(table.RUNS) / "judge_mnist"
_BY_JUDGE = (f"--config.evals.fid.encoder={JUDGE}", "--config.evals.fid.images=5000")
OVERRIDES = {
    "paper": ("--config.evals.fid.weights=inception.safetensors",),
    "cpu": ("--config.train.epochs=2.0", *_BY_JUDGE),
    "smoke": _BY_JUDGE,
}
SEEDS = {"paper": (0,), "cpu": (0, 1, 2), "smoke": (0,)}
DATA = {"paper": "tiny_imagenet", "cpu": "mnist", "smoke": "mnist"}
DIFFERS = {
    "paper": "means, penalty and discriminators of the two Gaussians are ours",
    "cpu": "MNIST, 2 epochs, small networks of DCGAN, an encoder of MNIST as judge",
    "smoke": "tiny networks, 512 images of MNIST, 2 epochs",
}
METHOD, NS_GAN, WGAN = "IE (two Gaussians)", "NS-GAN-CP", "WGAN-GP"
CONFIGS = {
    METHOD: "configs/implicit_generator.py:data={data},budget={budget}",
    NS_GAN: "configs/gan.py:ns_gan_cp,data={data},budget={budget}",
    WGAN: "configs/gan.py:wgan_gp,data={data},budget={budget}",
}


def rows(budget: str) -> list[table.Row]:
    return [row(budget, label, config) for label, config in CONFIGS.items()]


def row(budget: str, label: str, config: str, seeds: tuple[int, ...] | None = None) -> table.Row:
    """A row of a config with places for data and budget."""
    return table.Row(
        label,
        config.format(data=DATA[budget], budget=budget),
        OVERRIDES[budget],
        seeds=seeds or SEEDS[budget],
        differs=DIFFERS[budget],
    )


def directions(rows) -> list[table.Direction]:
    """The distances fall, and the order of the rows is the published one."""
    judge = "inception" if "tiny_imagenet" in rows[0].config else "supervised"
    distance = ("fid", "samples", f"fid[{judge}]")
    falls = [
        table.Direction(
            f"{each.label}: the distance falls below a fifth of its start",
            *(each.label, each.label, (*distance, "untrained"), distance),
            factor=5.0,
        )
        for each in rows
    ]
    return [
        *falls,
        table.Direction("the two Gaussians do not surpass NS-GAN-CP", METHOD, NS_GAN, distance),
        table.Direction("they do not surpass WGAN-GP", METHOD, WGAN, distance),
        table.Direction(
            "they come close: less than twice the distance of NS-GAN-CP (published: 1.4 times)",
            *(NS_GAN, METHOD, distance),
            factor=0.5,
        ),
    ]


def train_judge(budget: str) -> None:
    """Trains the encoder that judges the smaller budgets, unless it is there."""
    config = "configs/supervised.py:data=mnist,budget=cpu"
    if budget != "paper" and not (JUDGE / "results.json").exists():
        trainings.run([f"--config={config}", f"--workdir={JUDGE}"])


if __name__ == "__main__":
    table.main("dim_table11", rows, SEEDS, directions, train_judge)
