"""results.json of a finished run: the file, and the check that it can be shown."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from dim_jax import contracts


def read_results(path: str | os.PathLike) -> dict[str, Any]:
    """The content of a run's results.json: `run`, `rows` and `figures`.

    Raises:
      UserError: the file cannot be read, or has not what a report shows.
    """
    path = pathlib.Path(path)
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise contracts.UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        fault = "it is not JSON"
    else:
        fault = _fault(results)
    if fault is None:
        return results
    raise contracts.UserError(
        f"{path} is damaged or not of a run: {fault}; put a copy back, or remove it to evaluate "
        "the trained encoder again"
    )


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_number, value.values()))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_best(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(value.get(name), int | float) for name in ("step", "value")
    )


# Of what a report shows; files of older versions lack some of it.
_KINDS = {
    **dict.fromkeys(("config", "config_string", "device", "dataset"), _is_text),
    **dict.fromkeys(("devices", "steps", "epochs", "images_per_second"), _is_number),
    **dict.fromkeys(("train_seconds", "compile_seconds", "eval_seconds"), _is_number),
    **dict.fromkeys(("train_examples", "test_examples", "test_examples_trained_on"), _is_number),
    **dict.fromkeys(("parameters", "peak_mib", "train_peak_mib"), _are_numbers),
    "notes": _are_texts,
    "best": _is_best,
    **dict.fromkeys(("published_source", "published_differs"), _is_text),
    **dict.fromkeys(("eval", "representation", "tap", "metric"), _is_text),
    **dict.fromkeys(("protocol", "labels", "split"), _is_text),
    **dict.fromkeys(("value", "std", "fits", "dim", "published"), _is_number),
    **dict.fromkeys(("file", "title", "caption"), _is_text),
}
_ROW = {"eval", "representation", "tap", "metric", "value"}


def _fault(results: Any) -> str | None:
    """The first thing that results lack or that is not of its kind; None if there is none."""
    if not isinstance(results, dict):
        return "it is no object"
    for name, kind in (("run", dict), ("rows", list), ("figures", list)):
        if not isinstance(results.get(name), kind):
            return f"it has no {name}"
    places = {
        "published_source": (results, set()),
        "run": (results["run"], set()),
        **{f"row {number}": (row, _ROW) for number, row in enumerate(results["rows"])},
        **{f"figure {number}": (each, {"file"}) for number, each in enumerate(results["figures"])},
    }
    wrong = (place for place, (entry, needed) in places.items() if not _is_right(entry, needed))
    return next((f"its {place} is not as a run writes it" for place in wrong), None)


def _is_right(entry: Any, needed: set[str]) -> bool:
    return (
        isinstance(entry, Mapping)
        and all(entry.get(name) is not None or name == "value" for name in needed)
        and needed <= entry.keys()
        and all(is_right(entry[name]) for name, is_right in _KINDS.items() if name in entry)
    )
