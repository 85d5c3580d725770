"""Fine-tuning, on a method small enough to be checked by hand, and on DIM itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import build, contracts, data, experiment, losses
from dim_jax.data import dataset
from dim_jax.evaluate import reference_representations, suite
from dim_jax.evaluate.probes import finetune, labelled, mlp
from dim_jax.training import preprocessing

TINY = finetune.PROTOCOLS["finetune-v1"]._replace(epochs=8, min_steps=0)
JOINT = TINY._replace(unsupervised=1.0, epochs=1)


@pytest.fixture(autouse=True)
def _named(monkeypatch):
    monkeypatch.setitem(finetune.PROTOCOLS, "tiny", TINY)
    monkeypatch.setitem(finetune.PROTOCOLS, "joint", JOINT)


def normalise(images):
    return images.astype(jnp.float32) / 255


def prepare(images):
    return normalise(images)[None]


def encode(params, images):
    own = params["encoder"]["encoder"]
    return jax.nn.relu(images.reshape(len(images), -1) @ own["weight"] + own["shift"])


def loss(params, state, batch, rng, step):
    """Two players whose losses hold each other's parameters, and a state that counts."""
    conv = encode(params, batch["images"][0])
    critic = params["critic"]["weight"]
    fooled = jnp.mean(conv) * critic
    return contracts.Step(
        {"encoder": fooled, "critic": (critic - 1) ** 2 - fooled},
        {},
        {
            "encoder": {"mean": 0.9 * state["encoder"]["mean"] + 0.1 * conv.mean()},
            "critic": {"steps": state["critic"]["steps"] + 1},
        },
        {"conv": conv, "fc": conv, "y": conv},
    )


def represent(params, state, images):
    conv = encode(params, images)
    return {"conv": conv, "fc": conv, "y": conv}


METHOD = contracts.Method(None, loss, represent)


@pytest.fixture
def frozen():
    """An encoder with few and random features."""
    weight = 0.3 * jax.random.normal(jax.random.key(0), (64, 12))
    params = {
        "encoder": {
            "encoder": {"weight": weight, "shift": jnp.zeros(12)},
            "other": {"weight": jnp.ones(3)},
        },
        "critic": {"weight": jnp.array(0.2)},
    }
    state = {"encoder": {"mean": jnp.zeros(())}, "critic": {"steps": jnp.zeros((), jnp.int32)}}

    @jax.jit
    def taps(images):
        return represent(params, state, normalise(images))

    return contracts.Frozen(taps, METHOD, params, state, normalise, prepare)


def fitted(settings, frozen, digits, visible):
    labels = labelled.Labels(None, None, 10, seed=0)
    return finetune._fitted(settings, frozen, digits.splits["train"], "conv", visible, labels, 0)[1]


def equal(one, other):
    same = jax.tree.map(lambda a, b: np.array_equal(np.asarray(a), np.asarray(b)), one, other)
    return all(jax.tree.leaves(same))


@pytest.mark.slow
def test_beats_the_frozen_probe_and_leaves_what_it_started_from(frozen, digits, rng):
    before = jax.tree.map(np.array, (frozen.params, frozen.state))
    few = {"labels_per_class": 30, "subsets": 2}
    tuned = finetune.evaluate(frozen, digits.splits, rng, protocol="finetune-v1", **few)
    probed = mlp.evaluate(frozen, digits.splits, rng, taps=("conv",), **few)
    assert tuned.keys() == probed.keys() and tuned["conv/accuracy_fits"] == 2
    assert tuned["conv/accuracy"] > probed["conv/accuracy"] + 0.05
    assert equal(before, (frozen.params, frozen.state))


def test_permuted_labels_are_at_chance(frozen, digits, rng):
    intact, permuted = (
        finetune.evaluate(frozen, digits.splits, rng, protocol="tiny", permuted=flag)
        for flag in (False, True)
    )
    assert intact["conv/accuracy"] > 0.75
    assert abs(permuted["conv/accuracy"] - 0.1) < 0.05


def hidden(digits, count):
    train = digits.splits["train"]
    labels = np.where(np.arange(1200) % 3 == 0, train.labels, -1)[:count].astype(np.int32)
    return {**digits.splits, "train": dataset.Split(train.images[:count], labels)}


