"""Use of the channels of layers that embed them, and the layout of their filters.

For methods with `contracts.Method.embedded`: numbers of every such layer, from its first on, on
images that were not trained on, and a picture of the first.

Source: Klindt, Balle, Shlens and Simoncelli 2020 (poster, the figure of embedded filters).
Differs: the poster has no numbers beside its figure; these are ours.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import spatial, stats

from dim_jax import bounds, contracts, losses
from dim_jax.data import dataset
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing, filters
from dim_jax.losses import manifold_information

_FIGURES = {
    "embedding": (
        "Embedded filters",
        "The first layer's filters at the positions that it embeds them at, the more used above "
        "the less used; those that are hardly used are left out, and those far out stand at the "
        "edge. Each is scaled by itself, mid-grey is zero. Of more than two dimensions the first "
        "two principal components.",
    )
}

_CANVAS, _SIDE = 800, 27  # pixels: the largest distance of filters, and about the side of one
_LINE = 225  # the grey of the line around a filter
_OUTER = 0.01  # of the filters on each side are moved to the picture's edge where they lie outside
_RARE = 0.1  # a channel is used whose mean response is above this part of 1 / channels
_NEAR = 0.01  # of the span: positions nearer than this count as one


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    group: int = 128,
    images: int = 2048,
    locations: int = 4,
) -> dict[str, Any]:
    """Entropy, information, use and order of the channels of each layer, "layer1" and so on.

    Test images in their order, in groups; a smaller last group is left out.

    Args:
      group: images in a group, among which information is measured.
      images: at most this many test images.
      locations: the number drawn of each image, for information only.

    Returns:
      "<layer>/entropy": of the mean response, nats; "<layer>/entropy_fraction": of log channels.
      "<layer>/information": `manifold_information.layer_information` with negatives="patches",
          nats, mean over groups; "<layer>/information_ceiling": log(group), its upper limit.
      "<layer>/information_shuffled": the same with draws beside the distributions of other images;
          not above 0 but for chance.
      "<layer>/used": the share of channels with a mean response above 1 / (10 * channels).
      "<layer>/positions": the number of used channels that lie further apart than 1 % of the span
          of all of them, in a greedy count.
      "<layer>/order": Spearman's correlation, over pairs of used channels, of the distance of their
          positions and the dissimilarity 1 - cosine of their filters; 0 where either is constant.
      "embedding": the picture u8[h,w,3].

    Raises:
      UserError: a method that embeds no channels; a group of fewer than 2 images, or of more than
        there are.
    """
    check_method(frozen.method)
    test = splits["test"].images
    count = min(images, len(test)) // max(group, 1)
    if group < 2 or count < 1:
        raise contracts.UserError(
            f"group is {group} in the evaluation 'manifold_layers', images {images}, and there are "
            f"{len(test)} test images; set group to 2 or more, and at most to either"
        )
    measure = _measure(frozen, locations)
    sums = None
    for index in range(count):
        pixels = jnp.asarray(test[index * group : (index + 1) * group])
        measured = measure(frozen.params, frozen.state, pixels, jax.random.fold_in(rng, index))
        measured = jax.tree.map(lambda x: np.asarray(x, np.float64), measured)
        sums = measured if sums is None else jax.tree.map(np.add, sums, measured)
    values: dict[str, Any] = {}
    layers = _weights(frozen, jnp.asarray(test[:1]))
    for index, (means, layer) in enumerate(zip(sums, layers, strict=True)):
        means = {name: value / count for name, value in means.items()}
        numbers = _numbers(means, *layer) | {"information_ceiling": float(np.log(group))}
        values |= {f"layer{index + 1}/{name}": value for name, value in numbers.items()}
    return values | {"embedding": picture(sums[0]["responses"] / count, *layers[0])}


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError on a method that embeds no channels."""
    if method is None or method.embedded is None:
        raise contracts.UserError(
            "this method has no layers that embed their channels; remove the evaluation "
            "'manifold_layers' from evals"
        )


EVALUATION = Evaluation(
    evaluate,
    representations="encoders",
    taps=(),
    figures=_FIGURES,
    check_method=check_method,
)


