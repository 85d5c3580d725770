"""CMC's config: with all words its method fits its images, optimizers and evaluations."""

import jax
import jax.numpy as jnp
import pytest

from dim_jax import build, contracts
from dim_jax.training import optimizers

RNG = jax.random.key(4)
WORDS = [
    *("", "loss=bank", "loss=nce,space=ycbcr", "views=three,graph=full"),
    *("loss=nce,views=three,graph=core,pairing=random", "data=stl10,loss=bank"),
]


# Each word once; the conformance tests trace the config without any.
FAST = {
    *((WORDS[2], "cpu"), (WORDS[3], "smoke")),
    *((WORDS[4], "paper"), (WORDS[5], "smoke")),
}


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        pytest.param(budget, words, marks=() if (words, budget) in FAST else pytest.mark.slow)
        for budget in ("paper", "cpu", "smoke")
        for words in WORDS
    ],
)
def test_configs_of_all_words_are_methods_that_fit(config, words, budget):
    check(config("cmc", f"{words},budget={budget}".lstrip(",")))


@pytest.mark.parametrize("budget", ["paper", pytest.param("smoke", marks=pytest.mark.slow)])
def test_the_config_of_imagenet(config, budget):
    found = config("cmc", f"data=imagenet,loss=nce,budget={budget}")
    check(found)
    assert found["data"]["name"] == "imagenet2012" and found["data"]["road"] == "streaming"
    if budget == "paper":
        assert found["method"]["method"]["temperature"] == 0.07
        player = found["players"]["encoder"]
        assert (player["learning_rate"], player["l2"]) == (0.03, 1e-4)


def check(found: dict) -> None:
    """Traced only: the method fits its images, optimizers and evaluations."""
    side = found["augment"]["crop"] or 32
    method = build.make("method", found["method"])
    n = 8
    batch = contracts.Batch(
        images=jax.ShapeDtypeStruct((1, n, side, side, 3), jnp.float32),
        labels=jax.ShapeDtypeStruct((n,), jnp.int32),
        index=jax.ShapeDtypeStruct((n,), jnp.int32),
    )
    params, state = jax.eval_shape(method.init, RNG, batch)
    step = jax.eval_shape(method.loss, params, state, batch, RNG, 0)
    assert step.losses.keys() == params.keys() == found["players"].keys()
    optimizer = optimizers.make(found["players"], total_steps=10, steps_per_epoch=5)
    jax.eval_shape(optimizer.init, params)
    taps = jax.eval_shape(
        method.represent, params, state, batch["images"].update(shape=(n, side, side, 3))
    )
    assert set(found["evals"]["mlp"]["taps"]) <= taps.keys()
    views = [tap for tap in taps if tap.startswith("y_")]
    assert len(views) == len(found["method"]["method"]["views"])
    assert taps["y"].shape[1] == sum(taps[view].shape[1] for view in views)
    assert found["data"]["scaling"] == "unit" and "filters" not in found["evals"]
