"""Init: the files that a working directory needs for a run, and writing those that are missing."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from runner.aws.s3 import is_s3
from runner.config.origins import DEFAULT_API_URL, is_loopback
from runner.config.settings import CONFIG_NAME, KEY_VARIABLES
from runner.errors import ConfigError, SchemaNotFound, SourceNotFound
from runner.formatting import shown
from runner.local.gitignore import GITIGNORE, Rule, add_line, needs_line, rule_for
from runner.permissions import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.dromo.client import HeadlessClient
    from runner.local.resources import Resources

ENV_NAME = ".env"
MASKED_KEY_LINE = f"{KEY_VARIABLES[0]}=****"
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9._:/+=@-]+")
_LISTED_MOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaSummary:
    """A saved schema of the account as a person chooses it: its id, and its name, or the id if it has none."""

    schema_id: str
    name: str


class Action(StrEnum):
    """What happened to a file."""

    WRITTEN = "written"
    EXTENDED = "extended"
    KEPT = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """A file of the working directory: `lines` are what it got, or would have got; they never have the key."""

    name: str
    action: Action
    lines: tuple[str, ...] = ()
    note: str | None = None
    """What else a person should know or type."""


@dataclass(frozen=True, slots=True)
class Todo:
    """What is missing in a working directory."""

    config: bool
    env: bool
    ignore: bool

    @classmethod
    def of(cls, directory: Path) -> Todo:
        """Look at a directory; a broken link counts as a file. Raises ConfigError if it cannot be read."""
        try:
            ignore = needs_line(directory, ENV_NAME)
        except OSError as error:
            raise _unusable(GITIGNORE, "read", error) from None
        config, env = (not os.path.lexists(directory / name) for name in (CONFIG_NAME, ENV_NAME))
        return cls(config=config, env=env, ignore=ignore)

    @property
    def is_nothing(self) -> bool:
        return not (self.config or self.env or self.ignore)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the files are to have: a schema and the API's address for bulkhead.toml, a key for `.env`."""

    schema: SchemaSummary | None
    api_url: str
    key: str | None

    def config_lines(self) -> tuple[str, ...]:
        """Return the lines of bulkhead.toml; it names the API only if that is not the default."""
        lines = ["# Every setting: bulkhead config", f"# [notify] and on_finish need: --config {CONFIG_NAME}"]
        if self.api_url != DEFAULT_API_URL:
            lines.append(f"api_url = {_toml(self.api_url)}")
        if self.schema is None:
            lines.append('schema_id = "..."')
        else:
            lines.append(f"schema_id = {_toml(self.schema.schema_id)}  # {shown(self.schema.name)}")
        return tuple(lines)


async def usable_schemas(resources: Resources, schema_id: str | None) -> list[SchemaSummary]:
    """Return the schema with this id, or else all of the account, by name.

    Raises AuthRefused, SchemaNotFound, ConfigError if the account has none, and what the client raises.
    """
    client = await resources.client()
    names = await client.schema_names()
    found = [SchemaSummary(schema_id=one, name=name or one) for one, name in names.items()]
    found.sort(key=lambda schema: (schema.name.casefold(), schema.schema_id))
    if schema_id is not None:
        return [
            next((one for one in found if one.schema_id == schema_id), None)
            or await _unlisted(client, schema_id, found)
        ]
    if not found:
        url = resources.settings.api_url
        raise ConfigError(
            f"the account at {url} has no saved schemas",
            hint="start the sandbox with --schemas DIR, then run `bulkhead init` again"
            if is_loopback(url)
            else "make one in the vendor's dashboard, then run `bulkhead init` again",
        )
    return found


async def _unlisted(client: HeadlessClient, schema_id: str, listed: Sequence[SchemaSummary]) -> SchemaSummary:
    try:
        await client.schema(schema_id)
    except SchemaNotFound:
        message = f"the account has no schema {shown(schema_id)}"
    else:
        return SchemaSummary(schema_id=schema_id, name=schema_id)
    raise SchemaNotFound(message, schema_id=schema_id, hint=named(listed))


def named(schemas: Sequence[SchemaSummary]) -> str:
    """Return a sentence part that offers schemas: their ids and names, ten at most."""
    if not schemas:
        return "the account has no saved schemas; make one in the vendor's dashboard"
    offers = [f"--schema-id {shlex.quote(one.schema_id)} ({shown(one.name)})" for one in schemas[:_LISTED_MOST]]
    more = len(schemas) - len(offers)
    return f"choose {', or '.join(offers)}" + (f", or one of {more} more" if more else "")


