"""The tracker alone: when it lists, what it asks for, and what each answer says about an item."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from runner.errors import AuthRefused, RequestInvalid, StorageFull, Unavailable
from runner.events import ignore
from runner.ledger.memory import MemoryLedger
from runner.models import IMPORT_MISSING, REVIEW_DISMISSED, ImportPage, Item, ItemState, RemoteImport
from runner.stages.track import REFUSED_PASSES, Pass, Tracker
from runner.stages.transitions import Transitions
from tests.support.listed import AT, StillClock, batch, made

pytestmark = pytest.mark.virtual_time

S = ItemState
A_MESSAGE, B_MESSAGE = {"type": "FATAL", "message": "A."}, {"type": "FATAL", "message": "B."}


class Api:
    """Lists `shown`, unless the next of `troubles` is an error; a retrieve gives what `whole` has."""

    def __init__(self, *shown: RemoteImport) -> None:
        self.shown: Sequence[RemoteImport] = shown
        self.whole: dict[str, RemoteImport] = {}
        self.troubles: list[Exception | None] = []
        self.listed_at: list[float] = []
        self.retrieved: list[str] = []

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        self.listed_at.append(asyncio.get_running_loop().time())
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None:
            raise trouble
        return ImportPage(count=len(self.shown), imports=tuple(self.shown), has_next=False)

    async def retrieve(self, import_id: str) -> RemoteImport:
        self.retrieved.append(import_id)
        return self.whole[import_id]

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected")


class Place:
    """A tracker of one batch, with its ledger and API."""

    def __init__(self, *shown: RemoteImport, **options: Any) -> None:
        self.api = Api(*shown)
        self.ledger = MemoryLedger(now=lambda: AT)
        self.troubled: list[str] = []
        self.moved: list[Item] = []
        transitions = Transitions(self.ledger, clock=StillClock(), emit=ignore, by_state={})
        self.tracker = Tracker(
            api=self.api,
            transitions=transitions,
            on_move=self._note,
            on_trouble=lambda item, _why: self.troubled.append(item.source),
            **options,
        )

    async def _note(self, item: Item) -> None:
        self.moved.append(item)

    async def watch(
        self,
        import_id: str = "i",
        *,
        state: ItemState = S.PROCESSING,
        status: str | None = "RUNNING",
        at: datetime | None = AT,
    ) -> Item:
        """Track an item whose import has the same name."""
        if await self.ledger.batch("b") is None:
            await self.ledger.start_batch(batch())
        item = Item(batch_id="b", source=import_id)
        await self.ledger.add([item])
        item = await self.ledger.advance(item, S.CREATING, reason="x")
        item = await self.ledger.advance(item, S.PROCESSING, reason="x", import_id=import_id, created_at=at)
        item = await self.ledger.advance(item, state, reason="x", status=status)
        self.tracker.watch(item)
        return item

    async def item(self, import_id: str = "i") -> Item:
        found = await self.ledger.item("b", import_id)
        assert found is not None
        return found


async def test_an_item_without_an_import_is_not_tracked() -> None:
    place = Place()
    place.tracker.watch(Item(batch_id="b", source="i"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600):
            await place.tracker.run()
    assert place.api.listed_at == []


async def test_the_pause_between_two_lists_doubles_until_something_moves() -> None:
    place = Place(made("i", status="RUNNING"))
    await place.watch()
    asyncio.get_running_loop().call_later(100, lambda: setattr(place.api, "shown", [made("i", status="PENDING")]))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(130):
            await place.tracker.run()
    pauses = [round(later - earlier, 1) for earlier, later in pairwise([0.0, *place.api.listed_at])]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 1.0, 2.0, 4.0]


async def test_the_tenth_refused_list_in_a_row_raises() -> None:
    place = Place(made("i", status="RUNNING"))
    await place.watch()
    place.api.troubles = [RequestInvalid("404")] * (REFUSED_PASSES - 1)
    for _ in range(REFUSED_PASSES):
        await place.tracker.list_or_retry()
    place.api.troubles = [RequestInvalid("404")] * REFUSED_PASSES
    for _ in range(REFUSED_PASSES - 1):
        await place.tracker.list_or_retry()
    with pytest.raises(RequestInvalid):
        await place.tracker.list_or_retry()
    assert REFUSED_PASSES == 10


async def test_a_list_that_is_unavailable_is_no_refusal() -> None:
    place = Place()
    await place.watch()
    refusals: list[Exception] = [RequestInvalid("404")] * (REFUSED_PASSES - 1)
    place.api.troubles = [*refusals, *[Unavailable("503")] * 60]
    for _ in range(REFUSED_PASSES + 2):
        await place.tracker.list_or_retry()


async def test_a_pass_counts_the_items_that_reached_another_state_once() -> None:
    place = Place(made("i"), made("j", status="PENDING"))
    await place.watch("i")
    await place.watch("j")
    assert await place.tracker.list_or_retry() == Pass(moved=1, others_moved=0)
    assert await place.tracker.list_or_retry() == Pass()


async def test_a_read_of_the_ledger_counts_the_items_that_others_moved_to_another_state() -> None:
    place = Place()
    moved, noted, same = [await place.watch(name) for name in ("moved", "noted", "same")]
    await place.ledger.advance(moved, S.SUCCEEDED, reason="webhook", status="SUCCESSFUL")
    await place.ledger.advance(noted, S.PROCESSING, reason="webhook", status="PENDING")
    assert await place.tracker.read(place.ledger) == Pass(moved=0, others_moved=1)
    assert [item.source for item in place.moved] == ["moved"]
    assert (await place.item("same")) == same


async def test_what_another_process_moved_first_counts_as_its_move() -> None:
    place = Place(made("i"))
    item = await place.watch()
    await place.ledger.advance(item, S.SUCCEEDED, reason="webhook", status="SUCCESSFUL")
    assert await place.tracker.list_or_retry() == Pass(moved=0, others_moved=1)
    assert [(one.source, one.state) for one in place.moved] == [("i", S.SUCCEEDED)]


async def test_an_item_of_which_another_process_noted_another_status_is_moved() -> None:
    place = Place(made("i"))
    item = await place.watch()
    await place.ledger.advance(item, S.PROCESSING, reason="webhook", status="PENDING")
    assert await place.tracker.list_or_retry() == Pass(moved=1, others_moved=0)


async def test_an_import_is_retrieved_once_three_complete_lists_lack_it() -> None:
    place = Place(stuck_after_s=900.0)
    await place.watch()
    place.api.whole["i"] = made("i", status="RUNNING")
    for _ in range(2):
        await place.tracker.list_once()
    assert place.api.retrieved == []
    await place.tracker.list_once()
    assert place.api.retrieved == ["i"]
    for _ in range(3):
        await place.tracker.list_once()
    assert place.api.retrieved == ["i", "i"]


async def test_a_list_that_has_the_import_counts_the_lists_that_lack_it_from_the_start() -> None:
    place = Place(stuck_after_s=900.0)
    await place.watch()
    for shown in ([], [], [made("i", status="RUNNING")], [], []):
        place.api.shown = shown
        await place.tracker.list_once()
    assert place.api.retrieved == []


async def test_a_list_goes_back_to_the_start_of_time_if_an_import_has_no_date() -> None:
    place = Place(made("new", 60), made("old", -600))
    page, asked = place.api.list_page, []

    async def one_a_page(*, limit: int, offset: int) -> ImportPage:
        asked.append(offset)
        whole = await page(limit=limit, offset=0)
        return ImportPage(count=2, imports=whole.imports[offset : offset + 1], has_next=offset == 0)

    place.api.list_page = one_a_page  # type: ignore[method-assign]
    await place.watch("new", at=AT + timedelta(hours=1))
    await place.watch("old", at=None)
    await place.tracker.list_once()
    assert await place.ledger.counts("b") == {S.SUCCEEDED: 2}


async def test_a_list_is_read_no_further_than_to_the_last_import_that_is_open() -> None:
    place = Place(made("i"))
    await place.watch()
    page = place.api.list_page

    async def without_end(*, limit: int, offset: int) -> ImportPage:
        assert offset == 0
        return ImportPage(count=2, imports=(await page(limit=limit, offset=0)).imports, has_next=True)

    place.api.list_page = without_end  # type: ignore[method-assign]
    await place.tracker.list_once()


@pytest.mark.parametrize(
    ("state", "status", "shown", "becomes", "with_status"),
    [
        (S.PROCESSING, "RUNNING", "RUNNING", S.PROCESSING, "RUNNING"),
        (S.PROCESSING, "RUNNING", "PENDING", S.PROCESSING, "PENDING"),
        (S.PROCESSING, "RUNNING", "POLISHING", S.PROCESSING, "POLISHING"),
        (S.PROCESSING, "RUNNING", "AWAITING_UPLOAD", S.PROCESSING, "RUNNING"),
        (S.PROCESSING, "RUNNING", "SUCCESSFUL", S.SUCCEEDED, "SUCCESSFUL"),
        (S.PROCESSING, "SUCCESSFUL", "SUCCESSFUL", S.SUCCEEDED, "SUCCESSFUL"),
        (S.NEEDS_REVIEW, "NEEDS_REVIEW", "NEEDS_REVIEW", S.NEEDS_REVIEW, "NEEDS_REVIEW"),
        (S.NEEDS_REVIEW, "OTHER", "NEEDS_REVIEW", S.NEEDS_REVIEW, "OTHER"),
        (S.NEEDS_REVIEW, "NEEDS_REVIEW", "RUNNING", S.NEEDS_REVIEW, "NEEDS_REVIEW"),
        (S.NEEDS_REVIEW, "NEEDS_REVIEW", "SUCCESSFUL", S.SUCCEEDED, "SUCCESSFUL"),
    ],
)
async def test_a_status_of_the_list_moves_an_item_only_forward(
    state: ItemState, status: str, shown: str, becomes: ItemState, with_status: str
) -> None:
    place = Place(made("i", status=shown))
    before = await place.watch(state=state, status=status)
    await place.tracker.list_once()
    item = await place.item()
    assert (item.state, item.status) == (becomes, with_status)
    assert (item.revision == before.revision) == ((state, status) == (becomes, with_status))
    assert place.api.retrieved == []


@pytest.mark.parametrize(
    ("whole", "state", "review_url"),
    [
        ("FAILED", S.FAILED, None),
        ("NEEDS_REVIEW", S.NEEDS_REVIEW, "https://review.test/1"),
        ("SUCCESSFUL", S.SUCCEEDED, None),
        ("RUNNING", S.PROCESSING, None),
        ("POLISHING", S.PROCESSING, None),
    ],
)
async def test_an_end_other_than_success_is_as_a_retrieve_says(
    whole: str, state: ItemState, review_url: str | None
) -> None:
    place = Place(made("i", status="FAILED"))
    await place.watch()
    place.api.whole["i"] = RemoteImport(import_id="i", status=whole, review_url="https://review.test/1")
    await place.tracker.list_once()
    item = await place.item()
    assert (item.state, item.review_url) == (state, review_url)
    assert place.api.retrieved == ["i"]


async def test_a_review_that_a_retrieve_still_shows_as_one_stays_as_it_is() -> None:
    place = Place(made("i", status="FAILED"))
    before = await place.watch(state=S.NEEDS_REVIEW, status="NEEDS_REVIEW")
    place.api.whole["i"] = made("i", status="NEEDS_REVIEW")
    await place.tracker.list_once()
    assert await place.item() == before


@pytest.mark.parametrize(
    ("status", "errors", "code", "message"),
    [
        ("FAILED", (), "import_failed", "the vendor gave no reason"),
        ("FAILED", (A_MESSAGE,), "import_failed", "A."),
        ("FAILED", (A_MESSAGE, B_MESSAGE), "import_failed", "A. (and 1 more)"),
        ("FAILED", ({"type": "FATAL"}, {}), "import_failed", "FATAL"),
        ("NEEDS_REVIEW", (), "needs_review", "a person must finish this import"),
        ("NEEDS_REVIEW", (A_MESSAGE, B_MESSAGE, B_MESSAGE), "needs_review", "A. (and 2 more)"),
        ("SUCCESSFUL", (A_MESSAGE,), None, None),
    ],
)
async def test_the_first_of_the_vendors_messages_is_the_items(
    status: str, errors: tuple[dict[str, Any], ...], code: str | None, message: str | None
) -> None:
    place = Place()
    await place.watch()
    await place.tracker.apply(RemoteImport(import_id="i", status=status, import_errors=errors), is_whole=True)
    item = await place.item()
    assert (item.error_code, item.error_message) == (code, message)


async def test_an_import_that_nobody_tracks_changes_nothing() -> None:
    assert await Place().tracker.apply(made("i")) is None


async def test_an_import_that_cannot_be_read_for_too_long_is_left_and_named() -> None:
    place = Place(made("i", status="FAILED"), stuck_after_s=60.0)
    await place.watch()
    place.api.whole = {}
    retrieve = place.api.retrieve

    async def refuse(import_id: str) -> RemoteImport:
        place.api.whole[import_id] = made(import_id)
        await retrieve(import_id)
        raise RequestInvalid("HTTP 400")

    place.api.retrieve = refuse  # type: ignore[method-assign]
    for _ in range(13):
        await place.tracker.list_once()
        await asyncio.sleep(10)
    assert place.troubled == ["i"]
    assert len(place.api.retrieved) == 4


async def test_many_imports_that_lists_lack_are_all_asked_for() -> None:
    place = Place(missing_after=1)
    names = [f"i-{number:03}" for number in range(45)]
    for name in names:
        await place.watch(name)
        place.api.whole[name] = made(name)
    await place.tracker.list_once()
    assert place.api.retrieved == names
    assert await place.ledger.counts("b") == {S.SUCCEEDED: 45}


async def test_many_items_are_read_from_the_ledger() -> None:
    place = Place()
    for number in range(205):
        item = await place.watch(f"i-{number:03}")
        await place.ledger.advance(item, S.SUCCEEDED, reason="webhook")
    assert await place.tracker.read(place.ledger) == Pass(others_moved=205)


async def test_a_list_is_read_no_further_than_to_the_date_of_the_oldest_open_import() -> None:
    place = Place(made("other", -60))
    page, asked = place.api.list_page, list[int]()

    async def without_end(*, limit: int, offset: int) -> ImportPage:
        asked.append(offset)
        return ImportPage(count=9, imports=(await page(limit=limit, offset=0)).imports, has_next=True)

    place.api.list_page = without_end  # type: ignore[method-assign]
    await place.watch()
    await place.tracker.list_once()
    assert asked == [0]


async def test_a_refused_key_is_raised_once_all_imports_that_lists_lack_were_asked_for() -> None:
    place = Place(missing_after=1)
    await place.watch("refused")
    await place.watch("slow")

    async def retrieve(import_id: str) -> RemoteImport:
        if import_id == "refused":
            raise AuthRefused("Invalid key.")
        await asyncio.sleep(5)
        return made(import_id)

    place.api.retrieve = retrieve  # type: ignore[method-assign]
    with pytest.raises(AuthRefused):
        await place.tracker.list_once()
    assert (await place.item("slow")).state is S.SUCCEEDED


@pytest.mark.parametrize("trouble", [Unavailable("HTTP 500"), RequestInvalid("HTTP 400")])
async def test_an_import_that_lists_lack_and_that_cannot_be_read_is_left_after_a_while(trouble: Exception) -> None:
    place = Place(missing_after=1, stuck_after_s=60.0)
    await place.watch()

    async def refuse(_import_id: str) -> RemoteImport:
        raise trouble

    place.api.retrieve = refuse  # type: ignore[method-assign]
    for _ in range(13):
        await place.tracker.list_once()
        await asyncio.sleep(10)
    assert place.troubled == ["i"]


@pytest.mark.parametrize("is_listed", [True, False])
async def test_a_full_disk_is_raised(is_listed: bool) -> None:
    place = Place(*([made("i")] if is_listed else []), missing_after=1, stuck_after_s=900.0)
    await place.watch()
    place.api.whole["i"] = made("i")

    async def full(*_: object, **_changes: object) -> Item:
        raise StorageFull("no space left")

    place.ledger.advance = full  # type: ignore[method-assign]
    with pytest.raises(StorageFull):
        await place.tracker.list_or_retry()


async def test_only_an_import_that_was_retrieved_counts_as_whole() -> None:
    place = Place(RemoteImport(import_id="i", status="SUCCESSFUL"))
    await place.watch("i")
    await place.tracker.list_once()
    assert place.tracker.last_whole is None
    item = await place.watch("j")
    place.api.whole["j"] = RemoteImport(import_id="j", status="SUCCESSFUL")
    await place.tracker.check(item)
    assert place.tracker.last_whole == place.api.whole["j"]


async def dismissed(place: Place) -> Item:
    """Track a review that a person has dismissed."""
    item = await place.watch(state=S.NEEDS_REVIEW, status="NEEDS_REVIEW")
    item = await place.ledger.advance(item, S.FAILED, reason="dismissed", error_code=REVIEW_DISMISSED)
    place.tracker.watch(item)
    return item


@pytest.mark.parametrize(("status", "state"), [("NEEDS_REVIEW", S.FAILED), ("SUCCESSFUL", S.SUCCEEDED)])
async def test_a_dismissed_review_moves_only_if_a_person_has_finished_it(status: str, state: ItemState) -> None:
    place = Place(made("i", status=status))
    place.api.whole["i"] = made("i", status=status)
    await dismissed(place)
    await place.tracker.list_once()
    assert (await place.item()).state is state


async def test_a_dismissed_review_that_the_list_lacks_is_not_asked_for() -> None:
    place = Place(missing_after=1)
    await dismissed(place)
    await place.tracker.list_once()
    assert place.api.retrieved == []


async def test_an_import_that_is_found_again_moves_with_the_same_list() -> None:
    place = Place(made("i"))
    item = await place.watch()
    suspected = await place.ledger.advance(item, S.PROCESSING, reason="404", error_code=IMPORT_MISSING)
    place.tracker.watch(suspected)
    await place.tracker.list_once()
    found = await place.item()
    assert (found.state, found.error_code) == (S.SUCCEEDED, None)


async def test_a_check_returns_the_item_as_it_is_then() -> None:
    place = Place()
    place.api.whole["i"] = made("i")
    checked = await place.tracker.check(await place.watch())
    assert (checked.state, checked) == (S.SUCCEEDED, await place.item())


async def test_an_item_that_the_ledger_no_longer_has_is_left_alone_by_a_read() -> None:
    place = Place()
    item = Item(batch_id="b", source="i", state=S.PROCESSING, import_id="i")
    await place.ledger.start_batch(batch())
    place.tracker.watch(item)
    assert await place.tracker.read(place.ledger) == Pass()
    assert place.moved == []
