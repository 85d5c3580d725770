from typing import NamedTuple

import jax
import numpy as np
import pytest
from sklearn import preprocessing

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate.probes import knn, labelled, mlp, svm
from dim_jax.evaluate.protocols import Protocols

LABELS = np.repeat(np.arange(3, dtype=np.int32), [20, 5, 30])


def test_label_subsets_hold_the_same_number_of_each_class_without_repetition():
    subsets = labelled.label_subsets(LABELS, 5, 4, seed=0)
    assert subsets.shape == (4, 15)
    for members in subsets:
        assert len(set(members)) == 15
        np.testing.assert_array_equal(np.bincount(LABELS[members]), [5, 5, 5])
    assert not np.array_equal(subsets[0], subsets[1])
    np.testing.assert_array_equal(subsets, labelled.label_subsets(LABELS, 5, 4, seed=0))
    assert not np.array_equal(subsets, labelled.label_subsets(LABELS, 5, 4, seed=1))


def test_too_few_labels_name_the_class_and_the_way_out():
    with pytest.raises(contracts.UserError, match=r"class 1 has only 5 .* to 5 or less"):
        labelled.label_subsets(LABELS, 6, 1, seed=0)
    with pytest.raises(contracts.UserError, match="must be 1 or more"):
        labelled.label_subsets(LABELS, 0, 1, seed=0)


def test_statistics_agree_with_scikit_learn_and_silence_constant_features():
    rows = np.random.default_rng(0).normal(3, [1.0, 20.0, 0.01], (500, 3)).astype(np.float32)
    rows = np.concatenate([rows, np.full((500, 1), 7, np.float32)], axis=1)
    shift, scale = labelled.statistics(rows)
    reference = preprocessing.StandardScaler().fit_transform(rows.astype(np.float64))
    np.testing.assert_allclose(((rows - shift) * scale)[:, :3], reference[:, :3], atol=2e-3)
    assert scale[3] == 0


def evaluate(accuracies, *arguments, standardise=False, **options):
    """An evaluation whose accuracies are those of a function of the task."""

    class Settings(NamedTuple):
        standardise: bool

    protocols = Protocols("any", {"any": Settings(standardise)})
    probe = labelled.probe(lambda _, task: accuracies(task), protocols, "any")
    return probe.evaluate(*arguments, **options)


def recorded(*arguments, **options):
    """The only task that an evaluation on y makes of its arguments."""
    tasks = []
    evaluate(
        lambda task: tasks.append(task) or np.zeros(1), *arguments, **{"taps": ("y",), **options}
    )
    return tasks[0]


def partly(digits, seed=0):
    """The digits with labels for a third of the training images."""
    train = digits.splits["train"]
    hidden = np.random.default_rng(seed).random(len(train.labels)) > 1 / 3
    labels = np.where(hidden, -1, train.labels).astype(np.int32)
    return {**digits.splits, "train": train._replace(labels=labels)}


def without(splits):
    """The splits without their unlabelled training images."""
    train = splits["train"]
    kept = [index for index, label in enumerate(train.labels) if label >= 0]
    return {**splits, "train": dataset.Split(train.images[kept], train.labels[kept])}


def test_results_carry_mean_deviation_and_number_of_fits(digits, encoder, rng):
    values = np.array([0.2, 0.4, 0.9])
    found = evaluate(lambda task: values, encoder, digits.splits, rng, taps=("y",))
    assert found["y/accuracy"] == pytest.approx(0.5)
    assert found["y/accuracy_std"] == pytest.approx(np.std(values, ddof=1))
    assert found["y/accuracy_fits"] == 3
    once = evaluate(lambda task: values[:1], encoder, digits.splits, rng, taps=("y",))
    assert once == {"y/accuracy": 0.2, "y/accuracy_fits": 1}


def test_standardised_by_training_images_only(digits, encoder, rng):
    options = {"taps": ("conv",), "standardise": True}
    task = recorded(encoder, digits.splits, rng, **options)
    np.testing.assert_allclose(task.train.features.mean(0), 0, atol=1e-4)
    assert abs(task.test.features.mean(0)).max() > 1e-3
    few = recorded(encoder, digits.splits, rng, labels_per_class=2, subsets=2, **options)
    assert few.classes == 10 and few.subsets.shape == (2, 20)
    # By all training images, whether their labels are used or not.
    members = labelled.label_subsets(task.train.labels, 2, 2, 0)
    full = np.asarray(task.train.features)[members]
    np.testing.assert_array_equal(np.asarray(few.train.features)[few.subsets], full)
    np.testing.assert_array_equal(few.train.labels[few.subsets], task.train.labels[members])


