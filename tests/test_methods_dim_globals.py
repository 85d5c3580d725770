"""DIM with several globals per image, and dropout in its encoder, against loops."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from dim_jax import bounds, build, contracts, data
from dim_jax.methods import dim
from dim_jax.nets import pure

RNG = jax.random.key(2)
IMAGES, GLOBALS, LOCALS = 5, 25, 49


@pytest.fixture(scope="module")
def batch():
    split = data.load("digits", image_size=32).splits["train"]
    pixels = data.normalise(jnp.asarray(split.images[:IMAGES]), (0.5,), (0.5,))
    return dict(images=pixels[None], labels=jnp.zeros(IMAGES, int), index=jnp.arange(IMAGES))


def make(config, globals_="multiple", **changes):
    spec = config("dim_strided", f"globals={globals_},smoke")["method"]["method"]
    spec = {**spec, **changes}
    return build.make("method", spec), spec


def taps_of(spec, params, state, batch):
    net = build.make("encoder", spec["encoder"])
    return jax.jit(functools.partial(net.apply, train=True))(
        params["encoder"]["encoder"], state["encoder"], batch["images"][0]
    )[0]


def scores_of(spec, params, state, batch):
    """Scores [n, b, n, l] of all globals (of y where there are none) and locals."""
    taps = taps_of(spec, params, state, batch)
    critic = build.make("local_critic", spec["local_critic"])
    anchors = taps.get("globals", taps["y"][:, None])
    scores, _ = jax.jit(functools.partial(critic.all_pairs, train=True))(
        params["encoder"]["local"],
        state["local"],
        anchors.reshape(-1, anchors.shape[-1]),
        taps["local"].reshape(IMAGES, LOCALS, -1),
    )
    return np.asarray(scores, np.float64).reshape(IMAGES, -1, IMAGES, LOCALS)


@pytest.fixture(scope="module")
def multiple(config, batch):
    """Initial params and state, and the scores, which no bound and no sampling changes."""
    method, spec = make(config)
    params, state = jax.jit(method.init)(RNG, batch)
    return params, state, scores_of(spec, params, state, batch)


def infonce(scores, weigh) -> float:
    """One global per image, scores [n, n, l]; `weigh` is the sum or the mean over locations."""
    total = 0.0
    for i in range(IMAGES):
        others = np.concatenate([scores[i, j] for j in range(IMAGES) if j != i])
        shift = 0.0 if weigh == "sum" else np.log(LOCALS)
        rest = special.logsumexp(others) - shift
        total += np.mean([own - np.logaddexp(rest, own) for own in scores[i, i]])
    return np.log(IMAGES) + total / IMAGES


def test_the_loss_is_the_mean_over_blocks_of_the_single_anchor_bound(config, batch, multiple):
    params, state, scores = multiple
    step = jax.jit(make(config)[0].loss)(params, state, batch, RNG, 0)
    expected = {
        "local/bound": np.mean([infonce(scores[:, b], "sum") for b in range(GLOBALS)]),
        "local/nats": np.mean([infonce(scores[:, b], "mean") for b in range(GLOBALS)]),
        "local/score_joint": np.mean([scores[i, :, i] for i in range(IMAGES)]),
        "local/score_product": np.mean(
            [scores[i, :, j] for i, j in np.ndindex(IMAGES, IMAGES) if i != j]
        ),
    }
    assert step.metrics.keys() == expected.keys()
    for name, value in expected.items():
        assert step.metrics[name] == pytest.approx(value, rel=1e-4), name
    assert step.losses["encoder"] == pytest.approx(-expected["local/bound"], rel=1e-4)
    assert params["encoder"].keys() == {"encoder", "local"}
    assert step.features["y"].shape == (IMAGES, GLOBALS * 8)


def test_any_bound_that_averages_pairs_is_that_mean_too(config, batch, multiple):
    params, state, scores = multiple
    method, _ = make(config, bound=dict(name="jensen_shannon"))
    step = jax.jit(method.loss)(params, state, batch, RNG, 0)
    alone = jax.jit(jax.vmap(bounds.jensen_shannon, in_axes=1))(scores.astype(np.float32))
    assert alone.shape == (GLOBALS,)
    expected = float(alone.mean())
    assert step.metrics["local/bound"] == pytest.approx(expected, rel=1e-4)


def test_one_global_per_image_takes_y(config, batch):
    """The bound gets the diagonal, whether an encoder has globals or not."""
    method, spec = make(config, "single")
    params, state = jax.jit(method.init)(RNG, batch)
    step = jax.jit(method.loss)(params, state, batch, RNG, 0)
    expected = infonce(scores_of(spec, params, state, batch)[:, 0], "sum")
    assert step.metrics["local/bound"] == pytest.approx(expected, rel=1e-4)


def test_every_global_has_its_own_few_negatives(config, batch, multiple):
    params, state, scores = multiple
    loss = jax.jit(make(config, negatives=1)[0].loss)
    first, second = (loss(params, state, batch, jax.random.key(i), 0) for i in range(2))
    assert first.metrics["local/bound"] <= np.log(2) + 1e-6
    assert first.metrics["local/bound"] != second.metrics["local/bound"]
    # Between the bounds of the hardest and of the easiest negative of each positive.
    limits = []
    for pick in (np.max, np.min):
        terms = []
        for i, b in np.ndindex(IMAGES, GLOBALS):
            rest = pick(np.delete(scores[i, b], i, axis=0))
            terms += [np.log(2) + own - np.logaddexp(own, rest) for own in scores[i, b, i]]
        limits.append(np.mean(terms))
    assert limits[0] < first.metrics["local/bound"] < limits[1]


def listening(encoder: pure.Net, **changes) -> contracts.Method:
    """DIM(L) with a critic whose statistics are the anchors that it was given."""

    def all_pairs(params, stats, anchors, candidates, *, train):
        del stats, train
        scores = jnp.einsum("nd,mld->nml", anchors[:, :4], candidates[..., :4])
        return params * scores, {"seen": anchors}

    def init(rng, anchors, candidates):
        return jnp.ones(()), {}

    critic = pure.Critic(init, all_pairs, pairs=None, same_location=None)
    return dim.make(
        encoder=encoder,
        bound=bounds.infonce,
        alpha=0.0,
        beta=1.0,
        gamma=0.0,
        global_critic=None,
        local_critic=critic,
        prior=None,
        discriminator=None,
        penalty=0.0,
        **changes,
    )


def test_sampled_globals_are_some_of_the_images_own(config, batch, multiple):
    _, spec = make(config)
    method = listening(build.make("encoder", spec["encoder"]), sampled_globals=3)
    params = {"encoder": {**multiple[0]["encoder"], "local": jnp.ones(())}}
    state = {**multiple[1], "local": {}}
    loss = jax.jit(method.loss)
    steps = [loss(params, state, batch, jax.random.key(i), 0) for i in range(2)]
    seen = [np.asarray(step.state["local"]["seen"]) for step in steps]
    taps = taps_of(spec, params, state, batch)
    blocks = np.asarray(taps["globals"]).reshape(IMAGES, GLOBALS, -1)
    assert len(np.unique(blocks[0], axis=0)) == GLOBALS
    for anchors in seen:
        assert anchors.shape[0] == IMAGES * 3
        for image, some in enumerate(anchors.reshape(IMAGES, 3, -1)):
            distances = np.abs(some[:, None] - blocks[image][None]).max(-1).min(1)
            np.testing.assert_allclose(distances, 0, atol=1e-5)
    assert np.abs(seen[0] - seen[1]).max() > 1e-3
    scores = np.einsum(
        "nd,mld->nml",
        seen[0][:, :4].astype(np.float64),
        np.asarray(taps["local"], np.float64).reshape(IMAGES, LOCALS, -1)[..., :4],
    ).reshape(IMAGES, 3, IMAGES, LOCALS)
    expected = np.mean([infonce(scores[:, b], "sum") for b in range(3)])
    assert steps[0].metrics["local/bound"] == pytest.approx(expected, rel=1e-4)


def test_eight_devices_equal_one(config, multiple):
    """Anchors and candidates of the whole batch, also where each device has one image."""
    method, _ = make(config, sampled_globals=3)
    images = jax.random.normal(jax.random.key(1), (1, 8, 32, 32, 1))
    batch = dict(images=images, labels=jnp.zeros(8, int), index=jnp.arange(8))
    params, state, _ = multiple

    @jax.jit
    def value_and_gradient(params, batch):
        def loss(params):
            return method.loss(params, state, batch, RNG, 0).losses["encoder"]

        return jax.value_and_grad(loss)(params)

    mesh = jax.sharding.Mesh(np.array(jax.devices()[:8]), ("data",))

    def placed(*axes):
        return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))

    spread = {key: jax.device_put(x, placed("data")) for key, x in batch.items() if x.ndim == 1}
    spread["images"] = jax.device_put(images, placed(None, "data"))
    one = value_and_gradient(params, batch)
    eight = value_and_gradient(jax.device_put(params, placed()), spread)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5), one, eight)


@pytest.mark.parametrize(
    ("globals_", "changes", "message"),
    [
        ("multiple", dict(gamma=0.1), "25 globals per image and gamma=0.1 .*set gamma=0 or"),
        ("multiple", dict(absolute=1.0), r"absolute=1.0 needs a single .*set absolute=0 or"),
        (
            "multiple",
            dict(absolute=1.0, relative=2.0),
            "absolute=1.0, relative=2.0 .*set absolute=0, relative=0 or",
        ),
        ("single", dict(sampled_globals=4), "sampled_globals is 4 and the encoder has one"),
    ],
)
def test_what_several_globals_do_not_allow(config, batch, globals_, changes, message):
    plain = config("dim_cifar10")["method"]["method"]
    parts = {key: plain[key] for key in ("prior", "discriminator", "coordinates")}
    method, _ = make(config, globals_, **parts, **changes)
    with pytest.raises(contracts.UserError, match=message) as error:
        jax.eval_shape(method.init, RNG, batch)
    assert "\n" not in str(error.value)


def test_a_bound_that_compares_anchors_is_refused(config, batch):
    method, _ = make(config, bound=dict(name="symmetric_infonce"))
    params, state = jax.eval_shape(method.init, RNG, batch)
    with pytest.raises(ValueError, match="column 0 for 25 anchors"):
        jax.eval_shape(method.loss, params, state, batch, RNG, 0)


def test_intact_and_occluded_images_get_random_numbers_of_their_own(batch):
    """An encoder whose y is nothing but what its key draws."""

    def apply(params, stats, images, *, train, rng=None):
        y = jax.random.uniform(rng, (len(images), 4)) if train else jnp.zeros((len(images), 4))
        local = params * jnp.ones((len(images), 2, 2, 4))
        return {"local": local, "conv": local, "fc": y, "y": y}, stats

    fields = contracts.Fields(16, 16, 0)
    encoder = pure.Net(lambda rng, images: (jnp.ones(()), {}), apply, lambda side: fields)
    method = listening(encoder, occlusion=True)
    params, state = method.init(RNG, batch)
    loss = jax.jit(method.loss)
    steps = [loss(params, state, batch, jax.random.key(i), 0) for i in (1, 1, 2)]
    intact = [np.asarray(step.features["y"]) for step in steps]
    occluded = [np.asarray(step.state["local"]["seen"]) for step in steps]
    for drawn in (intact, occluded):
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert not np.isin(drawn[0], drawn[2]).any()
    assert not np.isin(intact[0], occluded[0]).any()


BODIES = ("published", "resnet", "resnet19", "alexnet")
WORDS = list(itertools.product(("cifar10", "stl10"), BODIES, ("single", "multiple")))
FAST = {("cifar10", "resnet19", "single"), ("stl10", "published", "multiple")}


@pytest.mark.parametrize("budget", ["paper", "cpu", "smoke"])
@pytest.mark.parametrize(
    ("images", "body", "globals_"),
    [pytest.param(*words, marks=() if words in FAST else pytest.mark.slow) for words in WORDS],
)
def test_words_of_the_strided_config(config, images, body, globals_, budget):
    made = config("dim_strided", f"data={images},globals={globals_},body={body},budget={budget}")
    method = build.make("method", made["method"])
    side = made["augment"]["crop"] or 32
    shapes = dict(
        images=jax.ShapeDtypeStruct((1, 4, side, side, 3), jnp.float32),
        labels=jax.ShapeDtypeStruct((4,), jnp.int32),
        index=jax.ShapeDtypeStruct((4,), jnp.int32),
    )
    params, _ = jax.eval_shape(method.init, RNG, shapes)
    assert params.keys() == made["players"].keys()


@pytest.mark.parametrize(("images", "body", "globals_"), WORDS)
def test_published_numbers_belong_to_the_published_body(config, images, body, globals_):
    for budget in ("paper", "cpu", "smoke"):
        words = f"data={images},globals={globals_},body={body},budget={budget}"
        published = config("dim_strided", words)["published"]
        judge = "mlp_paper" if budget == "paper" else "mlp"
        family = {"cifar10": "resnet", "stl10": "alexnet"}[images]
        assert bool(published[judge]) == (body == "published" or body.startswith(family))
        if (images, globals_) == ("cifar10", "multiple") and body != "alexnet":
            assert published[judge] == dict(conv=77.51)
