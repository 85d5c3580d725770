"""The files that the command writes: all numbers as JSON, and the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dim_jax import __version__
from dim_jax.mi import page
from dim_jax.mi.columns import Columns, says_discrete
from dim_jax.mi.many_columns import Ranking
from dim_jax.mi.result import Estimate
from dim_jax.rundir import paths, writing

_ENDINGS = {"--json": ".json", "--report": ".html"}


def check(option: str, text: str) -> Path:
    """The file to write, which does not exist or is one that this command wrote; links followed."""
    return paths.output(option, text, _ENDINGS[option], page.GENERATOR)


def write_json(result: Estimate | Ranking, path: Path, command: str, seconds: float) -> None:
    """Writes all fields of a result, with null in the place of numbers that are not finite."""
    facts = {"program": page.GENERATOR, "version": __version__, "command": command}
    facts |= {"seconds": round(seconds, 3), **result.to_dict()}
    with paths.explained(path, "--json"):
        writing.replace_json(path, facts)


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
    with paths.explained(path, "--report"):
        page.write_html(
            *(estimate, path),
            **dict(x=x, y=y, given="given" in read, command=command, seconds=seconds),
            title=" and ".join(Path(file).name for file in options.files),
        )
