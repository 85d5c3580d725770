"""From the `augment` block to views: nothing new asked, nothing changed; flips shared; mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import amdim_cifar10, common
from dim_jax import augment, contracts, data, settings
from dim_jax.rundir import workdir
from dim_jax.training import preprocessing, train_step

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 3), np.uint8)
RECIPES = {
    "amdim": common.augment(**amdim_cifar10.AUGMENT).to_dict(),
    "simclr": common.augment(
        **dict(views=2, resized_crop=(0.08, 1.0), flip=True, flip_shared=False),
        **dict(jitter=(0.4, 0.4, 0.4, 0.1), jitter_rate=0.8, grey=0.2, blur=0.5, solarise=0.1),
    ).to_dict(),
    "randaugment": common.augment(views=2, flip=True, randaugment=(2, 9)).to_dict(),
}


def before(rng, images, crop, flip):
    """Crops and flips as they were drawn when there was nothing else."""
    if crop:
        n, height, width, _ = images.shape
        most = jnp.array([height - crop, width - crop])
        places = jax.random.randint(jax.random.fold_in(rng, 0), (n, 2), 0, most + 1)
        images = jnp.stack(
            [x[i : i + crop, j : j + crop] for x, (i, j) in zip(images, places, strict=True)]
        )
    if flip:
        key = jax.random.fold_in(rng, int(crop is not None))
        mirrored = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
        images = jnp.where(mirrored, images[:, :, ::-1], images)
    return images


@pytest.mark.parametrize(("crop", "flip"), [(None, False), (None, True), (9, False), (9, True)])
def test_without_new_words_the_bits_are_as_before(crop, flip):
    block = common.augment(crop=crop, flip=flip).to_dict()
    rng = jax.random.key(7)
    found = jax.jit(augment.pipeline(**block))(rng, jnp.asarray(IMAGES))
    expected = before(rng, jnp.asarray(IMAGES), crop, flip)
    assert found.dtype == jnp.uint8
    np.testing.assert_array_equal(found, expected)
    alone = jax.jit(augment.pipeline(crop=crop, flip=flip))
    np.testing.assert_array_equal(found, alone(rng, jnp.asarray(IMAGES)))
    halves = ((0.5,) * 3, (0.5,) * 3)
    prepared = preprocessing.Preprocessing(*halves, augment.pipeline(**block))
    np.testing.assert_array_equal(
        prepared.training_views(rng, jnp.asarray(IMAGES)), data.normalise(expected, *halves)[None]
    )


def test_folders_without_the_new_words_continue(tmp_path):
    folder = workdir.Workdir(tmp_path)
    folder.claim(dict(augment=dict(crop=9, flip=True), train={}))
    here = dict(augment=common.augment(crop=9, flip=True).to_dict(), train={})
    folder.check(here)
    here["augment"]["views"] = 2
    with pytest.raises(contracts.UserError, match="views is 1 there and 2 here"):
        folder.check(here)


@pytest.mark.parametrize(
    "recipe", [pytest.param("amdim", marks=pytest.mark.slow), "simclr", "randaugment"]
)
def test_two_views_of_every_image(recipe):
    change = jax.jit(augment.pipeline(**RECIPES[recipe]))
    views = change(jax.random.key(0), jnp.asarray(IMAGES))
    assert views.shape == (2, 64, 12, 12, 3) and views.dtype == jnp.float32
    assert views.min() >= 0 and views.max() <= 1
    apart = np.asarray(views[0] != views[1]).any(axis=(1, 2, 3))
    assert apart.mean() > 0.9
    np.testing.assert_array_equal(views, change(jax.random.key(0), jnp.asarray(IMAGES)))
    others = jnp.asarray(IMAGES).at[1:].set(9)
    np.testing.assert_array_equal(views[:, 0], change(jax.random.key(0), others)[:, 0])
    prepared = preprocessing.Preprocessing((0.5,) * 3, (0.25,) * 3).normalise(views)
    np.testing.assert_allclose(prepared, (views - 0.5) / 0.25, atol=2e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_flips_are_shared_only_where_asked(shared):
    images = jnp.asarray(np.tile(np.arange(8, dtype=np.uint8)[None, None, :, None], (400, 8, 1, 1)))
    change = jax.jit(augment.pipeline(flip=True, flip_shared=shared, views=2, translate=1))
    left, right = np.asarray(change(jax.random.key(0), images))
    flipped = [view[:, 0, 2, 0] > view[:, 0, 5, 0] for view in (left, right)]
    agreeing = (flipped[0] == flipped[1]).mean()
    assert left.dtype == np.uint8 and 0.4 < flipped[0].mean() < 0.6
    assert agreeing == 1 if shared else 0.4 < agreeing < 0.6
    assert (left != right).any(axis=(1, 2, 3)).mean() > 0.4  # translations are never shared


def test_views_of_one_draw_are_independent():
    """How far one view is moved says nothing on the other: a 5 x 5 table of both, by chi square."""
    images = jnp.asarray(
        np.tile(np.arange(12, dtype=np.uint8)[None, None, :, None], (4000, 12, 1, 1))
    )
    views = jax.jit(augment.pipeline(views=2, translate=2))(jax.random.key(1), images)
    places = np.asarray(views[:, :, 0, 6, 0]).astype(int) - 4
    table = np.zeros((5, 5))
    np.add.at(table, tuple(places), 1)
    statistic = ((table - 160) ** 2 / 160).sum()
    assert 5 < statistic < 52  # of 24 degrees of freedom: 1 in 100,000 below, 1 in 1,000 above


def test_resized_crops_have_the_side_of_the_crop_or_the_images():
    images = jnp.asarray(IMAGES[:, :, :10])
    for crop, shape in ((None, (12, 10)), (6, (6, 6))):
        change = augment.pipeline(crop=crop, resized_crop=[0.3, 1.0], aspect=[0.7, 1.4])
        assert jax.eval_shape(change, jax.random.key(0), images).shape == (64, *shape, 3)
    one = augment.pipeline(resized_crop=(0.3, 1.0), blur=1.0, solarise=1.0)
    grey = jax.eval_shape(one, jax.random.key(0), images[..., :1])
    assert grey.shape == (64, 12, 10, 1)


RATED = {
    "translate_rate": dict(translate=2, translate_rate=0.3),
    "jitter_rate": dict(jitter=(0.4, 0.4, 0.4, 0.1), jitter_rate=0.3),
    "grey": dict(grey=0.3),
    "blur": dict(blur=0.3),
    "solarise": dict(solarise=0.3),
}


@pytest.mark.parametrize("word", RATED)
def test_parts_of_the_images_are_changed(word):
    images = jnp.asarray(np.tile(IMAGES[:1], (1000, 1, 1, 1)))
    changed = jax.jit(augment.pipeline(**RATED[word]))(jax.random.key(2), images)
    kept = images if word == "translate_rate" else images.astype(jnp.float32) / 255
    share = np.asarray(jnp.abs(changed - kept).max(axis=(1, 2, 3)) > 1e-6).mean()
    within = 5 * np.sqrt(0.3 * 0.7 / 1000) + (0.3 / 25 if word == "translate_rate" else 0)
    assert abs(share - 0.3) < within


def test_shares_of_each_view():
    """BYOL's (Grill et al. 2020, App. B): every view has its share of changed images."""
    images = jnp.asarray(np.tile(IMAGES[:1], (1000, 1, 1, 1)))
    change = augment.pipeline(views=2, blur=(1.0, 0.1), solarise=(0.0, 0.2))
    views = np.asarray(jax.jit(change)(jax.random.key(2), images))
    unit = np.float32(IMAGES[0]) / 255
    blurred = np.abs(views[0] - unit).max((1, 2, 3)) > 1e-6
    assert blurred.mean() > 0.9  # the smallest deviations change nothing
    solarised = np.where(unit >= 0.5, 1 - unit, unit)
    for kept, share in ((unit, 0.9 * 0.8), (solarised, 0.9 * 0.2)):
        found = (np.abs(views[1] - kept).max((1, 2, 3)) < 1e-6).mean()
        assert abs(found - share) < 5 * np.sqrt(share * (1 - share) / 1000)


