"""The truth of every task and its log density ratio, against closed forms, draws and identities."""

import json
import math

import numpy as np
import pytest
from scipy import special

from dim_jax.settings import UserError
from experiments import mi_laws, mi_laws_held_back, mi_tasks, mi_transforms

FOLDER = mi_tasks.FOLDER
N = 10_000
# Tasks of 500 samples are of the laws of those of 200.
TASKS = {task.name: task for task in mi_tasks.tasks() if not task.name.endswith("-n500")}
BY_DRAWS = {name for name, task in TASKS.items() if task.family in ("mixture", "inliers")}
BY_DRAWS -= {"mixture-1-1-3"}
needs_samples = pytest.mark.skipif(
    not (FOLDER / "truth.json").exists(), reason=f"the samples of the 16 tasks are not in {FOLDER}"
)


@pytest.fixture(scope="module")
def drawn():
    """Samples of a task in float32 and their true log ratio, drawn once."""
    kept = {}

    def of(name):
        if name not in kept:
            x, y = TASKS[name].draw(1, N)
            kept[name] = (x, y, TASKS[name].log_ratio(x, y))
        return kept[name]

    return of


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in BY_DRAWS)) for n in TASKS]
)
def test_truth_is_the_mean_of_the_true_log_ratio(name, drawn):
    *_, values = drawn(name)
    task = TASKS[name]
    error = math.hypot(values.std() / math.sqrt(N), task.truth.standard_error)
    assert np.isfinite(values).all()
    assert abs(values.mean() - task.nats) <= 4 * error + 1e-6
    assert (task.truth.standard_error > 0) == (name in BY_DRAWS)
    assert task.truth.standard_error < 0.003


