"""Asking: a command opens what answers it, asks, and shows the answer as text or as one JSON document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from runner.aws.client import aws_extra
from runner.aws.s3 import S3Place, is_s3
from runner.bulkhead import Bulkhead
from runner.cli.arguments import Arguments
from runner.cli.errors import reported
from runner.cli.json_output import write_document
from runner.cli.log import logging_to
from runner.cli.session import prepared
from runner.cli.styles import console
from runner.errors import ConfigError
from runner.models import REDRIVABLE_STATES, ItemState
from runner.sources.spec import local_path

if TYPE_CHECKING:
    from runner.cloud.ops.client import Operations
    from runner.config.settings import LoadedSettings


Opened = TypeVar("Opened")
T = TypeVar("T")


def ask(
    given: Arguments,
    opening: Callable[[LoadedSettings], AbstractAsyncContextManager[Opened]],
    action: Callable[[Opened, LoadedSettings], Awaitable[T]],
    *,
    show: Callable[[Console, T], None],
    document: Callable[[T], object] = lambda found: found,
) -> T:
    """Ask what `opening` opens, show the answer, and return it; `document` makes of it what `--json` writes."""

    async def asked(loaded: LoadedSettings) -> T:
        with logging_to(console(stderr=True), verbose=given.verbose):
            async with opening(loaded) as opened:
                return await action(opened, loaded)

    with reported(verbose=given.verbose), prepared(given) as loaded:
        found = asyncio.run(asked(loaded))
        if given.json:
            write_document(document(found))
        else:
            show(console(), found)
    return found


def ask_stack(
    given: Arguments,
    action: Callable[[Operations], Awaitable[T]],
    *,
    show: Callable[[Console, T], None],
    document: Callable[[T], object] = lambda found: found,
) -> T:
    """Ask the deployment on AWS that the settings name; see `ask`."""

    def opening(loaded: LoadedSettings) -> Operations:
        with aws_extra():
            from runner.cloud.ops.client import Operations
        return Operations(loaded.settings, options=given.repeated())

    return ask(given, opening, lambda operations, _: action(operations), show=show, document=document)


def look(
    given: Arguments,
    action: Callable[[Bulkhead, LoadedSettings], Awaitable[T]],
    *,
    show: Callable[[Console, T], None],
    document: Callable[[T], object] = lambda found: found,
) -> T:
    """Ask Bulkhead itself; see `ask`."""
    return ask(given, lambda loaded: Bulkhead(loaded.settings), action, show=show, document=document)


async def root_of(bulkhead: Bulkhead, loaded: LoadedSettings, file: str) -> str:
    """Guess the directory, or the S3 prefix, that a file is run as a part of.

    It is that of the newest batch that holds the file; else the outermost one, from the current directory or the whole
    bucket inwards, from which a route matches.
    """
    batches = await bulkhead.batches() if loaded.settings.ledger_is_there else []
    uris = [status.batch.source_uri for status in reversed(batches)]
    if is_s3(file):
        place = S3Place.parse(file)
        return _of_an_s3_batch(uris, place) or _of_an_s3_route(loaded, place)
    path = Path(file)
    return _of_a_batch(uris, path) or _of_a_route(loaded, path)


def _of_a_batch(source_uris: Iterable[str], file: Path) -> str | None:
    path = file.absolute()
    for uri in source_uris:
        if is_s3(uri):
            continue
        root = Path(local_path(uri))
        if root.is_dir() and path.is_relative_to(root):
            return str(root)
    return None


def _of_a_route(loaded: LoadedSettings, file: Path) -> str:
    from runner.config.routes import Routes

    path, here = file.absolute(), Path.cwd()
    routes = Routes.of(loaded)
    for root in reversed(path.parents):
        if root.is_relative_to(here) and routes.for_source(path.relative_to(root).as_posix()):
            return str(root)
    return str(path.parent)


def _of_an_s3_batch(source_uris: Iterable[str], file: S3Place) -> str | None:
    roots = [S3Place.of_uri(uri) for uri in source_uris if is_s3(uri)]
    return next((str(root) for root in roots if file == root or file.is_below(root)), None)


def _of_an_s3_route(loaded: LoadedSettings, file: S3Place) -> str:
    from runner.config.routes import Routes

    routes = Routes.of(loaded)
    *folders, name = file.key.split("/")
    for depth in range(len(folders)):
        if routes.for_source("/".join([*folders[depth:], name])):
            return str(replace(file, key="/".join(folders[:depth])).folder)
    return str(replace(file, key="/".join(folders)).folder)


def redrivable(names: Sequence[str] | None) -> Collection[ItemState]:
    """Return the states that were named, `failed` where none was. Raises ConfigError."""
    choice = {str(state): state for state in sorted(REDRIVABLE_STATES)}
    for name in names or ():
        if name not in choice:
            raise ConfigError(f"items in state {name!r} cannot be redriven", hint=f"choose from {', '.join(choice)}")
    return {choice[name] for name in names or ["failed"]}
