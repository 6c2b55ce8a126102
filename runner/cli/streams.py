"""Streams: answers that are written as they come, however long they are."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import orjson

from runner.cli.documents import plain
from runner.errors import ConfigError

T = TypeVar("T")


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


async def write_pieces(pieces: AsyncIterable[bytes], to: Path | None = None) -> None:
    """Write pieces to stdout, or to a file, which appears or changes only once it is complete. Raises ConfigError."""
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
