"""One directory imported night after night: what each run sends, and its exit code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.clock import system_now
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.local.outcome import ExitCode
from runner.models import FAILED_BEFORE, BatchState, ItemState
from sandbox.engine import Outcome
from sandbox.engine.outcome import failed
from tests.support.inbox_nights import REVIEW, InboxNights, inbox_nights

S = ItemState


@pytest.fixture
async def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InboxNights]:
    monkeypatch.chdir(tmp_path)
    async with inbox_nights(tmp_path) as found:
        yield found


async def test_files_that_failed_are_sent_again_only_on_request(nights: InboxNights) -> None:
    nights.write(a="1", b="2")
    nights.end = failed("PARSE", "The file could not be parsed.")
    assert (await nights.run()).exit_code is ExitCode.ITEMS_FAILED
    second = await nights.run()
    assert (second.exit_code, second.by_state) == (ExitCode.ITEMS_FAILED, {S.FAILED: 2})
    assert (nights.creates, set(nights.codes.values())) == (2, {FAILED_BEFORE})
    nights.end = Outcome(status="SUCCESSFUL", rows=[])
    third = await nights.run(retry_failed=True)
    assert (third.exit_code, third.by_state, nights.creates) == (ExitCode.OK, {S.COLLECTED: 2}, 4)
    assert (await nights.run(retry_failed=True)).by_state == {S.SKIPPED: 2}


async def test_a_batch_that_is_continued_on_request_sends_its_failed_files_again(nights: InboxNights) -> None:
    nights.write(a="1", b="2")
    nights.end = failed("PARSE", "The file could not be parsed.")
    await nights.run()
    nights.write(c="3")
    batch = (await nights.run()).batch
    assert isinstance(nights.settings.ledger, Path)
    ledger = SqliteLedger.open(nights.settings.ledger, now=system_now)
    await ledger.update_batch(batch.batch_id, state=BatchState.PAUSED, listed=False)
    await ledger.close()
    nights.end = Outcome(status="SUCCESSFUL", rows=[])
    outcome = await nights.run(retry_failed=True)
    assert outcome.batch.batch_id == batch.batch_id
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.OK, {S.COLLECTED: 3})


@pytest.mark.parametrize("again", [False, True])
async def test_an_open_review_keeps_a_file_from_being_sent_and_the_exit_code_says_so(
    nights: InboxNights, again: bool
) -> None:
    nights.write(a="1")
    nights.end = REVIEW
    assert (await nights.run()).exit_code is ExitCode.NEEDS_REVIEW
    second = await nights.run(again=again)
    assert (second.exit_code, second.state, second.by_state) == (
        ExitCode.NEEDS_REVIEW, BatchState.COMPLETE, {S.SKIPPED: 1},
    )  # fmt: skip
    assert second.reason.startswith("1 review of an earlier batch is open: a.csv in batch ")
    assert nights.creates == 1


async def test_a_file_that_returns_to_earlier_content_is_sent_each_time(nights: InboxNights) -> None:
    for night, content in enumerate(("1", "2", "1", "1", "2"), start=1):
        nights.write(a=content)
        outcome = await nights.run()
        assert outcome.exit_code is ExitCode.OK, night
    assert nights.creates == 4
