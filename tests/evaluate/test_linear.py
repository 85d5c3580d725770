"""The linear probe against scikit-learn's logistic regression and a NumPy loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import threadpoolctl
from sklearn import linear_model

from dim_jax.evaluate import reference_representations
from dim_jax.evaluate.probes import labelled, linear, mlp, networks

SETTINGS = linear.PROTOCOLS["linear-v1"]


def task(digits, labels=None):
    train, test = digits.splits["train"], digits.splits["test"]
    rows = [jnp.asarray(s.images.reshape(len(s.images), -1) / 255) for s in (train, test)]
    shift, scale = labelled.statistics(rows[0])
    train_rows, test_rows = ((each - shift) * scale for each in rows)
    labels = train.labels if labels is None else labels
    examples = labelled.Examples(train_rows, labels), labelled.Examples(test_rows, test.labels)
    return labelled.Task(*examples, 10, None, 0)


def test_as_good_as_logistic_regression(digits):
    ours = task(digits)
    with threadpoolctl.threadpool_limits(1):
        model = linear_model.LogisticRegression(max_iter=1000)
        model.fit(np.asarray(ours.train.features), ours.train.labels)
        best = model.score(np.asarray(ours.test.features), ours.test.labels)
    assert linear.accuracies(SETTINGS, ours)[0] == pytest.approx(best, abs=0.025)  # no penalty here


def test_nothing_but_a_linear_map(digits, rng):
    """Classes that no line divides: exclusive or."""
    rows = np.asarray(jax.random.normal(rng, (2000, 2)))
    labels = (rows[:, 0] * rows[:, 1] > 0).astype(np.int32)
    examples = labelled.Examples(jnp.asarray(rows), labels)
    found = linear.accuracies(SETTINGS, labelled.Task(examples, examples, 2, None, 0))
    assert abs(found[0] - 0.5) < 0.06


def test_each_pass_sees_the_next_copy(digits, monkeypatch):
    """Equal copies change nothing; the positions of a pass are those of its copy."""
    short = SETTINGS._replace(epochs=5, min_steps=0)
    plain, seen = task(digits), []
    one_pass = networks.fit.one_pass
    size = len(plain.train.labels)

    def watched(fits, examples, order, keys, **options):
        seen.append({*(np.unique(order) // size)})
        return one_pass(fits, examples, order, keys, **options)

    monkeypatch.setattr(networks.fit, "one_pass", watched)
    copies = labelled.Examples(
        jnp.tile(plain.train.features, (3, 1)), np.tile(plain.train.labels, 3)
    )
    found = linear.accuracies(short, plain._replace(train=copies, copies=3))
    assert seen == [{0}, {1}, {2}, {0}, {1}]
    assert found[0] == linear.accuracies(short, plain)[0]


def test_permuted_labels_stay_at_chance(digits):
    shuffled = np.random.default_rng(0).permutation(digits.splits["train"].labels)
    assert abs(linear.accuracies(SETTINGS, task(digits, shuffled))[0] - 0.1) < 0.06


def test_loss_agrees_with_numpy():
    random = np.random.default_rng(0)
    params = {"weight": random.normal(size=(3, 5)), "bias": random.normal(size=3)}
    rows, labels = random.normal(size=(7, 5)), np.arange(7) % 3
    logits = rows @ params["weight"].T + params["bias"]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(7), labels])
    loss, state = linear._loss(None, 0.0)(params, {}, jnp.asarray(rows, jnp.float32), labels, None)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert state == {}
    clipped, _ = linear._loss(2.0, 0.1)(params, {}, jnp.asarray(rows, jnp.float32), labels, None)
    soft = 2 * np.tanh(logits / 2)
    expected = np.mean(np.log(np.exp(soft).sum(1)) - soft[np.arange(7), labels])
    assert float(clipped) == pytest.approx(expected + 0.1 * np.mean(logits**2), rel=1e-5)


@pytest.mark.slow
def test_the_protocols_of_amdim(digits):
    """Few passes of the published settings on digits, linear and not."""
    for module, kind in ((linear, "linear"), (mlp, "mlp")):
        settings = module.PROTOCOLS.find(f"amdim-{kind}-v1")
        assert (settings.batch, settings.epochs, settings.milestones) == (480, 120, (80, 110))
        short = settings._replace(learning_rate=5e-3, epochs=40, milestones=(30,))
        assert module.accuracies(short, task(digits))[0] > 0.9


def test_labels_of_the_evaluation(digits, rng):
    """The evaluation's own options, on raw pixels."""
    frozen = reference_representations.pixels()
    few = linear.evaluate(frozen, digits.splits, rng, taps=("pixels",), labels_per_class=5)
    assert few["pixels/accuracy_fits"] == 3
    assert 0.5 < few["pixels/accuracy"] < 0.95
    assert networks.affine_start(4, 2, 3, np.random.default_rng(0))["weight"].shape == (3, 2, 4)
