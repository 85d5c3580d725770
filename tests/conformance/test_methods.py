"""Every config's method, in its smoke form, against the contract; configs are discovered.

The images are the embedded digits, resized and repeated over channels: a method sees the shapes
that its config asks for, and no data set needs to be on disk.

All are traced. The default tier compiles the config with the smallest images of each method, the
slow tier those that differ in more than numbers and the image size of their networks, on one and on
eight devices, and with several players against one `jax.grad` per player.
"""

import functools
import math
import re

import config_files
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dim_jax import augment, build, contracts, data
from dim_jax.methods import probe
from dim_jax.nets import products
from dim_jax.rundir import tree_leaves
from dim_jax.training import optimizers, preprocessing, reach, train_step

SEED, BATCH = 3, 16


@functools.cache
def images_of(side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    split = data.load("digits", image_size=side).splits["train"]
    return np.repeat(split.images[:64], channels, axis=-1), split.labels[:64]


def shape_of(config) -> tuple[int, int]:
    """The image size and channels that a config trains on."""
    known = {"cifar10": (32, 3), "cifar100": (32, 3), "mnist": (28, 1), "digits": (8, 1)}
    known |= {"array:PATH": (24, 5), "ring": (1, 2)}
    side, channels = known.get(config["data"]["name"], (None, 3))
    return config["augment"]["crop"] or config["data"]["image_size"] or side, channels


def views_of(config) -> int:
    """Two where the method needs them; AMDIM's graph is smaller with one."""
    return 1 if wrapped(config["method"])["name"] == "amdim" else config["augment"]["views"]


def wrapped(spec):
    """The method's block inside those of probes."""
    while "method" in spec:
        spec = spec["method"]
    return spec


# The critics of DIM that no config has by itself, as words of configs/dim_cifar10.py.
CRITICS = {
    "critic=dot": "mixed,critic=dot,bound=jsd,budget=smoke",
    "critic=concat": "mixed,critic=concat,budget=smoke",
}


@functools.cache
def configs() -> dict[str, dict]:
    return {name: config_files.load(name) for name in config_files.NAMES}


def config_of(name) -> dict:
    """That of a file, or of words in `CRITICS`."""
    return configs()[name] if name in configs() else config_files.load("dim_cifar10", CRITICS[name])


# They compile longest, and their methods' tests compare losses and gradients with loops.
COSTLY = {"cmc", "cpc_strided", "wpc", "cpc_v2"}
# Made by the same function as SimCLR's method (`projection.method`): over devices only.
LIKE_SIMCLR = {"barlow", "sigreg", "vicreg"}
MONITORED = "supervised"  # the smallest method with a monitoring probe
# Of methods that other configs have.
REPEATED = {"arrays", "views"}
# Compared over devices by the tests of their methods, or DIM with other sizes.
OVER_DEVICES_ELSEWHERE = {"cmc", "cpc_strided", "cpc_v2", "dim_celeba", "dim_strided"}


@functools.cache
def representatives() -> set[str]:
    """For each method but a few the config with the smallest images, the first one by name."""
    cheapest: dict[str, tuple] = {}
    for name, config in configs().items():
        side, channels = shape_of(config)
        method = wrapped(config["method"])["name"]
        cheapest[method] = min(cheapest.get(method, (math.inf,)), (side * side * channels, name))
    return {name for _, name in cheapest.values()} - COSTLY - LIKE_SIMCLR


def structure(tree) -> str:
    """A method's block with its names, switches and numbers of layers, without its numbers.

    Nor with the image size at the end of networks' names, as in `dcgan64`.
    """
    if isinstance(tree, dict):
        return str({key: structure(value) for key, value in sorted(tree.items())})
    if isinstance(tree, list | tuple):
        return str([structure(value) for value in tree])
    if isinstance(tree, str):
        return re.sub(r"(?<=[a-z])\d+\b", "", tree)
    is_number = isinstance(tree, int | float) and not isinstance(tree, bool)
    return "a number" if is_number else str(tree)


def kinds() -> list[str]:
    """Of the configs whose methods are of the same structure, the one with the smallest images."""
    first: dict[str, str] = {}
    among = [name for name in configs() if name not in REPEATED]
    for name in sorted(among, key=lambda name: shape_of(configs()[name])):
        first.setdefault(structure(wrapped(configs()[name]["method"])), name)
    return sorted(first.values())


def names(fast, among=config_files.NAMES) -> list:
    """The names of configs as parameters, slow but for those in `fast`."""
    return [
        pytest.param(name, marks=() if name in fast else pytest.mark.slow, id=name)
        for name in among
    ]


def cases(fast, among=config_files.NAMES):
    """The cases of configs, slow but for those in `fast`; one config after the other."""
    return pytest.mark.parametrize("case", names(fast, among), indirect=True, scope="module")


compiled = [name for name in kinds() if name not in LIKE_SIMCLR]
each_method = cases(representatives(), compiled)
each_on_devices = cases(
    (), [*(name for name in kinds() if name not in OVER_DEVICES_ELSEWHERE), *CRITICS]
)
# Beside the monitoring probe, which is the same for all.
several_players = [name for name in compiled if len({*configs()[name]["players"]} - {"probe"}) > 1]
each_of_several_players = cases((), [*several_players, MONITORED])


def batch_of(config) -> contracts.Batch:
    images, labels = images_of(*shape_of(config))
    pixels = data.normalise(jnp.asarray(images[:BATCH]), (0.5,), (0.5,))
    views = [pixels, pixels[:, :, ::-1]][: views_of(config)]
    return contracts.Batch(
        images=jnp.stack(views), labels=jnp.asarray(labels[:BATCH]), index=jnp.arange(BATCH)
    )


# The taps that no loss trains: above the layer that a classifier reads, or without a classifier.
UNREACHED = {"supervised": {"fc", "y"}, "manifold_stack": {"y"}}


@pytest.mark.parametrize("name", names(representatives() | COSTLY | UNREACHED.keys()))
def test_shapes_honour_the_contract(name):
    """Traced, not compiled: losses of players, a state that keeps its structure, all taps."""
    config = configs()[name]
    method, batch = build.make("method", config["method"]), batch_of(config)
    params, state = jax.eval_shape(method.init, jax.random.key(0), batch)
    traced, step = jax.make_jaxpr(method.loss, return_shape=True)(
        params, state, batch, jax.random.key(0), 0
    )
    assert set(params) == set(step.losses) == set(config["players"])
    unreached = reach.unreached_parameters(traced, step, params)
    shape = batch["images"].shape[2:]
    not_judged = reach.unreached_taps(method, params, state, shape, unreached)
    assert set(not_judged) == UNREACHED.get(name, set())
    assert all(loss.shape == () and loss.dtype == jnp.float32 for loss in step.losses.values())
    assert jax.tree.structure(state) == jax.tree.structure(step.state)
    shapes = [
        jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (state, step.state)
    ]
    assert shapes[0] == shapes[1]
    taps = jax.eval_shape(method.represent, params, state, batch["images"][0])
    assert set(contracts.PROBED_TAPS) <= taps.keys()
    assert all(tap.shape[0] == BATCH and tap.dtype == jnp.float32 for tap in taps.values())
    # `load_encoder` compares the weights of an export with those of the encoder alone.
    encoder = build.make("encoder", wrapped(config["method"])["encoder"])
    alone = jax.eval_shape(encoder.init, jax.random.key(0), batch["images"][0, :1])
    exported = (params["encoder"]["encoder"], state["encoder"])
    assert tree_leaves.named_leaves(alone) == tree_leaves.named_leaves(exported)


def record_gradients() -> optax.GradientTransformation:
    """Passes gradients on, and keeps them as its state."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda gradients, _, params=None: (gradients, gradients),
    )


class Case:
    """One config's method with one batch; each of its two programs is compiled once."""

    def __init__(self, name):
        self.config = config_of(name)
        self.method = build.make("method", self.config["method"])
        self.batch = batch_of(self.config)
        self.initial = train_step.initial_state(
            self.method,
            lambda params: optax.chain(
                record_gradients(),
                optimizers.make(self.config["players"], total_steps=4, steps_per_epoch=2),
            ),
            SEED,
            self.batch,
        )
        self.players = list(self.initial.params)
        self.first, self.metrics = self.step(self.initial)

    @functools.cached_property
    def _step(self):
        def step(train_state, batch, factors):
            def scaled(*arguments):
                step = self.method.loss(*arguments)
                losses = {name: factors[name] * value for name, value in step.losses.items()}
                return step._replace(losses=losses)

            return train_step.train_step(train_state.replace(apply_fn=scaled), batch, SEED)

        return jax.jit(step)

    def step(self, train_state, **factors):
        """`train_step.train_step`, with the losses of some players scaled."""
        everyone = {name: jnp.float32(factors.get(name, 1)) for name in self.players}
        return self._step(train_state, self.batch, everyone)

    @functools.cached_property
    def represent(self):
        """(taps that the method represents, taps of the network that is exported)."""
        net = build.make("encoder", wrapped(self.config["method"])["encoder"])

        def represent(params, state, images):
            exported, _ = net.apply(
                params["encoder"]["encoder"], state["encoder"], images, train=False
            )
            return self.method.represent(params, state, images), exported

        return jax.jit(represent)


@pytest.fixture(scope="module")
def case(request):
    """One config after the other, and nothing that one compiled stays for the next."""
    yield Case(request.param)
    jax.clear_caches()


def differs(before, after) -> bool:
    """Whether any leaf changed."""
    same = jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), before, after)
    return not all(jax.tree.leaves(same))


