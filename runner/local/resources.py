"""Resources: what the commands of one `Bulkhead` open on first use, share, and close once."""

from __future__ import annotations

import asyncio
import random
import shlex
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast

from aiolimiter import AsyncLimiter

from runner import identity
from runner.aws.client import aws_extra
from runner.aws.s3 import is_s3, open_s3
from runner.clock import SystemClock
from runner.dromo.clock import VendorTime
from runner.dromo.rate_limited import RateLimitedApi
from runner.dromo.round_trips import RoundTrips
from runner.errors import ConfigError, LedgerError, StorageFull
from runner.events import EventHook, ignore
from runner.ledger.location import LedgerTable
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.ledger.sqlite.lockfile import is_locked, lock_path
from runner.local.batch_lease import is_running
from runner.local.exposure import exposed
from runner.local.source_lock import SourceLock
from runner.permissions import PRIVATE
from runner.quota.pacer import CreatePacer
from runner.quota.sqlite import SqliteSlots
from runner.sinks import open_sink
from runner.sources import open_one, open_source
from runner.sources.roots import root_of

if TYPE_CHECKING:
    from types import TracebackType

    from runner.aws.s3 import S3Client
    from runner.config.settings import Settings
    from runner.dromo.client import HeadlessClient
    from runner.dromo.connections import Connections
    from runner.dromo.storage import HttpStorage
    from runner.ledger.dynamodb.table import DynamoTable
    from runner.ledger.leases import Leases
    from runner.ledger.protocol import PortableLedger
    from runner.models import Batch
    from runner.protocols import Clock, Sink
    from runner.quota.slots import SlotStore
    from runner.sources import LocalFiles, SourceSpec
    from runner.sources.s3 import S3Source

DEFAULT_OUT = "bulkhead-out"
"""The directory that has the results of each batch that names none, in the working directory; only its owner enters."""

P = ParamSpec("P")
T = TypeVar("T")


def _opened_once(
    opening: Callable[Concatenate[Resources, P], Awaitable[T]],
) -> Callable[Concatenate[Resources, P], Coroutine[Any, Any, T]]:
    """Open once for each set of arguments: later calls, even concurrent ones, get what the first call opened."""

    @wraps(opening)
    async def opened(resources: Resources, /, *args: P.args, **options: P.kwargs) -> T:
        key = (opening.__name__, *args)
        async with resources.locks[key]:
            if key not in resources.opened:
                resources.opened[key] = await opening(resources, *args, **options)
            return cast("T", resources.opened[key])

    return opened


def connections_of(settings: Settings) -> Connections:
    """Return how settings reach the vendor."""
    from runner.dromo.connections import Connections  # noqa: PLC0415 - aiohttp is slow to import and often not needed

    return Connections(proxy=settings.proxy, ca_file=settings.ca_file, unused_variable=settings.unused_proxy)


