"""Critics: pairs and places are entries of all pairs; Lipschitz and published forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax.bounds import divergences
from dim_jax.nets import critics, pure

RNG = jax.random.key(0)


def compiled(critic: pure.Critic) -> pure.Critic:
    """The same functions, jitted."""
    forms = {name: form for name, form in critic._asdict().items() if callable(form)}
    init = jax.jit(forms.pop("init"))
    jitted = {name: jax.jit(form, static_argnames="train") for name, form in forms.items()}
    return critic._replace(init=init, **jitted)


CRITICS = {
    name: compiled(critic)
    for name, critic in {
        "concat": critics.concat(widths=(16, 16)),
        "concat_spectral": critics.concat(widths=(16, 16), spectral_norm=True),
        "encode_and_dot": critics.encode_and_dot(width=16, norm_anchors=True),
        "encode_and_dot_one_norm": critics.encode_and_dot(width=16, norm_anchors=False),
        "bilinear": critics.bilinear(),
    }.items()
}


@pytest.mark.parametrize("name", CRITICS)
@pytest.mark.parametrize("locations", [(), pytest.param((3,), marks=pytest.mark.slow), (2, 3)])
def test_pairs_are_the_entries_of_all_pairs(name, locations):
    critic = CRITICS[name]
    anchors = jax.random.normal(RNG, (4, 6))
    candidates = jax.random.normal(jax.random.key(1), (5, *locations, 8))
    params, stats = critic.init(RNG, anchors, candidates)
    scores, _ = critic.all_pairs(params, stats, anchors, candidates, train=False)
    assert scores.shape == (4, 5, *locations)
    repeated = jnp.broadcast_to(candidates, (4, *candidates.shape))
    same, _ = critic.pairs(params, stats, anchors, repeated, train=False)
    np.testing.assert_allclose(scores, same, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CRITICS)
@pytest.mark.parametrize("train", [pytest.param(False, marks=pytest.mark.slow), True])
def test_same_location_are_the_entries_of_all_pairs(name, train):
    critic = CRITICS[name]
    anchors = jax.random.normal(RNG, (4, 2, 3, 6))
    candidates = jax.random.normal(jax.random.key(1), (5, 2, 3, 8))
    params, stats = critic.init(RNG, anchors[:, 0, 0], candidates)
    scores, after = critic.same_location(params, stats, anchors, candidates, train=train)
    assert scores.shape == (4, 5, 2, 3)
    of_all, after_all = critic.all_pairs(
        params, stats, anchors.reshape(-1, 6), candidates, train=train
    )
    expected = np.einsum("nijmij->nmij", of_all.reshape(4, 2, 3, 5, 2, 3))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), after, after_all)


def test_bilinear_critic_is_a_product_with_one_matrix():
    critic = CRITICS["bilinear"]
    anchors, candidates = jax.random.normal(RNG, (3, 6)), jax.random.normal(RNG, (2, 4, 8))
    params, _ = critic.init(RNG, anchors, candidates)
    scores, _ = critic.all_pairs(params, {}, anchors, candidates, train=True)
    (matrix,) = (np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(params))
    for i, j, l in np.ndindex(3, 2, 4):
        expected = np.float64(anchors[i]) @ matrix @ np.float64(candidates[j, l])
        assert scores[i, j, l] == pytest.approx(expected, abs=1e-5)


def test_concat_critic_is_an_mlp_on_the_concatenation():
    critic = CRITICS["concat"]
    anchors, candidates = np.random.default_rng(0).normal(size=(2, 3, 8)).astype(np.float32)
    params, stats = critic.init(RNG, anchors, candidates)
    scores, _ = critic.all_pairs(params, stats, anchors, candidates, train=False)
    first = np.concatenate([params["of_candidate"]["kernel"], params["of_anchor"]["kernel"]])
    for i in range(3):
        for j in range(3):
            x = np.concatenate([candidates[j], anchors[i]])
            x = np.maximum(x @ first + params["of_candidate"]["bias"], 0)
            x = np.maximum(x @ params["hidden_0"]["kernel"] + params["hidden_0"]["bias"], 0)
            x = x @ params["score"]["kernel"] + params["score"]["bias"]
            assert scores[i, j] == pytest.approx(x.item(), abs=1e-5)


def _spectral_critic(widths, scale, calls):
    """After training calls on constant parameters, `scale` times the initial ones."""
    critic = compiled(critics.concat(widths=widths, spectral_norm=True))
    # The sides differ in size, so that normalising them apart would be seen.
    anchors = jax.random.normal(RNG, (32, 3))
    candidates = jax.random.normal(jax.random.key(1), (32, 8))
    params, stats = critic.init(RNG, anchors, candidates)
    params = jax.tree.map(lambda x: scale * x, params)

    @jax.jit
    def trained(params, stats):
        # A scan also demands that the state keeps its structure, shapes and dtypes.
        def call(stats, _):
            return critic.all_pairs(params, stats, anchors[:1], candidates[:1], train=True)[::-1]

        return jax.lax.scan(call, stats, length=calls)[0]

    return critic, params, trained(params, stats), (anchors, candidates)


def _score_fn(critic, params, stats):
    return lambda pair: critic.pairs(params, stats, pair[0], pair[1][:, None], train=False)[0]


def _one_sided(score_fn, pair):
    """(penalty, mean slope)"""
    return jax.jit(lambda pair: divergences.lipschitz_penalty(score_fn, pair, sided="one"))(pair)


@pytest.mark.parametrize(("scale", "calls", "excess"), [(0.1, 30, 0.05), (30.0, 600, 1e-3)])
def test_spectral_norm_makes_the_concat_critic_1_lipschitz(scale, calls, excess):
    critic, params, stats, (anchors, candidates) = _spectral_critic((16, 12), scale, calls)
    score_fn = _score_fn(critic, params, stats)
    pair, other = (anchors, candidates), (anchors[::-1], candidates[::-1])
    _, slope = _one_sided(score_fn, pair)
    assert 0.05 < slope <= 1 + 1e-3
    change = (score_fn(pair) - score_fn(other))[:, 0]
    moved = sum(np.sum((x - y) ** 2, axis=1) for x, y in zip(pair, other, strict=True))
    assert (np.abs(change) <= (1 + 1e-3) * np.sqrt(moved)).all()
    # The slopes leave room (ReLUs flatten); the kernels themselves do not.
    for index, layer in enumerate(("first", "hidden_0", "score")):
        sigma = stats[f"norms_{index}"][f"{layer}/kernel/sigma"]
        assert 1 - 1e-5 < np.linalg.norm(params[layer]["kernel"], 2) / sigma < 1 + excess


def test_spectral_concat_critic_reaches_slope_1():
    """One hidden unit: where it is active the slope is |w| / |w|, over both sides together."""
    critic, params, stats, pair = _spectral_critic((1,), 3.0, 5)
    score_fn = _score_fn(critic, params, stats)
    penalty, slope = _one_sided(score_fn, pair)
    assert slope == pytest.approx(1, abs=1e-5) and penalty < 1e-9
    slopes = jax.jit(jax.grad(lambda pair: score_fn(pair).sum()))(pair)
    row = int(np.argmax(np.abs(slopes[0][:, 0])))
    kernel = np.ravel(params["first"]["kernel"])
    found = np.concatenate([slopes[1][row], slopes[0][row]])
    np.testing.assert_allclose(np.abs(found), np.abs(kernel) / np.linalg.norm(kernel), rtol=1e-5)


def test_spectral_concat_critic_learns_and_keeps_its_state_in_evaluation():
    critic, params, stats, pair = _spectral_critic((16, 12), 1.0, 30)

    def loss(params):
        scores, after = critic.all_pairs(params, stats, *pair, train=True)
        return jnp.mean(jnp.sin(scores)), after

    slopes, after = jax.jit(jax.grad(loss, has_aux=True))(params)
    for leaf in jax.tree.leaves(slopes):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0
    # A normalised kernel does not change along itself.
    kernel, slope = params["hidden_0"]["kernel"], slopes["hidden_0"]["kernel"]
    np.testing.assert_allclose(np.vdot(kernel, slope), 0, atol=1e-5)
    assert jax.tree.structure(after) == jax.tree.structure(stats)
    _, same = critic.all_pairs(params, stats, *pair, train=False)
    jax.tree.map(np.testing.assert_array_equal, same, stats)


def test_concat_without_spectral_norm_has_the_parameters_it_always_had():
    critic = critics.concat(widths=(16, 12), spectral_norm=False)
    params, stats = jax.eval_shape(critic.init, RNG, jnp.zeros((2, 3)), jnp.zeros((2, 8)))
    assert stats == {}
    assert jax.tree.map(jnp.shape, params) == {
        "of_anchor": {"kernel": (3, 16)},
        "of_candidate": {"kernel": (8, 16), "bias": (16,)},
        "hidden_0": {"kernel": (16, 12), "bias": (12,)},
        "score": {"kernel": (12, 1), "bias": (1,)},
    }


@pytest.mark.parametrize("name", ["encode_and_dot", "encode_and_dot_one_norm"])
def test_encode_and_dot_is_two_residual_branches_and_a_product(name):
    """In evaluation mode and in float64; every scale, bias and statistic moved from its start."""
    critic, random = CRITICS[name], np.random.default_rng(0)
    anchors, candidates = random.normal(size=(4, 6)), random.normal(size=(3, 8))
    trees = critic.init(RNG, jnp.float32(anchors), jnp.float32(candidates))
    leaves, structure = jax.tree.flatten(trees)
    leaves = [leaf + random.uniform(-0.4, 0.4, leaf.shape).astype(np.float32) for leaf in leaves]
    params, stats = structure.unflatten(leaves)

    def normed(x, mean, variance, layer):
        standard = (x - mean) / np.sqrt(variance + 1e-5)
        return standard * np.float64(layer["scale"]) + np.float64(layer["bias"])

    def branch(side, x):
        layers, kept = params[side], stats[side]["norm"]
        hidden = x @ np.float64(layers["linear0"]["kernel"])
        hidden = normed(hidden, np.float64(kept["mean"]), np.float64(kept["var"]), layers["norm"])
        rows = np.maximum(hidden, 0) @ np.float64(layers["linear1"]["kernel"])
        rows += np.float64(layers["linear1"]["bias"]) + x @ np.float64(layers["shortcut"]["kernel"])
        if "layer_norm" not in layers:
            return rows
        moments = rows.mean(-1, keepdims=True), rows.var(-1, keepdims=True)
        return normed(rows, *moments, layers["layer_norm"])

    assert ("layer_norm" in params["anchor"]) == (name == "encode_and_dot")
    expected = branch("anchor", anchors) @ branch("candidate", candidates).T
    scores, _ = critic.all_pairs(
        params, stats, jnp.float32(anchors), jnp.float32(candidates), train=False
    )
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


def test_encode_and_dot_shortcuts_start_as_copies():
    params, _ = CRITICS["encode_and_dot"].init(RNG, jnp.zeros((4, 6)), jnp.zeros((3, 8)))
    for side in ("anchor", "candidate"):
        kernel = params[side]["shortcut"]["kernel"]
        np.testing.assert_array_equal(np.diagonal(kernel), 1)
        assert np.abs(kernel - np.eye(*kernel.shape)).max() <= 0.01


@pytest.mark.parametrize(("width", "factor"), [(64, 1.0), (512, 1.32)])
def test_encode_and_dot_starts_near_the_square_root_of_its_width(width, factor):
    """Two layer-normed vectors: mean square 1 per coordinate, so scores spread like sqrt(U).

    Of 128 features 64 outputs copy none alone; of 512 the same 64 are the larger ones on both
    sides. Factors: measured over 8 seeds.
    """
    critic = compiled(critics.encode_and_dot(width=width, norm_anchors=True))
    anchors = jax.random.normal(RNG, (64, 64))
    candidates = jax.random.normal(jax.random.key(1), (64, 128))
    params, stats = critic.init(RNG, anchors, candidates)
    scores, _ = critic.all_pairs(params, stats, anchors, candidates, train=True)
    assert np.std(scores) / np.sqrt(width) == pytest.approx(factor, rel=0.07)
