import collections

import numpy as np

from dim_jax.data import random_streams
from dim_jax.data.random_streams import Stream

SHARED = {1, 2, 3, 4, 5}  # by streams of different domains, in published results


def test_streams_are_unique():
    assert len(Stream.__members__) == len(Stream)  # equal values would be aliases


def test_no_other_number_is_shared():
    counts = collections.Counter(stream.number for stream in Stream)
    assert {number for number, count in counts.items() if count > 1} <= SHARED
    # Within a domain numbers are streams of their own.
    assert len({(stream.value[0], stream.number) for stream in Stream}) == len(Stream)


def test_a_generator_is_that_of_the_seed_the_number_and_more():
    for arguments in [(7,), (7, 2)]:
        seed, *more = arguments
        found = random_streams.generator(Stream.FINETUNE_ORDER, *arguments).random(4)
        np.testing.assert_array_equal(found, np.random.default_rng([seed, 5, *more]).random(4))
    one, other = (
        random_streams.generator(stream, 0).random(4)
        for stream in (Stream.LABEL_SUBSETS, Stream.LABEL_PERMUTATION)
    )
    assert not np.array_equal(one, other)
