"""Where batches stand, and who waits for a person, as the ledger of a deployment tells."""

from __future__ import annotations

from datetime import datetime

import pytest

from runner.cloud.ops.status import batch_status, batch_statuses, reviews_of
from runner.ledger.memory import MemoryLedger
from runner.models import BatchState, ItemState
from tests.support.batches import BEGAN, batch_of, leave

S = ItemState


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = BEGAN

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def ledger(hands: Hands) -> MemoryLedger:
    return MemoryLedger(now=hands.now)


async def test_a_manifest_is_of_now_until_something_moves(ledger: MemoryLedger) -> None:
    batch = batch_of("b1")
    await leave(ledger, batch, {"a.csv": S.PROCESSING})
    found = await batch_status(ledger, batch)
    assert (found.manifest, found.manifest_is_current) == (None, False)
    moves, _ = await ledger.moves_of("b1")
    await ledger.record_manifest("b1", moves=moves)
    found = await batch_status(ledger, batch)
    assert (found.manifest, found.manifest_is_current) == ("s3://results/batches/b1/manifest.jsonl", True)
    item = await ledger.item("b1", "a.csv")
    assert item is not None
    await ledger.advance(item, S.SUCCEEDED, reason="collected")
    assert not (await batch_status(ledger, batch)).manifest_is_current


async def test_a_runner_s_manifest_is_where_the_runner_says(ledger: MemoryLedger) -> None:
    batch = batch_of("b1", driver="runner")
    await leave(ledger, batch, {})
    found = await batch_status(ledger, batch)
    assert (found.driver, found.manifest) == ("runner", None)


async def test_the_newest_batches_are_shown_and_older_ones_that_still_run(ledger: MemoryLedger) -> None:
    states = {"old-running": BatchState.RUNNING, "old-complete": BatchState.COMPLETE, "new": BatchState.SETTLED}
    for number, (batch_id, state) in enumerate(states.items()):
        await leave(ledger, batch_of(batch_id, after_s=number, state=state), {"a.csv": S.COLLECTED})
    assert [one.batch.batch_id for one in await batch_statuses(ledger, recent=1)] == ["old-running", "new"]
    assert [one.batch.batch_id for one in await batch_statuses(ledger, recent=0)] == ["old-running"]
    assert [one.by_state for one in await batch_statuses(ledger, recent=9)] == [{S.COLLECTED: 1}] * 3


async def test_reviews_of_all_batches_are_found_but_those_of_complete_ones(ledger: MemoryLedger) -> None:
    for batch_id, state in (("b1", BatchState.SETTLED), ("b2", BatchState.COMPLETE), ("b3", BatchState.RUNNING)):
        await leave(ledger, batch_of(batch_id, state=state), {f"{batch_id}.csv": S.NEEDS_REVIEW, "x": S.COLLECTED})
    assert [review.source for review in await reviews_of(ledger)] == ["b1.csv", "b3.csv"]
    (review,) = await reviews_of(ledger, batch_of("b3"))
    assert (review.batch_id, review.source) == ("b3", "b3.csv")
    assert review.review_url == "https://vendor.example.com/review/b3.csv"
