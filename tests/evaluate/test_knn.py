import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import neighbors

from dim_jax import contracts
from dim_jax.evaluate import reference_representations
from dim_jax.evaluate.probes import knn

SETTINGS = knn.PROTOCOLS["knn-v1"]


def rows_of(split):
    return split.images.reshape(len(split.images), -1).astype(np.float32) / 255


@pytest.mark.parametrize("settings", [SETTINGS, SETTINGS._replace(neighbours=1)])
def test_votes_as_scikit_learn(digits, settings):
    train, test = digits.splits["train"], digits.splits["test"]
    reference = neighbors.KNeighborsClassifier(
        settings.neighbours,
        metric="cosine",
        algorithm="brute",
        weights=lambda distances: np.exp(-distances / settings.temperature),
    ).fit(rows_of(train), train.labels)
    found = knn.predict(
        settings, jnp.asarray(rows_of(train)), train.labels, jnp.asarray(rows_of(test)), 10
    )
    assert np.mean(found == reference.predict(rows_of(test))) > 0.998  # float32 breaks ties


def test_weights_fall_with_the_angle():
    # Two far neighbours of class 0 against one near neighbour of class 1.
    rows = jnp.asarray([[0.0, 1.0], [0.1, 1.0], [1.0, 0.05]])
    labels, query = np.array([0, 0, 1]), jnp.asarray([[3.0, 0.0]])
    settings = SETTINGS._replace(neighbours=3)
    assert knn.predict(settings, rows, labels, query, 2)[0] == 1
    flat = settings._replace(temperature=1e3)
    assert knn.predict(flat, rows, labels, query, 2)[0] == 0


def test_evaluate_with_all_and_with_few_labels(digits, rng):
    frozen = reference_representations.pixels()
    full = knn.evaluate(frozen, digits.splits, rng, taps=("pixels",))
    few = knn.evaluate(frozen, digits.splits, rng, taps=("pixels",), labels_per_class=1, subsets=3)
    assert full["pixels/accuracy"] > 0.95
    assert 0.3 < few["pixels/accuracy"] < full["pixels/accuracy"]
    assert few["pixels/accuracy_std"] > 0 and few["pixels/accuracy_fits"] == 3


def test_unknown_protocol(digits, rng):
    with pytest.raises(contracts.UserError, match="did you mean 'knn-v1'"):
        knn.evaluate(
            reference_representations.pixels(),
            digits.splits,
            rng,
            protocol="knn-v2",
            taps=("pixels",),
        )


@pytest.mark.parametrize("columns", [7, 700, 1000])
def test_the_largest_are_those_of_top_k_also_among_equal_ones(columns):
    scores = np.random.default_rng(0).integers(-90, 5, (40, columns)).astype(np.float32)
    expected = jax.lax.top_k(jnp.asarray(scores), 6)
    for found, exact in zip(
        jax.jit(knn.largest, static_argnums=1)(scores, 6), expected, strict=True
    ):
        np.testing.assert_array_equal(found, exact)


def test_candidates_of_wide_features_give_the_exact_neighbours():
    random = np.random.default_rng(0)
    mixed = random.normal(size=(12, 600))  # neighbours are close, as those of images are
    rows, queries = (
        jnp.asarray(random.normal(size=(n, 12)) @ mixed + 1, jnp.float32) for n in (900, 60)
    )
    rows, queries = knn._unit(rows), knn._unit(queries)
    exact, nearest = jax.lax.top_k(queries @ rows.T, 20)
    found = jax.jit(knn._by_candidates, static_argnums=3)(
        queries, rows, rows.astype(jnp.bfloat16), 20
    )
    np.testing.assert_array_equal(found[1], nearest)
    np.testing.assert_allclose(found[0], exact, atol=1e-6)
