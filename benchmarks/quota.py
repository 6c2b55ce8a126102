"""A thousand creates in virtual time against Django REST framework's throttle: time against the ideal, and refusals."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import django.conf
from aiolimiter import AsyncLimiter

from benchmarks.figures import Figure, report
from runner.config.units import Rate
from runner.quota.pacer import CreatePacer
from runner.quota.slots import MemorySlots
from sandbox.quotas import CREATE_QUOTA, SlidingLog
from tests.support.vloop import VirtualLoop, run_virtually

FILES = 1000
UPLOADERS = 8
QUOTA = Rate(20, 60.0)
LATENCY_MEAN_S, LATENCY_SIGMA = 0.25, 0.5
UPLOAD_MEDIAN_S = 0.5
SEED = 2026

Send = Callable[[], Awaitable[float | None]]
"""Sends a create; returns None, or after a refusal the seconds of its Retry-After."""


class Vendor:
    """Judges each create by DRF's own throttle and by the sandbox's, which must agree."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._log = SlidingLog(CREATE_QUOTA)
        self._throttle = drf_throttle()
        self.accepted = self.refused = self.disagreed = 0
        self.last_at = 0.0

    async def create(self) -> float | None:
        there, back = self.latency() / 2, self.latency() / 2
        await asyncio.sleep(there)
        now = asyncio.get_running_loop().time()
        let_in, logged = self._throttle.allow_request(None, None), self._log.admit(now)
        self.disagreed += let_in != logged
        hint = None if let_in else self._throttle.wait()
        self.accepted += let_in
        self.refused += not let_in
        self.last_at = now if let_in else self.last_at
        await asyncio.sleep(back)
        return None if let_in else float(-(-hint // 1))

    def latency(self) -> float:
        return LATENCY_MEAN_S * self._rng.lognormvariate(-(LATENCY_SIGMA**2) / 2, LATENCY_SIGMA)

    def upload(self) -> float:
        return UPLOAD_MEDIAN_S * self._rng.lognormvariate(0.0, 1.0)


def drf_throttle() -> object:
    """Return Django REST framework's throttle for 20 a minute, its clock the loop's."""
    if not django.conf.settings.configured:
        django.conf.settings.configure(CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}})
    from rest_framework.throttling import SimpleRateThrottle  # noqa: PLC0415 - it reads the settings when loaded

    class Throttle(SimpleRateThrottle):
        rate = "20/minute"
        cache = Cache()

        def get_cache_key(self, *_: object) -> str:
            return "account"

        def timer(self) -> float:
            return asyncio.get_running_loop().time()

    return Throttle()


class Cache(dict):
    """As much of Django's cache as the throttle uses."""

    def set(self, key: str, value: object, _timeout: float) -> None:
        self[key] = value


@dataclass(frozen=True)
class VirtualClock:
    loop: VirtualLoop

    def now(self) -> datetime:
        return datetime(2026, 7, 1, tzinfo=UTC) + timedelta(seconds=self.ticks())

    def ticks(self) -> float:
        return self.loop.time()


def by_pacer(vendor: Vendor) -> Send:
    pacer = CreatePacer(
        MemorySlots(),
        quota_key="account",
        quota=QUOTA,
        clock=VirtualClock(asyncio.get_running_loop()),
        rng=random.Random(SEED),
    )

    async def send() -> float | None:
        permit = await pacer.permit()
        retry_after_s = await vendor.create()
        if retry_after_s is None:
            await permit.answered()
            return None
        return await permit.throttled(retry_after_s)

    return send


def by_limiter(count: float, per_s: float) -> Callable[[Vendor], Send]:
    def build(vendor: Vendor) -> Send:
        limiter = AsyncLimiter(count, per_s)

        async def send() -> float | None:
            async with limiter:
                return await vendor.create()

        return send

    return build


async def persist(send: Send) -> None:
    retry_after_s = await send()
    while retry_after_s is not None:
        await asyncio.sleep(retry_after_s)
        retry_after_s = await send()


async def migrate(build: Callable[[Vendor], Send]) -> Vendor:
    """Create FILES imports with UPLOADERS at a time; each waits as asked after a refusal."""
    vendor = Vendor(random.Random(SEED))
    send, files = build(vendor), iter(range(FILES))

    async def uploader() -> None:
        for _ in files:
            await persist(send)
            await asyncio.sleep(vendor.upload())

    async with asyncio.TaskGroup() as group:
        for _ in range(UPLOADERS):
            group.create_task(uploader())
    return vendor


def ideal_s() -> float:
    """The least time in which a sliding window lets FILES creates in: a full window at once, again and again."""
    return (FILES - 1) // QUOTA.count * QUOTA.per_s


def main() -> int:
    paced = run_virtually(migrate(by_pacer), seed=SEED)
    figures = [
        Figure("creates, all in the end", paced.accepted, "creates", at_least=FILES, at_most=FILES),
        Figure("CreatePacer: time / ideal", paced.last_at / ideal_s(), "x", at_most=1.01),
        Figure("CreatePacer: refused creates", paced.refused, "creates", at_most=0),
        Figure("DRF's throttle and the sandbox's disagree", paced.disagreed, "creates", at_most=0),
    ]
    for count, per_s in ((20, 60), (1, 3)):
        peer = run_virtually(migrate(by_limiter(count, per_s)), seed=SEED)
        figures += [
            Figure(f"AsyncLimiter({count}, {per_s}): time / ideal", peer.last_at / ideal_s(), "x"),
            Figure(f"AsyncLimiter({count}, {per_s}): refused creates", peer.refused, "creates"),
        ]
    print(f"{FILES} creates at 20 a minute: ideal {ideal_s():.0f} s; latency {LATENCY_MEAN_S} s on average, log-normal")
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
