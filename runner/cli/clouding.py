"""Clouding: asks a deployment on AWS, and shows the answer as text or as one JSON document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from runner.cli.console import console
from runner.cli.documents import write_document
from runner.cli.errors import reported
from runner.cli.given import Given
from runner.cli.log import logging_to
from runner.cli.session import prepared
from runner.errors import ConfigError

if TYPE_CHECKING:
    from runner.cloud.operations import Operations
    from runner.settings import LoadedSettings

T = TypeVar("T")


def ask(
    given: Given,
    action: Callable[[Operations], Awaitable[T]],
    *,
    show: Callable[[Console, T], None],
    document: Callable[[T], object] = lambda found: found,
) -> T:
    """Ask, show the answer, and return it; `document` makes of it what `--json` writes."""
    with reported(verbose=given.verbose), prepared(given) as loaded:
        found = asyncio.run(_ask(given, loaded, action))
        if given.json:
            write_document(document(found))
        else:
            show(console(), found)
    return found


async def _ask(given: Given, loaded: LoadedSettings, action: Callable[[Operations], Awaitable[T]]) -> T:
    with logging_to(console(stderr=True), verbose=given.verbose):
        async with _operations(loaded) as operations:
            return await action(operations)


def _operations(loaded: LoadedSettings) -> Operations:
    try:
        from runner.cloud.operations import Operations
    except ImportError as error:
        raise ConfigError("AWS needs a package more", hint="pip install 'dromo-bulkhead[aws]'") from error
    return Operations(loaded.settings)
