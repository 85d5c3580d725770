"""AMDIM: its loss as a loop over pairs, the clip, views, scores, what crosses devices, mistakes."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import build, contracts, losses
from dim_jax.methods import amdim, probe
from dim_jax.nets import heads, pure
from dim_jax.training import train_step

RNG, N, D = jax.random.key(4), 5, 6
TERMS = ("1_to_5", "1_to_7", "5_to_5")
SMALL = dict(
    name="amdim",
    encoder=dict(name="amdim32", ndf=4, n_rkhs=32, n_depth=1, norm="none"),
    embedding=dict(name="embedding", norm="none"),
    **dict(terms=TERMS, penalty=0.05, clip=20.0),
)


def stub() -> pure.Net:
    """An encoder whose taps are the rows of the image, times a parameter: 1, 25 and 49 of them."""

    def init(rng, images):
        return {"scale": jnp.ones(())}, {"seen": jnp.zeros(())}

    def apply(params, stats, images, *, train, rng=None):
        del rng
        rows = images[..., 0] * params["scale"]
        fc, local = rows[:, 1:26].reshape(-1, 5, 5, D), rows[:, 26:].reshape(-1, 7, 7, D)
        taps = {"y": rows[:, 0], "fc": fc, "local": local, "conv": local}
        return taps, {"seen": stats["seen"] + train}

    return pure.Net(init, apply)


def plain(features: int) -> pure.Net:
    """An embedding that multiplies by a parameter."""
    assert features == D
    return pure.Net(
        lambda rng, x: ({"scale": jnp.ones(())}, {}),
        lambda params, stats, x, train: (x * params["scale"], stats),
    )


def made(**changes) -> contracts.Method:
    return amdim.make(
        **{**dict(encoder=stub(), embedding=plain, terms=TERMS, penalty=0.3, clip=2.0), **changes}
    )


def rows(views: int = 2) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(views, N, 75, D)).astype(np.float32)


def batch_of(rows: np.ndarray) -> contracts.Batch:
    numbers = jnp.arange(rows.shape[1])
    return contracts.Batch(images=jnp.asarray(rows)[..., None], labels=numbers, index=numbers)


def maps(view: np.ndarray) -> dict[str, np.ndarray]:
    """f64[n,l,d] by the side of the map."""
    view = view.astype(np.float64)
    return {"1": view[:, :1], "5": view[:, 1:26], "7": view[:, 26:]}


def by_pairs(sources, targets, clip) -> tuple[float, float, float, float]:
    """(loss, nats, mean squared raw score, largest score) of one direction, pair by pair."""
    raw = np.zeros((N, N, targets.shape[1]))
    for i in range(N):
        for j in range(N):
            for l in range(targets.shape[1]):
                raw[i, j, l] = np.dot(sources[i], targets[j, l]) / np.sqrt(D)
    scores = raw if clip is None else clip * np.tanh(raw / clip)
    costs, values = [], []
    for i in range(N):
        others = [j for j in range(N) if j != i]
        rest = sum(np.exp(scores[i, j, l]) for j in others for l in range(raw.shape[2]))
        for l in range(raw.shape[2]):
            own = np.exp(scores[i, i, l])
            costs.append(-np.log(own / (own + rest)))
            values.append(np.log(N) + np.log(own / (own + rest / raw.shape[2])))
    return np.mean(costs), np.mean(values), np.mean(raw**2), np.abs(scores).max()


def antecedents(view: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Of each map the location that the step with the key `RNG` draws in view `number`."""
    key = jax.random.split(jax.random.fold_in(RNG, 0))[number]
    found = {}
    for side, features in maps(view).items():
        places = jax.random.randint(
            jax.random.fold_in(key, int(side)), (N, 1, 1), 0, features.shape[1]
        )
        found[side] = features[np.arange(N), np.asarray(places)[:, 0, 0]]
    return found


def expected(views: np.ndarray, terms, penalty: float, clip) -> tuple[float, dict[str, float]]:
    total, squares, largest, metrics = 0.0, 0.0, 0.0, {}
    for term in terms:
        source, target = term.split("_to_")
        directions = [
            by_pairs(antecedents(views[a], number)[source], maps(views[b])[target], clip)
            for number, (a, b) in enumerate(((0, -1), (-1, 0)))
        ]
        cost, nats, square, _ = np.mean(directions, axis=0)
        total, squares = total + cost, squares + penalty * square
        largest = max(largest, *(found[3] for found in directions))
        metrics |= {f"{term}/loss": cost, f"{term}/nats": nats}
    return total + squares, {**metrics, "penalty": squares, "clip/largest": largest}


FORMS = {
    "published": (TERMS, 0.3, 2.0),
    "ablated": (("1_to_7",), 0.0, None),
    "other": (("7_to_5", "5_to_1"), 0.05, 1.0),
}
FAST = {(1, "published"), (2, "ablated"), (2, "other"), (3, "published")}


