"""The encoder whose blocks follow from the images: sizes, messages, training, the export."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training

import dim_jax
from dim_jax import build, contracts
from dim_jax.nets import encoders, halving, multiview, pure
from dim_jax.rundir import exported_encoder
from dim_jax.training import microbatching, optimizers, train_step

RNG = jax.random.key(0)
SMALL = dict(width=2, hidden=6, features=3)


def shapes(net: pure.Net, *shape: int):
    """Shapes of the parameters, and of the taps without the examples."""
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    params, stats = jax.eval_shape(net.init, RNG, images)
    taps, _ = jax.eval_shape(partial(net.apply, train=False), params, stats, images)
    return jax.tree.map(lambda leaf: leaf.shape, params), {k: x.shape[1:] for k, x in taps.items()}


def last_map(side: int) -> list[int]:
    """The side of the last map, by the rule in words: 4 to 7 times a power of 2; [] of none."""
    return [last for last in (4, 5, 6, 7) if side % last == 0 and (side // last).bit_count() == 1]


def test_every_side_has_an_architecture_or_a_sentence():
    for side in range(1, 300):
        images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        if last_map(side) and 24 <= side <= 256:
            assert halving.side_of(images) == side
        else:
            with pytest.raises(contracts.UserError, match=f"^images are {side}x{side} pixels"):
                halving.side_of(images)
    assert len(halving.SIDES) == 15


@pytest.mark.parametrize("side", halving.SIDES)
def test_maps_and_channels_of_every_side(side):
    """Published maps have 7 or 8 locations a side for the local features, and 4 or 7 at the end."""
    channels = (1, 2, 3, 5, 13)[side // 4 % 5]
    params, taps = shapes(encoders.auto(**SMALL), side, side, channels)
    (last,) = last_map(side)
    blocks = (side // last).bit_length() - 1
    widths = [2, 4, 8, 16, 16, 16][:blocks]
    assert [params[f"conv{i}"]["kernel"][-1] for i in range(blocks)] == widths
    assert params["conv0"]["kernel"][2] == channels
    assert taps["conv"] == (last, last, widths[-1])
    sides = [side // 2 ** (i + 1) for i in range(blocks)]
    local = min(sides, key=lambda locations: abs(locations - 8))
    assert taps["local"] == (local, local, widths[sides.index(local)])
    assert (taps["fc"], taps["y"]) == ((6,), (3,))


@pytest.mark.parametrize("side", [28, 32, 64])
def test_the_published_sides_have_the_published_encoders(side):
    more = dict(norm="layer", inputs="gradients") if side == 28 else {}
    net = encoders.auto(**SMALL, **more)
    published = getattr(encoders, f"dcgan{side}")(**SMALL, **more)
    assert shapes(net, side, side, 3) == shapes(published, side, side, 3)
    if side != 32:
        return
    images = np.random.default_rng(0).normal(size=(4, side, side, 2)).astype(np.float32)

    def run(net):
        params, stats = net.init(RNG, images)
        return params, *net.apply(params, stats, images, train=True)

    one, other = jax.jit(lambda: (run(net), run(published)))()
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((100, 100), "set data.image_size=96 or 112, or augment.crop=96"),
        ((12, 12), "set data.image_size=24"),
        ((23, 90), "set data.image_size=24"),
        ((300, 400), "set data.image_size=256, or augment.crop=256"),
        ((48, 64), "set data.image_size=48, or augment.crop=48"),
    ],
)
def test_images_of_other_sides_are_one_sentence(shape, advice):
    net = encoders.auto(**SMALL)
    with pytest.raises(contracts.UserError) as error:
        jax.eval_shape(net.init, RNG, jnp.zeros((2, *shape, 1)))
    with pytest.raises(contracts.UserError):
        jax.eval_shape(net.init, RNG, jnp.zeros((2, 48)))  # no images
    text = str(error.value)
    assert text.startswith(f"images are {shape[0]}x{shape[1]} pixels and the encoder 'auto' needs")
    assert text.endswith(f"from 24 to 256; {advice}")


def test_wrong_arguments_are_one_sentence():
    with pytest.raises(contracts.UserError, match="did you mean 'gradients'"):
        encoders.auto(**SMALL, inputs="gradient")
    net = encoders.auto(**SMALL, local=3)
    assert shapes(net, 64, 64, 1)[1]["local"] == (4, 4, 16)
    with pytest.raises(contracts.UserError, match="local=3 and the encoder 'auto' has 3 conv"):
        shapes(net, 48, 48, 1)


def test_each_view_of_colours_has_an_encoder_for_its_channels():
    net = multiview.colour_views(encoder=encoders.auto(**SMALL), space="lab", views=("L", "ab"))
    params, taps = shapes(net, 40, 40, 3)
    assert [params[view]["conv0"]["kernel"][2] for view in ("L", "ab")] == [1, 2]
    assert taps["y"] == (6,)


def test_local_infomax_trains_on_five_channels_of_48_pixels_and_its_encoder_loads(config, tmp_path):
    """In microbatches and groups of batch norm, by the train step; and the export needs no side."""
    spec = config("quickstart")["method"]["method"]
    spec |= dict(encoder=dict(name="auto", **SMALL), gamma=0.0)
    block = training.block(batch_size=16, microbatches=2, norm_groups=2)
    method = microbatching.divide(build.make("method", spec), block, devices=1)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 48, 48, 5), dtype=np.uint8)
    normalised = np.float32(pixels / 127.5 - 1)
    batch = dict(images=normalised[None], labels=np.zeros(16, np.int32), index=np.arange(16))
    adam = dict(name="adam", learning_rate=3e-3, b1=0.9, b2=0.999, every=1)
    adam["schedule"] = dict(name="constant")
    state = train_step.initial_state(
        method, lambda params: optimizers.make(dict.fromkeys(params, adam), 20, 1), 3, batch
    )
    step, losses = jax.jit(train_step.train_step), []
    for _ in range(20):
        state, metrics = step(state, batch, 3)
        losses.append(float(metrics["loss/encoder"]))
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.1
    params, stats = state.params["encoder"]["encoder"], state.state["encoder"]
    net = build.make("encoder", spec["encoder"])
    expected, _ = jax.jit(partial(net.apply, train=False))(params, stats, normalised)
    card = dict(format=1, encoder=spec["encoder"], image_shape=[48, 48, 5], mean=[0.5] * 5)
    card |= dict(std=[0.5] * 5, taps={"conv": [6, 6, 8], "y": [3]})
    exported_encoder.write(tmp_path, *jax.device_get((params, stats)), card)
    found = dim_jax.load_encoder(tmp_path).encode(pixels)
    for tap in ("conv", "y"):
        np.testing.assert_allclose(found[tap], expected[tap], rtol=1e-4, atol=1e-5)
