"""Channel statistics and the scaling of pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts, data
from dim_jax.data import facts

_FACTS = data.Facts("cifar10", (32, 32, 3), None, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26))


def test_symmetric_scaling_spans_minus_one_to_one():
    mean, std = data.scaling(_FACTS, "symmetric")
    ends = np.array([0, 255], np.uint8)[:, None] * np.ones(3, np.uint8)
    np.testing.assert_array_equal(data.normalise(ends, mean, std), [[-1] * 3, [1] * 3])


def test_unit_scaling_spans_zero_to_one():
    mean, std = data.scaling(_FACTS, "unit")
    pixels = np.array([[0, 51, 255]], np.uint8)
    np.testing.assert_allclose(data.normalise(pixels, mean, std), [[0.0, 0.2, 1.0]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["symmetric", "standardized"])
def test_normalise_against_float64(kind):
    images = np.random.RandomState(0).randint(0, 256, (5, 4, 4, 3)).astype(np.uint8)
    mean, std = data.scaling(_FACTS, kind)
    wanted = (images.astype(np.float64) / 255 - np.array(mean)) / np.array(std)
    plain = data.normalise(images, mean, std)
    assert isinstance(plain, np.ndarray) and plain.dtype == np.float32
    np.testing.assert_allclose(plain, wanted, atol=1e-6)
    inside = jax.jit(lambda x: data.normalise(x, mean, std))(jnp.asarray(images))
    assert isinstance(inside, jax.Array) and inside.dtype == jnp.float32
    np.testing.assert_allclose(inside, wanted, atol=1e-6)


def test_standardized_needs_statistics():
    with pytest.raises(contracts.UserError, match=r"set data\.scaling to 'symmetric'"):
        data.scaling(_FACTS._replace(mean=None, std=None), "standardized")


def test_unknown_scaling():
    with pytest.raises(contracts.UserError, match="'standardized'"):
        data.scaling(_FACTS, "standardised")


def test_statistics_go_by_builder_and_channels():
    known = facts.STATISTICS["imagenette"]
    assert facts.statistics("imagenette/128px-v2", 3) == (known.mean, known.std)
    assert facts.statistics("cifar10:3.0.2", 3) == facts.statistics("cifar10", 3) != (None, None)
    assert facts.statistics("cifar10", 1) == (None, None)
    assert facts.statistics("no_such_set", 3) == (None, None)


@pytest.mark.parametrize("name", facts.STATISTICS)
def test_table_is_plausible(name):
    entry = facts.STATISTICS[name]
    assert len(entry.mean) == len(entry.std) in (1, 3)
    assert all(0 < value < 1 for value in (*entry.mean, *entry.std))
    assert entry.source


# As they are printed, rounded to four digits, in PyTorch's examples and in many repositories.
PRINTED = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "svhn_cropped": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "stl10": ((0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713)),
    "tiny_imagenet": ((0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)),
    "imagenet2012": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@pytest.mark.parametrize("name", PRINTED)
def test_table_is_the_customary_one(name):
    np.testing.assert_allclose(
        facts.statistics(name, len(PRINTED[name][0])), PRINTED[name], atol=6e-5
    )


def test_classes_in_words():
    assert facts.describe_classes(("cat", "dog")) == "2 (cat, dog)"
    assert facts.describe_classes(None) == "none, the images have no labels"
    odd = facts.describe_classes(
        ("a\nb", " c", "d ", "e\x1b[1m", "f\u2028", "g h", "it's", "é\u200d")
    )
    assert odd == "8 ('a\\nb', ' c', 'd ', 'e\\x1b[1m', 'f\\u2028', g h, it's, é\u200d)"
    many = facts.describe_classes(tuple(f"c{i}" for i in range(1000)))
    assert many == "1,000 (c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, ..., c999)"
