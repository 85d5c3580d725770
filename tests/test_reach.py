"""Which parameters a loss reaches and which taps they train, beside gradients as numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from dim_jax import build, contracts, experiment
from dim_jax.training import reach

HEAD = dict(name="classifier", hidden=8, dropout=0.1, classes=10, norm="batch")
WEIGHTS = ("gate", "head", "late", "scan", "stem", "unused")


def initial() -> dict:
    weights = {name: jnp.eye(4) for name in WEIGHTS}
    return {"encoder": {**weights, "gate": jnp.zeros(4)}, "probe": {"w": jnp.ones(4)}}


@jax.custom_jvp
def through_bits(x):
    """x, by way of integers."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


through_bits.defjvp(lambda primals, tangents: (through_bits(*primals), tangents[0]))


def encode(weights, images) -> contracts.Taps:
    """conv below the loss; y and late above it, y behind a gate that starts at zero."""
    conv = through_bits(images.reshape(len(images), -1) @ weights["stem"])
    conv = jax.lax.scan(lambda x, _: (jax.nn.relu(x @ weights["scan"]), None), conv, length=2)[0]
    y = jax.jit(jnp.matmul)(conv * weights["gate"], weights["head"])
    return {"conv": conv, "y": y, "late": y @ weights["late"], "both": conv + y @ weights["late"]}


def losses(params, images, reads: str) -> dict:
    taps = encode(params["encoder"], images)
    read = {
        "conv": lambda: taps["conv"],
        "y": lambda: taps["y"],
        "stopped": lambda: taps["conv"] + jax.lax.stop_gradient(taps["y"]),
        "rounded": lambda: taps["conv"] + jnp.round(taps["y"]) + (taps["y"] > 0),
        "branch": lambda: jax.lax.cond(
            images.sum() > 0, lambda: taps["y"], lambda: jnp.zeros_like(taps["y"])
        ),
        "while": lambda: jax.lax.while_loop(
            lambda carry: carry[0] < 3,
            lambda carry: (carry[0] + 1, jnp.sin(carry[1] + taps["y"])),
            (0, taps["conv"]),
        )[1],
    }[reads]()
    probe = jax.lax.stop_gradient(taps["late"]) @ params["probe"]["w"]
    return {"encoder": (read**2).mean(), "probe": (probe**2).mean()}


def traced(reads: str) -> tuple[str, ...]:
    params, images = initial(), jnp.ones((3, 2, 2, 1))
    closed, shapes = jax.make_jaxpr(
        lambda params: contracts.Step(losses(params, images, reads), {}, {}, {}), return_shape=True
    )(params)
    return reach.unreached_parameters(closed, shapes, params)


def method() -> contracts.Method:
    return contracts.Method(
        None, None, lambda params, state, images: encode(params["encoder"], images)
    )


def taps_of(reads: str) -> set[str]:
    return {*reach.unreached_taps(method(), initial(), {}, (2, 2, 1), traced(reads))}


def numbers(reads: str) -> set[str]:
    """The parameters whose gradient is zero at random values too, of the player's loss."""
    random = np.random.default_rng(0)
    leaves = jax.tree.map(
        lambda x: jnp.asarray(random.uniform(0.5, 1.5, x.shape), jnp.float32), initial()
    )
    images = jnp.asarray(random.uniform(0.5, 1.5, (3, 2, 2, 1)), jnp.float32)
    gradients = {
        player: jax.grad(lambda params, name=player: losses(params, images, reads)[name])(leaves)
        for player in leaves
    }
    return {
        f"{player}/{name}"
        for player in leaves
        for name, gradient in gradients[player][player].items()
        if not np.any(gradient)
    }


UNREACHED = {
    "conv": {"y", "late", "both"},
    "stopped": {"y", "late", "both"},
    "rounded": {"y", "late", "both"},
    "y": {"late", "both"},
    "branch": {"late", "both"},
    "while": {"late", "both"},
}


@pytest.mark.parametrize("reads", UNREACHED)
def test_parameters_without_a_gradient_and_the_taps_that_they_end_in(reads):
    found = traced(reads)
    if reads != "while":  # JAX has no gradient of a loop whose length it does not know
        assert {*found} == numbers(reads)
    above = {"encoder/late", "encoder/unused"}
    above |= {"encoder/gate", "encoder/head"} if "y" in UNREACHED[reads] else set()
    assert {*found} == above  # the probe is reached, and no start at zero hides a gradient
    assert taps_of(reads) == UNREACHED[reads]


def test_a_trained_layer_on_features_that_are_not_trained_is_judged():
    """Such as a head on a frozen encoder, or one whose first layer is fixed."""
    frozen = ("encoder/stem", "encoder/scan")
    assert reach.unreached_taps(method(), initial(), {}, (2, 2, 1), frozen) == ("both", "conv")
    assert reach.unreached_taps(method(), initial(), {}, (2, 2, 1), ("encoder/stem",)) == ()
    assert reach.unreached_taps(None, initial(), {}, (2, 2, 1), ()) == ()  # nothing is traced


@pytest.mark.parametrize(("tap", "unreached"), [("conv", ("fc", "y")), ("fc", ("y",)), ("y", ())])
def test_a_supervised_encoder_above_its_classifier(tap, unreached):
    spec = dict(
        name="supervised",
        encoder=dict(name="dcgan32", width=4, hidden=8, features=4),
        classifier=HEAD,
        tap=tap,
    )
    supervised = build.make("method", spec)
    batch = contracts.Batch(
        images=jnp.zeros((1, 4, 32, 32, 3)), labels=jnp.zeros(4, jnp.int32), index=jnp.arange(4)
    )
    params, state = jax.eval_shape(supervised.init, jax.random.key(0), batch)
    loss = functools.partial(supervised.loss, batch=batch, rng=jax.random.key(0), step=0)
    closed, step = jax.make_jaxpr(loss, return_shape=True)(params, state)
    parameters = reach.unreached_parameters(closed, step, params)
    found = reach.unreached_taps(supervised, params, state, (32, 32, 3), parameters)
    assert found == unreached  # and never "logits"


def test_a_run_says_what_it_does_not_judge(tmp_path, capsys):
    """A classifier on the pixels: y lies beside it, and the logits are above."""
    evals = {
        "knn": dict(name="knn", taps=("conv", "y")),
        "rank": dict(name="rank", taps=("y",)),
        "classifier": dict(name="own_classifier"),
    }
    config = common.config(
        data=common.data("digits", image_size=None),
        method=dict(
            name="supervised",
            encoder=dict(name="linear", features=2),
            classifier=HEAD,
            tap="conv",
        ),
        players=dict(encoder=common.adam(1e-3)),
        train=common.train(batch_size=800, epochs=1.0, steps_per_dispatch=1, save_epochs=1.0),
        evals=evals,
    )
    results = experiment.train_and_evaluate(config.to_dict(), str(tmp_path / "run"), "digits")
    assert {(row["eval"], row["tap"]) for row in results["rows"]} == {
        *(("knn", tap) for tap in ("conv", "pixels", "pca")),
        *(("classifier", tap) for tap in ("test", "train")),
    }
    (said,) = (note for note in results["run"]["notes"] if "no loss" in note)
    assert said.startswith("y: no loss of this method reaches it") and said.endswith("out: rank.")
    assert f"note: {said}" in capsys.readouterr().out
