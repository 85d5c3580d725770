"""Batches of resident data as a function of (seed, step)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dim_jax import contracts
from dim_jax.data import resident

_N, _BATCH = 53, 8
_PER_EPOCH = resident.steps_per_epoch(_N, _BATCH)


@functools.partial(jax.jit, static_argnames="count")
def _dispatch(seed, first_step, count):
    """The indices of `count` steps from first_step on, as a trainer computes them."""
    first_epoch = first_step // _PER_EPOCH
    spanned = resident.epochs_spanned(count, _PER_EPOCH)
    orders = resident.epoch_orders(seed, first_epoch, spanned, _N)

    def body(step, _):
        indices = resident.batch_indices(orders, first_epoch, step, _PER_EPOCH, _BATCH)
        return step + 1, indices

    return jax.lax.scan(body, first_step, length=count)[1]


def test_a_step_has_the_same_batch_in_every_dispatch():
    whole = np.asarray(_dispatch(3, 0, 40))
    assert whole.dtype == np.int32 and whole.shape == (40, _BATCH)
    for count in (1, 4, 7, 13):
        parts = [np.asarray(_dispatch(3, start, count)) for start in range(0, 40, count)]
        np.testing.assert_array_equal(np.concatenate(parts)[:40], whole)


def test_an_epoch_visits_each_image_at_most_once():
    indices = np.asarray(_dispatch(0, 0, 5 * _PER_EPOCH)).reshape(5, -1)
    for epoch in indices:
        assert len(set(epoch)) == _PER_EPOCH * _BATCH
        assert epoch.min() >= 0 and epoch.max() < _N
    assert len(set(indices.ravel())) == _N  # what one epoch drops, another visits


def test_epochs_and_seeds_differ():
    orders = np.asarray(resident.epoch_orders(0, 0, 3, _N))
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(_N), (3, 1)))
    others = np.asarray(resident.epoch_orders(1, 0, 3, _N))
    rows = np.concatenate([orders, others])
    assert len({tuple(row) for row in rows}) == 6
    later = np.asarray(resident.epoch_orders(0, 2, 1, _N))
    np.testing.assert_array_equal(later[0], orders[2])


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_rows_do_not_depend_on_the_count(implementation):
    with jax.default_prng_impl(implementation):
        many = resident.epoch_orders(7, 0, 4, _N)
        one = resident.epoch_orders(7, 3, 1, _N)
    np.testing.assert_array_equal(one[0], many[3])


def test_orders_are_uniform():
    orders = np.asarray(resident.epoch_orders(0, 0, 4000, 5))
    counts = np.stack([np.bincount(orders[:, place], minlength=5) for place in range(5)])
    # 800 expected per cell, standard deviation 25
    assert np.abs(counts - 800).max() < 110


@pytest.mark.parametrize(("steps", "per_epoch"), [(1, 1), (1, 6), (4, 6), (6, 6), (13, 6), (8, 1)])
def test_epochs_spanned_is_enough_and_tight(steps, per_epoch):
    spans = [
        (first + steps - 1) // per_epoch - first // per_epoch + 1 for first in range(3 * per_epoch)
    ]
    assert resident.epochs_spanned(steps, per_epoch) == max(spans)


def test_steps_per_epoch():
    assert resident.steps_per_epoch(50000, 64) == 781
    assert resident.steps_per_epoch(64, 64) == 1
    with pytest.raises(contracts.UserError, match=r"batch_size is 65 .* at most 64"):
        resident.steps_per_epoch(64, 65)


def test_gather():
    images = np.random.RandomState(0).randint(0, 256, (_N, 4, 5, 3)).astype(np.uint8)
    labels = np.arange(_N, dtype=np.int32) % 7
    indices = np.array([3, 52, 0, 3], np.int32)
    batch = jax.jit(resident.gather)(images, labels, indices)
    assert batch["images"].dtype == jnp.uint8 and batch["labels"].dtype == jnp.int32
    np.testing.assert_array_equal(batch["images"], images[indices])
    np.testing.assert_array_equal(batch["labels"], labels[indices])
    np.testing.assert_array_equal(batch["index"], indices)


def test_sharded_over_eight_devices_equals_one():
    if len(jax.devices()) < 8:
        pytest.skip("needs 8 devices, such as JAX_NUM_CPU_DEVICES=8")
    mesh = jax.make_mesh((8,), ("data",), (AxisType.Auto,), devices=jax.devices()[:8])
    split, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
    images = np.random.RandomState(0).randint(0, 256, (_N, 4, 4, 3)).astype(np.uint8)
    labels = np.arange(_N, dtype=np.int32)

    def batch_of(images, labels, step):
        orders = resident.epoch_orders(0, step // _PER_EPOCH, 1, _N)
        indices = resident.batch_indices(orders, step // _PER_EPOCH, step, _PER_EPOCH, _BATCH)
        return resident.gather(images, labels, indices)

    sharded = jax.jit(batch_of, in_shardings=(whole, whole, None), out_shardings=split)
    for step in (0, _PER_EPOCH - 1, _PER_EPOCH, 29):
        ours, plain = sharded(images, labels, step), jax.jit(batch_of)(images, labels, step)
        assert ours["images"].sharding.is_equivalent_to(split, 4)
        assert ours["images"].addressable_shards[0].data.shape == (1, 4, 4, 3)
        for key in plain:
            np.testing.assert_array_equal(ours[key], plain[key])
