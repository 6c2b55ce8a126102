"""How a command declares what it takes: options and arguments as typed fields, each declared once.

A command is a function of one parameter, a subclass of Arguments. typer reads signatures, so `typer_function` gives it
one that has a parameter for each field, and calls the command with the object that the fields make up.
"""

import inspect
import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, dataclass_transform, get_args, get_type_hints

import typer

if TYPE_CHECKING:
    from runner.config.settings import LoadedSettings


class Panel(StrEnum):
    """The headings of a help page, in order."""

    FILES = "Source files"
    BATCH = "Batch and items"
    SCHEMA = "Schema"
    CHECK = "Check"
    PACE = "Pace and limits"
    ROTATION = "Rotation"
    PLACES = "Account and locations"
    NOTIFY = "Notifications"
    OUTPUT = "Output"


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the command line.

    A flag without a value has no `metavar`. `panel` is its heading in a help page. `setting` names the setting that it
    fills, if it fills one; with `negates`, giving the flag sets that to false. `repeat`: a later command about the same
    batch needs the option, too. `default` is what a help page says about an option that was not
    given, if its setting or its command has a value then. `masked` hides what is secret in a value.
    """

    flag: str
    metavar: str | None
    help: str
    panel: Panel
    short: str | None = None
    setting: str | None = None
    negates: bool = False
    repeat: bool = False
    min: int | None = None
    max: int | None = None
    envvar: str | None = None
    default: str | None = None
    masked: Callable[[str], str] = str

    def typer_info(self) -> Any:
        """Return what typer takes for the option."""
        flags = (self.flag, self.short) if self.short else (self.flag,)
        return typer.Option(
            *flags,
            metavar=self.metavar,
            help=f"{self.help} {self._origin()}".rstrip(),
            rich_help_panel=self.panel,
            min=self.min,
            max=self.max,
            envvar=self.envvar,
            show_envvar=False,
            show_choices=False,
        )

    def _origin(self) -> str:
        """Return the default and the environment variable that sets the same, each in brackets; "" without them."""
        variable = self.envvar or (f"BULKHEAD_{self.setting.upper()}" if self.setting else "")
        value = "=false" if self.negates else ""
        facts = (f"[default: {self.default}]" if self.default else "", f"[{variable}{value}]" if variable else "")
        return " ".join(filter(None, facts))

    def setting_from(self, value: Any) -> Any:
        """Return the setting's value for the option's, None if the option is absent."""
        if self.negates:
            return False if value else None
        return None if value is False else value


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of the command line, required unless its field has a default."""

    metavar: str
    help: str

    def typer_info(self) -> Any:
        """Return what typer takes for the argument."""
        return typer.Argument(metavar=self.metavar, help=self.help, show_default=False)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an Arguments class that the command line fills."""

    name: str
    value_type: Any
    declared: Option | Argument
    default: Any

    def parameter(self) -> inspect.Parameter:
        """Return the parameter that typer reads."""
        is_option = isinstance(self.declared, Option)
        kind = inspect.Parameter.KEYWORD_ONLY if is_option else inspect.Parameter.POSITIONAL_OR_KEYWORD
        annotation: Any = Annotated[self.value_type, self.declared.typer_info()]
        return inspect.Parameter(self.name, kind, default=self.default, annotation=annotation)

    @property
    def place(self) -> int:
        """Its rank in a signature and on a help page: arguments first, then options by panel."""
        return _PANELS.index(self.declared.panel) if isinstance(self.declared, Option) else -1


_PANELS = list(Panel)


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Arguments:
    """What the command line gave to a command.

    Subclasses declare fields as `name: Annotated[type, Option(...)] = default`, and combine by inheritance: fields come
    in the order of the bases. The attributes here are those that code for all commands reads.
    """

    config: Path | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    sandbox: bool = False
    sandbox_schemas: Path | None = None

    def __init__(self, **values: Any) -> None:
        for field in fields_of(type(self)):
            object.__setattr__(self, field.name, values.get(field.name, field.default))

    @property
    def flags(self) -> dict[str, Any]:
        """The settings that options fill, by their names; None if an option is absent."""
        return {
            option.setting: option.setting_from(getattr(self, name))
            for name, option in self._options()
            if option.setting is not None
        }

    def load(self, **settings: Any) -> "LoadedSettings":
        """Read all settings; those given here win. Raises ConfigError."""
        from runner.config.settings import Settings

        return Settings.load({**self.flags, **settings, "config": self.config})

    def repeated(self) -> str:
        """Return the options that a later command about the same batch needs, too, each after a space."""
        values = ((option, getattr(self, name)) for name, option in self._options() if option.repeat)
        return "".join(f" {one.flag} {shlex.quote(one.masked(str(value)))}" for one, value in values if value)

    def shown(self, words: Sequence[str]) -> list[str]:
        """Return the words of this command line with secrets hidden."""
        secret = {option.flag: option.masked for _, option in self._options() if option.masked is not str}
        found: list[str] = []
        for before, word in zip(["", *words], words, strict=False):
            flag, equals, value = word.partition("=")
            if before in secret:
                found.append(secret[before](word))
            else:
                found.append(f"{flag}={secret[flag](value)}" if equals and flag in secret else word)
        return found

    def _options(self) -> list[tuple[str, Option]]:
        return [(one.name, one.declared) for one in fields_of(type(self)) if isinstance(one.declared, Option)]


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)
Command = Callable[[ArgumentsT], Awaitable[None] | None]
"""A command: one parameter, annotated with its Arguments class, and a docstring, which is its help."""


def fields_of(kind: type) -> tuple[Field, ...]:
    """Return the fields that a class and its bases declare; one that is declared again keeps its place."""
    found: dict[str, Field] = {}
    for base in kind.__bases__:
        found.update({field.name: field for field in fields_of(base)})
    for name, annotation in inspect.get_annotations(kind).items():
        value_type, *declared = get_args(annotation) or [None]
        if declared and isinstance(declared[0], Option | Argument):
            found[name] = Field(name, value_type, declared[0], getattr(kind, name, inspect.Parameter.empty))
    return tuple(found.values())


def arguments_class(command: Command[Any]) -> type[Arguments]:
    """Return the class of a command's only parameter."""
    found: type[Arguments] = next(hint for name, hint in get_type_hints(command).items() if name != "return")
    return found


def typer_function(command: Command[Any]) -> Callable[..., None]:
    """Return a function that typer can read, which runs the command and turns errors into text and an exit code."""
    kind = arguments_class(command)

    def call(**values: Any) -> None:
        from runner.cli.errors import reported

        args = kind(**values)
        with reported(verbose=args.verbose):
            work = command(args)
            if inspect.iscoroutine(work):
                import asyncio

                asyncio.run(work)

    parameters = [field.parameter() for field in sorted(fields_of(kind), key=lambda field: field.place)]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__doc__ = command.__doc__
    return call
