"""ONNX of an encoder by jax2onnx, compared with the encoder by onnxruntime before it is kept."""

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.encoder import loading, outputs, portable

CARD = "dim_jax_card"  # of the metadata
_OPSET = 18


def write(encoder: loading.Encoder, out: Path) -> None:
    """Writes a model of "images" [n,h,w,c] of the card's type, with the taps as outputs.

    The card is JSON in the metadata, with the key "dim_jax_card".

    Raises:
      UserError: jax2onnx, onnx or onnxruntime is not installed, the encoder has an operation that
        jax2onnx lacks, features differ, or the file cannot be written.
    """
    jax2onnx, _, runtime = _packages()
    function, taps = portable.function(encoder), list(encoder.card["taps"])
    dtype = np.dtype(encoder.card.get("dtype", "uint8"))
    images = jax.ShapeDtypeStruct(("n", *encoder.card["image_shape"]), dtype)

    def in_order(pixels):
        features = function(pixels)
        return tuple(features[tap] for tap in taps)

    try:
        with _quiet():
            model = jax2onnx.to_onnx(
                *(in_order, [images]),
                **dict(model_name="encoder", opset=_OPSET),
                **dict(input_names=["images"], output_names=taps),
            )
    except Exception as error:  # of any kind, from a converter of another project
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise contracts.UserError(
            f"jax2onnx cannot convert this encoder ({reason}); use --export stablehlo"
        ) from error
    model.metadata_props.add(key=CARD, value=json.dumps(encoder.card))
    content = model.SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def call(pixels):
        return dict(zip(taps, session.run(taps, {"images": pixels}), strict=True))

    portable.compare(encoder, call, "ONNX model")
    outputs.write(out, lambda draft: draft.write_bytes(content))


def holds(path: Path) -> bool:
    """Whether the file is a model with the card of an encoder."""
    onnx = _packages()[1]
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # of protobuf, whose errors have no common class
        return False
    return any(entry.key == CARD for entry in model.metadata_props)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A context manager without log messages, such as those on plugins that are not used."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _packages() -> tuple[Any, Any, Any]:
    try:
        with _quiet():
            import jax2onnx
            import onnx
            import onnxruntime
    except ImportError as error:
        name = error.name or "jax2onnx"
        raise outputs.missing(name, "onnx", "--export onnx") from error
    return jax2onnx, onnx, onnxruntime
