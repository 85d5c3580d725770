"""Random commands that look valid: edge values of settings, odd folders of images, damaged runs."""

import dataclasses
import os
import pathlib
import random
import shutil
from collections.abc import Callable

import numpy as np
from PIL import Image

from dim_jax import commandline, settings

ROOT = pathlib.Path(__file__).resolve().parent.parent

KINDS = ("settings", "settings", "settings", "images", "damage")
DIGITS = ("--config.data.name=digits", "--config.data.image_size=32")
# Config files and what makes their networks small.
SMALL = {
    ROOT / "tests" / "fuzz_config.py": (),
    ROOT / "configs" / "quickstart.py:smoke": (
        "--config.train.steps_per_dispatch=2",
        "--config.method.method.discriminator.widths=(4,4)",
        "--config.method.method.encoder.width=2",
        "--config.method.method.encoder.hidden=8",
        "--config.method.method.encoder.features=4",
        "--config.method.classifier.hidden=4",
    ),
    ROOT / "configs" / "ae.py:smoke": (*DIGITS, "--config.method.method.decoder.shape=(32,32,1)"),
    ROOT / "configs" / "nat.py:smoke": (*DIGITS, "--config.method.method.examples=1438"),
}
SMALLEST, *_ = SMALL
SHORT = "--config.train.max_minutes=0.000001"  # ends after the first dispatch
INTEGERS = (-1, 0, 1, 2, 3, 7, 2**32, 2**63)
FLOATS = (-1.0, -0.5, 0.0, 1e-9, 0.5, 1.0, 2.0, 1e30, float("nan"), float("inf"))
OTHERS = (None, True, False, "", "x", (), (1,), (0, 0), (0.5, 0.9), (-1, 2, 3), ("a", "b"))


@dataclasses.dataclass(frozen=True)
class Case:
    """One command.

    program: "main" or "encoder". users: the files and folders that it must not change.
    """

    kind: str
    program: str
    arguments: tuple[str, ...]
    users: tuple[pathlib.Path, ...] = ()


def draw(seed: int, folder: pathlib.Path, runs: tuple[pathlib.Path, ...]) -> Case:
    """The case of a seed, a function of it alone; `folder` receives its files.

    Args:
      runs: run folders of `run_arguments`, to be copied and damaged.
    """
    chance = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    make = {"settings": _draw_settings, "images": _draw_images, "damage": _draw_damage}[kind]
    return make(chance, folder, runs)


def run_arguments(workdir: pathlib.Path) -> tuple[str, ...]:
    """The arguments of the run that cases damage."""
    return _arguments(SMALLEST, workdir)


def _arguments(config: pathlib.Path, workdir: pathlib.Path, *others: str) -> tuple[str, ...]:
    return (f"--config={config}", f"--workdir={workdir}", *SMALL[config], *others)


def _draw_settings(chance: random.Random, folder: pathlib.Path, runs) -> Case:
    config = chance.choice([SMALLEST, SMALLEST, *SMALL])
    values = settings.flatten(commandline.parse(["", f"--config={config}"]).config)
    keys = sorted(key for key in values if not key.endswith("name") or chance.random() < 0.2)
    changes = []
    for key in chance.sample(keys, chance.choice([1, 1, 2])):
        changes.append(_change(chance, key, values[key]))
    short = () if any("max_minutes" in change for change in changes) else (SHORT,)
    return Case("settings", "main", _arguments(config, folder / "run", *short, *changes))


def _change(chance: random.Random, key: str, value) -> str:
    """A setting at another value, mostly of the type of its value here."""
    if chance.random() < 0.2:
        values = (*INTEGERS, *FLOATS, *OTHERS)
    elif isinstance(value, bool | str):
        values = OTHERS
    else:
        values = INTEGERS if isinstance(value, int) else (*FLOATS, *INTEGERS)
    return f"--config.{key}={chance.choice(values)}"


def _draw_images(chance: random.Random, folder: pathlib.Path, runs) -> Case:
    images = folder / chance.choice(["images", "Bilder ü", "a b", "train"])
    images.mkdir()
    chance.choice([_fill_flat, _fill_classes, _fill_splits, _fill_wrapped])(chance, images)
    for _ in range(chance.choice([0, 1, 1, 2])):
        chance.choice(_ODDITIES)(chance, images)
    name = f"--config.data.name=folder:{images}"
    if chance.random() < 0.2:
        encoder = (f"--run={runs[0]}", f"--folder={images}", f"--out={folder / 'out.npz'}")
        return Case("images", "encoder", encoder, (images, runs[0]))
    size = _change(chance, "data.image_size", 64)
    size = size if chance.random() < 0.2 else "--config.data.image_size=16"
    ending = (SHORT,) if chance.random() < 0.7 else ("--config.train.epochs=1",)
    arguments = _arguments(SMALLEST, folder / "run", name, size, *ending)
    return Case("images", "main", arguments, (images,))


def _save(chance: random.Random, path: pathlib.Path, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = chance.choice([(64, 64), (64, 64), (70, 66), (5, 9)])
    pixels = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (*size, 4), np.uint8)
    if mode == "I;16":
        Image.fromarray(pixels[..., 0].astype(np.uint16) * chance.choice([1, 16, 257])).save(path)
    elif mode == "F":
        Image.fromarray(pixels[..., 0] / np.float32(255)).save(path)
    else:
        Image.fromarray(pixels).convert(mode).save(path)


def _fill_flat(chance: random.Random, folder: pathlib.Path) -> None:
    ending = chance.choice(["png", "png", "jpg", "bmp", "gif", "tif", "PNG"])
    for index in range(chance.choice([0, 1, 2, 8, 12])):
        _save(chance, folder / f"{index}.{ending}")


