import jax
import jax.numpy as jnp
import numpy as np
import pytest
import threadpoolctl
from sklearn import linear_model, neural_network

from dim_jax import contracts
from dim_jax.evaluate import reference_representations
from dim_jax.evaluate.probes import labelled, mlp, networks

FAST = mlp.PROTOCOLS["mlp-v1"]


def task(digits, subsets=None, train_labels=None, test_labels=None):
    train, test = digits.splits["train"], digits.splits["test"]
    rows = [
        jnp.asarray(s.images.reshape(len(s.images), -1) / 255, jnp.float32) for s in (train, test)
    ]
    shift, scale = labelled.statistics(rows[0])
    rows = [(each - shift) * scale for each in rows]
    return labelled.Task(
        labelled.Examples(rows[0], train.labels if train_labels is None else train_labels),
        labelled.Examples(rows[1], test.labels if test_labels is None else test_labels),
        10,
        subsets,
        0,
    )


@pytest.mark.slow
def test_as_good_as_scikit_learn_on_pixels(digits):
    ours = task(digits)
    references = [
        neural_network.MLPClassifier(200, max_iter=300, random_state=0),
        linear_model.LogisticRegression(max_iter=1000),
    ]
    with threadpoolctl.threadpool_limits(1):
        best = max(
            model.fit(np.asarray(ours.train.features), ours.train.labels).score(
                np.asarray(ours.test.features), ours.test.labels
            )
            for model in references
        )
    found = mlp.accuracies(FAST, ours)
    assert found.shape == (3,)
    assert found.mean() > best - 0.015
    assert len(set(found.tolist())) > 1  # independent initialisations


@pytest.mark.slow
def test_permuted_labels_stay_at_chance(digits):
    random = np.random.default_rng(0)
    shuffled = task(digits, train_labels=random.permutation(digits.splits["train"].labels))
    assert abs(mlp.accuracies(FAST, shuffled).mean() - 0.1) < 0.04


def test_test_labels_change_no_prediction(digits):
    settings = FAST._replace(epochs=2, min_steps=0)
    right = mlp.accuracies(settings, task(digits))
    wrong_labels = (digits.splits["test"].labels + 1) % 10
    wrong = mlp.accuracies(settings, task(digits, test_labels=wrong_labels))
    assert (right > 0.5).all() and (wrong < 0.2).all()


def test_few_label_fits_see_only_their_subset(digits):
    labels = digits.splits["train"].labels
    subsets = labelled.label_subsets(labels, 10, 2, seed=0)
    poisoned = np.random.default_rng(0).permutation(labels)
    poisoned[subsets.ravel()] = labels[subsets.ravel()]
    clean = mlp.accuracies(FAST, task(digits, subsets))
    np.testing.assert_array_equal(clean, mlp.accuracies(FAST, task(digits, subsets, poisoned)))
    assert clean.shape == (2,) and (clean > 0.7).all()
    assert clean[0] != clean[1]


def one(*sizes):
    """Parameters and batch statistics of a single network."""
    return jax.tree.map(lambda leaf: leaf[0], mlp.init(sizes, 1, np.random.default_rng(0)))


def test_network_agrees_with_numpy():
    params, state = one(6, 5, 3)
    params["scale"], params["shift"] = params["scale"] * 1.5, params["shift"] + 0.1
    rows = np.random.default_rng(0).normal(size=(9, 6))
    labels = np.arange(9) % 3
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    hidden = rows @ p["hidden"]["weight"].T + p["hidden"]["bias"]
    mean, variance = hidden.mean(0), hidden.var(0)
    normed = (hidden - mean) / np.sqrt(variance + 1e-5) * p["scale"] + p["shift"]
    logits = np.maximum(normed, 0) @ p["classes"]["weight"].T + p["classes"]["bias"]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(9), labels])
    loss, moved = mlp._loss(0.0)(
        params, state, jnp.asarray(rows, jnp.float32), labels, jax.random.key(0)
    )
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(moved["mean"], 0.1 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moved["variance"], 0.9 + 0.1 * variance, rtol=1e-4)


def test_initial_weights_are_uniform_within_one_over_root_fan_in():
    params, _ = one(400, 200, 10)
    for name, fan_in in (("hidden", 400), ("classes", 200)):
        weight = np.asarray(params[name]["weight"])
        assert abs(weight).max() <= fan_in**-0.5
        assert weight.std() == pytest.approx(fan_in**-0.5 / 3**0.5, rel=0.05)


