"""Generators of run folders: the images of their method as pixels, and runs that have none."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dim_jax
from configs import common
from dim_jax import build, contracts, data
from dim_jax.rundir import checkpoint, exported_encoder

SHAPE = (4, 4, 2)
MEAN, STD = (0.5, 0.4), (0.5, 0.3)
STEP = 7
CARD = dict(
    **dict(format=1, encoder={"name": "mlp", "widths": [5]}, image_shape=[*SHAPE]),
    **dict(mean=MEAN, std=STD, taps={"y": [1]}, dtype="uint8"),
)
CODES = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def method(**changes) -> dict:
    return (
        dict(
            name="gan",
            encoder=dict(name="mlp", widths=(5,)),
            generator=dict(name="mlp_generator", widths=(6,), shape=SHAPE),
            prior=dict(name="gaussian"),
            dimensions=3,
            objective="non_saturating",
            regulariser="none",
            penalty=0.0,
            convention="half",
        )
        | changes
    )


def write(folder, card=CARD, config=None, seed=0):
    """A run folder as far as it is read; returns what its method makes of CODES."""
    block = common.config(
        data=common.data("made"),
        method=config or method(),
        players=dict.fromkeys(("encoder", "generator"), common.adam(1e-3)),
        train=common.train(batch_size=2, epochs=1.0, steps_per_dispatch=1, save_epochs=1.0),
        evals={},
    )
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(block.to_dict()))
    made = build.make("method", method())
    batch = dict(images=jnp.zeros((1, 2, *SHAPE)), labels=jnp.zeros(2, int), index=jnp.arange(2))
    params, state = jax.jit(made.init)(jax.random.key(seed), batch)
    tree = dict(step=STEP, params=params, state=state)
    checkpoint.Checkpoints(folder / "checkpoints").save(STEP, tree)
    weights = params["encoder"]["encoder"], state["encoder"]
    exported_encoder.write(folder / "encoder", *weights, card)
    return made.generative.decode(params, state, CODES)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, write(folder)


def test_images_are_those_of_the_method_as_pixels(run):
    folder, normalised = run
    generator = dim_jax.load_generator(folder)
    images = generator.decode(CODES)
    expected = np.clip(np.asarray(normalised) * STD + MEAN, 0, 1)
    np.testing.assert_allclose(images, expected, rtol=1e-5, atol=1e-6)
    assert images.shape == (4, *SHAPE) and images.dtype == jnp.float32
    assert np.unique(np.round(images, 4)).size > 20
    assert generator.step == STEP and generator.card["image_shape"] == [*SHAPE]
    codes = generator.draw(jax.random.key(1), 5)
    np.testing.assert_array_equal(codes, jax.random.normal(jax.random.key(1), (5, 3)))
    gradient = jax.jit(jax.grad(lambda codes: generator.decode(codes).sum()))(CODES)
    assert np.abs(gradient).min() > 0
    with pytest.raises(contracts.UserError, match=r"codes are \[4, 2\] and this .* \[n, 3\]"):
        generator.decode(CODES[:, :2])


def test_pixels_of_a_range_are_those_that_normalise_to_the_images(tmp_path):
    ends = dict(low=[-2.0, 10.0], high=[2.0, 1000.0], clip=False)
    folder = tmp_path / "run"
    normalised = write(folder, CARD | dict(dtype="float32", pixel_range=ends))
    images = np.asarray(dim_jax.load_generator(folder).decode(CODES))
    again = data.normalise(images, MEAN, STD, data.PixelRange(**ends))
    np.testing.assert_allclose(again, normalised, rtol=1e-4, atol=1e-4)


def test_folders_without_a_generator_are_said_in_a_sentence(run, tmp_path):
    with pytest.raises(contracts.UserError, match=r"no readable config\.json; give the folder"):
        dim_jax.load_generator(tmp_path)
    encoder = dict(name="mlp", widths=(5,))
    supervised = dict(name="supervised", encoder=encoder, classifier=None, tap="y")
    for name, config, message in (
        ("other", method(dimensions=4), "checkpoint 7 of .* is not of its config: 'params/"),
        ("none", supervised, "makes no images of codes of a prior"),
    ):
        write(tmp_path / name, config=config)
        with pytest.raises(contracts.UserError, match=message):
            dim_jax.load_generator(tmp_path / name)
    (tmp_path / "other" / "checkpoints").rename(tmp_path / "aside")
    with pytest.raises(contracts.UserError, match="no readable checkpoint; copy the run again"):
        dim_jax.load_generator(tmp_path / "other")
