"""Is a representation good because it has much mutual information? Halves of MNIST's digits.

    python -m experiments.mi_and_representations --budget=cpu

(a) Bijective encoders of the top and bottom halves, whose information is that of the pixels
whatever the weights: the accuracy of a linear probe of the top half while a bound rises, and while
the same encoder is trained so that no linear classifier can tell the digits apart. (b) An MLP
encoder under three critics: the order of the bounds and the order of the probes. (c) Two encoders
with the bound held at one value. (d) The condition number of a residual MLP that starts near the
identity. (e) InfoNCE where negatives share a latent variable with the positive.

Source: Tschannen et al. 2020, "On mutual information maximization for representation learning".
"""

import functools
import importlib.metadata
import json
import math
import pathlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from dim_jax import contracts, run_metadata
from experiments import (
    critic_training,
    halves_of_digits,
    representation_claims,
    representation_figure,
    shared_latent,
    table,
    unreadable,
)

NAME = "mi_and_representations"
HELD_OUT_BATCHES = 40
HELD_BACK = 1 / 6  # of the training images: part (a)'s second probe, adversarial
RUNS = pathlib.Path(table.RUNS) / NAME


class Budget(NamedTuple):
    """Sizes and steps; `points`: the steps of part (a) and (d) after which probes are fitted."""

    points: tuple[int, ...]
    unreadable: unreadable.Plan
    steps: int
    held_steps: int
    shared_latent_steps: int
    couplings: int
    flow_widths: tuple[int, ...]
    widths: tuple[int, ...]
    channels: int
    features: int
    critic_width: int
    flow_rate: float
    rate: float
    targets: tuple[float, ...]
    seeds: tuple[int, ...]
    images: int | None
    differs: str


class Condition(NamedTuple):
    """One training; `encoder` and `critic` are keys of `_encoders` and `_critics`."""

    part: str
    encoder: str
    critic: str
    objective: str
    target: float | None = None


BUDGETS = {
    "paper": Budget(
        points=(0, 1000, 2000, 4000, 8000, 16000),
        unreadable=unreadable.Plan(steps=4000, couplings=30),
        **dict(
            steps=16000,
            held_steps=16000,
            shared_latent_steps=5000,
            couplings=30,
            flow_widths=(512, 512),
            widths=(300, 300),
        ),
        **dict(channels=64, features=100, critic_width=200, flow_rate=1e-4, rate=1e-4),
        **dict(targets=(2.0, 4.0), seeds=(0, 1, 2), images=None),
        differs="steps, widths and rates are ours or from memory",
    ),
    "cpu": Budget(
        points=(0, 100, 200, 400),
        unreadable=unreadable.Plan(steps=400),
        **dict(steps=1200, held_steps=400, shared_latent_steps=1000),
        **dict(couplings=6, flow_widths=(256, 256), widths=(300, 300)),
        **dict(channels=16, features=100, critic_width=100, flow_rate=1e-3, rate=1e-3),
        **dict(targets=(2.0, 4.0), seeds=(0, 1, 2), images=None),
        differs="6 couplings instead of 30, 400 to 1,200 steps, widths and rates ours",
    ),
    "smoke": Budget(
        points=(0, 4),
        unreadable=unreadable.Plan(steps=4, couplings=2),
        **dict(
            steps=4, held_steps=4, shared_latent_steps=4, couplings=2, flow_widths=(8,), widths=(8,)
        ),
        **dict(channels=2, features=4, critic_width=8, flow_rate=1e-3, rate=1e-3),
        **dict(targets=(2.0,), seeds=(0,), images=256),
        differs="tiny networks, 256 images, 4 steps",
    ),
}


def conditions(budget: Budget) -> list[Condition]:
    """All trainings of a seed."""
    names = ("infonce", "nwj")
    return [
        *(Condition("bijection", "RealNVP", "bilinear", name) for name in names),
        Condition("adversarial", "RealNVP", "none", "unreadable"),
        *(Condition("critics", "MLP", each, "infonce") for each in representation_claims.CRITICS),
        *(
            Condition("held", each, "bilinear", "infonce", target)
            for target in budget.targets
            for each in ("ConvNet", "MLP")
        ),
        Condition("condition", "residual MLP", "bilinear", "infonce"),
    ]


@functools.cache
def encoder(budget: Budget, name: str) -> halves_of_digits.Encoder:
    """An encoder by its name in the results."""
    made = {
        "RealNVP": lambda: halves_of_digits.bijection(
            couplings=budget.couplings, widths=budget.flow_widths
        ),
        "MLP": lambda: halves_of_digits.mlp(widths=budget.widths, features=budget.features),
        "ConvNet": lambda: halves_of_digits.convolutional(
            width=budget.channels, hidden=budget.widths[-1], features=budget.features
        ),
        "residual MLP": lambda: halves_of_digits.residual(widths=budget.widths),
    }
    return made[name]()


@functools.cache
def trainer(budget: Budget, condition: Condition) -> critic_training.Trainer:
    """The training of a condition, made once for all seeds."""
    width = (budget.critic_width,)
    critic = {
        "bilinear": halves_of_digits.bilinear,
        "separable": lambda: critic_training.separable(widths=width, embedding=budget.features),
        "concatenated": lambda: critic_training.joint(widths=width),
    }[condition.critic]()
    flow = condition.encoder == "RealNVP"
    return critic_training.Trainer(
        halves_of_digits.critic_of_codes(encoder(budget, condition.encoder), critic),
        halves_of_digits.objective(condition.objective, condition.target),
        ((condition.objective, critic_training.ESTIMATORS[condition.objective].value),),
        halves_of_digits.draw,
        budget.flow_rate if flow else budget.rate,
    )


