"""The deployment: what every function works with, and what of it one batch needs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from runner import identity
from runner.cloud.metrics import EventMetrics
from runner.config.options import RunOptions
from runner.config.run_spec import RunSpec
from runner.errors import ConfigError
from runner.sinks import open_sink
from runner.sources.s3 import S3Source
from runner.stages.context import RunContext
from runner.stages.discover import Discovery
from runner.stages.factory import Stages
from runner.stages.transitions import Transitions

if TYPE_CHECKING:
    import random

    from runner.aws.s3 import S3Client
    from runner.cloud.deadline import Deadline
    from runner.cloud.protocols import Metrics, Notifier, PagedSource, Places, Queues
    from runner.config.settings import Settings
    from runner.dromo.clock import VendorTime
    from runner.dromo.rate_limited import RateLimitedApi
    from runner.ledger.leases import Leases
    from runner.ledger.protocol import CloudLedger
    from runner.models import Batch
    from runner.protocols import Clock, Sink, Storage
    from runner.quota.pacer import CreatePacer
    from runner.sources import SourceSpec
    from runner.stop import StopSignal


logger = logging.getLogger(__name__)

LONGEST_FUNCTION_S = 900.0
"""No function lives longer: whatever one of them has sent is over by then."""

PERMIT_WAIT_S = 45.0
"""A function waits so long for a permit, then leaves the item to a later one."""

ATTEMPTS = 3
"""Creates, uploads and downloads are tried so often in one function; the queue tries again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Made once a container. `settings` are the parameters of the stack, before `bulkhead.toml` is laid over them.

    - `account`: as `identity.account` gives it.
    - `inbox`: the `s3://` url below which files land.
    - `results`: the `s3://` url of the bucket of the results.
    - `config_folder`: the `s3://` url of the folder of `bulkhead.toml`, of which nothing is imported.
    """

    settings: Settings
    ledger: CloudLedger
    leases: Leases
    queues: Queues
    announcer: Notifier
    gauges: Metrics
    places: Places
    api: RateLimitedApi
    storage: Storage
    pacer: CreatePacer
    clock: Clock
    vendor_time: VendorTime
    rng: random.Random
    account: str
    inbox: str
    results: str
    config_folder: str

    @property
    def endpoint(self) -> str:
        return identity.endpoint(self.settings.api_url)

    @property
    def longest_wait_s(self) -> float:
        """Return the longest wait that must not be interrupted: that for an upload in doubt to show."""
        return max(self.settings.settle_s, 60.0)

    def out(self, batch_id: str) -> str:
        """Return where the results and the manifest of a batch go."""
        return f"{self.results.rstrip('/')}/batches/{batch_id}"

    def holder(self) -> str:
        """Return a new name for who takes a lease."""
        return f"{self.rng.getrandbits(64):016x}"

    def transitions(self) -> Transitions:
        return Transitions(self.ledger, clock=self.clock, emit=EventMetrics(self.gauges), by_state={})

    def context(self, batch: Batch, stop: StopSignal) -> RunContext:
        """Return what the stages need to work on items of a batch."""
        spec = spec_of(batch)
        return RunContext(
            ledger=self.ledger,
            api=self.api,
            storage=self.storage,
            open_source=lambda: self.places.source(spec.source),
            open_sink=lambda: self.places.sink(batch.out),
            routes=spec.routes,
            pacer=self.pacer,
            clock=self.clock,
            vendor_time=self.vendor_time,
            rng=self.rng,
            emit=EventMetrics(self.gauges),
            stop=stop,
            options=self.options(again=spec.again),
            rank_of=rank_of,
            endpoint=self.endpoint,
        )

    def stages(self, batch: Batch, deadline: Deadline, *, transitions: Transitions | None = None) -> Stages:
        """Return the stages for items of a batch. Raises ConfigError where the batch's record cannot be read."""
        return Stages(self.context(batch, deadline), transitions or self.transitions())

    def discovery(self, batch: Batch) -> Discovery:
        """Return what makes items of a batch of what its source lists."""
        spec = spec_of(batch)
        return Discovery(
            batch_id=batch.batch_id,
            ledger=self.ledger,
            source=self.places.source(spec.source),
            routes=spec.routes,
            rank_of=rank_of,
            endpoint=self.endpoint,
            again=spec.again,
            clock=self.clock,
        )

    def options(self, *, again: bool = False) -> RunOptions:
        settings = self.settings
        return RunOptions(
            create_attempts=ATTEMPTS,
            upload_attempts=ATTEMPTS,
            collect_attempts=ATTEMPTS,
            permit_wait_s=PERMIT_WAIT_S,
            request_timeout_s=settings.request_timeout_s,
            quiet_period_s=settings.quiet_period_s,
            settle_s=settings.settle_s,
            foreign_upload_s=LONGEST_FUNCTION_S,
            filename_tag=settings.filename_tag,
            again=again,
        )


def rank_of(_entry: Any) -> int:
    """Return the rank of every item: they come in the order of their names."""
    return 0


def spec_of(batch: Batch) -> RunSpec:
    """Return what a batch keeps of how it was started. Raises ConfigError where that cannot be read."""
    return _spec(batch.config)


@lru_cache(maxsize=64)
def _spec(config: str) -> RunSpec:
    return RunSpec.from_json(config)


def is_driven_here(batch: Batch) -> bool:
    """Tell whether the stack takes the batch's items further, and no runner does.

    A batch whose record cannot be read, as of a later version, is left to whoever can.
    """
    try:
        return spec_of(batch).driver == "stack"
    except (ConfigError, KeyError, TypeError, ValueError):
        logger.warning("the record of a batch cannot be read", extra={"batch": batch.batch_id})
        return False


class S3Places:
    """Implements `ports.Places` over one client; all its sources parse one JSON object at a time."""

    def __init__(self, client: S3Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._parsing = asyncio.Lock()

    def source(self, spec: SourceSpec) -> PagedSource:
        """Open a source of kind `s3`. Raises ConfigError for another: it lies where the stack cannot read."""
        if spec.kind != "s3":
            raise ConfigError(f"the stack cannot read {spec.path}")
        return S3Source(spec, client=self._client, now=self._clock.now(), parsing=self._parsing)

    def sink(self, out: str) -> Sink:
        return open_sink(out, s3=self._client)
