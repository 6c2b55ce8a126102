"""The collect stage: results URL -> stream -> sink, then the record that the result is saved, with its rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runner.errors import (
    BulkheadError,
    ImportNotFound,
    NotYet,
    RequestInvalid,
    ResultInvalid,
    ResultTooLarge,
    SinkFailed,
    StorageFull,
    TransientError,
)
from runner.models import RESULT_INVALID, RESULT_MISSING, RESULT_TOO_LARGE, Item, ItemState
from runner.retry import delay_s
from runner.stages.absence import PAUSE_S

if TYPE_CHECKING:
    import random

    from runner.config.options import RunOptions
    from runner.models import RemoteImport
    from runner.protocols import ImportsApi, Place, SavedResult, Sink, Storage
    from runner.row_counts import RowsRead
    from runner.stages.absence import Absence
    from runner.stages.result_places import ResultPlace, ResultPlaces
    from runner.stages.row_accounts import RowAccounts
    from runner.stages.transitions import Transitions
    from runner.stop import StopSignal

logger = logging.getLogger(__name__)


class Collector:
    """Saves the results of `succeeded` items; without `places`, each at its usual path, where nobody else's can be."""

    def __init__(
        self,
        *,
        api: ImportsApi,
        storage: Storage,
        sink: Sink,
        transitions: Transitions,
        absence: Absence,
        row_accounts: RowAccounts,
        options: RunOptions,
        rng: random.Random,
        stop: StopSignal,
        places: ResultPlaces | None = None,
    ) -> None:
        self._api = api
        self._storage = storage
        self._sink = sink
        self._transitions = transitions
        self._absence = absence
        self._row_accounts = row_accounts
        self._options = options
        self._rng = rng
        self._stop = stop
        self._places = places

    async def collect(self, item: Item, *, seen: RemoteImport | None = None) -> Item:
        """Return the item `collected`, `failed` if there is no usable result, or unchanged if a stop is requested.

        A result counts as unusable only if every attempt found it so: a download may have been cut short, and a result
        may appear a moment after the status. One that is too large stays so, and is not downloaded again.

        `seen` is its import, if it was retrieved already. Raises AuthRefused, StorageFull, and SinkFailed; and the last
        TransientError if no attempt succeeds.
        """
        place = self._places.of(item) if self._places is not None else None
        read = await self._row_accounts.rows_read(item, seen=seen)
        try:
            return await self._collect(item, place, read)
        except ResultTooLarge as error:
            item = item if place is None else place.item
            return await self._fail(item, RESULT_TOO_LARGE, f"{error}; {error.hint}")

    async def _collect(self, item: Item, place: ResultPlace | None, read: RowsRead | None) -> Item:
        unusable: list[BulkheadError] = []
        trouble: TransientError | None = None
        for attempt in range(1, self._options.collect_attempts + 1):
            try:
                saved = await self._fetch(item, place)
            except (StorageFull, SinkFailed, ResultTooLarge):
                raise
            except (ImportNotFound, RequestInvalid, ResultInvalid) as error:
                unusable.append(error)
            except TransientError as error:
                trouble = error
                logger.warning(
                    "collect failed; it will be retried", extra={"item": item.source, "error": type(error).__name__}
                )
            else:
                return await self._record(item if place is None else place.item, saved, read)
            if attempt < self._options.collect_attempts and await self._stop.sleep(delay_s(attempt, self._rng)):
                return item
        item = item if place is None else place.item
        if trouble is not None:
            raise trouble
        return await self._without_result(item, unusable)

    async def _without_result(self, item: Item, unusable: list[BulkheadError]) -> Item:
        """End an item whose result every attempt found unusable. Raises NotYet while that may only be late."""
        if all(isinstance(error, ResultInvalid) for error in unusable):
            return await self._fail(item, RESULT_INVALID, str(unusable[-1]))
        if isinstance(unusable[-1], ResultInvalid):
            raise NotYet(f"its result is not always there: {unusable[-1]}", wait_s=PAUSE_S)
        finding = await self._absence.of_result(item)
        if finding.is_proved:
            return await self._fail(finding.item, RESULT_MISSING, str(unusable[-1]))
        raise NotYet(f"{finding.sentence}: {unusable[-1]}", wait_s=PAUSE_S)

    async def _record(self, item: Item, saved: SavedResult, read: RowsRead | None) -> Item:
        account = self._row_accounts.of(item, read, row_count=saved.row_count)
        return await self._transitions.advance(
            item,
            ItemState.COLLECTED,
            reason=f"result saved{account.phrase}",
            error_code=None,
            error_message=None,
            result=saved.path,
            result_sha256=saved.sha256,
            row_count=saved.row_count,
            rows_in=account.rows_in,
            left_out_reasons=account.reasons,
        )

    async def _fetch(self, item: Item, place: Place | None) -> SavedResult:
        """Ask for a fresh URL each time: it is short-lived and never stored."""
        url = await self._api.results_url(item.bound_id)
        async with self._storage.get(url) as chunks:
            return await self._sink.save_result(item.source, chunks, place)

    async def _fail(self, item: Item, code: str, message: str) -> Item:
        return await self._transitions.advance(
            item, ItemState.FAILED, reason=code, error_code=code, error_message=message
        )
