"""The evaluations of an encoder of which only the features are known."""

from collections.abc import Callable, Iterable
from typing import Any

from dim_jax import contracts, settings
from dim_jax.evaluate import discovery, plan
from dim_jax.evaluate.evaluation import Evaluation

Evals = dict[str, dict[str, Any]]

_OF_METHODS = (*plan.DRAWS, "drawn")  # options that a training or a posterior has to draw for


def read(text: str) -> Evals:
    """The evaluations of `--evals`; beside names, the first probe once more on permuted labels.

    Raises:
      UserError: text that is no evaluations, or an unknown evaluation or option.
    """
    evals = settings.read_evals(text)
    if settings.are_names(text):
        for entry in plan.parse(evals):
            if entry.evaluation.needs_labels and "permuted" in entry.evaluation.defaults:
                control = {"name": entry.name, "permuted": True}
                evals[f"{entry.key}_permuted"] = {**control, "representations": (plan.TRAINED,)}
                break
    plan.parse(evals)
    return evals


def check(evals: Evals, encoder: str, *, has_images: bool) -> None:
    """Finds evaluations that need more than features.

    Args:
      encoder: its name, for messages.

    Raises:
      UserError: the first of them.
    """
    if not evals:
        raise contracts.UserError("--evals has no evaluation; give names, such as linear,knn,svm")
    for entry in plan.parse(evals):
        if entry.data is not None:
            raise contracts.UserError(
                f"evals.{entry.key}.data is {entry.data['name']}, and one command evaluates on one "
                "data set; leave it out, and give --data another one"
            )
        if needs_method(entry.evaluation):
            raise contracts.UserError(
                f"the evaluation '{entry.name}' needs the method or the network of a run, and of "
                f"{encoder} there are features alone; use some of {_possible(_is_of_features)}"
            )
        for option in _OF_METHODS:
            if entry.options.get(option):
                raise contracts.UserError(
                    f"evals.{entry.key}.{option} needs the method of a run, and of {encoder} there "
                    "are features alone; leave it out"
                )
        if entry.evaluation.reads_images and not has_images:
            raise contracts.UserError(
                f"the evaluation '{entry.name}' reads images too, and there are features alone; "
                f"give --data, or use some of {_possible(_is_without_images)}"
            )


def with_taps(evals: Evals, available: Iterable[str]) -> Evals:
    """The evaluations with the taps that they read of an encoder, where none are chosen.

    Probes read all, measures of one tap read theirs, or all where the encoder lacks it.

    Raises:
      UserError: an evaluation that reads a certain tap, which is not there.
    """
    available = tuple(available)
    filled = {}
    for entry in plan.parse(evals):
        spec, usual = dict(evals[entry.key]), entry.evaluation.taps
        there = tuple(tap for tap in usual if tap in available)
        if "taps" in entry.evaluation.defaults:
            spec.setdefault("taps", there if there and len(usual) == 1 else available)
        elif there != usual:
            raise contracts.UserError(
                f"the evaluation '{entry.name}' reads the tap {usual[0]}, and the encoder has "
                f"{', '.join(available)}; return a dict with '{usual[0]}', or leave it out"
            )
        filled[entry.key] = spec
    return filled


def needs_method(evaluation: Evaluation) -> bool:
    """Whether it reads more of a representation than features, such as its parameters."""
    try:
        evaluation.check_method(None)
    except contracts.UserError:
        return True
    return evaluation.trains_encoder or not evaluation.taps


def _possible(fits: Callable[[Evaluation], bool]) -> str:
    return ", ".join(name for name in discovery.names() if fits(discovery.load(name)))


def _is_of_features(evaluation: Evaluation) -> bool:
    return not needs_method(evaluation)


def _is_without_images(evaluation: Evaluation) -> bool:
    return not needs_method(evaluation) and not evaluation.reads_images