@pytest.mark.parametrize("per_class", [None, 3])
def test_portions_are_all_examples_or_those_of_each_subset(digits, encoder, rng, per_class):
    task = recorded(encoder, digits.splits, rng, labels_per_class=per_class, subsets=2)
    portions = list(task.portions())
    if per_class is None:
        assert portions == [task.train]
        return
    assert len(portions) == 2
    for members, (rows, labels) in zip(task.subsets, portions, strict=True):
        np.testing.assert_array_equal(rows, np.asarray(task.train.features)[members])
        np.testing.assert_array_equal(labels, task.train.labels[members])


def test_permuted_labels_keep_features_counts_and_test_labels(digits, encoder, rng):
    plain = recorded(encoder, digits.splits, rng)
    task = recorded(encoder, digits.splits, rng, permuted=True)
    np.testing.assert_array_equal(task.train.features, plain.train.features)
    np.testing.assert_array_equal(task.test.labels, plain.test.labels)
    np.testing.assert_array_equal(np.bincount(task.train.labels), np.bincount(plain.train.labels))
    assert np.mean(task.train.labels == plain.train.labels) < 0.2
    again = recorded(encoder, digits.splits, rng, permuted=True)
    np.testing.assert_array_equal(task.train.labels, again.train.labels)
    other = recorded(encoder, digits.splits, jax.random.key(1), permuted=True)
    assert not np.array_equal(task.train.labels, other.train.labels)
    few = recorded(encoder, digits.splits, rng, permuted=True, labels_per_class=4)
    for members in few.subsets:  # drawn by the permuted labels
        np.testing.assert_array_equal(np.bincount(few.train.labels[members]), np.full(10, 4))


@pytest.fixture
def short_mlp(monkeypatch):
    """The protocol of the MLP with one short fit."""
    short = mlp.PROTOCOLS["mlp-v1"]._replace(fits=1, epochs=1, min_steps=60)
    monkeypatch.setitem(mlp.PROTOCOLS, "mlp-v1", short)


@pytest.mark.usefixtures("short_mlp")
@pytest.mark.parametrize("probe", [knn, mlp, svm])
def test_permuted_labels_are_at_chance_where_intact_ones_are_not(digits, encoder, rng, probe):
    intact, permuted = (
        probe.evaluate(encoder, digits.splits, rng, taps=("conv",), permuted=flag)["conv/accuracy"]
        for flag in (False, True)
    )
    assert intact > 0.9 and abs(permuted - 0.1) < 0.05


@pytest.mark.usefixtures("short_mlp")
@pytest.mark.parametrize("probe", [knn, mlp, svm])
@pytest.mark.parametrize("options", [{}, {"labels_per_class": 5, "subsets": 2}])
def test_unlabelled_training_images_are_as_if_they_were_not_there(
    digits, encoder, rng, probe, options
):
    splits = partly(digits)
    found = probe.evaluate(encoder, splits, rng, taps=("conv",), **options)
    expected = probe.evaluate(encoder, without(splits), rng, taps=("conv",), **options)
    assert found == expected
    assert found != probe.evaluate(encoder, digits.splits, rng, taps=("conv",), **options)


