"""Generated images: a grid, paths between two codes, and the nearest training images.

Memorising shows as samples that are nearer to training images than test images are.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import generated
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing

_TAPS = ("y",)
_FIGURES = {
    "samples": (
        "Samples",
        "What the method's decoder makes of codes drawn from its prior. Points are drawn in "
        "colour over those of the test data in grey.",
    ),
    "interpolation": (
        "Interpolation of codes",
        "Each row goes from one drawn code to another in equal steps: spherical around the origin "
        "where this stays in the support of the prior, as with a normal one, and straight where "
        "it does not, as with a uniform one.",
    ),
    "nearest": (
        "Nearest training images of samples",
        "Samples, and below each the training images nearest to it by the distance of pixels. "
        "Equal images are memorised ones.",
    ),
}

_GRID = (6, 12)  # rows and columns
_PATHS, _STEPS = 6, 12
_SHOWN, _NEAREST = 10, 3  # samples, and training images below each
_COMPARED = 128  # samples, and test images, whose nearest training images are looked for
_BLOCK = 1000  # training images in memory at a time
_POINTS = 2000
_HEADING = 0.22  # inches above a scatter plot
_SUPPORT_DRAWS, _TRIED = 8192, 1024
_GRID_CODES, _PATH_CODES, _SUPPORT_CODES = range(3)  # purposes of random numbers


def evaluate(
    frozen: contracts.Frozen, splits: Mapping[str, dataset.Split], rng: jax.Array
) -> dict[str, float | np.ndarray]:
    """Pictures u8[h,w,3] of generated images, and one number.

    "samples": images of drawn codes. "interpolation": of codes between two drawn ones. "nearest":
    samples above their nearest training images by the Euclidean distance of pixels.

    "y/nearest_distance_ratio": the median distance of 128 samples to their nearest training image
        over that of 128 test images to theirs. Near 1 samples are as new as test images, towards
        0 they are copies. Blurred and plain images are near to many and below 1 too: look at
        "nearest" to tell which.

    For points there is "samples" alone, a scatter plot.

    Raises:
      UserError: a method that draws no codes.
    """
    check_method(frozen.method)
    rngs = [jax.random.fold_in(rng, purpose) for purpose in range(3)]
    train, test = splits["train"], splits["test"]
    draw = functools.partial(generated.codes, frozen, test)
    if generated.is_points(test):
        points = generated.mapped(frozen, draw(rngs[_GRID_CODES], _POINTS)).reshape(-1, 2)
        return {"samples": scatter({"": points}, generated.real_points(frozen, test))}

    def images(codes: np.ndarray) -> np.ndarray:
        made = generated.mapped(frozen, codes)
        return drawing.as_pixels(frozen.normalise, made, test.display)

    count = max(_GRID[0] * _GRID[1], _COMPARED)
    samples = images(draw(rngs[_GRID_CODES], count))
    ends = draw(rngs[_PATH_CODES], 2 * _PATHS).reshape(2, _PATHS, -1)
    kind = path_kind(draw(rngs[_SUPPORT_CODES], _SUPPORT_DRAWS))
    paths = np.stack([_KINDS[kind](*ends, share) for share in np.linspace(0, 1, _STEPS)], axis=1)
    between = images(paths.reshape(-1, paths.shape[-1]))
    compared = samples[:_COMPARED]
    closest, distances = nearest(train, compared, _NEAREST)
    held_out = dataset.shown(test, drawing.spread(len(test.images), _COMPARED))
    reference = np.median(nearest(train, held_out, 1)[1])
    rows = {"sample": compared[:_SHOWN]} | {
        name: dataset.shown(train, closest[:_SHOWN, rank])
        for rank, name in enumerate(("nearest", "second", "third")[: closest.shape[1]])
    }
    return {
        "y/nearest_distance_ratio": float(np.median(distances[:, 0]) / max(reference, 1e-12)),
        "samples": _grid(samples[: _GRID[0] * _GRID[1]].reshape(*_GRID, *samples.shape[1:])),
        "interpolation": _grid(between.reshape(_PATHS, _STEPS, *between.shape[1:]), kind),
        "nearest": drawing.rows_of_images(rows),
    }


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError for a method that draws no codes of a prior."""
    generated.check_draws(method, "samples")


EVALUATION = Evaluation(
    evaluate, representations="trained", taps=_TAPS, figures=_FIGURES, check_method=check_method
)


def path_kind(codes: np.ndarray) -> str:
    """The kind of path, "spherical" or "straight", that stays in the support of a prior.

    Spherical, unless the middle of such paths between codes f[n,d] has coordinates beyond the
    range of the codes: those of a prior on a cube do, those of a normal one and of one on a ball
    or a sphere, where straight paths have codes that are too short, do not.
    """
    if codes.shape[1] == 1:  # of which no circle passes through two
        return "straight"
    middle = spherical(codes[:_TRIED], codes[_TRIED : 2 * _TRIED], 0.5)
    low, high = codes.min(axis=0), codes.max(axis=0)
    margin = 0.02 * (high - low)
    inside = (middle >= low - margin) & (middle <= high + margin)
    return "spherical" if np.mean(inside) > 0.999 else "straight"


