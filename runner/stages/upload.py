"""The submit stage, second half: bound import -> data at the vendor, once.

An upload whose outcome is unknown is repeated only if a retrieve shows that the import has no data, and only with
`If-None-Match: *`. If storage refuses that header, it is repeated only after the import has shown no data for
`settle_s` seconds. An import whose URL has expired and cannot be renewed is given up after a fence: the time by which
no upload to it can still be on its way.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.errors import (
    BulkheadError,
    ConditionUnsupported,
    ImportNotFound,
    ItemRejected,
    NotYet,
    OutcomeUnknown,
    StorageFull,
    TransientError,
    UploadRefused,
    UrlExpired,
)
from runner.events import BytesUploaded
from runner.models import IMPORT_MISSING, STATE_OF_STATUS, ImportStatus, Item, ItemState
from runner.retry import delay_s, repeat_read
from runner.stages.absence import PAUSE_S, is_suspected
from runner.stages.upload_urls import URL_LIFE, UploadUrls

if TYPE_CHECKING:
    import random

    from runner.config.options import RunOptions
    from runner.dromo.clock import VendorTime
    from runner.events import EventHook
    from runner.models import RemoteImport
    from runner.protocols import ImportsApi, Prepared, Storage
    from runner.stages.absence import Absence
    from runner.stages.transitions import Transitions
    from runner.stop import StopSignal

logger = logging.getLogger(__name__)

_CLOCK_SKEW = timedelta(seconds=10)
_VISIBLE_AFTER_S = 3.0
"""How long an upload of unknown outcome may usually take to show in its import, if storage takes conditions."""

_STORAGE_TRIES_AGAIN_S = 10.0
_EXPIRED_MOST = 2
"""So many urls in a row are tried that storage calls expired; then the item waits."""

_REFUSED_AGAIN_AFTER_S = (2.0, 10.0, 30.0)
"""The pauses before an upload is repeated that storage refused but may take later; the refusal after them is final."""

_REFUSED_FOR_NOW = "storage refused the upload for now"
"""Reason of the history entry of each such refusal, so that a later run or another function counts on."""

_S = ItemState


@dataclass(slots=True)
class _Visit:
    """The tries to upload the data of one item, one after the other."""

    item: Item
    prepared: Prepared
    has_settled: bool = False
    conditional: bool = True
    """Whether the next upload is sent with a condition: storage may have refused another item's since the wait."""
    was_sent: bool = False
    """Whether an upload was begun, however it ended."""
    expired: set[str] = field(default_factory=set)
    """The URLs that storage has called expired."""
    trouble: BulkheadError | None = None
    """What the last try at storage ended with."""


