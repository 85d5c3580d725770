"""CPC's loss by loops over anchors and candidates, what it learns, devices, mistakes, words."""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from dim_jax import augment, bounds, build, contracts, settings
from dim_jax.evaluate.measures import retrieval
from dim_jax.methods import cpc
from dim_jax.nets import contexts, critics, layers, pure
from dim_jax.training import train_step

RNG = jax.random.key(5)
IMAGES, SIDE = 4, 5
OFFSETS = (1, 3)
KINDS = ("images", "everywhere", 6)


class Maps(nn.Module):
    """Local features that are linear in the "images", f[n,5,5,c], and their contexts."""

    features: int = 3

    @nn.compact
    def __call__(self, images, *, train):
        local = layers.Linear(self.features)(images)
        context = contexts.masked_conv(width=4, depth=1)(local, train=train)
        means = dict(fc=local.mean((1, 2)), y=context.mean((1, 2)))
        return dict(local=local, conv=local, context=context, **means)


ENCODER = pure.net(Maps())


def batch_of(images: int = IMAGES) -> contracts.Batch:
    pixels = jax.random.normal(jax.random.key(images), (1, images, SIDE, SIDE, 4))
    return contracts.Batch(images=pixels, labels=jnp.zeros(images, int), index=jnp.arange(images))


taps_of = jax.jit(lambda params, images: ENCODER.apply(params, {}, images, train=True)[0])


def make(**changes) -> contracts.Method:
    arguments = dict(
        encoder=ENCODER,
        local_critic=critics.bilinear(),
        bound=bounds.infonce,
        offsets=OFFSETS,
        negatives="images",
    )
    return cpc.make(**arguments | changes)


@functools.cache
def started(negatives, images: int = IMAGES):
    """(method, params whose scores differ by some nats, state, batch)."""
    method, batch = make(negatives=negatives), batch_of(images)
    params, state = jax.jit(method.init)(jax.random.key(0), batch)
    return method, jax.tree.map(lambda leaf: 3 * leaf, params), state, batch


def scored(params, batch, offset: int) -> tuple[np.ndarray, list]:
    """Scores [n,p,n,q] in float64 of each context and each feature, by loops, and the places."""
    own = params["encoder"]
    taps = taps_of(own["encoder"], batch["images"][0])
    context, local = (np.asarray(taps[name], np.float64) for name in ("context", "local"))
    matrix = np.asarray(own[f"k{offset}"]["matrix"]["kernel"], np.float64)
    places = list(np.ndindex(SIDE - offset, SIDE))
    n = len(context)
    scores = np.zeros((n, len(places), n, len(places)))
    for i, j in np.ndindex(n, n):
        for p, (row, column) in enumerate(places):
            for q, (other_row, other_column) in enumerate(places):
                feature = local[j, other_row + offset, other_column]
                scores[i, p, j, q] = context[i, row, column] @ matrix @ feature
    return scores, places


def information(scores: np.ndarray, negatives, columns=None) -> float:
    """InfoNCE by a loop over anchors; `columns` are the drawn candidates of each of them."""
    n, places = scores.shape[:2]
    values = []
    for i, p in np.ndindex(n, places):
        own = scores[i, p, i, p]
        if negatives == "images":
            rivals = scores[i, p, :, p]
        elif negatives == "everywhere":
            rivals = scores[i, p].ravel()
        else:
            drawn = columns[i * places + p]
            rivals = np.append(scores[i, p].ravel()[drawn], own)
        values.append(np.log(rivals.size) + own - special.logsumexp(rivals))
    return np.mean(values)


@pytest.mark.parametrize("negatives", KINDS)
def test_loss_is_that_of_a_loop_over_anchors_and_candidates(negatives):
    method, params, state, batch = started(negatives)
    step = jax.jit(method.loss)(params, state, batch, RNG, 0)
    values = []
    for offset in OFFSETS:
        scores, places = scored(params, batch, offset)
        # What the step draws with: the key of the negatives, then of the offset.
        key = jax.random.fold_in(jax.random.fold_in(RNG, 0), offset)
        total = IMAGES * len(places)
        columns = np.asarray(jax.random.randint(key, (total, 6), 0, total))
        values.append(information(scores, negatives, columns))
        found = {
            name.partition("/")[2]: value
            for name, value in step.metrics.items()
            if name.startswith(f"k{offset}/")
        }
        assert found["bound"] == pytest.approx(values[-1], abs=1e-5)
        assert found["nats"] == pytest.approx(information(scores, "images"), abs=1e-5)
        same = np.stack([scores[:, p, :, p] for p in range(len(places))])
        joint = np.diagonal(same, axis1=1, axis2=2)
        assert found["score_joint"] == pytest.approx(joint.mean(), abs=1e-5)
        product = (same.sum() - joint.sum()) / (same.size - joint.size)
        assert found["score_product"] == pytest.approx(product, abs=1e-5)
    assert np.ptp(values) > 1e-3
    assert step.losses["encoder"] == pytest.approx(-np.mean(values), abs=1e-5)


