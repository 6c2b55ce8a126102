"""A thousand creates in virtual time against Django REST framework's throttle: time against the ideal, and refusals.

Each is played with several models of the latency, two of them with long tails.
"""

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
from runner.dromo.round_trips import RoundTrips
from runner.quota.pacer import CreatePacer
from runner.quota.slots import MemorySlots
from sandbox.quotas import CREATE_QUOTA, SlidingLog
from tests.support.vloop import VirtualLoop, run_virtually

FILES = 1000
UPLOADERS = 8
QUOTA = Rate(20, 60.0)
UPLOAD_MEDIAN_S = 0.5
SEED = 2026
LONGEST_S = 25.0
"""No latency is longer: a create without an answer within 30 s is another matter."""

MEAN_S, SIGMA = 0.25, 0.5

Latency = Callable[[random.Random], float]
"""Draws the seconds that a request is on its way, there and back."""


def log_normal(mean_s: float, sigma: float) -> Latency:
    return lambda rng: min(mean_s * rng.lognormvariate(-(sigma**2) / 2, sigma), LONGEST_S)


def pareto(least_s: float, shape: float) -> Latency:
    return lambda rng: min(least_s * rng.paretovariate(shape), LONGEST_S)


@dataclass(frozen=True)
class Model:
    name: str
    latency: Latency
    at_most: float = 1.005
    """The longest time that the pacer may take, against the ideal."""


MODELS = (
    Model("log-normal, 0.25 s", log_normal(MEAN_S, SIGMA)),
    Model("always 0.25 s", lambda _: MEAN_S),
    Model("log-normal, 5 ms", log_normal(0.005, SIGMA)),
    Model("long tail, log-normal", log_normal(0.4, 1.3), at_most=1.015),
    Model("long tail, Pareto", pareto(0.08, 1.4), at_most=1.015),
)

Send = Callable[[], Awaitable[float | None]]
"""Sends a create; returns None, or after a refusal the seconds of its Retry-After."""


class Vendor:
    """Judges each create by DRF's own throttle and by the sandbox's, which must agree."""

    def __init__(self, rng: random.Random, latency: Latency) -> None:
        self._rng = rng
        self._latency = latency
        self._log = SlidingLog(CREATE_QUOTA)
        self._throttle = drf_throttle()
        self.accepted = self.refused = self.disagreed = 0
        self.last_at = 0.0

    async def create(self) -> float | None:
        there, back = self._latency(self._rng) / 2, self._latency(self._rng) / 2
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
    round_trips, loop = RoundTrips(), asyncio.get_running_loop()
    pacer = CreatePacer(
        MemorySlots(),
        quota_key="account",
        quota=QUOTA,
        clock=VirtualClock(loop),
        rng=random.Random(SEED),
        round_trips=round_trips,
    )

    async def send() -> float | None:
        permit = await pacer.permit()
        sent_at = loop.time()
        retry_after_s = await vendor.create()
        round_trips.note(loop.time() - sent_at)
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


async def migrate(build: Callable[[Vendor], Send], latency: Latency) -> Vendor:
    """Create FILES imports with UPLOADERS at a time; each waits as asked after a refusal."""
    vendor = Vendor(random.Random(SEED), latency)
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
    figures = []
    for model in MODELS:
        paced = run_virtually(migrate(by_pacer, model.latency), seed=SEED)
        figures += [
            Figure(f"{model.name}: creates, all in the end", paced.accepted, "creates", at_least=FILES, at_most=FILES),
            Figure(f"{model.name}: time / ideal", paced.last_at / ideal_s(), "x", at_most=model.at_most),
            Figure(f"{model.name}: refused creates", paced.refused, "creates", at_most=0),
            Figure(f"{model.name}: DRF's throttle and the sandbox's disagree", paced.disagreed, "creates", at_most=0),
        ]
    for count, per_s in ((20, 60), (1, 3)):
        peer = run_virtually(migrate(by_limiter(count, per_s), MODELS[0].latency), seed=SEED)
        figures += [
            Figure(f"AsyncLimiter({count}, {per_s}): time / ideal", peer.last_at / ideal_s(), "x"),
            Figure(f"AsyncLimiter({count}, {per_s}): refused creates", peer.refused, "creates"),
        ]
    print(f"{FILES} creates at 20 a minute: ideal {ideal_s():.0f} s; AsyncLimiter with the first model of the latency")
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
