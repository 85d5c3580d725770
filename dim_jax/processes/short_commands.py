"""Arguments and exit codes of the commands that read files and end soon."""

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from dim_jax import contracts

_SETTING = re.compile(r"(?<![\w./])data\.(\w+)\b")


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are a UserError; options cannot be abbreviated."""

    def __init__(self, **words: str):
        super().__init__(allow_abbrev=False, **words)

    def error(self, message: str) -> NoReturn:
        """Raises the message."""
        raise contracts.UserError(message)

    def parse(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The options, and the arguments that are none of them.

        Raises:
          UserError: an unknown option; it tells the nearest one.
        """
        options, surplus = self.parse_known_args([*arguments])
        for argument in surplus:
            if argument.startswith("-"):
                there = re.findall(r"--[\w-]+", self.format_usage())
                raise contracts.unknown("option", argument.partition("=")[0], there)
        return options, surplus


@contextlib.contextmanager
def options_for_settings(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Names settings such as data.test_split by a command's options in the errors of its work."""
    there = re.findall(r"--[\w-]+", parser.format_help())

    def option(setting: re.Match) -> str:
        name = "--data" if setting[1] == "name" else f"--{setting[1].replace('_', '-')}"
        return name if name in there else setting[0]

    try:
        yield
    except contracts.UserError as error:
        message = _SETTING.sub(option, str(error))
        raise contracts.UserError(message) from error


def exit_code(program: str, work: Callable[[], int]) -> int:
    """The exit code of the work; a mistake is printed and gives 2, Ctrl-C gives 130."""
    try:
        return work()
    except SystemExit as ended:  # of argparse, after --help
        return int(ended.code or 0)
    except contracts.UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: stopped by Ctrl-C", file=sys.stderr)
        return 130