@each_method
def test_two_steps_are_finite_and_every_player_moves(case):
    second, metrics = case.step(case.first)
    for metric, value in {**case.metrics, **metrics}.items():
        assert np.isfinite(value), metric
    for player in case.players:
        assert differs(case.initial.params[player], case.first.params[player]), player
        often = case.config["players"][player]["every"] == 1
        assert differs(case.first.params[player], second.params[player]) == often, player
    assert second.step == 2


@each_method
def test_each_player_moves_under_its_own_loss_only(case):
    """With the other players' losses scaled a thousandfold, a player's gradient keeps its bits."""
    plain = case.first.opt_state[0]
    for player in case.players:
        others = [other for other in case.players if other != player]
        scaled = case.step(case.initial, **dict.fromkeys(others, 1000))[0].opt_state[0]
        assert not differs(plain[player], scaled[player]), player
        for other in others:
            assert differs(plain[other], scaled[other]), (player, other)


@each_method
def test_parameters_that_no_loss_reaches_have_no_gradient(case):
    """The walk through the traced losses beside the gradients of a step."""
    gradients = jax.tree_util.tree_leaves_with_path(dict(case.first.opt_state[0]))
    moved = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, gradient in gradients
        if np.any(gradient)
    }
    assert moved and moved.isdisjoint(case.initial.unreached)


