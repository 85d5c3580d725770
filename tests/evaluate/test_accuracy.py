import jax
import numpy as np
import pytest
from sklearn import preprocessing

from dim_jax import contracts
from dim_jax.evaluate import accuracy

LABELS = np.repeat(np.arange(3, dtype=np.int32), [20, 5, 30])


def test_label_subsets_hold_the_same_number_of_each_class_without_repetition():
    subsets = accuracy.label_subsets(LABELS, 5, 4, seed=0)
    assert subsets.shape == (4, 15)
    for members in subsets:
        assert len(set(members)) == 15
        np.testing.assert_array_equal(np.bincount(LABELS[members]), [5, 5, 5])
    assert not np.array_equal(subsets[0], subsets[1])
    np.testing.assert_array_equal(subsets, accuracy.label_subsets(LABELS, 5, 4, seed=0))
    assert not np.array_equal(subsets, accuracy.label_subsets(LABELS, 5, 4, seed=1))


def test_too_few_labels_name_the_class_and_the_way_out():
    with pytest.raises(contracts.UserError, match=r"class 1 has only 5 .* to 5 or less"):
        accuracy.label_subsets(LABELS, 6, 1, seed=0)
    with pytest.raises(contracts.UserError, match="must be 1 or more"):
        accuracy.label_subsets(LABELS, 0, 1, seed=0)


def test_statistics_agree_with_scikit_learn_and_silence_constant_features():
    rows = np.random.default_rng(0).normal(3, [1.0, 20.0, 0.01], (500, 3)).astype(np.float32)
    rows = np.concatenate([rows, np.full((500, 1), 7, np.float32)], axis=1)
    shift, scale = accuracy.statistics(rows)
    reference = preprocessing.StandardScaler().fit_transform(rows.astype(np.float64))
    np.testing.assert_allclose(((rows - shift) * scale)[:, :3], reference[:, :3], atol=2e-3)
    assert scale[3] == 0


def test_results_carry_mean_deviation_and_number_of_fits(digits, encoder, rng):
    found = accuracy.evaluate(
        lambda task: np.array([0.2, 0.4, 0.9]),
        encoder,
        digits.splits,
        rng,
        standardise=True,
        taps=("y",),
        labels_per_class=None,
        subsets=3,
    )
    assert found["y/accuracy"] == pytest.approx(0.5)
    assert found["y/accuracy_std"] == pytest.approx(np.std([0.2, 0.4, 0.9], ddof=1))
    assert found["y/accuracy_fits"] == 3


def test_standardised_by_training_images_only(digits, encoder, rng):
    tasks = []
    accuracy.evaluate(
        lambda task: tasks.append(task) or np.array([0.0]),
        encoder,
        digits.splits,
        rng,
        standardise=True,
        taps=("conv",),
        labels_per_class=2,
        subsets=1,
    )
    (task,) = tasks
    np.testing.assert_allclose(task.train.features.mean(0), 0, atol=1e-4)
    assert abs(task.test.features.mean(0)).max() > 1e-3
    assert task.classes == 10 and task.subsets.shape == (1, 20)


def test_images_without_labels_are_an_error_here(unlabelled, encoder, rng):
    with pytest.raises(contracts.UserError, match="1200 of 1200 train images have no label"):
        accuracy.evaluate(
            lambda task: np.zeros(1),
            encoder,
            unlabelled.splits,
            jax.random.key(0),
            standardise=True,
            taps=("y",),
            labels_per_class=None,
            subsets=1,
        )
