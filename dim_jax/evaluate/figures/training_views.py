"""A picture of training images and of several random draws of their views and small crops."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing

_FIGURES = {
    "views": (
        "Views that are trained on",
        "Training images, and below each what a step may see of it. Views of one draw are of one "
        "step.",
    )
}


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    draws: int = 3,
) -> dict[str, np.ndarray]:
    """{"views": u8[h,w,3]}: images in columns, and below all views and crops of `draws` draws.

    Raises:
      UserError: a representation that is not trained on images; no draw.
    """
    if frozen.prepare is None:
        raise contracts.UserError(
            "this representation is not trained on views of images; remove it from the "
            "representations of the evaluation 'training_views'"
        )
    if draws < 1:
        raise contracts.UserError(
            f"draws is {draws} in the evaluation 'training_views'; set it to 1 or more"
        )
    train = dataset.uncut(splits["train"])
    rows = drawing.spread(len(train.images))
    picked = jnp.asarray(train.images[rows])
    kinds = {"view": jax.jit(frozen.prepare)}
    if frozen.crops is not None:
        kinds["small crop"] = jax.jit(frozen.crops)
    rows = {"image": dataset.shown(train, rows)}
    for draw in range(draws):
        for kind, prepare in kinds.items():
            views = prepare(picked, jax.random.fold_in(rng, draw))
            views = drawing.as_pixels(frozen.normalise, views, train.display)
            for number, view in enumerate(views, start=1):
                only = len(views) == len(kinds) == 1
                rows[f"draw {draw + 1}" + ("" if only else f", {kind} {number}")] = view
    return {"views": drawing.rows_of_images(rows)}


EVALUATION = Evaluation(evaluate, representations="trained", taps=(), figures=_FIGURES)
