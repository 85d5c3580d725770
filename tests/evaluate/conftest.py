"""Real digits as splits, and a small encoder that was never trained."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import datasets

from dim_jax import contracts
from dim_jax.data import dataset, facts

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="session")
def digits() -> dataset.Dataset:
    """scikit-learn's 8x8 digits: 1,200 training and 597 test images."""
    bunch = datasets.load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(labels))
    train, test = order[:1200], order[1200:]
    return dataset.Dataset(
        facts.Facts("digits", (8, 8, 1), CLASSES, None, None),
        {
            "train": dataset.Split(images[train], labels[train]),
            "test": dataset.Split(images[test], labels[test]),
        },
    )


@pytest.fixture(scope="session")
def unlabelled(digits) -> dataset.Dataset:
    """The same images without labels."""
    splits = {
        name: split._replace(labels=np.full_like(split.labels, -1))
        for name, split in digits.splits.items()
    }
    return dataset.Dataset(digits.facts._replace(classes=None), splits)


@pytest.fixture(scope="session")
def encoder() -> contracts.Frozen:
    """Random features: conv f[n,4,4,4], fc f[n,32] and y f[n,8]."""
    kernel, wide, narrow = (
        0.5 * jax.random.normal(jax.random.key(seed), shape)
        for seed, shape in enumerate([(2, 2, 1, 4), (64, 32), (32, 8)])
    )
    critic = jnp.zeros((1, 1, 64, 8))  # sorts before the encoder's own kernel

    @jax.jit
    def represent(images):
        x = images.astype(jnp.float32) / 255
        conv = jax.nn.relu(
            jax.lax.conv_general_dilated(
                x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        )
        fc = jax.nn.relu(conv.reshape(len(x), -1) @ wide)
        return {"conv": conv, "fc": fc, "y": fc @ narrow}

    params = {"encoder": {"critic": {"kernel": critic}, "net": {"conv0": {"kernel": kernel}}}}
    return contracts.Frozen(represent, params=params)


@pytest.fixture
def rng() -> jax.Array:
    """The random key of an evaluation."""
    return jax.random.key(0)


@pytest.fixture(scope="session")
def network():
    """The function (change=None) -> the random features as a network trained on changed images.

    change(images u8[n,h,w,c], rng) -> the images; None changes nothing.
    """

    def make(change=None) -> contracts.Frozen:
        def represent(params, state, images):
            rows = images.reshape(len(images), -1)
            return {"conv": images, "y": jnp.tanh(rows @ params) + state}

        def prepare(images, rng=None):
            changed = images if change is None or rng is None else change(images, rng)
            return (changed.astype(jnp.float32) / 255)[None]

        params = jax.random.normal(jax.random.key(7), (64, 8))
        plain = jax.jit(lambda p, s, images: represent(p, s, prepare(images)[0]))
        return contracts.Frozen(
            functools.partial(plain, params, 0.0),
            contracts.Method(None, None, represent),
            params,
            0.0,
            normalise=lambda images: images.astype(jnp.float32) / 255,
            prepare=prepare,
            varies=change is not None,
        )

    return make
