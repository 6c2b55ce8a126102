"""What lists show of JSON creates: which imports are samples of answered ones, and what these prove about others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runner.dromo.listing import CLOCK_MARGIN
from runner.errors import ListUnusable
from runner.ledger.memory import MemoryLedger
from runner.models import Batch, ImportPage, Item, ItemKind, ItemState, RemoteImport
from runner.stages.json_imports import ADOPTED, JsonImports, Sample, Seen

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TAGGED = "a.~abcdefghijklm.csv"


class Lists:
    """An API that gives one list after the other, and the last one over and over."""

    def __init__(self, *lists: Sequence[RemoteImport], is_whole: bool = True) -> None:
        self._lists = lists
        self._is_whole = is_whole
        self.asked = 0

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        shown = tuple(self._lists[min(self.asked, len(self._lists) - 1)])
        self.asked += 1
        return ImportPage(count=len(shown), imports=shown, has_next=False, is_whole=self._is_whole)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected")


def remote(import_id: str = "i-1", at: datetime | None = AT, *, name: str | None = None) -> RemoteImport:
    return RemoteImport(import_id=import_id, status="PENDING", schema_id="s", original_filename=name, created_at=at)


def sample(
    made_at: datetime | None = AT, intent_at: datetime | None = AT, *, name: str | None = None, binding: str = "b"
) -> Sample:
    item = Item(batch_id="b1", source="a.json", kind=ItemKind.JSON, binding=binding, intent_at=intent_at)
    return Sample(item, remote("i-0", made_at, name=name))


def seen(*samples: Sample) -> Seen:
    return Seen((), samples)


async def owned(
    ledger: MemoryLedger, import_id: str, *, kind: ItemKind = ItemKind.JSON, reason: str = "created"
) -> Item:
    """Record an item whose create made an import."""
    item = Item(batch_id="b1", source=f"{import_id}.json", kind=kind)
    await ledger.add([item])
    item = await ledger.advance(item, ItemState.CREATING, reason="intent", intent_at=AT)
    return await ledger.advance(item, ItemState.PROCESSING, reason=reason, import_id=import_id)


@pytest.fixture
async def ledger() -> MemoryLedger:
    ledger = MemoryLedger(now=lambda: AT)
    await ledger.start_batch(Batch(batch_id="b1", source_uri="x", account="a", out="o", config="{}", started_at=AT))
    return ledger


async def ids_seen(lists: Lists, since: datetime = AT - timedelta(hours=1)) -> set[str]:
    imports = JsonImports(lists, MemoryLedger(now=lambda: AT), saved_schemas=())
    return {one.import_id for one in (await imports.seen_since(since)).unowned}


@pytest.mark.parametrize(
    ("off", "is_early", "is_expected"),
    [
        (-CLOCK_MARGIN - SECOND, True, False),
        (-CLOCK_MARGIN, False, True),
        (timedelta(0), False, True),
        (CLOCK_MARGIN, False, True),
        (CLOCK_MARGIN + SECOND, False, False),
    ],
)
def test_the_date_of_a_sample_is_expected_within_the_margin_and_early_before_it(
    off: timedelta, is_early: bool, is_expected: bool
) -> None:
    one = sample(AT + off)
    assert (one.date_is_early, one.date_is_expected) == (is_early, is_expected)


@pytest.mark.parametrize("one", [sample(None), sample(AT, None), sample(None, None)])
def test_a_sample_without_a_date_is_neither_early_nor_expected(one: Sample) -> None:
    assert (one.date_is_early, one.date_is_expected) == (False, False)


def test_a_list_shows_json_creates_if_one_is_dated_as_expected_and_none_is_early() -> None:
    expected, early, late = sample(), sample(AT - timedelta(hours=1)), sample(AT + timedelta(hours=1))
    assert seen(late, expected).shows_json_creates
    assert not seen(late).shows_json_creates
    assert not seen(expected, early).shows_json_creates
    assert not seen().shows_json_creates


def test_a_list_is_as_old_as_the_newest_create_whose_import_it_shows_with_the_expected_date() -> None:
    older, newer = sample(AT, AT), sample(AT + 30 * SECOND, AT + 30 * SECOND)
    off = sample(AT, AT + 3 * CLOCK_MARGIN)
    assert seen(older, newer, off, sample(AT, None)).age(AT + 90 * SECOND) == 60 * SECOND
    assert seen(off).age(AT + 90 * SECOND) is None


def test_the_latest_date_before_an_instant_is_of_a_create_sent_until_then() -> None:
    minute = timedelta(minutes=1)
    samples = [
        sample(AT - 2 * minute, AT - 2 * minute),
        sample(AT - minute, AT),
        sample(AT + minute, AT + SECOND),
        sample(AT + 2 * minute, None),
        sample(None, AT),
    ]
    assert seen(*samples).latest_before(AT) == AT - minute
    assert seen(*samples[2:]).latest_before(AT) is None


@pytest.mark.parametrize(
    ("names", "possible", "impossible"),
    [
        ([], ["orders.csv", None], []),
        ([None], [None], ["orders.csv"]),
        ([None, None], [None], ["orders.csv"]),
        (["x.json"], ["x.json", "orders.csv", None], []),
        (["x.json", "x.json"], ["x.json", None], ["orders.csv"]),
        (["x.json", "y.json"], ["x.json", "orders.csv", None], []),
    ],
)
def test_the_names_of_imports_of_the_same_binding_tell_which_names_are_possible(
    names: list[str | None], possible: list[str | None], impossible: list[str | None]
) -> None:
    of_others = [sample(name="other.json", binding="other")] * 2
    shown = seen(*of_others, *(sample(name=name) for name in names))
    assert all(shown.may_be_named(remote(name=name), "b") for name in possible)
    assert not any(shown.may_be_named(remote(name=name), "b") for name in impossible)


def test_a_name_is_as_expected_if_it_differs_from_those_of_answered_creates_only_in_numbers_and_ids() -> None:
    shown = seen(sample(name="import 7 i-0.json"))
    assert shown.is_named_as_expected(remote("i-1", name="import 12 i-1.json"))
    assert not shown.is_named_as_expected(remote("i-1", name="export 12 i-1.json"))
    assert not shown.is_named_as_expected(remote())
    assert seen().is_named_as_expected(remote())
    assert not seen().is_named_as_expected(remote(name="orders.csv"))


async def test_untagged_imports_since_an_instant_are_seen_and_those_without_a_date_too() -> None:
    shown = [remote("new"), remote("at", AT - SECOND), remote("undated", None)]
    hidden = [remote("old", AT - 2 * SECOND), remote("tagged", name=TAGGED)]
    assert await ids_seen(Lists([*shown, *hidden]), AT - SECOND) == {"new", "at", "undated"}


async def test_an_import_that_only_the_second_list_shows_is_seen_once_the_third_agrees() -> None:
    old = remote("old", AT - SECOND)
    lists = Lists([remote()], [remote(), old], [remote(), old])
    assert await ids_seen(lists) == {"i-1", "old"}
    assert lists.asked == 3


@pytest.mark.parametrize("late", [remote("late", AT), remote("late", None)])
async def test_an_import_that_is_not_provably_newer_than_the_first_list_needs_another(late: RemoteImport) -> None:
    lists = Lists([remote()], [remote(), late], [remote(), late])
    await ids_seen(lists)
    assert lists.asked == 3


async def test_an_import_that_is_made_after_the_first_list_needs_no_other_list() -> None:
    lists = Lists([remote()], [remote(), remote("newer", AT + SECOND)])
    assert await ids_seen(lists) == {"i-1", "newer"}
    assert lists.asked == 2


async def test_an_import_after_an_empty_list_needs_another() -> None:
    lists = Lists([], [remote()])
    assert await ids_seen(lists) == {"i-1"}
    assert lists.asked == 3


async def test_an_import_that_one_list_showed_is_seen_though_later_ones_lack_it() -> None:
    lists = Lists([remote(), remote("gone", AT - SECOND)], [remote()])
    assert await ids_seen(lists) == {"i-1", "gone"}


async def test_lists_that_never_agree_prove_nothing() -> None:
    lists = Lists(*[[remote(f"i-{number}")] for number in range(20)])
    with pytest.raises(ListUnusable, match="agree"):
        await ids_seen(lists)
    assert lists.asked == 10


async def test_a_list_with_an_entry_that_cannot_be_read_proves_nothing() -> None:
    with pytest.raises(ListUnusable):
        await ids_seen(Lists([remote()], is_whole=False))


async def test_only_answered_json_creates_are_samples(ledger: MemoryLedger) -> None:
    await owned(ledger, "json")
    await owned(ledger, "file", kind=ItemKind.FILE)
    await owned(ledger, "adopted", reason=ADOPTED)
    lists = Lists([remote(name) for name in ("json", "file", "adopted", "unowned")])
    shown = await JsonImports(lists, ledger, saved_schemas=()).seen_since(AT)
    assert [one.remote.import_id for one in shown.samples] == ["json"]
    assert [one.import_id for one in shown.unowned] == ["unowned"]


async def test_an_import_that_its_item_has_left_is_no_sample(ledger: MemoryLedger) -> None:
    item = await owned(ledger, "left")
    item = await ledger.advance(item, ItemState.FAILED, reason="failed")
    await ledger.advance(item, ItemState.QUEUED, reason="redrive", import_id=None)
    shown = await JsonImports(Lists([remote("left")]), ledger, saved_schemas=()).seen_since(AT)
    assert (shown.samples, shown.unowned) == ([], [])


async def test_an_import_that_its_item_adopted_before_it_was_answered_another_is_no_proof_against_that_one(
    ledger: MemoryLedger,
) -> None:
    item = await owned(ledger, "adopted", reason=ADOPTED)
    item = await ledger.advance(item, ItemState.FAILED, reason="failed")
    item = await ledger.advance(item, ItemState.QUEUED, reason="redrive", import_id=None)
    item = await ledger.advance(item, ItemState.CREATING, reason="intent", intent_at=AT)
    await ledger.advance(item, ItemState.PROCESSING, reason="created", import_id="answered")
    shown = await JsonImports(Lists([remote("answered")]), ledger, saved_schemas=()).seen_since(AT)
    assert [one.remote.import_id for one in shown.samples] == ["answered"]


async def test_the_fifty_newest_samples_are_enough(ledger: MemoryLedger) -> None:
    for number in range(52):
        await owned(ledger, f"i-{number:02}")
    lists = Lists([remote(f"i-{number:02}", AT + number * SECOND) for number in range(52)])
    shown = await JsonImports(lists, ledger, saved_schemas=()).seen_since(AT)
    assert [one.remote.import_id for one in shown.samples] == [f"i-{number:02}" for number in range(51, 1, -1)]


@pytest.mark.parametrize(("schema_id", "may"), [("s", True), ("other", False), (None, False)])
async def test_an_import_of_a_saved_schema_is_only_of_an_item_with_that_schema(
    schema_id: str | None, may: bool
) -> None:
    imports = JsonImports(Lists([]), MemoryLedger(now=lambda: AT), saved_schemas={"s"})
    assert imports.may_have_schema(remote(), schema_id) is may


async def test_an_import_of_a_schema_that_is_not_saved_may_be_of_an_item_with_inline_fields() -> None:
    imports = JsonImports(Lists([]), MemoryLedger(now=lambda: AT), saved_schemas={"other"})
    assert imports.may_have_schema(remote(), None)