@pytest.mark.parametrize("name", TASKS)
def test_log_ratio_is_that_of_the_joint_law_and_the_product(name, drawn):
    """The mean of p / (p + q) under q is that of q / (p + q) under p, of any two densities p, q."""
    x, y, values = drawn(name)
    with_others = TASKS[name].log_ratio(x, np.roll(y, N // 2, axis=0))
    one, other = special.expit(-values), special.expit(with_others)
    error = math.hypot(one.std(), other.std()) / math.sqrt(N)
    assert abs(one.mean() - other.mean()) <= 4 * error + 1e-6


@pytest.mark.parametrize("name", TASKS)
def test_draws_are_float32_of_the_dimensions(name, drawn):
    x, y, _ = drawn(name)
    assert x.dtype == y.dtype == np.float32
    assert ((N, *x.shape[1:]), (N, *y.shape[1:])) == tuple((N, d) for d in TASKS[name].dims)
    assert np.isfinite(x).all() and np.isfinite(y).all()


def test_draws_depend_on_seed_and_name_alone():
    task, other = TASKS["multinormal-dense-5-5-0.5"], TASKS["multinormal-sparse-5-5-2-2.0"]
    assert np.array_equal(task.draw(3)[0], task.draw(3)[0])
    assert not np.array_equal(task.draw(3)[0], task.draw(4)[0])
    assert not np.array_equal(task.draw(3)[0][:, 0], other.draw(3)[0][:, 0])
    assert len(TASKS["small-dense-2-2-n200"].draw(0)[0]) == 200


def test_closed_forms():
    assert TASKS["1v1-normal-0.75"].nats == pytest.approx(-math.log(1 - 0.75**2) / 2)
    assert TASKS["multinormal-sparse-25-25-2-2.0"].nats == pytest.approx(-math.log(1 - 0.8**2))
    d, c = 5, 0.5  # eigenvalues of a matrix with one number off the diagonal
    determinants = [(1 - c) ** (k - 1) * (1 + (k - 1) * c) for k in (d, 2 * d)]
    nats = math.log(determinants[0]) - math.log(determinants[1]) / 2
    assert TASKS["multinormal-dense-5-5-0.5"].nats == pytest.approx(nats)
    assert TASKS["1v1-additive-0.1"].nats == pytest.approx(math.log(5) + 0.1)
    assert TASKS["1v1-additive-0.75"].nats == pytest.approx(1 / 3)
    for nats in (5, 8):
        for d in (2, 3, 5):
            assert TASKS[f"large-{nats}-{d}-{d}"].nats == pytest.approx(nats)
    # log(8 pi) - 3 of two Cauchy variables of one scale (Czyz et al. 2023).
    assert TASKS["student-identity-1-1-1"].nats == pytest.approx(math.log(8 * math.pi) - 3)


def test_quadrature_agrees_with_limits():
    """A noisy function that is linear is a normal law, far classes are told apart."""
    linear = mi_laws_held_back.noisy_function(lambda x: x, lambda x: 0.5).truth()
    assert linear.nats == pytest.approx(math.log(5) / 2, abs=1e-6)
    far = mi_laws_held_back.classes(np.array([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0]])).truth()
    assert far.nats == pytest.approx(math.log(3), abs=1e-6)
    one = mi_laws.mixture([1.0], np.ones((1, 2)), mi_laws.paired([0.6])[None], 1).truth()
    assert one.nats == pytest.approx(-math.log(1 - 0.36) / 2, abs=1e-6)


def test_padding_and_bijections_keep_the_information():
    for name, other in {
        "circle-5-5-0.15": "circle-1-1-0.15",
        "rotated-half_cube-10-10-3-2.0": "rotated-multinormal-sparse-10-10-3-2.0",
        "moebius-multinormal-dense-2-2-0.5": "multinormal-dense-2-2-0.5",
    }.items():
        assert TASKS[name].nats == TASKS[other].nats


TRANSFORMS = {
    "half_cube": (mi_transforms.HALF_CUBE, 3),
    "asinh": (mi_transforms.ASINH, 3),
    "normal_cdf": (mi_transforms.NORMAL_CDF, 3),
    "wiggly_x": (mi_transforms.wiggly("x"), 3),
    "wiggly_y": (mi_transforms.wiggly("y"), 3),
    "bimodal": (mi_transforms.bimodal(0.3, 0, 5), 3),
    "swiss_roll": (mi_transforms.chain(mi_transforms.NORMAL_CDF, mi_transforms.SWISS_ROLL), 1),
    "spiral": (mi_transforms.spiral(1, 2), 3),
    "rotation": (mi_transforms.rotation(3, 0), 3),
    "moebius": (mi_transforms.moebius(0.4j), 2),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_has_an_inverse(name):
    transform, d = TRANSFORMS[name]
    values = np.random.default_rng(0).standard_normal((2000, d))
    there = transform.forward(values)
    assert there.shape == (2000, d + transform.added)
    assert not np.allclose(there[:, :d], values)
    np.testing.assert_allclose(transform.inverse(there), values, atol=1e-6)


def test_modes_are_those_of_the_mixture():
    values = mi_transforms.bimodal(0.3, 0, 5).forward(
        np.random.default_rng(0).standard_normal((N, 1))
    )
    assert np.mean(values < 2.5) == pytest.approx(0.3, abs=0.02)
    assert values.mean() == pytest.approx(3.5, abs=0.1)


def test_at_least_five_families_are_held_back():
    seen = {t.family for g in ("given", "generated") for t in mi_tasks.tasks(g)}
    held_back = {t.family for t in mi_tasks.tasks("held_back")}
    assert len(held_back) >= 5 and not held_back & seen


def test_names_are_unique():
    names = [task.name for task in mi_tasks.tasks()]
    assert len(names) == len({*names})
    assert mi_tasks.task(names[-1]).name == names[-1]


@needs_samples
def test_truths_of_the_given_tasks_are_those_of_the_generators():
    truths = json.loads((FOLDER / "truth.json").read_text())["truth"]
    generated = {task.name: task.nats for task in mi_tasks.tasks("given")}
    assert generated == {name: pytest.approx(nats, abs=1e-6) for name, nats in truths.items()}
    assert [*mi_tasks.peers(FOLDER)] == [name for name in mi_tasks.peers(FOLDER) if name in truths]


@needs_samples
def test_given_samples_are_of_the_laws_here():
    """Their mean true log ratio is the truth, within the error of 5,000 samples."""
    floors = []
    for task in mi_tasks.given(FOLDER):
        x, y = task.draw(0)
        assert (len(x), x.shape[1], y.shape[1]) == (5000, *task.dims)
        error = task.log_ratio(x, y).std() / math.sqrt(len(x))
        floors.append(abs(task.floor(x, y)))
        assert floors[-1] <= 4 * error, task.name
    assert np.mean(floors) < 0.02


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UserError, match="give one of these"):
        mi_tasks.tasks("other")
    with pytest.raises(UserError, match="no task is named"):
        mi_tasks.task("other")
    with pytest.raises(UserError, match="give the folder"):
        next(mi_tasks.given(tmp_path))
    (tmp_path / "truth.json").write_text('{"truth": {"other": 1.0}}')
    with pytest.raises(UserError, match="no law is here"):
        next(mi_tasks.given(tmp_path))
