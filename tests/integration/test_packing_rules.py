"""What holds for a file alone holds for each file in a pack: limits, stops, and the commands after a run.

The engine that predicts says of every file that it succeeds, so that packs meet files that need a review or fail.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner import Bulkhead, Routes, RunSpec, source_spec
from runner.check.engine import Engine
from runner.check.sandbox_engine import sandbox_engine
from runner.config.settings import Settings
from runner.config.units import Rate
from runner.dromo.client import HeadlessClient
from runner.errors import AuthRefused, BulkheadError, FileUnavailable, RequestInvalid
from runner.events import Event, ItemMoved, Notice, PacksChanged
from runner.local.outcome import BatchOutcome, ExitCode
from runner.models import Item, ItemState
from runner.protocols import Prepared
from runner.sources.local import LocalFiles
from runner.stop import StopReason
from sandbox import quotas
from sandbox.engine.outcome import Outcome, failed
from sandbox.runs import Job, default_engine
from sandbox.settings import SandboxSettings
from tests.support.sandbox import LICENSE_KEY, RunningSandbox, running_sandbox

S = ItemState
HEADER = "Full Name,Email\n"
PEOPLE = {
    "id": "people",
    "name": "People",
    "fields": [
        {"key": "name", "label": "Full Name", "type": "string", "validators": [{"validate": "required"}]},
        {"key": "email", "label": "Email", "type": "email"},
    ],
    "settings": {},
}


DOOM = b"Doomed"
"""An import of a file with this name in it fails."""


def engine_that_fails_for_doom(job: Job) -> Outcome:
    doomed = isinstance(job.source, Path) and DOOM in job.source.read_bytes()
    return failed("doom", "a row is doomed") if doomed else default_engine(job)


class Optimist:
    """An engine whose predictions are the sandbox's, but for the status: every file succeeds."""

    def __init__(self) -> None:
        self._engine = sandbox_engine()

    def engine(self) -> Engine:
        return replace(self._engine, run=self._run)

    def _run(self, source: Any, /, *, schema: Mapping[str, Any], filename: str, user: Any, result: Any) -> Any:
        outcome = self._engine.run(source, schema=schema, filename=filename, user=user, result=io.BytesIO())
        result.write(b"[]")
        return replace(outcome, status="SUCCESSFUL")  # type: ignore[type-var]


class Night:
    """An inbox, a ledger, and a sandbox; each run is a Bulkhead of its own."""

    def __init__(self, sandbox: RunningSandbox, home: Path) -> None:
        self.sandbox = sandbox
        self.home = home
        self.inbox = home / "inbox"
        self.inbox.mkdir()
        self.engine = Optimist().engine
        self.events: list[Event] = []
        self.stop_when: Callable[[Event], bool] | None = None

    def add(self, name: str, text: str | None = None) -> None:
        (self.inbox / name).write_text(text or f"{HEADER}Ann {name},{name}@example.com\n")

    def bulkhead(self, **settings: Any) -> Bulkhead:
        quick = Rate(100_000, 60.0)
        given = {
            "create_quota": quick, "list_quota": quick, "poll_quota": quick, "ledger": self.home / "ledger.db",
            "quota_store": self.home / "quota.db", "license_key": SecretStr(LICENSE_KEY),
            "api_url": self.sandbox.base_url, **settings,
        }  # fmt: skip
        made = Bulkhead(Settings(**given), on_event=self._take, engine=self.engine)
        self._running = made
        return made

    def _take(self, event: Event) -> None:
        self.events.append(event)
        if self.stop_when is not None and self.stop_when(event):
            self._running.stop(StopReason.INTERRUPTED)

    def routes(self, behavior: str) -> Routes:
        """Return the route of all files; `behavior` is what becomes of rows with an empty required cell."""
        (route,) = Routes.single(schema_id="people").routes
        return Routes([replace(route, settings={"invalidDataBehavior": behavior})])

    def spec(self, **changes: Any) -> RunSpec:
        given = {
            "source": source_spec(str(self.inbox)), "routes": self.routes("BLOCK_SUBMIT"), "pack": 1000,
            "out": str(self.home / "out"), **changes,
        }  # fmt: skip
        return RunSpec(**given)

    async def named(self, state: ItemState) -> list[str]:
        return sorted(source for source, item in (await self.items()).items() if item.state is state)

    async def slow(self, running_s: float) -> None:
        """Let imports take so long by the sandbox's clock."""
        await self.sandbox.control("POST", "/settings", json={"running_s": running_s})

    async def _page(self) -> Any:
        _, page = await self.sandbox.api("GET", "/headless/imports/?limit=1000")
        return page

    async def run(self, *, settings: Mapping[str, Any] | None = None, **changes: Any) -> BatchOutcome:
        async with self.bulkhead(**(settings or {})) as bulkhead:
            return await bulkhead.run(self.spec(**changes))

    async def items(self) -> dict[str, Item]:
        async with self.bulkhead() as bulkhead:
            return {item.source: item async for item in bulkhead.items()}

    async def delivered(self) -> Counter[str]:
        """How often the vendor has imported each name."""
        found: Counter[str] = Counter()
        for one in (await self._page())["results"]:
            if one["status"] == "SUCCESSFUL":
                found.update(row["name"] for row in await self.sandbox.rows(one["id"]))
        return found


