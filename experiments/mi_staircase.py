"""Bias and variance of estimators of mutual information while it climbs from 2 to 10 nats.

    python -m experiments.mi_staircase --budget=cpu

A critic trains on correlated Gaussians of 20 columns each, x and y, or on x and y^3, which has the
same information; cubes are divided by their standard deviation. Every batch is drawn anew, so that
the value of a batch before the step that learns from it is a held-out one. After a stair the
correlation rises, and the same critic goes on. Bias, variance and mean squared error are those of
the values in the last quarter of a stair.

Every training is stored when it ends (runs/experiments/mi_staircase), and is not repeated.
`--critic=joint` runs those of one critic only, for a second process beside the first.

Source: Poole et al. 2019, Fig. 2 (cubes there: of a random linear map of y); Song and Ermon 2020,
Figs. 1 and 2 (y^3).
"""

import json
import math
import pathlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts, run_metadata
from experiments import critic_training, table

NAME = "mi_staircase"
NATS = (2.0, 4.0, 6.0, 8.0, 10.0)
COLUMNS = 20
BATCH = 64
MEASURED = 4  # the last of this many parts of a stair
DISTRIBUTIONS = ("gaussian", "cubed")
OBJECTIVES = (
    *("jensen_shannon", "infonce", "nwj", "interpolated_0.01", "mine", "tuba", "likelihood"),
)
_CRITICS = {
    "separable": critic_training.separable(),
    "joint": critic_training.joint(compute_dtype="bfloat16"),
    "none": critic_training.gaussian(),  # log-likelihoods
}
NOT_NATS = ("jensen_shannon",)
_VARIANCE_OF_CUBES = 15.0  # undivided cubes make the scores of `nwj` overflow


class Training(NamedTuple):
    """A critic on one staircase, with `steps` on each stair."""

    distribution: str
    critic: str
    objective: str
    seed: int
    steps: int

    @property
    def name(self) -> str:
        return "-".join(map(str, self))


class Budget(NamedTuple):
    """Seeds of the separable critics with their steps on a stair; (seeds, steps) of the joint ones
    by distribution, and their objectives."""

    seeds: int
    steps: int
    joint: Mapping[str, tuple[int, int]]
    objectives: Sequence[str] = OBJECTIVES
    joint_objectives: Sequence[str] = OBJECTIVES[:-1]


BUDGETS = {
    "paper": Budget(3, 4000, {"gaussian": (3, 4000), "cubed": (3, 4000)}),
    # A joint critic of 4,096 pairs takes 13 times as long as a separable one.
    "cpu": Budget(
        *(3, 4000, {"gaussian": (1, 4000), "cubed": (1, 1000)}),
        joint_objectives=OBJECTIVES[:5],
    ),
    "smoke": Budget(
        *(1, 8, {"gaussian": (1, 8)}), ("jensen_shannon", "infonce", "nwj"), ("infonce", "nwj")
    ),
}


def trainings(budget: Budget) -> list[Training]:
    """All of a budget: separable critics, seed by seed, then the joint ones."""
    separable = [
        Training(distribution, _critic(objective), objective, seed, budget.steps)
        for seed in range(budget.seeds)
        for distribution in DISTRIBUTIONS
        for objective in budget.objectives
    ]
    joint = [
        Training(distribution, "joint", objective, seed, steps)
        for distribution, (seeds, steps) in budget.joint.items()
        for seed in range(seeds)
        for objective in budget.joint_objectives
    ]
    return separable + joint


def _critic(objective: str) -> str:
    return "none" if objective == "likelihood" else "separable"


def correlation(nats: float, columns: int = COLUMNS) -> float:
    """Of each column of x with its column of y, so that all share this information."""
    return math.sqrt(-math.expm1(-2 * nats / columns))


def draw(key: jax.Array, given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """A batch x f32[64,20], y f32[64,20] of (correlation, whether y is cubed)."""
    rho, cubed = given
    x, noise = jax.random.normal(key, (2, BATCH, COLUMNS))
    y = rho * x + jnp.sqrt(1 - rho**2) * noise
    return x, jnp.where(cubed, y**3 / math.sqrt(_VARIANCE_OF_CUBES), y)


def values(training: Training, nats: Iterable[float] = NATS) -> dict[str, np.ndarray]:
    """{estimator: f32[stairs,steps]}, the value of every batch."""
    trainer = critic_training.trainer(_CRITICS[training.critic], training.objective, draw)
    cubed = np.bool_(training.distribution == "cubed")
    given = [(np.float32(correlation(each)), cubed) for each in nats]
    state = critic_training.start(trainer, jax.random.key(training.seed), given[0])
    stairs = []
    for each in given:
        state, measured = critic_training.train(trainer, state, each, training.steps)
        stairs.append(jax.device_get(measured))
    names = (name for name in stairs[0] if name not in NOT_NATS)
    return {name: np.stack([stair[name] for stair in stairs]) for name in names}


def run(
    budget: str,
    runs: pathlib.Path = pathlib.Path(table.RUNS) / NAME,
    critic: str | None = None,
) -> None:
    """Runs the trainings that are missing.

    Raises: contracts.UserError: no training with this critic.
    """
    wanted = trainings(BUDGETS[budget])
    if critic is not None and critic not in {each.critic for each in wanted}:
        raise contracts.unknown("critic", critic, sorted({each.critic for each in wanted}))
    runs.mkdir(parents=True, exist_ok=True)
    for training in wanted:
        if critic in (None, training.critic) and not _path(runs, training).exists():
            _store(runs, training)


def _path(runs: pathlib.Path, training: Training) -> pathlib.Path:
    return runs / f"{training.name}.npz"


def _store(runs: pathlib.Path, training: Training) -> None:
    start, cpu = time.time(), time.process_time()
    measured = values(training)
    facts = dict(minutes=(time.time() - start) / 60, cpu=(time.process_time() - cpu) / 60)
    facts |= dict(commit=run_metadata.commit(), device=run_metadata.device())
    partial = runs / f".{training.name}.npz"
    np.savez(partial, **measured, facts=json.dumps(facts))
    partial.replace(_path(runs, training))  # complete, or not there
    print(f"{training.name}: {facts['cpu']:.2f} CPU minutes", flush=True)


def load(runs: pathlib.Path, wanted: Iterable[Training]) -> dict[Training, dict[str, np.ndarray]]:
    """The stored values of trainings, and their `facts`."""
    loaded = {}
    for training in wanted:
        with np.load(_path(runs, training)) as arrays:
            loaded[training] = {name: arrays[name] for name in arrays.files}
        loaded[training]["facts"] = json.loads(str(loaded[training]["facts"]))
    return loaded


if __name__ == "__main__":
    arguments = table.options(BUDGETS, critic="run the trainings of this critic only")
    run(arguments.budget, critic=arguments.critic)
