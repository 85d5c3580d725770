"""The facts that functions carry are true: invariances, ceilings, gradients, the table."""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dim_jax import bounds, build
from dim_jax.bounds import labels

# Functions of a matrix with the arguments that their facts belong to: {label: (function, facts)}.
ARGUMENTS = {
    "tuba": dict(log_baseline=0.3),
    "smile": dict(tau=1.5),
    "alpha=1": dict(alpha=1.0),
    "0<alpha<1": dict(alpha=0.4),
}


def _cases():
    for estimator in bounds.ESTIMATORS:
        for facts in estimator.facts:
            name, variant = estimator.__name__, facts.variant
            if estimator in (bounds.mine, bounds.jsd_to_mi_lower_bound):
                continue
            if estimator in (bounds.barber_agakov, bounds.difference_of_entropies):
                continue
            options = dict(ARGUMENTS.get(variant) or ARGUMENTS.get(name, {}))
            if variant.startswith("negatives"):
                options["negatives"] = variant.split('"')[1]
            yield f"{name} {variant}".strip(), (partial(estimator, **options), facts)
    yield "mine", (lambda t, p: _mine(t, p)[0], bounds.mine.facts[0])


def _mine(scores, positives):
    return bounds.mine(scores, positives, state=bounds.mine_state(), decay=0.9)


CASES = dict(_cases())
every = pytest.mark.parametrize("label", CASES)
N, L = 4, 3
SHIFTS = {
    "c": (1, 1, 1),
    "c(l)": (1, 1, L),
    "c(x)": (N, 1, 1),
    "c(y)": (1, N, 1),
    "c(x, l)": (N, 1, L),
    "c(y, l)": (1, N, L),
}
IMPLIES = {
    "c": {"c"},
    "c(l)": {"c", "c(l)"},
    "c(x)": {"c", "c(x)"},
    "c(y)": {"c", "c(y)"},
    "c(x, l)": {"c", "c(l)", "c(x)", "c(x, l)"},
    "c(y, l)": {"c", "c(l)", "c(y)", "c(y, l)"},
}
numbers = st.floats(-4, 4, width=32)
matrices = arrays.arrays(np.float32, (N, N, L), elements=numbers)
orders = st.permutations(range(N))


@cache
def compiled(label):
    return jax.jit(CASES[label][0])


def invariances(facts):
    return set().union(*(IMPLIES[shift] for shift in facts.invariant_to))


@every
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_invariances_hold_for_any_scores_positives_and_shifts(label, data):
    _, facts = CASES[label]
    scores, order = data.draw(matrices), data.draw(orders)
    before = compiled(label)(scores, np.array(order))
    for shift in invariances(facts):
        change = data.draw(arrays.arrays(np.float32, SHIFTS[shift], elements=numbers))
        after = compiled(label)(scores + change, np.array(order))
        np.testing.assert_allclose(after, before, atol=1e-4, err_msg=shift)


@every
def test_no_other_invariance_holds(label):
    _, facts = CASES[label]
    rng = np.random.default_rng(2)
    scores = rng.standard_normal((N, N, L))
    before = compiled(label)(scores, np.arange(N))
    for shift in set(SHIFTS) - invariances(facts):
        change = rng.standard_normal(SHIFTS[shift]) + 2.0
        after = compiled(label)(scores + change, np.arange(N))
        assert abs(after - before) > 1e-3, shift


@every
@settings(max_examples=25, deadline=None)
@given(scores=matrices, order=orders, scale=st.sampled_from([0.1, 1.0, 10.0, 1000.0]))
def test_no_scores_exceed_the_ceiling(label, scores, order, scale):
    function, facts = CASES[label]
    more = (function.keywords["alpha"],) if "alpha" in facts.ceiling.text else ()
    ceiling = facts.ceiling.of(N, *more)
    value = compiled(label)(scale * scores, np.array(order))
    assert value <= ceiling + 1e-4 * max(1.0, abs(ceiling)) if math.isfinite(ceiling) else True


PERFECT = {"squared_hellinger": 60.0}  # scores of a perfect critic, where 1e4 overflows


@every
def test_finite_ceilings_are_reached_and_others_passed(label):
    _, facts = CASES[label]
    if facts.ceiling.text == "1 + log((n - 1) / alpha)":
        # Not reached, only approached by critics that the bound then punishes.
        return
    eye, ceiling = np.eye(N)[..., None].repeat(L, -1), facts.ceiling.of(N)
    if math.isinf(ceiling):
        level = facts.of.startswith("KL(product")  # its optimal critic is low where pairs are rare
        low, high = (compiled(label)(scale * (eye - level), np.arange(N)) for scale in (8.0, 80.0))
        assert high > low + 10.0
        return
    value = compiled(label)(PERFECT.get(label, 1e4) * (2.0 * eye - 1.0), np.arange(N))
    np.testing.assert_allclose(value, ceiling, atol=1e-4)


@every
def test_the_gradient_is_of_what_the_facts_say(label):
    function, facts = CASES[label]
    scores = jnp.asarray(np.random.default_rng(3).standard_normal((N, N, L)))
    slopes = jax.grad(lambda t: function(t, None))(scores)
    if facts.gradient == "of jensen_shannon":
        expected = jax.grad(bounds.jensen_shannon)(scores)
    elif label == "mine":
        slopes = jax.grad(lambda t: _mine(t, None)[1])(scores)
        expected = jax.grad(bounds.donsker_varadhan)(scores)  # the first batch has no other
    else:
        assert facts.gradient == "of the value"
        direction = np.random.default_rng(4).standard_normal(scores.shape)
        with jax.enable_x64(True):
            wide = jnp.asarray(np.asarray(scores, np.float64))
            up, down = (float(function(wide + c * direction, None)) for c in (1e-5, -1e-5))
        np.testing.assert_allclose(np.sum(slopes * direction), (up - down) / 2e-5, atol=1e-4)
        return
    np.testing.assert_allclose(slopes, expected, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(scores=matrices, order=orders)
def test_positives_first_or_anywhere(scores, order):
    """The value depends on which pairs are joint, not on where they stand."""
    order = np.array(order)
    assume(np.isfinite(scores).all())
    for label in ('infonce negatives="candidates"', "donsker_varadhan", "interpolated alpha=1"):
        straight = compiled(label)(scores[:, order], np.arange(N))
        np.testing.assert_allclose(compiled(label)(scores, order), straight, atol=1e-5)


def test_every_function_is_labelled_and_in_the_table():
    table = bounds.table()
    for estimator in bounds.ESTIMATORS:
        assert estimator.facts and f"| {estimator.__name__}" in table
    lines = table.splitlines()
    cells = [len(line.replace("\\|", "").split("|")) for line in lines]
    assert set(cells) == {len(labels.HEADER) + 2}
    assert table in bounds.__doc__


def test_only_bounds_call_themselves_bounds():
    for estimator in bounds.ESTIMATORS:
        first = estimator.__doc__.split("\n")[0].lower()
        if any(facts.kind == "neither" for facts in estimator.facts) and "bound" in first:
            assert "not a bound" in first or "neither a lower nor an upper" in first
        if any(facts.kind == "divergence" for facts in estimator.facts) and "bound" in first:
            assert "lower bound of" in first and "lower bound of the mutual" not in first


def test_what_a_config_may_name_as_bound_takes_scores_and_numbers():
    names = set(build.names("bound"))
    takes = {e.__name__: e.facts[0].takes for e in bounds.ESTIMATORS}
    assert names == {name for name, what in takes.items() if what == "scores"} | {"tuba"}
