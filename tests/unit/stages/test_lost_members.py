"""Which files of a batch are as they were sent with a pack whose ledger is lost, and which a run leaves out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner import identity
from runner.config.routes import Route, Routes
from runner.config.run_spec import RunSpec
from runner.dromo.clock import VendorTime
from runner.errors import FileUnavailable, ItemRejected
from runner.models import FAILED_BEFORE, FILTERED_OUT, Item, ItemState
from runner.packing.body import pack_tag
from runner.packing.member import MEMBER_BYTES_MAX
from runner.protocols import Prepared
from runner.sources import SourceSpec
from runner.stages.earlier import EarlierItems
from runner.stages.lost_members import LostMembers, MemberUnclear
from runner.stages.orphans import Orphans
from runner.stages.pack_lists import PackList
from runner.stages.packing_setup import RulesOfRoutes
from tests.support.lost_packs import BATCH, ROUTE, LostPackBench, content_of
from tests.support.scripted import LoopClock

pytestmark = pytest.mark.virtual_time

S = ItemState
UNREADABLE = ItemRejected("unreadable", "permission denied")


class Sent(LostPackBench):
    """The files `1.csv` and `2.csv`, which came with a lost pack, and who looks for them."""

    def __init__(self, out: Path, *, routes: tuple[Route, ...] = (ROUTE,), retry_failed: bool = False) -> None:
        super().__init__(out, "1.csv", "2.csv")
        clock = LoopClock()
        self.members = LostMembers(
            ledger=self.ledger, files=self, routes=Routes(routes), rules=RulesOfRoutes(self.vendor.schema),
            earlier=EarlierItems(self.ledger, endpoint="e", retry_failed=retry_failed),
            orphans=Orphans(self.vendor, self.ledger, endpoint="e", vendor_time=VendorTime(clock)),
            batch_id="b", endpoint="e", clock=clock,
        )  # fmt: skip
        self.breaks: set[str] = set()

    async def prepare(self, item: Item) -> Prepared:
        prepared = await self.files.prepare(item)
        return replace(prepared, body=_Cut()) if item.source in self.breaks else prepared

    async def item(self, name: str) -> Item:
        found = await self.ledger.item("b", name)
        assert found is not None
        return found

    async def change(self, name: str, **changes: Any) -> None:
        """Change fields of a queued item."""
        await self.ledger.advance(await self.item(name), S.QUEUED, reason="x", **changes)

    async def listed(self) -> list[str]:
        """Return the files of the pack's list that are as they were."""
        listed = await self.lists.read(self.tag)
        assert isinstance(listed, PackList)
        return sorted(one.item.source for one in await self.members.of(listed, has_data=True))

    async def tagged(self, unread: dict[str, str] | None = None) -> dict[str, int | None]:
        """Return the files with the tags of the pack, each with its number of rows."""
        unread = {} if unread is None else unread
        found = await self.members.with_tags(set(self.tags.values()), unread=unread)
        return {one.item.source: one.row_count for one in found.values()}


class _Cut:
    """A Body that can't be read to its end."""

    size_bytes = 9

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"Full"
        raise FileUnavailable("stale handle")


@pytest.fixture
async def sent(tmp_path: Path) -> Sent:
    made = Sent(tmp_path)
    await made.sent()
    return made


async def test_files_as_they_were_sent_are_found_by_the_list_and_by_their_tags(sent: Sent) -> None:
    assert (await sent.listed(), await sent.tagged()) == (["1.csv", "2.csv"], {"1.csv": 2, "2.csv": 2})


@pytest.mark.parametrize(
    ("now", "has_changed"),
    [(None, False), ("other content", True), (ItemRejected("not_found", "gone"), True), (UNREADABLE, False)],
)
async def test_a_file_has_changed_if_its_content_is_another_or_it_is_gone_but_not_if_it_cannot_be_read(
    sent: Sent, now: str | Exception | None, has_changed: bool
) -> None:
    await sent.change("1.csv", fingerprint=sent.files.contents["1.csv"])
    if now is not None:
        sent.files.contents["1.csv"] = now
    assert await sent.members.has_changed(await sent.item("1.csv")) == has_changed