@asynccontextmanager
async def a_night(home: Path) -> AsyncIterator[Night]:
    any_pace = quotas.Rate(100_000, 60.0)
    quick = SandboxSettings(
        license_key=LICENSE_KEY, create_quota=any_pace, poll_quota=any_pace, pending_s=0.0, running_s=0.05
    )
    async with running_sandbox(settings=quick, schemas=[PEOPLE], engine=engine_that_fails_for_doom) as sandbox:
        yield Night(sandbox, home)


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path) as night:
        yield night


def inbox_of(night: Night, good: int, *, bad: int = 0, doomed: int = 0) -> None:
    """Fill the inbox; bad files need a review, or lose their row; the imports of doomed ones fail."""
    for number in range(good):
        night.add(f"{number:02}.csv")
    for number in range(bad):
        night.add(f"bad-{number}.csv", f"{HEADER},nobody{number}@example.com\n")
    for number in range(doomed):
        night.add(f"doomed-{number}.csv", f"{HEADER}Doomed,d{number}@example.com\n")


async def test_a_file_that_needs_a_review_waits_for_one_alone_and_the_others_are_collected(night: Night) -> None:
    inbox_of(night, 12, bad=1)
    outcome = await night.run()
    items = await night.items()
    assert outcome.exit_code == ExitCode.NEEDS_REVIEW
    assert items["bad-0.csv"].state is S.NEEDS_REVIEW
    assert items["bad-0.csv"].import_id is not None
    assert sum(item.state is S.COLLECTED for item in items.values()) == 12
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(12))


async def test_no_file_counts_as_a_create_to_come_while_all_are_read_to_plan_packs(night: Night) -> None:
    inbox_of(night, 8)
    await night.run()
    first = next(at for at, event in enumerate(night.events) if isinstance(event, Notice) and event.code == "packing")
    waiting = [event.waiting for event in night.events[:first] if isinstance(event, PacksChanged)]
    assert waiting == [8, 0]
    assert [event for event in night.events if isinstance(event, PacksChanged)][-1].waiting == 0


async def test_a_review_of_a_file_that_left_its_pack_is_dismissed_as_any_other(night: Night) -> None:
    inbox_of(night, 8, bad=1)
    await night.run()
    async with night.bulkhead() as bulkhead:
        assert [review.source for review in await bulkhead.reviews()] == ["bad-0.csv"]
        _, dismissed = await bulkhead.dismiss(reason="no customer")
    assert [item.source for item in dismissed] == ["bad-0.csv"]
    assert (await night.items())["bad-0.csv"].error_code == "review_dismissed"


async def test_a_stop_before_a_pack_is_sent_keeps_it_and_the_next_run_sends_it(night: Night) -> None:
    inbox_of(night, 12)
    night.stop_when = lambda event: isinstance(event, ItemMoved) and event.new is S.PACKED
    await night.run()
    assert len(await night.named(S.PACKED)) == 5
    assert await night.delivered() == Counter()
    night.stop_when = None
    outcome = await night.run(pack=None)
    assert outcome.exit_code == ExitCode.OK
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(12))


async def stop_with_a_pack_that_is_not_sent(night: Night, files: int) -> None:
    inbox_of(night, files)
    hour_ago = time.time() - 3600
    for number in range(2, files):
        os.utime(night.inbox / f"{number:02}.csv", (hour_ago, hour_ago))
    night.stop_when = lambda event: isinstance(event, ItemMoved) and event.new is S.PACKED
    await night.run()
    night.stop_when = None
    night.events.clear()
    assert await night.named(S.PACKED)


