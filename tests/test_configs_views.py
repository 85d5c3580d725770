"""Configs of methods across views: words, published settings, and one encoder for all methods."""

import jax
import jax.numpy as jnp
import pytest

from dim_jax import build, contracts
from dim_jax.training import optimizers

RNG = jax.random.key(4)
RECIPES = ("simclr", "moco", "byol", "swav", "barlow", "vicreg", "sigreg")


def traced(found: dict, side: int, n: int = 8):
    """(params, step) of the shapes of a config's method, which fits its optimizers."""
    method = build.make("method", found["method"])
    views, crops = found["augment"]["views"], found["augment"]["small_crops"]

    def images(count, side):
        return jax.ShapeDtypeStruct((count, n, side, side, 3), jnp.float32)

    batch = contracts.Batch(
        images=images(views, side),
        labels=jax.ShapeDtypeStruct((n,), jnp.int32),
        index=jax.ShapeDtypeStruct((n,), jnp.int32),
    )
    if crops:
        assert method.uses_crops
        batch["crops"] = images(crops, found["augment"]["small_crop"])
    params, state = jax.eval_shape(method.init, RNG, batch)
    step = jax.eval_shape(method.loss, params, state, batch, RNG, 0)
    assert step.losses.keys() == params.keys() == found["players"].keys()
    assert jax.tree.structure(state) == jax.tree.structure(step.state)
    jax.eval_shape(optimizers.make(found["players"], 100, 5).init, params)
    return params, step


@pytest.mark.parametrize(
    ("name", "words", "side"),
    [
        ("byol", "predictor=off,smoke", 32),
        ("moco", "version=v1,smoke", 32),
        pytest.param("swav", "data=imagenette,smoke", 128, marks=pytest.mark.slow),
        *(
            pytest.param(name, "data=imagenet,budget=paper", 224, marks=pytest.mark.slow)
            for name in ("byol", "swav")
        ),
    ],
)
def test_methods_fit_their_images_and_optimizers(config, name, words, side):
    traced(config(name, words), side)


def test_every_method_has_the_same_encoder(config):
    """Of CMC, one for each group of channels; of CPC, below the contexts."""
    sizes = {}
    for method in (*RECIPES, "amdim", "dim", "cpc", "cmc"):
        spec = config("views", f"method={method},cpu")
        encoder = spec["method"]["method"]["encoder"]
        sizes[method] = encoder.get("encoder", encoder)
        assert spec["augment"]["views"] == (1 if method in ("dim", "cpc", "cmc") else 2)
    halves = sizes.pop("cmc")
    assert all(size == sizes["simclr"] for size in sizes.values())
    assert {key: 2 * halves[key] for key in ("ndf", "n_rkhs")}.items() <= sizes["dim"].items()


@pytest.mark.parametrize("method", ["dim", "cpc", "cmc"])
def test_other_methods_fit_the_shared_encoder(config, method):
    params, step = traced(config("views", f"method={method},smoke"), 32)
    assert set(contracts.PROBED_TAPS) <= step.features.keys() and "encoder" in params


def test_published_settings_of_imagenet(config):
    rates = dict(simclr=4.8, moco=0.03, byol=3.2, swav=4.8, barlow=1.6, vicreg=2.4, sigreg=2e-3)
    for name, rate in rates.items():
        found = config(name, "data=imagenet,budget=paper")
        assert found["players"]["encoder"]["learning_rate"] == pytest.approx(rate)
        assert found["method"]["method"]["encoder"]["name"] == "resnet50"
    assert found["published"] == {}
    swav = config("swav", "data=imagenet,budget=paper")["augment"]
    assert (swav["small_crops"], swav["small_crop"], swav["crop"]) == (6, 96, 224)
    byol = config("byol", "data=imagenet,budget=paper")["augment"]
    assert (byol["blur"], byol["solarise"]) == ((1.0, 0.1), (0.0, 0.2))
    # The rate of LARS is that of 256 images times the batch.
    cifar = config("simclr", "data=cifar10,budget=paper")
    assert cifar["players"]["encoder"]["learning_rate"] == pytest.approx(2.0)
    assert cifar["train"]["batch_size"] == 512 and cifar["method"]["method"]["temperature"] == 0.5
    assert cifar["published"] == {"linear": {"y": 91.0}} and cifar["augment"]["blur"] == 0
