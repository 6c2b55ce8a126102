"""The track stage: list open imports, and move their items as the vendor's statuses say.

One call covers a thousand imports, so none is polled by itself. An import that failed or needs review is retrieved, for
the fields that a list does not show.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from runner.concurrency import handle_all
from runner.dromo.listing import pages_since
from runner.errors import ImportNotFound, RequestInvalid, Stopped, StorageFull, TransientError
from runner.models import (
    IMPORT_MISSING,
    STATE_OF_STATUS,
    UPLOAD_NOT_TAKEN,
    ImportStatus,
    Item,
    ItemChanges,
    ItemState,
    RemoteImport,
)
from runner.retry import backoff_s, repeat_read
from runner.stages.absence import PAUSE_S, Absence, is_suspected
from runner.stages.patience import FIRST_PAUSE_S, Patience
from runner.stages.transitions import ItemOvertaken
from runner.stages.untaken import NOT_TAKEN, Wait, is_untaken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from runner.ledger.protocol import ItemStore
    from runner.protocols import ImportsApi
    from runner.stages.transitions import Transitions
    from runner.stages.untaken import UntakenUploads

logger = logging.getLogger(__name__)

FIRST_LIST_S = 1.0
LONGEST_PAUSE_S = 30.0
MISSING_AFTER_PASSES = 3
REFUSED_PASSES = 10
"""After this many refused lists in a row, the refusal is permanent, not a gateway's temporary error."""

_MAX_DOUBLINGS = 16
_READ_AT_ONCE = 100
_AT_ONCE = 20
"""So many imports are handled at the same time: those of a list share a write to the ledger, and those that lists lack
share the lists that prove their absence (choice)."""

_MAX_TRIES = 5

_S = ItemState


@dataclass(slots=True)
class Pass:
    """What one list or one read of the ledger found: items it `moved`, and items that `others_moved` before it."""

    moved: int = 0
    others_moved: int = 0


async def _no_listener(_item: Item) -> None:
    """Ignore an item that has moved: the caller gets it as a return value."""


def _nothing(_item: Item, _why: str) -> None:
    """Ignore an item that is no longer tracked."""


