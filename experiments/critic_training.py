"""Small critics of flat samples, trained by the bounds of mutual information and read out by them.

    trainer = critic_training.trainer(critic_training.separable(), "jensen_shannon", draw)
    state = critic_training.start(trainer, key, given)
    state, values = critic_training.train(trainer, state, given, steps)  # {estimator: f32[steps]}
    _, values = critic_training.train(trainer, state, given, batches, learn=False)

An estimator is a training objective and a value that is read out: `ESTIMATORS` {name: (objective,
value)}. Those of one objective share its training, and `train` returns the values of all of them
(of a choice: `trainer(..., estimators=...)`).

draw(key, given) -> (x f[n,a], y f[n,b]) draws the joint pairs of a batch; `given` is any tree of
arrays (a correlation, a data set, the number of visible rows), which may change between two calls
of `train` without compiling again. A value is that of the batch before the step that learns from
it: where every batch is drawn anew, that of a fresh batch.

All functions can be mapped: over seeds, `jax.vmap(lambda state: train(trainer, state, given,
steps))(states)`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dim_jax import bounds, contracts
from dim_jax.nets import critics, generators, heads, products

Tree = Any
WIDTHS = (256, 256)  # hidden units, ReLU; Poole et al. 2019, from memory
EMBEDDING = 32
LEARNING_RATE = 5e-4
DECAY = 0.9  # of MINE's moving average


class Critic(NamedTuple):
    """Scores of pairs, and log a(y), a number for each y that some bounds learn beside them.

    init(key, x f[n,a], y f[m,b]) -> params
    scores(params, x f[n,a], y f[m,b]) -> f32[n,m], of all pairs
    init_baseline(key, y f[m,b]) -> params
    baseline(params, y f[m,b]) -> f32[m]
    """

    init: Callable[..., Tree]
    scores: Callable[..., jax.Array]
    init_baseline: Callable[..., Tree]
    baseline: Callable[..., jax.Array]


def separable(*, widths: Sequence[int] = WIDTHS, embedding: int = EMBEDDING) -> Critic:
    """Dot products g(x) h(y) of the outputs of two networks, without bias."""
    net = generators.mlp_generator(widths=widths, shape=(embedding,))

    def init(key, x, y):
        keys = jax.random.split(key)
        return [net.init(each, rows)[0] for each, rows in zip(keys, (x, y), strict=True)]

    def scores(params, x, y):
        sides = zip(params, (x, y), strict=True)
        g, h = (net.apply(each, {}, rows, train=True)[0] for each, rows in sides)
        return products.dot_of_rows(g, h)

    return Critic(init, scores, *_baseline(widths))


def joint(*, widths: Sequence[int] = WIDTHS, compute_dtype: str = "float32") -> Critic:
    """One network on [x, y], whose first layer is applied to each side (`nets.critics.concat`).

    Products in bfloat16 take two thirds of the time on a CPU that has them.
    """
    net = critics.concat(widths=widths)

    def scores(params, x, y):
        return net.all_pairs(params, {}, x, y, train=True)[0]

    scores = products.computed_in(scores, compute_dtype)
    return Critic(lambda key, x, y: net.init(key, x, y)[0], scores, *_baseline(widths))


def gaussian(*, widths: Sequence[int] = WIDTHS) -> Critic:
    """Log-likelihoods as scores: log q(y | x), a normal law whose columns are independent, and as
    baseline log q(y), one with a mean and variance for each column."""

    def net(y):
        return generators.mlp_generator(widths=widths, shape=(2, y.shape[1]))

    def scores(params, x, y):
        of_x, _ = net(y).apply(params, {}, x, train=True)
        return _log_normal(of_x[:, None], y[None])

    def init_baseline(key, y):
        del key
        return jnp.zeros((2, y.shape[1]))

    return Critic(
        lambda key, x, y: net(y).init(key, x)[0],
        scores,
        init_baseline,
        lambda params, y: _log_normal(params[None], y),
    )


def _log_normal(parameters: jax.Array, y: jax.Array) -> jax.Array:
    """Of y f[...,b] at means and log deviations f[...,2,b], f[...]."""
    mean, log_deviation = parameters[..., 0, :], parameters[..., 1, :]
    scaled = (y - mean) * jnp.exp(-log_deviation)
    return -jnp.sum(scaled**2 / 2 + log_deviation + jnp.log(2 * jnp.pi) / 2, axis=-1)


def _baseline(widths: Sequence[int]) -> tuple[Callable, Callable]:
    net = heads.discriminator(widths=widths)
    return (
        lambda key, y: net.init(key, y)[0],
        lambda params, y: net.apply(params, {}, y, train=True)[0],
    )


CRITICS = {"separable": separable, "joint": joint}


class Objective(NamedTuple):
    """The function that training maximises.

    surrogate: (scores f32[n,n], log a(y) f32[n], memory) -> (f32[], new memory); the gradient is
      that of the first. Without `learns_baseline` log a(y) is 0.
    memory: () -> the memory before the first batch, any tree.
    """

    surrogate: Callable[..., tuple[jax.Array, Tree]]
    learns_baseline: bool = False
    memory: Callable[[], Tree] = tuple


class Estimator(NamedTuple):
    """value: (scores f32[n,n], log a(y) f32[n]) -> f32[], read out of a critic of the objective."""

    objective: str
    value: Callable[[jax.Array, jax.Array], jax.Array]


def _of_scores(bound: Callable, **options) -> Callable:
    return lambda scores, _: bound(scores, **options)


def _with_baseline(bound: Callable, **options) -> Callable:
    return lambda scores, log_a: bound(scores, log_baseline=log_a, **options)


def _mine(scores, _, memory):
    _, surrogate, memory = bounds.mine(scores, state=memory, decay=DECAY)
    return surrogate, memory


def _likelihood(scores, log_marginal, memory):
    return jnp.mean(jnp.diagonal(scores)) + jnp.mean(log_marginal), memory


def _entropies(scores, log_marginal):
    return bounds.difference_of_entropies(log_marginal, jnp.diagonal(scores))


def _nwj(scores: jax.Array) -> jax.Array:
    return bounds.nwj(scores + 1)  # optimal at the log density ratio, 0 at zero


OBJECTIVES: dict[str, Objective] = {
    "mine": Objective(_mine, memory=bounds.mine_state),
    # Of `gaussian` alone, whose scores are log-likelihoods.
    "likelihood": Objective(_likelihood, learns_baseline=True),
}
ESTIMATORS: dict[str, Estimator] = {
    "mine": Estimator("mine", _of_scores(bounds.donsker_varadhan)),
    "difference_of_entropies": Estimator("likelihood", _entropies),
}


def _add(name: str, value: Callable, *, learns_baseline: bool = False) -> None:
    """An estimator that is trained by its value, so that its objective has the same name."""
    OBJECTIVES[name] = Objective(
        lambda scores, log_a, memory: (value(scores, log_a), memory), learns_baseline
    )
    ESTIMATORS[name] = Estimator(name, value)


_add("infonce", _of_scores(bounds.infonce))
_add("nwj", _of_scores(_nwj))
_add("donsker_varadhan", _of_scores(bounds.donsker_varadhan))
_add("tuba", _with_baseline(bounds.tuba), learns_baseline=True)
for _alpha in (0.01, 0.5, 0.99):
    _value = _with_baseline(bounds.interpolated, alpha=_alpha)
    _add(f"interpolated_{_alpha}", _value, learns_baseline=True)
    _add(f"interpolated_{_alpha}_unit", _value)
_add("jensen_shannon", _of_scores(bounds.jensen_shannon))  # no estimate of nats: twice JS
# Read out of the critic of Jensen-Shannon, whose optimum is the log density ratio.
ESTIMATORS |= {
    "js_nwj": Estimator("jensen_shannon", _of_scores(_nwj)),  # NWJ at 1 + T
    **{
        f"smile_{tau}": Estimator("jensen_shannon", _of_scores(bounds.smile, tau=float(tau)))
        for tau in (1, 5, "inf")  # inf: Donsker-Varadhan
    },
}


class Trainer(NamedTuple):
    """A critic, its objective, the values to read out, the batches and Adam; made by `trainer`."""

    critic: Critic
    objective: Objective
    values: tuple[tuple[str, Callable], ...]
    draw: Callable[[jax.Array, Tree], tuple[jax.Array, jax.Array]]
    learning_rate: float


class State(NamedTuple):
    """params: {"critic": .., "baseline": ..}, the second where the objective learns one."""

    params: dict[str, Tree]
    optimizer: Tree
    memory: Tree
    key: jax.Array


def estimators_of(objective: str) -> tuple[str, ...]:
    """The names of the estimators that are read out of critics of this objective."""
    return tuple(name for name, each in ESTIMATORS.items() if each.objective == objective)


def trainer(
    critic: Critic,
    objective: str,
    draw: Callable,
    *,
    learning_rate: float = LEARNING_RATE,
    estimators: Sequence[str] | None = None,
) -> Trainer:
    """A trainer of `critic` by an objective of `OBJECTIVES`. Make it once: it is a key of programs.

    Raises: contracts.UserError: an unknown objective, or an estimator of another objective.
    """
    if objective not in OBJECTIVES:
        raise contracts.unknown("objective", objective, OBJECTIVES)
    known = estimators_of(objective)
    for name in estimators or ():
        if name not in known:
            raise contracts.unknown(f"estimator of {objective}", name, known)
    values = tuple((name, ESTIMATORS[name].value) for name in estimators or known)
    return Trainer(critic, OBJECTIVES[objective], values, draw, learning_rate)


@functools.partial(jax.jit, static_argnums=0)
def start(trainer: Trainer, key: jax.Array, given: Tree = None) -> State:
    """The untrained critic."""
    key, of_critic, of_baseline, of_batch = jax.random.split(key, 4)
    x, y = trainer.draw(of_batch, given)
    params = {"critic": trainer.critic.init(of_critic, x, y)}
    if trainer.objective.learns_baseline:
        params["baseline"] = trainer.critic.init_baseline(of_baseline, y)
    return State(params, _adam(trainer).init(params), trainer.objective.memory(), key)


@functools.partial(jax.jit, static_argnums=(0, 3), static_argnames=("learn",))
def train(
    trainer: Trainer, state: State, given: Tree, steps: int, *, learn: bool = True
) -> tuple[State, Mapping[str, jax.Array]]:
    """The state after `steps` batches, and the values of each, {estimator: f32[steps]}.

    Args:
      learn: False leaves the critic as it is, and only measures it on new batches.
    """

    def loss(params, memory, x, y):
        scores, log_a = scores_and_baseline(trainer, params, x, y)
        surrogate, memory = trainer.objective.surrogate(scores, log_a, memory)
        return -surrogate, (memory, read_out(trainer, scores, log_a))

    def step(state: State, _):
        key, of_batch = jax.random.split(state.key)
        x, y = trainer.draw(of_batch, given)
        if not learn:
            scores, log_a = scores_and_baseline(trainer, state.params, x, y)
            return state._replace(key=key), read_out(trainer, scores, log_a)
        gradient, (memory, values) = jax.grad(loss, has_aux=True)(state.params, state.memory, x, y)
        updates, optimizer = _adam(trainer).update(gradient, state.optimizer)
        return State(optax.apply_updates(state.params, updates), optimizer, memory, key), values

    return jax.lax.scan(step, state, length=steps)


def scores_and_baseline(
    trainer: Trainer, params: dict[str, Tree], x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Scores f32[n,m] of all pairs and log a(y) f32[m], 0 where the objective learns none."""
    scores = trainer.critic.scores(params["critic"], x, y)
    if "baseline" not in params:
        return scores, jnp.zeros(len(y))
    return scores, trainer.critic.baseline(params["baseline"], y)


def read_out(trainer: Trainer, scores: jax.Array, log_a: jax.Array) -> dict[str, jax.Array]:
    """The values of all estimators of the trainer, {name: f32[]}."""
    scores, log_a = jax.lax.stop_gradient((scores, log_a))
    return {name: value(scores, log_a) for name, value in trainer.values}


def _adam(trainer: Trainer) -> optax.GradientTransformation:
    """Adam; a step whose gradient is not finite, as exponential bounds have them, is left out."""
    return optax.apply_if_finite(optax.adam(trainer.learning_rate), max_consecutive_errors=2**30)
