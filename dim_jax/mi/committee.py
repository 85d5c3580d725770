"""The critics of one fold and their combination."""

import functools
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from dim_jax.mi import combination, held_out, location, network
from dim_jax.mi.class_densities import ClassDensities
from dim_jax.mi.fold import Fold
from dim_jax.mi.gaussian import Critic, Gaussian
from dim_jax.mi.kernels import Coordinates, Kernel
from dim_jax.mi.location import Location
from dim_jax.mi.result import CurvePoint
from dim_jax.mi.sides import Side

Fit = Callable[[], Critic]

CHUNK = 1000  # samples of which all pairs are scored
_OF_TRAINING = 600  # training samples that are measured, for the optimism of the critics
_MOST_KERNELS = 5000  # training samples that a kernel critic keeps
_FEW_COLUMNS = 4  # of x and y together, up to which kernels of all columns are used
_DENSITIES = "densities of classes"
_WAVES = (0, 2, 3)  # of modulated scores, candidates
_MOST_MODULATED = 10  # columns of a side whose scores are modulated
_WORTH, _WORTH_SHARE = 0.01, 0.05  # nats and share of the value, that modulated scores add


class Committee(NamedTuple):
    """Critics by name, fitted on training samples, and their combination, on validation samples.

    tested: the critic of the test of independence where there are no others.
    growth: the validation value of all critics but the network, less that of the same fitted on
      half of the training samples, in nats; it tells what more samples would add.
    """

    critics: dict[str, Critic]
    combination: combination.Combination
    tested: Critic
    log_baseline: float
    growth: float
    curve: tuple[CurvePoint, ...]

    @classmethod
    def fit(
        cls, x: Side, y: Side, checked_x: Side, checked_y: Side, *, seed, fold, settings, progress
    ) -> "Committee":
        """On training samples x, y and validation samples."""
        few = _first(CHUNK, checked_x, checked_y)
        gaussian = _gaussian(x, y, *few)
        critics = _without_network(gaussian, x, y)
        scores = np.stack([critic(*few) for critic in critics.values()])
        combined = combination.fit(scores)
        reached = held_out.value(combined(scores))
        growth = reached - _halved(critics, combined, gaussian, x, y, *few)
        curve = ()
        if settings is not None:
            beneath = critics.get(_DENSITIES, gaussian)
            rows = [
                network.Rows(a.features, b.features, *_padded(x, y, *beneath.terms(a, b)))
                for a, b in ((x, y), (checked_x, checked_y))
            ]
            fitted = network.fit(
                settings, *rows, seed=seed, fold=fold, progress=progress, needed=reached
            )
            curve = fitted.curve
            if fitted.gain > 0:
                critics["network"] = lambda x, y: fitted.score(x.features, y.features)
                scores = np.concatenate([scores, critics["network"](*few)[None]])
                combined = combination.fit(scores)
        baseline = held_out.log_mean([combined(scores)])
        used = {name: w for name, w in zip(critics, combined.weights, strict=True) if w > 0}
        combined = combined._replace(weights=np.array([*used.values()]))
        critics = {name: critics[name] for name in used}
        return cls(critics, combined, Gaussian.fit(x, y), baseline, growth, curve)

    @property
    def weights(self) -> list[float]:
        """Of the critics, in their order."""
        return self.combination.weights.tolist()

    def scores(self, x: Side, y: Side, seen: bool = False) -> np.ndarray:
        """f32[m,m]; of training samples, which are `seen`, the kernels are left out."""
        if not self.critics:
            return np.zeros((len(x.scores), len(y.scores)), np.float32)
        each = [
            critic.without_each(x, y)
            if seen and isinstance(critic, Kernel | Location)
            else critic(x, y)
            for critic in self.critics.values()
        ]
        return self.combination(np.stack(each))

    def measure(self, x, y, test, training, blocks, permutations, random, advance) -> Fold:
        """The fold of the samples `test`."""
        seen = training[:_OF_TRAINING]
        trained = self.scores(x.take(seen), y.take(seen), seen=True)
        chunks = np.array_split(test, -(-len(test) // CHUNK))
        sides = [(x.take(chunk), y.take(chunk)) for chunk in chunks]
        scores = [self.scores(*pair) for pair in sides]
        tested = scores if self.critics else [self.tested(*pair) for pair in sides]
        inside = None if blocks is None else blocks[test]
        log_mean = held_out.log_mean(held_out.without_pairs_of_blocks(tested, inside))
        drawn = sum(np.trace(each, dtype=np.float64) for each in tested) / len(test)
        advance(1.0)
        permuted = held_out.permuted_means(tested, permutations, inside, random)
        return Fold(
            samples=test,
            held=held_out.measure(
                held_out.without_pairs_of_blocks(scores, inside),
                *(self.log_baseline, self.combination.most),
            ),
            training=held_out.value(trained),
            growth=self.growth,
            permuted=permuted - log_mean,
            tested=drawn - log_mean,
            weights=dict(zip(self.critics, self.weights, strict=True)),
            curve=self.curve,
        )


def _without_network(
    gaussian: Gaussian, x: Side, y: Side, names: Collection[str] | None = None
) -> dict[str, Critic]:
    """The critics that need no optimisation, fitted on x and y; all, or those of these names."""
    fits = {"gaussian": lambda: gaussian, **_kernels(gaussian, x, y), **_locations(x, y)}
    fits |= _class_densities(x, y)
    return {name: fit() for name, fit in fits.items() if names is None or name in names}


def _halved(critics, combined, gaussian: Gaussian, x: Side, y: Side, *few: Side) -> float:
    """The validation value of the critics with a weight, fitted on half of the samples."""
    names = [name for name, w in zip(critics, combined.weights, strict=True) if w > 0]
    if not names:
        return 0.0
    x, y = _first(len(x.scores) // 2, x, y)
    rank = len(gaussian.correlations)
    refitted = Gaussian.fit(x, y, gaussian.waves).truncated(rank)
    halved = _without_network(refitted, x, y, names)
    return combination.refitted_value(np.stack([critic(*few) for critic in halved.values()]))


def _gaussian(x: Side, y: Side, checked_x: Side, checked_y: Side) -> Gaussian:
    """Of scores that are modulated if that is worth it on the validation samples."""
    best, chosen = 0.0, Gaussian.fit(x, y).truncated(0)
    for waves in _WAVES:
        columns = max(side.scores.shape[1] for side in (x, y))
        if waves and (not 2 <= columns <= _MOST_MODULATED or x.are_classes or y.are_classes):
            continue
        fitted = Gaussian.fit(x, y, waves).selected(checked_x, checked_y)
        value = held_out.limited_value(fitted(checked_x, checked_y))
        if value > best + max(_WORTH, _WORTH_SHARE * best):
            best, chosen = value, fitted
    return chosen


def _kernels(gaussian: Gaussian, x: Side, y: Side) -> dict[str, Fit]:
    x, y = _first(min(_MOST_KERNELS, len(x.scores)), x, y)
    kernels: list[tuple[str, Coordinates, float]] = []
    columns = [1 if side.are_classes else side.scores.shape[1] for side in (x, y)]
    if sum(columns) <= _FEW_COLUMNS:
        kernels += [("scores", lambda x, y: (x.scores, y.scores), w) for w in (0.08, 0.15, 0.3)]
        kernels += [("ranks", lambda x, y: (x.uniform, y.uniform), w) for w in (0.01, 0.02)]
    if sum(columns) > 2:
        if not (x.are_classes or y.are_classes):
            products = np.abs(np.mean(x.radii * y.radii, axis=0))
            kernels += [("radii", _of_radii(int(np.argmax(products))), w) for w in (0.12, 0.2, 0.3)]
        if len(gaussian.correlations):
            kernels.append(("variates", gaussian.truncated(1).variates, 0.25))
    return {
        f"kernel of {name}, {width}": functools.partial(Kernel.fit, of, width, x, y)
        for name, of, width in kernels
    }


def _locations(x: Side, y: Side) -> dict[str, Fit]:
    """Those of one column given few of the other side."""
    if x.scores.shape[1] + y.scores.shape[1] > _FEW_COLUMNS or x.are_classes or y.are_classes:
        return {}
    x, y = _first(min(_MOST_KERNELS, len(x.scores)), x, y)
    chosen = functools.cache(lambda swapped: location.choose_width(x, y, swapped=swapped))
    fits: dict[str, Fit] = {}
    for name, swapped, target in (("y given x", False, y), ("x given y", True, x)):
        for ending, varying in (("", False), (", scaled", True)):
            if target.scores.shape[1] == 1:
                fits[name + ending] = functools.partial(
                    _location, x, y, chosen, swapped=swapped, varying=varying
                )
    return fits


def _class_densities(x: Side, y: Side) -> dict[str, Fit]:
    """Those of classes and columns."""
    if x.are_classes == y.are_classes:
        return {}
    fit = functools.partial(ClassDensities.fit, x, y, swapped=y.are_classes)
    return {
        _DENSITIES: functools.partial(fit, separate=False),
        "densities of classes, separate": functools.partial(fit, separate=True),
    }


def _location(x: Side, y: Side, chosen: Callable[[bool], float], *, swapped, varying) -> Critic:
    return Location.fit(x, y, swapped=swapped, varying=varying, width=chosen(swapped))


def _of_radii(measure: int) -> Coordinates:
    return lambda x, y: tuple(side.radii[:, measure : measure + 1] for side in (x, y))


def _first(count: int, *sides: Side) -> tuple[Side, ...]:
    return tuple(side.take(slice(count)) for side in sides)


def _padded(x: Side, y: Side, *terms: np.ndarray) -> tuple[np.ndarray, ...]:
    """f32, with as many columns as the largest rank has: all ranks share a program."""
    classes = [side.scores.shape[1] for side in (x, y) if side.are_classes]
    widest = classes or [
        columns * (1 + 2 * _WAVES[-1]) if 2 <= columns <= _MOST_MODULATED else columns
        for columns in (side.scores.shape[1] for side in (x, y))
    ]
    size = -(-(1 + min(widest)) // 8) * 8
    return tuple(
        np.pad(each, ((0, 0), (0, size - each.shape[1]))).astype(np.float32) for each in terms
    )