@pytest.mark.parametrize(
    ("views", "form"),
    [
        pytest.param(*case, marks=() if case in FAST else pytest.mark.slow)
        for case in itertools.product((1, 2, 3), FORMS)
    ],
)
def test_loss_is_that_of_a_loop_over_pairs(views, form):
    """In float64; one view is that view twice, of three the first and the last count."""
    terms, penalty, clip = FORMS[form]
    method = made(terms=terms, penalty=penalty, clip=clip)
    values = rows(views)
    params, state = jax.jit(method.init)(RNG, batch_of(values))
    step = jax.jit(method.loss)(params, state, batch_of(values), RNG, 0)
    total, metrics = expected(values, terms, penalty, clip)
    assert step.losses.keys() == {"encoder"}
    np.testing.assert_allclose(step.losses["encoder"], total, rtol=1e-5)
    assert step.metrics.keys() == metrics.keys()
    for name, value in metrics.items():
        np.testing.assert_allclose(step.metrics[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert step.state["encoder"]["seen"] == min(views, 2)
    np.testing.assert_array_equal(step.features["y"], values[0, :, 0])


def test_what_is_never_compared_has_no_embedding():
    method = made(terms=("1_to_7",))
    params, state = jax.eval_shape(method.init, RNG, batch_of(rows()))
    assert params["encoder"].keys() == state.keys() == {"encoder", "7"}


def test_nothing_known_costs_the_logarithm_of_all_candidates():
    """24.9 for 128 images: the sum of three losses at scores of 0."""
    values = np.zeros((2, 128, 75, D), np.float32)
    method = made()
    params, state = jax.jit(method.init)(RNG, batch_of(values))
    step = jax.jit(method.loss)(params, state, batch_of(values), RNG, 0)
    chance = 2 * np.log(1 + 127 * 25) + np.log(1 + 127 * 49)
    np.testing.assert_allclose(step.losses["encoder"], chance, rtol=1e-5)
    assert chance == pytest.approx(24.9, abs=0.05)


def test_scores_keep_within_the_clip_and_their_gradient_lives():
    values = 1e3 * rows()
    for clip, bounded in ((20.0, True), (None, False)):
        method = made(clip=clip, penalty=0.05)
        params, state = jax.jit(method.init)(RNG, batch_of(values))
        gradient, step = jax.jit(functools.partial(train_step.player_gradients, method.loss))(
            params, state, batch_of(values), RNG, 0
        )
        assert (step.metrics["clip/largest"] <= 20.0) == bounded
        assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(gradient))
        # Where the clip is flat the penalty, of unclipped scores, still pulls back.
        assert abs(gradient["encoder"]["encoder"]["scale"]) > 1


def test_antecedents_are_any_location_and_others_in_each_view():
    """By images whose location l of the 5x5 map is the number l, in many steps."""
    places = jnp.broadcast_to(jnp.arange(25.0)[None, :, None], (N, 25, 1))
    maps = {"1": places[:, :1], "5": places}
    keys = jax.random.split(RNG, 400)
    drawn = jax.jit(jax.vmap(lambda key: amdim._antecedents(maps, key)["5"][:, 0]))(keys)
    counts = np.bincount(np.asarray(drawn, int).ravel(), minlength=25)
    assert counts.shape == (25,) and ((counts - 80) ** 2 / 80).sum() < 52  # 1 in 1,000, 24 degrees
    assert 0.01 < (drawn[:, 0] == drawn[:, 1]).mean() < 0.1  # of two images: 1 in 25
    params, state = jax.jit(made().init)(RNG, batch_of(rows()))
    loss = jax.jit(made(terms=("5_to_5",)).loss)
    once, again = (loss(params, state, batch_of(rows(1)), key, 0) for key in keys[:2])
    assert once.losses["encoder"] != again.losses["encoder"]


def test_scores_in_evaluation_mode():
    values = rows(3)
    method = made(clip=2.0)
    params, state = jax.jit(method.init)(RNG, batch_of(values))
    found = jax.jit(method.scores)(params, state, batch_of(values)["images"])
    first, last = maps(values[0]), maps(values[-1])
    assert {name: scores.shape for name, scores in found.items()} == {
        "1_to_5": (N, N, 25),
        "1_to_7": (N, N, 49),
        "5_to_5": (N, N, 25),
    }
    for term, scores in found.items():
        sources, targets = first[term[0]], last[term[-1]]
        raw = np.einsum("nd,mld->nml", sources[:, sources.shape[1] // 2], targets) / D**0.5
        np.testing.assert_allclose(scores, 2 * np.tanh(raw / 2), rtol=1e-4, atol=1e-5)
    alone = jax.jit(method.scores)(params, state, batch_of(values)["images"][:, :1])
    np.testing.assert_allclose(alone["5_to_5"], found["5_to_5"][:1, :1], rtol=1e-5)


def test_batch_statistics_are_those_of_single_views():
    """The running averages move once for each view, by the statistics of that view alone."""
    method = build.make("method", SMALL)
    images = (
        jax.random.normal(RNG, (2, 8, 32, 32, 3)) * jnp.array([1.0, 3.0])[:, None, None, None, None]
    )
    batch = contracts.Batch(images=images, labels=jnp.arange(8), index=jnp.arange(8))
    params, state = jax.jit(method.init)(RNG, batch)
    step = jax.jit(method.loss)(params, state, batch, RNG, 0)
    net, stats = build.make("encoder", SMALL["encoder"]), state["encoder"]
    encode = jax.jit(lambda *trees: net.apply(*trees, train=True)[1])
    for view in images:
        stats = encode(params["encoder"]["encoder"], stats, view)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        step.state["encoder"],
        stats,
    )


def test_only_antecedents_cross_devices():
    """No map, no image: of the arrays that eight devices gather none is larger than n x d."""
    method = build.make("method", SMALL)
    mesh, n = train_step.mesh(jax.devices()[:8]), 64
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "data"))
    batch = contracts.Batch(
        images=jnp.zeros((2, n, 32, 32, 3)), labels=jnp.zeros(n, jnp.int32), index=jnp.arange(n)
    )
    trees = train_step.replicate(jax.jit(method.init)(RNG, batch), mesh)
    batch["images"] = jax.device_put(batch["images"], split)
    compiled = jax.jit(lambda *x: train_step.player_gradients(method.loss, *x, RNG, 0))
    program = compiled.lower(*trees, batch).compile().as_text()
    assert not any(word in program for word in ("all-to-all(", "collective-permute("))
    gathered = re.findall(r"= \w+\[([\d,]+)\]\S* all-gather\(", program)
    assert gathered
    for shape in gathered:
        assert np.prod([int(side) for side in shape.split(",")]) <= n * 32, shape


