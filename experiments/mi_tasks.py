"""Samples with known mutual information, to judge estimators by; needs NumPy and SciPy alone.

    for task in mi_tasks.tasks("generated"):
        x, y = task.draw(0, task.samples)      # float32
        error = estimate(x, y) - task.nats
        floor = task.floor(x, y)               # the same of one who knows both densities

Groups: `given`, the 16 tasks of which samples are at hand (`mi_tasks.given(folder)` reads them);
`generated`, more of their families and mixtures; `held_back`, families on which no estimator here
was tuned, not to be looked at before it is final; `independent`; `small_samples`, n = 200 and 500;
`large_information`, 5 and 8 nats.
"""

import dataclasses
import functools
import json
import math
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from dim_jax.settings import UserError
from experiments import mi_laws, mi_laws_held_back, mi_transforms
from experiments.mi_laws import Law, Truth
from experiments.mi_transforms import transformed

GROUPS = (
    *("given", "generated", "held_back"),
    *("independent", "small_samples", "large_information"),
)
SAMPLES = 5000
# Samples of the 16 tasks, which are not part of the repository.
FOLDER = pathlib.Path(
    os.environ.get("DIM_JAX_MI_TASKS", pathlib.Path(__file__).parents[2] / "shared" / "mi")
)


@dataclasses.dataclass(frozen=True)
class Task:
    """A law with a name, a family, a group, and the number of samples to draw of it.

    known: the truth where it comes from elsewhere, as for samples that were given.
    stored: the folder with <name>.<seed>.npz, where samples are read and not drawn.
    """

    name: str
    family: str
    group: str
    law: Law
    samples: int = SAMPLES
    known: Truth | None = None
    stored: pathlib.Path | None = None

    @property
    def dims(self) -> tuple[int, int]:
        """Columns of x and of y."""
        return self.law.dims

    def draw(self, seed: int, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """x f32[n,dx] and y f32[n,dy]; of stored samples, the first n."""
        n = self.samples if n is None else n
        if self.stored is not None:
            with np.load(self.stored / f"{self.name}.{seed}.npz") as arrays:
                return arrays["x"][:n], arrays["y"][:n]
        random = np.random.default_rng([zlib.crc32(self.name.encode()), seed])
        x, y = self.law.sample(random, n)
        return x.astype(np.float32), y.astype(np.float32)

    @functools.cached_property
    def truth(self) -> Truth:
        """Mutual information in nats, with a standard error above 0 where it is a mean."""
        return self.known or self.law.truth()

    @property
    def nats(self) -> float:
        """Mutual information in nats."""
        return self.truth.nats

    def log_ratio(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """f64[n], log p(x, y) - log p(x) - log p(y) of each pair."""
        return self.law.log_ratio(np.asarray(x, float), np.asarray(y, float))

    def floor(self, x: np.ndarray, y: np.ndarray) -> float:
        """Mean true log ratio over the pairs - truth: the error of one who knows both densities."""
        return float(self.log_ratio(x, y).mean()) - self.nats


@functools.cache
def tasks(group: str | None = None) -> tuple[Task, ...]:
    """The tasks of a group, or of all."""
    if group is None:
        return tuple(task for name in GROUPS for task in tasks(name))
    if group not in GROUPS:
        raise UserError(f"group {group!r} is none of {', '.join(GROUPS)}; give one of these")
    return tuple(_BUILDERS[group]())


def task(name: str) -> Task:
    """The task of that name."""
    named = [each for each in tasks() if each.name == name]
    if not named:
        raise UserError(f"no task is named {name!r}; mi_tasks.tasks() has them")
    return named[0]


def given(folder: str | os.PathLike) -> Iterator[Task]:
    """The tasks of a folder with truth.json and <task>.<seed>.npz; their draws are these samples.

    Raises:
      UserError: no truth.json, or a task that has no law here.
    """
    folder = pathlib.Path(folder)
    for name, nats in _read(folder)["truth"].items():
        law = next((each for each in tasks("given") if each.name == name), None)
        if law is None:
            raise UserError(f"{folder}/truth.json has the task {name!r}, of which no law is here")
        yield dataclasses.replace(law, known=Truth(nats), stored=folder)


def peers(folder: str | os.PathLike) -> dict[str, dict[str, dict[str, float]]]:
    """{task: {estimator: {nats, cpu_seconds}}} of truth.json, on seed 0."""
    return _read(pathlib.Path(folder))["peers"]


def _read(folder: pathlib.Path) -> dict:
    path = folder / "truth.json"
    if not path.exists():
        raise UserError(f"{folder} has no truth.json; give the folder of the 16 tasks")
    return json.loads(path.read_text())


# Transforms of a law, by the first words of a task's name.


def _half_cube(law: Law) -> Law:
    return transformed(law, mi_transforms.HALF_CUBE, mi_transforms.HALF_CUBE)


def _asinh(law: Law) -> Law:
    return transformed(law, mi_transforms.ASINH, mi_transforms.ASINH)


def _normal_cdf(law: Law) -> Law:
    return transformed(law, mi_transforms.NORMAL_CDF, mi_transforms.NORMAL_CDF)


def _spiral(law: Law) -> Law:
    return transformed(law, mi_transforms.spiral(0, 1), mi_transforms.spiral(1, 2))


def _rotated(law: Law) -> Law:
    turns = (mi_transforms.rotation(d, seed=i) for i, d in enumerate(law.dims))
    return transformed(law, *turns)


def _dense(d: int, correlation: float = 0.5) -> Law:
    return mi_laws.gaussian(mi_laws.dense(d, d, correlation), d)


def _sparse(d: int, pairs: int = 2) -> Law:
    return mi_laws.gaussian(mi_laws.sparse(d, d, pairs, 2.0), d)


def _student(d: int, freedom: float, correlation: float = 0.0) -> Law:
    return mi_laws.student(mi_laws.dense(d, d, correlation), d, freedom)


def _bivariate(correlation: float = 0.75) -> Law:
    return mi_laws.gaussian(mi_laws.paired([correlation]), 1)


def _given() -> Iterator[Task]:
    swiss_roll = transformed(_normal_cdf(_bivariate()), mi_transforms.SWISS_ROLL)
    modes = (mi_transforms.bimodal(0.3, 0, 5), mi_transforms.bimodal(0.5, -1, 3))
    listed = [
        ("1v1-normal-0.75", "normal", _bivariate()),
        ("1v1-additive-0.1", "additive", mi_laws.additive_uniform(0.1)),
        ("1v1-bimodal-0.75", "bimodal", transformed(_bivariate(), *modes)),
        ("half_cube-1v1-normal-0.75", "half_cube", _half_cube(_bivariate())),
        ("swissroll_x-normal_cdf-1v1-normal-0.75", "swiss_roll", swiss_roll),
        ("asinh-student-identity-1-1-1", "asinh", _asinh(_student(1, 1))),
        *((f"multinormal-dense-{d}-{d}-0.5", "dense", _dense(d)) for d in (5, 25, 50)),
        *((f"multinormal-sparse-{d}-{d}-2-2.0", "sparse", _sparse(d)) for d in (5, 25)),
        ("student-identity-5-5-2", "student", _student(5, 2)),
        ("asinh-student-identity-5-5-2", "asinh", _asinh(_student(5, 2))),
        ("half_cube-multinormal-sparse-25-25-2-2.0", "half_cube", _half_cube(_sparse(25))),
        ("spiral-multinormal-sparse-5-5-2-2.0", "spiral", _spiral(_sparse(5))),
        (
            "spiral-normal_cdf-multinormal-sparse-25-25-2-2.0",
            "spiral",
            _spiral(_normal_cdf(_sparse(25))),
        ),
    ]
    return (Task(name, family, "given", law) for name, family, law in listed)


def _generated() -> Iterator[Task]:
    waves = (mi_transforms.wiggly("x"), mi_transforms.wiggly("y"))
    listed = [
        ("normal_cdf-1v1-normal-0.75", "normal_cdf", _normal_cdf(_bivariate())),
        ("1v1-additive-0.75", "additive", mi_laws.additive_uniform(0.75)),
        ("wiggly-1v1-normal-0.75", "wiggly", transformed(_bivariate(), *waves)),
        *((f"multinormal-dense-{d}-{d}-0.5", "dense", _dense(d)) for d in (2, 3)),
        *((f"multinormal-sparse-{d}-{d}-2-2.0", "sparse", _sparse(d)) for d in (2, 3)),
        ("multinormal-sparse-10-10-4-2.0", "sparse", _sparse(10, 4)),
        ("student-identity-1-1-1", "student", _student(1, 1)),
        ("student-identity-2-2-1", "student", _student(2, 1)),
        ("student-identity-3-3-3", "student", _student(3, 3)),
        ("student-dense-3-3-5-0.5", "student", _student(3, 5, 0.5)),
        ("asinh-student-identity-2-2-1", "asinh", _asinh(_student(2, 1))),
        ("half_cube-multinormal-sparse-5-5-2-2.0", "half_cube", _half_cube(_sparse(5))),
        ("normal_cdf-multinormal-sparse-5-5-2-2.0", "normal_cdf", _normal_cdf(_sparse(5))),
        ("spiral-multinormal-sparse-3-3-2-2.0", "spiral", _spiral(_sparse(3))),
        ("spiral-multinormal-sparse-25-25-2-2.0", "spiral", _spiral(_sparse(25))),
        (
            "spiral-normal_cdf-multinormal-sparse-5-5-2-2.0",
            "spiral",
            _spiral(_normal_cdf(_sparse(5))),
        ),
        *((f"mixture-{dx}-{dy}-{k}", "mixture", _mixture(dx, dy, k)) for dx, dy, k in _MIXTURES),
        ("inliers-2-3-0.3", "inliers", _inliers(0.3)),
    ]
    return (Task(name, family, "generated", law) for name, family, law in listed)


_MIXTURES = ((1, 1, 3), (2, 1, 4), (2, 2, 4), (3, 2, 5))


def _mixture(dx: int, dy: int, components: int) -> Law:
    """Components with random means and covariances, of random weights."""
    random = np.random.default_rng([dx, dy, components])
    factors = 0.6 * random.standard_normal((components, dx + dy, dx + dy))
    covariances = factors @ factors.transpose(0, 2, 1) + 0.2 * np.eye(dx + dy)
    means = 2 * random.standard_normal((components, dx + dy))
    return mi_laws.mixture(random.dirichlet([5] * components), means, covariances, dx)


def _inliers(noise: float) -> Law:
    """Two columns and three, correlated in most pairs and independent in a fraction `noise`."""
    signal = mi_laws.dense(2, 3, 0.0)
    for i in range(2):
        signal[i, 2 + i] = signal[2 + i, i] = 0.9
    covariances = np.stack([signal, np.eye(5)])
    return mi_laws.mixture([1 - noise, noise], np.zeros((2, 5)), covariances, 2)


def _held_back() -> Iterator[Task]:
    corners = 1.5 * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [0, 0]])
    crossed = np.stack([mi_laws.paired([c]) for c in (0.95, -0.95)])
    pole = (mi_transforms.moebius(0.4j), mi_transforms.moebius(0.3))
    quadratic = mi_laws_held_back.noisy_function(lambda x: x**2, lambda x: 0.3)
    circle = mi_laws_held_back.noisy_circle(0.15)
    listed = [
        ("x-1-1-0.95", "x", mi_laws.mixture([0.5, 0.5], np.zeros((2, 2)), crossed, 1)),
        ("circle-1-1-0.15", "circle", circle),
        ("circle-5-5-0.15", "circle", mi_laws.padded(circle, 5, 5)),
        ("quadratic-1-1-0.3", "quadratic", quadratic),
        ("quadratic-4-4-0.3", "quadratic", mi_laws.padded(quadratic, 4, 4)),
        (
            "cosine-1-1-0.3",
            "cosine",
            mi_laws_held_back.noisy_function(lambda x: np.cos(3 * x), lambda x: 0.3),
        ),
        (
            "heteroscedastic-1-1",
            "heteroscedastic",
            mi_laws_held_back.noisy_function(lambda x: x, lambda x: 0.1 + 0.5 * x**2),
        ),
        (
            "multiplicative-1-1",
            "multiplicative",
            mi_laws_held_back.noisy_function(lambda x: 0 * x, np.exp),
        ),
        ("product-2-1-0.3", "product", mi_laws_held_back.noisy_product(0.3)),
        ("checkerboard-1-1-4", "checkerboard", mi_laws_held_back.checkerboard(4)),
        ("norms-3-3-0.9", "norms", mi_laws_held_back.dependent_norms(3, 0.9)),
        ("gamma_exponential-1-1-0.5", "gamma", mi_laws_held_back.gamma_exponential(0.5)),
        ("rotated-multinormal-sparse-10-10-3-2.0", "rotated", _rotated(_sparse(10, 3))),
        ("rotated-half_cube-10-10-3-2.0", "rotated", _rotated(_half_cube(_sparse(10, 3)))),
        ("moebius-multinormal-dense-2-2-0.5", "moebius", transformed(_dense(2), *pole)),
        ("classes-2-1-5", "classes", mi_laws_held_back.classes(corners)),
        ("counts-1-1-2", "counts", mi_laws_held_back.counts(2.0, 5.0)),
    ]
    return (Task(name, family, "held_back", law) for name, family, law in listed)


