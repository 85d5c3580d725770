"""Do the numbers without labels tell a learning, a random and a collapsed encoder apart?

    python -m experiments.learning_signs --budget=cpu

BYOL, VICReg and SIGReg, each in three states: as configured; with the learning rate 0; and without
what holds different images apart (BYOL's predictor, VICReg's variance and covariance, SIGReg's
regulariser). The deviation and the effective rank of the projections z are those that the training
logs, of its last step; LiDAR and alignment of y are of test images.

The encoder and the data are small, so that a run takes half a minute on two cores.
"""

from experiments import evaluations, table

METHODS = {"byol": "BYOL", "vicreg": "VICReg", "sigreg": "SIGReg"}
_METHOD = "--config.method.method"
_SMALL = (
    *(f"{_METHOD}.encoder.width=16", f"{_METHOD}.encoder.hidden=128"),
    *(f"{_METHOD}.encoder.features=32", f"{_METHOD}.projector.widths=(128,)"),
    *("--config.data.train_split=train[:5120]", "--config.data.test_split=test[:2048]"),
    *("--config.train.batch_size=128", "--config.train.epochs=4"),
    "--config.train.steps_per_dispatch=20",
)
_HEADS = {
    "byol": (f"{_METHOD}.projector.features=32", f"{_METHOD}.predictor.features=32"),
    "vicreg": (f"{_METHOD}.projector.features=32",),
    "sigreg": (f"{_METHOD}.projector.features=32", f"{_METHOD}.directions=64"),
}
_COLLAPSED = {
    "byol": (),  # a word of the config
    "vicreg": (f"{_METHOD}.variance=0.0", f"{_METHOD}.covariance=0.0"),
    "sigreg": (f"{_METHOD}.weight=0.0",),
}
LEARNING, RANDOM, COLLAPSED = "learning", "random", "collapsed"
DEVIATION, RANK = "features/z/deviation", "features/z/rank"
DIFFERS = {
    "cpu": "a small encoder, 4 epochs of 5,120 images, Adam",
    "smoke": "tiny networks, 512 images, 2 epochs",
}


def rows(budget: str) -> list[table.Row]:
    """The three states of each method."""
    return [
        _row(name, state, budget) for name in METHODS for state in (LEARNING, RANDOM, COLLAPSED)
    ]


def _row(name: str, state: str, budget: str) -> table.Row:
    off = ",predictor=off" if (name, state) == ("byol", COLLAPSED) else ""
    overrides = {
        LEARNING: (),
        RANDOM: ("--config.players.encoder.learning_rate=0.0",),
        COLLAPSED: _COLLAPSED[name],
    }[state]
    config = f"configs/{name}.py:data=cifar10{off},budget=smoke"
    evals = evaluations.chosen(config, "rank", "alignment")
    for spec in evals.values():
        spec["representations"] = ("trained",)
    if budget == "cpu":
        heads = _HEADS[name][:1] if off else _HEADS[name]
        overrides = (*_SMALL, *heads, *overrides)
    return table.Row(
        f"{METHODS[name]}, {state}",
        *(config, overrides),
        seeds=(0,) if budget == "smoke" else (0, 1, 2),
        differs=DIFFERS[budget],
        evals=evals,
        logged=(DEVIATION, RANK, "features/y/alignment"),
    )


def directions(rows) -> list[table.Direction]:
    """Each state is told from the others by one number."""
    del rows
    deviation, lidar = ("training", "", DEVIATION), ("rank", "y", "lidar")
    alignment = ("alignment", "y", "alignment")
    claims = []
    for label in METHODS.values():
        learning, random, collapsed = (
            f"{label}, {state}" for state in (LEARNING, RANDOM, COLLAPSED)
        )
        claims += [
            table.Direction(
                f"{label}: the deviation of z is twice as large as that of a collapsed network",
                *(learning, collapsed, deviation),
                factor=2.0,
            ),
            table.Direction(
                f"{label}: so is that of a random one", random, collapsed, deviation, factor=2.0
            ),
            table.Direction(
                f"{label}: LiDAR of a learning encoder is above that of a random one",
                *(learning, random, lidar),
            ),
            # Added after the runs had shown that LiDAR does not tell.
            table.Direction(
                f"{label}: views of an image are farther apart in a random encoder",
                *(random, learning, alignment),
            ),
        ]
    return claims


if __name__ == "__main__":
    table.main("learning_signs", rows, DIFFERS, directions)