def test_unlabelled_images_are_as_if_they_were_not_there(frozen, digits, rng):
    splits = hidden(digits, 1200)
    found = finetune.evaluate(frozen, splits, rng, protocol="tiny")
    dropped = labelled.labelled(splits)
    assert len(dropped["train"].labels) == 400
    assert found == finetune.evaluate(frozen, dropped, rng, protocol="tiny")
    joint = finetune.evaluate(frozen, splits, rng, protocol="joint")
    assert joint != finetune.evaluate(frozen, dropped, rng, protocol="joint")


@pytest.mark.parametrize("protocol", ["tiny", "joint"])
def test_labels_outside_of_the_subset_change_nothing(frozen, digits, rng, protocol, monkeypatch):
    subset = labelled.label_subsets(digits.splits["train"].labels, 5, 1, seed=0)
    monkeypatch.setattr(labelled, "label_subsets", lambda *_: subset)
    train = digits.splits["train"]
    found = []
    for change in (train.labels, (train.labels + 3) % 10):
        labels = change.copy()
        labels[subset[0]] = train.labels[subset[0]]
        splits = {**digits.splits, "train": train._replace(labels=labels)}
        options = {"protocol": protocol, "labels_per_class": 5, "subsets": 1}
        found.append(finetune.evaluate(frozen, splits, rng, **options))
    assert found[0] == found[1]


def test_visible_labels_are_those_of_the_fit():
    train = np.array([-1, 4, 2, -1, 4], np.int32)
    labels = labelled.Labels(np.array([2, 4, 4]), np.array([[0, 2]]), 5, 0)  # permuted, a subset
    (seen,) = finetune._visible(train, labels, fits=3)
    np.testing.assert_array_equal(seen, [-1, 2, -1, -1, 4])
    several = finetune._visible(train, labels._replace(subsets=None), fits=3)
    assert len(several) == 3
    np.testing.assert_array_equal(several[1], [-1, 2, 4, -1, 4])


def test_without_its_objective_only_encoder_and_classifier_move(frozen, digits):
    visible = np.where(np.arange(1200) < 200, digits.splits["train"].labels, -1)
    tuned = fitted(TINY, frozen, digits, visible)
    assert tuned.params["players"].keys() == {"encoder"}
    own = tuned.params["players"]["encoder"]["encoder"]
    assert not equal(own, frozen.params["encoder"]["encoder"])
    assert tuned.state["method"]["encoder"]["mean"] > 0
    assert tuned.state["method"]["critic"]["steps"] == 0
    merged = finetune._merged(frozen.params, tuned.params)
    assert equal(merged["critic"], frozen.params["critic"])
    assert equal(merged["encoder"]["other"], frozen.params["encoder"]["other"])
    assert merged["encoder"]["encoder"] is own


def test_with_its_objective_every_player_goes_on_over_all_images(frozen, digits):
    visible = np.where(np.arange(1200) < 200, digits.splits["train"].labels, -1)
    tuned = fitted(JOINT, frozen, digits, visible)
    assert tuned.state["method"]["critic"]["steps"] == 1200 // 64
    weight = tuned.params["players"]["critic"]["weight"]
    assert weight > 0.202  # towards 1, at 1e-3 a step


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_gradients_are_those_of_each_players_own_loss(frozen, digits, weight):
    settings = TINY._replace(unsupervised=weight, dropout=0.0)
    plan = finetune._plan(settings, frozen, "conv", 10, 1, 1)
    tuned = finetune._start(plan, frozen, digits.splits["train"], jax.random.key(1))
    images = jnp.asarray(digits.splits["train"].images[:32])
    labels = jnp.where(jnp.arange(32) < 20, digits.splits["train"].labels[:32], -1)
    batch = contracts.Batch(images=prepare(images), labels=labels, index=jnp.arange(32))
    rng = jax.random.key(2)
    found, _ = jax.jit(functools.partial(finetune._gradient, plan))(
        frozen.params, tuned, batch, rng, 0
    )

    def encoder_loss(encoder, head):
        params = {**frozen.params, "encoder": {**frozen.params["encoder"], **encoder}}
        step = loss(params, frozen.state, batch, rng, 0)
        logits, _ = plan.head.apply(
            head, tuned.state["head"], step.features["conv"], train=True, rng=rng
        )
        entropy = losses.classification_loss(logits[:20], labels[:20])[0]
        return entropy + weight * step.losses["encoder"]

    def critic_loss(critic):
        return (
            weight
            * loss({**frozen.params, "critic": critic}, frozen.state, batch, rng, 0)[0]["critic"]
        )

    encoder, head = jax.jit(jax.grad(encoder_loss, (0, 1)))(
        tuned.params["players"]["encoder"], tuned.params["head"]
    )
    expected = {"head": head, "players": {"encoder": encoder}}
    if weight:
        expected["players"]["critic"] = jax.jit(jax.grad(critic_loss))(frozen.params["critic"])
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected
    )