def test_other_bounds_are_averaged_over_places():
    _, params, state, batch = started("images")
    method = make(bound=bounds.nwj, offsets=(3,))
    step = jax.jit(method.loss)(params, state, batch, RNG, 0)
    scores, places = scored(params, batch, 3)
    values = []
    for p in range(len(places)):
        matrix = scores[:, p, :, p]
        others = matrix[~np.eye(IMAGES, dtype=bool)]
        values.append(np.trace(matrix) / IMAGES - np.exp(others - 1).mean())
    assert step.metrics["k3/bound"] == pytest.approx(np.mean(values), rel=1e-5)


def test_drawn_negatives_change_with_the_key_and_limit_the_bound():
    method, params, state, batch = started(6)
    loss = jax.jit(method.loss)
    drawn = [loss(params, state, batch, jax.random.key(key), 0) for key in (1, 1, 2)]
    values = [float(step.losses["encoder"]) for step in drawn]
    assert values[0] == values[1] != values[2]
    sharp = jax.tree.map(lambda leaf: 100 * leaf, params)
    step = loss(sharp, state, batch, RNG, 0)
    assert step.metrics["k1/bound"] <= np.log(7) + 1e-6


@pytest.mark.parametrize("critic", ["bilinear", "encode_and_dot"])
def test_scores_are_those_of_the_places_that_are_predicted(critic):
    arguments = dict(width=8, norm_anchors=True) if critic == "encode_and_dot" else {}
    made = build.make("local_critic", dict(name=critic, **arguments))
    method, batch = make(local_critic=made), batch_of()
    params, state = jax.jit(method.init)(jax.random.key(0), batch)
    scores = jax.jit(method.scores)(params, state, batch["images"])
    assert scores.keys() == {"k1", "k3"}
    taps = taps_of(params["encoder"]["encoder"], batch["images"][0])
    all_pairs = jax.jit(functools.partial(made.all_pairs, train=False))
    for offset in OFFSETS:
        name, places = f"k{offset}", (SIDE - offset) * SIDE
        assert scores[name].shape == (IMAGES, IMAGES, places)
        for place in (0, 7, places - 1):
            row, column = divmod(place, SIDE)
            alone, _ = all_pairs(
                params["encoder"][name],
                state[name],
                taps["context"][:, row, column],
                taps["local"][:, row + offset, column],
            )
            np.testing.assert_allclose(scores[name][..., place], alone, rtol=1e-4, atol=1e-4)


def numbers_of(key, images: int) -> jax.Array:
    """Pixels f[1,n,5,5,8]: 3 numbers of a local feature and 5 of a context."""
    return jax.random.normal(key, (1, images, SIDE, SIDE, 8))


def read_from_images(*directions: str) -> pure.Net:
    """An encoder without parameters: its maps are channels of the images."""

    def apply(params, stats, images, *, train, rng=None):
        local, context = images[..., :3], images[..., 3:]
        named = {f"context_{each}": context for each in directions} or {"context": context}
        flat = local.mean((1, 2))
        return dict(local=local, conv=local, fc=flat, y=flat, **named), stats

    return pure.Net(lambda rng, images: ({}, {}), apply)


