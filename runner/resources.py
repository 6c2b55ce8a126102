"""Resources: what a command opens because it needs it, and closes once at its end."""

from __future__ import annotations

import random
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Self, TypeVar

from aiolimiter import AsyncLimiter
from platformdirs import user_state_path

from runner import identity
from runner.clock import SystemClock
from runner.errors import ConfigError
from runner.ledger.lockfile import is_locked, lock_path
from runner.ledger.place import LedgerTable
from runner.ledger.slots import SqliteSlots
from runner.ledger.sqlite import SqliteLedger
from runner.pacing import CreatePacer
from runner.rated import RatedApi
from runner.s3 import is_s3, open_s3
from runner.sinks import open_sink
from runner.sources import open_one, open_source
from runner.vendor_time import VendorTime

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from runner.api import HeadlessClient
    from runner.ledger import Ledger, SlotStore
    from runner.ports import Sink
    from runner.s3 import S3Client
    from runner.settings import Settings
    from runner.sources import LocalFiles, SourceSpec
    from runner.sources.s3 import S3Source
    from runner.transfer import HttpStorage

T = TypeVar("T")


class Resources:
    """Opens ledger, API, storage and quota store of one set of settings; use as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.vendor_time = VendorTime(self.clock)
        self.rng = random.Random()  # noqa: S311 - jitter and slot tokens, no secrets
        self._stack = AsyncExitStack()
        self._ledger: Ledger | None = None
        self._ledger_is_writable = False
        self._client: HeadlessClient | None = None
        self._s3: S3Client | None = None

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def account(self) -> str:
        """Identify endpoint and key; see `identity.account`."""
        return identity.account(self.settings.api_url, self._license_key())

    @property
    def endpoint(self) -> str:
        return identity.endpoint(self.settings.api_url)

    async def keep(self, opened: AbstractAsyncContextManager[T]) -> T:
        """Enter a context that is left at the end of the command."""
        return await self._stack.enter_async_context(opened)

    @property
    def ledger_is_shared(self) -> bool:
        """Tell whether others may move the ledger's items too. Raises ConfigError where none can, but are relied on."""
        is_table = isinstance(self.settings.ledger, LedgerTable)
        if self.settings.track_by == "ledger" and not is_table:
            raise ConfigError(
                "track_by = ledger needs a ledger that webhooks move, and a file is none",
                hint="name a table by --ledger dynamodb://TABLE, or leave track_by out",
            )
        return is_table

    async def ledger(self, *, write: bool) -> Ledger:
        """Open the ledger; readers may look at it while a run writes. Raises LedgerError."""
        if self._ledger is not None and (self._ledger_is_writable or not write):
            return self._ledger
        path = self._ledger_file()
        if not write and not path.exists():
            raise ConfigError(
                f"there is no ledger at {path}", hint="start with `bulkhead run`, or name one by --ledger"
            )
        ledger = SqliteLedger.open(path, now=self.clock.now, read_only=not write)
        self._stack.push_async_callback(ledger.close)
        self._ledger, self._ledger_is_writable = ledger, write
        return ledger

    def a_run_is_alive(self) -> bool:
        """Tell whether a process has the ledger open for writing."""
        return is_locked(lock_path(self._ledger_file()))

    async def client(self) -> HeadlessClient:
        """Open the API. Raises ConfigError where there is no license key."""
        from runner.api import HeadlessClient  # noqa: PLC0415 - aiohttp is slow to import and often not needed

        if self._client is None:
            self._client = await self._stack.enter_async_context(
                HeadlessClient(
                    self.settings.api_url,
                    self._license_key(),
                    timeout_s=self.settings.request_timeout_s,
                    vendor_time=self.vendor_time,
                )
            )
        return self._client

    async def api(self) -> RatedApi:
        """Open the API behind the quotas of polls and lists."""
        polls, lists = self.settings.poll_quota, self.settings.list_quota
        return RatedApi(
            await self.client(),
            poll_count=polls.count,
            poll_per_s=polls.per_s,
            lists_per_minute=lists.count * 60 / lists.per_s,
        )

    async def s3(self) -> S3Client:
        """Open a client of S3. Raises ConfigError where the `aws` extra is not installed."""
        if self._s3 is None:
            settings = self.settings
            opening = open_s3(endpoint_url=settings.aws_endpoint_url, region=settings.aws_region)
            self._s3 = await self._stack.enter_async_context(opening)
        return self._s3

    async def source(self, spec: SourceSpec) -> LocalFiles | S3Source:
        """Open the source that a spec describes. Raises ConfigError."""
        s3 = await self.s3() if spec.kind == "s3" else None
        return open_source(spec, now=self.clock.now(), s3=s3)

    async def one(self, spec: SourceSpec, path: str) -> LocalFiles | S3Source:
        """Open a source of one file of those that a spec describes; see `open_one`."""
        s3 = await self.s3() if spec.kind == "s3" else None
        return open_one(spec, path, now=self.clock.now(), s3=s3)

    async def sink(self, out: str) -> Sink:
        """Open the sink of a path or an `s3://` url. Raises ConfigError."""
        return open_sink(out, s3=await self.s3() if is_s3(out) else None)

    async def storage(self) -> HttpStorage:
        """Open a session for presigned urls, which knows no key."""
        from runner.transfer import HttpStorage  # noqa: PLC0415 - as above

        limit = self.settings.bwlimit
        return await self._stack.enter_async_context(
            HttpStorage(
                self.settings.api_url,
                stall_s=self.settings.stall_s,
                bwlimit=AsyncLimiter(limit, 1) if limit else None,
            )
        )

    def pacer(self) -> CreatePacer:
        """Open the create slots that all processes of this machine share."""
        store: SlotStore = SqliteSlots(self.settings.quota_store or user_state_path("bulkhead") / "quota.db")
        self._stack.push_async_callback(store.close)
        return CreatePacer(
            store,
            quota_key=self.account,
            quota=self.settings.create_quota,
            clock=self.clock,
            rng=self.rng,
            guard_s=self.settings.shared_quota_guard_s,
            request_timeout_s=self.settings.request_timeout_s,
        )

    def _ledger_file(self) -> Path:
        place = self.settings.ledger
        if isinstance(place, LedgerTable):
            raise ConfigError(f"a ledger in {place} cannot be opened from here yet", hint="name a file by --ledger")
        return place

    def _license_key(self) -> str:
        key = self.settings.license_key
        if key is None:
            raise ConfigError(
                "there is no license key",
                hint="set DROMO_LICENSE_KEY to a backend key, or try without an account: --sandbox",
            )
        return key.get_secret_value()
