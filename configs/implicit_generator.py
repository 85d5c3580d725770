"""A generator by implicit prior matching: two Gaussians (Hjelm et al. 2019, Appendix A.8 to A.10).

    python -m dim_jax.main --config configs/implicit_generator.py:data=mnist,budget=cpu

Words: order=simultaneous | turns; targets=overlapping | apart; penalty=paper | released;
data=mnist | cifar10 | imagenette | tiny_imagenet | celeb_a | lsun; nets=auto | resnet | dcgan;
evaluated=last | average (of the generator's parameters over steps); budget=paper | cpu | smoke.

An encoder maps real images to N(1, 1) and generated ones to N(-1, 1), each with a discriminator in
one dimension; the generator moves the mean of its encodings to 1. The two have 0.317 of their mass
in common; with targets=apart, 2.5 and -2.5, it is 0.012. With order=turns, steps are in turn those
of the discriminators, of the encoder and of the generator, else all four players move in each.
The contractive penalty on the encoder has the two conventions of configs/gan.py. Gradients of the
discriminators are clipped to norm 1.

Metric: as configs/gan.py. Published for Tiny ImageNet, with Inception: score 7.41, distance 55.15.
Means, weights, discriminators and the order of updates are not published; these are ours.
"""

from configs import common
from configs.common import generators

TARGETS = {"overlapping": (1.0, -1.0), "apart": (2.5, -2.5)}
TURNS = ("discriminator_real", "discriminator_generated", "encoder", "generator")
_STEPS = 200_000


def get_config(argument: str = ""):
    words = generators.parse(argument, order=("simultaneous", "turns"), targets=tuple(TARGETS))
    method = dict(
        name="implicit_generator",
        **generators.networks(words),
        discriminator=dict(name="discriminator", widths=(64, 64)),
        targets=TARGETS[words["targets"]],
        penalty=0.1,
        convention=generators.CONVENTIONS[words["penalty"]],
    )
    rates = dict.fromkeys(TURNS, 1e-4)
    return generators.config(
        words,
        method=method,
        players=players(rates, words["order"]),
        row="two_gaussians",
        steps=_STEPS * (3 if words["order"] == "turns" else 1),
        cpu={f"players.{player}.learning_rate": 5e-4 for player in TURNS[:3]}
        | {"players.generator.learning_rate": 2e-4},
    )


def players(rates: dict[str, float], order: str, *, decay: bool = False) -> dict[str, dict]:
    """The optimizers of the four players."""
    optimizers = {player: common.adam(rate, decay=decay) for player, rate in rates.items()}
    for player in TURNS[:2]:
        optimizers[player]["clip_norm"] = 1.0
    if order == "turns":
        for offset, names in enumerate((TURNS[:2], TURNS[2:3], TURNS[3:])):
            for player in names:
                optimizers[player] |= dict(every=3, offset=offset)
    return optimizers