@pytest.mark.parametrize("negatives", ["images", 6])
def test_each_direction_is_that_of_turned_images(negatives):
    """The loops above are of the direction down."""
    around = ("down", "up", "right", "left")
    batch = {**batch_of(), "images": numbers_of(jax.random.key(5), IMAGES)}
    method = make(encoder=read_from_images(*around), negatives=negatives)
    params, state = jax.jit(method.init)(jax.random.key(0), batch)
    names = [f"{each}_k{offset}" for each in around[1:] for offset in OFFSETS]
    assert params["encoder"].keys() == {"encoder", "k1", "k3", *names}
    step = jax.jit(method.loss)(params, state, batch, RNG, 0)
    scores = jax.jit(method.scores)(params, state, batch["images"])
    single = make(encoder=read_from_images(), negatives=negatives)
    loss, score = jax.jit(single.loss), jax.jit(single.scores)
    turns = {
        "down": lambda x: x,
        "up": lambda x: np.flip(x, 2),
        "right": lambda x: np.swapaxes(x, 2, 3),
        "left": lambda x: np.flip(np.swapaxes(x, 2, 3), 2),
    }
    values = []
    for direction, turn in turns.items():
        prefix = "" if direction == "down" else f"{direction}_"
        turned = np.ascontiguousarray(turn(np.asarray(batch["images"])))
        own = {
            name: {"encoder": {}} | {f"k{k}": tree[f"{prefix}k{k}"] for k in OFFSETS}
            for name, tree in (("params", params["encoder"]), ("state", state))
        }
        arguments = {"encoder": own["params"]}, own["state"]
        alone = loss(*arguments, {**batch, "images": turned}, RNG, 0)
        for name, matrix in score(*arguments, turned).items():
            np.testing.assert_allclose(scores[prefix + name], matrix, rtol=1e-5, atol=1e-5)
        # Drawn negatives are others in each direction, the bound of all images is the same.
        exact = ("bound", "nats") if negatives == "images" or direction == "down" else ("nats",)
        for name in exact:
            for k in OFFSETS:
                found = step.metrics[f"{prefix}k{k}/{name}"]
                assert found == pytest.approx(float(alone.metrics[f"k{k}/{name}"]), abs=1e-5)
        values += [step.metrics[f"{prefix}k{k}/bound"] for k in OFFSETS]
    assert len({f"{value:.6f}" for value in values}) == len(values)
    assert step.losses["encoder"] == pytest.approx(-np.mean(values), abs=1e-5)


def predictable(key: jax.Array, images: int) -> jax.Array:
    """Maps whose rows turn by a sixth of a turn from one to the next, f[1,n,5,5,4]."""
    start = jax.random.normal(key, (images, SIDE, 2, 2))
    start /= jnp.linalg.norm(start, axis=(2, 3), keepdims=True)
    cos, sin = np.cos(np.pi / 3), np.sin(np.pi / 3)
    turn = np.array([[cos, -sin], [sin, cos]])
    rows = [start]
    for _ in range(SIDE - 1):
        rows.append(rows[-1] @ turn)
    return jnp.stack(rows, axis=1).reshape(1, images, SIDE, SIDE, 4)


@pytest.mark.parametrize(
    "negatives", ["images", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])]
)
def test_contexts_learn_to_find_the_rows_below(negatives):
    method = make(encoder=pure.net(Maps(features=4)), negatives=negatives)
    held_out = predictable(jax.random.key(100), 16)
    params, state = jax.jit(method.init)(jax.random.key(0), batch_of(16))
    optimizer = optax.adam(0.03)

    def update(carry, key):
        params, moments = carry
        batch = {**batch_of(16), "images": predictable(key, 16)}
        slopes = jax.grad(lambda p: method.loss(p, state, batch, key, 0).losses["encoder"])(params)
        changes, moments = optimizer.update(slopes, moments)
        return (optax.apply_updates(params, changes), moments), None

    @jax.jit
    def trained(params):
        keys = jax.random.split(jax.random.key(1), 200)
        return jax.lax.scan(update, (params, optimizer.init(params)), keys)[0][0]

    @jax.jit
    def found(params):
        scores = method.scores(params, state, held_out)
        return {name: retrieval.retrieved(matrix) for name, matrix in scores.items()}

    before, after = found(params), found(trained(params))
    for name in before:
        assert before[name] < 0.3
        assert after[name] > 0.95


@pytest.mark.parametrize("negatives", KINDS)
def test_eight_devices_have_the_negatives_of_one(negatives):
    method, params, state, batch = started(negatives, 16)

    @jax.jit
    def value_and_slopes(params, batch):
        return jax.value_and_grad(lambda p: method.loss(p, state, batch, RNG, 0).losses["encoder"])(
            params
        )

    mesh = train_step.mesh(jax.devices()[:8])
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "data"))
    sharded = {**batch, "images": jax.device_put(batch["images"], split)}
    one = value_and_slopes(params, batch)
    eight = value_and_slopes(train_step.replicate(params, mesh), sharded)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        one,
        jax.device_get(eight),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(offsets=(1, 5)), r"offsets has 5 and the map has 5 rows; use at most 4"),
        (dict(offsets=()), r"offsets is \(\); .*at least one number"),
        (dict(offsets=(0, 1)), r"offsets is \(0, 1\)"),
        (dict(offsets=(2, 2)), r"offsets is \(2, 2\)"),
        (dict(negatives="image"), "unknown negatives 'image': did you mean 'images'"),
        (dict(negatives=0), "negatives is 0; set it to 1 or more"),
        (
            dict(negatives=41),
            r"negatives is 41 and offset 3 predicts 10 .* 4 images; .* at most 40",
        ),
        (
            dict(encoder=dict(name="dcgan28", width=2, hidden=4, features=2)),
            "gives local, conv, fc, y and no contexts; choose a method.encoder",
        ),
    ],
)
def test_mistakes(changes, message):
    batch = batch_of()
    if "encoder" in changes:
        changes = dict(encoder=build.make("encoder", changes["encoder"]))
        batch["images"] = jnp.zeros((1, IMAGES, 28, 28, 1))
    with pytest.raises(contracts.UserError, match=message):
        jax.eval_shape(make(**changes).init, RNG, batch)


