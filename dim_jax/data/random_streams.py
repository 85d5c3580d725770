"""Random streams: one list of the purposes for which numbers are drawn from a seed."""

import enum

import numpy as np


@enum.unique
class Stream(enum.Enum):
    """A purpose of random numbers, as (domain, number); the domain is the module that draws.

    Numbers follow from the seed and the stream's number, so two streams of one number and one seed
    draw the same ones. The numbers that domains share, 1 to 5, are fixed by published results and
    run folders. A new stream takes a number that no member has.
    """

    SEED_PATCHES = ("seeds", 1)
    LABEL_SUBSETS = ("labelled", 1)
    LABEL_PERMUTATION = ("labelled", 4)
    LABELLED_VIEWS = ("labelled", 5)  # by `jax.random.fold_in`
    NETWORK_FIT = ("networks", 2)
    EXEMPLAR_ORDER = ("exemplar_bound", 2)
    SVM_PARTS = ("svm", 3)
    ATTRIBUTE_PARTS = ("attributes", 3)
    ATTRIBUTE_EXAMPLES = ("attributes", 5)
    CRITIC_ORDER = ("critic_fit", 4)
    CRITIC_EXAMPLES = ("critic_fit", 5)
    FINETUNE_ORDER = ("finetune", 5)
    JUDGED_IMAGES = ("fid", 6)
    JUDGED_NOISE = ("fid", 7)
    MISLEADING_CLASSES = ("shortcut", 8)

    @property
    def number(self) -> int:
        """The number that, with the seed, determines what is drawn."""
        return self.value[1]


def generator(stream: Stream, seed: int, *more: int) -> np.random.Generator:
    """The generator of a stream; `more` numbers tell apart, say, the fits that draw from it."""
    return np.random.default_rng([seed, stream.number, *more])