@pytest.mark.parametrize("shared", [True, False])
def test_small_crops_are_boxes_of_the_images(shared):
    """Of images whose red and green are the place of a pixel."""
    ramp = np.arange(60, dtype=np.float32) / 60
    image = np.stack([*np.meshgrid(ramp, ramp), np.zeros((60, 60), np.float32)], -1)
    images = jnp.asarray(np.tile(image[None], (200, 1, 1, 1)))
    flips = dict(flip=True, flip_shared=shared)
    block = settings.Augment(views=2, crop=20, small_crops=3, small_crop=10, **flips)
    changes = augment.pipeline(block), augment.small_crops(block)
    both = jax.jit(lambda rng, images: [change(rng, images) for change in changes])
    views, crops = map(np.asarray, both(jax.random.key(3), images))
    assert crops.shape == (3, 200, 10, 10, 3) and crops.dtype == np.float32
    across = crops[:, :, 4, 8, 0] - crops[:, :, 4, 1, 0]
    down = crops[:, :, 8, 4, 1] - crops[:, :, 1, 4, 1]
    areas, centres = np.abs(across) * down * (10 / 7) ** 2, crops[:, :, 4:6, 4:6, 1].mean((2, 3))
    assert 0.04 < areas.min() < 0.06 and 0.13 < areas.max() < 0.15  # sides are whole pixels
    assert 0.07 < centres.min() < 0.25 and 0.75 < centres.max() < 0.93
    assert np.abs(np.corrcoef(centres)[np.triu_indices(3, 1)]).max() < 0.3
    flipped = [*(views[..., 0, -1, 0] < views[..., 0, 0, 0]), *(across < 0)]
    agreeing = np.mean([flip == flipped[0] for flip in flipped[1:]], axis=1)
    assert 0.35 < flipped[0].mean() < 0.65
    assert (agreeing == 1).all() if shared else (abs(agreeing - 0.5) < 0.15).all()


