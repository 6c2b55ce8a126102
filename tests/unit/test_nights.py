"""One directory imported night after night: what each run sends, and its exit code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from runner import Bulkhead, Routes, RunSpec, source_spec
from runner.clock import system_now
from runner.config.settings import Settings
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.local.outcome import BatchOutcome, ExitCode
from runner.models import FAILED_BEFORE, BatchState, ItemState
from sandbox.engine import Outcome
from sandbox.engine.outcome import failed
from sandbox.imports import Job
from sandbox.settings import SandboxSettings
from tests.support.sandbox import LICENSE_KEY, running_sandbox

S = ItemState


@dataclass
class Nights:
    """A directory, a ledger, and a vendor that ends every import with `end`."""

    settings: Settings
    inbox: Path
    end: Outcome = field(default_factory=lambda: Outcome(status="SUCCESSFUL", rows=[]))
    creates: int = 0

    def write(self, **contents: str) -> None:
        self.inbox.mkdir(exist_ok=True)
        for name, content in contents.items():
            (self.inbox / f"{name}.csv").write_text(f"name\n{content}\n")

    async def run(
        self, *, again: bool = False, retry_failed: bool = False, most_failed: int | None = None
    ) -> BatchOutcome:
        spec = RunSpec(
            source=source_spec(str(self.inbox)), routes=Routes.single(schema_id="customers"), again=again,
            retry_failed=retry_failed,
        )  # fmt: skip
        async with Bulkhead(self.settings) as bulkhead:
            outcome = await bulkhead.run(spec)
            self.codes = {item.source: item.error_code async for item in bulkhead.items()}
        return outcome


@pytest.fixture
async def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nights]:
    monkeypatch.chdir(tmp_path)
    found: list[Nights] = []

    def engine(_job: Job) -> Outcome:
        found[0].creates += 1
        return found[0].end

    settings = SandboxSettings(pending_s=0.0, running_s=0.0)
    async with running_sandbox(settings=settings, engine=engine) as box:
        used = Settings(
            api_url=box.base_url, license_key=SecretStr(LICENSE_KEY), ledger=tmp_path / "ledger.db",
            quota_store=tmp_path / "quota.db",
        )  # fmt: skip
        found.append(Nights(used, tmp_path / "in"))
        yield found[0]


async def test_files_that_failed_are_sent_again_only_on_request(nights: Nights) -> None:
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


async def test_a_batch_that_is_continued_on_request_sends_its_failed_files_again(nights: Nights) -> None:
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
    nights: Nights, again: bool
) -> None:
    nights.write(a="1")
    nights.end = Outcome(status="NEEDS_REVIEW", rows=[], errors=[{"type": "MATCH", "message": "No header row."}])
    assert (await nights.run()).exit_code is ExitCode.NEEDS_REVIEW
    second = await nights.run(again=again)
    assert (second.exit_code, second.state, second.by_state) == (
        ExitCode.NEEDS_REVIEW, BatchState.COMPLETE, {S.SKIPPED: 1},
    )  # fmt: skip
    assert second.reason == "1 item was skipped: a review in an earlier batch is open"
    assert nights.creates == 1


async def test_a_file_that_returns_to_earlier_content_is_sent_each_time(nights: Nights) -> None:
    for night, content in enumerate(("1", "2", "1", "1", "2"), start=1):
        nights.write(a=content)
        outcome = await nights.run()
        assert outcome.exit_code is ExitCode.OK, night
    assert nights.creates == 4
