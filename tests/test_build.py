"""Names become objects; mistakes become one sentence with the nearest name."""

import functools

import jax
import jax.numpy as jnp
import pytest

from dim_jax import bounds, build, contracts
from dim_jax.nets import pure


def test_every_role_lists_what_it_can_build():
    assert {"dim", "probe", "supervised"} <= build.names("method").keys()
    bodies = ("alexnet32", "alexnet64", "resnet32", "resnet64")
    folded = {f"folded_{kind}{body}" for kind in ("", "multi_", "context_") for body in bodies}
    whole = {"dcgan28", "dcgan32", "dcgan64", "alexnet64", "alexnet224", "auto"}
    amdim = {"amdim32", "amdim64", "amdim128"}
    others = {"colour_views", "manifold", "cnn28", "linear", "exemplar", "mlp", "resnet_critic"}
    others |= {"strided", "halves", "spectral"}
    others |= {"real_nvp"}
    assert {*whole, *amdim, *folded, *others, "resnet18", "resnet50", "contextual"} == build.names(
        "encoder"
    ).keys()
    assert {"row_gru", "masked_conv", "in_directions"} == build.names("context").keys()
    assert {"donsker_varadhan", "infonce", "jensen_shannon"} <= build.names("bound").keys()
    assert {"uniform", "gaussian", "ball", "sphere", "sigreg"} == build.names("prior").keys()


def test_nested_blocks_are_built_first():
    critic = build.make("local_critic", dict(name="concat", widths=(4,)))
    assert isinstance(critic, pure.Critic)
    method = build.make(
        "method",
        dict(
            name="supervised",
            encoder=dict(name="dcgan32", width=2, hidden=4, features=2),
            classifier=dict(name="classifier", hidden=4, dropout=0.0, classes=3),
            tap="y",
        ),
    )
    assert isinstance(method, contracts.Method)
    assert build.make("local_critic", None) is None


def test_a_bound_gets_its_arguments_bound():
    bound = build.make("bound", dict(name="infonce", negatives="same_location"))
    assert isinstance(bound, functools.partial)
    scores = jnp.arange(18.0).reshape(3, 3, 2)
    assert bound(scores) == bounds.infonce(scores, negatives="same_location")


@pytest.mark.parametrize(
    ("role", "spec", "message"),
    [
        ("method", dict(name="dm"), "unknown method 'dm': did you mean 'dim'"),
        ("encoder", dict(name="alexnet"), "unknown encoder 'alexnet': did you mean 'alexnet64'"),
        ("bound", "infonse", "unknown bound 'infonse': did you mean 'infonce'"),
        ("local_critic", "concatenate", "unknown local critic 'concatenate'"),
        ("prior", "xyz", "unknown prior 'xyz': use one of ball, gaussian, sigreg, sphere, uniform"),
        (
            "encoder",
            dict(name="dcgan32", width=2, hidden=4, features=2, widht=3),
            "unknown argument of the encoder 'dcgan32' 'widht': did you mean 'width'",
        ),
        ("encoder", dict(name="dcgan32", width=2), "needs hidden, features"),
        ("encoder", dict(width=2), "the block 'encoder' has no name"),
        ("encoder", dict(name=None), "unknown encoder 'None': use one of"),
        ("method", dict(name=3), "unknown method '3': use one of"),
        ("method", ".dim", "unknown method '.dim': did you mean 'dim'"),
        ("encoder", "sys.small", "'sys.small' is not there: sys has no function small; add it"),
    ],
)
def test_mistakes_are_one_sentence(role, spec, message):
    with pytest.raises(contracts.UserError) as error:
        build.make(role, spec)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_weighted_term_needs_its_critic(config):
    spec = config("quickstart")["method"]["method"]
    with pytest.raises(contracts.UserError, match="local_critic is None"):
        build.make("method", {**spec, "local_critic": None})
    with pytest.raises(contracts.UserError, match=r"discriminator is None; .*gamma=0"):
        build.make("method", {**spec, "discriminator": None})


@pytest.mark.parametrize("classifier", [None, dict(name="affine", outputs=4)])
def test_a_classifier_of_a_tap_that_is_not_there_names_the_nearest(classifier):
    encoder = dict(name="linear", features=4)
    spec = dict(name="supervised", encoder=encoder, classifier=classifier, tap="fe")
    method = build.make("method", spec)
    batch = dict(images=jnp.ones((1, 4, 2, 2, 1)), labels=jnp.zeros(4, jnp.int32))

    def step(rng):
        return method.loss(*method.init(rng, batch), batch, rng, 0)

    with pytest.raises(contracts.UserError, match="unknown tap of the encoder 'fe': did you"):
        jax.eval_shape(step, jax.random.key(0))
