"""Functions of users that encode images: their import, their calls and checks of their outputs."""

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dim_jax import contracts

TAP = "y"  # of an array that has no name
BATCH = 128  # images of a call
_EXAMPLE = "give f[n,d], one row for each image"
_COMPARED = 4  # images that are encoded among two sets of others
_LARGEST_CHANGE = 0.05  # of the features' norm; products in TF32 change them by a thousandth


class Function:
    """images [n,h,w,c] -> {tap: f32[n,...]}, by a function that returns such a dict or one array.

    Every call checks what the function returned, against the call before it too.
    """

    def __init__(self, name: str, call: Callable[[np.ndarray], Any]):
        self.name = name
        self.shapes: dict[str, tuple[int, ...]] | None = None
        self._call = call

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The features of a batch.

        Raises:
          UserError: the function raised an error, or returned no features of these images.
        """
        try:
            output = self._call(np.array(images))  # a copy, as the function may change it
            taps = {tap: _as_array(each) for tap, each in _named(output).items()}
        except contracts.UserError as error:
            raise contracts.UserError(f"the encoder {self.name} {error}") from error
        except Exception as error:
            raise contracts.UserError(
                f"the encoder {self.name} raised {_described(error)}"
            ) from error
        for tap, rows in taps.items():
            fault = _fault(tap, rows, len(images), is_alone=not isinstance(output, Mapping))
            if fault:
                raise contracts.UserError(f"the encoder {self.name} returned {fault}")
        self._compare({tap: rows.shape[1:] for tap, rows in taps.items()})
        return taps

    def _compare(self, shapes: dict[str, tuple[int, ...]]) -> None:
        if self.shapes is None:
            self.shapes = shapes
        if shapes != self.shapes:
            raise contracts.UserError(
                f"the encoder {self.name} returned features of other shapes for another batch: "
                f"{shown(self.shapes)}, then {shown(shapes)}; return the same for every batch"
            )


def load(name: str) -> Function:
    """The function `package.module:function`, or `path/to/file.py:function`.

    Modules are looked for in the current folder and where Python looks for them.

    Raises:
      UserError: no such module or function, or an error while it is imported.
    """
    place, _, attribute = name.rpartition(":")
    loaded: Any = _module(place)
    for part in attribute.split("."):
        if not hasattr(loaded, part):
            public = [each for each in vars(loaded) if callable(getattr(loaded, each))]
            raise contracts.UserError(f"{place} has no {part}: {_suggestion(part, public)}")
        loaded = getattr(loaded, part)
    if not callable(loaded):
        raise contracts.UserError(
            f"{name} is of type {type(loaded).__name__} and no function; name a function that "
            "takes images [n,h,w,c] and returns their features f[n,d]"
        )
    return Function(name, loaded)


def check_independence(function: Function, images: np.ndarray, others: np.ndarray) -> None:
    """Compares the features of the first images in a batch with those among other images.

    Args:
      images, others: [n,h,w,c], two batches of one size.

    Raises:
      UserError: they differ, as those of batch norm in training mode or of random augmentation do.
    """
    count = min(_COMPARED, len(images))
    first = function(images)
    second = function(np.concatenate([images[:count], others[count:]]))
    for tap, rows in first.items():
        norm = float(np.linalg.norm(rows[:count]))
        change = float(np.linalg.norm(rows[:count] - second[tap][:count]))
        if change > _LARGEST_CHANGE * norm:
            raise contracts.UserError(
                f"the encoder {function.name} gives an image other features ('{tap}', by "
                f"{100 * change / norm:.0f} % of their norm) in another batch: put it into "
                "evaluation mode, such as by model.eval(), and leave out random augmentation"
            )


def _module(place: str) -> ModuleType:
    try:
        if place.endswith(".py"):
            return _of_file(Path(place))
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        return importlib.import_module(place)
    except contracts.UserError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and place.startswith(error.name or " "):
            raise contracts.UserError(
                f"there is no module {error.name}: give --encoder in the folder that holds it, set "
                "PYTHONPATH to that folder, or write path/to/file.py:function"
            ) from error
        raise contracts.UserError(f"{place} cannot be imported: {_described(error)}") from error


def _of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise contracts.UserError(f"there is no file {path}; give --encoder file.py:function")
    if os.fspath(path.resolve().parent) not in sys.path:
        sys.path.insert(0, os.fspath(path.resolve().parent))  # for what it imports
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # dataclasses in the file look for it
    spec.loader.exec_module(module)
    return module


def _suggestion(name: str, names: list[str]) -> str:
    return contracts.suggestion(name, names) if names else "it is empty"


def _described(error: Exception) -> str:
    """The error, and the line of the innermost file that is no part of an installed package."""
    text = " ".join(str(error).split())
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and frame.filename != __file__
    ]
    files = [frame for frame in frames if Path(frame.filename).is_file()]
    place = f" ({Path(files[-1].filename).name}, line {files[-1].lineno})" if files else ""
    return f"{type(error).__name__}: {text}{place}"


def _named(output: Any) -> Mapping[str, Any]:
    if not isinstance(output, Mapping):
        return {TAP: output}
    if not output or not all(isinstance(tap, str) and tap for tap in output):
        raise contracts.UserError(
            f"returned a dict with the keys {[*output]}; give {{name: f[n,...]}} with one name or "
            "more"
        )
    return output


def _as_array(output: Any) -> np.ndarray:
    """The output as NumPy, f32 where it is real numbers."""
    if output is None:
        raise contracts.UserError(f"returned None; {_EXAMPLE}")
    try:
        array = np.asarray(output)
    except Exception as error:  # of any kind, by the package whose array it is
        raise contracts.UserError(
            f"returned a {type(output).__name__} that numpy.asarray does not take "
            f"({' '.join(str(error).split())}); return an array in the memory of the host, such as "
            "features.detach().cpu().numpy()"
        ) from error
    if array.dtype.kind in "fiub" or array.dtype.name == "bfloat16":
        with np.errstate(over="ignore"):  # infinity is refused below
            return array.astype(np.float32)
    return array


def _fault(tap: str, rows: np.ndarray, count: int, *, is_alone: bool) -> str | None:
    """The reason why rows are not the features of `count` images, and what to return instead."""
    what = f"features of shape {list(rows.shape)}"
    if rows.dtype != np.float32:
        kind = "complex numbers" if rows.dtype.kind == "c" else f"an array of type {rows.dtype}"
        return f"{kind}; give real numbers, f[n,d]"
    if rows.ndim == 0 or len(rows) != count:
        return f"{what} for {count} images; {_EXAMPLE}"
    if rows.ndim == 1:
        return f"{what} for {count} images; {_EXAMPLE}, such as features[:, None]"
    if rows.size == 0:
        return f"{what}, which are empty; {_EXAMPLE}"
    if rows.ndim > 2 and is_alone:
        return (
            f"{what}; give f[n,d], such as their mean over locations, or a dict such as "
            "{'conv': features} to have them flattened"
        )
    finite = np.isfinite(rows).reshape(count, -1).all(axis=1)
    if not finite.all():
        return (
            f"features '{tap}' that are not finite, first those of image {int(np.argmin(finite))} "
            f"of a batch of {count}; check the weights and the preprocessing"
        )
    return None


def shown(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The shapes of features in words, such as "y [n, 128]"."""
    return ", ".join(f"{tap} {['n', *shape]}".replace("'", "") for tap, shape in shapes.items())
