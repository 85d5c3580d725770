"""Features as tables with a row for each image: .csv and .parquet."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dim_jax.encoder import outputs
from dim_jax.encoder.features import Features

_KEY = b"dim_jax"  # of the metadata of a parquet file
_GROUP = 2**24  # bytes of the features of a row group


def write_csv(draft: Path, out: Path, features: Features) -> int:
    """Columns name, label (where there are classes) and f0, f1, ... of the features, flattened.

    Nine digits, which are enough for every float32. Returns the number of images.
    """
    width, count = int(np.prod(features.shape)), 0
    numbers = ",".join(["%.9g"] * width) + "\n"
    with draft.open("w", encoding="utf-8", errors="replace", newline="") as file:
        file.write(line([*features.name_columns(), *(f"f{index}" for index in range(width))]))
        for part in features.parts:
            count += len(part.rows)
            rows = part.features.reshape(-1, width).tolist()
            for named, row in zip(features.named(part.rows), rows, strict=True):
                file.write(f"{line(named)[:-1]},{numbers % tuple(row)}")
    return count


def write_parquet(draft: Path, out: Path, features: Features) -> int:
    """Columns name, label (where there are classes) and features, a list of fixed size.

    The shape of an image's features and their tap are JSON in the metadata of the schema, with the
    key "dim_jax". Returns the number of images.

    Raises:
      UserError: pyarrow is not installed.
    """
    pyarrow, parquet = _arrow()
    width, count = int(np.prod(features.shape)), 0
    columns = [(name, pyarrow.string()) for name in features.name_columns()]
    schema = pyarrow.schema([*columns, ("features", pyarrow.list_(pyarrow.float32(), width))])
    about = json.dumps({"tap": features.tap, "shape": list(features.shape)})
    with parquet.ParquetWriter(draft, schema.with_metadata({_KEY: about})) as file:
        waiting: list[Any] = []
        for part in features.parts:
            count += len(part.rows)
            flat = pyarrow.array(part.features.reshape(-1))
            named = features.named(part.rows)
            texts = [[_as_utf8(row[index]) for row in named] for index in range(len(columns))]
            lists = pyarrow.FixedSizeListArray.from_arrays(flat, width)
            waiting.append(pyarrow.record_batch([*texts, lists], schema=schema))
            if sum(batch.num_rows for batch in waiting) * width * 4 >= _GROUP:
                file.write_table(pyarrow.Table.from_batches(waiting, schema))
                waiting = []
        if waiting:
            file.write_table(pyarrow.Table.from_batches(waiting, schema))
    return count


def line(cells: Iterable[Any]) -> str:
    """A line of a CSV file; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def holds_csv(path: Path) -> bool:
    """Whether the columns are those that `write_csv` writes."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(64).startswith(("name,f0", "name,label,f0"))
    except OSError:
        return False


def holds_parquet(path: Path) -> bool:
    """Whether the schema has the metadata that `write_parquet` writes."""
    pyarrow, parquet = _arrow()
    try:
        return _KEY in (parquet.read_schema(path).metadata or {})
    except (OSError, pyarrow.ArrowInvalid):
        return False


def _as_utf8(text: str | None) -> str | None:
    return text and text.encode("utf-8", "replace").decode("utf-8")


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise outputs.missing("pyarrow", "parquet", "a .parquet file") from error
    return pyarrow, parquet