class Uploader:
    """Uploads data to bound imports; `bytes_uploaded` counts what storage acknowledged."""

    def __init__(
        self,
        *,
        api: ImportsApi,
        storage: Storage,
        transitions: Transitions,
        absence: Absence,
        options: RunOptions,
        vendor_time: VendorTime,
        rng: random.Random,
        stop: StopSignal,
        emit: EventHook,
    ) -> None:
        self._api = api
        self._storage = storage
        self._transitions = transitions
        self._absence = absence
        self._options = options
        self._vendor_time = vendor_time
        self._rng = rng
        self._stop = stop
        self._emit = emit
        self._urls = UploadUrls(vendor_time, is_shared=options.foreign_upload_s > 0)
        self._empty: set[str] = set()
        self._conditional = True
        self.bytes_uploaded = 0

    def remember_url(self, remote: RemoteImport, *, is_signed_now: bool) -> None:
        """Keep an upload URL in memory, never in the ledger; `is_signed_now`: it came with the create of its import."""
        self._urls.keep(remote, is_signed_now=is_signed_now)

    async def advance_if_arrived(self, item: Item) -> Item | None:
        """Retrieve the import of a `created` item; return the item `processing` if its data has arrived, else None.

        If the import is proved to be gone, return the item `failed` if data may have been sent to it, else `queued`.
        Raises TransientError, and NotYet while that is not proved.
        """
        remote = await self._retrieve(item)
        if isinstance(remote, Item):
            return remote
        if remote.status == ImportStatus.AWAITING_UPLOAD:
            return None
        return await self.record_arrival(item, remote.status, reason="the data had arrived")

    async def advance_if_arrived_late(self, item: Item) -> Item | None:
        """Do as `advance_if_arrived`, and try again after `settle_s`, in which a late upload becomes visible.

        Returns the item unchanged if a stop comes first. Raises TransientError.
        """
        if (arrived := await self.advance_if_arrived(item)) is not None:
            return arrived
        if await self._stop.sleep(self._options.settle_s):
            return item
        return await self.advance_if_arrived(item)

    async def upload(self, item: Item, prepared: Prepared, *, may_have_data: bool = False) -> Item:
        """Upload the data to the item's import; return the item `processing`, terminal, or `queued`.

        `may_have_data`: an upload of an earlier run may have arrived unnoticed, or may still be on its way, unless this
        object knows better. The item is still `created` after a stop. Raises NotYet if it must wait or if storage keeps
        failing, and TransientError if the API does.
        """
        if not may_have_data:
            self._empty.add(item.bound_id)
        visit = _Visit(item, prepared)
        for attempt in range(1, self._options.upload_attempts + 1):
            if (self._stop.requested and attempt > 1) or not await self._has_settled(visit):
                return item
            try:
                return await self._attempt(visit)
            except ConditionUnsupported:
                self._conditional, visit.has_settled = False, False
            except (StorageFull, NotYet):
                raise
            except TransientError as error:
                if visit.trouble is not error:
                    raise
                if not isinstance(error, UrlExpired):
                    await self._pause(item, attempt, error)
        if self._stop.requested:
            return item
        raise NotYet(f"no upload succeeded: {visit.trouble}", wait_s=_STORAGE_TRIES_AGAIN_S)

    async def _has_settled(self, visit: _Visit) -> bool:
        """Wait until an upload that may have been sent is visible: long if only that keeps it from being repeated.

        Returns False if a stop comes first.
        """
        may_have_data = self._may_have_data(visit.item)
        if not (may_have_data and visit.has_settled):
            visit.conditional = self._conditional
        if may_have_data and not visit.has_settled:
            wait_s = min(self._options.settle_s, _VISIBLE_AFTER_S) if visit.conditional else self._options.settle_s
            visit.has_settled = not await self._stop.sleep(wait_s)
            return visit.has_settled
        return True

    async def _attempt(self, visit: _Visit) -> Item:
        """Try once; an error that no other try can change ends the item."""
        item, may_have_data = visit.item, self._may_have_data(visit.item)
        try:
            return await self._try(visit)
        except (ItemRejected, UploadRefused) as error:
            refusal = error
        looked = await (self.advance_if_arrived_late(item) if may_have_data else self.advance_if_arrived(item))
        if looked is not None:
            return looked
        if isinstance(refusal, ItemRejected):
            return await self._reject(item, refusal)
        refusals = await self._refusals(item) if refusal.may_pass else len(_REFUSED_AGAIN_AFTER_S)
        if refusals < len(_REFUSED_AGAIN_AFTER_S):
            return await self._refused_for_now(item, refusal, pause_s=_REFUSED_AGAIN_AFTER_S[refusals])
        return await self._fail(item, "upload_refused", str(refusal))

    async def _refusals(self, item: Item) -> int:
        """Return how often storage has refused the upload to the item's import for now."""
        history = await self._transitions.history(item)
        return sum(entry.reason == _REFUSED_FOR_NOW and entry.import_id == item.import_id for entry in history)

    async def _refused_for_now(self, item: Item, refusal: UploadRefused, *, pause_s: float) -> Item:
        """Get a fresh url for a try after a pause. Return the item if its import is gone, else raise NotYet."""
        remote = await self._retrieve(item)
        if isinstance(remote, Item):
            return remote
        if remote.upload_url is not None:
            self.remember_url(remote, is_signed_now=False)
        await self._transitions.advance(item, item.state, reason=_REFUSED_FOR_NOW)
        raise NotYet(str(refusal), wait_s=pause_s, in_trouble=False) from refusal

    async def _try(self, visit: _Visit) -> Item:
        """Send the data once; retrieve the import before a repeat, because storage may silently ignore a condition."""
        item = visit.item
        is_repeat = visit.was_sent or self._may_have_data(item)
        if is_repeat and (arrived := await self.advance_if_arrived(item)) is not None:
            return arrived
        url = self._urls.usable(item)
        if url is None or url in visit.expired:
            renewed = await self._renew(visit)
            if isinstance(renewed, Item):
                return renewed
            url = renewed
        return await self._put(visit, url)

    async def _put(self, visit: _Visit, url: str) -> Item:
        item, prepared = visit.item, visit.prepared
        if prepared.body is None:
            raise UploadRefused("the item has no file to upload")
        visit.was_sent, was_empty = True, not self._may_have_data(item)
        self._empty.discard(item.bound_id)
        try:
            stored = await self._storage.put(url, prepared.body, only_if_absent=visit.conditional)
        except BulkheadError as error:
            if isinstance(error, UrlExpired):
                visit.expired.add(url)
            if isinstance(error, OutcomeUnknown):
                visit.has_settled = False
            elif was_empty:
                self._empty.add(item.bound_id)
            visit.trouble = error
            raise
        if stored:
            self.bytes_uploaded += prepared.size_bytes
            self._emit(BytesUploaded(source=item.source, count=prepared.size_bytes))
        return await self.record_arrival(item, item.status, reason="uploaded" if stored else "the data had arrived")

    async def _renew(self, visit: _Visit) -> str | Item:
        """Return a fresh upload URL, or the item as it is now if there is none. Raises NotYet."""
        item = visit.item
        remote = await self._retrieve(item)
        if isinstance(remote, Item):
            return remote
        if remote.status != ImportStatus.AWAITING_UPLOAD:
            return await self.record_arrival(item, remote.status, reason="the data had arrived")
        self.remember_url(remote, is_signed_now=False)
        url = self._urls.usable(item)
        if url is None or (url in visit.expired and self._urls.left(item) <= timedelta(0)):
            return await self._release(item)
        if not visit.expired or (url not in visit.expired and len(visit.expired) < _EXPIRED_MOST):
            return url
        raise NotYet(
            "storage says that the upload url has expired, and the vendor gives no url that storage takes",
            wait_s=_STORAGE_TRIES_AGAIN_S,
        )

    async def _release(self, item: Item) -> Item:
        """Give up the import for good and queue the item, once no upload to the import can still be on its way."""
        fence = timedelta(seconds=self._options.foreign_upload_s + self._options.settle_s) + 2 * _CLOCK_SKEW
        left = min(self._urls.left(item), URL_LIFE) + fence
        if left > timedelta(0):
            raise NotYet(
                f"import {item.import_id} has no usable upload url; it is given up once no upload can be on its way",
                wait_s=left.total_seconds(),
                in_trouble=False,
            )
        if (arrived := await self.advance_if_arrived(item)) is not None:
            return arrived
        logger.warning("import given up", extra={"item": item.source, "import_id": item.import_id})
        return await self._transitions.advance(
            item, _S.QUEUED, reason=f"the upload url of import {item.import_id} expired", import_id=None, status=None
        )

    def _may_have_data(self, item: Item) -> bool:
        """Return whether an upload to the item's import may have arrived, or may still be on its way."""
        return item.bound_id not in self._empty

    async def _missing(self, item: Item) -> Item:
        """Queue an item whose import is gone and never got data; fail one whose data may have been imported."""
        if self._may_have_data(item):
            return await self._fail(item, IMPORT_MISSING, "the vendor no longer has the import")
        return await self._transitions.advance(
            item,
            _S.QUEUED,
            reason=f"import {item.import_id} is gone; it never had data",
            import_id=None,
            status=None,
            error_code=None,
            error_message=None,
        )

    async def _retrieve(self, item: Item) -> RemoteImport | Item:
        """Return the import, or if it is proved to be gone, the item as it is then. Raises NotYet while it is not."""
        import_id = item.bound_id
        try:
            remote = await repeat_read(lambda: self._api.retrieve(import_id))
        except ImportNotFound:
            if self._stop.requested:
                raise NotYet("whether the import is gone is left to a later run", wait_s=PAUSE_S) from None
            finding = await self._absence.of_import(item)
            if finding.is_proved:
                return await self._missing(finding.item)
            raise NotYet(finding.sentence, wait_s=PAUSE_S) from None
        if is_suspected(item):
            await self._absence.found(item)
            raise NotYet("the vendor finds the import again", wait_s=0.0, in_trouble=False)
        return remote

    async def record_arrival(self, item: Item, status: str | None, *, reason: str) -> Item:
        """Record that the import of a `created` item has its data; `status` is the vendor's latest word.

        The item becomes `processing` even if the import has ended: tracking reads what belongs to an end.
        """
        is_open = STATE_OF_STATUS.get(status or "", _S.PROCESSING) is _S.PROCESSING
        return await self._transitions.advance(
            item,
            _S.PROCESSING,
            reason=reason,
            status=status if is_open else item.status,
            uploaded_at=self._vendor_time.now(),
        )

    async def _pause(self, item: Item, attempt: int, error: TransientError) -> None:
        logger.warning(
            "upload failed; it will be retried",
            extra={"item": item.source, "import_id": item.import_id, "error": type(error).__name__},
        )
        await self._stop.sleep(delay_s(attempt, self._rng))

    async def _reject(self, item: Item, error: ItemRejected) -> Item:
        return await self._transitions.advance(
            item, _S.REJECTED, reason=error.code, error_code=error.code, error_message=str(error)
        )

    async def _fail(self, item: Item, code: str, message: str) -> Item:
        return await self._transitions.advance(item, _S.FAILED, reason=code, error_code=code, error_message=message)
