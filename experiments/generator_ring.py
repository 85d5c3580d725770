"""Two Gaussians on a ring of eight: modes reached, energy distance, and the encodings' targets.

    python -m experiments.generator_ring

Beside the method: the same with frozen discriminators, so that the encoder is matched to nothing
that changes, and with targets 5 apart, which have hardly any mass in common.
"""

from experiments import table

SEEDS = (0, 1, 2)
_CONFIG = "configs/generator_ring.py"
METHOD, FROZEN, APART = "two Gaussians", "discriminators frozen", "targets 5 apart"
DISTANCE = ("modes", "y", "energy_distance")
MODES = ("modes", "y", "modes_covered")


def rows() -> list[table.Row]:
    frozen = tuple(
        f"--config.players.discriminator_{side}.learning_rate=0.0" for side in ("real", "generated")
    )
    return [
        table.Row(METHOD, _CONFIG, seeds=SEEDS),
        table.Row(FROZEN, _CONFIG, frozen, seeds=SEEDS),
        table.Row(APART, f"{_CONFIG}:targets=apart", seeds=SEEDS),
    ]


def directions() -> list[table.Direction]:
    start = (*DISTANCE, "untrained")
    return [
        table.Direction(
            "the energy distance falls below half of its start",
            *(METHOD, METHOD, start, DISTANCE),
            factor=2.0,
        ),
        table.Direction("it ends below that with frozen discriminators", FROZEN, METHOD, DISTANCE),
        table.Direction("it ends below that with targets 5 apart", APART, METHOD, DISTANCE),
        table.Direction("more modes are reached than with targets 5 apart", METHOD, APART, MODES),
    ]


if __name__ == "__main__":
    table.run("generator_ring", rows(), directions())
