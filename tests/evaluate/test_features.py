import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features


@pytest.fixture
def split():
    images = np.arange(7 * 2 * 3, dtype=np.uint8).reshape(7, 2, 3, 1)
    return dataset.Split(images, np.zeros(7, np.int32))


class Counting:
    """A representation that records the sizes of the batches that it encodes."""

    def __init__(self):
        self.sizes = []
        self.frozen = contracts.Frozen(self.represent)

    def represent(self, images):
        if isinstance(images, np.ndarray):  # not the tracer that asks for shapes
            self.sizes.append(len(images))
        maps = jnp.asarray(images, jnp.float32)
        return {"map": maps, "sum": maps.sum((1, 2, 3))[:, None]}


@pytest.mark.parametrize("batch", [1, 3, 7, 512])
def test_every_image_once_in_order_and_maps_flat(split, batch):
    counting = Counting()
    found = features.extract(counting.frozen, split, ("map", "sum"), batch)
    flat = split.images.reshape(7, 6).astype(np.float32)
    np.testing.assert_array_equal(found["map"], flat)
    np.testing.assert_array_equal(found["sum"][:, 0], flat.sum(1))
    assert found["map"].dtype == np.float32
    assert set(counting.sizes) == {batch}  # the last one is padded: one compilation


def test_a_cache_encodes_once_for_all_taps(split):
    counting = Counting()
    requests = [(split, ("map",), None), (split, ("sum",), None)]
    cached = features.FeatureCache(counting.frozen, requests)
    first = features.extract(cached, split, ("sum",), 4)["sum"]
    assert features.extract(cached, split, ("sum", "map"), 4)["sum"] is first
    assert len(counting.sizes) == 2
    other = split._replace(images=split.images[:3].copy())
    assert features.extract(cached, other, ("map",), 4)["map"].shape == (3, 6)
    assert len(counting.sizes) == 3


def test_a_cache_holds_of_a_split_what_is_asked_of_it(split):
    counting = Counting()
    other = split._replace(images=split.images.copy())
    requests = [(split, ("map", "sum"), None), (other, ("sum",), None)]
    cached = features.FeatureCache(counting.frozen, requests)
    features.extract(cached, other, ("sum",))
    features.extract(cached, split, ("sum",))
    assert len(counting.sizes) == 2
    features.extract(cached, split, ("map",))
    assert len(counting.sizes) == 2
    features.extract(cached, other, ("map",))
    assert len(counting.sizes) == 3


def test_a_cache_tells_splits_apart_by_their_images(split):
    counting = Counting()
    cached = features.FeatureCache(counting.frozen)
    first = features.extract(cached, split, ("sum",))["sum"]
    relabelled = split._replace(labels=split.labels + 1)
    assert features.extract(cached, relabelled, ("sum",))["sum"] is first
    for number in range(20):  # each set of images is dropped, so that its id is free again
        images = np.full_like(split.images, number)
        found = features.extract(cached, split._replace(images=images), ("sum",))["sum"]
        np.testing.assert_array_equal(found, 6.0 * number)


def test_a_cache_has_the_fields_of_its_representation(network, digits):
    frozen = network()
    cached = features.FeatureCache(frozen)
    for field in contracts.Frozen._fields:
        assert getattr(cached, field) is getattr(frozen, field)
    assert features.without_cache(cached) is frozen is features.without_cache(frozen)
    with pytest.raises(AttributeError):
        cached._replace(params=None)


def test_shapes_compute_nothing(split):
    counting = Counting()
    assert features.shapes(counting.frozen, split) == {"map": (2, 3, 1), "sum": (1,)}
    assert not counting.sizes


def test_unknown_tap_is_named_with_the_nearest(split):
    with pytest.raises(contracts.UserError, match="unknown tap 'maps': did you mean 'map'"):
        features.extract(Counting().frozen, split, ("maps",))


def shifted(images, rng):
    """The images lighter by 0 to 63, each by its own draw."""
    return images // 2 + jax.random.randint(rng, (len(images), 1, 1, 1), 0, 64).astype(jnp.uint8)


@pytest.mark.parametrize("views", [1, 3, 7])
def test_views_of_unchanged_images_are_the_plain_features(network, digits, rng, views):
    found, plain = (
        features.extract(network(), digits.splits["test"], ("conv", "y"), views=number, rng=rng)
        for number in (views, None)
    )
    for tap in ("conv", "y"):
        np.testing.assert_array_equal(found[tap], plain[tap])