@pytest.mark.parametrize(
    "filters", [{"exclude": ("00.csv", "01.csv")}, {"include": ("0[2-4].csv",)}, {"min_age_s": 1800.0}]
)
@pytest.mark.parametrize("pack", [1000, None])
async def test_files_that_a_later_run_leaves_out_do_not_go_out_with_the_pack_that_an_earlier_run_made_of_them(
    night: Night, filters: dict[str, Any], pack: int | None
) -> None:
    await stop_with_a_pack_that_is_not_sent(night, 5)
    outcome = await night.run(source=source_spec(str(night.inbox), **filters), pack=pack)
    assert outcome.by_state == {S.COLLECTED: 3, S.SKIPPED: 2}
    items = await night.items()
    assert {items[name].error_code for name in ("00.csv", "01.csv")} == {"filtered_out"}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(2, 5))
    said = [event.message for event in night.events if isinstance(event, Notice)]
    assert said[0].endswith("5 items queued, 5 of them in packs")
    assert said[1] == "1 pack of an earlier run is not sent as recorded: the filters leave out files of it"
    assert sum(item.is_in_pack for item in items.values()) == 3
    assert said[2].startswith("2 items of it are left out")
    await night.run()
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


async def test_a_pack_without_a_file_that_the_filters_leave_out_is_sent_as_it_is(night: Night) -> None:
    await stop_with_a_pack_that_is_not_sent(night, 5)
    night.add("other.csv")
    await night.run(source=source_spec(str(night.inbox), exclude=("other.csv",)))
    assert {item.pack_rows for item in (await night.items()).values()} == {1}


async def test_an_explicit_pack_off_sends_the_files_of_packs_that_were_not_sent_alone(night: Night) -> None:
    await stop_with_a_pack_that_is_not_sent(night, 5)
    await night.run(pack=0)
    items = (await night.items()).values()
    assert {(item.state, item.import_id is None, item.is_in_pack) for item in items} == {(S.COLLECTED, False, False)}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


async def test_a_route_that_says_off_now_sends_the_files_of_its_packs_alone(night: Night) -> None:
    await stop_with_a_pack_that_is_not_sent(night, 5)
    (route,) = night.routes("BLOCK_SUBMIT").routes
    await night.run(routes=Routes([replace(route, pack=0)]))
    assert not any(item.is_in_pack for item in (await night.items()).values())
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


async def stop_with_a_pack_that_another_copy_of_the_ledger_sends(night: Night, files: int) -> None:
    await stop_with_a_pack_that_is_not_sent(night, files)
    for path in night.home.glob("ledger.db*"):
        shutil.copy(path, night.home / f"copy-of-{path.name}")
    await night.run()
    for path in night.home.glob("ledger.db*"):
        path.unlink()
    for path in night.home.glob("copy-of-*"):
        path.rename(night.home / path.name.removeprefix("copy-of-"))


async def test_a_pack_that_another_copy_of_the_ledger_has_sent_keeps_its_files_with_pack_off(night: Night) -> None:
    await stop_with_a_pack_that_another_copy_of_the_ledger_sends(night, 5)
    outcome = await night.run(pack=0)
    assert outcome.by_state == {S.COLLECTED: 5}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


