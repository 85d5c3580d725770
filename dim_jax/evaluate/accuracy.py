"""What every label-based evaluation shares: labels, few-label subsets, mean and spread."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features

TAPS = ("conv", "fc", "y")
_SMALLEST_DEVIATION = 1e-6


class Examples(NamedTuple):
    """Features f32[n,d] on the device and labels i32[n] of the training or the test images."""

    features: jax.Array
    labels: np.ndarray


class Task(NamedTuple):
    """One classification task: accuracies are asked of it, in [0, 1].

    subsets: the positions of the training examples whose labels may be used, one row i32[m] for
    each label subset; None = all of them.
    """

    train: Examples
    test: Examples
    classes: int
    subsets: np.ndarray | None
    seed: int


def evaluate(
    accuracies: Callable[[Task], np.ndarray],
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    standardise: bool,
    taps: Iterable[str],
    labels_per_class: int | None,
    subsets: int,
) -> dict[str, float]:
    """{"<tap>/accuracy": mean, "<tap>/accuracy_fits": of how many, "<tap>/accuracy_std": spread}.

    Accuracies are fractions of the test images, larger is better; the spread is the sample's
    standard deviation (divided by count - 1), absent where there is one result.

    Args:
      accuracies: one test accuracy for each fit, or for each label subset.
      standardise: by the mean and deviation of all training images' features.

    Raises:
      UserError: no labels, an unknown tap, or more labels per class wanted than there are.
    """
    check_labels(splits)
    train, test = splits["train"], splits["test"]
    seed = int(np.asarray(jax.random.key_data(rng)).ravel()[-1])
    chosen = None
    if labels_per_class is not None:
        chosen = label_subsets(train.labels, labels_per_class, subsets, seed)
    classes = int(max(train.labels.max(), test.labels.max())) + 1
    results = {}
    for tap in taps:
        rows = _features(frozen, splits, tap, standardise)
        examples = (Examples(rows[name], splits[name].labels) for name in ("train", "test"))
        results.update(
            _summary(f"{tap}/accuracy", accuracies(Task(*examples, classes, chosen, seed)))
        )
    return results


def _features(frozen, splits, tap: str, standardise: bool) -> dict[str, jax.Array]:
    """One tap of both splits on the device, standardised by the training images if asked for."""
    rows = {
        name: jnp.asarray(features.extract(frozen, splits[name], (tap,))[tap])
        for name in ("train", "test")
    }
    if not standardise:
        return rows
    shift, scale = statistics(rows["train"])
    return {name: _affine(part, shift, scale) for name, part in rows.items()}


def _summary(name: str, values: np.ndarray) -> dict[str, float]:
    summary = {name: float(np.mean(values)), f"{name}_fits": len(values)}
    if len(values) > 1:
        summary[f"{name}_std"] = float(np.std(values, ddof=1))
    return summary


def check_labels(splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError unless every image of both splits has a label."""
    for name in ("train", "test"):
        missing = int(np.sum(splits[name].labels < 0))
        if missing:
            raise contracts.UserError(
                f"{missing} of {len(splits[name].labels)} {name} images have no label and this "
                "evaluation needs them all; remove it from evals, or sort the images into one "
                "folder for each class"
            )


def label_subsets(labels: np.ndarray, per_class: int, count: int, seed: int) -> np.ndarray:
    """Random positions i32[count, classes * per_class], `per_class` of every class in each row.

    Raises:
      UserError: a class has fewer examples, or a number is not positive.
    """
    if per_class < 1 or count < 1:
        raise contracts.UserError(
            f"labels_per_class is {per_class} and subsets {count}: both must be 1 or more"
        )
    names, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < per_class:
        raise contracts.UserError(
            f"labels_per_class={per_class}, but class {names[sizes.argmin()]} has only "
            f"{sizes.min()} training images; set evals labels_per_class to {sizes.min()} or less"
        )
    random = np.random.default_rng([seed, 1])
    members = [np.flatnonzero(labels == name) for name in names]
    return np.stack(
        [
            np.concatenate([random.choice(each, per_class, replace=False) for each in members])
            for _ in range(count)
        ]
    ).astype(np.int32)


@jax.jit
def statistics(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The shift f32[d] and scale f32[d] that give each feature mean 0 and deviation 1.

    The scale of a feature that never changes is 0: it carries nothing.
    """
    mean = jnp.mean(rows, axis=0)
    deviation = jnp.sqrt(jnp.mean((rows - mean) ** 2, axis=0))
    constant = deviation < _SMALLEST_DEVIATION * (1 + jnp.abs(mean))
    return mean, jnp.where(constant, 0.0, 1.0 / jnp.where(constant, 1.0, deviation))


@jax.jit
def _affine(rows: jax.Array, shift: jax.Array, scale: jax.Array) -> jax.Array:
    return (rows - shift) * scale