def test_views_are_averaged_over_draws(network, digits, rng):
    """conv is the image itself, so the mean over draws is half the image and 31.5 of 255."""
    frozen, split = network(shifted), digits.splits["test"]
    deviations = {}
    for views in (1, 4, 64):
        found = features.extract(frozen, split, ("conv",), views=views, rng=rng)["conv"]
        half = (split.images // 2).reshape(len(found), -1).astype(np.float64)
        shift = 255 * found - half
        np.testing.assert_allclose(shift, np.tile(shift[:, :1], 64), atol=1e-3)  # one per image
        assert abs(shift[:, 0].mean() - 31.5) < 4 * 18.5 / np.sqrt(len(shift) * views)
        deviations[views] = shift[:, 0].std()
    for views, deviation in deviations.items():  # sqrt((64^2 - 1) / 12) of one draw
        assert deviation == pytest.approx(18.47 / np.sqrt(views), rel=0.15)
    again = features.extract(frozen, split, ("conv",), views=64, rng=rng)["conv"]
    np.testing.assert_array_equal(again, found)
    other = features.extract(frozen, split, ("conv",), views=64, rng=jax.random.key(1))["conv"]
    assert not np.array_equal(other, found)


def test_views_are_cached_apart(network, digits, rng):
    made = []

    def counted(images, key):
        jax.debug.callback(lambda: made.append(1))
        return shifted(images, key)

    split = digits.splits["test"]._replace(images=digits.splits["test"].images[:100])
    requests = [(split, ("y",), None), (split, ("conv",), 4), (split, ("y",), 4)]
    cached = features.FeatureCache(network(counted), requests)

    def extracted(tap, views, key=rng):
        found = features.extract(cached, split, (tap,), 100, views=views, rng=key)[tap]
        jax.effects_barrier()
        return found

    plain = extracted("y", None)
    assert len(made) == 0
    first = extracted("y", 4)
    assert len(made) == 4
    assert extracted("y", 4) is first and extracted("y", None) is plain
    extracted("conv", 4)
    assert len(made) == 4  # asked for together
    assert not np.allclose(plain, first)
    assert not np.array_equal(extracted("y", 1), first)
    assert not np.array_equal(extracted("y", 4, jax.random.key(5)), first)


def test_views_that_cannot_be(network, encoder, digits, rng):
    with pytest.raises(contracts.UserError, match="was not trained on changed images"):
        features.extract(encoder, digits.splits["test"], ("y",), views=2, rng=rng)
    with pytest.raises(contracts.UserError, match="views is 0: set it to the number of copies"):
        features.extract(network(), digits.splits["test"], ("y",), views=0, rng=rng)


def test_codes_are_drawn_for_every_image_once_and_in_order(digits):
    """More images than go at a time: each code is its own image's number and noise of its own."""

    def infer(params, state, rng, images):
        rows = images.reshape(len(images), -1)[:, :3]
        return rows + params * jax.random.normal(rng, rows.shape)

    generative = contracts.Generative(None, None, infer=infer)
    frozen = contracts.Frozen(None, contracts.Method(None, None, None, generative), 0.01, {})
    frozen = frozen._replace(normalise=lambda images: jnp.asarray(images, jnp.float32))
    split = digits.splits["train"]
    drawn = features.drawn_codes(frozen, split, jax.random.key(1))
    noise = (drawn - split.images.reshape(len(split.images), -1)[:, :3]) / 0.01
    assert drawn.shape == (1200, 3)
    assert abs(noise.mean()) < 0.1 and noise.std() == pytest.approx(1.0, abs=0.1)
    assert len(np.unique(np.round(noise, 3)[:, 0])) > 600  # not the same noise in every part
    again = features.drawn_codes(frozen, split, jax.random.key(1))
    np.testing.assert_array_equal(drawn, again)


def test_codes_of_a_deterministic_method_cannot_be_drawn(digits):
    frozen = contracts.Frozen(None, contracts.Method(None, None, None))
    with pytest.raises(contracts.UserError, match="where an image has one code; set drawn=False"):
        features.drawn_codes(frozen, digits.splits["test"], jax.random.key(0))


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("batch", [2, 7])
def test_features_that_are_not_finite_are_refused(split, number, batch):
    def represent(images):
        rows = jnp.asarray(images, jnp.float32)
        broken = (rows.sum((1, 2, 3)) > 100)[:, None]  # images 3 to 6
        return {"y": jnp.where(broken, number, rows[:, 0, :, 0]), "fc": rows}

    named = split._replace(names=tuple(f"{index}.png" for index in range(7)))
    cached = features.FeatureCache(contracts.Frozen(represent), name="untrained")
    with pytest.raises(contracts.UserError) as caught:
        features.extract(cached, named, ("y",), batch)
    assert "features 'y' of the representation 'untrained' are not finite" in str(caught.value)
    assert "image 3 (3.png) of 7" in str(caught.value)
    with pytest.raises(
        contracts.UserError, match=r"features .y. of the representation are not.*3 of"
    ):
        features.extract(contracts.Frozen(represent), split, ("y",), batch)
    assert features.extract(cached, named, ("fc",), batch)["fc"].shape == (7, 6)