def _measure(frozen: contracts.Frozen, locations: int):
    """The quantities that are averaged over groups, layer by layer."""

    @jax.jit
    def measure(params, state, images, rng):
        measured = []
        for index, layer in enumerate(
            frozen.method.embedded(params, state, frozen.normalise(images))
        ):
            key = jax.random.fold_in(rng, index)
            log_densities = manifold_information.drawn(
                key, layer, locations=locations, negatives="patches"
            )
            others = jnp.roll(jnp.arange(len(images)), 1)
            measured.append(
                dict(
                    responses=layer.responses.reshape(-1, layer.responses.shape[-1]).mean(axis=0),
                    information=bounds.known_conditional(log_densities),
                    information_shuffled=bounds.known_conditional(log_densities, others),
                )
            )
        return measured

    return measure


def _weights(frozen: contracts.Frozen, images: jax.Array) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions f[k,d] and filters f[s,s,c,k] of each layer."""
    layers = frozen.method.embedded(frozen.params, frozen.state, frozen.normalise(images))
    return [(np.asarray(layer.positions), np.asarray(layer.filters)) for layer in layers]


def _numbers(means: Mapping, positions: np.ndarray, kernel: np.ndarray) -> dict[str, float]:
    responses, used = means["responses"], are_used(means["responses"])
    entropy = float(losses.batch_entropy(jnp.asarray(responses)))
    return {
        "entropy": entropy,
        "entropy_fraction": entropy / float(np.log(len(responses))),
        "information": float(means["information"]),
        "information_shuffled": float(means["information_shuffled"]),
        "used": float(np.mean(used)),
        "positions": float(distinct(positions[used])),
        "order": order(positions[used], kernel[..., used]),
    }


def are_used(responses: np.ndarray) -> np.ndarray:
    """b[k]: whether a channel of mean responses f[k] is more than rare."""
    return responses > _RARE / len(responses)


def distinct(positions: np.ndarray) -> int:
    """The number of positions f[k,d] that remain if each too near to one before it is left out."""
    span = np.ptp(positions, axis=0).max()
    apart: list[np.ndarray] = []
    for position in positions:
        if all(np.linalg.norm(position - other) > _NEAR * span for other in apart):
            apart.append(position)
    return len(apart)


def order(positions: np.ndarray, kernel: np.ndarray) -> float:
    """Spearman's correlation of the distances of positions f[k,d] and of filters f[s,s,c,k]."""
    if len(positions) < 3:
        return 0.0
    apart = spatial.distance.pdist(positions)
    unlike = spatial.distance.pdist(kernel.reshape(-1, len(positions)).T, "cosine")
    if np.ptp(apart) == 0 or np.ptp(unlike) == 0:
        return 0.0
    return float(stats.spearmanr(apart, unlike).statistic)


def picture(responses: np.ndarray, positions: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The used filters f[s,s,c,k] as patches at their positions f[k,d] in the plane, u8[h,h,3]."""
    used = are_used(responses)
    rising = np.argsort(responses[used], kind="stable")
    shown = filters.as_pixels(kernel[..., used])[rising]
    factor = max(1, round(_SIDE / max(kernel.shape[:2])))
    corners = _corners(plane(positions[used])[rising])
    height, width = np.array(kernel.shape[:2]) * factor + 2  # with a line around it
    canvas = np.full((_CANVAS + height + 1, _CANVAS + width + 1, 3), 255, np.uint8)
    for image, (left, top) in zip(shown, corners, strict=True):
        patch = np.full((height, width, 3), _LINE, np.uint8)
        patch[1:-1, 1:-1] = drawing.enlarged(image, factor)
        canvas[top : top + height, left : left + width] = patch
    return canvas


def _corners(places: np.ndarray) -> np.ndarray:
    """The left and upper edges i[k,2] of patches at places f[k,2]; those far out at the margin."""
    low, high = np.quantile(places, [_OUTER, 1 - _OUTER], axis=0)
    span = (high - low).max() or 1.0
    places = 0.5 + (places - (low + high) / 2) / span
    return np.round(_CANVAS * np.clip(places * [1, -1] + [0, 1], 0, 1)).astype(int)


def plane(positions: np.ndarray) -> np.ndarray:
    """Positions f[k,d] as f[k,2]: as they are, or their first two principal components."""
    dimensions = positions.shape[1]
    if dimensions == 1:
        return np.concatenate([positions, np.zeros_like(positions)], axis=1)
    if dimensions == 2:
        return positions
    centred = positions - positions.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return np.pad(centred @ axes[:2].T, ((0, 0), (0, max(0, 2 - len(axes)))))
