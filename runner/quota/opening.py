"""The account's quotas as the settings name them: the API behind those of polls and lists, the pacer of its creates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.dromo.rate_limited import RateLimitedApi
from runner.quota.pacer import CreatePacer

if TYPE_CHECKING:
    import random

    from runner.config.settings import Settings
    from runner.protocols import Clock, ImportsApi
    from runner.quota.slots import SlotStore


def rated(api: ImportsApi, settings: Settings) -> RateLimitedApi:
    """Return the API behind the quotas of polls and lists."""
    polls, lists = settings.poll_quota, settings.list_quota
    return RateLimitedApi(
        api,
        poll_count=polls.count,
        poll_per_s=polls.per_s,
        lists_per_minute=lists.count * 60 / lists.per_s,
    )


def create_pacer(
    store: SlotStore, settings: Settings, *, account: str, clock: Clock, rng: random.Random, guard_s: float
) -> CreatePacer:
    """Return the pacer of creates; `clock` is the one that all who share the store read alike.

    `account` as in `identity.account`; a slot stays busy `guard_s` seconds beyond the quota's time.
    """
    return CreatePacer(
        store,
        quota_key=account,
        quota=settings.create_quota,
        clock=clock,
        rng=rng,
        guard_s=guard_s,
        request_timeout_s=settings.request_timeout_s,
    )
