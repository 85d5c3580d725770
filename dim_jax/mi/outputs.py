"""The files that the command writes: all numbers as JSON, and the page."""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dim_jax import __version__, contracts
from dim_jax.mi import page
from dim_jax.mi.columns import Columns, says_discrete
from dim_jax.mi.many_columns import Ranking
from dim_jax.mi.result import Estimate
from dim_jax.rundir import paths, writing

_ENDINGS = {"--json": ".json", "--report": ".html"}


def check(option: str, text: str) -> Path:
    """The file to write, which does not exist or is one that this command wrote; links followed."""
    path = Path(os.path.realpath(paths.expand(text, option)))
    ending = _ENDINGS[option]
    if path.suffix.lower() != ending:
        raise contracts.UserError(f"{option} is {text}; give a file that ends in {ending}")
    with _explained(path, option):
        is_other = path.exists() and not (path.is_file() and _holds_estimate(path))
        path.parent.mkdir(parents=True, exist_ok=True)
    if is_other:
        raise contracts.UserError(
            f"{text} exists and is no file that this command wrote; remove it, or give another "
            f"{option}"
        )
    if not os.access(path.parent, os.W_OK):
        raise contracts.UserError(
            f"cannot write {path} (the folder is not writable); give another {option}"
        )
    return path


def _holds_estimate(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(400)
    return not start or page.GENERATOR.encode() in start


def write_json(result: Estimate | Ranking, path: Path, command: str, seconds: float) -> None:
    """Writes all fields of a result, with null in the place of numbers that are not finite."""
    facts = {"program": page.GENERATOR, "version": __version__, "command": command}
    facts |= {"seconds": round(seconds, 3), **result.to_dict()}
    text = json.dumps(_finite(facts), indent=1, allow_nan=False)
    with _explained(path, "--json"):
        writing.replace_text(path, text + "\n")


def write_page(
    estimate: Estimate,
    path: Path,
    read: Mapping[str, Any],
    options: Any,
    command: str,
    seconds: float,
) -> None:
    """Writes the page.

    Args:
      read: the samples of "x" and "y", and of "given" where the information is conditional.
      options: of the command.
    """
    x, y = (
        Columns.of(read[name], name, says_discrete(options.discrete, name)) for name in ("x", "y")
    )
    with _explained(path, "--report"):
        page.write_html(
            *(estimate, path),
            **dict(x=x, y=y, given="given" in read, command=command, seconds=seconds),
            title=" and ".join(Path(file).name for file in options.files),
        )


def _finite(value: Any) -> Any:
    """The value with None in the place of numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def _explained(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise contracts.UserError(
            f"cannot write {path} ({error.strerror}); give another {option}"
        ) from error
