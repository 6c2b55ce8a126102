"""A directory that is imported night after night from one ledger, into a sandbox that ends imports as a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from runner import Bulkhead, Routes, RunSpec, source_spec
from runner.config.settings import Settings
from runner.config.units import Rate
from runner.events import Event, Notice
from runner.local.outcome import BatchOutcome
from runner.models import Item
from sandbox import quotas
from sandbox.engine import Outcome
from sandbox.imports import Job
from sandbox.settings import SandboxSettings
from tests.support.sandbox import LICENSE_KEY, RunningSandbox, running_sandbox

REVIEW = Outcome(status="NEEDS_REVIEW", rows=[{"name": "Ada"}], errors=[{"type": "MATCH", "message": "No header row."}])
SUCCESS = Outcome(status="SUCCESSFUL", rows=[])


@dataclass
class InboxNights:
    """A directory, a ledger, and a vendor that ends every import with `end`."""

    settings: Settings
    inbox: Path
    box: RunningSandbox
    end: Outcome = field(default_factory=lambda: SUCCESS)
    creates: int = 0
    events: list[Event] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    """The items of the newest batch after the last run, by source."""

    def write(self, **contents: str) -> None:
        self.inbox.mkdir(exist_ok=True)
        for name, content in contents.items():
            (self.inbox / f"{name}.csv").write_text(f"name\n{content}\n")

    def bulkhead(self) -> Bulkhead:
        return Bulkhead(self.settings, on_event=self.events.append)

    def spec(self, **options: Any) -> RunSpec:
        return RunSpec(source=source_spec(str(self.inbox)), routes=Routes.single(schema_id="customers"), **options)

    async def run(self, *, again: bool = False, retry_failed: bool = False, out: Path | None = None) -> BatchOutcome:
        spec = self.spec(again=again, retry_failed=retry_failed, out=str(out) if out else None)
        self.events.clear()
        async with self.bulkhead() as bulkhead:
            outcome = await bulkhead.run(spec)
            self.items = {item.source: item async for item in bulkhead.items(outcome.batch.batch_id)}
        return outcome

    async def finish_review(self, outcome: BatchOutcome, source: str) -> None:
        """Finish the review of an item as a person does on the vendor's page."""
        async with self.bulkhead() as bulkhead:
            items = {item.source: item async for item in bulkhead.items(outcome.batch.batch_id)}
        await self.box.control("POST", f"/imports/{items[source].import_id}/finish")

    @property
    def codes(self) -> dict[str, str | None]:
        return {source: item.error_code for source, item in self.items.items()}

    @property
    def notices(self) -> dict[str, str]:
        """The notices of the last run, by code."""
        return {event.code: event.message for event in self.events if isinstance(event, Notice)}


@asynccontextmanager
async def inbox_nights(tmp_path: Path) -> AsyncIterator[InboxNights]:
    found: list[InboxNights] = []

    def engine(_job: Job) -> Outcome:
        found[0].creates += 1
        return found[0].end

    settings = SandboxSettings(pending_s=0.0, running_s=0.0, create_quota=quotas.Rate(1000, 60.0))
    async with running_sandbox(settings=settings, engine=engine) as box:
        used = Settings(
            api_url=box.base_url, license_key=SecretStr(LICENSE_KEY), ledger=tmp_path / "ledger.db",
            quota_store=tmp_path / "quota.db", create_quota=Rate(1000, 60.0),
        )  # fmt: skip
        found.append(InboxNights(used, tmp_path / "in", box))
        yield found[0]
