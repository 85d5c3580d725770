"""The picture of views: what training's own change makes of training images."""

import jax
import numpy as np
import pytest

from dim_jax import augment, contracts, experiment, settings
from dim_jax.data import dataset
from dim_jax.evaluate import reference_representations, suite
from dim_jax.evaluate.figures import drawing, training_views
from dim_jax.training import preprocessing


def trained(**changes) -> contracts.Frozen:
    change, views = augment.pipeline(**changes), changes.get("views", 1)
    crops = augment.small_crops(settings.Augment(**changes))
    prepared = preprocessing.Preprocessing((0.4,), (0.3,), change, views, crops=crops)
    return experiment.freeze(contracts.Method(None, None, None), {}, {}, prepared)


@pytest.fixture
def drawn(monkeypatch):
    """The rows handed to the drawing, in place of their picture."""
    monkeypatch.setattr(drawing, "rows_of_images", lambda rows: rows)


def test_rows_are_the_images_and_their_views(digits, rng, drawn):
    del drawn
    rows = training_views.evaluate(trained(flip=True, views=2, translate=1), digits.splits, rng)[
        "views"
    ]
    names = ["image"]
    names += [f"draw {draw}, view {view}" for draw in (1, 2, 3) for view in (1, 2)]
    assert list(rows) == names
    images = digits.splits["train"].images
    np.testing.assert_array_equal(rows["image"], images[drawing.spread(len(images))])
    assert len({row.tobytes() for row in rows.values()}) == 7
    for row in rows.values():
        assert row.dtype == np.uint8 and row.shape == (10, 8, 8, 1)


def test_crops_are_cut_from_the_images_as_training_has_them(digits, rng, drawn):
    """Evaluations see centres of other images; none of these is in the picture."""
    del drawn
    splits = {
        name: split._replace(images=0 * split.images[:, 2:6, 2:6], uncut=split.images)
        for name, split in digits.splits.items()
    }
    rows = training_views.evaluate(trained(crop=8), splits, rng, draws=1)["views"]
    images = digits.splits["train"].images
    np.testing.assert_array_equal(rows["image"], images[drawing.spread(len(images))])
    np.testing.assert_array_equal(rows["draw 1"], rows["image"])


def test_a_flip_gives_the_image_or_its_mirror_bit_for_bit(digits, rng, drawn):
    del drawn
    rows = training_views.evaluate(trained(flip=True), digits.splits, rng, draws=4)["views"]
    assert list(rows) == ["image", *(f"draw {draw}" for draw in (1, 2, 3, 4))]
    images = rows.pop("image")
    same, mirrored = (
        np.array([(row == other).all(axis=(1, 2, 3)) for row in rows.values()])
        for other in (images, images[:, :, ::-1])
    )
    assert (same | mirrored).all() and same.any() and mirrored.any()


def test_small_crops_are_below_the_views(digits, rng, drawn):
    del drawn
    crops = trained(small_crops=2, small_crop=4, small_crop_area=(0.5, 1.0))
    rows = training_views.evaluate(crops, digits.splits, rng, draws=1)["views"]
    names = ["draw 1, view 1", "draw 1, small crop 1", "draw 1, small crop 2"]
    assert list(rows) == ["image", *names]
    np.testing.assert_array_equal(rows["draw 1, view 1"], rows["image"])
    assert all(rows[name].shape == (10, 4, 4, 1) for name in names[1:])
    assert all(rows[name].std() > 20 for name in names)


def test_it_is_a_figure_of_the_suite(digits, rng):
    frozen = trained(views=2, blur=0.5)._replace(represent=lambda x: {"y": x[:, 0, 0]})
    small = {name: dataset.select(split, np.arange(12)) for name, split in digits.splits.items()}
    rows, (figure,) = suite.run(
        {"views": {"name": "views", "draws": 1}},
        {"trained": frozen},
        digits._replace(splits=small),
        rng,
        lambda line: None,
    )
    assert figure.file == "views.png" and figure.image.shape[-1] == 3 and not rows
    assert len(np.unique(figure.image)) > 20


def test_without_a_key_nothing_is_changed(digits):
    images = digits.splits["train"].images[:4]
    frozen = trained(views=2, translate=2)
    assert jax.eval_shape(frozen.prepare, images).shape == (2, 4, 8, 8, 1)
    for view in frozen.prepare(images):
        np.testing.assert_array_equal(view, frozen.normalise(images))
    np.testing.assert_array_equal(trained().prepare(images)[0], frozen.normalise(images))


def test_what_cannot_be_drawn(digits, rng):
    with pytest.raises(contracts.UserError, match="not trained on views"):
        training_views.evaluate(reference_representations.pixels(), digits.splits, rng)
    with pytest.raises(contracts.UserError, match="draws is 0 in the evaluation 'training_views'"):
        training_views.evaluate(trained(), digits.splits, rng, draws=0)
