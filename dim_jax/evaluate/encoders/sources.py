"""Kinds of encoder that a command can name: a function, an exported encoder, files of features."""

import os
import re
from pathlib import Path

from dim_jax import contracts
from dim_jax.encoder import loading
from dim_jax.encoder.loading import Encoder
from dim_jax.evaluate.encoders import feature_arrays, functions
from dim_jax.evaluate.encoders.feature_arrays import FeatureFile
from dim_jax.evaluate.encoders.functions import Function
from dim_jax.rundir import encoder_files, paths

Source = Function | Encoder | tuple[FeatureFile, ...]

_FUNCTION = re.compile(r"(.+\.py|[\w.]+):[\w.]+")
_TABLES = (".csv", ".parquet")
_KINDS = (
    "a function package.module:function, a run folder, an exported encoder, or files of features "
    "train.npz,test.npz"
)


def find(text: str, option: str) -> Source:
    """The encoder that the text of an option names.

    Raises:
      UserError: it names none, or what it names cannot be used.
    """
    if not text:
        raise contracts.UserError(f"{option} is empty; give {_KINDS}")
    if _FUNCTION.fullmatch(text) and not os.path.exists(text):
        return functions.load(text)
    if text.endswith(".py"):
        raise contracts.UserError(f"{option} is {text} without a function; give {text}:function")
    files = _files(text, option)
    if files:
        if len(files) > 2:
            raise contracts.UserError(
                f"{option} names {len(files)} files of features; give those of the training and "
                "of the test images, train.npz,test.npz, or one of both"
            )
        return tuple(map(feature_arrays.read, files))
    if not paths.expand(text, option).exists():
        raise contracts.UserError(f"{option} is {text}, and there is no such path; give {_KINDS}")
    return loading.load_encoder(text)


def short_name(text: str) -> str:
    """A name for folders and titles, such as "my_model-encode" or "train-test"."""
    if _FUNCTION.fullmatch(text) and not os.path.exists(text):
        place, _, function = text.rpartition(":")
        return f"{Path(place).stem if place.endswith('.py') else place}-{function}"
    parts = [text] if os.path.exists(text) else text.split(",")
    path = Path(parts[0]).absolute()
    # Of an encoder in the folder of a run, the name of the run.
    path = path.parent if path.name in ("encoder", "encoder_best") else path
    first = path.name if path.is_dir() else path.stem
    return "-".join([first, *(Path(part).stem for part in parts[1:])])


def _files(text: str, option: str) -> list[Path]:
    """The paths of files of features; [] of another kind of encoder."""
    whole = paths.expand(text, option)
    places = [whole] if whole.exists() else [paths.expand(p, option) for p in text.split(",")]
    if tables := [path for path in places if path.suffix.lower() in _TABLES]:
        raise contracts.UserError(
            f"{tables[0]} is a table; features are read from {' and '.join(feature_arrays.ENDINGS)}"
            " files: write them by --out features.npz"
        )
    if not all(path.suffix.lower() in feature_arrays.ENDINGS for path in places):
        return []
    for path in places:
        if not path.is_file():
            raise contracts.UserError(f"there is no file {path}; give {option} train.npz,test.npz")
    is_export = places[0].suffix.lower() == ".npz" and encoder_files.holds(places[0])
    return [] if is_export else places
