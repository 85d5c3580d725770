"""The arguments that a config passes on: every number has a range, every mistake one sentence."""

import importlib
import inspect
import math
from collections.abc import Sequence
from typing import Literal

import config_files
import pytest

from configs import common
from dim_jax import build, contracts, settings
from dim_jax.evaluate import discovery, suite
from dim_jax.settings import arguments
from dim_jax.training import optimizers

# Of schedules: they are computed or checked with their player.
GIVEN = {"rate", "total_steps", "steps_per_epoch"}
ADAM = dict(
    name="adam", learning_rate=0.1, b1=0.5, b2=0.999, schedule=dict(name="constant"), every=1
)


def functions():
    """(name, function) of all that configs call."""
    for role, path in build.ROLES.items():
        for name, function in build.names(role).items():
            yield name, function or importlib.import_module(f"{path}.{name}").make
    yield from optimizers._OPTIMIZERS.items()
    yield from optimizers._SCHEDULES.items()
    for name in discovery.names():
        yield name, discovery.load(name).evaluate


def test_every_number_has_a_range_and_every_range_a_number():
    used = set()
    for function, call in functions():
        for name, parameter in inspect.signature(call).parameters.items():
            if name not in GIVEN and arguments.is_numeric(parameter):
                assert arguments.range_of(function, name), f"no range of {function}.{name}"
                used |= {f"{function}.{name}", name}
    assert arguments.RANGES.keys() <= used | optimizers._PLAYER.keys()


def parameter(annotation, default=inspect.Parameter.empty) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter("widths", kind, annotation=annotation, default=default)


@pytest.mark.parametrize(
    ("annotation", "right", "wrong", "advice"),
    [
        (int, [1, 5], [0, -1, 1.0, True, "1", None, (1,)], "set it to 1 or a larger integer"),
        (int | None, [None, 1], [0], "set it to 1 or a larger integer, or to None"),
        (str | int, ["images", 3], [0, 2.5], "set it to 1 or a larger integer"),
        (Sequence[int], [(1, 2), [3], ()], [(1, 0)], "set each of its numbers to 1 or a larger"),
        (Sequence[int], [], [3, "ab", None, (1.5,), (1, "2")], "several integers, such as"),
        (tuple[int, int], [(1, 2)], [(0, 2)], "set each of its numbers"),
        (bool, [True], [1, "yes", None], "set it to True or False"),
        (str, ["a"], [1, None, ("a",)], "set it to a string"),
        (str | None, ["a", None], [1], "set it to a string, or to None"),
        (Sequence[str], [("a",), ()], ["a", (1,)], "several names, such as"),
        (Literal["a", "b"], ["a"], ["c", 3, None], "set it to 'a' or 'b'"),
        (contracts.Method, [3], [None], "set it to a block with a name"),
        (inspect.Parameter.empty, [None, 3, "x"], [], ""),
    ],
)
def test_values_of_an_annotation(annotation, right, wrong, advice):
    for value in right:
        arguments.check("a.b", "f", parameter(annotation), value)
    for value in wrong:
        with pytest.raises(contracts.UserError) as error:
            arguments.check("a.b", "f", parameter(annotation), value)
        assert str(error.value).startswith(f"a.b is {value!r}; ") and advice in str(error.value)


def test_none_is_right_where_it_is_the_default():
    arguments.check("a.b", "f", parameter(float, None), None)


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("names", "wrong", "right"),
    [
        ("width hidden features classes outputs negatives every locations", [0, -1, 1.5, NAN], 1),
        ("alpha beta gamma penalty learning_rate warmup_epochs l2 eps", [-1, NAN, INF], 0.0),
        ("temperature gain factor clip reconstruction", [0, -1, NAN, INF], 0.5),
        ("b1 b2 dropout momentum z_decay decay", [-0.1, 1, 1.5, 2, NAN], 0.0),
        ("local warmup_steps", [-1, 0.5, NAN], 0),
        ("candidates group", [1, NAN], 2),
    ],
)
def test_ranges(names, wrong, right):
    for name in names.split():
        limits = arguments.range_of("", name)
        assert limits.holds(right) and not any(map(limits.holds, wrong)), name


def test_a_tuple_has_the_length_of_its_annotation():
    with pytest.raises(contracts.UserError, match=r"decoder.shape is \(64,\); set it to 3 values"):
        build.make("decoder", dict(name="decoder", base=4, widths=(4,), shape=(64,)))


