"""Products in a compute dtype: exact for rounded operands, in both passes; and what is built on."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.nets import convolutions, critics, layers, onednn, products

RNG = np.random.default_rng(0)
DTYPES = pytest.mark.parametrize("dtype", products.DTYPES)


def normal(*shape):
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def rounded(array, dtype):
    return np.asarray(jnp.asarray(array).astype(dtype), np.float64)


def close(ours, theirs, tolerance=1e-5):
    """Equal up to `tolerance` of the largest number."""
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def pulled(function, cotangent, *arguments):
    """The value, and the derivative for a cotangent, compiled."""

    @jax.jit
    def both(cotangent, *arguments):
        value, pull = jax.vjp(function, *arguments)
        return value, pull(cotangent)

    return both(cotangent, *arguments)


@DTYPES
def test_dot_of_parts_sums_rounded_operands_in_float32(dtype):
    parts, kernels = (normal(6, 64, 96), normal(6, 64, 24)), (normal(96, 40), normal(24, 40))
    cotangent = normal(6, 64, 40)
    ours = products.computed_in(lambda *a: products.dot_of_parts(a[:2], a[2:]), dtype)
    value, gradients = pulled(ours, cotangent, *parts, *kernels)
    x, w, g = (
        rounded(a, dtype) for a in (np.concatenate(parts, -1), np.concatenate(kernels), cotangent)
    )
    close(value, x @ w)
    of_x, of_w = g @ w.T, np.einsum("nlc,nld->cd", x, g)
    for gradient, expected in zip(
        gradients, (*np.split(of_x, [96], -1), *np.split(of_w, [96])), strict=True
    ):
        close(gradient, expected)


@DTYPES
def test_dot_of_rows_sums_rounded_operands_in_float32(dtype):
    left, right, cotangent = normal(10, 32), normal(7, 3, 32), normal(10, 7, 3)
    ours = products.computed_in(products.dot_of_rows, dtype)
    value, (of_left, of_right) = pulled(ours, cotangent, left, right)
    a, b, g = (rounded(x, dtype) for x in (left, right, cotangent))
    close(value, np.einsum("nd,mld->nml", a, b))
    close(of_left, np.einsum("nml,mld->nd", g, b))
    close(of_right, np.einsum("nml,nd->mld", g, a))


def skip_without_onednn(dtype):
    if not onednn._works():
        pytest.skip("this jaxlib has no oneDNN")
    if dtype == "bfloat16" and not onednn.multiplies_bfloat16():
        pytest.skip("this CPU has no products of bfloat16, with which oneDNN is used")


SHAPES = [
    # kernel, stride, padding, side; where the stride leaves pixels over, too
    *((4, 2, 1, 16), (4, 2, 1, 9), (4, 2, 0, 11), (5, 2, 2, 14), (3, 1, 1, 9)),
    *((3, 2, 0, 9), (3, 2, 1, 8), (1, 1, 0, 5), (1, 2, 0, 8)),
]
FORMS = [
    *(("_conv_by_matmul", 5, *shape) for shape in SHAPES),
    *(("_conv_by_lax", 5, *shape) for shape in SHAPES),
    # The kernel's gradient has one form for few channels, another for many.
    *(("_conv_by_onednn", 5, *shape) for shape in SHAPES[:2]),
    *(("_conv_by_onednn", 17, *shape) for shape in SHAPES if shape[1] + shape[2] <= shape[0]),
]


@pytest.mark.parametrize(("form", "channels", "size", "stride", "padding", "side"), FORMS)
@DTYPES
def test_convolutions_sum_rounded_operands_in_float32(
    form, channels, dtype, size, stride, padding, side
):
    """Each form (private; backend and size choose) against the definition, in both passes."""
    if form == "_conv_by_onednn":
        skip_without_onednn(dtype)
    inputs, kernel = normal(3, side, side, channels), normal(size, size, channels, 7)
    count = (side + 2 * padding - size) // stride + 1
    cotangent = normal(3, count, count, 7)

    def ours(x, w):
        return getattr(convolutions, form)(dtype, stride, padding, x, w)

    value, (of_inputs, of_kernel) = pulled(ours, cotangent, inputs, kernel)
    x, w, g = (rounded(a, dtype) for a in (inputs, kernel, cotangent))
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    defined, of_padded, of_w = np.zeros(g.shape), np.zeros(padded.shape), np.zeros(w.shape)
    for i, j in np.ndindex(count, count):
        window = np.s_[:, stride * i : stride * i + size, stride * j : stride * j + size]
        defined[:, i, j] = np.einsum("nrsc,rscd->nd", padded[window], w)
        of_padded[window] += np.einsum("nd,rscd->nrsc", g[:, i, j], w)
        of_w += np.einsum("nd,nrsc->rscd", g[:, i, j], padded[window])
    close(value, defined)
    close(of_inputs, of_padded[:, padding : padding + side, padding : padding + side])
    close(of_kernel, of_w)


def dots(jaxpr):
    """All matrix products and convolutions of a jaxpr, inner ones included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(getattr(inner, "jaxpr", inner), "eqns"):
                yield from dots(getattr(inner, "jaxpr", inner))