@pytest.mark.parametrize(
    ("filters", "leaves_out"),
    [({}, False), ({"include": ("*",)}, True), ({"exclude": ("x",)}, True), ({"min_age_s": 1.0}, True)],
)
async def test_a_run_with_filters_leaves_out_some_files(
    tmp_path: Path, filters: dict[str, Any], leaves_out: bool
) -> None:
    bench = Sent(tmp_path)
    spec = RunSpec(source=SourceSpec(kind="directory", path="/inbox", **filters), routes=Routes([ROUTE]))
    await bench.ledger.start_batch(replace(BATCH, config=spec.to_json()))
    assert await bench.members.leaves_out_some() == leaves_out


async def test_a_run_leaves_out_some_files_until_it_has_listed_all(tmp_path: Path) -> None:
    bench = Sent(tmp_path)
    assert await bench.members.leaves_out_some()
    await bench.ledger.start_batch(replace(BATCH, listed=False))
    assert await bench.members.leaves_out_some()


@pytest.mark.parametrize(
    ("state", "code", "leaves_out"),
    [
        (S.REJECTED, "unreadable", True),
        (S.REJECTED, "empty", False),
        (S.REJECTED, "no_route", False),
        (S.SKIPPED, FILTERED_OUT, True),
        (S.SKIPPED, "same_content", False),
    ],
)
async def test_a_file_that_could_not_be_read_or_that_filters_leave_out_may_be_sent_later(
    sent: Sent, state: ItemState, code: str, leaves_out: bool
) -> None:
    await sent.move("1.csv", state, error_code=code)
    assert await sent.members.leaves_out_some() == leaves_out
    if code in ("empty", "same_content"):
        assert await sent.listed() == ["2.csv"]
    else:
        with pytest.raises(MemberUnclear, match=r"1\.csv is as it was sent with it, and this run leaves it out"):
            await sent.listed()


async def test_a_file_that_the_run_has_not_listed_and_is_there_is_left_out_by_it(tmp_path: Path) -> None:
    bench = Sent(tmp_path)
    await bench.sent()
    bench.ledger.look_up = no_items  # type: ignore[method-assign]
    with pytest.raises(MemberUnclear, match="this run leaves it out"):
        await bench.listed()


async def no_items(*_: object) -> dict[str, Item]:
    return {}


@pytest.mark.parametrize(("size_bytes", "is_found"), [(MEMBER_BYTES_MAX, True), (MEMBER_BYTES_MAX + 1, False)])
async def test_a_file_that_is_too_large_for_a_pack_is_not_read(sent: Sent, size_bytes: int, is_found: bool) -> None:
    await sent.change("1.csv", size_bytes=size_bytes)
    sent.files.contents["1.csv"] = sent.files.contents["1.csv"] if is_found else AssertionError("it is read")
    assert ("1.csv" in await sent.tagged()) == is_found


@pytest.mark.parametrize(
    "routes",
    [(), (replace(ROUTE, match="1.*"),), (replace(ROUTE, match="1.*"), replace(ROUTE, name="other", fields=()))],
)
async def test_a_file_without_the_route_of_the_pack_is_no_member(tmp_path: Path, routes: tuple[Route, ...]) -> None:
    bench = Sent(tmp_path, routes=routes)
    await bench.sent()
    found = ["1.csv"] if routes else []
    assert (await bench.listed(), list(await bench.tagged())) == (found, found)
    bench.files.contents["2.csv"] = UNREADABLE
    assert await bench.listed() == found