class Tracker:
    """Holds the open imports of a run.

    `on_move` is awaited with every item that reached another state, `on_trouble` is called with every item that is no
    longer tracked, and why: it has been in trouble for `stuck_after_s` seconds.
    """

    def __init__(
        self,
        *,
        api: ImportsApi,
        transitions: Transitions,
        on_move: Callable[[Item], Awaitable[None]] = _no_listener,
        on_trouble: Callable[[Item, str], None] = _nothing,
        untaken: UntakenUploads | None = None,
        longest_pause_s: float = LONGEST_PAUSE_S,
        missing_after: int = MISSING_AFTER_PASSES,
        stuck_after_s: float = 0.0,
    ) -> None:
        self._api = api
        self._transitions = transitions
        self._on_move = on_move
        self._on_trouble = on_trouble
        self._longest_pause_s = longest_pause_s
        self._missing_after = missing_after
        self._open: dict[str, Item] = {}
        self._unseen: dict[str, int] = {}
        self._absence = Absence(api=api, transitions=transitions)
        self._patience = Patience(stuck_after_s)
        self._untaken = untaken
        self._refused_passes = 0
        self._news = asyncio.Event()
        self._quiet_passes = 0
        self._listing = asyncio.Lock()
        self._pass = Pass()
        self.last_whole: RemoteImport | None = None
        """The last import that was applied after a retrieve, with every field."""

    @property
    def is_overtaken(self) -> bool:
        """Return whether another process has moved an item first since the last pass."""
        return self._pass.others_moved > 0

    def watch(self, item: Item) -> None:
        """Track the import of an item from now on."""
        if item.import_id is None:
            return
        self._open[item.import_id] = item
        self._quiet_passes = 0
        self._news.set()

    async def run(self) -> None:
        """List repeatedly until canceled. Raises AuthRefused and StorageFull."""
        while True:
            await self.pause(FIRST_LIST_S)
            await self.list_or_retry()

    async def pause(self, shortest_s: float) -> None:
        """Wait until there is an open import, then at least `shortest_s`, longer after each list without news."""
        if not self._open:
            self._news.clear()
            await self._news.wait()
        await asyncio.sleep(backoff_s(self._quiet_passes, base_s=shortest_s, cap_s=self._longest_pause_s))
        self._quiet_passes = min(self._quiet_passes + 1, _MAX_DOUBLINGS)

    async def list_or_retry(self) -> Pass:
        """List once, and leave temporary errors to the next list. Raises AuthRefused and StorageFull."""
        try:
            await self.list_once()
        except StorageFull:
            raise
        except Stopped:
            logger.info("the list was not read to its end before the stop")
        except (TransientError, RequestInvalid) as error:
            self._refused_passes += isinstance(error, RequestInvalid)
            if self._refused_passes >= REFUSED_PASSES:
                raise
            logger.warning("list failed; it will be retried", extra={"error": type(error).__name__})
        else:
            self._refused_passes = 0
        return self._finished_pass()

    def _finished_pass(self) -> Pass:
        """Return what was found since the last call, including what a pass found that failed midway."""
        finished, self._pass = self._pass, Pass()
        return finished

    async def list_once(self) -> None:
        """List once, as far back as the oldest open import, and apply what changed. Raises TransientError."""
        async with self._listing:
            await self._list()

    async def read(self, ledger: ItemStore) -> Pass:
        """Read the items of all open imports from a ledger that others also write, and continue from there.

        Raises TransientError.
        """
        async with self._listing:
            known = list(self._open.values())
            for start in range(0, len(known), _READ_AT_ONCE):
                some = known[start : start + _READ_AT_ONCE]
                current = await ledger.look_up(some[0].batch_id, [item.source for item in some])
                for item in some:
                    await self._compare(item, current.get(item.source))
            return self._finished_pass()

    async def _compare(self, known: Item, current: Item | None) -> None:
        is_open = self._open.get(known.bound_id) is known
        if is_open and current is not None and current.revision > known.revision:
            self._transitions.observe_remote(known, current)
            self._pass.others_moved += current.state is not known.state
            await self._keep_or_report(known, current)

    async def _move(self, item: Item, state: ItemState, *, reason: str, **changes: Unpack[ItemChanges]) -> Item:
        """Move an item, and continue from there; if another process was faster, from where the item is now.

        If the other process only noted another status, the item is moved anyway.
        """
        known = item
        for _ in range(_MAX_TRIES):
            try:
                item = await self._transitions.advance(item, state, reason=reason, **changes)
            except ItemOvertaken as error:
                item = error.current
                if not _is_unmoved(known, item):
                    self._pass.others_moved += 1
                    break
            else:
                self._pass.moved += item.state is not known.state
                break
        await self._keep_or_report(known, item)
        return item

    async def _keep_or_report(self, known: Item, current: Item) -> None:
        """Keep tracking an item of which at most the status changed; report any other."""
        self._quiet_passes = 0
        if _is_unmoved(known, current):
            self._open[known.bound_id] = current
        else:
            self._open.pop(known.bound_id, None)
            await self._on_move(current)

    async def _list(self) -> None:
        expected = dict(self._open)
        async for page in pages_since(self._api, self._oldest()):
            seen = [remote for remote in page if expected.pop(remote.import_id, None) is not None]
            for remote in seen:
                self._unseen.pop(remote.import_id, None)
            await handle_all(self._applied, seen, at_once=_AT_ONCE)
            if not expected:
                return
        await handle_all(self._not_listed, list(expected), at_once=_AT_ONCE)

    async def _applied(self, remote: RemoteImport) -> None:
        """Apply what the list says; an import that cannot be read for a long time is left to a later run."""
        try:
            await self.apply(remote)
        except (StorageFull, Stopped):
            raise
        except (TransientError, RequestInvalid) as error:
            logger.warning(
                "import could not be read; it will be retried",
                extra={"import_id": remote.import_id, "error": type(error).__name__},
            )
            self._be_patient(remote.import_id, f"its import cannot be read: {error}")

    def _be_patient(self, import_id: str, why: str, *, pause_s: float = FIRST_PAUSE_S) -> None:
        """Note that an import is in trouble; stop tracking it once it has been for too long."""
        if self._patience.pause_s(import_id, shortest_s=pause_s) is None:
            self._give_up(import_id, why)

    def _give_up(self, import_id: str, why: str) -> None:
        if item := self._open.pop(import_id, None):
            self._on_trouble(item, why)

    async def check(self, item: Item) -> Item:
        """Retrieve the import of one item, apply what it says, and return the item as it is then.

        Raises TransientError.
        """
        import_id = item.bound_id
        self._open[import_id] = item
        try:
            remote = await repeat_read(lambda: self._api.retrieve(import_id))
        except ImportNotFound:
            return await self._not_found(item)
        self._patience.forget(import_id)
        return await self.apply(remote, is_whole=True) or item

    async def apply(self, remote: RemoteImport, *, is_whole: bool = False) -> Item | None:
        """Move the item of an import by one status; duplicates and late arrivals change nothing.

        `is_whole` says that `remote` was retrieved, so it has every field. Returns the item as it is then,
        None if the import is not tracked.
        """
        if is_whole:
            self.last_whole = remote
        item = self._open.get(remote.import_id)
        if item is None:
            return None
        if is_suspected(item):
            item = await self._found(item)
            if self._open.get(remote.import_id) is not item:
                return item
        if self._untaken is not None and is_untaken(item, remote.status):
            return await self._wait_for_file(item, self._untaken, is_whole=is_whole)
        return await self._applied_status(item, remote, is_whole=is_whole)

    async def _applied_status(self, item: Item, remote: RemoteImport, *, is_whole: bool) -> Item:
        state = STATE_OF_STATUS.get(remote.status)
        if _is_old_news(item, state, remote.status) or (item.is_dismissed and state is not _S.SUCCEEDED):
            return item
        if state is None or state is _S.PROCESSING:
            return await self._move(item, item.state, reason=f"status {remote.status}", status=remote.status)
        if state is _S.SUCCEEDED or is_whole:
            return await self._end(item, state, remote)
        return await self._end_with_details(item)

    async def _end_with_details(self, item: Item) -> Item:
        """Retrieve the fields that a list lacks; the status may be newer than the list's."""
        import_id = item.bound_id
        if not self._patience.is_due(import_id):
            return item
        try:
            remote = await repeat_read(lambda: self._api.retrieve(import_id))
        except ImportNotFound:
            return await self._not_found(item)
        self._patience.forget(import_id)
        state = STATE_OF_STATUS.get(remote.status)
        if state in (_S.SUCCEEDED, _S.FAILED, _S.NEEDS_REVIEW) and state is not item.state:
            return await self._end(item, state, remote)
        return item

    async def _wait_for_file(self, item: Item, untaken: UntakenUploads, *, is_whole: bool) -> Item:
        """Wait for the vendor to take the file from storage; fail the item once that can no longer happen."""
        wait = untaken.seen(item)
        if wait is Wait.SHORT:
            return item
        if not is_whole:
            return await self.check(item)
        if wait is Wait.TOO_LONG:
            self._give_up(item.bound_id, NOT_TAKEN)
            return item
        return await self._move(
            item,
            _S.FAILED,
            reason=UPLOAD_NOT_TAKEN,
            status=ImportStatus.AWAITING_UPLOAD,
            error_code=UPLOAD_NOT_TAKEN,
            error_message=f"{NOT_TAKEN}, and its upload url has ended",
        )

    async def _end(self, item: Item, state: ItemState, remote: RemoteImport) -> Item:
        code, message = _trouble(state, remote)
        return await self._move(
            item,
            state,
            reason=f"status {remote.status}",
            status=remote.status,
            review_url=remote.review_url if state is _S.NEEDS_REVIEW else None,
            error_code=code,
            error_message=message,
        )

    async def _not_listed(self, import_id: str) -> None:
        """Retrieve an import that is missing from several complete lists, or from one if it is suspected to be gone."""
        self._unseen[import_id] = self._unseen.get(import_id, 0) + 1
        item = self._open.get(import_id)
        if item is None or item.is_dismissed or not self._patience.is_due(import_id):
            return
        if self._unseen[import_id] < self._missing_after and not is_suspected(item):
            return
        self._unseen.pop(import_id)
        try:
            await self.check(item)
        except (StorageFull, Stopped):
            raise
        except (TransientError, RequestInvalid) as error:
            self._be_patient(import_id, f"its import cannot be read: {error}")

    async def _not_found(self, item: Item) -> Item:
        """Collect evidence that an import is gone; until there is enough, its item stays as it is."""
        try:
            finding = await self._absence.of_import(item)
        except ItemOvertaken as error:
            await self._keep_or_report(item, error.current)
            return error.current
        if finding.is_proved:
            return await self._move(
                finding.item,
                _S.FAILED,
                reason=IMPORT_MISSING,
                error_code=IMPORT_MISSING,
                error_message="the vendor no longer has the import",
            )
        self._open[item.bound_id] = finding.item
        self._be_patient(item.bound_id, finding.sentence, pause_s=PAUSE_S)
        return finding.item

    async def _found(self, item: Item) -> Item:
        """Drop the evidence that an import is gone."""
        try:
            current = await self._absence.found(item)
        except ItemOvertaken as error:
            current = error.current
        await self._keep_or_report(item, current)
        return current

    def _oldest(self) -> datetime | None:
        dates = [item.created_at for item in self._open.values()]
        return None if any(date is None for date in dates) else min(filter(None, dates), default=None)


def _is_old_news(item: Item, state: ItemState | None, status: str) -> bool:
    """Return whether a status, with the state it stands for, changes nothing about an item."""
    if status == item.status and state in (None, item.state):
        return True
    if state is _S.PROCESSING:
        return item.state is not _S.PROCESSING
    return status == ImportStatus.AWAITING_UPLOAD or state is item.state


def _is_unmoved(known: Item, current: Item) -> bool:
    """Return whether at most the status of an item differs from what was known."""
    return current.state is known.state and current.import_id == known.import_id


def _trouble(state: ItemState, remote: RemoteImport) -> tuple[str | None, str | None]:
    """Return an error code and a sentence for an import that failed or needs review; None for one that succeeded."""
    if state is _S.SUCCEEDED:
        return None, None
    messages = [str(error.get("message") or error.get("type") or "") for error in remote.import_errors]
    named = [message for message in messages if message]
    more = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
    if state is _S.FAILED:
        return "import_failed", (named[0] + more) if named else "the vendor gave no reason"
    return "needs_review", (named[0] + more) if named else "a person must finish this import"
