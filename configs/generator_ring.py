"""Two Gaussians on points: eight Gaussians on a ring, in minutes on a CPU.

    python -m dim_jax.main --config configs/generator_ring.py

Words: targets=overlapping | apart; order=simultaneous | turns; budget=cpu | smoke. The method of
configs/implicit_generator.py with networks of two hidden layers and without a penalty: the points
are so few numbers that the encoder needs none. The generator is small and moves in every fifth
step, so that the encoder can follow: were its points those of the data, no encoder could take the
two to different targets. All rates fall to 0.

Metric: the energy distance of generated and test points, the number of Gaussians that the generator
reaches, and means and deviations of the encodings beside their targets (`evals.modes` and
`evals.scores`). Measured: docs/results/generators.md.
"""

from configs import common, implicit_generator
from configs.common import generators


def get_config(argument: str = ""):
    words = common.parse(
        argument,
        targets=tuple(implicit_generator.TARGETS),
        order=("simultaneous", "turns"),
        budget=("cpu", "smoke"),
    )
    method = dict(
        name="implicit_generator",
        encoder=dict(name="mlp", widths=(128, 128)),
        generator=dict(name="mlp_generator", widths=(32, 32), shape=(1, 1, 2)),
        discriminator=dict(name="discriminator", widths=(64, 64)),
        prior=dict(name="gaussian"),
        dimensions=2,
        targets=implicit_generator.TARGETS[words["targets"]],
        penalty=0.0,
        convention="half",
    )
    rates = dict.fromkeys(implicit_generator.TURNS, 1e-3)
    players = implicit_generator.players(rates, words["order"], decay=True)
    if words["order"] == "simultaneous":
        players["generator"]["every"] = 5
    evals = generators.evals() | dict(modes=dict(name="modes"))
    config = common.config(
        data=common.data("ring"),
        method=method,
        players=players,
        train=common.train(batch_size=256, epochs=128.0, steps_per_dispatch=250, save_epochs=16.0),
        evals={key: spec for key, spec in evals.items() if key != "fid"},
    )
    smoke = {
        **{"method.encoder.widths": (8, 8), "method.generator.widths": (8, 8)},
        **{"train.epochs": 1.0, "train.steps_per_dispatch": 20, "train.save_epochs": 1.0},
    }
    return common.budgeted(config, words["budget"], smoke=smoke)
