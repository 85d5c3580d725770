"""The contract of a method: every breach is one sentence, also without the trainer."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest

from dim_jax import contracts
from dim_jax.augment import patches
from dim_jax.nets import crops, pure
from dim_jax.training import method_contract, train_step

BATCH = contracts.Batch(
    images=jnp.ones((1, 64, 2, 2, 1)), labels=jnp.zeros(64, jnp.int32), index=jnp.arange(64)
)


def init(rng, batch):
    state = {"encoder": {"mean": jnp.zeros(3), "seen": jnp.zeros((), jnp.int32)}}
    return {"encoder": {"w": jnp.ones(4)}, "head": {"w": jnp.ones(4)}}, state


def errors(params, batch):
    return (batch["images"][0].reshape(64, -1) @ params["encoder"]["w"]) ** 2


def result(params, state, batch, changes) -> contracts.Step:
    losses = {"encoder": errors(params, batch).mean(), "head": params["head"]["w"].sum()}
    fields = dict(losses=losses, metrics={"a/error": losses["head"]}, state=state, features={})
    return contracts.Step(**{**fields, **changes})


def method(change=lambda *arguments: {}, init=init) -> contracts.Method:
    """A method whose step has the fields that `change` returns in the place of right ones."""

    def loss(params, state, batch, rng, step):
        return result(params, state, batch, change(params, state, batch))

    return contracts.Method(init, loss, lambda params, state, images: {})


def start(method):
    return train_step.initial_state(method, lambda _: optax.sgd(0.1), 0, BATCH)


def test_a_method_that_keeps_the_contract_trains():
    state, metrics = jax.jit(train_step.train_step)(start(method()), BATCH, 0)
    lengths = {"grad_norm/encoder", "grad_norm/head"}
    assert set(metrics) == {"loss/encoder", "loss/head", "a/error", *lengths}
    assert int(state.step) == 1


def per_example(params, state, batch):
    loss = errors(params, batch)
    return {"losses": {"encoder": loss, "head": loss.mean()}}


def of_state(**changes):
    return lambda params, state, batch: {"state": {"encoder": {**state["encoder"], **changes}}}


BREACHES = {
    "a loss per example": (
        per_example,
        r"the loss of the player 'encoder' has the shape \(64,\); return a scalar",
    ),
    "an integer loss": (
        lambda params, *_: {"losses": dict.fromkeys(params, jnp.arange(3).sum())},
        "the loss of the player 'encoder' is int32; return a float32",
    ),
    "one loss": (
        lambda params, *_: {"losses": {"encoder": jnp.ones(())}},
        r"losses are \['encoder'\] and its players \['encoder', 'head'\]; return one loss per",
    ),
    "no dict": (lambda params, *_: {"losses": jnp.ones(())}, "Step.losses of the method is "),
    "a metric per example": (
        lambda params, state, batch: {"metrics": {"a/error": errors(params, batch)}},
        r"the metric 'a/error' has the shape \(64,\)",
    ),
    "a metric named as a sign of learning": (
        lambda *_: {"metrics": {"features/y/rank": jnp.ones(())}},
        "the metric 'features/y/rank' has a name that the trainer uses",
    ),
    "a metric named as a loss": (
        lambda *_: {"metrics": {"loss/encoder": jnp.ones(())}},
        "the metric 'loss/encoder' has a name that the trainer uses",
    ),
}
CHANGED_STATES = {
    "another shape": (
        of_state(mean=jnp.zeros(())),
        r"state 'encoder/mean' changes from float32\[3\] to float32\[\] in a step",
    ),
    "another dtype": (
        of_state(seen=jnp.zeros(())),
        r"state 'encoder/seen' changes from int32\[\] to float32\[\]",
    ),
    "one more": (
        of_state(more=jnp.zeros(2)),
        r"state 'encoder/more' changes from nothing to float32\[2\]",
    ),
    "one less": (
        lambda params, state, batch: {"state": {"encoder": {"mean": state["encoder"]["mean"]}}},
        r"state 'encoder/seen' changes from int32\[\] to nothing in a step; return the same",
    ),
}


@pytest.mark.parametrize("case", [*BREACHES, *CHANGED_STATES])
def test_a_breach_is_named(case):
    change, message = {**BREACHES, **CHANGED_STATES}[case]
    with pytest.raises(contracts.UserError, match=message) as error:
        start(method(change))
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


@pytest.mark.parametrize("case", BREACHES)
def test_a_breach_is_named_to_direct_users_of_gradients(case):
    change, message = BREACHES[case]
    params, state = init(None, BATCH)
    with pytest.raises(contracts.UserError, match=message):
        train_step.player_gradients(method(change).loss, params, state, BATCH, None, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda params, state: params, "init returned dict; return "),
        (lambda params, state: (params, state, 0), r"init returned \(dict, dict, int\); return"),
        (lambda params, state: (params["head"]["w"], state), r"init returned \(.+, dict\)"),
    ],
)
def test_what_init_returns_is_named(change, message):
    def changed(rng, batch):
        return change(*init(rng, batch))

    with pytest.raises(contracts.UserError, match=message):
        start(method(init=changed))


def test_a_loss_that_returns_no_step_is_named():
    def loss(params, *arguments):
        return {name: jnp.ones(()) for name in params}, {}

    with pytest.raises(contracts.UserError, match=r"loss returned tuple; return contracts\.Step"):
        start(method()._replace(loss=loss))
    gradients = functools.partial(train_step.player_gradients, loss)
    with pytest.raises(contracts.UserError, match="loss returned tuple"):
        gradients(*init(None, BATCH), BATCH, None, 0)


def test_patches_need_an_encoder_of_crops_of_their_size():
    def of(eighths):
        """The maps of crops of 16x16 images and of their mosaics, or without crops of any image."""

        def represent(params, state, images):
            unfolded = images if eighths is None else crops.unfold(images, eighths, 16)
            return {"conv": unfolded}

        return method()._replace(represent=represent)

    images = jnp.zeros((2, 16, 16, 1))
    batch = {**BATCH, "images": patches.lay(patches.cut(images, 3), patches.grid(3))[None]}
    method_contract.check_patches(of(3), 3, batch, images)
    for eighths in (None, 2):
        with pytest.raises(contracts.UserError, match=r"augment\.patches is 3 and the encoder"):
            method_contract.check_patches(of(eighths), 3, batch, images)


def test_images_that_an_encoder_does_not_take_are_named_by_their_size():
    def represent(params, state, images):
        pure.square_images("small", 16)(images)
        return {}

    fixed = method()._replace(represent=represent)
    mosaics = {**BATCH, "images": jnp.zeros((1, 2, 36, 36, 1))}
    with pytest.raises(contracts.UserError, match="images are 24x24 pixels"):
        method_contract.check_patches(fixed, 3, mosaics, jnp.zeros((2, 24, 24, 1)))
    with pytest.raises(contracts.UserError, match=r"augment\.patches is 3"):
        method_contract.check_patches(fixed, 3, mosaics, jnp.zeros((2, 16, 16, 1)))
