"""StableHLO of an encoder: one file that JAX alone loads, for any number of images."""

import json
from pathlib import Path

import jax
import numpy as np
from jax import export

from dim_jax import contracts
from dim_jax.encoder import loading, outputs, portable

PLATFORMS = ("cpu", "cuda", "tpu")
_LARGEST = 2**31 - 2**20  # bytes of a file; its format counts them in 31 bits


def write(encoder: loading.Encoder, out: Path) -> None:
    """Writes a function of images [n,h,w,c] of the card's type to a dict of the taps.

    `jax.export.deserialize(bytearray(file)).call(images)` runs it on a CPU, an NVIDIA GPU or a
    TPU; the weights are inside. The card is in `card_beside(out)`.

    Raises:
      UserError: weights of more than 2 GiB, features that differ, or a file that cannot be
        written.
    """
    size = sum(leaf.nbytes for leaf in jax.tree.leaves((encoder.params, encoder.stats)))
    if size > _LARGEST:
        raise contracts.UserError(
            f"the weights take {size / 2**30:.1f} GiB and a StableHLO file holds less than 2 GiB; "
            "use --export safetensors"
        )
    (count,) = export.symbolic_shape("n")
    shape = (count, *encoder.card["image_shape"])
    images = jax.ShapeDtypeStruct(shape, np.dtype(encoder.card.get("dtype", "uint8")))
    exported = export.export(jax.jit(portable.function_by_platform(encoder)), platforms=PLATFORMS)(
        images
    )
    content = exported.serialize()
    portable.compare(encoder, jax.jit(exported.call), "StableHLO program")
    outputs.write(out, lambda draft: draft.write_bytes(content))
    card = json.dumps(encoder.card, indent=1) + "\n"
    outputs.write(card_beside(out), lambda draft: draft.write_text(card))


def card_beside(out: Path) -> Path:
    """encoder.stablehlo -> encoder.stablehlo.json"""
    return out.with_name(f"{out.name}.json")


def holds(path: Path) -> bool:
    """Whether the card of an encoder is beside the file."""
    try:
        return "image_shape" in json.loads(card_beside(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False