def test_dropout_removes_a_tenth_and_keeps_the_mean():
    params, state = one(4, 2000, 3)
    params["hidden"]["weight"] *= 0
    params["hidden"]["bias"] = jnp.ones(2000)
    _, moved = mlp._loss(0.1)(
        params, state, jnp.zeros((500, 4)), jnp.zeros(500, jnp.int32), jax.random.key(1)
    )
    assert float(moved["mean"].mean()) == pytest.approx(0.1, rel=5e-3)  # dropped, scaled by 1/0.9
    variance = (float(moved["variance"].mean()) - 0.9) / 0.1
    assert variance == pytest.approx(0.1 / 0.9, rel=0.05)


def test_dropout_around_the_hidden_layer():
    """A fifth of the inputs, all 1, is dropped, and the mean of their sum stays."""
    params, state = one(3000, 2, 3)
    params["hidden"]["weight"] = jnp.ones((2, 3000)) / 3000
    rows, labels = jnp.ones((400, 3000)), jnp.zeros(400, jnp.int32)
    _, moved = mlp._loss(0.2, True)(params, state, rows, labels, jax.random.key(0))
    mean = (np.asarray(moved["mean"]) / 0.1 - np.asarray(params["hidden"]["bias"])).mean()
    assert mean == pytest.approx(1, abs=5e-3)
    variance = (np.asarray(moved["variance"]).mean() - 0.9) / 0.1
    assert variance == pytest.approx(0.25 / 3000, rel=0.2)  # 0.2 / 0.8 of each of 3000


def test_rates_fall_by_ten_at_the_milestones_or_along_a_cosine():
    def rates(settings, passes):
        transformation = networks.optimizer(settings, 1, passes)
        state, sizes = transformation.init(jnp.zeros(())), []
        for _ in range(passes):
            update, state = transformation.update(jnp.ones(()), state)
            sizes.append(-float(update))
        return np.array(sizes)

    paper = rates(mlp.PROTOCOLS["mlp-paper-v1"], 120)
    np.testing.assert_allclose(
        paper[[0, 49, 50, 99, 100]], [1e-4, 1e-4, 1e-5, 1e-5, 1e-6], rtol=1e-3
    )
    cosine = rates(FAST, 10) / FAST.learning_rate
    np.testing.assert_allclose(cosine, (1 + np.cos(np.pi * np.arange(10) / 10)) / 2, rtol=1e-3)


def test_paper_result_is_the_mean_over_the_last_epochs(digits, monkeypatch):
    settings = mlp.PROTOCOLS["mlp-paper-v1"]._replace(epochs=5, averaged_epochs=3)
    seen = iter([0.1, 0.2, 0.6])
    monkeypatch.setattr(networks, "_accuracy", lambda *_, **__: jnp.array([next(seen)]))
    assert mlp.accuracies(settings, task(digits))[0] == pytest.approx(0.3)


def test_evaluate_names_taps_and_refuses_an_unknown_protocol(digits, rng):
    frozen = reference_representations.pixels()
    found = mlp.evaluate(
        frozen, digits.splits, rng, taps=("pixels",), labels_per_class=5, subsets=2
    )
    assert set(found) == {f"pixels/accuracy{end}" for end in ("", "_std", "_fits")}
    assert found["pixels/accuracy_fits"] == 2 and 0.5 < found["pixels/accuracy"] < 1
    with pytest.raises(contracts.UserError, match="did you mean 'mlp-v1'"):
        mlp.evaluate(frozen, digits.splits, rng, protocol="mlp-1", taps=("pixels",))


def test_rounded_products_are_as_good(digits):
    """Of mlp-v2: the loss is that of rounded features and weights, and the result is as good."""
    params, state = one(64, 30, 10)
    ours = task(digits)
    rows, labels = ours.train.features[:100], ours.train.labels[:100]
    rounded = [
        jnp.asarray(leaf, "bfloat16").astype("float32")
        for leaf in (rows, params["hidden"]["weight"])
    ]
    exact = {**params, "hidden": {**params["hidden"], "weight": rounded[1]}}
    key = jax.random.key(0)
    expected = mlp._loss(0.0)(exact, state, rounded[0], labels, key)[0]
    assert mlp._loss(0.0, rounded=True)(params, state, rows, labels, key)[0] == pytest.approx(
        float(expected), rel=1e-6
    )
    short = FAST._replace(epochs=2, min_steps=0, fits=1, rounded=True)
    assert mlp.accuracies(short, ours)[0] > 0.5
    assert mlp.PROTOCOLS["mlp-v2"] == FAST._replace(rounded=True)