async def accept_key(resources: Resources) -> None:
    """Ask for one import, which needs an accepted key. Raises AuthRefused, and what the client raises."""
    await (await resources.client()).list_page(limit=1, offset=0)


def checked_source(source: str) -> str:
    """Return the name of a source as a command takes it. Raises SourceNotFound if it is not on this machine or S3."""
    if not is_s3(source) and not os.path.exists(source):  # noqa: PTH110 - a Path refuses some texts that a person types
        raise SourceNotFound(f"there is no directory {shown(source)}", hint=f"mkdir -p {shlex.quote(_typed(source))}")
    return _typed(source)


def write(directory: Path, contents: Contents) -> list[FileOutcome]:
    """Write what is missing, `.gitignore` first, so that git never sees the key. Raises ConfigError."""
    todo = Todo.of(directory)
    outcomes = [_ignored(directory, needed=todo.ignore)] if todo.ignore or _is_wanted(directory) else []
    if contents.key is not None and _made(directory / ENV_NAME, env_text(contents.key), opener=_private):
        outcomes.append(
            FileOutcome(name=ENV_NAME, action=Action.WRITTEN, lines=(MASKED_KEY_LINE,), note="only you can read it")
        )
    else:
        outcomes.append(_kept(ENV_NAME, (MASKED_KEY_LINE,), _closing(directory / ENV_NAME)))
    lines = contents.config_lines()
    if contents.schema is not None and _made(directory / CONFIG_NAME, "".join(f"{line}\n" for line in lines)):
        outcomes.append(FileOutcome(name=CONFIG_NAME, action=Action.WRITTEN, lines=lines))
    else:
        outcomes.append(_kept(CONFIG_NAME, lines, None))
    return outcomes


def env_text(key: str) -> str:
    """Return the content of `.env`: one line, quoted so that it is read back as it is."""
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    value = key if _PLAIN_VALUE.fullmatch(key) else f"'{escaped}'"
    return f"{KEY_VARIABLES[0]}={value}\n"


def next_commands(source: str) -> list[str]:
    """Return the three commands that come next."""
    return [f"bulkhead {verb} {shlex.quote(source)}" for verb in ("plan", "check", "run")]


def _typed(source: str) -> str:
    """Return a name that no command takes for an option."""
    return f"./{source}" if source.startswith("-") else source


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_wanted(directory: Path) -> bool:
    return rule_for(directory, ENV_NAME) is Rule.WANTED


def _ignored(directory: Path, *, needed: bool) -> FileOutcome:
    if not needed:
        note = f"it has !{ENV_NAME}: git does not ignore the key; do not commit {ENV_NAME}"
        return FileOutcome(name=GITIGNORE, action=Action.KEPT, note=note)
    try:
        add_line(directory, ENV_NAME)
    except OSError as error:
        raise _unusable(GITIGNORE, "written", error) from None
    return FileOutcome(name=GITIGNORE, action=Action.EXTENDED, lines=(ENV_NAME,))


def _made(path: Path, text: str, *, opener: Callable[[str, int], int] | None = None) -> bool:
    """Write a new file; return False if something has its name. Raises ConfigError."""
    try:
        file = open(path, "xb", opener=opener)  # noqa: SIM115 - closed below; Path.open takes no opener
    except FileExistsError:
        return False
    except OSError as error:
        raise _unusable(path.name, "written", error) from None
    try:
        with file:
            file.write(text.encode())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _unusable(path.name, "written", error) from None
    return True


def _private(path: str, flags: int) -> int:
    return PRIVATE.open(Path(path), flags)


def _kept(name: str, lines: tuple[str, ...], note: str | None) -> FileOutcome:
    return FileOutcome(name=name, action=Action.KEPT, lines=lines, note=note)


def _closing(path: Path) -> str | None:
    command = PRIVATE.closing([path]) if path.is_file() else None
    return command and f"others can read it; run: {command}"


def _unusable(name: str, verb: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"{name} in the working directory cannot be {verb}: {error.strerror or error}",
        hint="correct that, then run `bulkhead init` again; it keeps what it has written",
    )
