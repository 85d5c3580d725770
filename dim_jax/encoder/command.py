"""The command `python -m dim_jax.encoder`, from its arguments to its exit code."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dim_jax import contracts
from dim_jax.encoder import (
    embedding,
    exports,
    feature_files,
    feature_tables,
    inputs,
    loading,
    outputs,
    progress,
)
from dim_jax.encoder.features import Features, Part
from dim_jax.processes import backend, short_commands, standard_streams

_SHOWN = 3  # broken images whose fault is printed


class _Format(NamedTuple):
    write: Callable[[Path, Path, Features], int]
    holds: Callable[[Path], bool]
    beside: Callable[[Path], Path] | None = None


FORMATS: Mapping[str, _Format] = {
    ".npz": _Format(feature_files.write_npz, feature_files.holds_npz),
    ".npy": _Format(feature_files.write_npy, feature_files.holds_npy, feature_files.names_beside),
    ".csv": _Format(feature_tables.write_csv, feature_tables.holds_csv),
    ".parquet": _Format(feature_tables.write_parquet, feature_tables.holds_parquet),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 2 for a mistake that the message explains."""
    parser = _parser()
    options = parser.parse_args(arguments)
    with standard_streams.guarded():
        try:
            with short_commands.options_for_settings(parser):
                return _export(options) if options.export else _embed(options)
        except contracts.UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dim_jax.encoder",
        description="Write the features of images, or the encoder in a form for other programs.",
    )
    parser.add_argument(
        "--run", required=True, help="a run folder, or an exported encoder (folder or file)"
    )
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--folder", help="images, in class folders or not")
    task.add_argument("--data", help="images: a data.name such as array:PATH or shards:PATTERN")
    for name, content in (("image", "images or their paths"), ("label", "labels")):
        parser.add_argument(
            f"--{name}-column", help=f"of --data, the column of {content} (default: by name)"
        )
    task.add_argument(
        "--export", choices=exports.FORMATS, help="write the encoder itself, not features"
    )
    parser.add_argument(
        "--out",
        required=True,
        help=f"the file to write: of features {', '.join(FORMATS)}, of an export .FORMAT",
    )
    parser.add_argument("--tap", default="y", help="which features: conv, fc or y (default)")
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="name images that cannot be read and leave them out, instead of ending",
    )
    return parser


def _export(options: argparse.Namespace) -> int:
    form = exports.FORMATS[options.export]
    kind, ending = f"{options.export} encoder", f".{options.export}"
    out = outputs.check(options.out, {ending: form.holds}, kind, {ending: form.beside})
    backend.start()
    form.write(loading.load_encoder(options.run), out)
    print(f"wrote {options.out}: {out.stat().st_size / 2**20:,.1f} MiB")
    return 0


def _embed(options: argparse.Namespace) -> int:
    formats = {ending: form.holds for ending, form in FORMATS.items()}
    beside = {ending: form.beside for ending, form in FORMATS.items()}
    out = outputs.check(options.out, formats, "features", beside)
    backend.start()
    encoder = loading.load_encoder(options.run)
    loading.check_taps(encoder.card, [options.tap])
    images = _open(encoder, options)
    for note in images.notes:
        print(note)
    meter = progress.Meter()
    count = write_features(encoder, images, options.tap, out, meter)
    if images.broken:
        print(_describe_broken(images))
    rate = meter.rate()
    speed = f"; {rate:,.0f} images per second" if rate else ""
    shape = tuple(encoder.card["taps"][options.tap])
    print(f"wrote {options.out}: {options.tap} of {count} images, {shape}{speed}")
    return 0


def _open(encoder: loading.Encoder, options: argparse.Namespace) -> inputs.Inputs:
    skip = options.skip_broken
    if options.folder is not None:
        return inputs.open_folder(encoder.card, options.folder, skip_broken=skip)
    columns = {name: getattr(options, name) for name in ("image_column", "label_column")}
    return inputs.open_source(encoder.card, options.data, skip_broken=skip, **columns)


def write_features(
    encoder: loading.Encoder, images: inputs.Inputs, tap: str, out: Path, meter: progress.Meter
) -> int:
    """Writes the features of images to a file of the format that its ending names.

    Features are written as they come, into a draft that replaces `out` once it is complete.

    Returns:
      the number of images, without broken ones.

    Raises:
      UserError: an image that cannot be read, no image that can, or a file that cannot be written.
    """
    total, count = len(images.images), 0
    batch = min(embedding.BATCH, total)

    def save(draft: Path) -> None:
        nonlocal count
        with progress.shown(meter, total) as show:
            features = Features(
                _parts(encoder, images, tap, batch, show),
                *(total, tuple(encoder.card["taps"][tap]), tap),
                *(images.names, images.labels, images.classes),
            )
            count = FORMATS[out.suffix.lower()].write(draft, out, features)
        if not count:
            raise contracts.UserError(f"no image can be read: {next(iter(images.broken.values()))}")

    outputs.write(out, save)
    return count


def _parts(encoder, images: inputs.Inputs, tap: str, batch: int, show: Callable[[int], None]):
    for start, examples in zip(
        range(0, len(images.images), batch), images.batches(batch), strict=True
    ):
        (features,) = embedding.embed_parts(encoder, [examples.images], tap, batch)
        yield Part(features, examples.rows)
        show(min(start + batch, len(images.images)))


def _describe_broken(images: inputs.Inputs) -> str:
    rows = sorted(images.broken)
    shown = "; ".join(images.broken[row] for row in rows[:_SHOWN])
    more = f"; and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    return f"left out {len(rows):,} of {len(images.images):,} images: {shown}{more}"
