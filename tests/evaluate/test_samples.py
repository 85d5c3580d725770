"""Generated images beside training images, and paths between codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import suite
from dim_jax.evaluate.figures import samples
from dim_jax.losses import priors


def memory(images: np.ndarray, draw=jax.random.uniform) -> contracts.Frozen:
    """A generator that makes one of these images u8[n,h,w,c] of a code in [0, 1]."""

    def normalise(images):
        return jnp.asarray(images) / 255.0

    def decode(params, state, codes):
        chosen = jnp.floor(codes[:, 0] * len(images)).astype(int)
        return params[jnp.clip(chosen, 0, len(images) - 1)]

    generative = contracts.Generative(decode, draw=draw, width=2)
    method = contracts.Method(None, None, None, generative)
    return contracts.Frozen(None, method, normalise(images), {}, normalise)


def test_copies_of_training_images_are_told_from_other_images(digits, rng, monkeypatch):
    monkeypatch.setattr(samples, "_BLOCK", 500)
    monkeypatch.setattr(samples, "_GRID", (2, 2))
    monkeypatch.setattr(samples, "_PATHS", 1)
    copied, fresh = (
        samples.evaluate(memory(digits.splits[name].images), digits.splits, rng)
        for name in ("train", "test")
    )
    assert set(copied) == {"y/nearest_distance_ratio", "samples", "interpolation", "nearest"}
    assert copied["y/nearest_distance_ratio"] == 0
    assert fresh["y/nearest_distance_ratio"] == pytest.approx(1, abs=0.15)


def test_nearest_images_are_those_of_all_distances(digits, monkeypatch):
    train = digits.splits["train"]
    queries = digits.splits["test"].images[:7]
    differences = train.images[None] / 255.0 - queries[:, None] / 255.0
    distances = np.sqrt((differences**2).sum(axis=(2, 3, 4)))
    expected = np.argsort(distances, axis=1)[:, :3]
    for block in (100, 5000):
        monkeypatch.setattr(samples, "_BLOCK", block)
        places, found = samples.nearest(train, queries, 3)
        np.testing.assert_array_equal(places, expected)
        np.testing.assert_allclose(found, np.take_along_axis(distances, expected, 1), rtol=1e-6)
    few = dataset.select(train, np.arange(2))
    assert samples.nearest(few, queries, 3)[0].shape == (7, 2)


@pytest.mark.parametrize(
    ("prior", "kind"),
    [
        (priors.gaussian().sample, "spherical"),
        (priors.ball().sample, "spherical"),
        (priors.sphere().sample, "spherical"),
        (priors.uniform().sample, "straight"),
        (lambda rng, shape: 2 * jax.random.uniform(rng, shape) - 1, "straight"),
    ],
)
def test_paths_stay_in_the_support_of_the_prior(prior, kind):
    for width in (2, 64) if kind == "spherical" else (64,):
        codes = np.asarray(prior(jax.random.key(1), (8192, width)))
        assert samples.path_kind(codes) == kind, width
    assert samples.path_kind(codes[:, :1]) == "straight"


def test_spherical_paths_begin_and_end_at_the_codes_and_keep_their_lengths(rng):
    starts, ends = np.asarray(priors.sphere().sample(rng, (100, 5))).reshape(2, 50, 5)
    np.testing.assert_allclose(samples.spherical(starts, ends, 0.0), starts, atol=1e-5)
    np.testing.assert_allclose(samples.spherical(starts, ends, 1.0), ends, atol=1e-5)
    quarter = samples.spherical(starts, 3 * ends, 0.25)
    np.testing.assert_allclose(np.linalg.norm(quarter, axis=1), 1.5, rtol=1e-3)
    angles = np.arccos((quarter / 1.5 * starts).sum(1)), np.arccos((starts * ends).sum(1))
    np.testing.assert_allclose(angles[0], angles[1] / 4, atol=1e-3)


def test_of_points_there_is_a_scatter_plot(rng):
    images = np.random.default_rng(0).normal(size=(40, 1, 1, 2)).astype(np.float32)
    split = dataset.Split(images, np.zeros(40, np.int32))
    found = samples.evaluate(memory(images), {"train": split, "test": split}, rng)
    assert set(found) == {"samples"} and found["samples"].ndim == 3


def test_a_method_that_draws_nothing_is_refused_before_training(digits):
    silent = memory(digits.splits["test"].images, draw=None).method
    for name in ("samples", "score_histogram", "modes"):
        with pytest.raises(contracts.UserError, match=f"draws none; remove '{name}' from evals"):
            suite.check({"x": {"name": name}}, method=silent)