def trace(budget: Budget, condition: Condition, seed: int, splits) -> Iterator[dict]:
    """The measurements after the steps of a condition: one entry for each point of its curve."""
    jacobian = condition.part == "condition"
    made = encoder(budget, condition.encoder)
    measure = functools.partial(_measured, made, splits, jacobian=jacobian)
    if condition.part == "adversarial":
        seen, held_back = halves_of_digits.parted(splits["train"], HELD_BACK)
        others = {**splits, "train": held_back}
        for step, params in unreadable.train(made.flow, seen, budget.unreadable, seed):
            of_others = _measured(made, others, params, jacobian=False)["accuracy"]
            yield {"step": step, **measure(params), "accuracy_held_back": of_others}
        return
    curve = condition.part in ("bijection", "condition")
    steps = budget.held_steps if condition.part == "held" else budget.steps
    points = budget.points if curve else (steps,)
    training = trainer(budget, condition)
    state = critic_training.start(training, jax.random.key(seed), splits["train"])
    chunk, step = math.gcd(*points), 0
    for point in points:
        for _ in range(step, point, chunk):
            state, _ = critic_training.train(training, state, splits["train"], chunk)
        step = point
        _, values = critic_training.train(
            training, state, splits["test"], HELD_OUT_BATCHES, learn=False
        )
        bound = float(np.mean(values[condition.objective]))
        yield {"step": step, "bound": bound, **measure(state.params["critic"]["x"])}


def _measured(
    made: halves_of_digits.Encoder, splits, params, *, jacobian: bool
) -> dict[str, float]:
    labels = {name: np.asarray(split.labels) for name, split in splits.items()}
    codes = [halves_of_digits.encoded(made, params, splits[name].x) for name in ("train", "test")]
    measured = {"accuracy": halves_of_digits.accuracy(*codes, labels)}
    if made.flow is not None:
        error = halves_of_digits.reconstruction_error(made, params, splits["test"].x)
        measured["reconstruction_error"] = error
    if jacobian:
        numbers = halves_of_digits.condition_numbers(made, params, splits["test"].x[:8])
        measured["condition_number"] = float(np.median(numbers))
    return measured


def run(budget: str, only: str = "", results: pathlib.Path = table.RESULTS) -> dict | None:
    """Trains what is missing; when nothing is, writes the JSON and the figure, prints the claims.

    Each training writes a separate file, so that several processes can train different parts.

    Args:
      only: train the conditions of this part alone.

    Raises: contracts.UserError: no such part.
    """
    plan = BUDGETS[budget]
    parts = {condition.part for condition in conditions(plan)}
    if only and only not in parts:
        raise contracts.unknown("part", only, parts)
    splits = jax.tree.map(jax.numpy.asarray, halves_of_digits.load(plan.images))
    files = {
        (seed, condition): RUNS / budget / f"{'_'.join(map(str, condition))}_{seed}.json"
        for seed in plan.seeds
        for condition in conditions(plan)
    }
    for (seed, condition), file in files.items():
        if file.exists() or only not in ("", condition.part):
            continue
        begun = time.process_time()
        points = list(trace(plan, condition, seed, splits))
        seconds = round(time.process_time() - begun, 1)
        row = {**condition._asdict(), "seed": seed, "trace": points, "cpu_seconds": seconds}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**row, "commit": run_metadata.commit()}))
        print(row, flush=True)
    if not all(file.exists() for file in files.values()):
        return None
    rows = [json.loads(file.read_text()) for file in files.values()]
    return _report(budget, rows, results)


def _report(budget: str, rows: list[dict], results: pathlib.Path) -> dict:
    path = results / f"{NAME}_{budget}.json"
    results.mkdir(exist_ok=True)
    content = _content(budget, rows)
    path.write_text(json.dumps(content, indent=1) + "\n")
    representation_figure.draw(content, path.with_suffix(".png"))
    for claim in content["claims"]:
        values = ", ".join(f"{value:.3g}" for value in claim["values"])
        print(f"{claim['verdict']}: {claim['claim']}: {values} {claim['unit']}")
    return content


def _content(budget: str, rows: list[dict]) -> dict:
    plan = BUDGETS[budget]
    content = {
        "experiment": NAME,
        "budget": budget,
        "dataset": "mnist",
        "protocol": halves_of_digits.PROTOCOL,
        "batch": halves_of_digits.BATCH,
        "settings": plan._asdict() | {"unreadable": plan.unreadable._asdict()},
        "differs": plan.differs,
        "device": run_metadata.device(),
        "machine": "2 cores that other work shared",
        "commit": rows[0]["commit"],
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax")},
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in rows)),
        "rows": rows,
        "shared_latent": shared_latent.study(plan.shared_latent_steps, plan.seeds),
    }
    return content | {"claims": representation_claims.claims(content)}


if __name__ == "__main__":
    arguments = table.options(BUDGETS, only="train this part alone")
    with table.one_sentence():
        run(arguments.budget, arguments.only or "")