class Resources:
    """Opens the ledger, API, storage, and quota store of one set of settings; use as an async context manager.

    Each is opened once and shared by all callers, so quotas, bandwidth, and connections are limits of the object. All
    are closed when the context ends.
    """

    def __init__(self, settings: Settings, *, on_event: EventHook = ignore) -> None:
        """`on_event` gets a notice if others can read the files of the ledger."""
        self.settings = settings
        self._on_event = on_event
        self.clock = SystemClock()
        self.vendor_time = VendorTime(self.clock)
        self.round_trips = RoundTrips()
        self.rng = random.Random()  # noqa: S311 - jitter and slot tokens, no secrets
        self._stack = AsyncExitStack()
        self._ledger: PortableLedger | None = None
        self._ledger_is_writable = False
        self.opened: dict[tuple[object, ...], object] = {}
        self.locks: defaultdict[tuple[object, ...], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.clear()
        self._ledger = None
        await self._stack.__aexit__(kind, error, trace)

    @property
    def account(self) -> str:
        """A text that identifies endpoint and license key; see `identity.account`."""
        return identity.account(self.settings.api_url, self._license_key())

    @property
    def endpoint(self) -> str:
        return identity.endpoint(self.settings.api_url)

    @property
    def ledger_is_shared(self) -> bool:
        """Return whether other processes may move items. Raises ConfigError if `track_by` needs that but they can't."""
        is_table = isinstance(self.settings.ledger, LedgerTable)
        if self.settings.track_by == "ledger" and not is_table:
            raise ConfigError(
                "track_by = ledger needs a shared ledger, because webhooks cannot write to a file",
                hint="set --ledger dynamodb://TABLE, or remove track_by",
            )
        return is_table

    async def ledger(self, *, write: bool) -> PortableLedger:
        """Open the ledger; other processes may read it while a run writes. Raises ConfigError, LedgerError."""
        if self._ledger is not None and (self._ledger_is_writable or not write):
            return self._ledger
        path = self.settings.ledger
        if isinstance(path, LedgerTable):
            table = await self.table(path)
            from runner.ledger.dynamodb.ledger import DynamoLedger  # noqa: PLC0415 - most runs keep their ledger in a file

            if self._ledger is None:
                self._ledger, self._ledger_is_writable = DynamoLedger(table, now=self.clock.now), True
            return self._ledger
        if not write and not path.exists():
            raise ConfigError(f"there is no ledger at {path}", hint="start with `bulkhead run`, or set --ledger")
        if self._ledger is None and (notice := exposed(self.settings)):
            self._on_event(notice)
        ledger = SqliteLedger.open(path, now=self.clock.now, read_only=not write, permissions=self.settings.ledger_mode)
        self._stack.push_async_callback(ledger.close)
        self._ledger, self._ledger_is_writable = ledger, write
        return ledger

    @_opened_once
    async def table(self, place: LedgerTable) -> DynamoTable:
        """Open the table of a shared ledger. Raises ConfigError if AWS is not configured."""
        with aws_extra():
            from runner.ledger.dynamodb.table import DynamoTable  # noqa: PLC0415 - botocore is slow to import

        settings = self.settings
        return await self._stack.enter_async_context(
            DynamoTable.open(place.name, endpoint_url=settings.aws_endpoint_url, region_name=settings.aws_region)
        )

    async def leases(self) -> Leases | None:
        """Return the leases of a shared ledger; None for a file, which only one process can write."""
        place = self.settings.ledger
        if not isinstance(place, LedgerTable):
            return None
        table = await self.table(place)
        from runner.ledger.dynamodb.leases import DynamoLeases  # noqa: PLC0415 - as above

        return DynamoLeases(table, now=self.clock.now)

    async def source_lock(self, spec: SourceSpec) -> SourceLock | None:
        """Lock a source for a run; None with a shared ledger. Raises SourceLocked, LedgerError, StorageFull."""
        place, store = self.settings.ledger, self.settings.quota_store
        if isinstance(place, LedgerTable):
            return None
        root = await asyncio.to_thread(root_of, spec, now=self.clock.now())
        directory = store.with_name(f"{store.name}.sources") / self.account
        return await SourceLock.take(
            directory, root, ledger=place.absolute(), now=self.clock.now(), permissions=self.settings.ledger_mode
        )

    def check_files(self, lock: SourceLock | None) -> Callable[[], None] | None:
        """Return what raises LedgerReplaced if a ledger's file or a lock is gone; None with a shared ledger."""
        ledger = self._ledger
        if not isinstance(ledger, SqliteLedger):
            return None

        def check() -> None:
            ledger.check()
            if lock is not None:
                lock.check()

        return check

    def keep_ledger(self, batch_id: str) -> tuple[Path | None, str]:
        """Copy a ledger whose file is gone to a new file beside it.

        Returns its path, None if there is no copy, and what a person should do to continue the batch.
        """
        place, resume = self.settings.ledger, f"`bulkhead resume {batch_id}`"
        assert isinstance(self._ledger, SqliteLedger)
        assert isinstance(place, Path)
        name = f"{place.stem}-kept-{self.clock.now():%Y%m%d-%H%M%S}{place.suffix}"
        kept = place.absolute().with_name(name)
        stopped = "another run could start beside this one, so this run has stopped"
        try:
            if not self._ledger.keep(kept):
                return None, f"{stopped}; make sure that no other run is left, then continue with {resume}"
        except (LedgerError, StorageFull) as error:
            return None, f"{stopped}; the ledger's content could not be kept ({error}), but the manifest lists it"
        resume = f"`bulkhead resume {batch_id} --ledger {shlex.quote(str(kept))}`"
        return kept, (
            f"{stopped}; the ledger's content is in {kept}: make sure that no other run is left, then continue with "
            f"{resume}"
        )

    async def is_running(self, batch_id: str) -> bool:
        """Return whether a run works on the batch; for a file, whether a process has the ledger open for writing."""
        place = self.settings.ledger
        if not isinstance(place, LedgerTable):
            return is_locked(lock_path(place))
        leases = await self.leases()
        return leases is not None and await is_running(leases, batch_id)

    @_opened_once
    async def client(self) -> HeadlessClient:
        """Open the API. Raises ConfigError if there is no license key."""
        from runner.dromo.client import HeadlessClient  # noqa: PLC0415 - aiohttp is slow to import and often not needed

        return await self._stack.enter_async_context(
            HeadlessClient(
                self.settings.api_url,
                self._license_key(),
                timeout_s=self.settings.request_timeout_s,
                vendor_time=self.vendor_time,
                round_trips=self.round_trips,
                review_hosts=self.settings.review_hosts,
                connections=connections_of(self.settings),
            )
        )

    @_opened_once
    async def api(self) -> RateLimitedApi:
        """Open the API behind the quotas of polls and lists. Raises ConfigError if there is no license key."""
        settings = self.settings
        return RateLimitedApi(
            await self.client(),
            poll_count=settings.poll_quota.count,
            poll_per_s=settings.poll_quota.per_s,
            lists_per_minute=settings.list_quota.per_minute,
        )

    @_opened_once
    async def s3(self) -> S3Client:
        """Open a client of S3. Raises ConfigError if the `aws` extra is not installed."""
        settings = self.settings
        opening = open_s3(endpoint_url=settings.aws_endpoint_url, region_name=settings.aws_region)
        return await self._stack.enter_async_context(opening)

    async def source(self, spec: SourceSpec) -> LocalFiles | S3Source:
        """Open the source that a spec describes. Raises ConfigError."""
        s3 = await self.s3() if spec.is_in_s3 else None
        return open_source(spec, now=self.clock.now(), s3=s3)

    async def one(self, spec: SourceSpec, path: str) -> LocalFiles | S3Source:
        """Open a source with only one of the files that a spec describes; see `open_one`."""
        s3 = await self.s3() if spec.is_in_s3 else None
        return open_one(spec, path, now=self.clock.now(), s3=s3)

    async def sink(self, batch: Batch) -> Sink:
        """Open the sink of a batch, a path or an `s3://` url. Raises ConfigError."""
        mode = self.settings.out_mode
        if is_s3(batch.out):
            return open_sink(batch.out, s3=await self.s3())
        is_default = Path(batch.out).parts[-2:] == (DEFAULT_OUT, batch.batch_id)
        return open_sink(batch.out, root=mode or (PRIVATE if is_default else None), permissions=mode)

    @_opened_once
    async def storage(self) -> HttpStorage:
        """Open a session for presigned URLs, which never sends the license key."""
        from runner.dromo.storage import HttpStorage  # noqa: PLC0415 - as above

        settings, limit = self.settings, self.settings.bwlimit
        return await self._stack.enter_async_context(
            HttpStorage(
                settings.api_url,
                allow_hosts=settings.storage_hosts,
                stall_s=settings.stall_s,
                slowest_per_s=settings.slowest_per_s,
                answer_bytes=settings.max_upload_answer,
                result_bytes=settings.max_result,
                bwlimit=AsyncLimiter(limit, 1) if limit else None,
                connections=connections_of(self.settings),
            )
        )

    @_opened_once
    async def pacer(self) -> CreatePacer:
        """Open the create slots: shared by all processes of this machine, or by all users of a shared ledger."""
        store: SlotStore
        clock: Clock = self.clock
        guard_s = self.settings.shared_quota_guard_s
        if isinstance(self.settings.ledger, LedgerTable):
            table = await self.table(self.settings.ledger)
            from runner.quota.dynamodb import SHARED_GUARD_S, DynamoSlots  # noqa: PLC0415 - as above

            store = clock = DynamoSlots(table, now=self.clock.now)
            guard_s = max(guard_s or 0.0, SHARED_GUARD_S)
        else:
            store = SqliteSlots(self.settings.quota_store, permissions=self.settings.ledger_mode)
        self._stack.push_async_callback(store.close)
        return CreatePacer(
            store,
            quota_key=self.account,
            quota=self.settings.create_quota,
            clock=clock,
            rng=self.rng,
            guard_s=guard_s,
            round_trips=self.round_trips,
            request_timeout_s=self.settings.request_timeout_s,
        )

    def _license_key(self) -> str:
        key = self.settings.license_key
        if key is None:
            raise ConfigError(
                "there is no license key",
                hint="set DROMO_LICENSE_KEY to a backend key, or use --sandbox to try without an account",
            )
        return key.get_secret_value()