async def test_track_collects_a_pack_that_was_at_work_when_its_run_stopped(night: Night) -> None:
    inbox_of(night, 5)
    await night.slow(60.0)
    night.stop_when = lambda event: isinstance(event, PacksChanged) and event.total > 0 and event.unsent == 0
    await night.run()
    night.stop_when = None
    assert {item.state for item in (await night.items()).values()} == {S.PACKED}
    await night.sandbox.control("POST", "/clock", json={"advance_s": 100})
    async with night.bulkhead() as bulkhead:
        outcome = await bulkhead.track()
    assert outcome.by_state == {S.COLLECTED: 5}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of files that cannot be read at the moment."""
    names: set[str] = set()
    prepare = LocalFiles.prepare

    async def prepare_unless_unreadable(files: LocalFiles, item: Item) -> Prepared:
        if item.source in names:
            raise FileUnavailable("it cannot be read at the moment: Input/output error")
        return await prepare(files, item)

    monkeypatch.setattr(LocalFiles, "prepare", prepare_unless_unreadable)
    return names


@pytest.mark.parametrize("packed_before", [1, 6], ids=["canary", "second pack"])
async def test_a_file_that_cannot_be_read_now_waits_alone_and_its_pack_is_sent_without_it(
    night: Night, unreadable: set[str], packed_before: int
) -> None:
    inbox_of(night, 30)
    night.engine = sandbox_engine
    packed: list[str] = []

    def watch(event: Event) -> bool:
        if isinstance(event, ItemMoved) and event.new is S.PACKED:
            packed.append(event.source)
            unreadable.update(packed[packed_before - 1 : packed_before])
        return False

    night.stop_when = watch
    outcome = await night.run(settings={"stuck_after": "0.2s"})
    night.stop_when = None
    assert outcome.exit_code == ExitCode.TRY_AGAIN
    (name,) = unreadable
    assert outcome.by_state == {S.COLLECTED: 29, S.QUEUED: 1}
    assert await night.named(S.QUEUED) == [name]
    items = await night.items()
    assert len({item.pack_import_id for item in items.values() if item.pack_import_id}) == 2
    assert sum(item.is_in_pack for item in items.values()) == 29
    said = [event.message for event in night.events if isinstance(event, Notice)]
    assert any(f"cannot be read now ({name}); the others are sent without" in message for message in said)
    assert any(message.startswith(f"{name}: it cannot be read") for message in said)
    unreadable.clear()
    outcome = await night.run()
    assert outcome.by_state == {S.COLLECTED: 30}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(30))


async def test_a_pack_waits_as_it_is_while_none_of_its_files_can_be_read_and_a_file_is_named(
    night: Night, unreadable: set[str]
) -> None:
    await stop_with_a_pack_that_is_not_sent(night, 5)
    unreadable.update(f"{number:02}.csv" for number in range(5))
    outcome = await night.run(settings={"stuck_after": "0.2s"})
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.TRY_AGAIN, {S.PACKED: 5})
    said = [event.message for event in night.events if isinstance(event, Notice)]
    assert any(".csv: it cannot be read at the moment" in message for message in said)
    unreadable.clear()
    await night.run()
    assert len({item.pack_import_id for item in (await night.items()).values()}) == 1
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


async def test_a_pack_that_a_lost_ledger_has_sent_waits_as_it_is_for_a_file_that_cannot_be_read_now(
    night: Night, unreadable: set[str]
) -> None:
    inbox_of(night, 5)
    await night.slow(1e6)
    night.stop_when = lambda event: isinstance(event, PacksChanged) and event.total > 0 and event.unsent == 0
    await night.run()
    for path in night.home.glob("ledger.db*"):
        path.unlink()
    shutil.rmtree(night.home / "out" / ".bulkhead-packs")

    def is_packed(event: Event) -> bool:
        unreadable.update({"03.csv"} if isinstance(event, ItemMoved) and event.new is S.PACKED else ())
        return False

    night.stop_when = is_packed
    outcome = await night.run(settings={"stuck_after": "0.2s"})
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.TRY_AGAIN, {S.PACKED: 5})
    night.stop_when = None
    unreadable.clear()
    await night.sandbox.control("POST", "/clock", json={"advance_s": 2e6})
    outcome = await night.run()
    assert outcome.by_state == {S.COLLECTED: 5}
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(5))


async def test_track_asks_once_for_a_pack_that_is_at_work_and_does_not_wait_for_it(night: Night) -> None:
    inbox_of(night, 5)
    await night.slow(1e6)
    night.stop_when = lambda event: isinstance(event, PacksChanged) and event.total > 0 and event.unsent == 0
    await night.run()
    night.stop_when = None
    async with night.bulkhead() as bulkhead, asyncio.timeout(20):
        outcome = await bulkhead.track()
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.TRY_AGAIN, {S.PACKED: 5})
    await night.sandbox.control("POST", "/clock", json={"advance_s": 2e6})
    async with night.bulkhead() as bulkhead:
        other = night.home / "another"
        other.mkdir()
        await bulkhead.run(night.spec(source=source_spec(str(other)), out=str(night.home / "other-out")))
        (outcome,) = await bulkhead.track_all()
    assert outcome.by_state == {S.COLLECTED: 5}


async def test_files_of_a_failed_pack_count_for_max_failures_and_the_pack_does_not(night: Night) -> None:
    inbox_of(night, 20, doomed=3)
    outcome = await night.run(settings={"max_failures": "2"})
    assert outcome.exit_code == ExitCode.TOO_MANY_FAILURES
    assert set(await night.named(S.FAILED)) <= {f"doomed-{number}.csv" for number in range(3)}


async def test_a_failed_pack_alone_is_not_too_many_failures(night: Night) -> None:
    inbox_of(night, 20, doomed=1)
    outcome = await night.run(settings={"max_failures": "2"})
    assert outcome.exit_code == ExitCode.ITEMS_FAILED
    assert await night.named(S.FAILED) == ["doomed-0.csv"]
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(20))


async def test_rows_that_packs_leave_out_count_for_max_rows_lost_and_for_their_files(night: Night) -> None:
    inbox_of(night, 12, bad=4)
    outcome = await night.run(settings={"max_rows_lost": "3"}, routes=night.routes("REMOVE_INVALID_ROWS"))
    assert outcome.exit_code == ExitCode.TOO_MANY_FAILURES
    lost = {source: item.rows_left_out for source, item in (await night.items()).items() if item.rows_left_out}
    assert set(lost) <= {f"bad-{number}.csv" for number in range(4)}
    assert set(lost.values()) == {1}
    assert len(lost) >= 3


async def test_a_file_that_failed_is_sent_again_alone_by_redrive_and_only_then(night: Night) -> None:
    inbox_of(night, 10, doomed=1)
    await night.run()
    before = (await night.items())["doomed-0.csv"]
    assert before.state is S.FAILED
    async with night.bulkhead() as bulkhead:
        assert await bulkhead.redrive(states={S.FAILED}) == 1
        await bulkhead.resume()
    after = (await night.items())["doomed-0.csv"]
    assert after.import_id not in (None, before.import_id)
    outcome = await night.run()
    assert outcome.by_state == {S.SKIPPED: 10, S.FAILED: 1}
    assert (await night.items())["doomed-0.csv"].error_code == "failed_before"


async def test_files_that_the_vendor_refused_are_sent_again_with_retry_failed(night: Night) -> None:
    inbox_of(night, 10, doomed=2)
    await night.run()
    outcome = await night.run(retry_failed=True)
    assert outcome.by_state == {S.SKIPPED: 10, S.FAILED: 2}
    assert {item.error_code for item in (await night.items()).values()} == {None, "import_failed"}


async def test_a_file_whose_import_another_ledger_has_made_is_adopted_and_in_no_pack(night: Night) -> None:
    inbox_of(night, 6)
    await night.run(pack=0)
    for path in night.home.glob("ledger.db*"):
        path.unlink()
    inbox_of(night, 11)
    outcome = await night.run()
    assert outcome.exit_code == ExitCode.OK
    items = await night.items()
    assert [items[f"{number:02}.csv"].pack_import_id is None for number in range(11)] == [True] * 6 + [False] * 5
    assert await night.delivered() == Counter(f"Ann {number:02}.csv" for number in range(11))


@pytest.mark.parametrize("error", [AuthRefused("HTTP 403"), RequestInvalid("not in review")])
async def test_a_review_that_cannot_be_deleted_holds_up_its_pack_alone_and_its_result_is_fetched_once_it_is_finished(
    night: Night, monkeypatch: pytest.MonkeyPatch, error: BulkheadError
) -> None:
    async def refuse(_client: HeadlessClient, _import_id: str) -> None:
        raise error

    monkeypatch.setattr(HeadlessClient, "delete", refuse)
    inbox_of(night, 4, bad=1)
    night.add("alone.csv", "Email,Full Name\nalone@example.com,Ann alone.csv\n")
    outcome = await night.run(settings={"stuck_after": "0.2s"})
    assert outcome.exit_code == ExitCode.ITEMS_FAILED
    assert await night.named(S.COLLECTED) == ["alone.csv"]
    held = [item for item in (await night.items()).values() if item.state is S.FAILED]
    assert {item.error_code for item in held} == {"pack_review_open"}
    (import_id,) = {item.carrying_id for item in held}
    await night.sandbox.control("POST", f"/imports/{import_id}/finish")
    async with night.bulkhead() as bulkhead:
        assert await bulkhead.redrive(states={S.FAILED}) == 5
        outcome = await bulkhead.resume()
    assert outcome.by_state == {S.COLLECTED: 6}
    assert set((await night.delivered()).values()) == {1}


async def test_the_limit_of_results_is_for_each_file_of_a_pack_and_redrive_fetches_what_was_too_large(
    night: Night,
) -> None:
    night.engine = sandbox_engine
    inbox_of(night, 12)
    night.add("large.csv", HEADER + "".join(f"Row {number},r{number}@example.com\n" for number in range(60)))
    outcome = await night.run(settings={"max_result": "2k"})
    assert outcome.by_state == {S.COLLECTED: 12, S.FAILED: 1}
    large = (await night.items())["large.csv"]
    assert (large.error_code, large.is_held, large.import_id) == ("result_too_large", True, None)
    assert (large.error_message or "").startswith("the result is larger than 2048 bytes; raise max_result")
    async with night.bulkhead() as bulkhead:
        assert await bulkhead.redrive(states={S.FAILED}) == 1
        assert (await bulkhead.resume()).by_state == {S.COLLECTED: 13}
    names = [*(f"Ann {number:02}.csv" for number in range(12)), *(f"Row {number}" for number in range(60))]
    assert await night.delivered() == Counter(names)