def test_fits_differ_and_repeat_themselves(frozen, digits, rng, monkeypatch):
    monkeypatch.setitem(finetune.PROTOCOLS, "three", TINY._replace(fits=3, epochs=2))
    found = finetune.evaluate(frozen, digits.splits, rng, protocol="three")
    assert found["conv/accuracy_fits"] == 3 and found["conv/accuracy_std"] > 0
    assert found == finetune.evaluate(frozen, digits.splits, rng, protocol="three")


def test_mistakes_say_what_to_change(frozen, digits, unlabelled, rng):
    with pytest.raises(contracts.UserError, match="no network to fine-tune; remove it"):
        finetune.evaluate(reference_representations.pixels(), digits.splits, rng)
    with pytest.raises(contracts.UserError, match="unknown tap 'cnv': did you mean 'conv'"):
        finetune.evaluate(frozen, digits.splits, rng, taps=("cnv",))
    with pytest.raises(contracts.UserError, match="fine-tuning protocol 'finetune-v2'"):
        finetune.evaluate(frozen, digits.splits, rng, protocol="finetune-v2")
    with pytest.raises(contracts.UserError, match="none of the 1200 training images"):
        finetune.evaluate(frozen, unlabelled.splits, rng)
    with pytest.raises(contracts.UserError, match="labels_per_class=500"):
        finetune.evaluate(frozen, digits.splits, rng, labels_per_class=500)
    method = METHOD._replace(
        loss=lambda *arguments: loss(*arguments)._replace(features={"y": jnp.zeros((64, 2))})
    )
    with pytest.raises(contracts.UserError, match="unknown training tap of the method 'conv'"):
        finetune.evaluate(frozen._replace(method=method), digits.splits, rng, protocol="tiny")


@pytest.mark.parametrize(
    ("protocol", "gamma"), [("tiny", 0.0), pytest.param("joint", 0.1, marks=pytest.mark.slow)]
)
def test_the_suite_tunes_dim_and_its_untrained_control(config, monkeypatch, protocol, gamma):
    """With a prior, whose discriminator goes on too, where the objective does."""
    monkeypatch.setitem(finetune.PROTOCOLS, "tiny", TINY._replace(epochs=1))
    monkeypatch.setitem(finetune.PROTOCOLS, "joint", JOINT)
    few = data.load("digits", image_size=32)
    train, test = few.splits["train"], few.splits["test"]
    labels = np.where(np.arange(256) < 128, train.labels[:256], -1).astype(np.int32)
    splits = {
        "train": dataset.Split(train.images[:256], labels),
        "test": dataset.Split(test.images[:64], test.labels[:64]),
    }
    spec = config("quickstart")["method"]
    spec["method"]["gamma"] = gamma
    method = build.make("method", spec)
    pixels = data.normalise(jnp.asarray(train.images[:16]), (0.5,), (0.5,))
    batch = contracts.Batch(images=pixels[None], labels=jnp.zeros(16, int), index=jnp.arange(16))
    params, state = jax.jit(method.init)(jax.random.key(0), batch)
    trained = experiment.freeze(method, params, state, preprocessing.Preprocessing((0.5,), (0.5,)))
    np.testing.assert_allclose(trained.normalise(train.images[:16]), pixels, atol=1e-6)
    np.testing.assert_allclose(trained.prepare(train.images[:16]), batch["images"], atol=1e-6)
    rows, _ = suite.run(
        {"tuned": {"name": "finetune", "protocol": protocol}},
        {"trained": trained, "untrained": trained, "pixels": reference_representations.pixels()},
        few._replace(splits=splits),
        jax.random.key(0),
        lambda line: None,
    )
    found = [(row["eval"], row["representation"], row["tap"], row["labels"]) for row in rows]
    assert found == [("tuned", name, "conv", "all") for name in ("trained", "untrained")]
    assert rows[0]["value"] == rows[1]["value"] and rows[0]["dim"] > 0
