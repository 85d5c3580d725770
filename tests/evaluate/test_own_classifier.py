"""Accuracy of a method's own classifier: a known one, a trained one, and none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import build, contracts, experiment
from dim_jax.data import dataset
from dim_jax.evaluate import suite
from dim_jax.evaluate.probes import own_classifier
from dim_jax.training import preprocessing


def saying(answers) -> contracts.Frozen:
    """A representation whose logits are those of the class `answers(image)`."""

    def represent(images):
        return {"logits": jax.nn.one_hot(jax.vmap(answers)(images), 10)}

    return contracts.Frozen(represent)


def test_accuracy_of_each_split(digits, rng):
    """The classifier reads the upper left pixel, which tells the class but in the clean images."""

    def told(split):
        images = split.images.copy()
        images[:, 0, 0, 0] = split.labels
        return split._replace(images=images)

    train, test = (told(digits.splits[name]) for name in ("train", "test"))
    wrong = train.images.copy()
    wrong[:300, 0, 0, 0] = (train.labels[:300] + 1) % 10
    splits = {"train": dataset.Split(wrong, train.labels), "test": test}
    frozen = saying(lambda image: image[0, 0, 0].astype(jnp.int32))
    found = own_classifier.evaluate(frozen, splits, rng)
    assert found == {"test/accuracy": 1.0, "train/accuracy": 0.75}
    splits["clean"] = digits.splits["test"]
    zeros = np.mean(digits.splits["test"].labels == 0)  # the pixel is always black there
    found = own_classifier.evaluate(frozen, splits, rng)
    assert found["clean/accuracy"] == pytest.approx(zeros)
    labels = digits.splits["test"].labels
    shown = np.where(np.arange(len(labels)) < 100, labels, 3).astype(np.int32)
    images = np.zeros_like(digits.splits["test"].images)
    images[:, 0, 0, 0] = shown
    told = np.where(np.arange(len(labels)) % 2, shown, (shown + 1) % 10)  # by every other pixel
    splits["misled"] = dataset.Split(images, labels, told=told)
    found = own_classifier.evaluate(frozen, splits, rng)
    assert found["misled/accuracy"] == pytest.approx(np.mean(shown == labels))
    assert found["misled/follows_pixel"] == pytest.approx(np.mean(told == shown))
    assert "test/follows_pixel" not in found


def test_rows_say_which_split_they_are_of(digits, rng):
    """And a method without a classifier is told so."""
    evals = {"classifier": dict(name="classifier")}
    frozen = saying(lambda image: 0)
    rows, _ = suite.run(evals, {"trained": frozen}, digits, rng, log=lambda line: None)
    assert [(row["tap"], row["split"]) for row in rows] == [("test", "test"), ("train", "train")]
    silent = contracts.Frozen(lambda images: {"y": images.reshape(len(images), -1)})
    with pytest.raises(contracts.UserError, match="no classifier of its own"):
        own_classifier.evaluate(silent, digits.splits, rng)


@pytest.mark.parametrize("head", [None, dict(name="affine", outputs=10)])
def test_supervised_represents_its_logits(digits, rng, head):
    spec = dict(name="supervised", encoder=dict(name="linear", features=10), tap="y")
    method = build.make("method", {**spec, "classifier": head})
    split = digits.splits["test"]
    batch = {
        "images": jnp.asarray(split.images[None, :32] / 255, jnp.float32),
        "labels": jnp.asarray(split.labels[:32]),
        "index": jnp.arange(32),
    }
    params, state = method.init(rng, batch)
    frozen = experiment.freeze(method, params, state, preprocessing.Preprocessing((0.0,), (1.0,)))
    taps = frozen.represent(split.images[:32])
    own = params["encoder"]["encoder"]["y"]
    y = batch["images"][0].reshape(32, -1) @ own["kernel"] + own["bias"]
    if head is not None:
        own = params["encoder"]["classifier"]
        leaf = {leaf.ndim: leaf for leaf in jax.tree.leaves(own)}
        y = y @ leaf[2] + leaf[1]
    np.testing.assert_allclose(taps["logits"], y, rtol=1e-5, atol=1e-5)
    step = method.loss(params, state, batch, rng, 0)
    logits = np.asarray(y, np.float64)
    lse = np.log(np.exp(logits).sum(1))
    entropy = np.mean(lse - logits[np.arange(32), split.labels[:32]])
    assert float(step.losses["encoder"]) == pytest.approx(entropy, rel=1e-5)
