"""The receptive fields that encoders state are the pixels that their local features depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.augment import patches
from dim_jax.nets import (
    amdim,
    contexts,
    contextual,
    encoders,
    fields,
    folded,
    heads,
    manifold,
    pure,
    resnet,
)

_SMALL = dict(width=4, hidden=8, features=4)
_AMDIM = dict(ndf=4, n_depth=1, norm="none")
_CONTEXT = contexts.masked_conv(width=4, depth=1)
_MANIFOLD = dict(
    **dict(channels=(4, 4), kernels=(5, 3), strides=(1, 1), pools=(2, 2), dimensions=(2, 2)),
    **dict(gain=1.0, passed="mean", hidden=(), features=3),
)
# The network, the side of images, and (size, stride, offset) counted by hand.
CASES = {
    "dcgan32": (encoders.dcgan32(**_SMALL), 32, (10, 4, -3)),
    "dcgan28": (encoders.dcgan28(**_SMALL), 28, (13, 4, -6)),
    "folded_alexnet32": (folded.folded_alexnet32(**_SMALL, dropout=0.0), 32, (8, 4, 0)),
}
MORE = {
    "first": (encoders.dcgan32(**_SMALL, local=0), 32, (4, 2, -1)),
    "third": (encoders.dcgan32(**_SMALL, local=2), 32, (22, 8, -7)),
    "alexnet64": (encoders.alexnet64(**_SMALL), 64, (21, 4, -7)),
    "mosaic": (
        folded.folded_context_alexnet32(width=4, context=_CONTEXT),
        *(patches.mosaic_side(32, 2), (8, 8, 0)),
    ),
    "amdim32": (amdim.amdim32(**_AMDIM, n_rkhs=16), 32, (8, 4, 0)),
    "resnet18": (resnet.resnet18(width=4, stem="cifar", local=1), 32, (25, 2, -12)),
    "manifold": (manifold.manifold(**_MANIFOLD), 28, (12, 4, 0)),
    "contextual": (
        contextual.contextual(
            encoder=amdim.amdim32(**_AMDIM, n_rkhs=16),
            context=contexts.masked_conv(width=4, depth=1),
        ),
        *(32, (8, 4, 0)),
    ),
}


def seen(net: pure.Net, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether a location of `local` depends on pixel p along each axis, two of b[p,locations].

    NaN in a line of pixels, and in no other, comes through to the locations that see it.
    """
    images = np.ones((2 * side, side, side, 3), np.float32)
    for place in range(side):
        images[place, place] = images[side + place, :, place] = np.nan

    @jax.jit
    def reached(images):
        params, stats = net.init(jax.random.key(0), images[:1])
        return jnp.isnan(net.apply(params, stats, images, train=False)[0]["local"]).any(3)

    rows, columns = np.split(np.asarray(reached(images)), 2)
    assert (rows == rows[:, :, :1]).all() and (columns == columns[:, :1]).all()
    return rows[:, :, 0], columns[:, 0]


@pytest.mark.parametrize(
    "name", [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]
)
def test_stated_fields_are_the_pixels_that_are_seen(name):
    net, side, expected = (CASES | MORE)[name]
    found = net.fields(side)
    assert found == expected
    pixels = np.arange(side)[:, None]
    first, end = np.array(found.spans(side)).T
    for depends in seen(net, side):
        np.testing.assert_array_equal(depends, (first <= pixels) & (pixels < end))


def test_fields_of_layers():
    assert fields.of_layers(()) == (1, 1, 0)
    assert fields.of_layers([(4, 2, 1)] * 2) == (10, 4, -3)
    published = contracts.Fields(10, 4, -3).spans(32)
    assert published[:2] == [(0, 7), (1, 11)] and published[-1] == (25, 32)
    assert len(published) == 8 and contracts.Fields(10, 4, 0).spans(9) == []


def test_heads_keep_the_fields_and_other_networks_have_none():
    encoder = encoders.dcgan32(**_SMALL)
    classified = pure.classified(encoder, heads.classifier(hidden=4, classes=2, dropout=0.0), "y")
    assert classified.fields(32) == encoder.fields(32)
    assert encoders.real_nvp(couplings=1, widths=(4,)).fields is None
