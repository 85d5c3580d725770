"""The image files below a folder, each once, and counts of all that is not read there."""

import collections
import errno
import os
import pathlib
import stat
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from dim_jax import contracts

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# Folders that file managers, archives, network storage and Python create.
_SYSTEM = {
    *("@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin"),
    *("__macosx", "__pycache__", "lost+found", "system volume information", "thumbs.db"),
    *("desktop.ini", "ehthumbs.db"),
}


class Image(NamedTuple):
    """An image file, its size in bytes, and the folder of its class (None = no classes)."""

    path: pathlib.Path
    size: int
    label: str | None = None


class Contents(NamedTuple):
    """The direct contents of a folder, sorted by name.

    others: the extensions of files that are no images.
    """

    images: list[Image]
    folders: list[pathlib.Path]
    links: list[pathlib.Path]
    others: list[str]


class Ignored:
    """Counts of what is not read, by reason."""

    def __init__(self):
        self.kinds = collections.Counter()
        self.hidden = 0
        self.system = collections.Counter()
        self.broken: list[str] = []
        self.repeated: list[str] = []

    def describe(self, root: pathlib.Path) -> tuple[str, ...]:
        """One sentence, or none if all was read."""
        parts = []
        if self.kinds:
            files = count(self.kinds.total(), "file")
            parts.append(f"{files} of other kinds ({kinds(self.kinds)})")
        if self.hidden:
            parts.append(f"{self.hidden:,} hidden (the name begins with a dot)")
        if self.system:
            names = ", ".join(sorted(self.system))
            parts.append(f"{self.system.total():,} of the system ({names})")
        if self.broken:
            first = self.broken[0]
            parts.append(f"{count(len(self.broken), 'broken link')} or special files ({first})")
        if self.repeated:
            links = count(len(self.repeated), "link")
            parts.append(f"{links} to folders that are read already ({self.repeated[0]})")
        return (f"Not read below {root}: {', '.join(parts)}.",) if parts else ()


def count(number: int, noun: str) -> str:
    """Such as "1 file" or "1,200 files"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def kinds(counter: collections.Counter) -> str:
    """The most frequent extensions, such as ".xml 12, .txt 3"."""
    ordered = sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))
    return contracts.abridged([f"{kind or 'no extension'} {n:,}" for kind, n in ordered], 5)


def scan(folder: pathlib.Path, ignored: Ignored | None = None) -> Contents:
    """The contents of one folder; counts in `ignored` what is not read.

    Raises:
      UserError: the folder cannot be listed, or a name is not UTF-8.
    """
    ignored = Ignored() if ignored is None else ignored
    contents = Contents([], [], [], [])
    try:
        with os.scandir(folder) as entries:
            waiting = sorted(entries, key=lambda entry: entry.name, reverse=True)
            while waiting:
                entry = waiting.pop()  # with it goes what the system said of the file
                _place(entry, pathlib.Path(folder, entry.name), contents, ignored)
    except OSError as error:
        raise contracts.UserError(
            f"{error.filename or folder} cannot be read ({error.strerror}): change its permissions "
            "or move it out of the folder of images"
        ) from error
    return contents


def _place(entry: os.DirEntry, path: pathlib.Path, contents: Contents, ignored: Ignored) -> None:
    """Adds an entry to the list that it belongs to, or counts why it is ignored."""
    if entry.name.startswith("."):
        ignored.hidden += 1
        return
    if entry.name.lower() in _SYSTEM:
        ignored.system[entry.name] += 1
        return
    check_name(path)
    if _is_folder(entry):
        (contents.links if entry.is_symlink() else contents.folders).append(path)
    elif path.suffix.lower() not in EXTENSIONS:
        ignored.kinds[path.suffix.lower()] += 1
        contents.others.append(path.suffix.lower())
    else:
        facts = _stat(entry)
        if facts is None or not stat.S_ISREG(facts.st_mode):
            ignored.broken.append(str(path))
            contents.others.append("broken link or special file")
        else:
            contents.images.append(Image(path, facts.st_size))


def _is_folder(entry: os.DirEntry) -> bool:
    facts = _stat(entry) if entry.is_symlink() else None
    return stat.S_ISDIR(facts.st_mode) if facts else entry.is_dir(follow_symlinks=False)


def _stat(entry: os.DirEntry) -> os.stat_result | None:
    """Of the file or folder, or of that to which it is a link; None if the link leads nowhere."""
    try:
        return entry.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise


def check_name(path: pathlib.Path) -> None:
    """Raises UserError for a name that is not UTF-8: results and reports could not hold it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise contracts.UserError(
            f"the name {shown} is not UTF-8: rename it, such as with convmv"
        ) from None


