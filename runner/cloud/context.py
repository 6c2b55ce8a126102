"""The deployment: what every function works with, what it offers for one batch, and the adapters it is made of."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from runner import identity
from runner.aws.s3 import S3Place
from runner.aws.s3_errors import Doing, of_s3, translated
from runner.cloud.messages import ObjectCreated, known_version
from runner.config.options import RunOptions
from runner.config.origins import is_loopback
from runner.config.run_spec import RunSpec
from runner.config.webhook_remarks import FULL_DATA, OWN_URLS
from runner.dromo.rate_limited import WrappedApi
from runner.errors import BulkheadError, ConfigError
from runner.events import CreateAnswered, CreateThrottled, EventHook, ItemMoved, ignore
from runner.models import ItemState
from runner.retry import repeat_read
from runner.sinks import open_sink
from runner.sources.s3 import S3Source
from runner.stages.context import RunContext
from runner.stages.discover import Discovery
from runner.stages.factory import Stages
from runner.stages.transitions import Transitions
from runner.stop import StopSignal

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from runner.aws.s3 import S3Client
    from runner.cloud.breaker import Breaker
    from runner.cloud.deadline import Deadline
    from runner.cloud.protocols import Metrics, Notifier, PagedSource, Places, Queues
    from runner.config.settings import Settings
    from runner.dromo.clock import VendorTime
    from runner.dromo.rate_limited import RateLimitedApi
    from runner.events import Event
    from runner.ledger.leases import Leases
    from runner.ledger.protocol import CloudLedger
    from runner.models import Batch, CreateRequest, RemoteImport
    from runner.protocols import Clock, ImportsApi, Sink, Storage
    from runner.quota.pacer import CreatePacer
    from runner.sources import SourceSpec


logger = logging.getLogger(__name__)

LONGEST_FUNCTION_S = 900.0
"""No function runs longer, so a request that one has sent is over by then."""

PERMIT_WAIT_S = 45.0
"""How long a function waits for a permit before it requeues the item."""

UPLOAD_APART_BYTES = 8 * 1024 * 1024
"""A file that is larger is uploaded by a function that does nothing else, so that creates do not wait for it."""

ATTEMPTS = 3
"""How often one function tries a create, an upload, or a download; after that the queue retries."""

_BATCH_FRESH_S = 10.0
_MOST_RECENT = 1000

_T = TypeVar("_T")

_METRIC_OF_STATE = {ItemState.COLLECTED: "ItemsCollected", ItemState.FAILED: "ItemsFailed"}


def require_encryption(api_url: str) -> None:
    """Raise ConfigError if the license key would travel unencrypted to another machine."""
    if not (urlsplit(api_url).scheme == "https" or is_loopback(api_url)):
        raise ConfigError(
            f"ApiUrl = {api_url}: it must begin with https, because the license key goes there",
            hint='write an https url into parameters.toml, ApiUrl = "https://...", then: sam deploy',
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """Which files are imported when they arrive: those below `root`, an `s3://` url, except those that wait for loads.

    A rolling batch is named after the folder below `prefix`, which keys below `root` begin with. `config` and `nightly`
    are beginnings of keys, too.
    """

    root: str
    config: str = "config/"
    nightly: str = "nightly/"

    @property
    def prefix(self) -> str:
        return S3Place.parse(self.root).key

    def takes(self, key: str) -> bool:
        return not key.endswith("/") and not key.startswith((self.config, self.nightly))


class Recent:
    """What was read a moment ago, by its name: relied on for some seconds where a later write or pass decides."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[float, Any]] = {}
        self._reading: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, name: tuple[str, str], read: Callable[[], Awaitable[_T]], *, now: float, for_s: float) -> _T:
        """Return what `read` returned up to `for_s` seconds before `now`, or read it, once for all who ask together."""
        async with self._reading[name]:
            at, kept = self._kept.get(name, (-math.inf, None))
            if now - at < for_s:
                found: _T = kept
                return found
            found = await read()
            if len(self._kept) >= _MOST_RECENT:
                self._kept.clear()
                self._reading.clear()
            self._kept[name] = (now, found)
            return found

    def forget(self, name: tuple[str, str]) -> None:
        self._kept.pop(name, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Opened once for each container. `settings` are the stack's parameters, without `config/bulkhead.toml`.

    - `manifest_every_s`: how often, at most, the manifest of a rolling batch is written before its day is over.
    - `landed_share`: the share of the quota that is kept for files that arrived while they wait beside loads.
    - `account`: what `identity.account` returns for the API and the key.
    - `inbox`: the `s3://` url under which files arrive.
    - `results`: the `s3://` url of the results bucket.
    - `config_folder`: the `s3://` url of the inbox's folder `config`, from which nothing is imported; version 0.1.0
      read the configuration from there.
    - `allow_hooks`: whether the configuration may have hooks and webhook urls.
    - `ending`: ends the work in progress; nobody requests it in a function, whose time ends its work.
    - `listen`: gets every event of the stages.
    """

    settings: Settings
    ledger: CloudLedger
    leases: Leases
    queues: Queues
    notifier: Notifier
    metrics: Metrics
    places: Places
    api: RateLimitedApi
    breaker: Breaker
    storage: Storage
    pacer: CreatePacer
    clock: Clock
    vendor_time: VendorTime
    rng: random.Random
    landed_share: float = 0.0
    upload_apart_bytes: int = UPLOAD_APART_BYTES
    manifest_every_s: float = 300.0
    account: str
    inbox: str
    results: str
    landing: Landing
    config_folder: str
    allow_hooks: bool = False
    recent: Recent = field(default_factory=Recent)
    ending: StopSignal = field(default_factory=StopSignal)
    listen: EventHook = ignore

    @property
    def endpoint(self) -> str:
        return identity.endpoint(self.settings.api_url)

    @property
    def longest_wait_s(self) -> float:
        """Return the longest wait that must not be cut short, in seconds: until the outcome of an upload shows."""
        return max(self.settings.settle_s, 60.0)

    def out(self, batch_id: str) -> str:
        """Return the `s3://` url under which a batch writes its results and its manifest."""
        return f"{self.results.rstrip('/')}/batches/{batch_id}"

    def holder(self) -> str:
        """Return a new name for the holder of a lease."""
        return f"{self.rng.getrandbits(64):016x}"

    async def recent_batch(self, batch_id: str) -> Batch | None:
        """Return a batch as it is, or was a few seconds ago."""
        name = ("batch", batch_id)
        batch = await self.recent.of(
            name, lambda: self.ledger.batch(batch_id), now=self.clock.ticks(), for_s=_BATCH_FRESH_S
        )
        if batch is None:
            self.recent.forget(name)
        return batch

    @property
    def pacer_of_loads(self) -> CreatePacer:
        """Return the pacer of loads while files that arrived wait for their creates."""
        return self.pacer.leaving(math.ceil(self.pacer.quota.count * self.landed_share))

    def transitions(self) -> Transitions:
        return Transitions(self.ledger, clock=self.clock, emit=self._emit, by_state={})

    def context(self, batch: Batch, stop: StopSignal, *, pacer: CreatePacer | None = None) -> RunContext:
        """Return what the stages need to work on items of a batch. Raises ConfigError."""
        spec = spec_of(batch)
        return RunContext(
            ledger=self.ledger,
            api=self.api,
            storage=self.storage,
            open_source=lambda: self.places.source(spec.source),
            open_sink=lambda: self.places.sink(batch.out),
            routes=spec.routes,
            pacer=pacer or self.pacer,
            clock=self.clock,
            vendor_time=self.vendor_time,
            rng=self.rng,
            emit=self._emit,
            stop=stop,
            options=replace(
                self.options(), again=spec.again, retry_failed=spec.retry_failed, json_is_new=spec.json_is_new
            ),
            rank_of=rank_of,
            endpoint=self.endpoint,
            out=batch.out,
        )

    def stages(
        self,
        batch: Batch,
        deadline: Deadline,
        *,
        transitions: Transitions | None = None,
        pacer: CreatePacer | None = None,
    ) -> Stages:
        """Return the stages for items of a batch. Raises ConfigError if the batch's spec is unreadable."""
        return Stages(self.context(batch, deadline, pacer=pacer), transitions or self.transitions())

    def discovery(self, batch: Batch) -> Discovery:
        """Return the discovery that turns entries of the batch's source into items. Raises ConfigError."""
        spec = spec_of(batch)
        return Discovery(
            batch_id=batch.batch_id,
            ledger=self.ledger,
            source=self.places.source(spec.source),
            routes=spec.routes,
            rank_of=rank_of,
            endpoint=self.endpoint,
            again=spec.again,
            retry_failed=spec.retry_failed,
            clock=self.clock,
            out=batch.out,
        )

    def options(self) -> RunOptions:
        settings = self.settings
        return RunOptions(
            create_attempts=ATTEMPTS,
            upload_attempts=ATTEMPTS,
            collect_attempts=ATTEMPTS,
            permit_wait_s=PERMIT_WAIT_S,
            upload_apart_bytes=self.upload_apart_bytes,
            request_timeout_s=settings.request_timeout_s,
            quiet_period_s=settings.quiet_period_s,
            settle_s=settings.settle_s,
            stuck_after_s=settings.stuck_after,
            foreign_upload_s=LONGEST_FUNCTION_S,
            filename_tag=settings.filename_tag,
            shows_free_slots=False,
        )

    def _emit(self, event: Event) -> None:
        record_event(self.metrics, event)
        self.listen(event)


def rank_of(_entry: Any) -> int:
    """Return 0 for every item: they are ordered by name."""
    return 0


def spec_of(batch: Batch) -> RunSpec:
    """Return the spec that a batch was started with. Raises ConfigError if it is unreadable."""
    return _spec(batch.config)


@lru_cache(maxsize=64)
def _spec(config: str) -> RunSpec:
    return RunSpec.from_json(config)


def is_driven_by_stack(batch: Batch) -> bool:
    """Return whether the batch's driver is the stack and not a runner.

    False for a batch whose spec is unreadable, such as one of a later version.
    """
    try:
        return spec_of(batch).driver == "stack"
    except (ConfigError, KeyError, TypeError, ValueError):
        logger.warning("unreadable spec of a batch", extra={"batch": batch.batch_id})
        return False


def record_event(metrics: Metrics, event: Event) -> None:
    """Record an event of the stages as a metric, if it is one."""
    match event:
        case CreateAnswered():
            metrics.add_metric("CreatesAnswered", 1)
        case CreateThrottled():
            metrics.add_metric("CreatesRefused", 1)
        case ItemMoved(new=state) if state in _METRIC_OF_STATE:
            metrics.add_metric(_METRIC_OF_STATE[state], 1)
        case _:
            pass


class S3Places:
    """Implements `protocols.Places` over one client; all of its sources share one lock for parsing JSON objects."""

    def __init__(self, client: S3Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._parsing = asyncio.Lock()

    def source(self, spec: SourceSpec) -> PagedSource:
        """Open a source of kind `s3`. Raises ConfigError for another kind, which the stack cannot read."""
        if spec.kind != "s3":
            raise ConfigError(f"the stack cannot read {spec.path}")
        return S3Source(spec, client=self._client, now=self._clock.now(), parsing=self._parsing)

    def sink(self, out: str) -> Sink:
        return open_sink(out, s3=self._client)

    async def inbox_page(self, root: str, token: str | None) -> tuple[list[ObjectCreated], str | None]:
        """Return the latest versions of the objects in one page, and the token of the next."""
        place = S3Place.parse(root)
        after = dict(zip(("KeyMarker", "VersionIdMarker"), json.loads(token), strict=True)) if token else {}

        async def listed() -> dict[str, Any]:
            with translated(place, Doing.LIST):
                answer = await self._client.list_object_versions(Bucket=place.bucket, Prefix=place.key, **after)
            return of_s3(answer, "IsTruncated", place, Doing.LIST)

        answer = await repeat_read(listed)
        files = [_created(place.bucket, raw) for raw in answer.get("Versions", ()) if raw["IsLatest"]]
        following = [answer.get("NextKeyMarker"), answer.get("NextVersionIdMarker")]
        return files, json.dumps(following) if answer.get("IsTruncated") else None


def _created(bucket: str, raw: dict[str, Any]) -> ObjectCreated:
    return ObjectCreated(
        bucket=bucket,
        key=raw["Key"],
        size_bytes=raw["Size"],
        etag=raw["ETag"].strip('"'),
        version_id=known_version(raw.get("VersionId")),
        at=raw["LastModified"],
    )


class WebhookPerImport(WrappedApi):
    """An ImportsApi whose creates name the webhook that reports the end of the import.

    The url is added when the request is sent: it holds a token that changes, and is not part of an item's identity.
    The vendor calls it only for imports with `backendSyncMode: FULL_DATA`, which is added, too. `current_url` is called
    before each create. A route that sets its own webhook, or its own mode, keeps it.
    """

    def __init__(self, api: ImportsApi, current_url: Callable[[], str]) -> None:
        super().__init__(api)
        self._current_url = current_url

    async def create(self, request: CreateRequest) -> RemoteImport:
        url = self._current_url()
        named = {**dict.fromkeys(OWN_URLS, url), "backendSyncMode": FULL_DATA}
        try:
            return await self.inner.create(replace(request, settings={**named, **(request.settings or {})}))
        except BulkheadError as error:
            raise error.with_message(_without(url, str(error))) from error.__cause__


def _without(url: str, text: str) -> str:
    """Return an error text that may quote the url, whole or cut short, with the token removed."""
    base, _, _ = url.rpartition("/")
    return re.sub(rf"({re.escape(base)}/)[^\s\"']*", r"\1…", text)
