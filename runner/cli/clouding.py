"""Clouding: asks a deployment on AWS, and shows the answer as text or as one JSON document."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import orjson
from rich.console import Console

from runner.aws_client import aws_extra
from runner.cli.console import console
from runner.cli.documents import plain, write_document
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
        async with _operations(given, loaded) as operations:
            return await action(operations)


def _operations(given: Given, loaded: LoadedSettings) -> Operations:
    with aws_extra():
        from runner.cloud.operations import Operations
    return Operations(loaded.settings, options=given.repeated())


async def first(items: AsyncGenerator[T, None], count: int) -> list[T]:
    """Return the first items, at most `count`; the others are never asked for."""
    found: list[T] = []
    async with aclosing(items) as left:
        async for item in left:
            found.append(item)
            if len(found) == count:
                break
    return found


async def write_array(items: AsyncIterable[object]) -> None:
    """Write one JSON array to stdout, an item a line, however many there are."""
    out, between = sys.stdout.buffer, b"["
    async for item in items:
        out.write(between + orjson.dumps(plain(item)))
        between = b",\n "
    out.write(b"[]\n" if between == b"[" else b"]\n")
    out.flush()


async def write_pieces(pieces: AsyncIterable[bytes], to: Path | None) -> None:
    """Write pieces to stdout, or to a file, which appears or changes only once it is complete."""
    if to is None:
        async for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    partial = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            async for piece in pieces:
                file.write(piece)
        partial.replace(to)
    except OSError as error:
        raise ConfigError(f"{to} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
