"""The submit stage, second half: bound import -> data at the vendor, once.

An upload whose outcome is unknown is repeated only with `If-None-Match: *`. If storage refuses that header, it is
repeated only after the import has shown no data for `settle_s` seconds. An import whose URL has expired and cannot be
renewed is given up after a fence: the time by which no upload to it can still be on its way.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runner.errors import (
    ConditionUnsupported,
    ImportNotFound,
    ItemRejected,
    OutcomeUnknown,
    StorageFull,
    TransientError,
    UploadRefused,
    UrlExpired,
)
from runner.events import BytesUploaded
from runner.models import STATE_OF_STATUS, ImportStatus, Item, ItemState, RemoteImport
from runner.retry import delay_s, repeat_read

if TYPE_CHECKING:
    import random

    from runner.config.options import RunOptions
    from runner.dromo.clock import VendorTime
    from runner.events import EventHook
    from runner.protocols import Clock, ImportsApi, Prepared, Storage
    from runner.stages.transitions import Transitions
    from runner.stop import StopSignal

logger = logging.getLogger(__name__)

URL_LIFE = timedelta(minutes=30)
URL_MARGIN = timedelta(minutes=2)
_CLOCK_SKEW = timedelta(seconds=10)
_REMEMBERED_URLS = 256

_S = ItemState
_SIGNED_AT = re.compile(r"[?&]X-Amz-Date=(\d{8}T\d{6}Z)")
_LIFE_S = re.compile(r"[?&]X-Amz-Expires=(\d+)")


def url_end(url: str, *, fallback: datetime) -> datetime:
    """Return when a presigned URL expires: as its SigV4 query says, or 30 minutes after `fallback`."""
    signed, life = _SIGNED_AT.search(url), _LIFE_S.search(url)
    if signed is None or life is None:
        return fallback + URL_LIFE
    signed_at = datetime.strptime(signed.group(1), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed_at + timedelta(seconds=int(life.group(1)))


class Uploader:
    """Uploads data to bound imports; `bytes_uploaded` counts what storage acknowledged."""

    def __init__(
        self,
        *,
        api: ImportsApi,
        storage: Storage,
        transitions: Transitions,
        options: RunOptions,
        clock: Clock,
        vendor_time: VendorTime,
        rng: random.Random,
        stop: StopSignal,
        emit: EventHook,
    ) -> None:
        self._api = api
        self._storage = storage
        self._transitions = transitions
        self._options = options
        self._clock = clock
        self._vendor_time = vendor_time
        self._rng = rng
        self._stop = stop
        self._emit = emit
        self._urls: OrderedDict[str, str] = OrderedDict()
        self._conditional = True
        self.bytes_uploaded = 0

    def remember_url(self, remote: RemoteImport) -> None:
        """Keep an upload URL in memory, never in the ledger."""
        if remote.upload_url:
            self._urls[remote.import_id] = remote.upload_url
            while len(self._urls) > _REMEMBERED_URLS:
                self._urls.popitem(last=False)

    async def advance_if_arrived(self, item: Item, *, may_have_data: bool = True) -> Item | None:
        """Retrieve the import of a `created` item; return the item `processing` if its data has arrived, else None.

        If the import is gone, return the item `failed` if data may have been sent to it (`may_have_data`), else
        `queued`. Raises TransientError.
        """
        remote = await self._retrieve(item)
        if remote is None:
            return await self._missing(item, may_have_data=may_have_data)
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
        """Upload the data to the item's import; return the item `processing`, terminal, `queued`, or still `created`.

        `may_have_data`: an upload of an earlier run may have arrived unnoticed, or may still be on its way.
        """
        settled = False
        for attempt in range(1, self._options.upload_attempts + 1):
            if self._stop.requested and attempt > 1:
                break
            conditional = self._conditional
            if may_have_data and not conditional and not settled:
                if await self._stop.sleep(self._options.settle_s):
                    break
                settled = True
            try:
                return await self._attempt(item, prepared, may_have_data=may_have_data, conditional=conditional)
            except ConditionUnsupported:
                self._conditional = False
            except StorageFull:
                raise
            except UrlExpired:
                self._urls.pop(item.bound_id, None)
            except TransientError as error:
                if isinstance(error, OutcomeUnknown):
                    may_have_data, settled = True, False
                await self._pause(item, attempt, error)
        return item

    async def _attempt(self, item: Item, prepared: Prepared, *, may_have_data: bool, conditional: bool) -> Item:
        """Try once; an error that no other try can change ends the item."""
        try:
            return await self._try(item, prepared, may_have_data=may_have_data, conditional=conditional)
        except (ItemRejected, UploadRefused) as error:
            refusal = error
        looked = await (
            self.advance_if_arrived_late(item) if may_have_data else self.advance_if_arrived(item, may_have_data=False)
        )
        if looked is not None:
            return looked
        if isinstance(refusal, ItemRejected):
            return await self._reject(item, refusal)
        return await self._fail(item, "upload_refused", str(refusal))

    async def _try(self, item: Item, prepared: Prepared, *, may_have_data: bool, conditional: bool) -> Item:
        """Send the data once; without `conditional`, retrieve the import first if it may have data."""
        if may_have_data and not conditional and (arrived := await self.advance_if_arrived(item)) is not None:
            return arrived
        url = self._usable_url(item)
        if url is None:
            renewed = await self._renew(item, may_have_data=may_have_data)
            if isinstance(renewed, Item):
                return renewed
            url = renewed
        if prepared.body is None:
            raise UploadRefused("the item has no file to upload")
        stored = await self._storage.put(url, prepared.body, only_if_absent=conditional)
        if stored:
            self.bytes_uploaded += prepared.size_bytes
            self._emit(BytesUploaded(source=item.source, count=prepared.size_bytes))
        reason = "uploaded" if stored else "the data had arrived"
        return await self.record_arrival(item, ImportStatus.PENDING, reason=reason)

    def _usable_url(self, item: Item) -> str | None:
        url = self._urls.get(item.bound_id)
        if url is None:
            return None
        end = url_end(url, fallback=item.created_at or self._vendor_time.now())
        return url if end - self._vendor_time.now() > URL_MARGIN else None

    async def _renew(self, item: Item, *, may_have_data: bool) -> str | Item:
        """Return a fresh upload URL, or the item as it is now if there is none."""
        remote = await self._retrieve(item)
        if remote is None:
            return await self._missing(item, may_have_data=may_have_data)
        if remote.status != ImportStatus.AWAITING_UPLOAD:
            return await self.record_arrival(item, remote.status, reason="the data had arrived")
        self.remember_url(remote)
        url = self._usable_url(item)
        return url if url is not None else await self._release(item, remote, may_have_data=may_have_data)

    async def _release(self, item: Item, remote: RemoteImport, *, may_have_data: bool) -> Item:
        """Give up the import for good and queue the item, once no upload to the import can still be on its way."""
        end = url_end(remote.upload_url or "", fallback=item.created_at or self._vendor_time.now())
        fence = end + timedelta(seconds=self._options.foreign_upload_s + self._options.settle_s) + 2 * _CLOCK_SKEW
        wait_s = (fence - self._vendor_time.now()).total_seconds()
        if await self._stop.sleep(max(wait_s, 0.0)):
            return item
        if (arrived := await self.advance_if_arrived(item, may_have_data=may_have_data)) is not None:
            return arrived
        logger.warning("import given up", extra={"item": item.source, "import_id": item.import_id})
        return await self._transitions.advance(
            item, _S.QUEUED, reason=f"the upload url of import {item.import_id} expired", import_id=None, status=None
        )

    async def _missing(self, item: Item, *, may_have_data: bool) -> Item:
        """Queue an item whose import is gone and never got data; fail one whose data may have been imported."""
        if may_have_data:
            return await self._fail(item, "import_missing", "the vendor no longer has the import")
        return await self._transitions.advance(
            item, _S.QUEUED, reason=f"import {item.import_id} is gone; it never had data", import_id=None, status=None
        )

    async def _retrieve(self, item: Item) -> RemoteImport | None:
        import_id = item.bound_id
        try:
            return await repeat_read(lambda: self._api.retrieve(import_id))
        except ImportNotFound:
            return None

    async def record_arrival(self, item: Item, status: str, *, reason: str) -> Item:
        """Record that the import of a `created` item has its data, as its status shows.

        The item becomes `processing` even if the import has ended: tracking reads what belongs to an end.
        """
        state = STATE_OF_STATUS.get(status, _S.PROCESSING)
        known = status if state is _S.PROCESSING else ImportStatus.RUNNING
        return await self._transitions.advance(
            item, _S.PROCESSING, reason=reason, status=known, uploaded_at=self._clock.now()
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
