"""Encoders in forms that other programs load without dim_jax, by the ending of the file."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from dim_jax.encoder import loading, onnx_file, outputs, stablehlo_file
from dim_jax.rundir import encoder_files


class Format(NamedTuple):
    """write(encoder, out) writes a file; holds(path): whether a file is one that it wrote.

    beside(path): the second file that it writes.
    """

    write: Callable[[loading.Encoder, Path], None]
    holds: Callable[[Path], bool]
    beside: Callable[[Path], Path] | None = None


def _write_safetensors(encoder: loading.Encoder, out: Path) -> None:
    try:
        import safetensors  # noqa: F401
    except ImportError as error:
        raise outputs.missing("safetensors", "safetensors", "--export safetensors") from error
    _write_arrays(encoder_files.save_safetensors, encoder, out)


def _write_arrays(save: Callable, encoder: loading.Encoder, out: Path) -> None:
    outputs.write(
        out,
        lambda draft: encoder_files.write(draft, save, encoder.params, encoder.stats, encoder.card),
    )


FORMATS: Mapping[str, Format] = {
    "stablehlo": Format(stablehlo_file.write, stablehlo_file.holds, stablehlo_file.card_beside),
    "onnx": Format(onnx_file.write, onnx_file.holds),
    "safetensors": Format(_write_safetensors, encoder_files.holds),
    "npz": Format(functools.partial(_write_arrays, encoder_files.save_npz), encoder_files.holds),
}
