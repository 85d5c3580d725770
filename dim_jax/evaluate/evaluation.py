"""The type of an evaluation: its function and the facts by which the suite plans and runs it."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from dim_jax import contracts, settings
from dim_jax.data import dataset
from dim_jax.evaluate.protocols import Protocols

Splits = Mapping[str, dataset.Split]


def _accept(*_: Any) -> None:
    """The check of an evaluation that accepts everything, and what it reads if that is nothing."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A measure or picture of a representation.

    A module of `probes`, `measures` or `figures` that defines `EVALUATION` is one, under the name
    of the module.

    evaluate(frozen, splits, rng, **options) -> results: "<tap>/<metric>" is a scalar and becomes a
        row, with "<tap>/<metric>_std" and "_fits" beside it; an image u8[h,w,3] becomes a figure.
        Options are keyword-only. The suite gives `taps` and `classes` to those that take them.
    representations: those it runs on unless the config says otherwise: "all", "encoders" (those
        that have the taps, so not pixels and PCA) or "trained".
    taps: the taps it reads; () where it reads parameters only.
    needs_labels: it is left out where the data has no labels, and sees of the training images
        those that have one.
    trains_encoder: it sees all training images, labelled or not, and needs no features of them.
    protocols: its named settings; None where it fits nothing.
    figures: {key of its results: (title, caption)} of the images among them.
    draws_fits_only: its random numbers start and order fits, unless its options draw labels or
        views, so that controls may have those of another seed.
    reads_images: it reads the images besides their features.
    own_classes: it reads the classifier of the classes that the method was trained on.
    of_splits: its results are named "<split>/<metric>", not "<tap>/<metric>".
    check_splits(splits), check_method(method), check_frozen(frozen, splits): raise UserError on
        images, a method or a representation that it cannot be used on, before training.
    check_options(options, data): raises UserError on options that are not right together, or, where
        it is given, with the data set.
    left_out(options): why an entry with these options is not run, and what to set, as the end of a
        sentence; None = it is run.
    reads(options): of files that options name, what results follow from; None if there are none.
    """

    evaluate: Callable[..., dict[str, Any]]
    _: dataclasses.KW_ONLY
    representations: Literal["all", "encoders", "trained"]
    taps: tuple[str, ...]
    needs_labels: bool = False
    trains_encoder: bool = False
    protocols: Protocols | None = None
    figures: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    draws_fits_only: bool = False
    reads_images: bool = False
    own_classes: bool = False
    of_splits: bool = False
    check_splits: Callable[[Splits], None] = _accept
    check_method: Callable[[contracts.Method], None] = _accept
    check_frozen: Callable[[contracts.Frozen, Splits], None] = _accept
    check_options: Callable[[Mapping[str, Any], dataset.Dataset | None], None] = _accept
    left_out: Callable[[Mapping[str, Any]], str | None] = _accept
    reads: Callable[[Mapping[str, Any]], str | None] = _accept

    @property
    def defaults(self) -> dict[str, Any]:
        """The options of `evaluate` that a config may set, with their defaults."""
        return {each.name: each.default for each in self._options()}

    def check_option(self, place: str, name: str, option: str, value: Any) -> None:
        """Raises UserError for the value of an option of another type or out of range.

        Args:
          place: of the option in the config, for the message.
          name: of the evaluation.
        """
        (parameter,) = (each for each in self._options() if each.name == option)
        settings.arguments.check(place, name, parameter, value)

    def _options(self) -> list[inspect.Parameter]:
        parameters = inspect.signature(self.evaluate).parameters.values()
        return [
            each
            for each in parameters
            if each.kind is each.KEYWORD_ONLY and each.name != "classes"  # the suite gives them
        ]
