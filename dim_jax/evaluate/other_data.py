"""Evaluations on other data sets than the one that an encoder was trained on."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from dim_jax import contracts, data, settings
from dim_jax.evaluate import plan, reference_representations, results, suite
from dim_jax.evaluate.probes import labelled

_SAMPLE = 1_000  # images of a split whose labels are read before training
_LOADER_SETTING = re.compile(rf"\bdata\.(?=(?:{'|'.join(settings.OTHER_DATA)})\b)")


class DataSets:
    """The data set of a run's evaluations, and those that `evals.KEY.data` names.

    Images of another one have the size, crop, channels and range of pixels of the run's, and its
    encoder normalises them as those; the others of `suite.run` are made anew for them. They are
    decoded when their evaluations are run, and released after.
    """

    def __init__(self, block: settings.Data, own: data.Dataset):
        """`block`: the config's block `data`. `own`: the run's data set, as evaluations see it."""
        self._block, self._own = block, own
        self._opened: dict[str, data.Dataset] = {}  # by entry; images stay on disk
        self._lines: dict[str, str] = {}
        self._notes: dict[str, list[str]] = {}

    def check(self, evals: plan.Evals) -> None:
        """Finds mistakes in `evals` that show on the data sets; opens the others.

        Of sets whose labels are beside the images, those of some images are read.

        Raises:
          UserError: as `suite.check`; a data set that is not there, or cannot be used for an
            evaluation or by the encoder.
        """
        for settings_of, part in plan.by_data(evals):
            if settings_of is None:
                suite.check(part, self._own)
                continue
            opened, line = self._open(settings_of, next(iter(part)))
            counted = data.lists_labels(settings_of["name"])
            for entry in plan.parse(part):
                self._opened[entry.key], self._lines[entry.key] = opened, line
                overlaps = [] if opened is self._own else data.describe_shared(opened, opened)
                self._notes[entry.key] = overlaps + self._of_training(opened)
                self._check_entry(entry, opened)
                with _named(entry.key):
                    suite.check({entry.key: part[entry.key]}, opened, count_labels=counted)

    def check_representations(
        self, evals: plan.Evals, trained: contracts.Frozen, untrained: contracts.Frozen
    ) -> None:
        """Finds mistakes that show on the representations; after `check`, errors as of `suite`."""
        for settings_of, part in plan.by_data(evals):
            images = self._own if settings_of is None else self._opened[next(iter(part))]
            if settings_of is not None:
                _check_size(trained, images, next(iter(part)), self._own.facts.shape)
            beside = reference_representations.beside(trained, untrained, images)
            suite.check_representations(part, beside, images)

    def describe(self) -> list[str]:
        """A line for each entry on another data set, and its notes; after `check`."""
        lines = []
        for key, line in self._lines.items():
            lines.append(f"evals.{key}: on {line}")
            lines += [f"note: evals.{key}: {note}" for note in self._notes[key]]
        return lines

    def run(
        self,
        evals: plan.Evals,
        trained: contracts.Frozen,
        untrained: contracts.Frozen,
        rng: jax.Array,
        *arguments: Any,
    ) -> tuple[list[results.Row], list[results.Figure], list[str]]:
        """`suite.run` on one data set after the other: rows in the order of `evals`, and figures.

        `arguments` are its last ones. The third result is notes on the other data sets.
        """
        order = {key: index for index, key in enumerate(evals)}
        rows, figures, notes = [], [], []
        for settings_of, part in plan.by_data(evals):
            images = self._own if settings_of is None else self._load(settings_of, next(iter(part)))
            if settings_of is not None:
                for entry in plan.parse(part):
                    self._check_entry(entry, images)
                notes += [f"{images.facts.name}: {note}" for note in images.notes]
                notes += [f"evals.{', '.join(part)}: {note}" for note in self._of_training(images)]
            beside = reference_representations.beside(trained, untrained, images)
            new_rows, new_figures = suite.run(part, beside, images, rng, *arguments)
            rows += new_rows
            figures += new_figures
        return sorted(rows, key=lambda row: order[row["eval"]]), figures, notes

    def _of_training(self, judged: data.Dataset) -> list[str]:
        """A note on test images of another data set that the encoder was trained on; [] = none."""
        return [] if judged is self._own else data.describe_shared(judged, self._own)

    def _open(self, settings_of: Mapping[str, Any], key: str) -> tuple[data.Dataset, str]:
        """A data set whose images stay on disk, or some of them, and a line on all of it."""
        name, counts = settings_of["name"], {}

        def some(loaded: data.Dataset) -> data.Dataset:
            counts.update({role: len(split.images) for role, split in loaded.splits.items()})
            return loaded if data.lists_labels(name) else _sample(loaded)

        road = "resident" if data.is_embedded(name) else "streaming"
        opened = self._read(settings_of, key, road, some)
        train, test = (
            counts.get(role, len(opened.splits[role].images)) for role in ("train", "test")
        )
        size = "x".join(map(str, opened.facts.shape))
        line = f"{opened.facts.name}, {train:,} training and {test:,} test images of {size}"
        return opened, line

    def _load(self, settings_of: Mapping[str, Any], key: str) -> data.Dataset:
        road = "resident" if data.is_embedded(settings_of["name"]) else self._block.road
        return self._read(settings_of, key, road, data.add_notes)

    def _read(
        self,
        settings_of: Mapping[str, Any],
        key: str,
        road: str,
        change: Callable[[data.Dataset], data.Dataset],
    ) -> data.Dataset:
        if settings_of == {"name": self._block.name}:
            return self._own
        with _named(key):
            block = _block(self._block, settings_of, self._own.facts, road)
            loaded = change(data.load_like(block, self._own))
            # Images whose size is set are seen as they are.
            crop = None if "image_size" in settings_of else _crop(self._own.facts)
            seen = data.evaluated(loaded, crop, block.eval_train_images)
            _check_shape(seen.facts, self._own.facts, "image_size" in settings_of)
        return seen

    def _check_entry(self, entry: plan.Entry, opened: data.Dataset) -> None:
        """Raises UserError for labels that an evaluation cannot use."""
        if not entry.evaluation.needs_labels:
            return
        name, reason = opened.facts.name, labelled.missing(opened.splits)
        if reason is None:
            labels = opened.splits["train"].labels
            if len(np.unique(labels[labels >= 0])) < 2:
                reason = "all its labelled training images are of one class"
        if reason is not None:
            raise contracts.UserError(
                f"evals.{entry.key}.data is {name}: {reason}, and the evaluation '{entry.name}' "
                "tells classes apart; choose a data set with labels, or an evaluation without"
            )
        classes = self._own.facts.classes
        if entry.evaluation.own_classes and opened.facts.classes != classes:
            raise contracts.UserError(
                f"evals.{entry.key}.data is {name}, whose classes "
                f"({data.describe_classes(opened.facts.classes)}) are not those that the method "
                f"was trained on ({data.describe_classes(classes)}); use a probe, such as 'linear'"
            )


@contextlib.contextmanager
def _named(key: str) -> Iterator[None]:
    """Says in the errors of data that they are those of an entry's other data set."""
    try:
        yield
    except contracts.UserError as error:
        message = _LOADER_SETTING.sub(f"evals.{key}.data.", str(error))
        raise contracts.UserError(f"evals.{key}.data: {message}") from error


