"""The critic of maps against float64 loops over its parameters; pairs are entries of all pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.nets import tail_critics

N, M, SIDE, EPSILON = 3, 4, 8, 1e-5


@pytest.fixture(scope="module")
def made():
    """Parameters, inputs, and everything that the critic says of them in one program."""
    critic = tail_critics.tail_and_dot(
        channels=(4, 5), kernels=(4, 3), strides=(2, 1), pools=(0, 3), hidden=(6,), width=7
    )
    anchors = jax.random.normal(jax.random.key(1), (N, 2))
    maps = jax.random.normal(jax.random.key(2), (M, SIDE, SIDE, 3))
    repeated = jnp.broadcast_to(maps, (N, *maps.shape))
    places = jnp.stack([maps, maps[::-1]], axis=1)

    @jax.jit
    def everything(rng):
        params, stats = critic.init(rng, anchors, maps)
        trained, after = critic.all_pairs(params, stats, anchors, maps, train=True)
        evaluated, _ = critic.all_pairs(params, after, anchors, maps, train=False)
        pairs, _ = critic.pairs(params, after, anchors, repeated, train=False)
        both = jnp.stack([anchors, -anchors], axis=1)
        by_place, _ = critic.same_location(params, after, both, places, train=False)
        opposite, _ = critic.all_pairs(params, after, -anchors, maps, train=False)
        sides, _ = critic.sides(params, after, anchors, maps, train=False)
        scored, _ = critic.scores(params, after, *sides, train=False)
        return params, dict(
            trained=trained,
            evaluated=evaluated,
            pairs=pairs,
            by_place=by_place,
            opposite=opposite,
            scored=scored,
        )

    params, scores = jax.device_get(everything(jax.random.key(0)))
    return critic, params, (np.asarray(anchors), np.asarray(maps)), scores


def convolved(x, kernel, stride, padding):
    side, x = len(kernel), np.pad(x, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)])
    count = (x.shape[1] - side) // stride + 1
    result = np.empty((len(x), count, count, kernel.shape[-1]))
    for row, column in np.ndindex(count, count):
        window = x[:, row * stride :, column * stride :][:, :side, :side]
        result[:, row, column] = np.einsum("nhwc,hwcd->nd", window, kernel)
    return result


def normed(x):
    """Batch norm with the statistics of the batch and its initial scale and bias, then ReLU."""
    axes = tuple(range(x.ndim - 1))
    return np.maximum((x - x.mean(axes)) / np.sqrt(x.var(axes) + EPSILON), 0)


def test_scores_are_those_of_float64_loops(made):
    critic, params, (anchors, maps), scores = made
    params = jax.tree.map(np.float64, params)
    tail = params["tail"]
    x = normed(convolved(np.float64(maps), tail["conv0"]["kernel"], 2, 1))
    x = normed(convolved(x, tail["conv1"]["kernel"], 1, 1))
    assert x.shape == (M, 4, 4, 5)
    x = x[:, :3, :3].max((1, 2))  # the one place of a window of 3 with stride 2
    x = normed(x @ tail["fc0"]["kernel"])
    columns = x @ tail["y"]["kernel"] + tail["y"]["bias"]
    rows = np.float64(anchors) @ params["anchor"]["kernel"] + params["anchor"]["bias"]
    assert scores["trained"].shape == (N, M)
    np.testing.assert_allclose(scores["trained"], rows @ columns.T, rtol=1e-4, atol=1e-4)
    assert critic.axes == 3 and critic.numbers == 1


def test_pairs_places_and_sides_are_entries_of_all_pairs(made):
    *_, scores = made
    same = dict(rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores["pairs"], scores["evaluated"], **same)
    np.testing.assert_allclose(scores["scored"], scores["evaluated"], **same)
    np.testing.assert_allclose(scores["by_place"][..., 0], scores["evaluated"], **same)
    np.testing.assert_allclose(scores["by_place"][..., 1], scores["opposite"][:, ::-1], **same)


def test_sizes_that_do_not_fit_each_other():
    sizes = dict(channels=(4, 5), kernels=(4,), strides=(2, 2), hidden=(6,), width=7)
    with pytest.raises(contracts.UserError, match=r"kernels \(4,\), strides .*one of each"):
        tail_critics.tail_and_dot(**sizes)
    with pytest.raises(contracts.UserError, match=r"channels are \(\)"):
        tail_critics.tail_and_dot(**sizes | dict(channels=(), kernels=(), strides=()))
