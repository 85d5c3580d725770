"""The value of `--evals`: names of evaluations, JSON text, or the path of a JSON file."""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from dim_jax.settings.definition import UserError

# Settings of the block `data` that say which images of another data set an evaluation is made on,
# and how they are read.
OTHER_DATA = (
    *("name", "data_dir", "image_size", "fit", "channels", "bits", "image_column", "label_column"),
    *("train_split", "test_split", "test_fraction", "eval_train_images"),
)
_NAMES = re.compile(r"\w+(,\w+)*")


def read_evals(text: str) -> dict[str, dict[str, Any]]:
    """The evaluations {key: {"name": ..., options}} of `--evals`. Lists become tuples.

    Raises:
      UserError: text that is none of the three, or no such object.
    """
    shown = " ".join(text.split())
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    if are_names(text):
        return {name: {"name": name} for name in text.split(",")}
    if not text.lstrip().startswith("{"):
        try:
            text = pathlib.Path(text).read_text()
        except (OSError, ValueError) as error:
            raise UserError(
                f"--evals={shown} is neither a JSON object nor a file that can be read, nor names "
                "such as linear,knn"
            ) from error
    try:
        evals = json.loads(text)
    except ValueError as error:
        raise UserError(f"--evals={shown} is no valid JSON: {error}") from error
    specs = [*evals.values()] if isinstance(evals, dict) else [None]
    if not all(isinstance(spec, dict) and isinstance(spec.get("name"), str) for spec in specs):
        raise UserError(
            f'--evals={shown} must be an object {{key: {{"name": an evaluation, its options}}}}'
        )
    return _tuples(evals)


def are_names(text: str) -> bool:
    """Whether the value of `--evals` is names with commas, and no file has it as its path."""
    return bool(_NAMES.fullmatch(text)) and not pathlib.Path(text).is_file()


def evaluated_on(
    evals: Mapping[str, Mapping[str, Any]], trained_on: str | None = None
) -> dict[str, str | None]:
    """The names of the data sets on which evaluations with the option `data` judge, by their keys.

    Of images in a folder or a file, without the place where that lies.

    Args:
      trained_on: the name of the run's data set; evaluations that name it alone are left out.
    """
    same = (trained_on, {"name": trained_on})
    named = {
        key: spec["data"]
        for key, spec in evals.items()
        if spec.get("data") and spec["data"] not in same
    }
    return {
        key: _without_place(other if isinstance(other, str) else other.get("name"))
        for key, other in named.items()
    }


def _without_place(name: str | None) -> str | None:
    prefix, colon, path = (name or "").partition(":")
    return f"{prefix}:{path.rpartition('/')[2]}" if colon else name


def _tuples(value: Any) -> Any:
    """The value with tuples, which configs have, in the place of lists."""
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
