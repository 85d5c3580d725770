"""The layout of a folder of images: the sub-folders of the training and of the test images."""

import functools
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dim_jax import contracts
from dim_jax.data import folder_listing

_TRAIN = ({"train", "training", "trainset", "trn"},)
# In the order of preference.
_TEST = (
    {"test", "testing", "testset", "tst"},
    {"validation", "val", "valid", "valset"},
    {"dev", "eval", "evaluation", "holdout"},
)
# Words beside those, as in seg_train, train_set, test-images or TrainingData.
_FILLERS = {"seg", "set", "data", "dataset", "images", "image", "imgs", "img", "split"}
# Of a name such as TestImages, testImages or TESTImages.
_WORD = re.compile("[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_Scan = Callable[[pathlib.Path], folder_listing.Contents]
_WRAPPERS = 8  # the most folders inside each other; more are a loop of links


class Layout(NamedTuple):
    """The folder of the training images, that of the test images (None = hold some out), notes."""

    train: pathlib.Path
    test: pathlib.Path | None
    notes: tuple[str, ...]


class UnclearSplitsError(contracts.UserError):
    """Folders of which it is not clear whether they are splits or classes; `held` names them."""

    def __init__(self, held: str):
        super().__init__(
            f"{held}, and it is not clear which are the training and the test images: set "
            "data.train_split and data.test_split to the sub-folders, or data.train_split to . if "
            "each sub-folder is a class"
        )
        self.held = held


class _Folder(NamedTuple):
    """A sub-folder with images or with sub-folders, whose names these are (none if it is flat)."""

    path: pathlib.Path
    inner: frozenset[str]

    def fits(self, other: "_Folder") -> bool:
        """Whether both are flat, or have a sub-folder of the same name."""
        return bool(self.inner & other.inner) or not (self.inner or other.inner)


def layout(root: pathlib.Path, train: str | None, test: str | None) -> Layout:
    """The split folders below `root`: those named, or those with a usual name in any case.

    A sub-folder that is alone and has sub-folders itself takes the place of the folder around it.

    Raises:
      UserError: a name that is not that of a sub-folder.
      UnclearSplitsError: folders of which it is not clear whether they are splits or classes.
    """
    scan = functools.cache(folder_listing.scan)  # a folder may hold millions of images
    base = _unwrap(root, scan)
    images, folders = scan(base).images, _split_candidates(base, scan)
    if images and not all(
        any(_rank(folder.path, names) is not None for folder in folders)
        for names in (_TRAIN, _TEST)
    ):
        folders = []  # so that the images beside them are an error
    chosen = [
        _named(root, base, "train_split", train) or _usual_train(base, folders, test),
        _named(root, base, "test_split", test),
    ]
    if test is None and chosen[0] != base:
        chosen[1] = _usual_test(chosen[0], folders)
    elif train is None and test is None and not images:
        _check_classes(base, scan)
    read = [path for path in chosen if path is not None]
    inner = [_unwrap(path, scan) for path in read]
    notes = tuple(
        f"The images of {outer} are those of {path}, the only folder in it."
        for outer, path in zip([root, *read], [base, *inner], strict=True)
        if path != outer
    )
    if len(read) == 2:
        unread = [folder.path.name for folder in folders if folder.path not in read]
        unread += [folder_listing.count(len(images), "image")] if images else []
        beside = f"; not read: {', '.join(unread)}" if unread else ""
        notes += (f"Trained on {read[0].name}, tested on {read[1].name} of {base}{beside}.",)
    return Layout(inner[0], inner[1] if len(inner) > 1 else None, notes)


def _unwrap(folder: pathlib.Path, scan: _Scan) -> pathlib.Path:
    """The folder, or the one inside it that holds all images in sub-folders."""
    for _ in range(_WRAPPERS):
        contents = scan(folder)
        folders = contents.folders + contents.links
        if contents.images or len(folders) != 1:
            return folder
        only = scan(folders[0])
        if only.images or not only.folders + only.links:
            return folder
        folder = folders[0]
    return folder


def _split_candidates(base: pathlib.Path, scan: _Scan) -> list[_Folder]:
    """The sub-folders with images or sub-folders, if the name of one is usual for a split."""
    contents = scan(base)
    paths = sorted(contents.folders + contents.links)
    if all(_rank(path, _TRAIN + _TEST) is None for path in paths):
        return []
    folders = []
    for path in paths:
        contents = scan(path)
        inner = [] if contents.images else contents.folders + contents.links
        if contents.images or inner:
            folders.append(_Folder(path, frozenset(one.name for one in inner)))
    return folders


def usual_train(names: Sequence[str]) -> list[str]:
    """The one name of a list that is usual for a training split, in any case; [] = none."""
    usual = [name for name in names if _rank(pathlib.Path(name), _TRAIN) is not None]
    return usual if len(usual) == 1 else []


def usual_test(names: Sequence[str]) -> list[str]:
    """The name of a list that is usual for a test split, the first in the order of preference."""
    ranks = {name: _rank(pathlib.Path(name), _TEST) for name in names}
    usual = sorted((rank, name) for name, rank in ranks.items() if rank is not None)
    return [usual[0][1]] if usual else []


def split_word(name: str) -> str | None:
    """The one word that is usual for a split in the name of a file, in lower case; or None."""
    usual = set().union(*_TRAIN, *_TEST)
    words = [{word.lower() for word in _WORD.findall(each)} for each in (name.lower(), name)]
    return next((min(each) for each in (w & usual for w in words) if len(each) == 1), None)


def _rank(path: pathlib.Path, groups: tuple[set[str], ...]) -> int | None:
    """The first group of names that contains that of a folder, None if none does."""
    spellings = (path.name.lower(), path.name)  # TRAINset is one word, TrainImages are two
    spelled = [{word.lower() for word in _WORD.findall(name)} - _FILLERS for name in spellings]
    for rank, names in enumerate(groups):
        if any(words and words <= names for words in spelled):
            return rank
    return None


def _named(
    root: pathlib.Path, base: pathlib.Path, key: str, name: str | None
) -> pathlib.Path | None:
    """The folder of a setting, below `root` or the folder that takes its place; None if not set."""
    if name is None:
        return None
    if name == ".":
        return base
    for folder in (root, base):
        if (folder / name).is_dir():
            return folder / name
    raise contracts.UserError(
        f"data.{key} is {name} and {root / name} is not a folder: name a sub-folder of {root}, "
        "or set it to None to take those with usual names"
    )


def _usual_train(base: pathlib.Path, folders: list[_Folder], test: str | None) -> pathlib.Path:
    """The folder of the training images, `base` itself if its sub-folders are classes."""
    trains = [folder for folder in folders if _rank(folder.path, _TRAIN) is not None]
    tests = [folder for folder in folders if _rank(folder.path, _TEST) is not None]
    others = [folder for folder in folders if folder not in trains + tests]
    if test is not None:
        if len(trains) != 1:
            raise contracts.UserError(
                f"data.test_split is {test} and {base} has "
                f"{'no folder' if not trains else 'more than one folder'} train: set "
                "data.train_split to the sub-folder to train on"
            )
        return trains[0].path
    if not trains and (not tests or len(folders) == 1):
        return base
    if len(trains) == 1:
        train = trains[0]
        if not others or (tests and train.inner):
            return train.path
        # A `train` among other folders may be a class (bus, car, train).
        unlike = all(one.inner and not train.fits(one) for one in others)
        if not tests and (unlike or not train.inner):
            return base
    beside = f" beside {_join(others)}" if others else ""
    raise UnclearSplitsError(f"{base} holds {_join(trains + tests)}{beside}")


def _usual_test(train: pathlib.Path, folders: list[_Folder]) -> pathlib.Path | None:
    """The test folder: the first that is arranged as `train` is, or else the first."""
    tests = [folder for folder in folders if _rank(folder.path, _TEST) is not None]
    tests = [folder for folder in tests if folder.path != train]
    tests.sort(key=lambda folder: _rank(folder.path, _TEST))
    alike = next((folder for folder in folders if folder.path == train), None)
    fitting = [folder for folder in tests if alike is None or alike.fits(folder)]
    return next((folder.path for folder in fitting or tests), None)


def _check_classes(base: pathlib.Path, scan: _Scan) -> None:
    """Refuses sub-folders that may be splits: their sub-folders have equal, or usual, names.

    Stops at the first that is a class, because a folder may hold millions of images.
    """
    contents = scan(base)
    folders, equal, usual = [], True, True
    for path in sorted(contents.folders + contents.links):
        inmost = _unwrap(path, scan)
        inside = scan(inmost)
        if inside.images:
            return
        names = frozenset(one.name for one in inside.folders + inside.links)
        if not names:
            continue
        folders.append(_Folder(path, names))
        equal = equal and len(names) > 1 and names == folders[0].inner
        within = [*inmost.relative_to(path).parts, *names]
        ranks = [_rank(pathlib.Path(name), _TRAIN + _TEST) for name in within]
        usual = usual and any(rank is not None for rank in ranks)
        if not (equal or usual):
            return
    if len(folders) > 1:
        first = scan(folders[0].path)
        inner = contracts.abridged([one.name for one in first.folders + first.links], 4)
        raise UnclearSplitsError(
            f"{base} holds {_join(folders)}, all with sub-folders (such as {inner})"
        )


def _join(folders: list[_Folder]) -> str:
    return contracts.abridged([folder.path.name for folder in folders], 4)
