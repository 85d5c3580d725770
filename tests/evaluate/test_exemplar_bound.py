"""Bounds of the information about seed patches: closed forms, a known mixture, a made method."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import bounds, contracts
from dim_jax.data import dataset
from dim_jax.evaluate import reference_representations, suite
from dim_jax.evaluate.measures import exemplar_bound

COUNT = 24
SETTINGS = exemplar_bound.PROTOCOLS["surrogate-v1"]
QUICK = SETTINGS._replace(learning_rates=(0.3,), min_steps=100)


@pytest.fixture(autouse=True)
def _named(monkeypatch):
    monkeypatch.setitem(exemplar_bound.PROTOCOLS, "quick", QUICK)


@pytest.fixture
def patches(digits) -> dataset.Dataset:
    """The digits, and 24 of them with margins of a pixel as seed patches."""
    train = digits.splits["train"]
    images = np.pad(train.images[:COUNT], ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    return digits._replace(
        splits={**digits.splits, "seeds": dataset.Split(images, train.labels[:COUNT])}
    )


def made(images, strength=3.0, change=None, margin=1) -> contracts.Frozen:
    """A method that knows the patches: its logits are `strength` at the nearest one, else 0.

    change(images u8[n,h,w,c], rng) -> images; then the margins are cut off.
    """
    centres = images[:, margin:9, margin:9].reshape(len(images), -1).astype(np.float32)

    def represent(params, state, images):
        rows = images.reshape(len(images), -1)
        nearest = jnp.argmin(jnp.sum((rows[:, None] - params) ** 2, axis=-1), axis=-1)
        own = jax.nn.one_hot(nearest, len(params))
        return {"conv": images, "fc": own, "y": 0 * rows[:, :3], "logits": strength * own}

    def prepare(images, rng=None):
        if rng is not None:
            images = images if change is None else change(images, rng)
            images = images[:, margin : margin + 8, margin : margin + 8]
        return images.astype(jnp.float32)[None]

    return contracts.Frozen(
        lambda images: represent(centres, {}, jnp.asarray(images, jnp.float32)),
        contracts.Method(None, None, represent),
        centres,
        {},
        normalise=lambda images: images.astype(jnp.float32),
        prepare=prepare,
    )


def lost(images, rng, rate=0.5):
    """Half of the images become the first one."""
    gone = jax.random.bernoulli(rng, rate, (len(images), 1, 1, 1))
    return jnp.where(gone, images[:1], images)


@pytest.mark.parametrize("strength", [0.0, 3.0, 50.0])
def test_patches_that_nothing_changes(patches, rng, strength):
    images = patches.splits["seeds"].images
    options = dict(transformations=3, protocol="quick")
    found = exemplar_bound.evaluate(made(images, strength), patches.splits, rng, **options)
    expected = math.log(COUNT) - math.log(1 + (COUNT - 1) * math.exp(-strength))
    assert found["logits/bound"] == pytest.approx(expected, abs=1e-5)
    assert found["logits/bound_ceiling"] == pytest.approx(math.log(COUNT))
    assert found["logits/variation"] == pytest.approx(0, abs=1e-5)
    assert found["logits/surrogate_accuracy"] == pytest.approx(1.0 if strength else 1 / COUNT)
    assert found["fc/bound"] > 0.9 * math.log(COUNT) and found["conv/bound"] > 0.9 * math.log(COUNT)
    assert found["y/bound"] == pytest.approx(0, abs=1e-5)


def test_patches_that_are_lost_half_of_the_time(patches, rng):
    """The first one is always itself; of the others half the copies are taken for it."""
    images = patches.splits["seeds"].images
    options = dict(transformations=200, fitted=60, taps=("fc",))
    found = exemplar_bound.evaluate(made(images, change=lost), patches.splits, rng, **options)
    right = (1 + (COUNT - 1) / 2) / COUNT
    assert found["logits/surrogate_accuracy"] == pytest.approx(right, abs=0.03)
    entropy = math.log(math.exp(3) + COUNT - 1) - 3 * found["logits/surrogate_accuracy"]
    assert found["logits/bound"] == pytest.approx(math.log(COUNT) - entropy, abs=1e-4)
    split = found["logits/mean_loss"] + found["logits/variation"]
    assert split == pytest.approx(math.log(COUNT) - found["logits/bound"], abs=1e-5)
    assert found["logits/variation"] > 0.1
    # The truth: one patch in 24 gives the first code always, the others half of the time.
    first = (1 + (COUNT - 1) / 2) / COUNT
    truth = -first * math.log(first) + (1 - first) * math.log(2 * COUNT)
    truth -= (COUNT - 1) / COUNT * math.log(2)
    assert truth - 0.15 < found["fc/bound"] < truth + 0.03
    assert found["fc/bound"] > found["logits/bound"] + 0.1


def test_against_infonce_and_a_loop_in_float64():
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, (5, 9, 9))
    labels = np.arange(9)
    found = exemplar_bound._of_logits(jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
    entropies, of_means = [], []
    for n in range(9):
        for v in range(5):
            row = logits[v, n]
            entropies.append(math.log(sum(math.exp(value) for value in row)) - row[n])
        mean = logits[:, n].mean(0)
        of_means.append(math.log(sum(math.exp(value) for value in mean)) - mean[n])
    assert float(found["bound"]) == pytest.approx(math.log(9) - np.mean(entropies), abs=1e-5)
    assert float(found["mean_loss"]) == pytest.approx(np.mean(of_means), abs=1e-5)
    both = float(found["mean_loss"] + found["variation"])
    assert both == pytest.approx(np.mean(entropies), abs=1e-5)
    by_view = [bounds.infonce(jnp.asarray(view, jnp.float32)) for view in logits]
    assert float(found["bound"]) == pytest.approx(float(np.mean(by_view)), abs=1e-5)


def mixture(random, count, dim, noise, views, means=None):
    """Draws f32[v,n,d] of normal variables around n means, and the means."""
    means = random.normal(size=(count, dim)) if means is None else means
    draws = means + noise * random.normal(size=(views, count, dim))
    return draws.astype(np.float32), means


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_a_mixture_of_normal_variables_has_a_linear_posterior(noise):
    """So the bound is nearly the information, here by the true posterior in float64."""
    random = np.random.default_rng(0)
    seen, means = mixture(random, 16, 5, noise, 200)
    chosen, _ = mixture(random, 16, 5, noise, 50, means)
    judged, _ = mixture(random, 16, 5, noise, 500, means)
    found = exemplar_bound.refitted_bound(SETTINGS, seen, chosen, judged, seed=0)
    distances = ((judged[:, :, None].astype(np.float64) - means) ** 2).sum(-1) / (2 * noise**2)
    own = distances[:, np.arange(16), np.arange(16)]
    truth = math.log(16) - np.mean(own + np.log(np.exp(-distances).sum(-1)))
    assert truth - 0.1 < found <= truth + 0.01
    assert found == exemplar_bound.refitted_bound(SETTINGS, seen, chosen, judged, seed=0)


def test_few_copies_in_many_dimensions_that_say_nothing():
    """All can be learnt by heart: without copies that choose, the bound would be below -1."""
    random = np.random.default_rng(0)
    parts = [
        mixture(random, 40, 300, 1.0, views, np.zeros((40, 300)))[0].astype(np.float32)
        for views in (3, 2, 20)
    ]
    found = exemplar_bound.refitted_bound(SETTINGS, *parts, seed=0)
    assert -0.1 < found < 0.05
    learnt_by_heart = exemplar_bound.refitted_bound(SETTINGS, parts[0], parts[0], parts[2], seed=0)
    assert learnt_by_heart < -1


def test_in_a_suite_as_rows(patches, rng):
    images = patches.splits["seeds"].images
    evals = {"surrogate": dict(name="surrogate", taps=("fc",), transformations=2, fitted=2)}
    suite.check(evals, patches)
    judged = {"trained": made(images), "pixels": reference_representations.pixels()}
    rows, _ = suite.run(evals, judged, patches, rng, lambda line: None)
    assert {(row["representation"], row["tap"], row["metric"], row["labels"]) for row in rows} == {
        *(("trained", "logits", name, "all") for name in ("bound", "bound_ceiling")),
        *(("trained", "logits", name, "all") for name in ("mean_loss", "variation")),
        ("trained", "logits", "surrogate_accuracy", "all"),
        ("trained", "fc", "bound", "all"),
    }
    assert {row["protocol"] for row in rows} == {"surrogate-v1"}
    again, _ = suite.run(evals, judged, patches, rng, lambda line: None)
    assert again == rows


def test_copies_of_patches_in_groups_are_those_of_all(patches, rng, monkeypatch):
    images = patches.splits["seeds"].images
    frozen = made(images, change=functools.partial(lost, rate=0.0))
    options = dict(taps=("fc",), protocol="quick")
    whole = exemplar_bound.evaluate(frozen, patches.splits, rng, **options)
    monkeypatch.setattr(exemplar_bound, "_SEEDS", 10)
    monkeypatch.setattr(exemplar_bound, "_ROWS", 7)
    parts = exemplar_bound.evaluate(frozen, patches.splits, rng, **options)
    assert whole == pytest.approx(parts, abs=1e-4)


def test_what_it_cannot_be_used_on(patches, digits, encoder, network, rng):
    with pytest.raises(contracts.UserError, match="of seed patches and this data has none"):
        suite.check({"surrogate": {"name": "surrogate"}}, digits)
    images = patches.splits["seeds"].images
    with pytest.raises(contracts.UserError, match="of the 24 seed patches and this one has 20"):
        exemplar_bound.evaluate(made(images[:20]), patches.splits, rng)
    splits = {**digits.splits, "seeds": digits.splits["test"]}
    for frozen in (encoder, network()):
        with pytest.raises(contracts.UserError, match="this one has no tap 'logits'"):
            exemplar_bound.evaluate(frozen, splits, rng)
    for name in ("transformations", "fitted"):
        with pytest.raises(contracts.UserError, match=f"{name} is 0 in the evaluation"):
            exemplar_bound.evaluate(made(images), patches.splits, rng, **{name: 0})
    with pytest.raises(contracts.UserError, match="unknown exemplar bound protocol"):
        exemplar_bound.evaluate(made(images), patches.splits, rng, protocol="svm-v1")
    with pytest.raises(contracts.UserError, match="unknown tap 'z'"):
        exemplar_bound.evaluate(made(images), patches.splits, rng, taps=("z",))
