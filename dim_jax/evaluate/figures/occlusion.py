"""A picture of training images above occluded ones, with the grid of local features.

Source: Hjelm et al. 2019, App. A.7 and Fig. 14; marks of local features are ours.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing

_FIGURES = {
    "occlusion": (
        "Occluded images",
        "Training images with the grid of their local features, and below each what the global "
        "feature is computed from. Of the local features, which see the intact image, those with "
        "an orange mark lie in hidden pixels only, those with a green one in visible pixels only.",
    )
}
_IMAGES, _SIDE = 8, 1.0  # how many, and inches


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    draws: int = 2,
) -> dict[str, np.ndarray]:
    """{"occlusion": u8[h,w,3]}: images in columns, and below their occlusions of `draws` draws.

    Raises:
      UserError: a method that hides nothing; no draw.
    """
    check_method(frozen.method)
    if draws < 1:
        raise contracts.UserError(
            f"draws is {draws} in the evaluation 'occlusion'; set it to 1 or more"
        )
    train, occlusion = splits["train"], frozen.method.occlusion
    occlude = jax.jit(occlusion.occlude)
    view_key, *keys = jax.random.split(rng, 1 + draws)
    picked = jnp.asarray(train.images[drawing.spread(len(train.images), _IMAGES)])
    views = jax.jit(frozen.prepare)(picked, view_key)[0]
    fields = occlusion.fields(views.shape[1])
    rows, marks = {"image": views}, {}
    for draw, key in enumerate(keys, start=1):
        name = f"draw {draw}"
        rows[name] = occlude(key, views)
        hidden = np.asarray(occlude(key, jnp.ones_like(views)) != 1)[..., 0]
        marks[name] = locations(hidden, fields)
    rows = {
        name: drawing.as_pixels(frozen.normalise, images, train.display)
        for name, images in rows.items()
    }

    def mark(axes, name: str, number: int) -> None:
        if name in marks:
            _mark(axes, fields, *(found[number] for found in marks[name]))
        else:
            _draw_grid(axes, fields, *views.shape[1:3])

    return {"occlusion": drawing.rows_of_images(rows, mark, _SIDE)}


def locations(hidden: np.ndarray, fields: contracts.Fields) -> tuple[np.ndarray, np.ndarray]:
    """The local features that see hidden pixels only, and those that see visible ones only.

    Args:
      hidden: b[n,h,w].

    Returns: two of b[n,rows,columns].
    """
    rows, columns = (fields.spans(side) for side in hidden.shape[1:])
    parts = [[hidden[:, a:b, c:d] for c, d in columns] for a, b in rows]
    unseen, touched = (
        np.array([[reduce(part, axis=(1, 2)) for part in row] for row in parts]).transpose(2, 0, 1)
        for reduce in (np.all, np.any)
    )
    return unseen, ~touched


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError for a method that hides no part of its images."""
    if method is None or method.occlusion is None:
        raise contracts.UserError(
            "the method hides no part of its images, and the evaluation 'occlusion' draws what it "
            "hides; remove 'occlusion' from evals, or set occlusion=True in the block of the "
            "method 'dim'"
        )


EVALUATION = Evaluation(
    evaluate, representations="trained", taps=(), figures=_FIGURES, check_method=check_method
)


def _draw_grid(axes, fields: contracts.Fields, height: int, width: int) -> None:
    """Lines half-way between the centres of neighbouring fields."""
    style = dict(color="white", linewidth=0.5, alpha=0.8)
    for side, draw in ((height, axes.axhline), (width, axes.axvline)):
        for centre in _centres(fields, len(fields.spans(side)))[1:]:
            draw(centre - fields.stride / 2, **style)


def _mark(axes, fields: contracts.Fields, unseen: np.ndarray, intact: np.ndarray) -> None:
    """Squares at the centres of the fields of two kinds, two of b[rows,columns]."""
    _, orange = drawing.colours(2)
    for there, colour in ((unseen, orange), (intact, drawing.MATCH)):
        down, across = (_centres(fields, count) for count in there.shape)
        rows, columns = np.nonzero(there)
        axes.plot(across[columns], down[rows], "s", color=colour, markersize=2.4)


def _centres(fields: contracts.Fields, count: int) -> np.ndarray:
    """The middle of each field in pixels, padding included, f[count]."""
    return fields.offset + fields.size / 2 + fields.stride * np.arange(count)
