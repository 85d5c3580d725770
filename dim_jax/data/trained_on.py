"""Test images that an encoder was trained on, by the places of images in storage."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dim_jax import contracts
from dim_jax.data import dataset, image_checks, origins


def count(
    judged: dataset.Dataset,
    trainings: Sequence[Mapping[str, Any]],
    locate: Callable[[Mapping[str, Any]], origins.Origin],
) -> tuple[int, list[str]]:
    """As `data.count_trained_on`; `locate` gives the places of the images of a training."""
    if judged.stored is None:
        return 0, []
    places, notes = [], []
    for given in trainings:
        try:
            places.append(locate(given))
        except contracts.UserError as error:
            notes.append(
                "It is not known whether test images are among those that the encoder was trained "
                f"on, {given['name']}: {error}."
            )
    by_probes = judged.stored["train"]
    by_encoder = functools.reduce(origins.unite, places, {})
    both = origins.unite(by_probes, by_encoder)
    if origins.count(both) > origins.count(by_probes):
        notes = [*image_checks.describe_shared(judged, _trained_on(judged, by_encoder)), *notes]
    return image_checks.count_shared(judged, _trained_on(judged, both)), notes


def _trained_on(judged: dataset.Dataset, images: origins.Origin) -> dataset.Dataset:
    return judged._replace(stored={**judged.stored, "train": images})
