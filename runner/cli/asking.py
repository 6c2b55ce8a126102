"""Asking: a command opens what answers it, asks, and shows the answer as text or as one JSON document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from runner.aws.client import aws_extra
from runner.cli.console import console
from runner.cli.documents import write_document
from runner.cli.errors import reported
from runner.cli.given import Given
from runner.cli.log import logging_to
from runner.cli.session import prepared

if TYPE_CHECKING:
    from runner.cloud.operations import Operations
    from runner.config.settings import LoadedSettings

Opened = TypeVar("Opened")
T = TypeVar("T")


def ask(
    given: Given,
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
    given: Given,
    action: Callable[[Operations], Awaitable[T]],
    *,
    show: Callable[[Console, T], None],
    document: Callable[[T], object] = lambda found: found,
) -> T:
    """Ask the deployment on AWS that the settings name; see `ask`."""

    def opening(loaded: LoadedSettings) -> Operations:
        with aws_extra():
            from runner.cloud.operations import Operations
        return Operations(loaded.settings, options=given.repeated())

    return ask(given, opening, lambda operations, _: action(operations), show=show, document=document)
