"""The collect stage: results URL -> stream -> sink, then the record that the result is saved, with its rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from runner.errors import (
    BulkheadError,
    ImportNotFound,
    NotYet,
    PackUnaccounted,
    RequestInvalid,
    ResultInvalid,
    ResultTooLarge,
    SinkFailed,
    StorageFull,
    TransientError,
)
from runner.models import PACK_UNACCOUNTED, RESULT_INVALID, RESULT_MISSING, RESULT_TOO_LARGE, Item, ItemState
from runner.retry import delay_s
from runner.stages.absence import PAUSE_S

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable

    from runner.config.options import RunOptions
    from runner.models import ItemChanges, RemoteImport
    from runner.protocols import ImportsApi, SavedResult, Sink, Storage
    from runner.row_counts import RowsRead
    from runner.stages.absence import Absence
    from runner.stages.result_places import ResultPlace, ResultPlaces
    from runner.stages.row_accounts import RowAccounts, RowsOfResult
    from runner.stages.transitions import Transitions
    from runner.stop import StopSignal

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_MARKERS_BYTES = 2_000_000
"""How much longer the result of a pack is than those of its files together: 10,000 markers of 200 bytes (choice)."""

_PACK_BYTES = 1024**3
"""A pack's result, which is held in memory, has no more than this, unless that of a single file may have (choice)."""


class Unusable(Exception):
    """Every attempt found a result unusable; `errors` has one error of each."""

    def __init__(self, errors: list[BulkheadError]) -> None:
        super().__init__(str(errors[-1]))
        self.errors = errors


class ResultFetch:
    """Fetches results in several attempts, and ends items that have no usable result."""

    def __init__(
        self,
        *,
        api: ImportsApi,
        storage: Storage,
        transitions: Transitions,
        absence: Absence,
        options: RunOptions,
        rng: random.Random,
        stop: StopSignal,
    ) -> None:
        self._api = api
        self._storage = storage
        self._transitions = transitions
        self._absence = absence
        self._options = options
        self._rng = rng
        self._stop = stop

    async def fetch(
        self,
        item: Item,
        save: Callable[[AsyncIterator[bytes]], Awaitable[_T]],
        *,
        files: int | None = None,
        attempts: int | None = None,
    ) -> _T | None:
        """Return what `save` makes of the result of an item's import; None if a stop comes first.

        `files`: how many are in a pack, whose result may be as large as those of all of them. `attempts`: how many
        there are at most; None for as many as for the result of an item.

        A result counts as unusable only if every attempt found it so: a download may have been cut short, and a result
        may appear a moment after the status. One that is too large stays so, and is not downloaded again.
        Raises Unusable, ResultTooLarge, AuthRefused, StorageFull, SinkFailed; and the last TransientError if an attempt
        ended with one.
        """
        unusable: list[BulkheadError] = []
        trouble: TransientError | None = None
        most_bytes = None if files is None else pack_result_bytes(self._options.result_bytes, files=files)
        attempts = min(attempts or self._options.collect_attempts, self._options.collect_attempts)
        for attempt in range(1, attempts + 1):
            try:
                return await self._download(item, save, most_bytes=most_bytes)
            except (StorageFull, SinkFailed, ResultTooLarge):
                raise
            except (ImportNotFound, RequestInvalid, ResultInvalid) as error:
                unusable.append(error)
            except TransientError as error:
                trouble = error
                logger.warning(
                    "collect failed; it will be retried", extra={"item": item.source, "error": type(error).__name__}
                )
            if attempt < attempts and await self._stop.sleep(delay_s(attempt, self._rng)):
                return None
        if trouble is not None:
            raise trouble
        raise Unusable(unusable)

    async def _download(
        self, item: Item, save: Callable[[AsyncIterator[bytes]], Awaitable[_T]], *, most_bytes: int | None
    ) -> _T:
        """Ask for a fresh URL each time: it is short-lived and never stored."""
        url = await self._api.results_url(item.bound_id)
        async with self._storage.get(url, most_bytes=most_bytes) as chunks:
            return await save(chunks)

    async def end_without(self, item: Item, unusable: Unusable) -> Item:
        """Return an item `failed` that has no usable result. Raises NotYet while that may only be late."""
        errors = unusable.errors
        if all(isinstance(error, ResultInvalid) for error in errors):
            unaccounted = [error for error in errors if isinstance(error, PackUnaccounted)]
            code = PACK_UNACCOUNTED if unaccounted else RESULT_INVALID
            return await self.fail(item, code, str((unaccounted or errors)[-1]))
        if isinstance(errors[-1], ResultInvalid):
            raise NotYet(f"its result is not always there: {errors[-1]}", wait_s=PAUSE_S)
        finding = await self._absence.of_result(item)
        if finding.is_proved:
            return await self.fail(finding.item, RESULT_MISSING, str(errors[-1]))
        raise NotYet(f"{finding.sentence}: {errors[-1]}", wait_s=PAUSE_S)

    async def fail(self, item: Item, code: str, message: str) -> Item:
        return await self._transitions.advance(
            item, ItemState.FAILED, reason=code, error_code=code, error_message=message
        )


class Collector:
    """Saves the results of `succeeded` items; without `places`, each at its usual path, where nobody else's can be."""

    def __init__(
        self,
        *,
        fetch: ResultFetch,
        sink: Sink,
        transitions: Transitions,
        row_accounts: RowAccounts,
        places: ResultPlaces | None = None,
    ) -> None:
        self._fetch = fetch
        self._sink = sink
        self._transitions = transitions
        self._row_accounts = row_accounts
        self._places = places

    async def collect(self, item: Item, *, seen: RemoteImport | None = None) -> Item:
        """Return the item `collected`, `failed` if there is no usable result, or unchanged if a stop is requested.

        `seen` is its import, if it was retrieved already. Raises AuthRefused, StorageFull, and SinkFailed; and the last
        TransientError if no attempt succeeds.
        """
        place = self._places.of(item) if self._places is not None else None
        read = await self._row_accounts.rows_read(item, seen=seen)
        try:
            saved = await self._fetch.fetch(item, lambda chunks: self._sink.save_result(item.source, chunks, place))
        except ResultTooLarge as error:
            return await self._fetch.fail(_current(item, place), RESULT_TOO_LARGE, f"{error}; {error.hint}")
        except Unusable as unusable:
            return await self._fetch.end_without(_current(item, place), unusable)
        if saved is None:
            return item
        return await self._record(_current(item, place), saved, read)

    async def _record(self, item: Item, saved: SavedResult, read: RowsRead | None) -> Item:
        account = self._row_accounts.of(item, read, row_count=saved.row_count)
        changes = changes_of(saved, account)
        return await self._transitions.advance(
            item, ItemState.COLLECTED, reason=f"result saved{account.phrase}", **changes
        )


def pack_result_bytes(file_bytes: int, *, files: int) -> int:
    """Return how many bytes the result of a pack may have, if that of each of its files may have `file_bytes`."""
    return min(files * file_bytes + _MARKERS_BYTES, max(file_bytes, _PACK_BYTES))


def _current(item: Item, place: ResultPlace | None) -> Item:
    return item if place is None else place.item


def changes_of(saved: SavedResult, account: RowsOfResult) -> ItemChanges:
    """Return the fields of an item whose result is saved."""
    return {
        "error_code": None,
        "error_message": None,
        "result": saved.path,
        "result_sha256": saved.sha256,
        "row_count": saved.row_count,
        "rows_in": account.rows_in,
        "left_out_reasons": account.reasons,
    }
