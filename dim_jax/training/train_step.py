"""One training step of any method, and several of them as one dispatch on resident data.

Everything here is global-view: the batch is the whole batch, sharded over the axis "data" of a
one-axis mesh, and the compiler places the communication.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from flax.training import train_state
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dim_jax import augment, contracts, data
from dim_jax.data import resident

# Streams of random numbers, each a function of (seed, step).
_INIT, _LOSS, _AUGMENT = 0, 1, 2


class TrainState(train_state.TrainState):
    """Flax's train state and `state`: all that a method keeps but does not train by gradient.

    A step's gradient is the mean over `accumulate` parts of its batch, taken one after the other.
    """

    state: Any
    accumulate: int = struct.field(pytree_node=False, default=1)


def mesh(devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
    """The mesh over the given devices (all by default), with the one axis "data"."""
    # Not jax.make_mesh's default Explicit axes: an n x n score matrix cannot be sharded on both.
    return jax.sharding.Mesh(
        np.asarray(devices or jax.devices()), ("data",), axis_types=(AxisType.Auto,)
    )


def replicate(tree: contracts.Tree, mesh: jax.sharding.Mesh) -> contracts.Tree:
    """The arrays of a tree, whole on every device of the mesh.

    With several processes each gives the same values and places them on its own devices: nothing
    is sent, and nothing compared.
    """
    whole = NamedSharding(mesh, PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(tree, whole)

    def place(leaf):
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, whole, lambda index: leaf[index])

    return jax.tree.map(place, tree)


def localise(tree: contracts.Tree) -> contracts.Tree:
    """Replicated arrays as arrays of this process alone, which may compute with them by itself."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(jnp.asarray, jax.device_get(tree))


def check_divides(batch_size: int, devices: int) -> None:
    """Raises if the global batch cannot be split evenly over the devices."""
    if batch_size % devices:
        below = batch_size // devices * devices
        use = f"{below} or {below + devices}" if below else f"{devices}"
        raise contracts.UserError(
            f"batch {batch_size} on {devices} devices does not divide; "
            f"set train.batch_size to {use}"
        )


def prepare_images(images: jax.Array, mean: tuple, std: tuple) -> jax.Array:
    """The views f32[v,n,h,w,c] that methods train on, of images [n,h,w,c] (one) or [v,n,h,w,c].

    Pixels are u8, or floats in [0, 1].
    """
    if jnp.issubdtype(images.dtype, jnp.floating):
        images = 255 * images
    normalised = data.normalise(images, mean, std)
    return normalised if images.ndim == 5 else normalised[None]


def initial_state(
    method: contracts.Method,
    players: Callable[[Mapping[str, Any]], optax.GradientTransformation],
    seed: int,
    batch: contracts.Batch,
    accumulate: int = 1,
) -> TrainState:
    """Parameters, method state and optimizer state before the first step.

    Args:
      players: params -> the transformation; it raises if players and params do not match.
      accumulate: the parts of a batch, more than 1 only if the method's losses are `per_example`.
    """
    rng = jax.random.fold_in(jax.random.key(seed), _INIT)

    # One program: layer by layer, each small operation would be compiled by itself. It runs once,
    # so that on a CPU optimising its many random draws would take longer than they do. Within
    # another program, that one's options hold.
    nested = isinstance(rng, jax.core.Tracer)
    unoptimised = jax.default_backend() == "cpu" and not nested
    options = {"xla_backend_optimization_level": 0} if unoptimised else None

    @functools.partial(jax.jit, compiler_options=options)
    def create(rng):
        params, state = method.init(rng, batch)
        _check_contract(method, params, state, batch)
        return TrainState.create(
            apply_fn=method.loss,
            params=params,
            tx=players(params),
            state=state,
            accumulate=accumulate,
        ).replace(step=jnp.zeros((), jnp.int32))

    return create(rng)


def _check_contract(method, params, state, batch) -> None:
    step = jax.eval_shape(method.loss, params, state, batch, jax.random.key(0), 0)
    if step.losses.keys() != params.keys():
        raise ValueError(
            f"the method's losses are {sorted(step.losses)} and its players {sorted(params)}; "
            "return one loss for each player"
        )
    before, after = (
        jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree)
        for tree in (state, step.state)
    )
    if before != after:
        raise ValueError(
            f"the method's state changes from {before} to {after} in a step; keep its structure, "
            "shapes and dtypes"
        )


def _key(seed: int | jax.Array, stream: int, step: jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), step)


def player_gradients(loss, params, *arguments) -> tuple[Mapping[str, Any], contracts.Step]:
    """For each player the gradient of its own loss with respect to its own parameters.

    One forward pass, and one pull-back per player of which only that player's part is kept, so
    that nothing a player's loss touches elsewhere can move.
    """

    def losses_of(params):
        step = loss(params, *arguments)
        return step.losses, step

    losses, pull_back, step = jax.vjp(losses_of, params, has_aux=True)
    gradients = {}
    for player in losses:
        seed = {name: jnp.full_like(value, name == player) for name, value in losses.items()}
        gradients[player] = pull_back(seed)[0][player]
    return gradients, step


