"""Evaluations with labels: label subsets, permuted labels, mean and spread of accuracies.

A probe on frozen features is a module with a function `accuracies(settings, task)`, its protocols,
and

    EVALUATION = labelled.probe(accuracies, PROTOCOLS, "mlp-v1")
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset, random_streams
from dim_jax.data.random_streams import Stream
from dim_jax.evaluate import features
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.protocols import Protocols

TAPS = ("conv", "fc", "y")
_SMALLEST_DEVIATION = 1e-6


class Examples(NamedTuple):
    """Features f32[n,d] on the device and labels i32[n] of the training or the test images."""

    features: jax.Array
    labels: np.ndarray


class Labels(NamedTuple):
    """The training labels i32[n] that an evaluation may use.

    subsets: the positions of the training examples whose labels may be used, one row i32[m] for
    each label subset; None = all of them.
    """

    train: np.ndarray
    subsets: np.ndarray | None
    classes: int
    seed: int


class Task(NamedTuple):
    """One classification task: accuracies are asked of it, in [0, 1]; `subsets` as in `Labels`.

    copies: of the training examples; each copy has all of them in the same order, and `subsets` are
    positions in one.
    """

    train: Examples
    test: Examples
    classes: int
    subsets: np.ndarray | None
    seed: int
    copies: int = 1

    def portions(self) -> Iterator[Examples]:
        """The training examples to fit on: all of them once, or those of each label subset."""
        if self.subsets is None:
            yield self.train
            return
        for members in self.subsets:
            yield Examples(self.train.features[members], self.train.labels[members])


def probe(
    accuracies: Callable[[Any, Task], np.ndarray],
    protocols: Protocols,
    default: str,
    *,
    in_passes: bool = False,
) -> Evaluation:
    """The evaluation of a probe on frozen features.

    Args:
      accuracies: (settings, task) -> one test accuracy for each fit, or for each label subset.
      protocols: of the probe; `standardise` of their settings says whether the features are shifted
        and scaled to the labelled training images' mean 0 and deviation 1.
      default: the protocol's name where the config gives none.
      in_passes: the probe is fitted in passes over the examples, so that each may see another copy
        of them.
    """

    def evaluate(
        frozen: contracts.Frozen,
        splits: Mapping[str, dataset.Split],
        rng: jax.Array,
        *,
        protocol: str = default,
        taps: Iterable[str] = TAPS,
        labels_per_class: int | None = None,
        subsets: int = 3,
        permuted: bool = False,
        views: int | None = None,
        augmentations: int | None = None,
    ) -> dict[str, float]:
        """Test accuracy of the probe on each tap, a fraction of the test images; larger is better.

        Training images without a label are left out.

        Args:
          protocol: the name of one of the probe's protocols, which holds every setting.
          labels_per_class: train on this many labels of each class, drawn at random; None = all.
          subsets: the number of such draws, one fit for each; their mean and deviation are the
            result.
          permuted: training labels permuted at random, before any draw: it must stay near chance.
          views: None = features of the images as they are; k = their mean over k copies of each
            image, changed at random as in training: of training and of test images.
          augmentations: None = fit on features of the images as they are; k = of k copies of each
            training image, changed at random as in training, one in each pass over the examples and
            the first again after the last. Test images stay as they are. It encodes the training
            images k times, and holds k times their features.

        Returns:
          as `summary`, for each "<tap>/accuracy".

        Raises:
          UserError: an unknown protocol or tap, missing labels, or too few of them; views or
            augmentations of a representation without a network.
        """
        settings = protocols.find(protocol)
        check_labels(splits)
        splits = labelled(splits)
        labels, members = _chosen(drawn(splits, rng, labels_per_class, subsets, permuted))
        results = {}
        for tap in taps:
            drawn_rows = dict(views=views, augmentations=augmentations, rng=rng)
            rows = _features(frozen, splits, tap, settings.standardise, members, **drawn_rows)
            task = _task(rows, splits, labels, augmentations or 1)
            results |= summary(f"{tap}/accuracy", accuracies(settings, task))
        return results

    return Evaluation(
        evaluate,
        representations="all",
        taps=TAPS,
        needs_labels=True,
        protocols=protocols,
        draws_fits_only=True,
        check_options=functools.partial(_check_options, in_passes),
    )


def _check_options(in_passes: bool, options: Mapping[str, Any], data) -> None:
    """Raises UserError for augmentations that the probe or another option does not go with."""
    del data
    count, views = (options.get(name) for name in ("augmentations", "views"))
    if count is None:
        return
    if not in_passes:
        raise contracts.UserError(
            f"augmentations is {count} for a probe that is fitted on all examples at once; set it "
            "to None, or use the evaluation linear or mlp"
        )
    if views is not None:
        raise contracts.UserError(
            f"augmentations is {count} and views is {views}, which averages over copies of images "
            "instead of fitting on them; set one of them to None"
        )


def _task(rows: dict[str, jax.Array], splits, labels: Labels, copies: int) -> Task:
    train = Examples(rows["train"], np.tile(labels.train, copies))
    test = Examples(rows["test"], splits["test"].labels)
    return Task(train, test, labels.classes, labels.subsets, labels.seed, copies)


def drawn(
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    labels_per_class: int | None,
    subsets: int,
    permuted: bool,
) -> Labels:
    """The labels of splits without unlabelled images, as the options of an evaluation ask for.

    Raises:
      UserError: more labels per class wanted than there are.
    """
    seed = int(np.asarray(jax.random.key_data(rng)).ravel()[-1])
    train = splits["train"].labels
    classes = int(max(train.max(), splits["test"].labels.max())) + 1
    if permuted:
        train = random_streams.generator(Stream.LABEL_PERMUTATION, seed).permutation(train)
    chosen = None
    if labels_per_class is not None:
        chosen = label_subsets(train, labels_per_class, subsets, seed)
    return Labels(train, chosen, classes, seed)


def _chosen(labels: Labels) -> tuple[Labels, np.ndarray | None]:
    """The labels of examples in a subset alone, and the positions of these; None = of all."""
    if labels.subsets is None:
        return labels, None
    members, places = np.unique(labels.subsets, return_inverse=True)
    subsets = places.reshape(labels.subsets.shape).astype(np.int32)
    return labels._replace(train=labels.train[members], subsets=subsets), members


def _features(
    frozen,
    splits,
    tap: str,
    standardise: bool,
    members,
    *,
    views: int | None,
    augmentations: int | None,
    rng: jax.Array,
) -> dict[str, jax.Array]:
    """One tap of both splits on the device, standardised by the training images if asked for.

    Of the training images those at the positions `members`, None = all; of augmented ones all
    copies, one after the other.
    """
    key = jax.random.fold_in(rng, Stream.LABELLED_VIEWS.number)

    def encoded(name: str, views: int | None, index: int) -> np.ndarray:
        drawn = dict(views=views, rng=jax.random.fold_in(key, index))
        return features.extract(frozen, splits[name], (tap,), **drawn)[tap]

    if augmentations is None:
        copies = [encoded("train", views, 0)]
    else:
        copies = [encoded("train", 1, 2 + number) for number in range(augmentations)]
    every = copies[0] if len(copies) == 1 else np.concatenate(copies)
    rows = {"train": every, "test": encoded("test", views, 1)}
    if members is not None:
        chosen = [each[members] for each in copies]
        rows["train"] = chosen[0] if len(chosen) == 1 else np.concatenate(chosen)
    if not standardise:
        return {name: jnp.asarray(part) for name, part in rows.items()}
    shift, scale = statistics(every)
    return {name: scaled(part, shift, scale) for name, part in rows.items()}


def summary(name: str, values: np.ndarray) -> dict[str, float]:
    """{name: mean, "<name>_fits": number of values, "<name>_std": their spread}.

    The spread is the sample's standard deviation (divided by count - 1), absent for one value.
    """
    results = {name: float(np.mean(values)), f"{name}_fits": len(values)}
    if len(values) > 1:
        results[f"{name}_std"] = float(np.std(values, ddof=1))
    return results


def missing(splits: Mapping[str, dataset.Split]) -> str | None:
    """The reason why these labels give no accuracy, as a phrase; None where they do."""
    train, test = (splits[name].labels for name in ("train", "test"))
    if not np.any(train >= 0):
        return f"none of the {len(train)} training images has a label"
    if np.any(test < 0):
        return f"{np.sum(test < 0)} of {len(test)} test images have no label"
    return None


def check_labels(splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError unless some training images and all test images have a label."""
    reason = missing(splits)
    if reason:
        raise contracts.UserError(
            f"{reason}, and this evaluation needs labelled training images and a label for every "
            "test image; remove it from evals, or sort the images into one folder for each class"
        )


def labelled(splits: Mapping[str, dataset.Split]) -> Mapping[str, dataset.Split]:
    """The splits without the training images that have no label; themselves where there are none.

    A feature cache tells splits apart by their images: call it once for several evaluations.
    """
    train = splits["train"]
    members = np.flatnonzero(train.labels >= 0)
    if len(members) == len(train.labels):
        return splits
    return {**splits, "train": dataset.select(train, members)}


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
    random = random_streams.generator(Stream.LABEL_SUBSETS, seed)
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
def scaled(rows: jax.Array, shift: jax.Array, scale: jax.Array) -> jax.Array:
    """Rows f[n,d] by a shift f[d] and a scale f[d] of `statistics`."""
    return (rows - shift) * scale
