"""Products and convolutions by oneDNN: where they are chosen, and all their derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax.nets import convolutions, onednn, products

RNG = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def close(ours, theirs):
    """Equal up to 1e-5 of the largest number of each array, or the rounding of bfloat16."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert one.dtype == other.dtype
        tolerance = 1e-5 if one.dtype == jnp.float32 else 2**-8
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())


@pytest.fixture
def usable():
    if not onednn._works():
        pytest.skip("this jaxlib has no oneDNN")


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    monkeypatch.setattr(onednn, "_works", lambda: True)


def test_it_computes_what_is_large_on_one_cpu_device(one_device, monkeypatch):
    assert onednn.suits(onednn._LEAST) and not onednn.suits(onednn._LEAST - 1)
    with monkeypatch.context() as changed:
        changed.setattr(jax, "device_count", lambda: 2)
        assert not onednn.suits(onednn._LEAST)
    with monkeypatch.context() as changed:
        changed.setattr(jax, "default_backend", lambda: "gpu")
        assert not onednn.suits(onednn._LEAST)
    monkeypatch.setattr(onednn, "_works", lambda: False)
    assert not onednn.suits(onednn._LEAST)


@pytest.mark.parametrize("native", [True, False])
def test_products_of_bfloat16_need_a_cpu_that_has_them(native, one_device, monkeypatch):
    monkeypatch.setattr(onednn, "multiplies_bfloat16", lambda: native)
    assert onednn.suits(onednn._LEAST, jnp.bfloat16) == native
    assert onednn.suits(onednn._LEAST, "bfloat16") == native and onednn.suits(onednn._LEAST)


@pytest.fixture
def tried_again():
    onednn._works.cache_clear()
    yield
    onednn._works.cache_clear()


def test_the_environment_turns_it_off(tried_again, monkeypatch):
    monkeypatch.setenv("DIM_JAX_ONEDNN", "0")
    assert not onednn._works()


def test_a_jaxlib_without_it_is_noticed(tried_again, monkeypatch):
    call = onednn._call
    monkeypatch.setattr(onednn, "_call", lambda target, *rest: call(f"{target}_of_old", *rest))
    assert not onednn._works()


def traced(function, *arguments) -> str:
    return str(jax.make_jaxpr(lambda *arguments: function(*arguments))(*arguments))


@pytest.mark.parametrize("more", [0, 1])
def test_the_operations_of_products_and_convolutions_choose_it(more, one_device, monkeypatch):
    left, right = np.ones((6, 5), np.float32), np.ones((6, 7), np.float32)
    monkeypatch.setattr(onednn, "_LEAST", 2 * 5 * 6 * 7 + more)
    product = functools.partial(products.contract, left_axis=0, right_axis=0)
    assert ("onednn" in traced(product, left, right)) == (not more)
    images, kernel = np.ones((3, 8, 8, 5), np.float32), np.ones((4, 4, 5, 7), np.float32)
    monkeypatch.setattr(onednn, "_LEAST", 2 * 3 * 4**2 * kernel.size + more)
    convolution = functools.partial(convolutions.conv, stride=2, padding=1)
    assert ("onednn" in traced(convolution, images, kernel)) == (not more)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "chosen"),
    [(4, 2, 1, True), (3, 2, 1, True), (3, 1, 2, True), (1, 2, 0, False), (3, 2, 2, False)],
)
def test_geometries_of_negative_paddings_take_another_form(
    size, stride, padding, chosen, one_device, monkeypatch
):
    """Of the derivative with respect to the images; oneDNN would end the process."""
    monkeypatch.setattr(onednn, "_LEAST", 0)
    images, kernel = np.ones((2, 6, 6, 3), np.float32), np.ones((size, size, 3, 4), np.float32)
    convolution = functools.partial(convolutions.conv, stride=stride, padding=padding)
    assert ("__onednn$convolution" in traced(convolution, images, kernel)) == chosen


@pytest.mark.parametrize(("size", "stride"), [(4, 2), (3, 1)])
def test_second_derivatives_choose_it_too(size, stride, one_device, monkeypatch):
    """XLA's convolutions run on one thread in a loop, so that a gradient penalty took most time."""
    monkeypatch.setattr(onednn, "_LEAST", 0)
    shape = (size, size, 16, 17)  # with fewer channels, the gradient of a kernel is a product
    images, kernel = np.ones((2, 8, 8, 16), np.float32), np.ones(shape, np.float32)

    def penalty(kernel):
        def total(images):
            return jnp.sum(jnp.tanh(convolutions.conv(images, kernel, stride, 1)))

        return jnp.sum(jax.grad(total)(images) ** 2)

    text = traced(jax.grad(penalty), kernel)
    assert "__onednn$convolution" in text and "conv_general_dilated" not in text


AXES = [(0, 0), (0, 1), (1, 0), (1, 1)]


def of_float32(left, right, left_axis, right_axis):
    """XLA's CPU backend lacks some products of bfloat16 operands."""
    operands = left.astype("float32"), right.astype("float32")
    return onednn._plain_dot(*operands, left_axis=left_axis, right_axis=right_axis)


@pytest.mark.parametrize("dtype", products.DTYPES)
def test_products_and_their_derivatives_are_those_of_xla(dtype, usable):
    lefts = {axis: normal(2, *shape).astype(dtype) for axis, shape in enumerate(((6, 5), (5, 6)))}
    rights = {axis: normal(2, *shape).astype(dtype) for axis, shape in enumerate(((6, 7), (7, 6)))}

    def computed(form, left_axis, right_axis):
        def product(left, right):
            return form(left, right, left_axis, right_axis)

        def total(left, right):
            return jnp.sum(jnp.tanh(product(left, right)))

        both = lefts[left_axis], rights[right_axis]
        (left, *changes), (right, *others) = both
        value, change = jax.jvp(product, (left, right), (*changes, *others))
        return (
            *(value, change, jax.grad(total, (0, 1))(left, right)),
            jax.hessian(total, (0, 1))(left, right),
            *(jax.vmap(product, (0, None))(both[0], right), jax.vmap(product)(*both)),
            jax.vmap(product, (None, 2))(left, jnp.moveaxis(both[1], 0, 2)),
        )

    @functools.partial(jax.jit, static_argnums=0)
    def of_all_axes(form):
        return [computed(form, *axes) for axes in AXES]

    close(*(of_all_axes(form) for form in (onednn.dot, of_float32)))


@pytest.mark.parametrize("channels", [3, 16])
def test_second_derivatives_of_a_convolution_are_those_of_xla(channels, usable):
    """A gradient penalty differentiates a derivative."""
    images, kernel = normal(2, 9, 9, channels), normal(4, 4, channels, 5)

    def penalty(form, images, kernel):
        def score(images):
            return jnp.sum(jnp.tanh(form("float32", 2, 1, images, kernel) / 8))

        return jnp.sum(jax.grad(score)(images) ** 2)

    slopes = jax.jit(jax.value_and_grad(penalty, (1, 2)), static_argnums=0)
    forms = convolutions._conv_by_onednn, convolutions._conv_by_lax
    close(*(slopes(form, images, kernel) for form in forms))
