"""The training step of any method, and dispatches of several steps.

All arrays are global: a batch is sharded over the axis "data" of a one-axis mesh, and the compiler
inserts the communication.
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

from dim_jax import contracts
from dim_jax.data import resident
from dim_jax.processes import backend
from dim_jax.training import initial_draws, method_contract, preprocessing, signs

# Random streams, each a function of (seed, step).
_INIT, _LOSS, _AUGMENT = 0, 1, 2


class TrainState(train_state.TrainState):
    """Flax's train state with `state`, the state of a method that has no gradients.

    With gradient accumulation, the gradient of a step is the mean over `accumulate` parts of its
    batch, computed in sequence. `unreached` are the paths of the parameters that have no gradient.
    """

    state: Any
    accumulate: int = struct.field(pytree_node=False, default=1)
    unreached: tuple[str, ...] = struct.field(pytree_node=False, default=())


def mesh(devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
    """The mesh over the given devices (all by default), with the single axis "data"."""
    # Not the Explicit axes of jax.make_mesh: an n x n score matrix cannot be sharded on both.
    return jax.sharding.Mesh(
        np.asarray(devices or jax.devices()), ("data",), axis_types=(AxisType.Auto,)
    )


def replicate(tree: contracts.Tree, mesh: jax.sharding.Mesh) -> contracts.Tree:
    """The arrays of a tree, replicated on all devices of the mesh.

    With several processes, all have to pass the same values and place them on their local devices:
    nothing is sent or compared.
    """
    replicated = NamedSharding(mesh, PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(tree, replicated)

    def place(leaf):
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, replicated, lambda index: leaf[index])

    return jax.tree.map(place, tree)


def localise(tree: contracts.Tree) -> contracts.Tree:
    """Replicated arrays as arrays on the local devices, for computations of this process only."""
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


def initial_state(
    method: contracts.Method,
    players: Callable[[Mapping[str, Any]], optax.GradientTransformation],
    seed: int,
    batch: contracts.Batch,
    accumulate: int = 1,
) -> TrainState:
    """Parameters, method state and optimizer state before the first step.

    Args:
      players: params -> the gradient transformation; it raises if players and params do not match.
      accumulate: the number of parts of a batch, above 1 only if the method is `per_example`.

    Raises: contracts.UserError: the method breaks its contract (`contracts.Method`).
    """
    rng = jax.random.fold_in(jax.random.key(seed), _INIT)

    def create(rng):
        params, state, unreached = method_contract.initialise(method, rng, batch)
        return TrainState.create(
            apply_fn=method.loss,
            params=params,
            tx=players(params),
            state=state,
            accumulate=accumulate,
            unreached=unreached,
        ).replace(step=jnp.zeros((), jnp.int32))

    return initial_draws.evaluate(create, rng, backend.options_of_one_run(rng))


def _key(seed: int | jax.Array, stream: int, step: jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), step)


def player_gradients(loss, params, *arguments) -> tuple[Mapping[str, Any], contracts.Step]:
    """The gradient of each player's loss with respect to the parameters of this player.

    One forward pass and one backward pass per player, of which only the gradient of this player is
    used, so that a player's loss cannot change the parameters of other players.

    Raises: contracts.UserError: `loss` returns no `Step` of scalars.
    """

    def all_losses(params):
        step = loss(params, *arguments)
        method_contract.check_step(step, params)
        return step.losses, step

    losses, pull_back, step = jax.vjp(all_losses, params, has_aux=True)
    gradients = {}
    for player in losses:
        seed = {name: jnp.full_like(value, name == player) for name, value in losses.items()}
        gradients[player] = pull_back(seed)[0][player]
    return gradients, step


def accumulated_gradients(
    loss, params, state, batch: contracts.Batch, rng, number, *, parts: int
) -> tuple[Mapping[str, Any], contracts.Step]:
    """Gradient accumulation: `player_gradients` averaged over equal parts of a batch.

    Needs memory for one part. Losses and metrics are averaged too; the state is passed from part to
    part; features are those of the last part. Part j has the examples j, j + parts, ..., an equal
    share of each device's examples. Batch statistics are those of a part, and gradients are summed
    over devices once per part.
    """

    def body(carried, scanned):
        state, total, _ = carried
        index, part = scanned
        gradients, step = player_gradients(
            loss, params, state, part, jax.random.fold_in(rng, index), number
        )
        total = jax.tree.map(jnp.add, total, gradients)
        return (step.state, total, dict(step.features)), (step.losses, step.metrics)

    divided = _divide(batch, parts)
    first = jax.tree.map(lambda x: x[0], divided)
    features = jax.eval_shape(loss, params, state, first, rng, number).features
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (dict(params), dict(features)))
    (state, total, features), values = jax.lax.scan(
        body, (state, *zeros), (jnp.arange(parts), divided)
    )
    losses, metrics = jax.tree.map(lambda value: value.mean(axis=0), values)
    gradients = jax.tree.map(lambda gradient: gradient / parts, total)
    return gradients, contracts.Step(losses, metrics, state, features)


def _divide(batch: contracts.Batch, parts: int) -> contracts.Batch:
    """The arrays of a batch with a new first axis for its parts."""

    def divide_axis(x, axis):
        shape = (*x.shape[:axis], x.shape[axis] // parts, parts, *x.shape[axis + 1 :])
        return jnp.moveaxis(x.reshape(shape), axis + 1, 0)

    return {
        name: divide_axis(x, 1 if name in ("images", "crops") else 0) for name, x in batch.items()
    }


def train_step(
    train_state: TrainState, batch: contracts.Batch, seed: int | jax.Array
) -> tuple[TrainState, contracts.Scalars]:
    """One simultaneous update of all players, and the losses and metrics of the step."""
    return update(train_state, batch, seed)[:2]


def update(
    train_state: TrainState, batch: contracts.Batch, seed: int | jax.Array
) -> tuple[TrainState, contracts.Scalars, contracts.Taps]:
    """`train_step`, and the features of the step."""
    rng = _key(seed, _LOSS, train_state.step)
    compute_gradients = player_gradients
    if train_state.accumulate > 1:
        compute_gradients = functools.partial(accumulated_gradients, parts=train_state.accumulate)
    gradients, step = compute_gradients(
        train_state.apply_fn, train_state.params, train_state.state, batch, rng, train_state.step
    )
    metrics = {f"loss/{player}": value for player, value in step.losses.items()}
    metrics |= {**step.metrics, **signs.of_gradients(gradients)}
    updated = train_state.apply_gradients(grads=gradients, state=step.state)
    return updated, metrics, step.features


def make_dispatch(
    prepared: preprocessing.Preprocessing,
    seed: int,
    batch_size: int,
    examples: int,
    devices: jax.sharding.Mesh,
) -> Callable[..., Any]:
    """The function that runs `count` steps on resident data in one dispatch.

    dispatch(train_state, images u8[n,h,w,c], labels i32[n], count) -> (train_state, metrics):
    compiled for each `count`; the buffers of the train state are donated; every metric is
    f32[count], the signs of learning (`signs`) f32[1].
    """
    epoch_steps = resident.steps_per_epoch(examples, batch_size)
    sharded = NamedSharding(devices, PartitionSpec("data"))
    replicated = NamedSharding(devices, PartitionSpec())

    def dispatch(train_state: TrainState, images, labels, count: int):
        first_epoch = train_state.step // epoch_steps
        spanned = resident.epochs_spanned(count, epoch_steps)
        orders = resident.epoch_orders(seed, first_epoch, spanned, examples)

        def body(train_state, _):
            indices = resident.batch_indices(
                orders, first_epoch, train_state.step, epoch_steps, batch_size
            )
            indices = jax.lax.with_sharding_constraint(indices, sharded)
            batch = resident.gather(images, labels, indices)
            return _prepared_step(train_state, batch, prepared, seed)

        return _scan(body, train_state, count, None, devices)

    return jax.jit(dispatch, static_argnames="count", donate_argnums=0, out_shardings=replicated)


def make_streamed_dispatch(
    prepared: preprocessing.Preprocessing, seed: int, devices: jax.sharding.Mesh
) -> Callable[..., Any]:
    """`make_dispatch` for streamed batches, with the batches of k steps as input.

    dispatch(train_state, images u8[k,n,h,w,c], labels i32[k,n], index i32[k,n], count = k) ->
    (train_state, metrics): as in `make_dispatch`.
    """
    replicated = NamedSharding(devices, PartitionSpec())

    def dispatch(train_state: TrainState, images, labels, index, count: int):
        def body(train_state, batch):
            return _prepared_step(train_state, batch, prepared, seed)

        batches = {"images": images, "labels": labels, "index": index}
        return _scan(body, train_state, count, batches, devices)

    return jax.jit(dispatch, static_argnames="count", donate_argnums=0, out_shardings=replicated)


def _scan(body: Callable, train_state: TrainState, count: int, batches, devices: jax.sharding.Mesh):
    """The steps of a dispatch, and the signs of learning of the features of the last one.

    These are carried out of the loop: a branch of a step would wait for other devices while some of
    them still compute the gradients.
    """
    body = jax.jit(body, inline=True)  # traced once, also for the shapes

    def carried(carry, batch):
        train_state, metrics, features = body(carry[0], batch)
        return (train_state, signs.measured(features)), metrics

    first = jax.tree.map(lambda x: x[0], batches)
    shapes = signs.measured(jax.eval_shape(body, train_state, first)[2])
    zeros = {name: jnp.zeros(each.shape, each.dtype) for name, each in shapes.items()}
    (train_state, features), metrics = jax.lax.scan(
        carried, (train_state, zeros), batches, length=count
    )
    # Flattened where they lie, and then sent to all devices, as rows and not as maps.
    features = signs.rows(features)
    for spec in (PartitionSpec("data"), PartitionSpec()):
        features = jax.lax.with_sharding_constraint(features, NamedSharding(devices, spec))
    of_last = {name: value[None] for name, value in signs.of_features(features).items()}
    return train_state, metrics | of_last


def _prepared_step(train_state: TrainState, batch, prepared: preprocessing.Preprocessing, seed):
    """One step on images u8[n,h,w,c], augmented and normalised first."""
    rng = _key(seed, _AUGMENT, train_state.step)
    return update(train_state, batch | prepared.inputs(rng, batch["images"]), seed)
