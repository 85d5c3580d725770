"""Numbers of embedded channels where they are known, the picture, and a method's own layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dim_jax import build, contracts, experiment
from dim_jax.evaluate import suite
from dim_jax.evaluate.measures import manifold_layers
from dim_jax.training import preprocessing

PREPARED = preprocessing.Preprocessing((0.0,), (1.0,))
CHANNELS = 8


def frozen_of(*layers) -> contracts.Frozen:
    """A method whose layers are functions of normalised images."""
    method = contracts.Method(
        None, None, None, embedded=lambda p, s, images: tuple(layer(images) for layer in layers)
    )
    return experiment.freeze(method, {}, {}, PREPARED)


def circle(count: int = CHANNELS) -> tuple[np.ndarray, np.ndarray]:
    """Positions on a quarter of a circle, and filters that turn with them: one order of both."""
    angles = np.pi / 2 * np.random.default_rng(4).uniform(size=count)  # even ones would tie
    positions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return positions, positions.T.reshape(1, 2, 1, count)


def layer(responses, *, informed: bool, positions=None, filters=None):
    """A layer with the same responses f[k] for all images; `informed`: a law for each image."""
    positions, filters = (
        default if given is None else given
        for default, given in zip(circle(), (positions, filters), strict=True)
    )

    def embed(images):
        n = len(images)
        codes = 1e4 * jnp.arange(n, dtype=jnp.float32)[:, None, None, None] * informed
        mean = jnp.broadcast_to(codes, (n, 2, 2, 2))
        ours = jnp.broadcast_to(jnp.asarray(responses, jnp.float32), (n, 2, 2, len(responses)))
        variance = jnp.ones_like(mean)
        return contracts.Embedded(
            ours, mean, variance, jnp.asarray(positions), jnp.asarray(filters)
        )

    return embed


def test_known_numbers_of_two_layers(digits, rng):
    even, two = np.full(CHANNELS, 1 / CHANNELS), np.array([0.5, 0.5, *[0.0] * 6])
    frozen = frozen_of(layer(even, informed=True), layer(two, informed=False))
    found = manifold_layers.evaluate(frozen, digits.splits, rng, group=16, images=64)
    assert found["layer1/entropy"] == pytest.approx(np.log(8), abs=1e-5)
    assert found["layer1/entropy_fraction"] == pytest.approx(1, abs=1e-5)
    assert found["layer1/information"] == pytest.approx(np.log(16), abs=1e-4)
    assert found["layer1/information_ceiling"] == pytest.approx(np.log(16))
    assert found["layer1/information_shuffled"] < -1e3
    assert found["layer1/used"] == 1 and found["layer1/positions"] == 8
    assert found["layer1/order"] == pytest.approx(1, abs=1e-5)
    assert found["layer2/entropy"] == pytest.approx(np.log(2), abs=1e-5)
    assert found["layer2/entropy_fraction"] == pytest.approx(1 / 3, abs=1e-5)
    assert found["layer2/information"] == pytest.approx(0, abs=1e-5)
    assert found["layer2/information_shuffled"] == pytest.approx(0, abs=1e-5)
    assert found["layer2/used"] == 0.25 and found["layer2/positions"] == 2
    assert found["layer2/order"] == 0  # of one pair there is none
    assert found["embedding"].dtype == np.uint8


def test_entropy_is_of_the_mean_over_all_groups(digits, rng):
    """Each group has a channel of its own: sure responses, an even mean."""

    def embed(images):
        codes = (jnp.round(images[:, :1, :1, 0] * 1e4) % CHANNELS).astype(int)
        sure = jax.nn.one_hot(codes, CHANNELS)
        nothing = jnp.zeros((*sure.shape[:-1], 2))
        positions, filters = circle()
        return contracts.Embedded(
            sure, nothing, nothing + 1, jnp.asarray(positions), jnp.asarray(filters)
        )

    images = np.zeros((4 * CHANNELS, 8, 8, 1), np.uint8)
    frozen = frozen_of(embed)
    frozen = frozen._replace(normalise=lambda x: x.astype(jnp.float32) / 1e4)
    images[:] = np.repeat(np.arange(CHANNELS), 4)[:, None, None, None]
    splits = {"test": digits.splits["test"]._replace(images=images)}
    found = manifold_layers.evaluate(frozen, splits, rng, group=4)
    assert found["layer1/entropy_fraction"] == pytest.approx(1, abs=1e-5)
    first = manifold_layers.evaluate(frozen, splits, rng, group=4, images=7)
    assert first["layer1/entropy"] == pytest.approx(0, abs=1e-5)
    assert first["layer1/used"] == 1 / CHANNELS


def test_a_channel_is_used_above_a_tenth_of_an_even_share():
    responses = np.array([0.026, 0.024, 0.45, 0.5])
    np.testing.assert_array_equal(manifold_layers.are_used(responses), [True, False, True, True])


def test_distinct_positions():
    assert (
        manifold_layers.distinct(np.array([[0.0, 0.0], [0.0, 0.009], [0.0, 1.0], [1.0, 0.0]])) == 3
    )
    assert (
        manifold_layers.distinct(np.array([[0.0, 0.0], [0.0, 0.011], [0.0, 1.0], [1.0, 0.0]])) == 4
    )
    assert manifold_layers.distinct(np.zeros((5, 2))) == 1
    scattered = np.random.default_rng(0).normal(size=(40, 3))
    assert manifold_layers.distinct(scattered) == manifold_layers.distinct(1e-4 * scattered) > 30


def test_order_by_loops_and_without_any():
    generator = np.random.default_rng(1)
    positions, filters = generator.normal(size=(9, 2)), generator.normal(size=(3, 3, 2, 9))
    flat = filters.reshape(-1, 9).T
    apart, unlike = [], []
    for i in range(9):
        for j in range(i):
            apart.append(np.sqrt(((positions[i] - positions[j]) ** 2).sum()))
            norms = np.linalg.norm(flat[i]) * np.linalg.norm(flat[j])
            unlike.append(1 - flat[i] @ flat[j] / norms)
    ranks = np.corrcoef(stats.rankdata(apart), stats.rankdata(unlike))[0, 1]
    assert manifold_layers.order(positions, filters) == pytest.approx(ranks, abs=1e-6)
    turned, _ = circle(40)
    _, filters = circle(40)
    assert manifold_layers.order(turned, filters) == pytest.approx(1, abs=1e-6)
    shuffled = filters[..., generator.permutation(40)]
    assert abs(manifold_layers.order(turned, shuffled)) < 0.3
    assert manifold_layers.order(np.zeros((4, 2)), filters[..., :4]) == 0
    assert manifold_layers.order(turned, np.ones_like(filters)) == 0


def test_picture_has_used_filters_at_their_positions():
    positions = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.5], [9.0, 9.0]])
    kernel = np.ones((9, 9, 1, 4))
    kernel[..., 1] *= -1
    kernel[..., 2] = 0
    image = manifold_layers.picture(np.array([0.3, 0.3, 0.4, 0.0]), positions, kernel)
    assert image.dtype == np.uint8 and image.shape == (830, 830, 3)
    lower, upper = 200 + 400 + 15, 200 + 15  # half as high as wide, in the middle
    assert image[lower, 15, 0] == 255  # the first, bright, at the lower left
    assert image[lower, -15, 0] == 0  # the second, dark, at the right
    assert image[upper, 15, 0] == 128  # the third, empty, above; the fourth is not used
    assert (image == 128).all(axis=-1).sum() == 27**2
    assert image[15, -15, 0] == 255


def test_filters_far_out_stand_at_the_edge():
    positions = np.random.default_rng(3).uniform(size=(300, 2))
    positions[0] = 1000.0
    corners = manifold_layers._corners(positions)
    np.testing.assert_array_equal(corners[0], [800, 0])
    assert np.std(corners[1:]) > 100 and corners.min() == 0 and corners.max() == 800


def test_more_used_filters_lie_above():
    kernel = np.stack([np.ones((9, 9, 1)), -np.ones((9, 9, 1))], axis=-1)
    for responses, value in (([0.6, 0.4], 255), ([0.4, 0.6], 0)):
        image = manifold_layers.picture(np.array(responses), np.zeros((2, 2)), kernel)
        assert image[415, 415, 0] == value


def test_more_dimensions_become_two():
    generator = np.random.default_rng(2)
    basis, _ = np.linalg.qr(generator.normal(size=(5, 5)))
    points = generator.normal(size=(20, 5)) * [3.0, 2.0, 1e-6, 1e-6, 1e-6]
    flat = manifold_layers.plane(points @ basis)
    expected = np.linalg.norm(points[:, None] - points, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(flat[:, None] - flat, axis=-1), expected, atol=1e-3)
    assert manifold_layers.plane(points[:, :1]).shape == (20, 2)
    assert manifold_layers.plane(points[:1]).shape == (1, 2)
    np.testing.assert_array_equal(manifold_layers.plane(points[:, :2]), points[:, :2])


@pytest.mark.parametrize("options", [dict(group=1), dict(group=64, images=63), dict(group=10_000)])
def test_groups_that_cannot_be(digits, rng, options):
    frozen = frozen_of(layer(np.full(CHANNELS, 1 / CHANNELS), informed=True))
    with pytest.raises(contracts.UserError, match=f"group is {options['group']}"):
        manifold_layers.evaluate(frozen, digits.splits, rng, **options)


def test_methods_without_such_layers_are_refused(config):
    method = build.make("method", config("quickstart")["method"])
    with pytest.raises(contracts.UserError, match="remove the evaluation 'manifold_layers'"):
        suite.check({"embedding": {"name": "embedding"}}, method=method)


def test_a_methods_own_layers_through_the_suite(digits, rng, config):
    block = config("manifold_mnist", "terms=i_h,smoke")["method"]
    block["encoder"]["kernels"] = (5,)
    method = build.make("method", block)
    images = jnp.asarray(digits.splits["test"].images[:4]) / 255
    batch = dict(images=images[None], labels=jnp.zeros(4, int), index=jnp.arange(4))
    params, state = method.init(rng, batch)
    frozen = experiment.freeze(method, params, state, PREPARED)
    evals = {"embedding": {"name": "embedding", "group": 32, "images": 64}}
    suite.check(evals, digits, method)
    rows, figures = suite.run(evals, {"trained": frozen}, digits, rng, log=lambda line: None)
    found = {row["metric"]: row["value"] for row in rows if row["tap"] == "layer1"}
    assert len(found) == len(rows) == 8
    assert all(np.isfinite(value) for value in found.values())
    assert found["information_shuffled"] < 0.05 < found["information_ceiling"]
    assert found["information"] <= found["information_ceiling"] == pytest.approx(np.log(32))
    assert [figure.file for figure in figures] == ["embedding.png"]
    layers = method.embedded(params, state, images)
    assert layers[0].responses.shape == (4, 2, 2, 8)