@pytest.mark.parametrize(
    "words",
    [
        "smoke",
        pytest.param("data=imagenette", marks=pytest.mark.slow),
        *(
            pytest.param(f"{word},budget=cpu", marks=pytest.mark.slow)
            for word in ("batch", "one", "plain", "narrow", "small")
        ),
    ],
)
def test_words_of_cpc_v2(config, words):
    made = config("cpc_v2", words)
    method = build.make("method", made["method"])
    side, size = made["data"]["image_size"] or 32, made["train"]["batch_size"]
    images = jnp.zeros((size, side, side, 3), jnp.uint8)
    change = augment.pipeline(settings.Augment.of(made["augment"]))
    views = jax.eval_shape(change, RNG, images)
    shapes = dict(
        images=jax.ShapeDtypeStruct((1, *views.shape), jnp.float32),
        labels=jax.ShapeDtypeStruct((size,), jnp.int32),
        index=jax.ShapeDtypeStruct((size,), jnp.int32),
    )
    params, state = jax.eval_shape(method.init, RNG, shapes)
    assert params.keys() == made["players"].keys()
    prefixes = [""] if "one" in words else ["", "up_", "right_", "left_"]
    offsets = made["method"]["method"]["offsets"]
    names = {f"{prefix}k{offset}" for prefix in prefixes for offset in offsets}
    assert params["encoder"].keys() == {"encoder", *names}
    assert bool(jax.tree.leaves(state["encoder"])) == ("batch" in words)
    plain = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    taps = jax.eval_shape(method.represent, params, state, plain)
    count = 7 if "small" in words else 6
    assert taps["conv"].shape[1:3] == (count, count)


FAST = {("cifar10", "dim", "smoke"), ("stl10", "gim", "paper")}


@pytest.mark.parametrize(
    ("images", "recipe", "budget"),
    [
        pytest.param(*words, marks=() if words in FAST else pytest.mark.slow)
        for words in itertools.product(
            ("cifar10", "stl10"), ("dim", "gim"), ("paper", "cpu", "smoke")
        )
    ],
)
def test_words_of_the_config(config, images, recipe, budget):
    made = config("cpc_strided", f"data={images},recipe={recipe},budget={budget}")
    method = build.make("method", made["method"])
    side, size = made["augment"]["crop"] or 32, made["train"]["batch_size"]
    shapes = dict(
        images=jax.ShapeDtypeStruct((1, size, side, side, 3), jnp.float32),
        labels=jax.ShapeDtypeStruct((size,), jnp.int32),
        index=jax.ShapeDtypeStruct((size,), jnp.int32),
    )
    params, _ = jax.eval_shape(method.init, RNG, shapes)
    assert params.keys() == made["players"].keys()
    offsets = (1, 2, 3) if recipe == "dim" else (2, 3, 4, 5, 6)
    assert params["encoder"].keys() == {"encoder", *(f"k{offset}" for offset in offsets)}
    leaves = jax.tree_util.tree_leaves_with_path(params["encoder"]["encoder"])
    normed = any("scale" in jax.tree_util.keystr(path) for path, _ in leaves)
    assert normed == (recipe == "dim")


@pytest.mark.parametrize(
    ("words", "published"),
    [
        ("", dict(mlp_paper=dict(conv=77.45))),
        ("data=stl10", dict(mlp_paper=dict(conv=77.81))),
        ("data=stl10,body=resnet", {}),
        ("body=resnet50", {}),
        ("negatives=images", {}),
        ("context=masked", {}),
        ("norm=none", {}),
        ("recipe=gim", {}),
        ("recipe=gim,data=stl10", dict(linear=dict(fc=80.5))),
        ("recipe=gim,data=stl10,norm=batch", {}),
    ],
)
def test_published_numbers_belong_to_the_published_form(config, words, published):
    made = config("cpc_strided", words)
    assert made["published"] == published
    assert made["published"].keys() <= made["evals"].keys()
    assert made["published_source"].startswith("Loewe" if "gim" in words else "Hjelm")
