"""Prepared TensorFlow Datasets (TFDS) on disk: looked up by name, or downloaded and prepared.

Files must be in the array_record format, which TFDS reads without TensorFlow. TensorFlow is needed
only to prepare a data set that is not on disk yet, and only TFDS itself imports it.
"""

import difflib
import importlib.util
import json
import os
import pathlib
import re
import textwrap
from typing import Any

from dim_jax import contracts
from dim_jax.data import facts

_SOURCES = ("folder:PATH", "array:PATH", "shards:PATTERN", "parquet:PATTERN", "list:FILE.csv")
_NAME = re.compile(r"\w+(/[\w.-]+)?(:[\d.*]+)?")  # NAME[/CONFIG][:VERSION]


def builder(name: str, data_dir: str | None) -> Any:
    """The read-only TFDS builder of a data set on disk, prepared first if TensorFlow is installed.

    Args:
      name: NAME[/CONFIG][:VERSION], the newest version on disk by default.
      data_dir: None = the environment variable TFDS_DATA_DIR, or else ~/tensorflow_datasets.

    Raises:
      UserError: an unknown name; a data set that is not on disk and cannot be prepared; files in
        another format.
    """
    path = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    root = pathlib.Path(os.path.expanduser(path))
    if not _NAME.fullmatch(name):
        raise _unknown(name, root)
    folder = _find(name, root)
    if folder is None and importlib.util.find_spec("tensorflow") is not None:
        folder = _prepare(name, root)
    if folder is None:
        raise _absent(name, root)
    stored = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    formats = [stored.get("fileFormat", "tfrecord"), *stored.get("alternativeFileFormats", ())]
    if "array_record" not in formats:
        raise contracts.UserError(
            f"{folder} is stored as {formats[0]}, which cannot be read without TensorFlow: move "
            "it away or set data.data_dir to another folder, to prepare the data set again as "
            "array_record"
        )
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(folder)


def _find(name: str, root: pathlib.Path) -> pathlib.Path | None:
    """The folder root/name[/config]/version of a prepared data set; by default the newest."""
    name, _, version = name.partition(":")
    folder = root / name
    default = folder / ".config" / "metadata.json"
    if "/" not in name and default.is_file():
        config = json.loads(default.read_text(encoding="utf-8")).get("default_config_name")
        folder = folder / config if config else folder
    versions = [
        path.parent
        for path in folder.glob(f"{version or '*'}/features.json")
        if re.fullmatch(r"\d+\.\d+\.\d+", path.parent.name)
        and (path.parent / "dataset_info.json").is_file()
    ]
    return max(
        versions, key=lambda path: [int(part) for part in path.name.split(".")], default=None
    )


def _prepare(name: str, root: pathlib.Path) -> pathlib.Path:
    """Downloads the data set and writes it to root/name/... as array_record, with TensorFlow."""
    import tensorflow_datasets as tfds

    try:
        writer = tfds.builder(name, data_dir=root, file_format="array_record")
        print(f"{name} is not on disk in {root}: TensorFlow Datasets downloads and prepares it")
        writer.download_and_prepare()
    except tfds.core.DatasetNotFoundError as error:
        raise _unknown(name, root) from error
    except Exception as error:  # network, disk space, licence pages, configs, versions...
        reason = textwrap.shorten(str(error), width=400) or type(error).__name__
        raise contracts.UserError(f"TFDS could not prepare {name} in {root}: {reason}") from error
    return pathlib.Path(writer.data_dir)


def _absent(name: str, root: pathlib.Path) -> contracts.UserError:
    """The error for a data set that is not on disk and cannot be prepared."""
    base = re.split("[/:]", name)[0]
    siblings = [other for other in _on_disk(root) if re.split("[/:]", other)[0] == base]
    if base not in facts.STATISTICS and not siblings:
        return _unknown(name, root)
    instead = f" (there is {', '.join(siblings)})" if siblings else ""
    return contracts.UserError(
        f"the data set {name} is not on disk in {_describe_folder(root)}{instead}: set "
        "data.data_dir or the environment variable TFDS_DATA_DIR to the folder that contains it, "
        "or install the dependencies that download and prepare it with "
        "`python -m pip install -e '.[prepare]'`"
    )


def _unknown(name: str, root: pathlib.Path) -> contracts.UserError:
    """The error for an unknown name that is not on disk either."""
    on_disk = [other.split(":")[0] for other in _on_disk(root)]
    available = sorted({"digits", "ring", *_SOURCES, *facts.STATISTICS, *on_disk} - {name})
    near = difflib.get_close_matches(name, available, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return contracts.UserError(
        f"unknown data set {name!r}: {hint}it can be {', '.join(available)} or another TFDS image "
        f"data set that is on disk in {_describe_folder(root)}"
    )


def _describe_folder(root: pathlib.Path) -> str:
    return str(root) if root.is_dir() else f"{root}, a folder that does not exist"


def _on_disk(root: pathlib.Path) -> list[str]:
    """The prepared data sets in a TFDS folder, as NAME:VERSION or NAME/CONFIG:VERSION."""
    files = [*root.glob("*/*/features.json"), *root.glob("*/*/*/features.json")]
    folders = sorted(path.parent.relative_to(root) for path in files)
    return [f"{folder.parent.as_posix()}:{folder.name}" for folder in folders]
