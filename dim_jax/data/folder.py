"""Folders of images: PATH/*.png, PATH/CLASS/*.png, or PATH/train/... with PATH/test/... ."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from dim_jax import contracts, settings
from dim_jax.data import facts, holdout, pixels, sources

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_TEST_FOLDERS = ("test", "validation", "val")


class _Listing(NamedTuple):
    """The sorted image files below one folder, and the class of each (None = no classes)."""

    files: list[pathlib.Path]
    classes: list[str] | None


@dataclasses.dataclass(frozen=True)
class Files:
    """The image files of one split: a `sources.Source`. image_size: None = all have one size."""

    files: list[pathlib.Path]
    names: tuple[str, ...]
    labels: np.ndarray
    shape: tuple[int, int, int]
    image_size: int | None

    def __len__(self) -> int:
        return len(self.files)

    def read(self, rows: Sequence[int]) -> sources.Examples:
        """The examples at some positions; see `sources.Source`."""
        images = np.empty((len(rows), *self.shape), np.uint8)
        for position, row in enumerate(rows):
            images[position] = self._load(self.files[row])
        return sources.Examples(images, *self.targets(rows))

    def targets(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Labels and no attributes at some positions; see `sources.Source`."""
        return self.labels[list(rows)], np.zeros((len(rows), 0), np.int8)

    def _load(self, file: pathlib.Path) -> np.ndarray:
        image = _decode(file, self.image_size)
        if self.image_size:
            image = pixels.fit(image, self.image_size)
        if image.shape != self.shape:
            raise contracts.UserError(
                f"{file} is {image.shape[1]}x{image.shape[0]} where other images are "
                f"{self.shape[1]}x{self.shape[0]} (width x height): set data.image_size, such as "
                "64, to resize and centre-crop all of them"
            )
        return image


def open_(block: settings.Data, seed: int) -> sources.Opened:
    """The images below a folder, which become u8[n,h,w,3]; see `data.load` for the layouts.

    Raises:
      UserError: no such folder; no images in it; images beside class folders; fewer than two
        images. Reading raises it for a broken image, and without image_size for one of another
        size.
    """
    path, size = block.name.removeprefix("folder:"), block.image_size
    root = pathlib.Path(os.path.expanduser(path))  # unlike Path.expanduser, never raises
    if not path or not root.is_dir():
        raise contracts.UserError(
            f"the folder {path or '(nothing after folder:)'} does not exist: set data.name to "
            "folder:PATH with the path of a folder of images"
        )
    folders = _split_folders(root, block.train_split, block.test_split)
    listings = [_list(folder) for folder in folders]
    classes = _class_names(folders, listings)
    files = [file for listing in listings for file in listing.files]
    if len(files) < 2:
        raise contracts.UserError(f"{root} holds a single image, {files[0].name}: add more")
    labels = np.full(len(files), -1, np.int32)
    if classes is not None:
        codes = {name: code for code, name in enumerate(classes)}
        labels[:] = [codes[name] for listing in listings for name in listing.classes or ()]
    if len(listings) == 2:
        rows = np.split(np.arange(len(files)), [len(listings[0].files)])
    else:
        rows = holdout.hold_out(labels, block.test_fraction, seed)
    shape = (size, size, 3) if size else _decode(files[0], None).shape
    opened = {}
    for role, chosen in zip(("train", "test"), rows, strict=True):
        part = [files[row] for row in chosen]
        names = tuple(file.relative_to(root).as_posix() for file in part)
        opened[role] = Files(part, names, labels[chosen], shape, size)
    return sources.Opened(facts.Facts(block.name, shape, classes, None, None), opened)


def _split_folders(
    root: pathlib.Path, train_split: str | None, test_split: str | None
) -> list[pathlib.Path]:
    """[train, test], or one folder if test images are to be held out."""
    for key, name in (("train_split", train_split), ("test_split", test_split)):
        if name is not None and not (root / name).is_dir():
            raise contracts.UserError(
                f"data.{key} is {name} and {root / name} is not a folder: name a sub-folder of "
                f"{root}"
            )
    present = [folder.name for folder in _sub_folders(root)]
    test = test_split or next((name for name in _TEST_FOLDERS if name in present), None)
    # A lone `train` among other folders may be a class (bus, car, train).
    if train_split is None and "train" in present and (test or present == ["train"]):
        train_split = "train"
    if train_split is None:
        if test_split is not None:
            raise contracts.UserError(
                f"data.test_split is {test_split} and {root} has no folder train: set "
                "data.train_split to the sub-folder to train on"
            )
        return [root]
    return [root / train_split, root / test] if test else [root / train_split]


def _sub_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _list(folder: pathlib.Path) -> _Listing:
    """The images of one folder, flat or with one sub-folder per class (of any depth)."""
    direct = sorted(path for path in folder.iterdir() if _is_image(path))
    nested = [(path, sub.name) for sub in _sub_folders(folder) for path in _images_below(sub)]
    if direct and nested:
        raise contracts.UserError(
            f"{folder} holds images ({direct[0].name}) beside sub-folders of images "
            f"({nested[0][1]}): keep all of them in it, or each in the sub-folder of its class"
        )
    if not direct and not nested:
        raise contracts.UserError(
            f"no images in {folder}: add files that end in {', '.join(EXTENSIONS)}"
        )
    if direct:
        return _Listing(direct, None)
    return _Listing([path for path, _ in nested], [name for _, name in nested])


def _is_image(path: pathlib.Path) -> bool:
    hidden = path.name.startswith(".")
    return not hidden and path.suffix.lower() in EXTENSIONS and path.is_file()


def _images_below(folder: pathlib.Path) -> list[pathlib.Path]:
    images = []
    for parent, inner, files in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        images += [path for name in files if _is_image(path := pathlib.Path(parent, name))]
    return sorted(images)


def _class_names(folders: list[pathlib.Path], listings: list[_Listing]) -> tuple[str, ...] | None:
    """The sorted class names of the training images; None if there are fewer than two."""
    train, test = listings[0], listings[-1]
    if (train.classes is None) != (test.classes is None):
        flat, nested = folders if train.classes is None else folders[::-1]
        raise contracts.UserError(
            f"{nested} has a sub-folder per class and {flat} has none: arrange both in the same way"
        )
    if train.classes is None or test.classes is None:
        return None
    unknown = sorted(set(test.classes) - set(train.classes))
    if unknown:
        raise contracts.UserError(
            f"the class {unknown[0]} in {folders[-1]} has no images in {folders[0]}: add some or "
            "remove it"
        )
    classes = tuple(sorted(set(train.classes)))
    return classes if len(classes) > 1 else None


def _decode(file: pathlib.Path, image_size: int | None) -> np.ndarray:
    """The upright image u8[h,w,3]. Pillow is used because it detects truncated files."""
    try:
        with Image.open(file) as image:
            if image_size:  # a JPEG may decode at 1/2, 1/4 or 1/8: much faster for photographs
                image.draft("RGB", (2 * image_size, 2 * image_size))
            return _rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error...
        raise contracts.UserError(
            f"{file} is not a readable image ({error}): repair or remove it"
        ) from error


def _rgb(image: Image.Image) -> np.ndarray:
    """RGB pixels u8[h,w,3]: grey is repeated, transparency dropped, 16 bits truncated to 8."""
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))
