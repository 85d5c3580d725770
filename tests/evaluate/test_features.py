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


def test_remembering_encodes_once_for_all_taps(split):
    counting = Counting()
    kept = features.remembering(counting.frozen, [(split, ("map",)), (split, ("sum",))])
    first = features.extract(kept, split, ("sum",), 4)["sum"]
    assert features.extract(kept, split, ("sum", "map"), 4)["sum"] is first
    assert len(counting.sizes) == 2
    other = split._replace(images=split.images[:3].copy())
    assert features.extract(kept, other, ("map",), 4)["map"].shape == (3, 6)
    assert len(counting.sizes) == 3


def test_remembering_keeps_of_a_split_what_is_asked_of_it(split):
    counting = Counting()
    other = split._replace(images=split.images.copy())
    kept = features.remembering(counting.frozen, [(split, ("map", "sum")), (other, ("sum",))])
    features.extract(kept, other, ("sum",))
    features.extract(kept, split, ("sum",))
    held = {id(entry.split): set(entry.features) for entry in kept.store.values()}
    assert held == {id(split): {"map", "sum"}, id(other): {"sum"}}


def test_shapes_compute_nothing(split):
    counting = Counting()
    assert features.shapes(counting.frozen, split) == {"map": (2, 3, 1), "sum": (1,)}
    assert not counting.sizes


def test_unknown_tap_is_named_with_the_nearest(split):
    with pytest.raises(contracts.UserError, match="unknown tap 'maps': did you mean 'map'"):
        features.extract(Counting().frozen, split, ("maps",))


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
