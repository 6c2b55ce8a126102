"""Row accounts: what the vendor says about the rows of an import, next to the rows of its result."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import AuthRefused, BulkheadError, RateLimited, TransientError
from runner.models import ImportStatus
from runner.problems.rules import HOOKS_RULE, OTHER_RULE, RuleFinder, likely_rule
from runner.retry import CAP_S, delay_s
from runner.row_counts import REASONS_MOST, LeftOutReason

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from runner.config.routes import Route, Routes
    from runner.models import Item, RemoteImport
    from runner.protocols import ImportsApi
    from runner.row_counts import RowError, RowsRead
    from runner.stop import StopSignal

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
_SAFE_HOOKS = frozenset({"columnHooks"})
"""Hooks that change cells and never the number of rows."""


@dataclass(frozen=True, slots=True)
class RowsOfResult:
    """How many rows the vendor read for a result, why some are not in it, and a phrase that says so."""

    rows_in: int | None
    reasons: tuple[LeftOutReason, ...] | None
    phrase: str


class RowAccounts:
    """Accounts for the rows of results: which of the rows that the vendor read are missing, and why.

    It never stands in the way of a result: where the vendor does not say how many rows it read, nobody knows. While it
    answers no retrieve, no item waits for a second try.
    """

    def __init__(self, api: ImportsApi, routes: Routes, *, rng: random.Random, stop: StopSignal) -> None:
        self._api = api
        self._routes = routes
        self._rng = rng
        self._stop = stop
        self._is_answered = True

    async def rows_read(self, item: Item, *, seen: RemoteImport | None = None) -> RowsRead | None:
        """Return what the vendor says about an item's rows, None if nothing new; `seen` is its import if retrieved.

        Raises AuthRefused.
        """
        if item.rows_in is not None:
            return None
        remote = seen if seen is not None and _is_result_of(item, seen) else await self._retrieved(item)
        return remote.rows if remote is not None and _is_result_of(item, remote) else None

    async def _retrieved(self, item: Item) -> RemoteImport | None:
        attempts = _ATTEMPTS if self._is_answered else 1
        for attempt in range(1, attempts + 1):
            try:
                remote = await self._api.retrieve(item.bound_id)
            except AuthRefused:
                raise
            except BulkheadError as error:
                logger.warning(
                    "import could not be read: the rows left out of its result may stay unknown",
                    extra={"item": item.source, "error": type(error).__name__},
                )
                if not isinstance(error, TransientError):
                    break
                self._is_answered = False
                if attempt == attempts or await self._stop.sleep(_pause_s(error, attempt, self._rng)):
                    break
            else:
                self._is_answered = True
                return remote
        return None

    def of(self, item: Item, read: RowsRead | None, *, row_count: int) -> RowsOfResult:
        """Return the account of an item whose result has `row_count` rows."""
        if read is None:
            return RowsOfResult(item.rows_in, item.left_out_reasons, _phrase(item.rows_in, row_count))
        lost = max(0, read.rows_in - row_count)
        route = self._routes.for_version(item.source, item.version)
        has_hooks = route is not None and bool((route.hooks or {}).keys() - _SAFE_HOOKS)
        reasons = _reasons(read, route, lost=lost, has_hooks=has_hooks)
        phrase = _phrase(read.rows_in, row_count)
        if has_hooks and row_count != read.rows_in:
            phrase += f"; hooks may have {'removed' if lost else 'added'} rows"
        return RowsOfResult(read.rows_in, reasons, phrase)


def _pause_s(error: BulkheadError, attempt: int, rng: random.Random) -> float:
    asked_s = error.retry_after_s if isinstance(error, RateLimited) else None
    return delay_s(attempt, rng) if asked_s is None else min(asked_s, CAP_S)


def _is_result_of(item: Item, remote: RemoteImport) -> bool:
    return remote.import_id == item.import_id and remote.status == ImportStatus.SUCCESSFUL


def _phrase(rows_in: int | None, row_count: int) -> str:
    if rows_in is None or rows_in <= row_count:
        return ""
    return f"; {rows_in - row_count} of {rows_in} rows left out"


def _reasons(read: RowsRead, route: Route | None, *, lost: int, has_hooks: bool) -> tuple[LeftOutReason, ...]:
    """Return the most common reasons; rows that the vendor does not call invalid have a reason of their own."""
    if not lost:
        return ()
    found = Counter(dict(_by_rule(read.errors, route)))
    unexplained = lost - read.invalid_count if read.invalid_count is not None else 0
    if unexplained > 0:
        found[HOOKS_RULE if has_hooks else OTHER_RULE, None] += unexplained
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0][0], pair[0][1] or ""))
    return tuple(LeftOutReason(rule, field, min(count, lost)) for (rule, field), count in ordered[:REASONS_MOST])


def _by_rule(errors: Iterable[RowError], route: Route | None) -> Counter[tuple[str, str | None]]:
    fields = (route.fields if route else None) or ()
    own = RuleFinder({"fields": fields, "settings": route.settings if route else None}, {})
    known = {str(field.get("key")) for field in fields}
    found: Counter[tuple[str, str | None]] = Counter()
    for error in errors:
        field = error.field if not known or error.field in known else None
        rule = likely_rule(own.rule_of(field or "", error.message) or error.rule, error.message)
        found[rule, field] += error.row_count
    return found
