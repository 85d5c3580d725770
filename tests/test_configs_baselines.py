"""The baselines' configs on every data set of the tables: shapes, sizes, and what is published."""

import itertools

import jax
import numpy as np
import pytest

from configs import supervised
from configs.common import baselines, datasets
from dim_jax import build, contracts

NAMES = ("ae", "vae", "aae", "bigan", "nat", "supervised")


CASES = list(itertools.product(("paper", "smoke"), NAMES, baselines.DATA))
# STL-10 is the one that is cropped; the conformance tests trace the smallest of each config.
FAST = {("paper", name, "stl10") for name in NAMES}


@pytest.mark.parametrize(
    ("budget", "name", "data"),
    [pytest.param(*case, marks=() if case in FAST else pytest.mark.slow) for case in CASES],
)
def test_a_step_on_the_shapes_of_every_data_set(config, name, data, budget):
    """Traced only: the encoder, the decoder and the losses fit each other and the images."""
    found = config(name, f"data={data},budget={budget}")
    method = build.make("method", found["method"])
    side = datasets.DATA[data].side
    shape = (1, 4, side, side, 3)
    batch = contracts.Batch(
        images=jax.ShapeDtypeStruct(shape, np.float32),
        labels=jax.ShapeDtypeStruct((4,), np.int32),
        index=jax.ShapeDtypeStruct((4,), np.int32),
    )
    rng = jax.random.key(0)
    params, state = jax.eval_shape(method.init, rng, batch)
    step = jax.eval_shape(method.loss, params, state, batch, rng, 0)
    assert step.losses.keys() == params.keys() == found["players"].keys()
    assert step.features["y"].shape == (4, 64 if budget == "paper" else 8)
    if method.generative is not None:
        y = jax.ShapeDtypeStruct((4, step.features["y"].shape[1]), np.float32)
        codes = jax.eval_shape(method.generative.code, y)
        assert jax.eval_shape(method.generative.decode, params, state, codes).shape == shape[1:]


@pytest.mark.parametrize(("data", "shape"), [("mnist", (32, 32, 1)), ("imagenette", (64, 64, 3))])
def test_encoders_that_judge_samples_see_images_as_generators_make_them(config, data, shape):
    found = config("supervised", f"data={data},budget=cpu")
    assert (found["data"]["image_size"], not found["augment"]["crop"]) == (shape[0], True)
    assert found["data"]["fit"] == ("pad" if data == "mnist" else "resize")
    assert not any(found["published"].values())
    images = jax.ShapeDtypeStruct((2, *shape), np.float32)
    net = build.make("encoder", found["method"]["method"]["encoder"])
    weights = jax.eval_shape(net.init, jax.random.key(0), images)
    taps, _ = jax.eval_shape(lambda *given: net.apply(*given, train=False), *weights, images)
    assert taps["conv"].ndim == 4


@pytest.mark.parametrize(("budget", "name", "data"), CASES)
def test_crops_and_published_numbers_of_every_data_set(config, budget, name, data):
    found = config(name, f"data={data},budget={budget}")
    assert found["augment"]["crop"] == (64 if data == "stl10" else None)
    if name == "supervised":
        assert found["published"]["own_classifier"] == supervised.PUBLISHED[data]
        assert found["evals"]["own_classifier"]["name"] == "own_classifier"
    else:
        assert found["published"]["mlp_paper" if budget == "paper" else "mlp"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("aae", "prior=uniform"), ("bigan", "posterior=gaussian"), ("bigan", "prior=uniform")],
)
def test_other_forms_have_no_published_row(config, name, words):
    assert not any(config(name, words)["published"].values())


def test_beta_vae_is_a_vae_with_another_weight(config):
    plain, other = (config("vae", f"{word},smoke") for word in ("vae", "beta_vae"))
    betas = [found["method"]["method"].pop("beta") for found in (plain, other)]
    assert betas == [1.0, 0.5]
    assert plain["method"] == other["method"]
    assert plain["published"]["mlp"] != other["published"]["mlp"]