@each_method
def test_one_image_does_not_depend_on_the_others(case):
    pixels = case.batch["images"][0]
    among_others = pixels.at[1:].set(-pixels[:0:-1])
    taps, _ = case.represent(case.first.params, case.first.state, pixels)
    changed, _ = case.represent(case.first.params, case.first.state, among_others)
    for tap, features in taps.items():
        np.testing.assert_allclose(features[0], changed[tap][0], rtol=1e-4, atol=1e-5, err_msg=tap)
    assert differs([taps[tap][1:] for tap in taps], [changed[tap][1:] for tap in taps])


@each_method
def test_the_exported_encoder_is_where_the_contract_says(case):
    taps, exported = case.represent(case.first.params, case.first.state, case.batch["images"][0])
    for tap in contracts.PROBED_TAPS:
        np.testing.assert_allclose(exported[tap], taps[tap], rtol=1e-5, atol=1e-6)


@each_of_several_players
def test_gradient_is_that_of_the_players_own_loss(case):
    """The shared pull-back equals `jax.grad` of one player's loss with respect to its params."""

    @jax.jit
    @jax.grad
    def gradients(params, weights):
        rng = jax.random.fold_in(jax.random.fold_in(jax.random.key(SEED), 1), 0)
        losses = case.method.loss(params, case.initial.state, case.batch, rng, 0).losses
        return sum(weights[player] * value for player, value in losses.items())

    shared = case.first.opt_state[0]
    for player in case.players:
        alone = gradients(
            case.initial.params, {other: float(other == player) for other in case.players}
        )
        jax.tree.map(same_gradient, shared[player], alone[player])


