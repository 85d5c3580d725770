import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import svm as sklearn_svm

from dim_jax import contracts
from dim_jax.evaluate import accuracy, controls, protocols, svm

SETTINGS = protocols.PROTOCOLS["svm-v1"]


@pytest.mark.parametrize("centred", [True, False])
def test_compact_keeps_all_inner_products(centred):
    random = np.random.default_rng(0)
    rows, others = random.normal(size=(6, 20)), random.normal(size=(4, 20))
    mean = rows.mean(0)
    if centred:
        rows, mean = rows - mean, np.zeros(20)
    small, to_small = svm.compact(jnp.asarray(rows, jnp.float32), centred)
    assert small.shape == (6, 6)
    expected = (others - mean) @ (rows - mean).T
    found = to_small(jnp.asarray(others, jnp.float32)) @ small.T
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_parts_are_stratified():
    labels = np.repeat(np.arange(3), [10, 25, 2])
    part = svm.stratified(labels, 5, np.random.default_rng(0))
    for label, most in ((0, 2), (1, 5), (2, 1)):
        counts = np.bincount(part[labels == label], minlength=5)
        assert counts.max() == most and counts.sum() == np.sum(labels == label)
    assert not np.array_equal(part, svm.stratified(labels, 5, np.random.default_rng(1)))


def test_as_good_as_the_best_linear_svc_on_digits(digits, rng):
    found = svm.evaluate(controls.pixels(), digits.splits, rng, taps=("pixels",))
    train, test = (digits.splits[name] for name in ("train", "test"))
    rows = [
        split.images.reshape(len(split.images), -1).astype(np.float64) for split in (train, test)
    ]
    shift, scale = accuracy.statistics(rows[0].astype(np.float32))
    rows = [np.asarray((each - shift) * scale) for each in rows]
    costs = np.array(SETTINGS.strengths) / len(rows[0])
    scores = [
        sklearn_svm.LinearSVC(C=cost, dual=False, intercept_scaling=10.0)
        .fit(rows[0], train.labels)
        .score(rows[1], test.labels)
        for cost in costs
    ]
    assert min(abs(found["pixels/accuracy"] - score) for score in scores) < 0.004
    assert found["pixels/accuracy"] > max(scores) - 0.015
    assert found["pixels/accuracy_fits"] == 1 and "pixels/accuracy_std" not in found


def test_strength_is_chosen_on_held_out_training_examples():
    # The class shows in the difference of two noisy features: a strong penalty, which leaves
    # little but the difference of the class means, does not find it.
    random = np.random.default_rng(0)
    labels = np.arange(300, dtype=np.int32) % 2
    noise = random.normal(size=(300, 1))
    rows = noise + 0.1 * random.normal(size=(300, 2)) + [[0.3, 0.0]] * labels[:, None]
    rows = jnp.asarray(rows - rows.mean(0), jnp.float32)
    expected = svm.fitted(SETTINGS._replace(strengths=(100.0,)), rows, labels, 2, seed=0)
    for strengths in ((1e-6, 100.0), (100.0, 1e-6)):
        settings = SETTINGS._replace(strengths=strengths)
        chosen = svm.fitted(settings, rows, labels, 2, seed=0)
        np.testing.assert_allclose(chosen.weights, expected.weights, rtol=0.01)


def test_few_labels_and_permuted_labels(digits, rng):
    frozen = controls.pixels()
    few = svm.evaluate(frozen, digits.splits, rng, taps=("pixels",), labels_per_class=5, subsets=2)
    assert few["pixels/accuracy_fits"] == 2 and 0.6 < few["pixels/accuracy"] < 0.95
    train = digits.splits["train"]
    labels = np.random.default_rng(0).permutation(train.labels)
    splits = {**digits.splits, "train": train._replace(labels=labels)}
    found = svm.evaluate(frozen, splits, rng, taps=("pixels",))
    assert abs(found["pixels/accuracy"] - 0.1) < 0.05


def test_unknown_protocol(digits, rng):
    with pytest.raises(contracts.UserError, match="unknown SVM protocol"):
        svm.evaluate(controls.pixels(), digits.splits, rng, protocol="svm", taps=("pixels",))