@pytest.mark.parametrize("form", ["_conv_by_matmul", "_conv_by_lax"])
def test_every_product_of_both_passes_has_bfloat16_operands(form, monkeypatch):
    monkeypatch.setattr(products, "on_cpu", lambda: form == "_conv_by_matmul")

    def loss(x, w, v):
        y = convolutions.conv(x, w, 2, 1)
        z = products.dot(y, v)
        return jnp.sum(products.dot_of_rows(z[:, 0, 0], z) ** 2)

    arguments = normal(4, 8, 8, 3), normal(4, 4, 3, 6), normal(6, 5)
    gradient = jax.grad(products.computed_in(loss, "bfloat16"), (0, 1, 2))
    found = list(dots(jax.make_jaxpr(gradient)(*arguments).jaxpr))
    assert len(found) == 9
    for equation in found:
        assert {v.aval.dtype for v in equation.invars} == {jnp.dtype("bfloat16")}, equation
        assert equation.outvars[0].aval.dtype == jnp.float32


def test_second_derivatives_pass_through():
    """A gradient penalty differentiates a derivative."""
    w, x = normal(8, 1) / 3, normal(16, 8)  # saturated tanh would magnify the rounding

    def penalty(w, dtype):
        def score(x):
            return jnp.sum(jnp.tanh(products.dot(x, w)))

        return jnp.sum(jax.grad(products.computed_in(score, dtype))(x) ** 2)

    slope = jax.jit(jax.grad(penalty), static_argnums=1)
    exact, low = (slope(w, dtype) for dtype in products.DTYPES)
    np.testing.assert_allclose(low, exact, rtol=0.05, atol=0.02 * np.abs(exact).max())


def test_unknown_dtype_is_one_sentence():
    with pytest.raises(contracts.UserError, match=r"compute_dtype 'bf16'.*bfloat16, float32"):
        products.computed_in(lambda: None, "bf16")


class _Plain(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = layers.Linear(12, use_bias=False, name="linear")(x)
        return layers.batch_norm(train, name="norm")(x)


class _Folded(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return layers.normed_linear(x, 12, train=train, linear="linear", norm="norm")


@pytest.mark.parametrize("train", [True, False])
def test_normed_linear_is_linear_and_batch_norm(train):
    """Values, gradients and running averages, of inputs whose mean is far from zero."""
    x, weights = normal(5, 9, 4) + 3, normal(5, 9, 12)
    init = functools.partial(jax.jit, static_argnums=2)
    variables = init(_Plain().init)(jax.random.key(0), x, True)
    assert jax.tree.structure(variables) == jax.tree.structure(
        init(_Folded().init)(jax.random.key(0), x, True)
    )
    variables["params"]["norm"] = {"scale": normal(12) + 2, "bias": normal(12)}
    stats = {"norm": {"mean": normal(12), "var": normal(12) ** 2}}

    def run(module, params, x):
        outputs, updates = module.apply(
            {"params": params, "batch_stats": stats}, x, train, mutable=["batch_stats"]
        )
        return jnp.sum(outputs * weights), updates

    plain, folded = (
        jax.jit(jax.value_and_grad(functools.partial(run, module), (0, 1), has_aux=True))(
            variables["params"], x
        )
        for module in (_Plain(), _Folded())
    )
    # float32, and flax makes its variance as a difference of squares
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), folded, plain)