def test_a_range_may_be_of_one_function():
    assert arguments.range_of("dim", "alpha").holds(2.0)
    assert not arguments.range_of("interpolated", "alpha").holds(2.0)
    assert arguments.range_of("smile", "tau").holds(INF)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("beta", -1.0, "method.method.beta is -1.0; set it to 0 or a larger number"),
        ("penalty", NAN, "method.method.penalty is nan; set it to 0 or a larger number"),
        ("negatives", 0, "method.method.negatives is 0; set it to 1 or a larger integer, or to No"),
        ("encoder.width", 0, "method.method.encoder.width is 0; set it to 1 or a larger integer"),
        ("encoder.norm", 3, "method.method.encoder.norm is 3; set it to a string"),
        ("discriminator.widths", (8, -1), r"method.method.discriminator.widths is \(8, -1\); set "),
        ("encoder", None, "method.method.encoder is None; set it to a block with a name"),
        ("encoder", 3, "method.method.encoder is 3; set it to a block with a name"),
        ("bound", None, "method.method.bound is None; set it to a block with a name"),
        ("bound", dict(name="smile", tau=0.0), "method.method.bound.tau is 0.0; set it to more"),
    ],
)
def test_arguments_of_methods_and_networks(config, key, value, message):
    spec = config("quickstart")["method"]
    *parents, last = key.split(".")
    block = spec["method"]
    for parent in parents:
        block = block[parent]
    block[last] = value
    with pytest.raises(contracts.UserError, match=message):
        build.make("method", spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(learning_rate=-1.0), "players.a.learning_rate is -1.0; set it to 0 or a larger numb"),
        (dict(learning_rate="fast"), "players.a.learning_rate is 'fast'; set it to 0 or a larger"),
        (dict(b1=2.0), "players.a.b1 is 2.0; set it to a number from 0 to less than 1"),
        (dict(b2=NAN), "players.a.b2 is nan; "),
        (dict(every=-1), "players.a.every is -1; set it to 1 or a larger integer"),
        (dict(every=0), "players.a.every is 0; "),
        (dict(every=2**31), "players.a.every is 2147483648; set it to at most 2147483647"),
        (dict(every=1.5), "players.a.every is 1.5; "),
        (dict(offset=-1), "players.a.offset is -1; set it to 0 or a larger integer"),
        (dict(every=2, offset=2), "players.a.offset is 2 and players.a.every is 2, .* offset to 1"),
        (dict(clip_norm=0.0), "players.a.clip_norm is 0.0; set it to more than 0"),
        (dict(nesterov="no"), "players.a.nesterov is 'no'; set it to True or False"),
        (
            dict(schedule=dict(name="cosine", warmup_epochs=-1.0)),
            "players.a.schedule.warmup_epochs is -1.0; set it to 0",
        ),
        (
            dict(schedule=dict(name="cosine", warmup_epochs=2.0)),
            "warmup_epochs is 2 and the training has 2 epochs, .* more train.epochs",
        ),
        (
            dict(schedule=dict(name="multistep", at_epochs=(1, -1), factor=0.1)),
            r"players.a.schedule.at_epochs is \(1, -1\); set each",
        ),
        (
            dict(schedule=dict(name="multistep", at_epochs=(1,), factor=0.1, warmup_steps=11)),
            "warmup_steps is 11 and the training has 10 steps; set fewer",
        ),
        (dict(schedule="cosine"), "players.a.schedule is 'cosine'; set it to a block with a name"),
        (dict(name=None), "unknown optimizer 'None'"),
        (dict(schedule=dict(name=None)), "unknown schedule 'None'"),
        (dict(schedule={}), "players.a.schedule is {}; set it to a block with a name"),
    ],
)
def test_arguments_of_optimizers_and_schedules(change, message):
    with pytest.raises(contracts.UserError, match=message):
        optimizers.make({"a": {**ADAM, **change}}, total_steps=10, steps_per_epoch=5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(name=None), "unknown evaluation 'None'"),
        (dict(name="knn", subsets=0), "evals.x.subsets is 0; set it to 1 or a larger integer"),
        (dict(name="knn", labels_per_class=-1), "evals.x.labels_per_class is -1; .* or to None"),
        (dict(name="mlp", views=0), "evals.x.views is 0; "),
        (dict(name="retrieval", candidates=1), "evals.x.candidates is 1; set it to 2 or a larger"),
        (dict(name="generative", draws=NAN), "evals.x.draws is nan; "),
        (dict(name="mlp", taps=None), "evals.x.taps is None; set it to several names"),
    ],
)
def test_options_of_evaluations(spec, message):
    with pytest.raises(contracts.UserError, match=message):
        suite.check({"x": spec})


@pytest.mark.parametrize("name", config_files.NAMES)
def test_configs_have_valid_arguments_in_all_budgets(name):
    for budget in common.BUDGETS:
        try:
            config = settings.Config.of(config_files.load(name, f"budget={budget}"))
        except ValueError:
            assert name in ("quickstart", "folder", "arrays", "generator_ring")  # of other budgets
            config = settings.Config.of(config_files.load(name, ""))
        build.make("method", config.method)
        optimizers.make(config.players, total_steps=10**6, steps_per_epoch=10**4)
        suite.check(config.evals)
