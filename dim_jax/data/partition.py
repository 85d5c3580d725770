"""The training and the test examples of a list of examples, and their classes, by names in it."""

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import facts, folder_layout, holdout


class Partition(NamedTuple):
    """Positions of the examples of "train" and "test", their labels, classes and notes.

    labels: i32[n] of all examples, -1 = none. classes: None = there are fewer than two.
    """

    rows: dict[str, np.ndarray]
    labels: np.ndarray
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]


def partition(
    where: str,
    block: settings.Data,
    seed: int,
    *,
    names: Sequence[str] | None,
    labels: Sequence[Any] | None,
    splits: Sequence[str] | None,
    classes: Sequence[str] | None = None,
) -> Partition:
    """Divides examples by the names of their splits, or holds some out where there are none.

    Args:
      where: the file or pattern, for messages.
      block: `train_split` and `test_split` are names in `splits`, or sums of them with "+"; None
        takes those with usual names, and holds out `test_fraction` if there is no test split.
      names: distinct names of the examples, by which they are held out, so that one example more
        moves at most one other; None = by position.
      labels: a label per example, integers or strings, None or -1 = unlabelled; None = no labels.
      splits: the name of the split of every example, None = there are none.
      classes: the names of integer labels; None = their digits.

    Raises:
      UserError: fewer than two examples; no such split; a test class that is not trained on.
    """
    count = len(next(each for each in (names, labels, splits) if each is not None))
    if count < 2:
        raise contracts.UserError(f"{where} holds {count} images: add more, or name another source")
    codes, known = codes_of(where, labels, count, classes)
    chosen, notes = _by_split(where, block, splits, count)
    train, test = chosen
    if test is None:
        inside = codes[train]
        if names is None:
            parts = holdout.hold_out(inside, block.test_fraction, seed)
        else:
            kept = [names[row] for row in train]
            parts = holdout.hold_out_by_name(kept, inside, block.test_fraction, seed)
        train, test = (train[part] for part in parts)
    rows = {"train": train, "test": test}
    if chosen[1] is not None:
        _check_test_classes(where, rows, codes, known)
    codes, known, more = _of_training(rows["train"], codes, known)
    return Partition(rows, codes, known, (*notes, *more))


def codes_of(
    where: str, labels: Sequence[Any] | None, count: int, classes: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as positions i32[n] in sorted names, and the names; -1 = none.

    Integers are in the order of their values. The arguments are those of `partition`; `count` is
    the number of examples.

    Raises:
      UserError: another number of labels; several for one example; a label without a name.
    """
    if labels is None:
        return np.full(count, -1, np.int32), ()
    if len(labels) != count:
        raise contracts.UserError(
            f"{where} has {count:,} images and {len(labels):,} labels: give one label per image"
        )
    values = np.asarray(labels)
    if values.dtype.kind in "iub":
        values = values.astype(np.int64).reshape(count, -1)
        if values.shape[1] != 1:
            raise contracts.UserError(
                f"{where} has {values.shape[1]} labels per image: give one class per image"
            )
        values = values[:, 0]
        present = np.unique(values[values >= 0])
        if classes is not None and len(present) and present[-1] >= len(classes):
            raise contracts.UserError(
                f"{where} has the label {present[-1]} and names of {len(classes)} classes: give "
                "a name for every class"
            )
        if classes is not None:
            return np.where(values >= 0, values, -1).astype(np.int32), tuple(map(str, classes))
        codes = np.where(values >= 0, np.searchsorted(present, values), -1)
        return codes.astype(np.int32), tuple(map(str, present))
    texts = [_text(where, value) for value in values.ravel().tolist()]
    present = sorted({text for text in texts if text is not None})
    places = {text: place for place, text in enumerate(present)} | {None: -1}
    return np.array([places[text] for text in texts], np.int32), tuple(present)


def _text(where: str, value: Any) -> str | None:
    if value is None or value in ("", b""):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if not isinstance(value, str):
        raise contracts.UserError(
            f"{where} has the label {value!r}, a {type(value).__name__}: labels are integers or "
            "strings"
        )
    return unicodedata.normalize("NFC", value)


def _by_split(where: str, block: settings.Data, splits, count: int):
    """((positions of training, of test examples or None), notes)."""
    asked = block.train_split, block.test_split
    if splits is None:
        if any(asked):
            key, name = ("train", asked[0]) if asked[0] else ("test", asked[1])
            raise contracts.UserError(
                f"data.{key}_split is {name} and {where} names no splits: set it to None, and a "
                "fraction is held out"
            )
        return (np.arange(count), None), ()
    splits = np.asarray(splits).astype(str)
    present = sorted(set(splits.tolist()))
    train = _named(where, "train", asked[0], present) or folder_layout.usual_train(present)
    if not train:
        raise contracts.UserError(
            f"{where} has the splits {contracts.abridged(present, 5)}: set data.train_split to "
            "those to train on"
        )
    test = _named(where, "test", asked[1], present) or folder_layout.usual_test(
        [name for name in present if name not in train]
    )
    notes = []
    if unused := [name for name in present if name not in [*train, *test]]:
        notes.append(f"Not used of {where}: the splits {contracts.abridged(unused, 5)}.")
    rows = [np.flatnonzero(np.isin(splits, names)) for names in (train, test)]
    return (rows[0], rows[1] if test else None), tuple(notes)


def _named(where: str, role: str, asked: str | None, present: Sequence[str]) -> list[str]:
    names = asked.split("+") if asked else []
    for name in names:
        if name not in present:
            raise contracts.UserError(
                f"data.{role}_split is {asked} and {where} has the splits "
                f"{contracts.abridged(present, 5)}: use one of these, or a sum such as A+B"
            )
    return names


def _check_test_classes(where: str, rows, codes: np.ndarray, classes: Sequence[str]) -> None:
    """Raises UserError for a class of the test split that has no training images."""
    train, test = (np.unique(codes[rows[role]]) for role in ("train", "test"))
    unknown = np.setdiff1d(test[test >= 0], train)
    if len(unknown):
        raise contracts.UserError(
            f"the class {classes[unknown[0]]} of the test images in {where} has no training "
            "images: add some, or remove it"
        )


def _of_training(rows: np.ndarray, codes: np.ndarray, classes: tuple[str, ...]):
    """Labels and classes, none of them if the training examples have fewer than two; and notes."""
    present = np.unique(codes[rows])
    present = present[present >= 0]
    if len(present) < 2:
        only = f" ({facts.printable(classes[present[0]])})" if len(present) else ""
        notes = [f"All images are of one class{only}, so they have no labels."] if only else []
        return np.full(len(codes), -1, np.int32), None, notes
    return codes, classes, []