def test_blur_and_solarisation_are_those_of_simclr_and_byol(monkeypatch):
    """The kernel has a tenth of the side, sigma is 0.1 to 2 pixels; the threshold is a half."""
    kept = {}
    monkeypatch.setattr(
        "dim_jax.augment.blur.random_blur",
        lambda rng, images, **values: kept.update(values) or images,
    )
    augment.pipeline(blur=0.5)(jax.random.key(0), jnp.zeros((1, 224, 230, 3)))
    assert kept == dict(sigmas=(0.1, 2.0), radius=11, rate=0.5)
    levels = np.linspace(0, 1, 11, dtype=np.float32).reshape(1, 1, 11, 1)
    solarised = augment.pipeline(solarise=1.0)(jax.random.key(0), jnp.asarray(levels))
    np.testing.assert_allclose(solarised, np.where(levels >= 0.5, 1 - levels, levels), atol=1e-6)


def test_a_dispatch_trains_on_the_views_whatever_the_devices(monkeypatch):
    """They are those of the step's key, the same on one device and on eight but for rounding."""
    seen = {}
    monkeypatch.setattr(
        train_step,
        "update",
        lambda state, batch, seed: (state, {name: batch[name] for name in ("images", "crops")}, {}),
    )
    change = augment.pipeline(**RECIPES["amdim"])
    crops = augment.small_crops(settings.Augment(views=2, small_crops=3, small_crop=5))
    prepared = preprocessing.Preprocessing((0.5,) * 3, (0.5,) * 3, change, 2, crops=crops)
    for devices in (jax.devices()[:1], jax.devices()[:8]):
        mesh = train_step.mesh(devices)
        nothing = dict(apply_fn=None, params={}, tx=None, opt_state=(), state={})
        state = train_step.TrainState(step=jnp.int32(0), **nothing)
        dispatch = train_step.make_dispatch(prepared, 3, 64, 64, mesh)
        arrays = train_step.replicate((jnp.asarray(IMAGES), jnp.zeros(64, jnp.int32)), mesh)
        _, metrics = dispatch(train_step.replicate(state, mesh), *arrays, count=1)
        seen[len(devices)] = [np.asarray(metrics[name][0]) for name in ("images", "crops")]
    (views, crops), others = seen.values()
    assert views.shape == (2, 64, 12, 12, 3) and crops.shape == (3, 64, 5, 5, 3)
    # Hue divides by a pixel's chroma: a rounding becomes 1e-6 there, twice that normalised.
    for found, other in zip((views, crops), others, strict=True):
        np.testing.assert_allclose(found, other, atol=32 * np.finfo(np.float32).eps)
        assert (found != found[:, :1]).any()
    assert crops.min() >= -1 and crops.max() <= 1


@pytest.mark.parametrize(
    "recipe", [pytest.param("amdim", marks=pytest.mark.slow), "simclr", "randaugment"]
)
def test_changes_stay_on_the_device_of_their_image(recipe):
    """The program for eight devices sends nothing from one to another."""
    mesh = train_step.mesh(jax.devices()[:8])

    def split(*axes):
        return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))

    images = jax.device_put(jnp.asarray(IMAGES), split("data"))
    change = jax.jit(augment.pipeline(**RECIPES[recipe]), out_shardings=split(None, "data"))
    program = change.lower(jax.random.key(0), images).compile().as_text()
    sending = ("all-gather", "all-to-all", "all-reduce", "collective-permute", "reduce-scatter")
    assert "fusion" in program and not any(word in program for word in sending)


