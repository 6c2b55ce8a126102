"""Batches over the same files, night after night: what is sent, what is skipped, and what fails without being sent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from runner.config.options import FailureLimit, RunOptions
from runner.config.routes import Routes
from runner.config.units import Rate
from runner.errors import RequestInvalid
from runner.local.pipeline import run_batch
from runner.local.plan import explain, plan
from runner.local.redrive import redrive_item
from runner.models import FAILED_BEFORE, Batch, Item, ItemState, tag_of
from runner.protocols import Body, Prepared, SourceEntry
from runner.stages.discover import Discovery
from runner.stages.earlier import HeldBack, held_back
from runner.stages.transitions import Transitions
from tests.support.bench import Bench
from tests.support.scripted import LoopClock, ScriptedVendor
from tests.support.sources import MemorySource

pytestmark = pytest.mark.virtual_time

S = ItemState
A, B, C = b"x\n1\n", b"x\n2\n", b"x\n3\n"


class JudgingVendor(ScriptedVendor):
    """Ends the import of each content as `ends` says; the others succeed."""

    def __init__(self) -> None:
        super().__init__(LoopClock())
        self.ends: dict[bytes, str] = {}

    async def put(self, url: str, body: Body, *, only_if_absent: bool) -> bool:
        stored = await super().put(url, body, only_if_absent=only_if_absent)
        import_id = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
        self.change(import_id, status=self.ends.get(self.received[import_id][0], "SUCCESSFUL"))
        return stored

    @property
    def data(self) -> list[bytes]:
        """The contents that arrived, in the order of their imports."""
        return [self.received[import_id][0] for import_id in self.imports if import_id in self.received]


class TouchedSource(MemorySource):
    """A directory whose files have another time, and so another version, after each `touch`."""

    touches = 0

    def _entry(self, key: str) -> SourceEntry:
        entry = super()._entry(key)
        return replace(entry, version=f"{entry.version}-{self.touches}")

    async def prepare(self, item: Item) -> Prepared:
        prepared = await super().prepare(item)
        return replace(prepared, version=f"{prepared.version}-{self.touches}")


@dataclass
class Nights(Bench):
    """One ledger and one source, and a batch for each night."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    count: int = 0
    clock_is_ahead: timedelta = timedelta(0)
    """By how much the machine's clock is ahead while a batch begins."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.vendor: JudgingVendor = JudgingVendor()
        self.source: TouchedSource = TouchedSource(self.files)

    async def night(
        self, *contents: bytes | None, touch: bool = False, killed_after: Sequence[int] = (), **options: Any
    ) -> Item:
        """Run a batch over `a.csv`, `b.csv`, and so on, and return the item of the last of these files.

        The run is killed and continued after each number of turns of the loop.
        """
        self.source.touches += touch
        given = {f"{chr(97 + at)}.csv": content for at, content in enumerate(contents)}
        self.source.files = {name: content for name, content in given.items() if content is not None}
        self.count += 1
        batch = await self.begun(f"n{self.count}")
        for turns in killed_after:
            run = asyncio.ensure_future(self.go_on(batch, **options))
            for _ in range(turns):
                await asyncio.sleep(0)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        await self.go_on(batch, **options)
        return await self.of(batch.batch_id, max(given))

    async def begun(self, batch_id: str) -> Batch:
        batch = Batch(
            batch_id=batch_id, source_uri=self.source.uri, account="a", out="out", config="{}",
            started_at=self.clock.now() + self.clock_is_ahead,
        )  # fmt: skip
        await self.ledger.start_batch(batch)
        return batch

    async def go_on(self, batch: Batch, **options: Any) -> None:
        self.options = RunOptions(**options)
        self.result = await run_batch(batch, self.context())

    async def of(self, batch_id: str, source: str = "a.csv") -> Item:
        found = await self.ledger.item(batch_id, source)
        assert found is not None
        return found

    async def leave_earlier(self, state: ItemState, **fields: Any) -> Item:
        """Put the item of an earlier night into the ledger, as it was sent with content A and then ended."""
        item = await self.night(A)
        self.vendor.received.clear()
        rows = self.ledger._batches[item.batch_id]
        left = replace(item, state=state, **fields)
        rows.items["a.csv"] = left
        rows.places.clear()
        rows.places[state] = [(0, b"a.csv")]
        return left

    async def discovered(self, batch_id: str, **options: Any) -> list[Item]:
        discovery = self.discovery(batch_id, **options)
        return [item async for entries in self.source.entries() for item in await discovery.items(entries)]

    def discovery(self, batch_id: str = "plan", **options: Any) -> Discovery:
        return Discovery(
            batch_id=batch_id, ledger=self.ledger, source=self.source, routes=self.routes, rank_of=lambda _: 0,
            endpoint="e", again=options.get("again", False), retry_failed=options.get("retry_failed", False),
            clock=self.clock,
        )  # fmt: skip

    async def verdict(self, content: bytes, **options: Any) -> str:
        """Return what `explain` says about `a.csv` with a content."""
        self.source.files = {"a.csv": content}
        chosen = {"again": False, **options}
        found = await explain(
            self.source, self.discovery(**options), self.routes, ledger=self.ledger, endpoint="e", **chosen
        )
        assert found is not None
        return found.verdict


HELD: list[dict[str, Any]] = [
    {"state": S.UNCERTAIN, "error_code": "create_in_doubt"},
    {"state": S.NEEDS_REVIEW, "status": "NEEDS_REVIEW"},
    {"state": S.FAILED, "status": "RUNNING", "error_code": "import_missing"},
    {"state": S.FAILED, "status": "AWAITING_UPLOAD", "error_code": "upload_not_taken"},
    {"state": S.FAILED, "status": "SUCCESSFUL", "error_code": "result_missing"},
    {"state": S.FAILED, "status": "SUCCESSFUL", "error_code": "result_invalid"},
    {"state": S.FAILED, "status": "NEEDS_REVIEW", "error_code": "review_dismissed"},
]
every_held = pytest.mark.parametrize("held", HELD, ids=lambda held: held.get("error_code") or held["state"])


# held


@every_held
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("touch", [False, True])
async def test_no_later_batch_sends_the_content_of_a_held_item(held: dict[str, Any], again: bool, touch: bool) -> None:
    nights = Nights()
    earlier = await nights.leave_earlier(**held)
    item = await nights.night(A, touch=touch, again=again)
    assert nights.vendor.data == []
    assert (item.state, item.earlier_state) == (S.SKIPPED, earlier.state)
    assert (item.earlier_batch_id, item.earlier_import_id) == ("n1", earlier.import_id)
    assert await nights.ledger.held_back(item.batch_id) == [item]
    assert await nights.verdict(A, again=again) == "skip"


@every_held
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("touch", [False, True])
async def test_content_of_a_held_item_is_not_sent_when_it_returns(
    held: dict[str, Any], again: bool, touch: bool
) -> None:
    nights = Nights()
    await nights.leave_earlier(**held)
    assert (await nights.night(B)).state is S.COLLECTED
    item = await nights.night(A, touch=touch, again=again)
    assert nights.vendor.data == [B]
    assert (item.state, item.earlier_batch_id) == (S.SKIPPED, "n1")


@every_held
async def test_new_content_of_a_file_is_sent_although_its_earlier_content_is_held(held: dict[str, Any]) -> None:
    nights = Nights()
    await nights.leave_earlier(**held)
    assert (await nights.night(B)).state is S.COLLECTED
    assert nights.vendor.data == [B]


async def test_the_same_content_is_sent_under_another_binding_although_it_is_held() -> None:
    nights = Nights()
    await nights.leave_earlier(S.UNCERTAIN, error_code="create_in_doubt")
    nights.routes = Routes.single(schema_id="s2")
    assert (await nights.night(A)).state is S.COLLECTED


@every_held
async def test_a_skip_needs_attention_until_the_earlier_item_is_resolved(held: dict[str, Any]) -> None:
    nights = Nights()
    earlier = await nights.leave_earlier(**held)
    item = await nights.night(A)
    found = await held_back(nights.ledger, item.batch_id)
    is_review, is_dismissed = earlier.state is S.NEEDS_REVIEW, earlier.is_dismissed
    assert found.unresolved == int(not is_review and not is_dismissed)
    assert found.unresolved_in == ({"n1"} if found.unresolved else set())
    assert found.reviewed == ({("n1", "a.csv")} if is_review else set())
    dismissed = replace(earlier, state=S.FAILED, error_code="dismissed", revision=earlier.revision + 1)
    nights.ledger._batches["n1"].items["a.csv"] = dismissed
    assert await held_back(nights.ledger, item.batch_id) == HeldBack()
    assert (await nights.night(A)).state is S.SKIPPED
    assert await held_back(nights.ledger, f"n{nights.count}") == HeldBack()


async def test_the_item_of_a_former_version_holds_items_back_until_it_is_resolved() -> None:
    nights = Nights()
    earlier = await nights.leave_earlier(S.UNCERTAIN, error_code="create_in_doubt", file_key="", import_id=None)
    item = await nights.night(A)
    assert (item.state, item.earlier_state) == (S.SKIPPED, S.UNCERTAIN)
    assert (await held_back(nights.ledger, item.batch_id)).unresolved == 1
    collected = replace(earlier, state=S.COLLECTED, error_code=None)
    nights.ledger._batches["n1"].items["a.csv"] = collected
    assert await held_back(nights.ledger, item.batch_id) == HeldBack()


async def test_a_review_that_opens_after_the_skip_counts_too() -> None:
    nights = Nights()
    earlier = await nights.leave_earlier(S.PROCESSING, status="RUNNING")
    item = await nights.night(A)
    assert (item.earlier_state, await held_back(nights.ledger, item.batch_id)) == (S.PROCESSING, HeldBack())
    nights.ledger._batches["n1"].items["a.csv"] = replace(earlier, state=S.NEEDS_REVIEW, status="NEEDS_REVIEW")
    assert (await held_back(nights.ledger, item.batch_id)).reviewed == {("n1", "a.csv")}


async def test_an_ordinary_skip_names_the_item_that_was_sent() -> None:
    nights = Nights()
    sent = await nights.night(A)
    for touch in (False, True):
        item = await nights.night(A, touch=touch)
        assert (item.state, item.earlier_state, item.earlier_batch_id) == (S.SKIPPED, S.COLLECTED, "n1")
        assert item.earlier_import_id == sent.import_id
        assert await nights.ledger.held_back(item.batch_id) == []


# a return to earlier content


def tags(nights: Nights) -> list[str | None]:
    return [tag_of(request.original_filename) for request in nights.vendor.created]


@pytest.mark.parametrize("touch", [False, True])
async def test_each_return_to_earlier_content_is_sent_with_a_tag_of_its_own(touch: bool) -> None:
    nights = Nights()
    sequence = [A, B, A, A, B, B, A, C, A]
    changes = [A, B, A, B, A, C, A]
    for content in sequence:
        verdict = await nights.verdict(content)
        item = await nights.night(content, touch=touch)
        assert verdict == ("skip" if item.state is S.SKIPPED else "send")
    assert nights.vendor.data == changes
    assert len(set(tags(nights))) == len(changes)


async def test_a_clock_that_is_set_back_between_nights_sends_nothing_twice() -> None:
    nights = Nights(clock_is_ahead=timedelta(days=1))
    await nights.night(A)
    nights.clock_is_ahead = timedelta(0)
    await nights.night(B)
    assert (await nights.night(B, touch=True)).state is S.SKIPPED
    await nights.night(A)
    assert nights.vendor.data == [A, B, A]
    assert len(set(tags(nights))) == 3


async def test_the_first_occurrence_of_a_content_has_the_tag_of_version_0_1_0() -> None:
    nights = Nights()
    for content in (A, B, C):
        nights.source.files = {"a.csv": content}
        await nights.night(content)
    fresh = Nights()
    for content in (C, B, A):
        await fresh.night(content)
    assert set(tags(nights)) == set(tags(fresh))


async def test_a_version_that_failed_or_was_rejected_in_between_is_none() -> None:
    nights = Nights()
    await nights.night(A)
    nights.vendor.ends[B] = "FAILED"
    assert (await nights.night(B)).state is S.FAILED
    assert (await nights.night(b"")).state is S.REJECTED
    for touch in (False, True):
        assert (await nights.night(A, touch=touch)).state is S.SKIPPED
    assert nights.vendor.data == [A, B]


async def test_a_held_version_in_between_counts() -> None:
    nights = Nights()
    await nights.night(A)
    nights.vendor.ends[B] = "NEEDS_REVIEW"
    nights.vendor.ends[C] = "FAILED"
    await nights.night(B)
    assert (await nights.night(A)).state is S.COLLECTED
    assert nights.vendor.data == [A, B, A]


async def test_content_that_was_collected_is_unchanged_although_it_failed_when_it_was_sent_again() -> None:
    nights = Nights()
    await nights.night(A)
    nights.vendor.ends[A] = "FAILED"
    assert (await nights.night(A, touch=True, again=True)).state is S.FAILED
    for touch in (False, True):
        assert (await nights.night(A, touch=touch)).state is S.SKIPPED


async def test_files_that_return_do_not_disturb_each_other() -> None:
    nights = Nights()
    await nights.night(A, B)
    await nights.night(B, A)
    await nights.night(A, A)
    assert nights.vendor.data == [A, B, B, A, A]


async def test_again_sends_collected_content_with_the_tag_it_had() -> None:
    nights = Nights()
    for content in (A, B, A):
        await nights.night(content)
    await nights.night(A, again=True)
    assert nights.vendor.data == [A, B, A, A]
    assert tags(nights)[2] == tags(nights)[3] != tags(nights)[0]


async def test_the_return_of_an_earlier_binding_is_no_change() -> None:
    nights = Nights()
    first, second = nights.routes, Routes.single(schema_id="s2")
    for routes in (first, second, first, second):
        nights.routes = routes
        await nights.night(A)
    assert len(nights.vendor.created) == 2


async def test_a_return_keeps_its_tag_when_the_run_is_continued_and_what_came_in_between_has_failed() -> None:
    nights = Nights()
    await nights.night(A)
    await nights.night(B)
    nights.source.files = {"a.csv": A}
    batch = await nights.begun("n3")
    nights.vendor.create_script.extend([RequestInvalid("no")])
    await nights.go_on(batch)
    tried = await nights.of("n3")
    assert tried.error_code == "create_refused"
    transitions = Transitions(nights.ledger, clock=nights.clock, emit=lambda _: None, by_state={})
    await redrive_item(tried, transitions)
    between = await nights.of("n2")
    nights.ledger._batches["n2"].items["a.csv"] = replace(between, state=S.FAILED, error_code="import_failed")
    await nights.go_on(batch)
    again = await nights.of("n3")
    assert (again.state, again.tag) == (S.COLLECTED, tried.tag)


async def test_a_lost_ledger_starts_to_count_at_the_first_version() -> None:
    nights = Nights()
    for content in (A, B):
        await nights.night(content)
    fresh = Nights()
    fresh.vendor = nights.vendor
    item = await fresh.night(A)
    assert (item.state, nights.vendor.data) == (S.COLLECTED, [A, B])


async def test_an_older_batch_that_is_continued_does_not_count_later_versions() -> None:
    nights = Nights()
    await nights.night(A)
    nights.source.files = {"a.csv": A}
    left_open = await nights.begun("open")
    await nights.ledger.add([Item(batch_id="open", source="a.csv", schema_id="s1")])
    await asyncio.sleep(60)
    assert (await nights.night(B)).state is S.COLLECTED
    nights.source.files = {"a.csv": A}
    self_skipped = await run_batch(left_open, nights.context(), list_source=False)
    assert self_skipped.by_state == {S.SKIPPED: 1}
    assert (await nights.night(A)).state is S.COLLECTED


# failed before


async def refused(nights: Nights, how: str) -> Item:
    """Let the vendor refuse content A, and return its item."""
    if how == "create":
        nights.vendor.create_script.append(RequestInvalid("unknown field"))
    else:
        nights.vendor.ends[A] = "FAILED"
    item = await nights.night(A)
    assert item.was_refused
    return item


both_refusals = pytest.mark.parametrize("how", ["create", "import"])


@both_refusals
@pytest.mark.parametrize("touch", [False, True])
async def test_an_unchanged_file_that_the_vendor_refused_fails_without_being_sent(how: str, touch: bool) -> None:
    nights = Nights()
    first = await refused(nights, how)
    sent = len(nights.vendor.data)
    for _ in range(3):
        verdict = await nights.verdict(A)
        item = await nights.night(A, touch=touch)
        assert (item.state, item.error_code) == (S.FAILED, FAILED_BEFORE)
        assert (item.earlier_batch_id, item.earlier_import_id) == ("n1", first.import_id)
        assert item.earlier_state is S.FAILED
        assert "if you corrected the schema in the dashboard, run with --retry-failed" in str(item.error_message)
        assert verdict == "skip"
    assert len(nights.vendor.data) == sent


@both_refusals
@pytest.mark.parametrize("options", [{"retry_failed": True}, {"again": True}], ids=str)
@pytest.mark.parametrize("touch", [False, True])
async def test_a_refused_file_is_sent_on_request(how: str, options: dict[str, bool], touch: bool) -> None:
    nights = Nights()
    first = await refused(nights, how)
    await nights.night(A)
    nights.vendor.ends.clear()
    assert await nights.verdict(A, **options) == "send"
    item = await nights.night(A, touch=touch, **options)
    assert item.state is S.COLLECTED
    assert item.tag == first.tag
    assert (await nights.night(A)).state is S.SKIPPED


async def test_retry_failed_sends_nothing_that_is_held_or_collected() -> None:
    nights = Nights()
    nights.vendor.ends[B] = "NEEDS_REVIEW"
    await nights.night(A, B)
    assert (await nights.night(A, B, retry_failed=True)).state is S.SKIPPED
    assert nights.vendor.data == [A, B]


@both_refusals
async def test_a_refused_file_is_sent_once_its_content_or_binding_changes(how: str) -> None:
    nights = Nights()
    await refused(nights, how)
    assert (await nights.night(B)).state is S.COLLECTED
    nights.vendor.ends.clear()
    nights.routes = Routes.single(schema_id="s2")
    assert (await nights.night(A)).state is S.COLLECTED


async def test_a_request_is_kept_when_its_run_is_continued_without_the_option() -> None:
    nights = Nights()
    await refused(nights, "import")
    nights.vendor.ends.clear()
    batch = await nights.begun("n2")
    nights.source.files = {"a.csv": A}
    await nights.ledger.add(await nights.discovered("n2", retry_failed=True))
    await nights.ledger.update_batch("n2", listed=True)
    await nights.go_on(batch)
    assert (await nights.of("n2")).state is S.COLLECTED


@pytest.mark.parametrize("touch", [False, True])
async def test_an_item_that_failed_before_is_sent_when_a_person_redrives_it(touch: bool) -> None:
    nights = Nights()
    await refused(nights, "import")
    item = await nights.night(A, touch=touch)
    nights.vendor.ends.clear()
    transitions = Transitions(nights.ledger, clock=nights.clock, emit=lambda _: None, by_state={})
    queued = await redrive_item(item, transitions)
    assert queued is not None
    assert (queued.state, queued.error_code) == (S.QUEUED, None)
    batch = await nights.ledger.batch(item.batch_id)
    assert batch is not None
    await nights.go_on(batch)
    assert (await nights.of(item.batch_id)).state is S.COLLECTED


@pytest.mark.parametrize("touch", [False, True])
async def test_files_that_failed_before_do_not_count_for_the_failure_limit(touch: bool) -> None:
    nights = Nights()
    nights.vendor.ends[A] = "FAILED"
    await nights.night(A, A, A, B)
    await nights.night(A, A, A, C, touch=touch, failure_limit=FailureLimit(count=1))
    assert not nights.stop.requested
    assert nights.result.by_state == {S.FAILED: 3, S.COLLECTED: 1}


async def test_a_file_that_was_rejected_here_is_judged_again_each_time() -> None:
    nights = Nights()
    for _ in range(2):
        item = await nights.night(b"")
        assert (item.state, item.error_code, item.earlier_state) == (S.REJECTED, "empty", None)


async def test_a_plan_counts_what_a_run_would_not_send() -> None:
    nights = Nights()
    nights.vendor.ends[A] = "FAILED"
    await nights.night(A, B)
    found = await plan(nights.source, nights.discovery(), nights.routes, quota=Rate(20, 60.0), free=20)
    assert (found.failed_before, found.skipped, found.creates) == (1, 1, 0)
    retried = nights.discovery(retry_failed=True)
    found = await plan(nights.source, retried, nights.routes, quota=Rate(20, 60.0), free=20)
    assert (found.failed_before, found.skipped, found.creates) == (0, 1, 1)


# any order of nights


@dataclass
class Expected:
    """What should become of `a.csv`: `tried` has each content that was sent, and how its import ended."""

    tried: list[tuple[bytes, str]] = field(default_factory=list)

    def night(self, content: bytes, end: str, *, again: bool, retry_failed: bool) -> ItemState:
        versions = [sent for sent, ended in self.tried if ended != "FAILED"]
        if (content, "NEEDS_REVIEW") in self.tried or (not again and versions[-1:] == [content]):
            return S.SKIPPED
        if not (again or retry_failed) and self.tried[-1:] == [(content, "FAILED")]:
            return S.FAILED
        self.tried.append((content, end))
        return {"SUCCESSFUL": S.COLLECTED, "NEEDS_REVIEW": S.NEEDS_REVIEW, "FAILED": S.FAILED}[end]


@pytest.mark.parametrize("start", range(0, 120, 30))
async def test_whatever_the_order_of_nights_what_is_sent_follows_from_what_was_sent_before(start: int) -> None:
    for seed in range(start, start + 30):
        rng = random.Random(seed)
        nights, expected = Nights(), Expected()
        for number in range(rng.randint(3, 9)):
            content = rng.choice((A, B, C))
            end = nights.vendor.ends[content] = rng.choice(("SUCCESSFUL", "SUCCESSFUL", "NEEDS_REVIEW", "FAILED"))
            options = {"again": rng.random() < 0.15, "retry_failed": rng.random() < 0.2}
            verdict = await nights.verdict(content, **options)
            state = expected.night(content, end, **options)
            turns = [rng.randrange(150) for _ in range(rng.choice((0, 0, 1, 2)))]
            item = await nights.night(content, touch=rng.random() < 0.4, killed_after=turns, **options)
            assert item.state is state, f"seed {seed}, night {number}"
            assert (verdict == "send") is (item.attempts > 0), f"seed {seed}, night {number}"
            assert nights.vendor.data == [sent for sent, _ in expected.tried], f"seed {seed}, night {number}"
