"""Quality of generated images by a network's features: FID, KID, precision, recall.

Beside the samples of a generator stand two controls: real images against other real ones, which
no generator can be expected to surpass, and noise. The formulas are those of `sample_quality`.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset, random_streams
from dim_jax.evaluate import features, generated, judges, sample_quality
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.protocols import Protocols

_BLOCK = 1024  # features whose moments are added together


class Protocol(NamedTuple):
    """The number of images that are compared, and the measures.

    images: generated ones and real ones, or as many real ones as there are.
    compared: of them the first, for KID, precision and recall, whose work is quadratic.
    subsets, size: of `sample_quality.kernel_distance`.
    neighbours: of `sample_quality.precision_and_recall`.
    parts: of the inception score.
    """

    images: int
    compared: int
    subsets: int
    size: int
    neighbours: int
    parts: int


# KID: Binkowski et al. 2018; neighbours: Kynkaanniemi et al. 2019; parts: Salimans et al. 2016.
_PUBLISHED = dict(compared=10_000, subsets=100, size=1000, neighbours=3, parts=10)
PROTOCOLS = Protocols(
    "FID",
    {
        # The number of Heusel et al. 2017 and of most tables since.
        "fid-paper-v1": Protocol(images=50_000, **_PUBLISHED),
        # A fifth of it, for a CPU. FID is larger than with 50,000 images.
        "fid-v1": Protocol(images=10_000, **_PUBLISHED),
    },
)

_FEWEST = 2 * (1 + max(each.neighbours for each in PROTOCOLS.values()))


class _Seen(NamedTuple):
    """The statistics of images: moments of all features, some features, and class probabilities."""

    moments: sample_quality.Moments
    compared: np.ndarray
    probabilities: np.ndarray | None

    @property
    def count(self) -> int:
        return self.moments.count


class _Real(NamedTuple):
    """Real images as the reference, and the numbers of the controls, which all samples share."""

    seen: _Seen
    controls: dict[str, float]


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "fid-v1",
    weights: str | None = None,
    encoder: str | None = None,
    tap: str = judges.TAP,
    images: int | None = None,
    against: Literal["train", "test"] = "train",
) -> dict[str, float | None]:
    """Samples of the prior, as the generator makes them, against real images.

    In the place of <judge> is the name of the network: "inception", or the config by which the
    encoder was trained, such as "supervised". Numbers of two networks cannot be compared.

        fid[<judge>]              Frechet distance of the features; 0 = the same moments
        kid[<judge>]              unbiased squared MMD of the features, and its deviation over
                                  subsets (None where there are no more images than in one)
        precision[<judge>]        share of samples in the manifold of real images
        recall[<judge>]           share of real images in the manifold of samples
        inception_score[<judge>]  of Inception alone: exp of the mean divergence of class
                                  probabilities, and its deviation over parts
        images                    that were compared with as many real ones

    Each is named "samples/...", of the generator; "real/...", of real images against others (as
    many if the split has twice that number, else its halves); and "noise/...", of pixels that are
    uniform and independent.

    Args:
      protocol: a name of `PROTOCOLS`.
      weights: a .safetensors or .npz file of Inception's weights with the names of pytorch-fid.
      encoder: a run folder or an exported encoder, in the place of Inception.
      tap: of the encoder; a map is averaged over its locations.
      images: in the place of the protocol's number; the rows then say so.
      against: the split of the real images.

    Raises:
      UserError: a method without a generator, images that are not u8, or a network that cannot
        judge them.
    Source: Heusel et al. 2017; Binkowski et al. 2018; Kynkaanniemi et al. 2019; Salimans et al.
      2016.
    """
    settings = PROTOCOLS.find(protocol)
    check_method(frozen.method)
    check_splits(splits)
    judge, split = judges.load(weights, encoder, tap), splits[against]
    count = min(images or settings.images, len(split.images))
    real = _real(judge, features.Images(split), count, settings)
    codes = generated.codes(frozen, splits["test"], rng, count)
    samples = _see(judge, judges.generated(frozen, codes, judge.batch), settings)
    return _named("samples", _compare(judge, real.seen, samples, settings)) | real.controls


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError for a method that draws no codes of a prior."""
    generated.check_draws(method, "fid")