async def test_a_file_keeps_the_tag_with_which_its_content_was_recorded(tmp_path: Path) -> None:
    bench = Sent(tmp_path)
    content = content_of("1.csv")
    bench.tags["1.csv"] = identity.tag("1.csv", content, ROUTE.binding, endpoint="e", number=2)
    bench.tag = pack_tag(sorted(bench.tags.values()), binding=ROUTE.binding, endpoint="e")
    await bench.sent()
    assert await bench.listed() == ["2.csv"]
    await bench.change("1.csv", tag=bench.tags["1.csv"], fingerprint=content, binding=ROUTE.binding)
    assert await bench.listed() == ["1.csv", "2.csv"]


async def test_a_file_that_cannot_be_read_now_is_told_apart(sent: Sent) -> None:
    sent.files.contents["1.csv"] = UNREADABLE
    unread: dict[str, str] = {}
    assert (await sent.tagged(unread), list(unread)) == ({"2.csv": 2}, ["1.csv"])
    assert "1.csv may be as it was sent with it, and cannot be read now" in unread["1.csv"]


async def test_a_file_whose_rows_cannot_be_counted_is_found_without_their_number(sent: Sent) -> None:
    sent.breaks.add("1.csv")
    assert await sent.tagged() == {"1.csv": None, "2.csv": 2}


@pytest.mark.parametrize("retry_failed", [False, True])
async def test_content_that_the_vendor_refused_before_is_found_in_the_pack_that_it_came_with_later(
    tmp_path: Path, retry_failed: bool
) -> None:
    bench = Sent(tmp_path, retry_failed=retry_failed)
    await bench.sent()
    await bench.ledger.start_batch(replace(BATCH, batch_id="earlier"))
    refused = Item(batch_id="earlier", source="1.csv", file_key=identity.file_key("1.csv", endpoint="e"))
    await bench.ledger.add([refused])
    changes = {"tag": bench.tags["1.csv"], "fingerprint": bench.files.contents["1.csv"], "binding": ROUTE.binding}
    refused = await bench.ledger.advance(refused, S.CREATING, reason="x", attempts=1, **changes)
    refused = await bench.ledger.advance(refused, S.CREATED, reason="x", import_id="of-it-alone")
    refused = await bench.ledger.advance(refused, S.PROCESSING, reason="x")
    await bench.ledger.advance(refused, S.FAILED, reason="x", status="FAILED", error_code="import_failed")
    assert (await bench.listed(), list(await bench.tagged())) == (["1.csv", "2.csv"], ["1.csv", "2.csv"])
    assert len((await bench.adopt()).packs) == 1
    assert await bench.states() == {"1.csv": S.PACKED, "2.csv": S.PACKED}


async def test_a_file_that_is_not_sent_because_its_own_import_failed_before_is_found_in_a_pack(sent: Sent) -> None:
    await sent.move("1.csv", S.FAILED, error_code=FAILED_BEFORE)
    assert (await sent.listed(), sorted(await sent.tagged())) == (["1.csv", "2.csv"], ["1.csv", "2.csv"])


@pytest.mark.parametrize(("state", "code"), [(S.FAILED, "import_failed"), (S.CREATING, FILTERED_OUT)])
async def test_a_file_that_has_failed_or_is_at_work_by_itself_is_no_member(
    sent: Sent, state: ItemState, code: str
) -> None:
    await sent.move("1.csv", state, error_code=code)
    assert await sent.listed() == ["2.csv"]


async def test_content_that_was_sent_alone_is_accounted_for_there(sent: Sent) -> None:
    await sent.ledger.start_batch(replace(BATCH, batch_id="earlier"))
    alone = Item(batch_id="earlier", source="1.csv", file_key=identity.file_key("1.csv", endpoint="e"))
    await sent.ledger.add([alone])
    changes = {"tag": sent.tags["1.csv"], "fingerprint": sent.files.contents["1.csv"], "binding": ROUTE.binding}
    await sent.ledger.advance(alone, S.CREATING, reason="x", attempts=1, **changes)
    assert (await sent.listed(), list(await sent.tagged())) == (["2.csv"], ["2.csv"])