def _block(
    own: settings.Data, changes: Mapping[str, Any], seen: data.Facts, road: str
) -> settings.Data:
    """The block `data` of another data set: the run's where that does not tell of its images."""
    height, width, _ = seen.uncropped or seen.shape
    kept = ("data_dir", "fit", "worker_threads", "test_fraction", "eval_train_images")
    if data.is_encoded(changes["name"]):
        kept += ("channels", "bits")
    values = {name: getattr(own, name) for name in kept}
    values |= {"image_size": height if height == width else None, "road": road}
    return settings.Data.of(values | changes)


def _sample(loaded: data.Dataset) -> data.Dataset:
    """Some images of each split, evenly spaced."""
    splits = {}
    for role, split in loaded.splits.items():
        rows = np.linspace(0, len(split.images) - 1, min(_SAMPLE, len(split.images)))
        splits[role] = data.select(split, np.unique(rows.astype(int)))
    return loaded._replace(splits=splits)


def _crop(seen: data.Facts) -> int | None:
    return seen.shape[0] if seen.uncropped else None


def _check_shape(given: data.Facts, seen: data.Facts, is_sized: bool) -> None:
    """Raises UserError for images of another size, unless it was asked for."""
    if given.shape != seen.shape and not is_sized:
        size, wanted = ("x".join(map(str, facts.shape)) for facts in (given, seen))
        raise contracts.UserError(
            f"the images of {given.name} are {size} and those of {seen.name} are {wanted}; give "
            "images of that size"
        )


def _check_size(
    encoder: contracts.Frozen, images: data.Dataset, key: str, usual: Iterable[int]
) -> None:
    """Raises UserError for images of a size that the encoder does not take."""
    one = jax.ShapeDtypeStruct((1, *images.facts.shape), images.facts.dtype)
    try:
        jax.eval_shape(encoder.represent, one)
    except contracts.UserError:
        raise
    except Exception as error:  # of any kind: they are those of networks
        size, usual = ("x".join(map(str, shape)) for shape in (images.facts.shape, usual))
        raise contracts.UserError(
            f"evals.{key}.data.image_size makes images of {size}, which this encoder does not "
            f"take; leave it out, so that they are {usual}"
        ) from error
