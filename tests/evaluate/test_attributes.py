import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics, preprocessing
from sklearn import svm as sklearn_svm

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import reference_representations, suite
from dim_jax.evaluate.probes import attributes

SETTINGS = attributes.PROTOCOLS["attributes-v1"]
EXACT = SETTINGS._replace(strengths=(10.0,), tolerance=1e-5, max_steps=5000)


def reference(rows, truth, cost):
    """scikit-learn's machine of one attribute; the scaling leaves the intercept almost free."""
    machine = sklearn_svm.LinearSVC(
        C=cost, dual=False, intercept_scaling=100.0, tol=1e-8, max_iter=20000
    )
    return machine.fit(rows, truth)


def splits_of(pixels, values, train=200):
    """The first `train` images are for training: u8[n,1,d,1] with attributes u8[n,a]."""
    images = np.asarray(pixels, np.uint8)[:, None, :, None]
    values = np.asarray(values, np.uint8)
    parts = {"train": slice(0, train), "test": slice(train, None)}
    return {
        name: dataset.Split(
            images[part], np.full(len(images[part]), -1, np.int32), None, values[part]
        )
        for name, part in parts.items()
    }


@pytest.fixture
def faces():
    """Attributes: linear, unbalanced, noisy; always there in training; never there in testing."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (320, 12))
    one, two, noise = pixels[:, 0] - 128.0, pixels[:, 1] - 128.0, random.normal(0, 60, 320)
    late = np.arange(320) >= 200
    values = [one + two > 0, one > 75, two + noise > 0, late & (one > 0) | ~late, ~late & (two > 0)]
    return splits_of(pixels, np.stack(values, axis=1))


def use(monkeypatch, settings):
    monkeypatch.setitem(attributes.PROTOCOLS, "attributes-v1", settings)


def judge(splits, rng=None):
    rng = jax.random.key(0) if rng is None else rng
    found = attributes.evaluate(reference_representations.pixels(), splits, rng, taps=("pixels",))
    return {name.removeprefix("pixels/"): value for name, value in found.items()}


def test_the_machines_are_those_of_linear_svc():
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 10))
    rows -= rows.mean(axis=0)
    truth = rows[:, :3] + 0.5 * random.normal(size=(200, 3)) > [0, 0.5, 1.5]
    machines = attributes.fitted(EXACT, jnp.asarray(rows, jnp.float32), truth, seed=0)
    for index in range(3):
        expected = reference(rows, truth[:, index], cost=10 / 200)
        size = np.abs(expected.coef_).max()
        np.testing.assert_allclose(machines.weights[index], expected.coef_[0], atol=0.01 * size)
        np.testing.assert_allclose(machines.intercepts[index], expected.intercept_[0], atol=0.01)


def test_each_attribute_has_its_own_strength():
    # The first shows in the difference of two noisy features only, which a strong penalty hides;
    # the second a little in each of sixty, which a weak one fits to the noise.
    random = np.random.default_rng(0)
    truth = random.random((300, 2)) < 0.5
    common = random.normal(size=(300, 1))
    first = common + 0.1 * random.normal(size=(300, 2)) + [[0.4, 0.0]] * truth[:, :1]
    second = random.normal(size=(300, 60)) + 0.3 * truth[:, 1:]
    rows = np.concatenate([first, second], axis=1)
    rows = jnp.asarray(rows - rows.mean(axis=0), jnp.float32)
    expected = [
        attributes.fitted(SETTINGS._replace(strengths=(strength,)), rows, truth, seed=0)
        for strength in (100.0, 0.1)
    ]
    chosen = attributes.fitted(SETTINGS._replace(strengths=(0.1, 100.0)), rows, truth, seed=0)
    for index in range(2):
        wanted = expected[index].weights[index]
        size = np.abs(wanted).max()
        np.testing.assert_allclose(chosen.weights[index], wanted, atol=0.02 * size)
        other = expected[1 - index].weights[index]
        assert np.abs(chosen.weights[index] - other).max() > 0.5 * min(size, np.abs(other).max())


def test_balanced_accuracy_by_hand():
    truth = np.array([[1, 1], [1, 0], [1, 0], [0, 0], [0, 0]]) > 0
    said = np.array([[1, 0], [1, 0], [0, 0], [0, 0], [1, 1]]) > 0
    # First: 2 of 3 and 1 of 2 right. Second: 0 of 1 and 3 of 4.
    expected = [(2 / 3 + 1 / 2) / 2, (0 + 3 / 4) / 2]
    np.testing.assert_allclose(attributes.balanced_accuracies(said, truth), expected)


@pytest.mark.parametrize("width", [12, 260])  # fewer and more features than training images
def test_results_are_means_over_the_attributes_that_vary(faces, monkeypatch, width):
    use(monkeypatch, EXACT)
    noise = np.random.default_rng(1).integers(0, 256, (320, 1, width - 12, 1)).astype(np.uint8)
    for name, part in (("train", noise[:200]), ("test", noise[200:])):
        images = np.concatenate([faces[name].images, part], axis=2)
        faces[name] = faces[name]._replace(images=images)
    found = judge(faces)
    train, test = faces["train"], faces["test"]
    scaler = preprocessing.StandardScaler().fit(train.images.reshape(200, -1).astype(float))
    rows, others = (scaler.transform(part.images.reshape(-1, width)) for part in (train, test))
    accuracies, balanced, floors = [], [], []
    for index in range(3):  # the other two are constant
        truth = train.attributes[:, index], test.attributes[:, index]
        said = reference(rows, truth[0], cost=10 / 200).predict(others)
        accuracies.append(np.mean(said == truth[1]))
        balanced.append(metrics.balanced_accuracy_score(truth[1], said))
        floors.append(np.mean(truth[1] == np.bincount(truth[0]).argmax()))
    # One of 3 x 120 answers may differ by rounding; it may be one of the rarer value.
    assert found["accuracy"] == pytest.approx(np.mean(accuracies), abs=1.1 / 360)
    assert found["balanced_accuracy"] == pytest.approx(np.mean(balanced), abs=0.01)
    assert found["majority"] == pytest.approx(np.mean(floors))
    assert found["attributes_judged"] == 3


def test_an_unbalanced_attribute_that_does_not_show_is_at_the_floor():
    random = np.random.default_rng(0)
    pixels, values = random.integers(0, 256, (2000, 5)), random.random((2000, 1)) < 0.05
    found = judge(splits_of(pixels, values, train=1000))
    assert found["majority"] == pytest.approx(1 - values[1000:].mean()) and found["majority"] > 0.93
    assert found["accuracy"] == pytest.approx(found["majority"], abs=0.01)
    assert found["balanced_accuracy"] == pytest.approx(0.5, abs=0.02)


def test_the_floor_is_the_commoner_value_of_training_not_of_testing():
    values = np.arange(100)[:, None] % 10 < np.where(np.arange(100)[:, None] < 50, 7, 2)
    pixels = np.random.default_rng(0).integers(0, 256, (100, 3))
    assert judge(splits_of(pixels, values, train=50))["majority"] == pytest.approx(0.2)


def test_many_training_images_are_a_random_part(faces, monkeypatch):
    use(monkeypatch, SETTINGS._replace(examples=40))
    chosen = attributes._truth(faces, 40, seed=0).chosen
    assert len(set(chosen)) == 40 and chosen.max() > 150
    assert not np.array_equal(chosen, attributes._truth(faces, 40, seed=1).chosen)
    train = faces["train"]
    part = train._replace(images=train.images[chosen], attributes=train.attributes[chosen])
    assert judge(faces) == judge({**faces, "train": part})


def test_data_without_attributes_are_refused_before_training(digits, faces):
    message = "the train images have no binary attributes.* such as celeb_a"
    with pytest.raises(contracts.UserError, match=message):
        suite.check({"faces": {"name": "attributes"}}, digits)
    half = {**faces, "test": faces["test"]._replace(attributes=None)}
    with pytest.raises(contracts.UserError, match="the test images have no binary attributes"):
        judge(half)


def test_attributes_that_do_not_vary_are_refused(faces):
    constant = {
        name: split._replace(attributes=split.attributes[:, 3:]) for name, split in faces.items()
    }
    message = "none of the 2 attributes has both values among the 200 training .* 120 test images"
    with pytest.raises(contracts.UserError, match=message):
        attributes.check_splits(constant)
    with pytest.raises(contracts.UserError, match=message):
        judge(constant)


def test_unknown_protocol_and_tap(faces, rng):
    with pytest.raises(contracts.UserError, match="unknown attribute protocol 'svm-v1'"):
        attributes.evaluate(reference_representations.pixels(), faces, rng, protocol="svm-v1")
    with pytest.raises(contracts.UserError, match="unknown tap 'conv'"):
        attributes.evaluate(reference_representations.pixels(), faces, rng)


def test_in_the_suite_without_class_labels(faces, digits):
    data = dataset.Dataset(digits.facts._replace(classes=None), faces)
    evals = {"attributes": {"name": "attributes"}, "knn": {"name": "knn"}}
    suite.check(evals, data)
    lines = []
    rows, _ = suite.run(
        evals, {"pixels": reference_representations.pixels()}, data, jax.random.key(0), lines.append
    )
    assert {(row["tap"], row["metric"]) for row in rows} == {
        ("pixels", "accuracy"),
        ("pixels", "balanced_accuracy"),
        ("pixels", "majority"),
        ("", "attributes_judged"),
    }
    assert {row["protocol"] for row in rows} == {"attributes-v1"}
    assert lines[0].endswith("left out: knn")