def _independent() -> Iterator[Task]:
    for dx, dy in ((1, 1), (2, 2), (5, 5), (10, 10)):
        law = mi_laws.independent(dx, dy)
        yield Task(f"independent-{dx}-{dy}", "independent", "independent", law)
    law = mi_laws.independent(5, 5, freedom=2)
    yield Task("independent-student-5-5-2", "independent", "independent", law)


def _small_samples() -> Iterator[Task]:
    for n in (200, 500):
        for d in (2, 5, 10):
            laws = {
                "dense": _dense(d),
                "sparse": _sparse(d),
                "half_cube": _half_cube(_sparse(d)),
                "student": _student(d, 3),
            }
            for family, law in laws.items():
                yield Task(f"small-{family}-{d}-{d}-n{n}", family, "small_samples", law, n)


def _large_information() -> Iterator[Task]:
    for nats in (5, 8):
        for d in (2, 3, 5):
            correlation = math.sqrt(-math.expm1(-2 * nats / d))
            law = mi_laws.gaussian(mi_laws.paired([correlation] * d), d)
            yield Task(f"large-{nats}-{d}-{d}", "normal", "large_information", law, 10_000)


_BUILDERS: dict[str, Callable[[], Iterator[Task]]] = {
    "given": _given,
    "generated": _generated,
    "held_back": _held_back,
    "independent": _independent,
    "small_samples": _small_samples,
    "large_information": _large_information,
}
