"""Evidence that an import is gone: how many answers, over how long, and which lists it takes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from runner.errors import ListUnusable, Unavailable
from runner.events import ignore
from runner.ledger.memory import MemoryLedger
from runner.models import ImportPage, Item, ItemState, RemoteImport
from runner.stages.absence import PAUSE_S, Absence, Finding, is_suspected
from runner.stages.transitions import Transitions
from tests.support.listed import AT, Lists, StillClock, batch, made

pytestmark = pytest.mark.virtual_time

S = ItemState
OTHERS = [made("other", 60)]


class Case:
    """One item whose import the vendor does not find; `at_s` sets the clock that dates the answers."""

    def __init__(self, *walks: list[RemoteImport]) -> None:
        self.api = Lists(*(walks or [OTHERS]))
        self.now = AT
        self.ledger = MemoryLedger(now=lambda: self.now)
        transitions = Transitions(self.ledger, clock=StillClock(), emit=ignore, by_state={})
        self.absence = Absence(api=self.api, transitions=transitions)

    async def item(self, state: ItemState = S.PROCESSING, *, name: str = "i", at: datetime | None = AT) -> Item:
        if await self.ledger.batch("b") is None:
            await self.ledger.start_batch(batch())
        await self.ledger.add([Item(batch_id="b", source=name)])
        item = await self.ledger.advance(Item(batch_id="b", source=name), S.CREATING, reason="x")
        item = await self.ledger.advance(item, S.PROCESSING, reason="x", import_id=name, created_at=at)
        if state is S.NEEDS_REVIEW:
            message = "a person must finish this import"
            return await self.ledger.advance(item, state, reason="x", error_code="needs_review", error_message=message)
        return await self.ledger.advance(item, state, reason="x")

    async def asked(self, item: Item, *at_s: float, result: bool = False) -> Finding:
        """Ask at each of these seconds; returns the last finding."""
        for second in at_s:
            self.now = AT + timedelta(seconds=second)
            ask = self.absence.of_result if result else self.absence.of_import
            finding = await ask(item)
            item = finding.item
        return finding


@pytest.mark.parametrize(
    ("at_s", "is_proved"),
    [
        ((0, 150, 300), True),
        ((0, 150, 299), False),
        ((0, 300), False),
        ((0, 60, 120, 300), True),
        ((0, 3600, 3601), False),
        ((0, 3600, 3660), True),
        ((0, 241, 300), False),
        ((0, 150, -600, -450), True),
        ((0, 150, -600, -451), False),
    ],
)
async def test_an_import_is_gone_after_three_answers_over_five_minutes_of_which_a_gap_counts_as_four_at_most(
    at_s: tuple[float, ...], is_proved: bool
) -> None:
    case = Case()
    finding = await case.asked(await case.item(), *at_s)
    assert finding.is_proved is is_proved
    assert is_suspected(finding.item)


async def test_answers_as_far_apart_as_the_pause_are_enough() -> None:
    case = Case()
    assert (await case.asked(await case.item(), 0, PAUSE_S, 2 * PAUSE_S)).is_proved
    assert PAUSE_S == 155.0


@pytest.mark.parametrize(("shown", "over_s"), [([made("i")], 1800), (OTHERS, 300)])
async def test_a_result_is_gone_after_half_an_hour_where_its_import_is_listed_and_else_after_five_minutes(
    shown: list[RemoteImport], over_s: int
) -> None:
    for last_s, is_proved in ((over_s - 1, False), (over_s, True)):
        case = Case(shown)
        at_s = [*range(0, over_s - 50, 100), last_s]
        assert (await case.asked(await case.item(S.SUCCEEDED), *at_s, result=True)).is_proved is is_proved


@pytest.mark.parametrize("state", [S.PROCESSING, S.NEEDS_REVIEW])
async def test_a_list_that_shows_the_import_outweighs_all_answers(state: ItemState) -> None:
    case = Case(OTHERS, OTHERS, [made("i")], OTHERS)
    before = await case.item(state)
    finding = await case.asked(before, 0, 200)
    assert is_suspected(finding.item)
    finding = await case.asked(finding.item, 400)
    item = finding.item
    assert (finding.is_proved, finding.sentence.endswith("but its list shows it")) == (False, True)
    assert (item.error_code, item.error_message) == (before.error_code, before.error_message)
    assert not is_suspected(item)
    assert not (await case.asked(item, 600)).is_proved


async def test_a_review_keeps_its_message_beside_what_is_suspected() -> None:
    case = Case()
    finding = await case.asked(await case.item(S.NEEDS_REVIEW), 0, 200)
    assert finding.item.error_code == "needs_review"
    assert finding.item.error_message == ("a person must finish this import; now the vendor does not find the import")
    assert is_suspected(finding.item)


async def test_a_failed_item_is_no_longer_suspected() -> None:
    case = Case()
    item = (await case.asked(await case.item(), 0)).item
    assert not is_suspected(await case.ledger.advance(item, S.FAILED, reason="gone"))


async def test_an_item_that_is_not_suspected_is_found_without_a_write() -> None:
    case = Case()
    item = await case.item()
    assert await case.absence.found(item) is item


async def test_answers_about_an_earlier_import_of_the_item_do_not_count() -> None:
    case = Case()
    item = (await case.asked(await case.item(), 0, 200)).item
    item = await case.ledger.advance(item, S.FAILED, reason="import_missing")
    item = await case.ledger.advance(item, S.QUEUED, reason="import_missing", import_id=None)
    item = await case.ledger.advance(item, S.CREATING, reason="import_missing")
    item = await case.ledger.advance(item, S.PROCESSING, reason="import_missing", import_id="second")
    assert not (await case.asked(item, 300, 400)).is_proved


@pytest.mark.parametrize("dates", [(AT, AT - timedelta(hours=5)), (AT, None), (None, None)])
async def test_one_list_serves_all_who_ask_and_goes_back_to_the_oldest_import(
    dates: tuple[datetime | None, ...],
) -> None:
    rows = [made("new", 60), *(made(f"fill-{number}", 0) for number in range(1100)), made("i-1", -300)]
    case = Case(rows)
    page, turn = case.api.list_page, asyncio.Event()

    async def slow_at_first(*, limit: int, offset: int) -> ImportPage:
        await turn.wait()
        return await page(limit=limit, offset=offset)

    case.api.list_page = slow_at_first  # type: ignore[method-assign]
    first = asyncio.ensure_future(case.absence.of_import(await case.item(name="first")))
    await asyncio.sleep(1)
    items = [await case.item(name=f"i-{number}", at=at) for number, at in enumerate(dates)]
    asking = [asyncio.ensure_future(case.absence.of_import(item)) for item in items]
    await asyncio.sleep(1)
    turn.set()
    findings = [await finding for finding in asking]
    await first
    assert case.api.walks == 2
    assert [is_suspected(finding.item) for finding in findings] == [True, False]


async def test_a_list_that_cannot_be_read_is_no_answer_for_any_who_asked() -> None:
    case = Case()
    page, troubles = case.api.list_page, [Unavailable("503")] * 100
    items = [await case.item(name=name) for name in ("i", "j")]

    async def failing(*, limit: int, offset: int) -> ImportPage:
        await asyncio.sleep(1)
        if troubles:
            raise troubles.pop()
        return await page(limit=limit, offset=offset)

    case.api.list_page = failing  # type: ignore[method-assign]
    got = await asyncio.gather(*map(case.absence.of_import, items), return_exceptions=True)
    assert [type(one) for one in got] == [Unavailable, Unavailable]
    troubles.clear()
    got = await asyncio.gather(*map(case.absence.of_import, items), return_exceptions=True)
    assert [is_suspected(one.item) for one in got if isinstance(one, Finding)] == [True, True]
    assert case.api.walks == 2


async def test_a_list_with_an_entry_that_cannot_be_read_is_no_evidence() -> None:
    case = Case()
    item, page = await case.item(), case.api.list_page

    async def not_whole(*, limit: int, offset: int) -> ImportPage:
        return replace(await page(limit=limit, offset=offset), left_out=1, is_whole=False)

    case.api.list_page = not_whole  # type: ignore[method-assign]
    with pytest.raises(ListUnusable):
        await case.absence.of_import(item)
    assert await case.ledger.item("b", "i") == item