def test_two_probes_of_other_names_leave_the_method_alone():
    inner = made()
    batch = batch_of(rows())
    mlp = heads.mlp_classifier(hidden=8, dropout=0.2, classes=N)
    watched = probe.make(
        method=probe.make(method=inner, classifier=mlp, taps=("y",), player="mlp_probe"),
        classifier=heads.affine(outputs=N),
        **dict(taps=("y",), player="linear_probe", clip=10.0, penalty=1e-3),
    )
    params, state = jax.jit(watched.init)(RNG, batch)
    assert params.keys() == {"encoder", "mlp_probe", "linear_probe"}
    step = jax.jit(watched.loss)(params, state, batch, RNG, 0)
    assert step.losses.keys() == params.keys() and step.state.keys() == state.keys()
    assert {"mlp_probe/y_accuracy", "linear_probe/y_accuracy"} <= step.metrics.keys()
    logits, _ = jax.jit(functools.partial(heads.affine(outputs=N).apply, train=True))(
        params["linear_probe"]["y"], {}, step.features["y"]
    )
    wanted, _ = losses.classification_loss(logits, batch["labels"], clip=10.0, penalty=1e-3)
    np.testing.assert_allclose(step.losses["linear_probe"], wanted, rtol=1e-5)
    own = ({"encoder": params["encoder"]}, {side: state[side] for side in ("encoder", "5", "7")})
    alone = jax.jit(inner.scores)(*own, batch["images"])
    for name, scores in jax.jit(watched.scores)(params, state, batch["images"]).items():
        np.testing.assert_array_equal(scores, alone[name])


def test_a_probe_of_a_name_that_is_taken():
    linear = heads.affine(outputs=N)
    inner = probe.make(method=made(), classifier=linear, taps=("y",))
    twice = probe.make(method=inner, classifier=linear, taps=("y",))
    with pytest.raises(contracts.UserError, match=r"player 'probe' already; set method\.player"):
        jax.eval_shape(twice.init, RNG, batch_of(rows()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(terms=("1_to_6",)), "unknown term of AMDIM '1_to_6': did you mean"),
        (dict(terms=()), "name at least one of 1_to_1"),
        (dict(terms=("1_to_5", "1_to_5")), "each once"),
        (dict(penalty=-1.0), "method.penalty is -1.0; set it to 0 or more"),
        (dict(clip=0.0), "method.clip is 0.0; set it to the largest score"),
    ],
)
def test_mistakes(change, message):
    with pytest.raises(contracts.UserError, match=message):
        made(**change)


def test_encoders_without_such_maps():
    spec = dict(name="dcgan32", width=4, hidden=8, features=8)
    method = build.make("method", {**SMALL, "encoder": spec})
    batch = contracts.Batch(images=jnp.zeros((1, 2, 32, 32, 3)), labels=jnp.zeros(2, int), index=())
    with pytest.raises(
        contracts.UserError, match=r"the tap fc .* needs a map of 5x5; choose one of"
    ):
        jax.eval_shape(method.init, RNG, batch)
