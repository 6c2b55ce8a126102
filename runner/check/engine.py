"""The import engine as the check needs it; whoever starts a check brings one."""

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


class Nowhere:
    """A stream that keeps nothing: results are not what a check is about."""

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
        result: Nowhere,
    ) -> Outcome: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An import engine.

    `run` is a function of a module, since worker processes find it by its name. `saved` checks a saved schema and
    `bind` makes of a create's body and the saved schemas by id what an import runs with; both raise RequestInvalid.
    `messages` are its sentences by rule, with `{parts}` in braces; `missing` tells of libraries that are not installed:
    (package, what is not judged rightly without it).
    """

    run: RunImport
    saved: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    bind: Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Mapping[str, Any]]
    messages: Mapping[str, str]
    missing: tuple[tuple[str, str], ...] = ()