def accumulated_gradients(
    loss, params, state, batch: contracts.Batch, rng, number, *, parts: int
) -> tuple[Mapping[str, Any], contracts.Step]:
    """`player_gradients` of the mean over equal parts of a batch, in memory for one of them.

    Losses and metrics are means as well; the state goes from part to part; no features are kept.
    Part j has the examples j, j + parts, ... : an equal share of what is on each device. Batch
    statistics are those of a part, and gradients are summed over devices once for each part.
    """

    def body(carried, scanned):
        state, total = carried
        index, part = scanned
        gradients, step = player_gradients(
            loss, params, state, part, jax.random.fold_in(rng, index), number
        )
        total = jax.tree.map(jnp.add, total, gradients)
        return (step.state, total), (step.losses, step.metrics)

    start = (state, jax.tree.map(jnp.zeros_like, dict(params)))
    scanned = (jnp.arange(parts), _parts(batch, parts))
    (state, total), values = jax.lax.scan(body, start, scanned)
    losses, metrics = jax.tree.map(lambda value: value.mean(axis=0), values)
    gradients = jax.tree.map(lambda gradient: gradient / parts, total)
    return gradients, contracts.Step(losses, metrics, state, features={})


def _parts(batch: contracts.Batch, parts: int) -> contracts.Batch:
    """Every array of a batch with one more axis, the parts, in front."""

    def divided(x, axis):
        shape = (*x.shape[:axis], x.shape[axis] // parts, parts, *x.shape[axis + 1 :])
        return jnp.moveaxis(x.reshape(shape), axis + 1, 0)

    return {name: divided(x, 1 if name == "images" else 0) for name, x in batch.items()}


def train_step(
    train_state: TrainState, batch: contracts.Batch, seed: int | jax.Array
) -> tuple[TrainState, contracts.Scalars]:
    """One update of all players at once, and the step's losses and metrics."""
    rng = _key(seed, _LOSS, train_state.step)
    of_batch = player_gradients
    if train_state.accumulate > 1:
        of_batch = functools.partial(accumulated_gradients, parts=train_state.accumulate)
    gradients, step = of_batch(
        train_state.apply_fn, train_state.params, train_state.state, batch, rng, train_state.step
    )
    metrics = {f"loss/{player}": value for player, value in step.losses.items()}
    updated = train_state.apply_gradients(grads=gradients, state=step.state)
    return updated, {**metrics, **step.metrics}


def make_dispatch(
    facts_scaling: tuple[tuple, tuple],
    seed: int,
    batch_size: int,
    examples: int,
    devices: Any,
    change: augment.Change | None = None,
) -> Callable[..., Any]:
    """The function that runs `count` steps on the device.

    dispatch(train_state, images u8[n,h,w,c], labels i32[n], count) -> (train_state, metrics):
    compiled for each `count`; the train state's buffers are given up; every metric is f32[count].
    """
    epoch_steps = resident.steps_per_epoch(examples, batch_size)
    split = NamedSharding(devices, PartitionSpec("data"))
    whole = NamedSharding(devices, PartitionSpec())

    def dispatch(train_state: TrainState, images, labels, count: int):
        first_epoch = train_state.step // epoch_steps
        spanned = resident.epochs_spanned(count, epoch_steps)
        orders = resident.epoch_orders(seed, first_epoch, spanned, examples)

        def body(train_state, _):
            indices = resident.batch_indices(
                orders, first_epoch, train_state.step, epoch_steps, batch_size
            )
            indices = jax.lax.with_sharding_constraint(indices, split)
            batch = resident.gather(images, labels, indices)
            return _prepared_step(train_state, batch, facts_scaling, seed, change)

        return jax.lax.scan(body, train_state, length=count)

    return jax.jit(dispatch, static_argnames="count", donate_argnums=0, out_shardings=whole)


def make_streamed_dispatch(
    facts_scaling: tuple[tuple[float, ...], tuple[float, ...]],
    seed: int,
    devices: jax.sharding.Mesh,
    change: augment.Change | None = None,
) -> Callable[..., Any]:
    """`make_dispatch` for batches that are made elsewhere, those of k steps at once.

    dispatch(train_state, images u8[k,n,h,w,c], labels i32[k,n], index i32[k,n], count = k) ->
    (train_state, metrics): as of `make_dispatch`.
    """
    whole = NamedSharding(devices, PartitionSpec())

    def dispatch(train_state: TrainState, images, labels, index, count: int):
        def body(train_state, batch):
            return _prepared_step(train_state, batch, facts_scaling, seed, change)

        batches = {"images": images, "labels": labels, "index": index}
        return jax.lax.scan(body, train_state, batches, length=count)

    return jax.jit(dispatch, static_argnames="count", donate_argnums=0, out_shardings=whole)


def _prepared_step(train_state: TrainState, batch, facts_scaling, seed, change):
    """One step on images u8[n,h,w,c], changed and normalised first."""
    if change is not None:
        batch["images"] = change(_key(seed, _AUGMENT, train_state.step), batch["images"])
    batch["images"] = prepare_images(batch["images"], *facts_scaling)
    return train_step(train_state, batch, seed)
