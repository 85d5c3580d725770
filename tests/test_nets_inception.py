"""Inception v3 with the blocks of pytorch-fid: shapes, and outputs recorded in PyTorch."""

import jax
import numpy as np
import pytest

from dim_jax.nets import inception

# Recorded in PyTorch 2.14 with torch.nn modules in the layout of torchvision's Inception v3 and the
# pools of pytorch-fid, weights and images as made here; pixels 0, 149 and 298 of both axes, resized
# by torch.nn.functional.interpolate(mode="bilinear", align_corners=False).
RED = [[1.0, -0.47451, -0.64706], [-0.3098, 0.37255, -0.39216], [0.39608, -0.0549, -0.78039]]
FEATURES = [0.36315, 0.0, 3.96861, 0.0, 1.57974, 1.8, 0.0]  # every 300th, of 139x139 pixels
LOGITS = [2.43845, -2.08251, -1.05075, -5.1065, 2.88499, -6.82453]  # every 200th


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, 32, 40, 3), dtype=np.uint8)[:1]


def weights() -> dict[str, np.ndarray]:
    """Random weights with which activations neither grow nor vanish."""
    random, made = np.random.default_rng(0), {}
    for name, shape in sorted(inception.shapes().items()):
        if name.endswith(("bn.weight", "running_var")):
            value = random.uniform(0.5, 1.5, shape)
        else:
            value = random.standard_normal(shape, np.float32)
            if name.endswith("conv.weight"):
                value *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
            else:
                value *= np.float32(0.02) if name == "fc.weight" else np.float32(0.1)
        made[name] = value.astype(np.float32)
    return made


def test_names_and_shapes():
    shapes = inception.shapes()
    assert len(shapes) == 94 * 5 + 2
    assert shapes["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert shapes["Mixed_6c.branch7x7dbl_2.conv.weight"] == (160, 160, 7, 1)
    assert shapes["Mixed_7c.branch_pool.bn.running_mean"] == (192,)
    assert shapes["fc.weight"] == (1008, 2048)
    assert sum(map(np.prod, shapes.values())) == 23_885_392


def test_images_are_resized_as_in_pytorch(image):
    resized = jax.jit(inception.resize)(image)
    assert resized.shape == (1, 299, 299, 3)
    np.testing.assert_allclose(resized[0, ::149, ::149, 0], RED, atol=1e-5)


@pytest.mark.slow
def test_features_and_logits_are_those_of_pytorch(image, optimised):
    made = weights()

    @jax.jit
    def outputs(made, image):
        unit = image / np.float32(255)
        resized = jax.image.resize(unit, (1, 139, 139, 3), "bilinear", antialias=False)
        features = inception.features(made, 2 * resized - 1)
        return features, [inception.logits(made, features, bias=bias) for bias in (True, False)]

    features, (logits, unbiased) = outputs(made, image)
    np.testing.assert_allclose(features[0, ::300], FEATURES, atol=1e-4)
    np.testing.assert_allclose(logits[0, ::200], LOGITS, atol=1e-4)
    np.testing.assert_allclose(unbiased, logits - made["fc.bias"], atol=1e-4)
