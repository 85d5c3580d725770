"""Features of many images: batches of one size, so that the encoder compiles once."""

from collections.abc import Iterable, Iterator

import numpy as np

from dim_jax.encoder import loading

BATCH, AHEAD = 256, 2  # images that are encoded together, and batches decoded meanwhile


def embed(
    encoder: loading.Encoder, images: np.ndarray, tap: str = "y", batch: int = 256
) -> np.ndarray:
    """The features f32[n,...] of images [n,h,w,c] at one tap, `batch` images at a time.

    Raises: contracts.UserError for an unknown tap or images that do not fit.
    """
    loading.check_taps(encoder.card, [tap])
    images = np.asarray(images)
    batch = max(1, min(batch, len(images)))
    features, done = np.empty((len(images), *encoder.card["taps"][tap]), np.float32), 0
    parts = (images[start : start + batch] for start in range(0, len(images), batch))
    for part in embed_parts(encoder, parts, tap, batch):
        features[done : done + len(part)] = part
        done += len(part)
    return features


def embed_parts(
    encoder: loading.Encoder, parts: Iterable[np.ndarray], tap: str, batch: int
) -> Iterator[np.ndarray]:
    """`embed` of images that come in parts of `batch` images, the last one smaller."""
    for part in parts:
        size = len(part)
        if size < batch:
            part = np.pad(part, [(0, batch - size), (0, 0), (0, 0), (0, 0)])
        yield np.asarray(encoder.encode(part, taps=(tap,))[tap])[:size]
