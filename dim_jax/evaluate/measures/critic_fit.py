"""Critics of the dependence measures: fitted on pairs, reported as a Donsker-Varadhan value.

A critic T scores one joint sample (column 0) and some product samples (the other columns) in every
row of f[n, 1 + products]. It is trained by an objective on some pairs and reported on others by

    mean over joint of T - log mean over product of exp(T)

On other pairs than those of the training the value is that of a fixed critic: its expectation over
samples is a lower bound of the divergence of joint and product, but for the error of the log of a
mean over finitely many products. That error is small while the value is well below the log of their
number and without control above it. On the pairs of the training there is no bound at all: the
critic has learned those very samples.

Source: Donsker and Varadhan 1983; Belghazi et al. 2018 (MINE).
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dim_jax import bounds, contracts
from dim_jax.data import random_streams
from dim_jax.data.random_streams import Stream
from dim_jax.evaluate import fit
from dim_jax.nets import pure

# Two arrays; row i of one belongs to row i of the other.
Pairs = tuple[np.ndarray | jax.Array, np.ndarray | jax.Array]

_FEWEST = 4  # two pairs are held out and two trained on; each lends the other its product


class CriticFit(NamedTuple):
    """The fit of a critic by Adam, and its report as a Donsker-Varadhan value.

    batch: pairs a step, all of them where there are fewer; a last, smaller batch is dropped.
    milestones: steps at which the rate falls to a tenth; None = half a cosine down to zero.
    products: product samples in training for each joint one.
    held_out: the part of the training pairs that is not trained on and chooses, every
      `check_every` steps, the critic that is reported; 0 = the critic of the last step.
    reported_products: product samples in the reported value for each joint one.
    """

    batch: int
    steps: int
    learning_rate: float
    milestones: tuple[int, ...] | None
    products: int
    held_out: float
    check_every: int
    reported_products: int


class Problem(NamedTuple):
    """A critic and its objective. Equal problems are compiled once, so build each of them once.

    net: inputs -> scores f[n, 1 + products], column 0 the joint samples.
    columns(key, first, second, products) -> inputs of the net, product samples drawn inside the
        batch.
    objective(scores, positives, state) -> (to be maximised, state); its number is not reported.
    state() -> the state of the objective before the first batch.
    """

    net: pure.Net
    columns: Callable[..., tuple[jax.Array, ...]]
    objective: Callable[..., tuple[jax.Array, fit.Tree]]
    state: Callable[[], fit.Tree] = dict


def subset(pairs: tuple[np.ndarray, ...], count: int, seed: int) -> tuple[np.ndarray, ...]:
    """At most `count` of the pairs, drawn at random."""
    if len(pairs[0]) <= count:
        return pairs
    chosen = random_streams.generator(Stream.CRITIC_EXAMPLES, seed).choice(
        len(pairs[0]), count, replace=False
    )
    return tuple(array[chosen] for array in pairs)


def estimate(problem: Problem, train: Pairs, test: Pairs, settings: CriticFit, seed: int) -> float:
    """The Donsker-Varadhan value, in nats, of a critic fitted on `train` and reported on `test`.

    Larger is more dependent; below 0 the critic has learned nothing that holds for `test`.

    Raises:
      UserError: too few pairs to draw products from, or a value that is not finite.
    """
    for name, pairs in (("train", train), ("test", test)):
        if len(pairs[0]) < _FEWEST:
            raise contracts.UserError(
                f"{len(pairs[0])} {name} images are too few for a critic; it needs {_FEWEST} or "
                "more, and thousands to be worth its number: remove this evaluation from evals"
            )
    train, test = jax.tree.map(jnp.asarray, (train, test))
    params = fitted(problem, train, settings, seed)
    estimated = value(problem, params, test, settings, jax.random.fold_in(jax.random.key(seed), 3))
    if not np.isfinite(estimated):
        raise contracts.UserError(
            f"the critic's value is {estimated} on {len(test[0])} images: its training diverged or "
            "the representation is not finite; look at the representation, or choose a protocol "
            "with a held-out part, such as ndm-v1"
        )
    return estimated


def fitted(problem: Problem, pairs: Pairs, settings: CriticFit, seed: int) -> fit.Tree:
    """The parameters after the last step, or those of the best check on the held-out pairs.

    The critic before the first step takes part in that choice: where nothing can be learned the
    value stays near 0.
    """
    random = random_streams.generator(Stream.CRITIC_ORDER, seed)
    init_key, step_key, check_key = jax.random.split(jax.random.key(seed), 3)
    order = random.permutation(len(pairs[0])).astype(np.int32)
    held = max(2, round(settings.held_out * len(order))) if settings.held_out else 0
    held_out = jax.tree.map(lambda array: array[order[:held]], pairs)
    transformation = _optimizer(settings)
    fits = _start(problem, pairs, transformation, init_key)
    loss = _loss(problem, settings.products)
    batches = itertools.chain.from_iterable(fit.orders(order[held:], settings.batch, random))
    best, best_value = _first(fits.params), -np.inf
    for done in range(0, settings.steps, settings.check_every):
        if held:
            # The same products at every check, so that only the critic makes a difference.
            now = value(problem, _first(fits.params), held_out, settings, check_key)
            if now > best_value:
                best, best_value = _first(fits.params), now
        size = min(settings.check_every, settings.steps - done)
        fits = fit.one_pass(
            fits,
            pairs,
            np.stack(list(itertools.islice(batches, size))),
            jax.random.fold_in(step_key, done)[None],
            loss=loss,
            transformation=transformation,
        )
    last = _first(fits.params)
    if held and not value(problem, last, held_out, settings, check_key) > best_value:
        return best
    return last


def value(
    problem: Problem, params: fit.Tree, pairs: Pairs, settings: CriticFit, key: jax.Array
) -> float:
    """The Donsker-Varadhan value of a critic, in nats, over all the pairs at once.

    Products are drawn inside random blocks of at most `settings.batch` pairs, as in training.
    """
    count = len(pairs[0])
    order = np.asarray(jax.random.permutation(key, count))
    blocks = np.array_split(order, -(-count // settings.batch))
    products = min(settings.reported_products, min(map(len, blocks)) - 1)
    scores = [
        _scores(
            params,
            *(array[block] for array in pairs),
            jax.random.fold_in(key, index),
            problem=problem,
            products=products,
        )
        for index, block in enumerate(blocks)
    ]
    return float(bounds.donsker_varadhan(*_two_kinds(jnp.concatenate(scores))))


def rolled(key: jax.Array, x: jax.Array, y: jax.Array, products: int) -> tuple[jax.Array, ...]:
    """x and y f[n, 1 + products, d]: in row i first y_i, then those of the rows before.

    The batch is in random order, so the rows before are other pairs drawn at random; a random
    permutation would now and then give x_i its own y_i, whose score outweighs all the others.
    """
    del key
    return x, jnp.stack([jnp.roll(y, shift, axis=0) for shift in range(products + 1)], axis=1)


def _two_kinds(scores: jax.Array) -> tuple[jax.Array, np.ndarray]:
    return scores, np.zeros(len(scores), np.int32)


def _first(stacked: fit.Tree) -> fit.Tree:
    return jax.tree.map(lambda leaf: leaf[0], stacked)


def _start(problem: Problem, pairs: Pairs, transformation, key: jax.Array) -> fit.Fits:
    examples = jax.tree.map(lambda array: array[:2], pairs)
    params, stats = problem.net.init(key, *problem.columns(key, *examples, 1))
    if stats:
        raise ValueError("the critic has batch statistics; a fitted critic keeps none: remove them")
    stacked = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], (params, problem.state()))
    return fit.start(*stacked, transformation)


@functools.cache  # one function for each, so that equal fits are compiled once
def _loss(problem: Problem, products: int):
    def loss(params, state, first, second, key):
        some = min(products, len(first) - 1)
        inputs = problem.columns(key, first, second, some)
        scores, _ = problem.net.apply(params, {}, *inputs, train=True)
        gain, state = problem.objective(*_two_kinds(scores), state)
        return -gain, state

    return loss


@functools.cache
def _optimizer(settings: CriticFit) -> optax.GradientTransformation:
    if settings.milestones is None:
        rate = optax.cosine_decay_schedule(settings.learning_rate, settings.steps)
    else:
        falls = {step: 0.1 for step in settings.milestones}
        rate = optax.piecewise_constant_schedule(settings.learning_rate, falls)
    return optax.adam(rate)


@functools.partial(jax.jit, static_argnames=("problem", "products"))
def _scores(params, first, second, key, *, problem: Problem, products: int) -> jax.Array:
    inputs = problem.columns(key, first, second, products)
    return problem.net.apply(params, {}, *inputs, train=False)[0]
