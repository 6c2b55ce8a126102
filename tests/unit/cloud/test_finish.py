"""A batch whose end was recorded by a function that died does not stay at its end while it has work."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any, cast

import pytest

from runner.cloud.context import Deployment
from runner.cloud.handlers.finish import finish
from runner.cloud.messages import BatchRef
from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.config.settings import Settings
from runner.ledger.leases import MemoryLeases
from runner.ledger.memory import MemoryLedger
from runner.models import Batch, BatchState, Item
from runner.sources import SourceSpec
from tests.support.scripted import EPOCH, LoopClock

SPEC = RunSpec(source=SourceSpec(kind="directory", path="inbox"), routes=Routes.single(schema_id="s1"), driver="stack")


@dataclass(frozen=True)
class Parts:
    """What finishing uses of a Deployment before it has anything to write."""

    ledger: MemoryLedger
    leases: MemoryLeases
    clock: LoopClock
    settings: Settings
    rng: random.Random

    longest_wait_s = 60.0
    holder = Deployment.holder


@pytest.mark.virtual_time
async def test_a_batch_at_its_end_that_has_work_again_goes_on() -> None:
    clock = LoopClock()
    ledger = MemoryLedger(now=clock.now)
    await ledger.start_batch(
        Batch(batch_id="b", source_uri="s", account="a", out="o", config=SPEC.to_json(), started_at=EPOCH)
    )
    await ledger.update_batch("b", state=BatchState.COMPLETE, listed=True, finished_at=clock.now(), exit_code=0)
    await ledger.add([Item(batch_id="b", source="late.csv")])
    parts = Parts(ledger, MemoryLeases(now=clock.now), clock, Settings(), random.Random(1))
    ends_at = asyncio.get_running_loop().time() + 60.0
    time_left: Any = lambda: ends_at - asyncio.get_running_loop().time()  # noqa: E731
    await finish(cast("Deployment", parts), BatchRef(batch_id="b"), time_left=time_left)
    batch = await ledger.batch("b")
    assert batch is not None
    assert (batch.state, batch.finished_at, batch.exit_code) == (BatchState.RUNNING, None, None)
