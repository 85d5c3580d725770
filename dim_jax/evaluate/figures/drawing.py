"""The style of all drawn figures, and figures as pixels. No pyplot, no global state.

matplotlib is imported where a figure is drawn: before the first step of a run it would take time.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dim_jax.data.pixel_range import PixelRange

INK, FAINT, LINE = "#1f2430", "#6b7280", "#d7dbe2"
MATCH = "#2a9d6f"
DPI = 160
_LONGEST = 20  # letters of a class name
_IMAGE = 0.66  # inches, the side of an image in a picture of many

# Ten colours that stay apart on white.
_TEN = (
    *("#3b6fb6", "#e8853a", "#3f9e5a", "#d1495b", "#8a63b8"),
    *("#8c6248", "#d977b3", "#7d848f", "#b5b232", "#31a9b8"),
)


def colours(count: int) -> list:
    """A colour for each of `count` classes: ten chosen ones, for more than ten hues all around."""
    if count <= len(_TEN):
        return list(_TEN[:count])
    import matplotlib

    return list(matplotlib.colormaps["hsv"](np.linspace(0, 1, count, endpoint=False)))


def new(width: float, height: float) -> Any:
    """An empty white figure of matplotlib, sizes in inches."""
    from matplotlib import figure as figures
    from matplotlib.backends import backend_agg

    figure = figures.Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    backend_agg.FigureCanvasAgg(figure)
    return figure


def pixels(figure: Any) -> np.ndarray:
    """The figure as u8[h,w,3]."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # names in scripts that the font lacks
        figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def plain(name: str) -> str:
    """A class name as it is to appear: cut where it is long, no formula, and never hidden."""
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 1]}…"
    name = name.replace("$", r"\$")
    return f"\u200b{name}" if name.startswith("_") else name  # a leading _ hides it from legends


def enlarged(image: np.ndarray, factor: int) -> np.ndarray:
    """The image [h,w,3] with every pixel a square of factor x factor."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def coloured(image: np.ndarray) -> np.ndarray:
    """An image u8[h,w,c] as [h,w,3]: three channels are colours, others are shown as their mean."""
    if image.shape[-1] == 3:
        return image
    grey = image if image.shape[-1] == 1 else np.rint(image.mean(axis=-1, keepdims=True))
    return np.repeat(grey.astype(image.dtype), 3, axis=-1)


def as_pixels(
    normalise: Callable, images: np.ndarray, pixel_range: PixelRange | None = None
) -> np.ndarray:
    """Normalised images f[...,c] as u8, by the inverse of `Frozen.normalise`, which is affine."""
    if pixel_range is None:
        ends = [np.full((1, 1, 1, images.shape[-1]), value, np.uint8) for value in (0, 255)]
    else:
        ends = [np.reshape(np.float32(end), (1, 1, 1, -1)) for end in pixel_range[:2]]
    black, white = (np.asarray(normalise(end))[0, 0, 0] for end in ends)
    scaled = (np.asarray(images) - black) / (white - black)
    return np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def spread(count: int, shown: int = 10) -> np.ndarray:
    """Positions of at most `shown` of `count` images, all over: folders sort them by class."""
    return np.linspace(0, count - 1, min(shown, count)).round().astype(int)


def rows_of_images(
    rows: Mapping[str, np.ndarray],
    mark: Callable[[Any, str, int], None] | None = None,
    side: float = _IMAGE,
) -> np.ndarray:
    """One row of images u8[n,h,w,c] below the other, each behind its name, as u8[h,w,3].

    Args:
      mark: draws on the axes of an image, in pixels of the image, given its row and number.
      side: of an image with its margin, in inches.
    """
    # Their width, in images.
    names = (0.1 + 0.13 * max(len(name.strip()) for name in rows)) * _IMAGE / side
    width, height = names + max(map(len, rows.values())), len(rows)
    figure = new(width * side, height * side)
    for down, (name, images) in enumerate(rows.items()):
        style = dict(ha="right", va="center", fontsize=9.5, color=INK)
        figure.text((names - 0.08) / width, 1 - (down + 0.5) / height, plain(name), **style)
        for across, image in enumerate(images):
            left, bottom = (names + across + 0.04) / width, 1 - (down + 0.96) / height
            axes = figure.add_axes([left, bottom, 0.92 / width, 0.92 / height])
            across_pixels = (0, image.shape[1], image.shape[0], 0)
            axes.imshow(coloured(image), interpolation="nearest", extent=across_pixels)
            axes.set_axis_off()
            if mark is not None:
                mark(axes, name, across)
    return pixels(figure)