def test_standardised_by_labelled_images(digits, encoder, rng):
    task = recorded(encoder, partly(digits), rng, standardise=True)
    assert len(task.train.labels) == np.sum(partly(digits)["train"].labels >= 0)
    np.testing.assert_allclose(task.train.features.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(task.train.features.std(0), 1, atol=1e-3)


def test_labelled_splits_are_the_same_object_or_shorter_with_their_names(digits):
    assert labelled.labelled(digits.splits) is digits.splits
    labels = np.array([3, -1, 0, -1], np.int32)
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    train = dataset.Split(images, labels, ("a", "b", "c", "d"))
    found = labelled.labelled({"train": train, "test": train})
    assert found["test"] is train and found["train"].names == ("a", "c")
    np.testing.assert_array_equal(found["train"].images.ravel(), [0, 2])
    np.testing.assert_array_equal(found["train"].labels, [3, 0])


def test_images_without_labels_are_an_error_here(digits, unlabelled, encoder, rng):
    message = "none of the 1200 training images has a label, and .* remove it from evals"
    with pytest.raises(contracts.UserError, match=message):
        knn.evaluate(encoder, unlabelled.splits, rng)
    labels = digits.splits["test"].labels.copy()
    labels[:4] = -1
    splits = {**digits.splits, "test": digits.splits["test"]._replace(labels=labels)}
    with pytest.raises(contracts.UserError, match="4 of 597 test images have no label"):
        knn.evaluate(encoder, splits, rng)


# The accuracies before the three probes got one `evaluate`; a prediction or two may differ
# between versions of the linear algebra, more of them for what is trained.
BEFORE = {
    knn: ((0.958124, 0.693467), 0.516471, 0.002),
    svm: ((0.959799, 0.659966), 0.597990, 0.002),
    mlp: ((0.982691, 0.767728), 0.627024, 0.008),
}


@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize("probe", [knn, pytest.param(mlp, marks=pytest.mark.slow), svm])
def test_protocols_give_what_they_always_gave(digits, encoder, probe):
    full, few, tolerance = BEFORE[probe]
    key = jax.random.key(3)
    found = probe.evaluate(encoder, digits.splits, key, taps=("conv", "y"))
    assert found["conv/accuracy"] == pytest.approx(full[0], abs=tolerance)
    assert found["y/accuracy"] == pytest.approx(full[1], abs=tolerance)
    found = probe.evaluate(encoder, digits.splits, key, taps=("y",), labels_per_class=10)
    assert found["y/accuracy"] == pytest.approx(few, abs=tolerance)


@pytest.mark.parametrize("probe", [knn, mlp, svm])
def test_views_of_unchanged_images_change_no_accuracy(network, digits, rng, probe):
    options = dict(taps=("y",), labels_per_class=5, subsets=1)
    found, plain = (
        probe.evaluate(network(), digits.splits, rng, views=views, **options) for views in (3, None)
    )
    assert found == plain


@pytest.mark.parametrize("per_class", [None, 5])
def test_augmentations_are_copies_of_the_training_images_alone(network, digits, rng, per_class):
    def darker(images, key):
        return (images * jax.random.uniform(key, (len(images), 1, 1, 1))).astype(np.uint8)

    options = dict(labels_per_class=per_class, subsets=2)
    plain = recorded(network(darker), digits.splits, rng, **options)
    task = recorded(network(darker), digits.splits, rng, augmentations=3, **options)
    size = len(plain.train.labels)
    assert task.copies == 3 and len(task.train.features) == 3 * size
    np.testing.assert_array_equal(task.train.labels, np.tile(plain.train.labels, 3))
    np.testing.assert_array_equal(task.test.features, plain.test.features)
    copies = np.split(np.asarray(task.train.features), 3)
    for one, other in ((0, 1), (1, 2), (0, 2)):
        changed = np.abs(copies[one] - copies[other]).max(axis=1) > 0
        assert changed.mean() > 0.95  # a few are drawn alike
    if per_class is not None:
        np.testing.assert_array_equal(task.subsets, plain.subsets)


@pytest.mark.parametrize("probe", [knn, svm])
def test_augmentations_are_of_probes_that_are_fitted_in_passes(probe):
    with pytest.raises(contracts.UserError, match="augmentations is 3 for a probe"):
        probe.EVALUATION.check_options({"augmentations": 3}, None)
    mlp.EVALUATION.check_options({"augmentations": 3}, None)
    with pytest.raises(contracts.UserError, match="augmentations is 3 and views is 2"):
        mlp.EVALUATION.check_options({"augmentations": 3, "views": 2}, None)


def test_views_are_of_training_and_of_test_images_by_keys_of_their_own(network, digits, rng):
    def noisy(images, key):
        return jax.random.randint(key, images.shape, 0, 256).astype(np.uint8)

    test = digits.splits["test"]
    same = {"train": test, "test": test}
    task = recorded(network(noisy), same, rng, views=2)
    assert not np.allclose(task.train.features, task.test.features, atol=1e-3)
    again = recorded(network(noisy), same, rng, views=2)
    np.testing.assert_array_equal(task.test.features, again.test.features)
    plain = recorded(network(noisy), same, rng)
    np.testing.assert_array_equal(plain.train.features, plain.test.features)