WRONG = {
    "augment.views is 0": dict(views=0),
    "augment.translate is -1": dict(translate=-1),
    r"augment.jitter is \(0.4, 0.4, 0.4\)": dict(jitter=(0.4, 0.4, 0.4)),
    r"augment.jitter is .*at most 0.5": dict(jitter=(0.4, 0.4, 0.4, 0.6)),
    r"augment.jitter is .*below 0": dict(jitter=(-0.4, 0.4, 0.4, 0.1)),
    r"augment.jitter_rate is 1.5.*from 0 to 1": dict(jitter_rate=1.5),
    r"augment.grey is nan": dict(grey=float("nan")),
    r"augment.resized_crop is \(0.2, 1.5\).*at most 1": dict(resized_crop=(0.2, 1.5)),
    r"augment.resized_crop is \(0.8, 0.2\)": dict(resized_crop=(0.8, 0.2)),
    r"augment.resized_crop is \(0.5,\)": dict(resized_crop=(0.5,)),
    r"augment.aspect is \(0, 1\)": dict(resized_crop=(0.2, 1.0), aspect=(0, 1)),
    r"augment.blur is \(1.0, 0.1\) and augment.views is 1; set one": dict(blur=(1.0, 0.1)),
    r"augment.small_crops is 2 and augment.small_crop is None; set": dict(small_crops=2),
    r"augment.solarise has shares for each view and augment.small_crops is 2, .* set one share": (
        dict(views=2, solarise=(0.0, 0.2), small_crops=2, small_crop=6)
    ),
    r"augment.small_crop_area is \(0.2, 1.5\).*at most 1": dict(small_crop_area=(0.2, 1.5)),
}


def test_a_block_and_settings_are_refused():
    block = settings.Augment(crop=6)
    with pytest.raises(contracts.UserError, match="got a block and the settings crop; pass one"):
        augment.pipeline(block, crop=4)
    assert augment.pipeline(block)(jax.random.key(0), jnp.asarray(IMAGES)).shape[1:3] == (6, 6)


@pytest.mark.parametrize("message", WRONG)
def test_values_that_cannot_be(message):
    with pytest.raises(contracts.UserError, match=message):
        augment.pipeline(**WRONG[message])


@pytest.mark.parametrize("word", [dict(jitter=(0.4, 0.4, 0.4, 0.1)), dict(grey=0.2)])
def test_colours_of_images_without_any(word):
    (name,) = word
    with pytest.raises(contracts.UserError, match=rf"augment.{name} .*RGB images and these have 1"):
        augment.pipeline(**word)(jax.random.key(0), jnp.asarray(IMAGES[..., :1]))


@pytest.mark.parametrize(
    "changes",
    [
        dict(
            crop=24, flip=True, translate=2, hue=0.1, jitter=(0.4,) * 3 + (0.1,), grey=0.2, blur=0.5
        ),
        dict(crop=24, resized_crop=(0.3, 1.0), randaugment=(2, 9), solarise=0.2, views=2),
        dict(affine=(0.2, 0.7, 1.4, 20.0), pca=(0.5, 2.0), hsv=(0.25, 4.0, 0.7, 1.4, 0.1)),
    ],
)
def test_no_change_needs_the_promotion_of_ranks(changes):
    """Traced, which is enough."""
    images = jax.ShapeDtypeStruct((4, 32, 32, 3), np.uint8)
    with jax.numpy_rank_promotion("raise"):
        jax.eval_shape(augment.pipeline(**changes), jax.random.key(0), images)


@pytest.mark.parametrize("channels", [2, 5])
def test_changes_but_those_of_colours_take_any_number_of_channels(channels):
    images = np.random.default_rng(0).uniform(size=(4, 16, 16, channels)).astype(np.float32)
    changes = dict(affine=(0.2, 0.7, 1.4, 20.0), crop=12, flip=True, blur=0.5, solarise=0.2)
    changed = np.asarray(jax.jit(augment.pipeline(**changes))(jax.random.key(0), images))
    assert changed.shape == (4, 12, 12, channels)
    assert np.isfinite(changed).all() and changed.min() >= 0 and changed.max() <= 1


@pytest.mark.parametrize(
    ("block", "is_random"),
    [
        ({}, False),
        (dict(views=2), False),
        (dict(affine=(0, 1, 1, 0), crop=9), False),  # the centre
        (dict(crop=9), True),
        (dict(affine=(0.1, 1, 1, 0)), True),
        (dict(affine=(0, 1, 1, 5)), True),
        (dict(affine=(0, 1, 1, 0), flip=True), True),
        (dict(flip=True), True),
        (dict(grey=0.5), True),
        (dict(views=2, blur=(0.5, 0.1)), True),
    ],
)
def test_whether_views_depend_on_the_key(block, is_random):
    assert augment.is_random(settings.Augment.of(block)) == is_random
    change = jax.jit(augment.pipeline(**block))
    drawn = [change(jax.random.key(seed), jnp.asarray(IMAGES)) for seed in range(3)]
    assert any((each != drawn[0]).any() for each in drawn) == is_random
