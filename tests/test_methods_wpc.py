"""WPC: its loss, slopes and metrics against NumPy, whom the penalty reaches, what it refuses."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from dim_jax import build, contracts
from dim_jax.methods import wpc
from dim_jax.nets import critics, encoders, multiview, pure, spectral

RNG = jax.random.key(4)
N, SIDE, WIDTH, TAU, WEIGHT = 5, 4, 3, 0.5, 0.7
OPTIONS = dict(
    **dict(objective="infonce", temperature=TAU, penalty=WEIGHT, sided="one"),
    **dict(inputs="pixels", points=N),
)


def linear() -> pure.Net:
    """y = images @ kernel: its slopes are known in closed form."""

    def init(rng, images):
        pixels = math.prod(images.shape[1:])
        return {"kernel": jax.random.normal(rng, (pixels, WIDTH))}, {}

    def apply(params, stats, images, *, train, rng=None):
        y = images.reshape(len(images), -1) @ params["kernel"]
        return dict(local=images, conv=images, fc=y, y=y), stats

    return pure.Net(init, apply)


def batch_of(views=2) -> contracts.Batch:
    images = np.random.default_rng(0).normal(size=(views, N, SIDE, SIDE, 1))
    zeros = jnp.zeros(N, jnp.int32)
    return contracts.Batch(images=jnp.asarray(images, jnp.float32), labels=zeros, index=zeros)


def made(encoder=None, **options) -> contracts.Method:
    return wpc.make(
        encoder=encoder or linear(), global_critic=critics.bilinear(), **OPTIONS | options
    )


def by_loops(params, images, options) -> dict[str, float]:
    """The loss and its parts by loops in float64, of the linear encoder and the bilinear critic."""
    kernel = np.asarray(params["encoder"]["encoder"]["kernel"], np.float64)
    matrix = np.asarray(jax.tree.leaves(params["encoder"]["critic"])[0], np.float64)
    pixels = np.asarray(images, np.float64).reshape(2, N, -1)
    a, b = pixels @ kernel
    f = np.array([[(row @ matrix) @ column for column in b] for row in a])
    pairs = [(i, j) for i, j in itertools.product(range(N), repeat=2) if i != j]
    s = f / TAU
    rows = [math.log(N) + s[i, i] - math.log(np.exp(s[i]).sum()) for i in range(N)]
    nats = np.mean(rows)
    difference = np.mean(np.diag(f)) - np.mean([f[pair] for pair in pairs])
    weights = np.asarray(jax.random.uniform(jax.random.fold_in(RNG, 2), (N,)), np.float64)
    slopes = []
    for i, w in enumerate(weights):
        b_i = w * b[i] + (1 - w) * b[(i + 1) % N]  # linear, so between features as between pixels
        of_a, of_b = matrix @ b_i, a[i] @ matrix
        if options["inputs"] == "pixels":
            of_a, of_b = kernel @ of_a, kernel @ of_b
        slopes.append(math.hypot(*of_a, *of_b))
    slopes = np.array(slopes[: options["points"]])
    excess = slopes - 1 if options["sided"] == "two" else np.maximum(slopes - 1, 0)
    bound = nats if options["objective"] == "infonce" else difference
    return dict(
        **dict(loss=-bound + options["penalty"] * np.mean(excess**2), bound=bound, nats=nats),
        **dict(wasserstein=difference, slope_mean=slopes.mean(), slope_max=slopes.max()),
    )


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(objective="wasserstein", sided="two", points=3),
        pytest.param(dict(inputs="features", sided="two"), marks=pytest.mark.slow),
        dict(penalty=0.0),
    ],
)
def test_loss_and_metrics_are_those_of_loops(options):
    method, batch = made(**options), batch_of()

    @jax.jit
    def run(rng):
        params, state = method.init(rng, batch)
        step = method.loss(params, state, batch, rng, 0)
        return params, step.losses, step.metrics

    params, losses, metrics = run(RNG)
    expected = by_loops(params, batch["images"], OPTIONS | options)
    np.testing.assert_allclose(losses["encoder"], expected.pop("loss"), rtol=2e-4)
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[f"pair/{name}"], value, rtol=2e-4, err_msg=name)


@pytest.mark.parametrize(("inputs", "reaches"), [("pixels", True), ("features", False)])
def test_the_encoder_is_a_part_of_the_critic_of_pixels_only(inputs, reaches):
    batch = batch_of()
    methods = [made(inputs=inputs, penalty=weight) for weight in (0.0, WEIGHT)]

    @jax.jit
    def gradients(rng):
        params, state = methods[0].init(rng, batch)
        return [
            jax.grad(lambda p, m=method: m.loss(p, state, batch, rng, 0).losses["encoder"])(params)
            for method in methods
        ]

    without, penalised = (each["encoder"] for each in gradients(RNG))
    apart = jax.tree.map(lambda a, b: float(abs(a - b).max()), without, penalised)
    assert (apart["encoder"]["kernel"] > 1e-3) == reaches
    assert jax.tree.leaves(apart["critic"])[0] > 1e-3


def test_halves_of_one_view_are_a_pair_of_two():
    batch, method = batch_of(), made()
    one = {**batch, "images": jnp.concatenate([*batch["images"]], axis=2)[None]}
    halves = multiview.halves(cut="left_right", encoder=linear())
    of_halves = made(halves, taps=("y_first", "y_second"))

    @jax.jit
    def run(rng):
        params, state = method.init(rng, batch)
        steps = [
            each.loss(params, state, given, rng, 0)
            for each, given in ((method, batch), (of_halves, one))
        ]
        taps = of_halves.represent(params, state, one["images"][0])
        return [(step.losses, step.metrics, step.features) for step in steps], taps

    (pair, joined), taps = run(RNG)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), pair[:2], joined[:2])
    np.testing.assert_allclose(taps["y_first"], pair[2]["y"], rtol=1e-5)
    np.testing.assert_allclose(taps["y_second"], pair[2][contracts.POSITIVE], rtol=1e-5)
    assert contracts.POSITIVE not in joined[2] and taps["y"].shape == (N, 2 * WIDTH)


def test_halves_leave_out_the_middle_of_an_odd_side():
    halves = multiview.halves(cut="upper_lower", encoder=linear())
    images = jnp.arange(15.0).reshape(1, 5, 3, 1)
    params, _ = halves.init(RNG, images)
    taps, _ = halves.apply(params, {}, images, train=False)
    np.testing.assert_allclose(taps["y_first"], images[:, :2].reshape(1, 6) @ params["kernel"])
    np.testing.assert_allclose(taps["y_second"], images[:, 3:].reshape(1, 6) @ params["kernel"])


def largest(matrix) -> float:
    """The largest singular value."""
    return np.linalg.svd(np.asarray(matrix, np.float64), compute_uv=False)[0]


def test_spectral_encoder_has_kernels_of_norm_1_and_slopes_below_it():
    inner = encoders.strided(channels=(4,), kernels=(2,), strides=(2,), hidden=5, features=WIDTH)
    net, images = spectral.spectral(encoder=inner), batch_of()["images"][0]

    @jax.jit
    def run(rng):
        params, stats = net.init(rng, images)
        params = jax.tree.map(lambda leaf: 3 * leaf, params)

        def step(stats, _):
            return net.apply(params, stats, images, train=True)[1], None

        moved, _ = jax.lax.scan(step, stats, None, length=200)

        def y(image):
            return net.apply(params, moved, image[None], train=False)[0]["y"][0]

        return params, moved, jax.vmap(jax.jacrev(y))(images), y(images[0])

    params, _, jacobians, y = run(RNG)
    for matrix in np.asarray(jacobians).reshape(N, WIDTH, -1):
        assert largest(matrix) < 1 + 1e-4
    factors = {
        path: largest(kernel.reshape(-1, kernel.shape[-1]))
        for path, kernel in traverse_util.flatten_dict(params).items()
        if path[-1] == "kernel"
    }
    assert len(factors) == 3 and min(factors.values()) > 1.1
    divided = {
        path: leaf / factors.get(path, 1)
        for path, leaf in traverse_util.flatten_dict(params).items()
    }
    divided = traverse_util.unflatten_dict(divided)
    plain, _ = inner.apply(divided, {}, images[:1], train=False)
    np.testing.assert_allclose(y, plain["y"][0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("views", "options", "message"),
    [
        (2, dict(taps=("y",)), r"method.taps is \('y',\); name the tap of each side"),
        (2, dict(taps=("y", "z")), "unknown tap of the encoder 'z': use one of conv, fc, local, y"),
        (1, dict(), "a batch has 1 views and the taps of a pair are .* set augment.views=2"),
        (3, dict(), "a batch has 3 views"),
        (2, dict(taps=("conv", "y")), "the tap 'conv' of method.taps has the shape"),
        (
            2,
            dict(objective="InfoNCE"),
            "unknown method.objective 'InfoNCE': use one of",
        ),
    ],
)
def test_mistakes_are_one_sentence(views, options, message):
    with pytest.raises(contracts.UserError, match=message):
        jax.eval_shape(made(**options).init, RNG, batch_of(views))


def test_one_image_has_nothing_to_be_told_from():
    batch = {**batch_of(), "images": batch_of()["images"][:, :1]}
    with pytest.raises(contracts.UserError, match=r"set train\.batch_size to 2 or more"):
        jax.eval_shape(made().init, RNG, batch)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "lipschitz=spectral,pair=views,objective=wasserstein",
        pytest.param(
            "data=mnist,pair=upper_lower,lipschitz=none,critic=concat,budget=cpu",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_configs_of_all_words_are_methods_that_fit(config, words):
    budgeted = words if "budget" in words else f"{words},budget=smoke"
    chosen = config("wpc", budgeted.lstrip(","))
    spec, views = chosen["method"]["method"], chosen["augment"]["views"]
    method = build.make("method", chosen["method"])
    side, channels = (28, 1) if "mnist" in words else (32, 3)
    batch = contracts.Batch(
        images=jax.ShapeDtypeStruct((views, 8, side, side, channels), jnp.float32),
        labels=jax.ShapeDtypeStruct((8,), jnp.int32),
        index=jax.ShapeDtypeStruct((8,), jnp.int32),
    )

    def step(batch):
        params, state = method.init(RNG, batch)
        taps = method.represent(params, state, batch["images"][0])
        return method.loss(params, state, batch, RNG, 0), taps

    done, taps = jax.eval_shape(step, batch)
    assert done.losses.keys() == chosen["players"].keys()
    assert (contracts.POSITIVE in done.features) == (views == 2)
    assert set(chosen["evals"]["linear"]["taps"]) <= taps.keys()
    assert (spec["penalty"] > 0) == ("lipschitz=" not in words)
    assert (spec["encoder"]["name"] == "halves") == (views == 1)


def test_a_difference_of_scores_needs_a_constraint(config):
    with pytest.raises(contracts.UserError, match="grows without end; use lipschitz=penalty or"):
        config("wpc", "lipschitz=none,objective=wasserstein")