def _fill_classes(chance: random.Random, folder: pathlib.Path) -> None:
    for name in chance.sample(["cat", "dog", "train", "été", "Test", "0", "1"], 2):
        (folder / name).mkdir(parents=True)
        if chance.random() < 0.8:
            _fill_flat(chance, folder / name)


def _fill_splits(chance: random.Random, folder: pathlib.Path) -> None:
    pairs = [("train", "test"), ("Train", "Valid"), ("training", "testing"), ("a", "b")]
    for name in chance.choice(pairs):
        for label in ("cat", "dog"):
            for index in range(chance.choice([1, 4])):
                _save(chance, folder / name / label / f"{index}.png")


def _fill_wrapped(chance: random.Random, folder: pathlib.Path) -> None:
    _fill_classes(chance, folder / "dataset")


def _some_folder(chance: random.Random, folder: pathlib.Path) -> pathlib.Path:
    return chance.choice(sorted(path for path in [folder, *folder.rglob("*")] if path.is_dir()))


def _add_text(chance: random.Random, folder: pathlib.Path) -> None:
    (_some_folder(chance, folder) / "notes.txt").write_text("of the user")


def _add_empty(chance: random.Random, folder: pathlib.Path) -> None:
    (_some_folder(chance, folder) / "empty.png").touch()


def _add_broken(chance: random.Random, folder: pathlib.Path) -> None:
    path = _some_folder(chance, folder) / "broken.png"
    _save(chance, path)
    path.write_bytes(path.read_bytes()[:200])


def _add_text_as_image(chance: random.Random, folder: pathlib.Path) -> None:
    (_some_folder(chance, folder) / "text.jpg").write_text("no image")


def _add_folder_as_image(chance: random.Random, folder: pathlib.Path) -> None:
    (_some_folder(chance, folder) / "folder.png").mkdir(exist_ok=True)


def _add_link_to_parent(chance: random.Random, folder: pathlib.Path) -> None:
    (_some_folder(chance, folder) / "loop").symlink_to(folder)


def _add_dangling_link(chance: random.Random, folder: pathlib.Path) -> None:
    (_some_folder(chance, folder) / "gone.png").symlink_to(folder / "nothing.png")


def _add_thumbnails(chance: random.Random, folder: pathlib.Path) -> None:
    _save(chance, _some_folder(chance, folder) / chance.choice(["@eaDir", "__MACOSX"]) / "a.png")


def _add_deep(chance: random.Random, folder: pathlib.Path) -> None:
    _save(chance, _some_folder(chance, folder) / "I;16.png", "I;16")


def _add_float(chance: random.Random, folder: pathlib.Path) -> None:
    _save(chance, _some_folder(chance, folder) / "float.tiff", "F")


def _add_mode(chance: random.Random, folder: pathlib.Path) -> None:
    _save(chance, _some_folder(chance, folder) / "mode.png", chance.choice(["L", "P", "1", "RGBA"]))


def _add_bytes(chance: random.Random, folder: pathlib.Path) -> None:
    path = os.fsencode(_some_folder(chance, folder)) + b"/\xff"
    os.makedirs(path, exist_ok=True)
    _save(chance, folder / "good.png")
    shutil.move(folder / "good.png", path + b"/good.png")


_ODDITIES: list[Callable] = [
    *(_add_text, _add_empty, _add_broken, _add_text_as_image, _add_folder_as_image),
    *(_add_link_to_parent, _add_dangling_link, _add_thumbnails, _add_deep, _add_float),
    *(_add_mode, _add_bytes),
]


def _draw_damage(chance: random.Random, folder: pathlib.Path, runs) -> Case:
    run = folder / "run"
    shutil.copytree(chance.choice(runs), run, symlinks=True)
    for _ in range(chance.choice([1, 1, 2])):
        _damage(chance, chance.choice(sorted(run.rglob("*"))))
    users = folder / "run" / chance.choice(["", "encoder", "checkpoints", "evaluations", "figures"])
    foreign = users / "mine.txt"
    if chance.random() < 0.5 and not users.exists() | users.is_symlink():
        users.mkdir()
    kept = (foreign,) if users.is_dir() else ()
    if kept:
        foreign.write_text("of the user")
    if chance.random() < 0.3:
        images = folder / "images"
        images.mkdir()
        for index in range(3):
            _save(chance, images / f"{index}.png")
        encoder = (f"--run={run}", f"--folder={images}", f"--out={folder / 'out.npz'}")
        return Case("damage", "encoder", encoder, (*kept, images))
    others = chance.choice([(), (), ("--profile",), ("--config.seed=3",)])
    return Case("damage", "main", (*run_arguments(run), *others), kept)


def _damage(chance: random.Random, path: pathlib.Path) -> None:
    if path.is_dir():
        how = chance.choice(["delete", "file", "rename"])
    else:
        how = chance.choice(["empty", "truncate", "garbage", "delete", "folder", "bit", "json"])
    content = path.read_bytes() if path.is_file() else b""
    if how == "rename":
        path.rename(path.with_name("7"))
        return
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "delete":
        path.write_bytes(_damaged(chance, how, content))


def _damaged(chance: random.Random, how: str, content: bytes) -> bytes:
    if how == "truncate":
        return content[: chance.randrange(len(content) + 1)]
    if how == "bit" and content:
        place = chance.randrange(len(content))
        flipped = bytes([content[place] ^ 1 << chance.randrange(8)])
        return content[:place] + flipped + content[place + 1 :]
    return {"garbage": chance.randbytes(100), "json": b"{}"}.get(how, b"")
