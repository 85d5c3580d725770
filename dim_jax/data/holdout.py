"""The held-out part of a source that has no test split of its own."""

import numpy as np

from dim_jax import contracts


def hold_out(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (train, test), each ascending: the same for the same labels, fraction and seed.

    Every class with two or more members gives round(members * fraction) of them, at least one
    and not all; a class of one stays in training. Images without labels (-1) count as one class.

    Args:
      labels: i32[n], n >= 2.
      seed: chooses which members are held out; nothing else is random.

    Raises:
      UserError: a fraction that is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise contracts.UserError(
            f"data.test_fraction is {fraction}: it must lie between 0 and 1, such as 0.2"
        )
    sizes = np.unique(labels, return_counts=True)[1]
    if sizes.max() < 2:
        labels = np.zeros_like(labels)  # classes of one image each: nothing to stratify
    random = np.random.RandomState(seed % 2**32)  # its stream never changes between versions
    test = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > 1:
            count = min(max(round(len(members) * fraction), 1), len(members) - 1)
            test.append(random.permutation(members)[:count])
    held = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), held), held
