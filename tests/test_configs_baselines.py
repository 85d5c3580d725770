"""The baselines' configs on every data set of the tables: shapes, sizes, and what is published."""

import itertools

import jax
import numpy as np
import pytest

from configs.common import baselines
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
    shape = (1, 4, *baselines.DATA[data].shape)
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


@pytest.mark.parametrize(("budget", "name", "data"), CASES)
def test_crops_and_published_numbers_of_every_data_set(config, budget, name, data):
    found = config(name, f"data={data},budget={budget}")
    assert found["augment"]["crop"] == (64 if data == "stl10" else None)
    assert found["published"]["mlp"]


@pytest.mark.parametrize("name", NAMES)
def test_published_numbers_belong_to_the_published_form(config, name):
    found = config(name, "data=cifar10,judge=table4")
    in_table4 = name in ("vae", "aae", "bigan", "nat")
    assert bool(found["published"]) == in_table4
    if in_table4:
        assert found["published_source"] == "Hjelm et al. 2019, Table 4"
        assert found["published"]["svm_hinge"] == found["published"]["svm"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("aae", "prior=uniform"), ("bigan", "posterior=gaussian"), ("bigan", "prior=uniform")],
)
def test_other_forms_have_no_published_row(config, name, words):
    for judge in ("all", "table4"):
        found = config(name, f"{words},judge={judge}")["published"]
        assert not any(found.values())


def test_beta_vae_is_a_vae_with_another_weight(config):
    plain, other = (config("vae", f"{word},smoke") for word in ("vae", "beta_vae"))
    betas = [found["method"]["method"].pop("beta") for found in (plain, other)]
    assert betas == [1.0, 0.5]
    assert plain["method"] == other["method"]
    assert plain["published"]["mlp"] != other["published"]["mlp"]


@pytest.mark.parametrize("judge", ["all", "mlp", "trained", "y", "table4"])
def test_fine_tuning_is_asked_for_with_the_whole_row_only(config, judge):
    """Column SS of Table 2 is of STL-10."""
    evals = config("ae", f"data=stl10,judge={judge}")["evals"]
    assert ("finetune" in evals) == (judge in ("all", "mlp"))
    assert "finetune" not in config("ae", f"data=cifar10,judge={judge}")["evals"]
