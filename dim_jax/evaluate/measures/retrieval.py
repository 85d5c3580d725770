"""Retrieval of each anchor's candidate among those of other test images by a method's critics.

For methods that compare examples: every score matrix of `contracts.Method.scores`, in evaluation
mode, on images that were not trained on.

Source: van den Oord et al. 2018 (the value is a lower bound of the information, at most log n).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import bounds, contracts
from dim_jax.data import dataset
from dim_jax.evaluate.evaluation import Evaluation


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    candidates: int = 64,
    images: int = 2048,
) -> dict[str, float]:
    """Retrieval among `candidates` images, and the information that the scores show.

    Test images in their order, in groups; an anchor's candidates are those of its group, location
    by location. Views are drawn at random as in training.

    Args:
      candidates: images in a group; chance is 1 / candidates.
      images: at most this many test images; those of a last, smaller group are left out.

    Returns:
      "<name>/retrieval": the fraction of anchors that score their own candidate highest; among k
          equal highest ones it counts 1/k.
      "<name>/retrieval_chance": 1 / candidates.
      "<name>/nats": `bounds.infonce` with negatives="same_location" and one group as its batch, a
          lower bound of the mean information of anchor and candidate, at most log(candidates).
          Below 0 the critics are surer than they are right.

    Raises:
      UserError: a method that compares no examples; fewer than 2 candidates, or fewer test images.
    """
    check_method(frozen.method)
    test = dataset.uncut(splits["test"]).images
    if not 2 <= candidates <= len(test):
        raise contracts.UserError(
            f"candidates is {candidates} in the evaluation 'retrieval' and there are {len(test)} "
            "test images; set it to 2 or more, and at most to their number"
        )
    count = min(images, len(test)) // candidates
    if count < 1:
        raise contracts.UserError(
            f"images is {images} in the evaluation 'retrieval', less than candidates, "
            f"{candidates}; set it to a multiple of them"
        )
    measure = _measure(frozen)
    groups = [
        measure(
            frozen.params,
            frozen.state,
            jnp.asarray(test[group * candidates : (group + 1) * candidates]),
            jax.random.fold_in(rng, group),
        )
        for group in range(count)
    ]
    means = {key: float(np.mean([each[key] for each in groups])) for key in groups[0]}
    chance = {key: 1 / candidates for key in means if key.endswith("/retrieval")}
    return means | {f"{key}_chance": value for key, value in chance.items()}


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError on a method without scores."""
    if method is None or method.scores is None:
        raise contracts.UserError(
            "this method compares no examples, so there is nothing to retrieve; remove the "
            "evaluation 'retrieval' from evals"
        )


EVALUATION = Evaluation(evaluate, representations="encoders", taps=(), check_method=check_method)


def _measure(frozen: contracts.Frozen):
    @jax.jit
    def measure(params, state, images, rng):
        scores = frozen.method.scores(params, state, frozen.prepare(images, rng))
        values = {}
        for name, matrix in scores.items():
            values[f"{name}/retrieval"] = retrieved(matrix)
            values[f"{name}/nats"] = bounds.infonce(matrix, negatives="same_location")
        return values

    return measure


def retrieved(scores: jax.Array) -> jax.Array:
    """The fraction of anchors of scores f[n,n,*l] whose own candidate, the diagonal, is highest."""
    scores = scores.reshape(*scores.shape[:2], -1)
    highest = scores.max(axis=1, keepdims=True)
    first = jnp.diagonal(scores == highest).T  # b[n,l]
    return jnp.mean(first / jnp.sum(scores == highest, axis=1))