def straight(starts: np.ndarray, ends: np.ndarray, share: float) -> np.ndarray:
    """The codes f[n,d] at this share of the straight ways from starts to ends."""
    return (1 - share) * starts + share * ends


def spherical(starts: np.ndarray, ends: np.ndarray, share: float) -> np.ndarray:
    """The codes f[n,d] at this share of the ways around the origin; lengths change evenly.

    Source: Shoemake 1985 (slerp); White 2016 (for codes of generators).
    """
    lengths = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (starts, ends)]
    units = [
        rows / np.maximum(size, 1e-12) for rows, size in zip((starts, ends), lengths, strict=True)
    ]
    angles = np.arccos(np.clip((units[0] * units[1]).sum(axis=1, keepdims=True), -1, 1))
    sines = np.maximum(np.sin(angles), 1e-6)
    turned = np.sin((1 - share) * angles) * units[0] + np.sin(share * angles) * units[1]
    return turned / sines * straight(*lengths, share)


_KINDS: dict[str, Callable] = {"spherical": spherical, "straight": straight}


def nearest(train: dataset.Split, images: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions i[n,k] of the training images nearest to images u8[n,h,w,c], and their distances.

    The nearest comes first; k is `count` or the number of training images. Distances f64[n,k] are
    Euclidean, of pixels in [0, 1]. A block of training images is in memory at a time.
    """
    queries = _flat(images)
    count = min(count, len(train.images))
    squares = np.full((len(queries), 0), 0.0, np.float32)
    places = np.zeros((len(queries), 0), np.int64)
    for start in range(0, len(train.images), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(train.images)))
        block = _flat(dataset.shown(train, rows))
        of_block = (block**2).sum(axis=1) - 2 * queries @ block.T  # but the squares of the queries
        squares = np.concatenate([squares, of_block], axis=1)
        places = np.concatenate([places, np.broadcast_to(rows, of_block.shape)], axis=1)
        kept = np.argpartition(squares, count - 1, axis=1)[:, :count]
        squares, places = (np.take_along_axis(each, kept, axis=1) for each in (squares, places))
    # Anew in float64, as the difference of large sums is not exact.
    distances = np.stack(
        [
            np.linalg.norm(_flat(dataset.shown(train, column)).astype(np.float64) - queries, axis=1)
            for column in places.T
        ],
        axis=1,
    )
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def _grid(rows: np.ndarray, name: str = "") -> np.ndarray:
    """Rows of images [r,n,h,w,c] behind the name of the first one."""
    named = {name if not row else " " * row: part for row, part in enumerate(rows)}
    return drawing.rows_of_images(named)


def scatter(rows: Mapping[str, np.ndarray], real: np.ndarray) -> np.ndarray:
    """Generated points {title: f[n,2]} over those of the data f[m,2], side by side, as u8[h,w,3].

    All panels show the same square around the points of the data; a title of a panel with points
    outside says how many.
    """
    columns = min(len(rows), 4)
    lines = -(-len(rows) // columns)
    side = 4.4 if len(rows) == 1 else 2.3
    width, height = columns * side, lines * (side + _HEADING)
    figure = drawing.new(width, height)
    centre = (real.min(axis=0) + real.max(axis=0)) / 2
    reach = 0.65 * max(np.ptp(real, axis=0).max(), 1e-6)
    for place, (title, points) in enumerate(rows.items()):
        down, across = divmod(place, columns)
        left, bottom = across * side + 0.05, height - (down + 1) * (side + _HEADING) + 0.05
        square = (side - 0.1) / width, (side - 0.1) / height
        axes = figure.add_axes([left / width, bottom / height, *square])
        size = 6 if len(rows) == 1 else 2
        axes.scatter(*real[:_POINTS].T, s=size, color=drawing.LINE, linewidths=0)
        axes.scatter(*points.T, s=size, color=drawing.colours(1)[0], alpha=0.7, linewidths=0)
        axes.set(
            xticks=[],
            yticks=[],
            aspect="equal",
            xlim=(centre[0] - reach, centre[0] + reach),
            ylim=(centre[1] - reach, centre[1] + reach),
        )
        outside = int(np.any(np.abs(points - centre) > reach, axis=1).sum())
        said = f"{outside} of {len(points)} outside" if outside else ""
        axes.set_title(", ".join(filter(None, (title, said))), fontsize=8.5, color=drawing.INK)
        for spine in axes.spines.values():
            spine.set(color=drawing.LINE)
    return drawing.pixels(figure)
