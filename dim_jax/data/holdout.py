"""Stratified held-out examples for a source without a test split."""

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
    sizes = np.unique(labels, return_counts=True)[1]
    if sizes.max() < 2:
        labels = np.zeros_like(labels)  # one image per class: nothing to stratify
    random = np.random.RandomState(seed % 2**32)  # its stream is the same in all NumPy versions
    test = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > 1:
            count = min(max(round(len(members) * fraction), 1), len(members) - 1)
            test.append(random.permutation(members)[:count])
    held_out = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out
