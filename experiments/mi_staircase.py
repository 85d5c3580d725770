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

import functools
import json
import pathlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts, run_metadata
from experiments import (
    critic_training,
    mi_staircase_data,
    mi_staircase_figure,
    mi_staircase_summary,
    table,
)

NAME = "mi_staircase"
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
EXACT = (*("infonce", "nwj", "interpolated_0.01", "donsker_varadhan", "smile_1", "smile_5"),)


class Training(NamedTuple):
    """A critic on one staircase, with `steps` on each stair.

    critic: of `_CRITICS`, or "exact", the log density ratio, which needs no objective.
    """

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
    # A step of a joint critic, on 4,096 pairs, takes 13 times as long as one of a separable critic.
    "cpu": Budget(
        3, 4000, {"gaussian": (1, 4000), "cubed": (1, 4000)}, joint_objectives=OBJECTIVES[:3]
    ),
    "smoke": Budget(1, 8, {"gaussian": (1, 8)}, OBJECTIVES[:2], OBJECTIVES[1:2]),
}


def trainings(budget: Budget) -> list[Training]:
    """All of a budget: separable critics, seed by seed, then the joint ones, then the exact one."""
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
    exact = [
        Training("gaussian", "exact", "none", seed, budget.steps) for seed in range(budget.seeds)
    ]
    return separable + joint + exact


def _critic(objective: str) -> str:
    return "none" if objective == "likelihood" else "separable"


def values(
    training: Training, nats: Iterable[float] = mi_staircase_data.NATS
) -> dict[str, np.ndarray]:
    """{estimator: f32[stairs,steps]}, the value of every batch."""
    cubed = np.bool_(training.distribution == "cubed")
    given = [(np.float32(mi_staircase_data.correlation(each)), cubed) for each in nats]
    stairs, key = [], jax.random.key(training.seed)
    if training.critic == "exact":
        keys = jax.random.split(key, len(given))
        stairs = [_exact(*each, training.steps) for each in zip(keys, given, strict=True)]
    else:
        critic = _CRITICS[training.critic]
        trainer = critic_training.trainer(critic, training.objective, mi_staircase_data.draw)
        state = critic_training.start(trainer, key, given[0])
        for each in given:
            state, measured = critic_training.train(trainer, state, each, training.steps)
            stairs.append(measured)
    names = (name for name in stairs[0] if name not in NOT_NATS)
    return {name: np.stack([np.asarray(stair[name]) for stair in stairs]) for name in names}


@functools.partial(jax.jit, static_argnums=2)
def _exact(key: jax.Array, given: tuple, steps: int) -> dict[str, jax.Array]:
    """{estimator: f32[steps]} at the log density ratio, whose log a(y) is 0."""

    def one(key):
        x, y = mi_staircase_data.draw(key, given)
        scores = mi_staircase_data.log_ratio(x, y, given[0])
        return {
            name: critic_training.ESTIMATORS[name].value(scores, jnp.zeros(len(y)))
            for name in EXACT
        }

    return jax.lax.map(one, jax.random.split(key, steps))


def run(
    budget: str,
    results: pathlib.Path = table.RESULTS,
    runs: pathlib.Path = pathlib.Path(table.RUNS) / NAME,
    critic: str | None = None,
) -> dict:
    """Runs the trainings that are missing; writes the JSON and the figure of all that are there.

    Raises: contracts.UserError: no training with this critic.
    """
    wanted = trainings(BUDGETS[budget])
    known = sorted({each.critic for each in wanted})
    if critic is not None and critic not in known:
        raise contracts.unknown("critic", critic, known)
    runs.mkdir(parents=True, exist_ok=True)
    for training in wanted:
        if critic in (None, training.critic) and not _path(runs, training).exists():
            _store(runs, training)
    return write(budget, results, runs)


def write(budget: str, results: pathlib.Path, runs: pathlib.Path) -> dict:
    """Writes the JSON and the figure of the trainings of a budget that are there."""
    wanted = trainings(BUDGETS[budget])
    loaded = load(runs, [each for each in wanted if _path(runs, each).exists()])
    content = {"experiment": NAME, "budget": budget, **mi_staircase_summary.summary(loaded)}
    content["missing"] = [each.name for each in wanted if each not in loaded]
    results.mkdir(exist_ok=True)
    mi_staircase_figure.write(loaded, content["rows"], results / f"{NAME}_{budget}.png")
    (results / f"{NAME}_{budget}.json").write_text(json.dumps(content, indent=1) + "\n")
    for claim in content["claims"]:
        print(f"{claim['verdict']}: {claim['claim']}: {claim['measured']}")
    return content


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


def load(runs: pathlib.Path, wanted: Iterable[Training]) -> dict[Training, dict]:
    """The stored values of trainings, {estimator: f32[stairs,steps]}, and their "facts"."""
    loaded = {}
    for training in wanted:
        with np.load(_path(runs, training)) as arrays:
            loaded[training] = {name: arrays[name] for name in arrays.files}
        loaded[training]["facts"] = json.loads(str(loaded[training]["facts"]))
    return loaded


if __name__ == "__main__":
    arguments = table.options(BUDGETS, critic="run the trainings of this critic only")
    with table.one_sentence():
        run(arguments.budget, critic=arguments.critic)
