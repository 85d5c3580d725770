"""A separable critic of two small networks, fitted by a bound on top of another critic."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import bounds
from dim_jax.mi.result import CurvePoint

_LARGEST_SCORE = 6.0  # nats, in validation: single outliers do not decide when to stop
_GAIN = 1e-4  # nats, of a round that counts as better
_TRIED, _BEHIND = 6, 0.05  # rounds, and nats below other critics after which they end
Images = tuple[tuple[int, ...] | None, tuple[int, ...] | None]  # shapes (h, w, c) of x and y
_CHANNELS = (16, 32)  # of the convolutions, 3x3 with stride 2
_MOVED = 2  # pixels
_BUCKET = 256  # rows are padded to a multiple, so that similar numbers of samples share a program


def embed(params: dict, rows: jax.Array, image: tuple[int, ...] | None = None) -> jax.Array:
    """The outputs f32[n,1+outputs] of one network on features f32[n,k], pixels of an `image`."""
    if image is not None:
        maps = rows.reshape(-1, *image)
        for number in range(len(_CHANNELS)):
            name = f"convolution{number}"
            maps = jax.nn.gelu(_patches(maps) @ params[name] + params[f"{name}_bias"])
        rows = maps.reshape(len(rows), -1)
    hidden = jax.nn.gelu(rows @ params["first"] + params["first_bias"])
    hidden += jax.nn.gelu(hidden @ params["second"] + params["second_bias"])
    return hidden @ params["outputs"] + params["outputs_bias"]


def _scores(params: dict, x: jax.Array, y: jax.Array, images: Images) -> jax.Array:
    left, right = (
        embed(params[side], rows, image)
        for side, rows, image in zip("xy", (x, y), images, strict=True)
    )
    products = left[:, 1:] @ right[:, 1:].T / np.sqrt(left.shape[1] - 1)
    return products + left[:, :1] + right[:, 0]


def _both_ways(scores: jax.Array, memory: Any) -> tuple[jax.Array, Any]:
    return (bounds.infonce(scores) + bounds.infonce(scores.T)) / 2, memory


def _robust_donsker_varadhan(scores: jax.Array) -> jax.Array:
    return bounds.donsker_varadhan(jnp.minimum(scores, _LARGEST_SCORE))


class Objective(NamedTuple):
    """The value that is maximised.

    train: (scores f32[m,m] of a batch, memory) -> (value f32[], new memory).
    validate: scores f32[m,m] of the validation samples -> value f32[].
    memory: () -> the memory before the first batch, any tree.
    critic: (params, x f32[n,k], y f32[m,k], images) -> scores f32[n,m], by `embed`.
    """

    train: Callable = _both_ways
    validate: Callable = _robust_donsker_varadhan
    memory: Callable[[], Any] = tuple
    critic: Callable = _scores


class Settings(NamedTuple):
    """Size and fit of the networks.

    members: networks that start and draw differently, whose scores are averaged.
    hidden, outputs: units of both layers of each network, and products that a score sums.
    batch: pairs of a step. epochs: of the learning rate's half cosine.
    every: epochs between two validations. patience: of them without gain, then the fit ends.
    average: decay of the moving average of the parameters, which validation and critic use.
    images: shapes (h, w, c) of x and y, None of columns. Images pass two convolutions first, and
      training moves those of a batch by up to two pixels.
    objective: of the fit, InfoNCE in both directions; of validation, Donsker-Varadhan.
    """

    members: int = 1
    hidden: int = 128
    outputs: int = 32
    batch: int = 512
    learning_rate: float = 2e-3
    decay: float = 1e-3
    epochs: int = 40
    every: int = 2
    patience: int = 3
    average: float = 0.95
    images: Images = (None, None)
    objective: Objective = Objective()

    def of_images(self, x: tuple[int, ...] | None, y: tuple[int, ...] | None) -> "Settings":
        """The same for these shapes; of images, with one network and more epochs."""
        if x is None and y is None:
            return self
        return self._replace(images=(x, y), members=1, patience=6)


class Rows(NamedTuple):
    """Samples: features f32[n,k] of both sides, and terms f32[n,r] of the critic beneath.

    The score of that critic for a pair is a0 + b0 + a1 b1 + a2 b2 + ...
    """

    x: jax.Array
    y: jax.Array
    left: jax.Array
    right: jax.Array


class Network(NamedTuple):
    """Fitted networks. score(x f32[n,k], y f32[m,k]) -> f32[n,m]; `gain` on validation, in nats."""

    params: dict
    settings: Settings
    gain: float
    curve: tuple[CurvePoint, ...]

    def score(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(_mean_scores(self.params, jnp.asarray(x), jnp.asarray(y), self.settings))


def fit(
    settings: Settings,
    training: Rows,
    validation: Rows,
    seed: int,
    fold: int = 0,
    needed: float = -np.inf,
    progress: Callable[[float], None] | None = None,
) -> Network:
    """The networks of the largest value on the validation samples, zero scores at first.

    Args:
      needed: the value in nats that other critics reach; a fit that is far below it after some
        epochs ends.
    """
    key, count = jax.random.key(seed), len(training.x)
    batch = min(settings.batch, count)
    padded = -(-count // _BUCKET) * _BUCKET
    data = Rows(*(_padded(array, padded) for array in training))
    checked = Rows(*map(jnp.asarray, validation))
    key, start = jax.random.split(key)
    state = _start(start, settings, data.x.shape[1], data.y.shape[1])
    steps = max(count // batch, 1) * settings.every
    rounds = settings.epochs // settings.every
    first = best = float(_validate(state.average, checked, settings))
    chosen, curve, since = state.average, [CurvePoint(fold, 0, first, first)], 0
    for number in range(rounds):
        key, part = jax.random.split(key)
        state, value = _train(
            *(state, data, count, part, steps * rounds),
            **dict(settings=settings, steps=steps, batch=batch),
        )
        now = float(_validate(state.average, checked, settings))
        curve.append(CurvePoint(fold, (number + 1) * steps, float(value), now))
        if progress:
            progress((number + 1) / rounds)
        if now > best + _GAIN:
            best, chosen, since = now, state.average, 0
        elif (since := since + 1) >= settings.patience:
            break
        slow = any(settings.images)  # which need more epochs than columns
        if not slow and number + 1 == _TRIED and best < needed - _BEHIND:
            break
    return Network(chosen, settings, best - first, tuple(curve))


class _State(NamedTuple):
    params: dict
    mean: dict
    square: dict
    average: dict
    step: jax.Array
    memory: Any


def _padded(array: np.ndarray, count: int) -> jax.Array:
    return jnp.asarray(np.pad(array, ((0, count - len(array)), (0, 0))))


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _start(key, settings: Settings, x: int, y: int) -> _State:
    def one(key):
        keys = jax.random.split(key)
        sizes = dict(zip("xy", zip(keys, (x, y), settings.images, strict=True), strict=True))
        params = {side: _layers(*size, settings) for side, size in sizes.items()}
        # Scores of zero, and gradients that are not: y's products stay as they are drawn.
        params["x"]["outputs"] = jnp.zeros_like(params["x"]["outputs"])
        params["y"]["outputs"] = params["y"]["outputs"].at[:, 0].set(0.0)
        return params

    params = jax.vmap(one)(jax.random.split(key, settings.members))
    zeros = jax.tree.map(jnp.zeros_like, params)
    memory = jax.vmap(lambda _: settings.objective.memory())(jnp.arange(settings.members))
    return _State(params, zeros, zeros, params, jnp.zeros(()), memory)


def _layers(key, inputs: int, image, settings: Settings) -> dict[str, jax.Array]:
    convolutions = {}
    if image is not None:
        height, width, channels = image
        for number, outputs in enumerate(_CHANNELS):
            convolutions[f"convolution{number}"] = (9 * channels, outputs)
            height, width, channels = -(-height // 2), -(-width // 2), outputs
        inputs = height * width * channels
    sizes = {
        **convolutions,
        "first": (inputs, settings.hidden),
        "second": (settings.hidden, settings.hidden),
        "outputs": (settings.hidden, settings.outputs + 1),
    }
    params = {}
    for name, shape in sizes.items():
        key, part = jax.random.split(key)
        params[name] = jax.random.normal(part, shape) / np.sqrt(shape[0])
        params[f"{name}_bias"] = jnp.zeros(shape[1])
    return params


def _patches(maps: jax.Array) -> jax.Array:
    """f[n,h',w',9c]: the 3x3 surroundings of every second pixel of f[n,h,w,c]."""
    padded = jnp.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = maps.shape[1:3]
    parts = [padded[:, i : i + height : 2, j : j + width : 2] for i in range(3) for j in range(3)]
    return jnp.concatenate(parts, axis=-1)


def _moved(key, rows: jax.Array, image: tuple[int, ...] | None) -> jax.Array:
    """The images of a batch, all moved by as many pixels; edges come in again at the other side."""
    if image is None:
        return rows
    by = jax.random.randint(key, (2,), -_MOVED, _MOVED + 1)
    return jnp.roll(rows.reshape(-1, *image), by, axis=(1, 2)).reshape(rows.shape)


@functools.partial(jax.jit, static_argnums=3)
def _mean_scores(params: dict, x: jax.Array, y: jax.Array, settings: Settings) -> jax.Array:
    return jnp.mean(
        jax.vmap(lambda each: settings.objective.critic(each, x, y, settings.images))(params),
        axis=0,
    )


def _beneath(rows: Rows) -> jax.Array:
    return rows.left[:, :1] + rows.left[:, 1:] @ rows.right[:, 1:].T + rows.right[:, 0]


@functools.partial(jax.jit, static_argnums=2)
def _validate(params: dict, rows: Rows, settings: Settings) -> jax.Array:
    scores = _mean_scores(params, rows.x, rows.y, settings) + _beneath(rows)
    return settings.objective.validate(scores)


@functools.partial(jax.jit, static_argnames=("settings", "steps", "batch"))
def _train(
    state: _State, rows: Rows, count, key, total, *, settings: Settings, steps: int, batch: int
) -> tuple[_State, jax.Array]:
    """The state after `steps` steps of Adam, and the mean value of their batches."""

    def loss(params, key, memory):
        drawn = jax.random.randint(key, (batch,), 0, count)
        part = Rows(*(array[drawn] for array in rows))
        keys = jax.random.split(key)
        x, y = map(_moved, keys, (part.x, part.y), settings.images)
        scores = settings.objective.critic(params, x, y, settings.images) + _beneath(part)
        value, memory = settings.objective.train(scores, memory)
        return -value, memory

    def step(state, key):
        number = state.step + 1
        keys = jax.random.split(key, settings.members)
        slope = jax.value_and_grad(loss, has_aux=True)
        (losses, memory), slopes = jax.vmap(slope)(state.params, keys, state.memory)
        progress = jnp.minimum(number / total, 1.0)
        rate = settings.learning_rate * jnp.minimum(number / 10, 1.0)
        rate *= (1 + jnp.cos(jnp.pi * progress)) / 2
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.mean, slopes)
        square = jax.tree.map(lambda s, g: 0.99 * s + 0.01 * g**2, state.square, slopes)

        def update(param, m, s):
            scaled = (m / (1 - 0.9**number)) / (jnp.sqrt(s / (1 - 0.99**number)) + 1e-8)
            return param - rate * (scaled + settings.decay * param)

        params = jax.tree.map(update, state.params, mean, square)
        decay = settings.average
        average = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, state.average, params)
        return _State(params, mean, square, average, number, memory), -jnp.mean(losses)

    state, values = jax.lax.scan(step, state, jax.random.split(key, steps))
    return state, jnp.mean(values)