def same_gradient(shared, alone) -> None:
    """Equal but for rounding, which is that of the largest entries."""
    scale = max(1.0, np.abs(alone).max(initial=0.0))
    np.testing.assert_allclose(shared, alone, rtol=2e-3, atol=1e-4 * scale)


@each_on_devices
def test_eight_devices_equal_one(case):
    """Metrics of two steps on resident data, and the state between them.

    16 images a batch over 1 and over 8 devices.

    By gradient descent, not Adam: its first step is the sign of the gradient, so that a weight
    whose gradient is rounding noise moves either way. Clipped: a loss that is a sum over pixels
    has gradients in the thousands.
    """
    images, labels = images_of(*shape_of(case.config))
    # Not flat anywhere: of equal maxima in a pooling window, rounding would choose.
    noise = np.random.default_rng(0).integers(0, 64, images.shape, np.uint8)
    split = data.Split(images // 4 * 3 + noise, labels)
    descent = optax.chain(optax.clip_by_global_norm(10.0), optax.sgd(0.01))
    initial = case.initial.replace(tx=descent, opt_state=descent.init(case.initial.params))
    views = dict(views=views_of(case.config), flip_shared=False)
    change = augment.pipeline(flip=views["views"] > 1, **views)
    prepared = preprocessing.Preprocessing((0.5,), (0.5,), change, views["views"])

    def run(devices):
        mesh = train_step.mesh(devices)
        dispatch = train_step.make_dispatch(prepared, SEED, BATCH, len(split.images), mesh)
        whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        state = jax.device_put(jax.tree.map(jnp.copy, initial), whole)
        arrays = jax.device_put((split.images, split.labels), whole)
        program = dispatch.lower(state, *arrays, count=1).compile()
        state, first = program(state, *arrays)
        between = jax.device_get((state.params, state.state))
        return between, (first, program(state, *arrays)[1]), program

    one, one_metrics, _ = run(jax.devices()[:1])
    eight, eight_metrics, program = run(jax.devices()[:8])
    check_compiled(program, initial, wrapped(case.config["method"])["name"])
    for ours, theirs in zip(one_metrics, eight_metrics, strict=True):
        for metric, value in ours.items():
            # Ranks follow from eigenvalues of float32 products, the least of them mostly rounding.
            rtol = {"features": 5e-3, "grad_norm": 5e-4}.get(metric.partition("/")[0], 1e-4)
            np.testing.assert_allclose(value, theirs[metric], rtol=rtol, atol=1e-4, err_msg=metric)
    jax.tree.map(same_but_for_rounding, one, eight)


# Arrays that devices gather in a step: of DIM the anchors of two terms and the bias of one, of CPC
# the predictions and two numbers of each for three offsets, of the others one side of each matrix.
GATHERS = {"dim": 3, "amdim": 4, "cpc": 9, "cmc": 2}
OF_TAPS = 3  # after the steps of a dispatch, for the signs of learning
TEMPORARY_MIB = 16  # of each device; the smoke configs take 0.4 to 5


def check_compiled(program, initial, method) -> None:
    """What must hold on any accelerator: see `test_a_step_on_a_gpu`."""
    text = program.as_text()
    assert "f64[" not in text
    donated = re.findall(r"\(\d+, \{\}, (?:may|must)-alias\)", text)
    assert len(donated) == len(jax.tree.leaves(initial))
    if method not in GATHERS:
        return
    gathered = re.findall(r"= \(?\w+\[([\d,]*)\]\S* all-gather(?:-start)?\(", text)
    assert 1 <= len(gathered) <= GATHERS[method] + OF_TAPS
    # No maps of features, but of CPC with negatives of the same place those of one side.
    most = 3 if method == "cpc" else 2
    assert all(len(shape.split(",")) <= most for shape in gathered)
    assert not re.search(r" (all-to-all|collective-permute|reduce-scatter)(-start)?\(", text)
    assert program.memory_analysis().temp_size_in_bytes < TEMPORARY_MIB * 2**20


def lowered_for_gpu(name, monkeypatch) -> str:
    """The StableHLO of a config's step, with the convolutions that a GPU runs."""
    monkeypatch.setattr(products, "on_cpu", lambda: False)
    config = configs()[name]
    method = build.make("method", wrapped(config["method"]))
    batch = jax.eval_shape(lambda: batch_of(config))
    step = jax.jit(functools.partial(train_step.player_gradients, method.loss))
    params, state = jax.eval_shape(method.init, jax.random.key(0), batch)
    return step.lower(params, state, batch, jax.random.key(0), 0).as_text()


ON_GPU = {"dim": "dim_cifar10", "amdim": "amdim_cifar10", "cpc": "cpc_strided", "cmc": "cmc"}


@pytest.mark.parametrize(
    "method",
    ["dim", *(pytest.param(name, marks=pytest.mark.slow) for name in ("amdim", "cpc", "cmc"))],
)
def test_a_step_on_a_gpu(method, monkeypatch):
    """No float64; convolutions of images as they lie, and no transposed copies of them.

    What the matrix products of the CPU take instead, patches and their blocks of pixels, has the
    batch as its first axis, as maps of features have; kernels have not.
    """
    text = lowered_for_gpu(ON_GPU[method], monkeypatch)
    assert "f64" not in text
    assert text.count("stablehlo.convolution") >= 6
    encoded = BATCH * 49 if method == "cpc" else BATCH  # crops, or images
    for shape in re.findall(r"stablehlo\.transpose.*: \(tensor<([^>]*)>\)", text):
        assert shape.count("x") < 4 or not shape.startswith(f"{encoded}x"), shape


def same_but_for_rounding(one, eight) -> None:
    """Equal to a thousandth, but for a unit in a hundred.

    One whose input lies at the threshold of its ReLU is on after one rounding and off after
    another, so that the few weights below it get other gradients: still of one example only.
    """
    apart = np.abs(one - eight)
    assert np.max(apart, initial=0.0) < 1e-3
    assert np.mean(apart > 1e-5 + 1e-3 * np.abs(eight)) <= 0.01


@pytest.mark.slow
def test_a_probe_leaves_the_wrapped_method_bit_equal(config):
    """The monitored method's own parameters move exactly as without the monitor."""
    plain = config("quickstart")["method"]["method"]
    method = build.make("method", plain)
    classifier = build.make("classifier", config("quickstart")["method"]["classifier"])
    watched = probe.make(method=method, classifier=classifier, taps=("y",))
    images, labels = images_of(32, 1)
    batch = contracts.Batch(
        images=data.normalise(jnp.asarray(images[:16]), (0.5,), (0.5,))[None],
        labels=jnp.asarray(labels[:16]),
        index=jnp.arange(16),
    )
    params, state = method.init(jax.random.split(jax.random.key(0), 3)[0], batch)
    rng = jax.random.key(5)
    alone, _ = jax.jit(functools.partial(train_step.player_gradients, method.loss))(
        params, state, batch, jax.random.split(rng)[0], 0
    )
    both, both_state = watched.init(jax.random.key(0), batch)
    beside, _ = jax.jit(functools.partial(train_step.player_gradients, watched.loss))(
        both, both_state, batch, rng, 0
    )
    for player in params:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
            alone[player],
            beside[player],
        )
