"""What the check needs from an import engine; the caller of a check passes one in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Outcome(Protocol):
    """How an import ended: SUCCESSFUL, NEEDS_REVIEW or FAILED, with its errors and metadata in the vendor's shape."""

    @property
    def status(self) -> str: ...

    @property
    def errors(self) -> list[dict[str, Any]]: ...

    @property
    def metadata(self) -> dict[str, Any]: ...


class ResultStream(Protocol):
    """Takes the bytes of a result."""

    def write(self, data: bytes, /) -> int: ...


class DiscardedResult:
    """A stream that discards what is written to it: a check needs no results."""

    def write(self, data: bytes, /) -> int:
        return len(data)


class RunImport(Protocol):
    """Imports one file or the rows of one JSON document; never raises for bad data."""

    def __call__(
        self,
        source: bytes | Path | list[Any],
        /,
        *,
        schema: Mapping[str, Any],
        filename: str,
        user: Mapping[str, Any] | None,
        result: ResultStream,
    ) -> Outcome: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An import engine.

    `run` is a function of a module other than `__main__`: worker processes import it by its name. `saved` validates a
    saved schema; `bind` returns the schema that an import runs with, from the body of its create and the saved schemas
    by id. Both raise RequestInvalid. `messages` are the engine's messages by rule, with `{parts}` in braces. `missing`
    lists optional libraries that are not installed: (package, what the engine does not do without it).
    """

    run: RunImport
    saved: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    bind: Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Mapping[str, Any]]
    messages: Mapping[str, str]
    missing: tuple[tuple[str, str], ...] = ()
