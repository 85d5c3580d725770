"""Stratified held-out examples for a source without a test split."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np


def hold_out(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ascending positions (train, test), a function of labels, fraction and seed.

    Of every class with two or more members, round(members * fraction) are held out, at least one
    and not all; a class with one member stays in training. Images without labels (-1) count as one
    class.

    Args:
      labels: i32[n], n >= 2.
      fraction: more than 0 and less than 1.
      seed: chooses which members are held out; nothing else is random.
    """
    random = np.random.RandomState(seed % 2**32)  # its stream is the same in all NumPy versions
    return _hold_out(labels, fraction, random.permutation)


def hold_out_by_name(
    names: Sequence[str], labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `hold_out`, with the members of a class in the order of a hash of seed and name.

    So the position of an image does not matter, and one image more moves at most one other image of
    its class to the other side.
    """
    digests = [hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8] for name in names]
    keys = np.frombuffer(b"".join(digests), ">u8")
    return _hold_out(labels, fraction, lambda rows: rows[np.argsort(keys[rows], kind="stable")])


def _hold_out(
    labels: np.ndarray, fraction: float, order: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Holds out the first members of every class in an order."""
    sizes = np.unique(labels, return_counts=True)[1]
    if sizes.max() < 2:
        labels = np.zeros_like(labels)  # one image per class: nothing to stratify
    test = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > 1:
            count = min(max(round(len(members) * fraction), 1), len(members) - 1)
            test.append(order(members)[:count])
    held_out = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out
