"""A bound of all pairs in blocks of images: value, gradient and metrics of the matrix of scores."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from dim_jax import bounds, build, contracts, data
from dim_jax.losses import score_blocks, score_metrics
from dim_jax.methods import dim
from dim_jax.nets import critics, products
from dim_jax.training import train_step

RNG = jax.random.key(2)
IMAGES, LOCATIONS = 16, 3
# The other bounds: tests/bounds/test_bounds_blockwise.py.
VARIANTS = {
    **{name: functools.partial(getattr(bounds, name)) for name in ("infonce", "jensen_shannon")},
    "infonce_anchors": functools.partial(bounds.infonce, negatives="anchors"),
    "interpolated": functools.partial(bounds.interpolated, alpha=0.5),  # two passes
}


def score(params, rows, columns):
    return jnp.einsum("nd,de,mle->nml", rows["x"], params, columns) + rows["bias"][:, None, None]


@functools.cache
def results(form, several=1, devices=1):
    """({bound: (value, metrics, gradients)}, compiled text) in float64."""
    rng = np.random.default_rng(0)
    positives = np.repeat(np.arange(IMAGES), several)
    rows = {"x": rng.normal(size=(len(positives), 4)), "bias": rng.normal(size=len(positives))}
    columns = rng.normal(size=(IMAGES, LOCATIONS, 4))

    def value(name, parts):
        if form == "dense":
            scores = score(*parts)
            metrics = score_metrics.compute("local", scores, positives)
            return VARIANTS[name](scores, positives), metrics
        return score_blocks.compute("local", VARIANTS[name], score, *parts, positives, form)

    @jax.jit
    def program(*parts):
        return {
            name: jax.value_and_grad(functools.partial(value, name), has_aux=True)(parts)
            for name in VARIANTS
            if several == 1 or name not in ("infonce_anchors", "interpolated")
        }

    with jax.enable_x64(True):
        parts = (rng.normal(size=(4, 4)), rows, columns)
        if devices > 1:
            mesh = train_step.mesh(jax.devices()[:devices])
            split = NamedSharding(mesh, PartitionSpec("data"))
            parts = (train_step.replicate(parts[0], mesh), *jax.device_put(parts[1:], split))
        compiled = program.lower(*parts).compile()
        return jax.device_get(compiled(*parts)), compiled.as_text()


def same(ours, theirs, rtol):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    "case",
    [(5, 2), (1, 1, 8), *(pytest.param(c, marks=pytest.mark.slow) for c in ((4,), (2, 2, 8)))],
)
def test_value_gradient_and_metrics_are_those_of_the_matrix(case):
    """Blocks that divide and that do not, several anchors of an image, eight devices."""
    same(results(*case)[0], results("dense", *case[1:2])[0], rtol=1e-12)


def test_devices_gather_the_anchors_alone():
    """Not in the loop over blocks: one gather of each array, no matrix and no candidates."""
    text = results(1, 1, 8)[1]
    gathered = re.findall(r" = \(?(f64\[[\d,]*\]).* all-gather(?:-start)?\(", text)
    assert set(gathered) == {f"f64[{IMAGES},4]", f"f64[{IMAGES}]"}
    assert not re.search(r"all-to-all|collective-permute", text)
    assert f"f64[{IMAGES},{IMAGES}" not in text


def test_blocks_by_size_of_the_scores_of_a_device():
    def size(images, side, anchors=None, **kind):
        candidates = jax.ShapeDtypeStruct((images, side, side, 32), jnp.bfloat16, **kind)
        return score_blocks.images_per_block(anchors or images, candidates)

    assert size(512, 8) is None  # 64 MiB
    assert size(1024, 8) == 16
    assert size(1000, 8) == 10  # divides
    assert size(1009, 8) == 16  # a prime number
    assert size(2**15, 8) == 1
    assert size(1024, 1) is None and size(512, 8, anchors=1024) == 16
    local = jax.ShapeDtypeStruct((64, 64, 128), jnp.float32)
    concat = critics.concat(widths=(512, 512))
    assert score_blocks.images_per_block(64, local, numbers=concat.numbers) == 1  # 1 GiB of units
    assert score_blocks.images_per_block(64, local, numbers=8) is None
    maps = jax.ShapeDtypeStruct((4096, 8, 8, 128), jnp.float32)
    assert score_blocks.images_per_block(4096, maps, axes=3) is None  # of each map one score
    split = NamedSharding(train_step.mesh(), PartitionSpec("data"))
    found = []
    jax.jit(lambda x: found.append(score_blocks.images_per_block(1024, x))).lower(
        jax.ShapeDtypeStruct((1024, 64, 8), jnp.float32, sharding=split)
    )
    assert found == [None]  # 32 MiB on each of eight


# The method.


@pytest.fixture(scope="module")
def batch():
    split = data.load("digits", image_size=32).splits["train"]
    pixels = data.normalise(jnp.asarray(split.images[:6]), (0.5,), (0.5,))
    return dict(images=pixels[None], labels=jnp.asarray(split.labels[:6]), index=jnp.arange(6))


def spec_of(config, **changes):
    return {**config("quickstart")["method"]["method"], **changes}


def make(config, **changes):
    return build.make("method", spec_of(config, **changes))


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_the_method_has_the_same_step_with_and_without_blocks(config, batch, dtype):
    """Both terms, sampled locations; 6 images in blocks of 4."""
    steps, variables = {}, None
    for block in (0, 4):
        method = make(config, alpha=0.5, gamma=0.0, sampled_locations=5, block=block)
        variables = variables or jax.jit(method.init)(RNG, batch)
        loss = products.computed_in(method.loss, dtype)
        step = jax.jit(functools.partial(train_step.player_gradients, loss))
        steps[block] = step(*variables, batch, RNG, 0)
    (gradient, step), (expected, dense) = steps[4], steps[0]
    rtol = 1e-5 if dtype == "float32" else 1e-2
    same(step.metrics, dense.metrics, rtol)
    same(step.state, dense.state, 1e-6)
    same(gradient, expected, rtol)


def test_spectral_norm_moves_once_a_step():
    critic = critics.concat(widths=(6, 5), spectral_norm=True)
    x, y = jax.random.normal(RNG, (4, 3)), jax.random.normal(RNG, (4, 2, 3))
    params, stats = critic.init(RNG, x, y)

    @jax.jit
    def both(params, stats, x, y):
        positives = np.arange(4)
        given = ("local", bounds.infonce, critic, params, stats, x, y, positives)
        ours = dim.information(*given, images=2)
        scores, after = critic.all_pairs(params, stats, x, y, train=True)
        metrics = score_metrics.compute("local", scores, positives)
        return ours, (bounds.infonce(scores), metrics), after

    (value, metrics, ours), expected, after = both(params, stats, x, y)
    same((value, metrics), expected, 1e-5)
    same(ours, after, 1e-6)


def test_what_has_no_blocks_is_refused_by_name_and_left_dense_by_itself(config, batch, monkeypatch):
    with pytest.raises(contracts.UserError, match=r"block is 4 and method.negatives=3 draws from"):
        make(config, block=4, negatives=3)
    roles = ("encoder", "local_critic", "prior", "discriminator")
    spec = {name: each for name, each in spec_of(config).items() if name != "name"}
    built = {**spec, **{role: build.make(role, spec[role]) for role in roles}}
    built |= dict(global_critic=None, coordinates=None)

    def plain(scores, positives):
        return bounds.infonce(scores, positives)

    with pytest.raises(contracts.UserError, match="block is 4 and the bound takes a matrix of"):
        dim.make(**{**built, "bound": plain, "block": 4})
    old = built["local_critic"]._replace(sides=None, scores=None)
    with pytest.raises(contracts.UserError, match="the critic has no functions `sides` and"):
        dim.make(**{**built, "bound": bounds.infonce, "local_critic": old, "block": 4})
    monkeypatch.setattr(score_blocks, "HELD", 0)
    made = []
    monkeypatch.setattr(score_blocks, "compute", lambda *args: made.append(1) or (0.0, {}))
    for changes in (dict(negatives=3), dict(bound=plain), dict(local_critic=old), {}):
        method = dim.make(**{**built, "bound": bounds.infonce, **changes})
        params, state = jax.eval_shape(method.init, RNG, batch)
        jax.eval_shape(method.loss, params, state, batch, RNG, 0)
    assert made == [1]


def test_memory_of_a_term_in_blocks():
    """At 512 images with 64 locations, scores take 64 MiB, held twice; compiled, never run."""
    critic = critics.encode_and_dot(width=16, norm_anchors=True)
    x, y = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((512, 8), (512, 64, 8)))
    params, stats = jax.eval_shape(critic.init, RNG, x, y)

    def mib(images):
        def value(*given):
            given = ("local", bounds.infonce, critic, *given, np.arange(512))
            return dim.information(*given, images=images)[0]

        step = jax.jit(jax.value_and_grad(value, (0, 2, 3)))
        memory = step.lower(params, stats, x, y).compile().memory_analysis()
        return memory.temp_size_in_bytes / score_blocks.MIB

    assert mib(16) < 32 and mib(None) > 128
