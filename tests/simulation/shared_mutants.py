"""Planted bugs of a run on a ledger that others move too: the judges must notice each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.local import feeder as feed
from runner.local import ledger_watch as follow
from runner.local import pipeline
from runner.models import Item, ItemState
from runner.stages import track
from tests.simulation.plan import Plan, StackHabits
from tests.support.seeds import Mutant


def behind(plan: Plan) -> Plan:
    """Let pages lag for long."""
    return replace(plan, store="memory", stack=StackHabits(page_lag_s=20.0, late_s=1.0))


def repaired(plan: Plan) -> Plan:
    """Let a colleague repair the ledger all the time; without a bug, each of 40 such plans ends within 4,700 s."""
    stack = StackHabits(late_s=1.0, repaired_every_s=3.0, track_by="ledger")
    return replace(plan, store="memory", stack=stack, longest_life_s=14_400.0)


def deaf(plan: Plan) -> Plan:
    """Lose every webhook, and begin by trusting in them."""
    return replace(plan, store="memory", stack=StackHabits(lost=1.0, track_by="ledger"))


async def _no_catching_up(_self: Any) -> None:
    """End when nothing is in flight."""


def overtaken_item_released(patch: pytest.MonkeyPatch) -> None:
    async def overtook(self: Any, item: Item, _current: Item | None) -> None:
        self._inflight.release(item.source)

    patch.setattr(pipeline._Run, "_continue_overtaken", overtook)
    patch.setattr(pipeline._Run, "_catch_up", _no_catching_up)


def overtaken_item_kept_in_flight(patch: pytest.MonkeyPatch) -> None:
    async def overtook(_self: Any, _item: Item, _current: Item | None) -> None:
        """Forget it."""

    patch.setattr(pipeline._Run, "_continue_overtaken", overtook)


def page_believed_complete(patch: pytest.MonkeyPatch) -> None:
    async def missing(_self: Any) -> bool:
        return False

    patch.setattr(feed.Feeder, "is_missing_some", missing)


def own_moves_taken_for_granted(patch: pytest.MonkeyPatch) -> None:
    async def move(self: Any, item: Item, state: ItemState, *, reason: str, **changes: Any) -> None:
        await self._keep_or_report(item, await self._transitions.advance(item, state, reason=reason, **changes))

    patch.setattr(track.Tracker, "_move", move)


def webhooks_trusted_blindly(patch: pytest.MonkeyPatch) -> None:
    async def never(_self: Any) -> None:
        """Leave it to the webhooks."""

    patch.setattr(follow.LedgerWatcher, "_list", never)


SHARED_MUTANTS = (
    Mutant("an item that others moved is released", overtaken_item_released, repaired, first_seed=11),
    Mutant("an item that others moved stays in flight", overtaken_item_kept_in_flight, repaired, first_seed=38),
    Mutant("a page is believed to be complete", page_believed_complete, behind),
    Mutant("a tracked item is taken for its tracker's alone", own_moves_taken_for_granted, first_seed=2),
    Mutant("webhooks are trusted blindly", webhooks_trusted_blindly, deaf),
)