def check_splits(splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError for images that are not u8, or too few of them."""
    least = min(len(splits[name].images) for name in ("train", "test"))
    if least < _FEWEST:
        raise contracts.UserError(
            f"the evaluation 'fid' compares two parts of a split and one has {least} images; use "
            f"at least {_FEWEST}"
        )
    if splits["train"].images.dtype != np.uint8:
        raise contracts.UserError(
            f"the evaluation 'fid' judges images of uint8 and these are "
            f"{splits['train'].images.dtype}; remove it from evals"
        )


def check_options(options: Mapping[str, Any], data: dataset.Dataset | None) -> None:
    """Raises UserError for a network that cannot be read, or cannot judge the images."""
    if (options.get("images") or _FEWEST) < _FEWEST:
        raise contracts.UserError(
            f"evals.fid.images is {options['images']}; set it to {_FEWEST} or more"
        )
    judge = _judge(options)
    if data is not None:
        judge.check(data.facts)


def left_out(options: Mapping[str, Any]) -> str | None:
    """Without a network there is nothing to judge by."""
    if options.get("weights") is None and options.get("encoder") is None:
        return (
            "it needs a network that judges: set weights to a file of Inception, or encoder to a "
            "run folder of configs/supervised.py with these images"
        )
    return None


def reads(options: Mapping[str, Any]) -> str:
    """The digest of the network."""
    return _judge(options).digest


EVALUATION = Evaluation(
    evaluate,
    representations="encoders",
    taps=(),
    protocols=PROTOCOLS,
    check_method=check_method,
    check_splits=check_splits,
    check_options=check_options,
    left_out=left_out,
    reads=reads,
)


def _judge(options: Mapping[str, Any]) -> judges.Judge:
    given = EVALUATION.defaults | dict(options)
    return judges.load(given["weights"], given["encoder"], given["tap"])


@functools.lru_cache(maxsize=1)  # the trained and the untrained generator have the same
def _real(judge: judges.Judge, split: features.Images, count: int, settings: Protocol) -> _Real:
    images = split.images
    order = random_streams.generator(random_streams.Stream.JUDGED_IMAGES, 0)
    rows = order.permutation(len(images))
    enough = 2 * count <= len(rows)
    half = count if enough else count // 2
    halves = [
        _see(judge, judges.parts(images, part, judge.batch), settings)
        for part in (rows[:half], rows[half : 2 * half])
    ]
    if enough:
        seen = halves[0]
    elif 2 * half == count:
        seen = _merge(halves, settings)
    else:
        odd = _see(judge, judges.parts(images, rows[2 * half : count], judge.batch), settings)
        seen = _merge([*halves, odd], settings)
    noise = _see(judge, _noise((count, *images.shape[1:]), judge.batch), settings)
    controls = _named("real", _compare(judge, *halves, settings))
    return _Real(seen, controls | _named("noise", _compare(judge, seen, noise, settings)))


def _noise(shape: tuple[int, ...], batch: int) -> Iterable[np.ndarray]:
    random = random_streams.generator(random_streams.Stream.JUDGED_NOISE, 0)
    for start in range(0, shape[0], batch):
        size = (min(batch, shape[0] - start), *shape[1:])
        yield random.integers(256, size=size, dtype=np.uint8)


def _see(judge: judges.Judge, parts: Iterable[np.ndarray], settings: Protocol) -> _Seen:
    """The statistics of images u8[n,h,w,c] in parts; features of a block alone are in memory."""
    moments, compared, probabilities, block = None, [], [], []

    def add() -> None:
        nonlocal moments
        rows = np.concatenate(block)
        block.clear()
        new = sample_quality.moments(rows)
        moments = new if moments is None else sample_quality.merge(moments, new)
        if (room := settings.compared - sum(map(len, compared))) > 0:
            compared.append(rows[:room])

    for rows in judge.encode(parts):
        block.append(np.asarray(rows))
        if judge.probabilities is not None:
            probabilities.append(np.asarray(judge.probabilities(rows)))
        if sum(map(len, block)) >= _BLOCK:
            add()
    if block:
        add()
    scored = np.concatenate(probabilities) if probabilities else None
    return _Seen(moments, np.concatenate(compared), scored)


def _merge(parts: list[_Seen], settings: Protocol) -> _Seen:
    scored = [part.probabilities for part in parts]
    return _Seen(
        functools.reduce(sample_quality.merge, (part.moments for part in parts)),
        np.concatenate([part.compared for part in parts])[: settings.compared],
        None if scored[0] is None else np.concatenate(scored),
    )


def _compare(
    judge: judges.Judge, real: _Seen, other: _Seen, settings: Protocol
) -> dict[str, float]:
    compared = real.compared, other.compared
    is_subset = settings.size < min(map(len, compared))
    subsets = settings.subsets if is_subset else 1  # all subsets would be the same
    kid, deviation = sample_quality.kernel_distance(*compared, subsets=subsets, size=settings.size)
    precision, recall = sample_quality.precision_and_recall(*compared, settings.neighbours)
    name = f"[{judge.label}]"
    numbers = {
        f"fid{name}": sample_quality.frechet_distance(real.moments, other.moments),
        f"kid{name}": kid,
        f"kid{name}_std": deviation if is_subset else None,
        f"precision{name}": precision,
        f"recall{name}": recall,
    }
    if other.probabilities is not None:
        parts = min(settings.parts, other.count)
        score, deviation = sample_quality.inception_score(other.probabilities, parts)
        numbers |= {f"inception_score{name}": score, f"inception_score{name}_std": deviation}
    return numbers | {"images": float(other.count)}


def _named(column: str, numbers: Mapping[str, float]) -> dict[str, float]:
    return {f"{column}/{name}": value for name, value in numbers.items()}
