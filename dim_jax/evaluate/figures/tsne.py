"""A t-SNE map of y: test images as dots in the plane, neighbours in y close together.

Source: van der Maaten and Hinton 2008 (t-SNE), as implemented by scikit-learn.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
import threadpoolctl

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing

_FIGURES = {
    "map2d": (
        "Map of y",
        "t-SNE of y for up to 2,000 test images; distances between far clusters mean nothing.",
    )
}

_IMAGES = 2000
_PERPLEXITY = 30.0  # scikit-learn's default, within the 5 to 50 of the paper
_STEPS = 500  # on CIFAR-10 the map separates classes as well as after the default 1,000
_LEGEND = 20  # classes at most; with more, colours can no longer be told apart


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    classes: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """{"map2d": u8[h,w,3]}: t-SNE of y, coloured by class where there are labels.

    Args:
      classes: their names for the legend.
    """
    del rng
    test = splits["test"]
    y = features.extract(frozen, test, ("y",))["y"][:_IMAGES]
    return {"map2d": picture(plane(y), test.labels[:_IMAGES], classes)}


EVALUATION = Evaluation(evaluate, representations="trained", taps=("y",), figures=_FIGURES)


def plane(y: np.ndarray) -> np.ndarray:
    """The t-SNE f[n,2] of y f[n,d]; all at one point where there is nothing to arrange."""
    if len(y) < 4 or np.ptp(y, axis=0).max() == 0:
        return np.zeros((len(y), 2))
    perplexity = min(_PERPLEXITY, (len(y) - 1) / 3)
    from sklearn import manifold  # takes a second to import

    embedding = manifold.TSNE(perplexity=perplexity, max_iter=_STEPS, random_state=0)
    with threadpoolctl.threadpool_limits(1):  # so few points keep one thread busy, not two
        return embedding.fit_transform(y)


def picture(points: np.ndarray, labels: np.ndarray, classes: Sequence[str] | None) -> np.ndarray:
    """The points f[n,2] as dots u8[h,w,3], coloured by label (-1 = none)."""
    present = np.unique(labels[labels >= 0])
    legend = 0 < len(present) <= _LEGEND
    width = 8.0 if legend else 5.6
    figure = drawing.new(width, 5.6)
    axes = figure.add_axes([0.05 / width, 0.01, 5.5 / width, 0.98])
    colours = drawing.colours(len(present))
    size = float(np.clip(9000 / len(points), 11, 40))
    without = points[labels < 0].T
    axes.scatter(*without, s=size, color=drawing.FAINT, alpha=0.8, linewidths=0)
    for label, colour in zip(present, colours, strict=True):
        name = classes[label] if classes else f"class {label}"
        dots = points[labels == label].T
        axes.scatter(
            *dots, s=size, color=colour, alpha=0.85, linewidths=0, label=drawing.plain(name)
        )
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.margins(0.02)
    axes.set_frame_on(False)
    if legend:
        figure.legend(
            loc="center left",
            bbox_to_anchor=(0.71, 0.5),
            frameon=False,
            fontsize=10,
            labelcolor=drawing.INK,
            markerscale=(75 / size) ** 0.5,
            handletextpad=0.2,
            labelspacing=0.65,
        )
    return drawing.pixels(figure)
