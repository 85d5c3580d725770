"""The picture of occluded images: the images, what is hidden of them, and the marked locations."""

import numpy as np
import pytest

from dim_jax import augment, contracts, experiment
from dim_jax.data import dataset
from dim_jax.evaluate import reference_representations, suite
from dim_jax.evaluate.figures import drawing, occlusion
from dim_jax.training import preprocessing

FIELDS = contracts.Fields(3, 2, -1)  # of the 4x4 map of 8x8 images by one 3x3 convolution


def trained(hides: bool = True) -> contracts.Frozen:
    def occlude(rng, images):
        return augment.occlude(rng, images, fields=FIELDS)

    prepared = preprocessing.Preprocessing((0.4,), (0.3,), augment.pipeline(), 1)
    hidden = contracts.Occlusion(occlude, lambda side: FIELDS) if hides else None
    return experiment.freeze(contracts.Method(None, None, None, occlusion=hidden), {}, {}, prepared)


def test_rows_are_images_and_occluded_ones_and_marks_are_of_all_hidden_pixels(
    digits, rng, monkeypatch
):
    marked = {}

    def draw(rows, mark, side):
        assert side > 0.66
        for name, images in rows.items():
            for number in range(len(images)):
                mark(Axes(marked.setdefault((name, number), [])), name, number)
        return rows

    monkeypatch.setattr(drawing, "rows_of_images", draw)
    rows = occlusion.evaluate(trained(), digits.splits, rng, draws=3)["occlusion"]
    assert list(rows) == ["image", "draw 1", "draw 2", "draw 3"]
    images = digits.splits["train"].images
    np.testing.assert_array_equal(rows["image"], images[drawing.spread(len(images), 8)])
    grey = rows["draw 1"][rows["draw 1"] != rows["image"]]
    assert set(np.unique(grey)) == {102}  # 0 is the mean, 0.4
    assert len({row.tobytes() for row in rows.values()}) == 4
    for (name, number), calls in marked.items():
        if name == "image":
            assert calls == [("line", at) for at in (1.5, 3.5, 5.5) * 2]
            continue
        unseen, intact = (set(zip(*points, strict=True)) for _, points in calls)
        assert unseen and intact and not unseen & intact
        same = (rows[name][number] == rows["image"][number])[..., 0]
        for x, y in intact:  # centres of fields of 3 pixels
            top, left = (max(int(centre - 1.5), 0) for centre in (y, x))
            assert same[top : int(y + 1.5), left : int(x + 1.5)].all()


class Axes:
    """Records what is drawn."""

    def __init__(self, calls):
        self.calls = calls

    def axhline(self, at, **style):
        self.calls.append(("line", at))

    axvline = axhline

    def plot(self, x, y, marker, **style):
        self.calls.append((style["color"], (x, y)))


def test_locations_that_see_hidden_or_visible_pixels_only():
    hidden = np.zeros((1, 8, 8), bool)
    hidden[0, :4, 1:6] = True
    unseen, intact = occlusion.locations(hidden, FIELDS)
    # Rows see pixels 0-1, 1-3, 3-5, 5-7, columns likewise.
    assert np.argwhere(unseen[0]).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    assert np.argwhere(intact[0]).tolist() == [[3, 0], [3, 1], [3, 2], [3, 3]]


def test_it_is_a_figure_of_the_suite(digits, rng):
    frozen = trained()._replace(represent=lambda x: {"y": x[:, 0, 0]})
    small = {name: dataset.select(split, np.arange(12)) for name, split in digits.splits.items()}
    rows, (figure,) = suite.run(
        {"occlusion": {"name": "occlusion", "draws": 1}},
        {"trained": frozen},
        digits._replace(splits=small),
        rng,
        lambda line: None,
    )
    assert figure.file == "occlusion.png" and figure.image.shape[-1] == 3 and not rows
    orange = np.array([0xE8, 0x85, 0x3A])
    assert (figure.image == orange).all(-1).sum() > 20


def test_what_cannot_be_drawn(digits, rng):
    for frozen in (reference_representations.pixels(), trained(hides=False)):
        with pytest.raises(contracts.UserError, match=r"hides no part .* remove 'occlusion' from"):
            occlusion.evaluate(frozen, digits.splits, rng)
    with pytest.raises(contracts.UserError, match="draws is 0 in the evaluation 'occlusion'"):
        occlusion.evaluate(trained(), digits.splits, rng, draws=0)
