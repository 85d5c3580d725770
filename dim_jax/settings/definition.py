"""The definition of a setting and of a block of settings, and the error for a wrong one."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

# Whether a run folder may be continued with another value: "training" never, "length" if
# the training does not end before the steps that it has made, "evaluation" until there are results,
# "machine" (where data lie, how long a command runs) at any time.
Scope = Literal["training", "length", "evaluation", "machine"]
REQUIRED = dataclasses.MISSING


class UserError(ValueError):
    """A mistake in a command, a config or the data: its message alone says what to change.

    The command line prints the message and exits with code 2; anything else shows a traceback.
    """


def unknown(kind: str, name: Any, names: Iterable[str]) -> UserError:
    """The error for a misspelt name: the nearest match first, then all names."""
    return UserError(f"unknown {kind} '{name}': {suggestion(name, names)}")


def suggestion(name: Any, names: Iterable[str]) -> str:
    """The end of the message for a misspelt name: the nearest of the names, then all of them."""
    names = sorted(names)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? There are" if near else "use one of"
    return f"{hint} {', '.join(names)}"


def abridged(words: Iterable[str], shown: int) -> str:
    """The first words of a list, with commas, and an ellipsis in the place of the others."""
    words = [*words]
    return ", ".join(words[:shown] + ["..."] * (len(words) > shown))


class Check(NamedTuple):
    """The valid values of a setting, and the advice for others: the end of an error message.

    names: the valid values where they are few texts, of which the nearest one is suggested. most:
    the largest integer, where the advice for larger ones is another.
    """

    holds: Callable[[Any], bool]
    advice: str
    names: tuple[str, ...] = ()
    most: int | None = None

    def advise(self, value: Any) -> str:
        """The advice for a value that is not valid."""
        is_large = isinstance(value, int) and self.most is not None and value > self.most
        return f"set it to at most {self.most}" if is_large else self.advice


class Setting(NamedTuple):
    """One key of a config.

    kind: the type of its values that are not None; `type` is the same in words. default: REQUIRED
    where a config must set it.
    """

    key: str
    kind: type
    type: str
    default: Any
    help: str
    scope: Scope
    check: Check | None

    def verify(self, value: Any) -> None:
        """Raises UserError for a value that is not valid."""
        if self.check is None or (value is None and self.default is None):
            return
        if not self.check.holds(value):
            none = ", or to None" if self.default is None else ""
            near = difflib.get_close_matches(str(value), self.check.names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(f"{self.key} is {value!r}; {hint}{self.check.advise(value)}{none}")


def setting(
    default: Any, check: Check | None, help: str, *, type: str = "", scope: Scope = "training"
) -> Any:
    """A field of a block.

    Args:
      help: sentences for `--help` and the documentation.
      type: shown in the documentation where the annotation does not say enough.
    """
    metadata = dict(check=check, help=help, scope=scope, type=type)
    return dataclasses.field(default=default, metadata=metadata)


class Block:
    """Base of the blocks: frozen dataclasses whose fields are settings, verified on creation."""

    block: ClassVar[str]

    def __post_init__(self):
        for name, each in self.settings().items():
            value = getattr(self, name)
            if isinstance(value, list):  # from JSON
                object.__setattr__(self, name, value := tuple(value))
            each.verify(value)

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """The settings by name, in the order of the documentation."""
        prefix = f"{cls.block}." if cls.block else ""
        return {
            field.name: Setting(
                key=prefix + field.name,
                kind=(kind := _kind(field.type)),
                type=field.metadata["type"] or kind.__name__,
                default=field.default,
                **{key: field.metadata[key] for key in ("help", "scope", "check")},
            )
            for field in dataclasses.fields(cls)
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The block with these values, and defaults for the others.

        Raises:
          UserError: an unknown key, a missing one, or a value that is not valid.
        """
        settings = cls.settings()
        for name in values:
            if name not in settings:
                prefix = f"{cls.block}." if cls.block else ""
                keys = [each.key for each in settings.values()]
                raise unknown("setting", prefix + str(name), keys)
        for name, each in settings.items():
            if each.default is REQUIRED and name not in values:
                raise UserError(f"the config has no {each.key}; add it ({each.help.rstrip('.')})")
        return cls(**values)

    def changed(self) -> dict[str, Any]:
        """{name: value} of the settings whose value is not the default."""
        return {
            name: getattr(self, name)
            for name, each in self.settings().items()
            if each.default is not REQUIRED and getattr(self, name) != each.default
        }


def _kind(annotation: Any) -> type:
    """`int` of `int | None`, `Mapping` of `Mapping[str, Any]`."""
    if isinstance(annotation, types.UnionType):
        annotation = typing.get_args(annotation)[0]
    return typing.get_origin(annotation) or annotation