def images(folder: pathlib.Path, ignored: Ignored) -> list[Image]:
    """The images of a folder, sorted: directly in it, or with a sub-folder per class of any depth.

    Links to folders are followed, each folder is read once, and not through a link if it can be
    read without one.

    Raises:
      UserError: no images; images beside sub-folders of images; a sub-folder with files and no
        image; two sub-folders whose names look alike; as `scan`.
    """
    contents = scan(folder, ignored)
    nested = _Walk(folder, ignored)
    nested.add(contents.folders, contents.links)
    if contents.images and nested.images:
        raise contracts.UserError(
            f"{folder} holds images ({contents.images[0].path.name}) beside sub-folders of images "
            f"({nested.images[0].label}): keep all of them in it, or each in the sub-folder of its "
            "class"
        )
    if not contents.images and not nested.images:
        raise contracts.UserError(
            f"no images in {folder}: add files that end in {', '.join(EXTENSIONS)}"
            + "".join(f" ({line.rstrip('.')})" for line in ignored.describe(folder))
        )
    if contents.images:
        return contents.images
    nested.check_classes()
    return sorted(nested.images, key=lambda image: image.path)


class _Walk:
    """The images in the sub-folders of a folder, each of which is a class."""

    def __init__(self, folder: pathlib.Path, ignored: Ignored):
        self.images: list[Image] = []
        self._folder = folder
        self._ignored = ignored
        self._others: dict[str, collections.Counter] = {}
        real = folder.resolve()
        self._read = {_identity(path) for path in (real, *real.parents)}

    def add(self, folders: Iterable[pathlib.Path], links: Iterable[pathlib.Path]) -> None:
        """Walks through folders, and then through the links to folders that are not read yet."""
        waiting = collections.deque((path, path.name) for path in links)
        for path in folders:
            waiting.extend(self._walk(path, path.name))
        while waiting:
            path, label = waiting.popleft()
            waiting.extend(self._walk(path, label))

    def _walk(self, top: pathlib.Path, label: str) -> list[tuple[pathlib.Path, str]]:
        """Collects the images below one folder; returns the links to folders there."""
        links, stack = [], [top]
        while stack:
            path = stack.pop()
            identity = _identity(path)
            if identity in self._read:
                self._ignored.repeated.append(str(path))
                continue
            self._read.add(identity)
            contents = scan(path, self._ignored)
            self.images += [image._replace(label=label) for image in contents.images]
            self._others.setdefault(label, collections.Counter()).update(contents.others)
            stack += contents.folders
            links += [(link, label) for link in contents.links]
        return links

    def check_classes(self) -> None:
        """Raises UserError for a class without images, or two classes whose names look alike."""
        classes = {image.label for image in self.images}
        for label, others in self._others.items():
            if others and label not in classes:
                raise contracts.UserError(
                    f"the class folder {self._folder / label} has {count(others.total(), 'file')} "
                    f"and no image ({kinds(others)}): convert them to one of "
                    f"{', '.join(EXTENSIONS)}, or move the folder away"
                )
        seen: dict[str, str] = {}
        for label in sorted(classes):
            other = seen.setdefault(unicodedata.normalize("NFC", label), label)
            if other != label:
                raise contracts.UserError(
                    f"two class folders of {self._folder} are called {label}, in two Unicode forms "
                    "of the same letters (NFC and NFD): move the images into one of them"
                )


def _identity(path: pathlib.Path) -> tuple[int, int]:
    """Device and number of a folder, the same by whatever path."""
    try:
        facts = path.stat()
    except OSError as error:
        raise contracts.UserError(f"{path} cannot be read ({error.strerror}): remove it") from error
    return facts.st_dev, facts.st_ino