def test_scores_of_normed_columns_are_those_of_a_layer_norm():
    rows, columns = normal(6, 16), normal(5, 3, 16) * 2 + 3
    scale, bias, weights = normal(16) + 1, normal(16), normal(6, 5, 3)

    def ours(*arguments):
        sides = critics._sides_of_normed(*arguments)
        return jnp.sum(critics._dot_of_normed(*sides[0], *sides[1]) * weights)

    def defined(rows, columns, scale, bias):
        normed = nn.LayerNorm(epsilon=1e-5).apply(
            {"params": {"scale": scale, "bias": bias}}, columns
        )
        return jnp.sum(jnp.einsum("nd,mld->nml", rows, normed) * weights)

    arguments = rows, columns, scale, bias
    (value, gradients), (expected, slopes) = (
        jax.jit(jax.value_and_grad(form, (0, 1, 2, 3)))(*arguments) for form in (ours, defined)
    )
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for gradient, slope in zip(gradients, slopes, strict=True):
        close(gradient, slope)


def test_what_is_forward_only_uses_the_convolution_of_xla_on_a_cpu():
    images, kernel = jnp.ones((2, 6, 6, 3)), jnp.ones((4, 4, 3, 5))

    def primitives() -> set[str]:
        traced = jax.make_jaxpr(lambda *a: convolutions.conv(*a, 2, 1))(images, kernel)
        return {equation.primitive.name for equation in dots(traced.jaxpr)}

    assert primitives() == {"dot_general"}
    with products.forward_only(True):
        assert primitives() == {"conv_general_dilated"}


@DTYPES
def test_copies_made_as_bits_have_derivatives(dtype):
    """Second derivatives go through the forward passes of products, so through these copies."""
    left, right = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), dtype)
    weights = jnp.arange(24, dtype=dtype).reshape(6, 4)

    def total(left, right):
        joined = products.concatenate((left, right), dtype, 0)
        return jnp.sum(products.transpose(joined) * weights.T)

    for found, wanted in zip(
        jax.grad(total, (0, 1))(left, right), (weights[:3], weights[3:]), strict=True
    ):
        np.testing.assert_array_equal(np.float32(found), np.float32(wanted))


@DTYPES
@pytest.mark.parametrize("form", ["_conv_by_matmul", "_conv_by_lax", "_conv_by_onednn"])
def test_second_derivatives_of_convolutions_are_those_of_float64(monkeypatch, form, dtype):
    """Through tanh, so that they depend on the results of the forward pass."""
    if form == "_conv_by_onednn":
        skip_without_onednn(dtype)
    monkeypatch.setattr(onednn, "suits", lambda *given: form == "_conv_by_onednn")
    monkeypatch.setattr(products, "on_cpu", lambda: form != "_conv_by_lax")
    rng = np.random.default_rng(0)
    images, kernel = rng.normal(size=(2, 6, 6, 3)), rng.normal(size=(4, 4, 3, 2)) / 5

    def penalty(conv, images, kernel):
        slopes = jax.grad(lambda images: jnp.sum(jnp.tanh(conv(images, kernel))))(images)
        return jnp.sum(slopes**2)

    def plain(images, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            images, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=numbers
        )

    def conv(images, kernel):
        return convolutions.conv(images, kernel, 2, 1)

    of_both = jax.jit(jax.grad(penalty, (1, 2)), static_argnums=0)
    with jax.enable_x64(True):
        wanted = of_both(plain, *map(jnp.float64, (images, kernel)))
    found = products.computed_in(of_both, dtype)(conv, *map(jnp.float32, (images, kernel)))
    tolerance = 1e-5 if dtype == "float32" else 0.05
    for ours, right in zip(found, wanted, strict=True):
        assert right.dtype == jnp.float64 and ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, right, atol=tolerance * np.abs(right).max())
