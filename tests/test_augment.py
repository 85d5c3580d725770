"""Occlusions keep their promise: a rectangle that hides a local feature and leaves one visible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dim_jax import augment, contracts

PUBLISHED = contracts.Fields(10, 4, -3)  # of the 8x8 map of 32x32 images
DRAWS = 10_000


def occluded(images, fields, seed=0, **changes):
    draw = jax.jit(lambda key, x: augment.occlude(key, x, fields=fields, **changes))
    return np.asarray(draw(jax.random.key(seed), jnp.asarray(images)))


def locations(hidden: np.ndarray, fields: contracts.Fields) -> tuple[np.ndarray, np.ndarray]:
    """Which locations see hidden pixels only, and visible ones only, two of b[n,rows,columns].

    By the padded image, pixel by pixel; padding is neither.
    """
    pad = [(0, 0), *2 * [(-fields.offset, -fields.offset)]]
    only = []
    for pixels in (~hidden, hidden):
        padded = np.pad(pixels, pad)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * (fields.size,), (1, 2))
        only.append(~windows[:, :: fields.stride, :: fields.stride].any(axis=(3, 4)))
    return tuple(only)


@pytest.mark.parametrize(
    ("shape", "fields", "complete"),
    [
        ((32, 32), PUBLISHED, True),
        ((28, 28), contracts.Fields(13, 4, -6), False),  # dcgan28: two never are
        ((32, 32), contracts.Fields(22, 8, -7), False),  # the third map of dcgan32
        ((32, 32), contracts.Fields(8, 4, 0), True),  # crops
        ((20, 48), PUBLISHED, False),
        pytest.param((64, 64), contracts.Fields(21, 4, -7), True, marks=pytest.mark.slow),
    ],
)
def test_every_draw_hides_a_local_feature_and_leaves_one_visible(shape, fields, complete):
    draws = DRAWS if shape[0] < 64 else 1_000
    hidden = occluded(np.ones((draws, *shape, 1), np.uint8), fields)[..., 0] == 0
    rows, columns = hidden.any(axis=2), hidden.any(axis=1)
    assert (hidden == rows[:, :, None] & columns[:, None]).all()  # one rectangle
    for line in (rows, columns):
        assert (np.abs(np.diff(np.pad(line, [(0, 0), (1, 1)]).astype(int))).sum(1) == 2).all()
    unseen, intact = locations(hidden, fields)
    assert unseen.any(axis=(1, 2)).all() and intact.any(axis=(1, 2)).all()
    # Any pixel but the centre between the only two fields that do not overlap, and none always.
    assert hidden.any(axis=0).mean() > 0.99 and not hidden.all(axis=0).any()
    if complete:  # a block of that size is hidden and one visible: the published words
        assert min(rows.sum(1).min(), columns.sum(1).min()) == fields.size
        room = [np.argmax(line, 1) for line in (rows, rows[:, ::-1], columns, columns[:, ::-1])]
        assert np.max(room, axis=0).min() >= fields.size


def test_numbers_of_rows_and_places_for_them_are_uniform():
    """Half of the draws leave a margin along the rows; expected frequencies by enumeration."""
    hidden = occluded(np.ones((DRAWS, 32, 32, 1), np.uint8), PUBLISHED, seed=3)[..., 0] == 0
    frequencies = dict.fromkeys([(i, j) for i in range(8) for j in range(i, 8)], 0.0)
    for margin in (False, True):
        possible = [
            # Locations 1 to 6 see 10 pixels; two whose indices differ by 3 share none of them.
            (i, j)
            for i, j in frequencies
            if any(i <= k <= j for k in range(1, 7)) and (not margin or i - 3 >= 1 or j + 3 <= 6)
        ]
        numbers = {j - i for i, j in possible}
        for i, j in possible:
            places = sum(b - a == j - i for a, b in possible)
            frequencies[i, j] += 0.5 / len(numbers) / places
    assert sum(frequencies.values()) == pytest.approx(1)
    spans = PUBLISHED.spans(32)
    for axis in (2, 1):
        line = hidden.any(axis=axis)
        ends = np.stack([np.argmax(line, 1), 32 - np.argmax(line[:, ::-1], 1)], 1)
        counts = [
            ((ends == (spans[i][0], spans[j][1])).all(1).sum(), DRAWS * share)
            for (i, j), share in frequencies.items()
            if share
        ]
        observed, expected = zip(*counts, strict=True)
        assert sum(observed) == DRAWS
        assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_visible_pixels_stay_and_hidden_ones_have_the_fill():
    images = jax.random.normal(jax.random.key(1), (8, 32, 32, 3))
    hidden = occluded(images, PUBLISHED, seed=2, fill=-7.0)
    changed = (hidden != np.asarray(images)).any(-1)
    assert (hidden[changed] == -7.0).all() and changed.any(axis=(1, 2)).all()
    assert len({pixels.tobytes() for pixels in changed}) > 4
    np.testing.assert_array_equal(hidden, occluded(images, PUBLISHED, seed=2, fill=-7.0))


@pytest.mark.parametrize("fields", [PUBLISHED, contracts.Fields(40, 8, 0)])
def test_images_too_small_for_both(fields):
    with pytest.raises(
        contracts.UserError,
        match=rf"12x32 pixels and a local feature sees {fields.size}x{fields.size} .* set "
        "method.occlusion to None",
    ):
        augment.occlude(jax.random.key(0), jnp.ones((2, 12, 32, 1)), fields=fields)
