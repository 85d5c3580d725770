"""The files of configs/."""

import importlib.util
import pathlib

import ml_collections

FOLDER = pathlib.Path(__file__).parent.parent / "configs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def load(name: str, argument: str = "smoke") -> dict:
    """configs/<name>.py:argument as plain dicts."""
    return made(name, argument).to_dict()


def made(name: str, argument: str = "smoke") -> ml_collections.ConfigDict:
    """configs/<name>.py:argument as the file makes it."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument)
