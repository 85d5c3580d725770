"""The files of a run folder that a comparison reads: settings, data, results and metrics."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dim_jax import contracts
from dim_jax.report import results, writers
from dim_jax.rundir import paths, provenance

_BLOCKS = ("data", "method", "players", "train", "evals")


class Run(NamedTuple):
    """A run as its folder tells.

    name: the part of the path in which the compared runs differ. settings: all of the config by
    their key, such as "train.epochs", with defaults filled in. data: the fingerprint of its data;
    None in folders of older versions. results: the content of results.json; None before the end of
    the run. metrics: the rows of metrics.jsonl.
    """

    path: Path
    name: str
    settings: Mapping[str, Any]
    data: Mapping[str, Any] | None
    results: Mapping[str, Any] | None
    metrics: Sequence[Mapping[str, Any]]

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.settings["seed"]


def read(folders: Sequence[str | os.PathLike]) -> tuple[Run, ...]:
    """The runs in some folders, in this order.

    Raises:
      UserError: fewer than two folders, one given twice, one that holds no run, a damaged file.
    """
    given = [paths.expand(folder, "a run") for folder in folders]
    if len(given) < 2:
        what = f"got {given[0]} alone" if given else "got no run"
        raise contracts.UserError(
            f"{what} and a comparison needs two runs or more; give their folders, such as runs/*"
        )
    places = [path.resolve() for path in given]
    for index, path in enumerate(places):
        if path in places[:index]:
            raise contracts.UserError(f"the run {given[index]} is given twice; give it once")
    names = _short_names(places)
    runs = [_read_one(path, name) for path, name in zip(given, names, strict=True)]
    used = {key for run in runs for key in run.settings}
    later = {key: value for key, value in provenance.LATER_ARGUMENTS.items() if key in used}
    return tuple(run._replace(settings=later | run.settings) for run in runs)


def _read_one(path: Path, name: str) -> Run:
    config = _config(path)
    metrics = path / "metrics.jsonl"
    finished = path / "results.json"
    try:
        if damaged := writers.damaged_lines(metrics):
            raise contracts.UserError(
                f"line {damaged[0]} of {metrics} is damaged; put a copy of the file back, or "
                "remove the line"
            )
        rows = writers.read_rows(metrics)
    except OSError as error:
        raise contracts.UserError(f"{metrics} cannot be read: {error.strerror}") from error
    return Run(
        path=path,
        name=name,
        settings=config,
        data=_fingerprint(path / "data.json"),
        results=results.read_results(finished) if os.path.lexists(finished) else None,
        metrics=rows,
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise contracts.UserError(f"{folder} is no run folder: {_lack(folder)}") from error
    except OSError as error:
        raise contracts.UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        there = None
    if not _is_config(there):
        raise contracts.UserError(
            f"{path} is damaged or not the config of a run; put a copy back, or leave this run out"
        )
    return provenance.settings_of(there)


def _is_config(there: Any) -> bool:
    return (
        isinstance(there, dict)
        and all(isinstance(there.get(key), dict) for key in _BLOCKS)
        and isinstance(there.get("augment", {}), dict)
        and isinstance(there.get("seed", 0), int)
        and all(isinstance(each, dict) for each in there["evals"].values())
    )


def _lack(folder: Path) -> str:
    if not folder.exists():
        return "it does not exist; give the folder of a run"
    if not folder.is_dir():
        return "it is a file; give the folder that holds it"
    within = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if within:
        return f"it holds the runs {contracts.abridged(within, 3)}; give them, as {folder}/*"
    return "it has no config.json; give the folder that a run wrote"


def _fingerprint(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # of an older version, or damaged, which matters to a continued run
    if not isinstance(content, dict):
        return None
    content.pop("scaling", None)  # follows from the images and the setting data.scaling
    return {**content, "format": None}


def _short_names(places: Sequence[Path]) -> list[str]:
    """The paths without the folders that all have at the start, and those that all have at the end.

    "runs/a/seed0" and "runs/b/seed0" are "a" and "b".
    """
    parts = [list(path.parts) for path in places]
    shortest = min(map(len, parts))
    start = next((i for i in range(shortest) if len({part[i] for part in parts}) > 1), shortest - 1)
    parts = [part[start:] for part in parts]
    while all(len(part) > 1 for part in parts) and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    return ["/".join(part) for part in parts]
