"""Transactions on items: what each writes together, on which conditions, and what a failed condition means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from runner.errors import ImportIdTaken, LedgerError, StaleItem
from runner.ledger.dynamodb import keys
from runner.ledger.dynamodb.keys import Row, number
from runner.ledger.dynamodb.table import ConditionFailed
from runner.ledger.dynamodb.transactions import CountersPlace, Move, add_group, groups_of, tagged_item_of
from runner.ledger.protocol import Recorded
from runner.models import HistoryEntry, Item, ItemState
from runner.row_counts import RowTotals

AT = datetime(2026, 7, 23, tzinfo=UTC)
S = ItemState
PLACE = b"\0" * 16
ABSENT = "attribute_not_exists(pk)"
OF_BATCH = CountersPlace(batch_id="b")


class Table:
    """Records transactions; each of `failures` names the conditions that the next one does not meet."""

    def __init__(self, *failures: set[int]) -> None:
        self._failures = list(failures)
        self.written: list[list[dict[str, Any]]] = []
        self.notes: list[Row] = []

    async def put(self, row: Row) -> None:
        assert not self.written, "a note comes before the item says that it was tried"
        self.notes.append(row)

    async def replace(self, token: bytes, action: dict[str, Any]) -> None:
        await self.transact(token, [{"Put": action}])

    async def transact(self, token: bytes, actions: Sequence[dict[str, Any]]) -> None:
        self.written.append(list(actions))
        if self._failures and (failed := self._failures.pop(0)):
            raise ConditionFailed(dict.fromkeys(failed))


def item(source: str = "1.csv", **changes: Any) -> Item:
    return replace(Item(batch_id="b", source=source, revision=3), **changes)


def recorded(one: Item, *import_ids: str) -> Recorded:
    steps = [HistoryEntry(at=AT, state=S.CREATED, reason="x", attempts=1, import_id=name) for name in import_ids]
    return Recorded(one, steps or [HistoryEntry(at=AT, state=S.QUEUED, reason="x", attempts=0, import_id=None)])


def move(before: Item, after: Item, *, tagged: Row | None = None, shares: bool = False) -> Move:
    history = recorded(after).history
    return Move(
        before, after, history, tagged=tagged, shares=shares, batch_place=PLACE, counted=RowTotals(), counters=OF_BATCH
    )


async def actions_of(one: Move) -> list[dict[str, Any]]:
    table = Table()
    assert await one.write(table)  # type: ignore[arg-type]
    return table.written[0]


def condition(action: dict[str, Any]) -> str | None:
    (body,) = action.values()
    found: str | None = body.get("ConditionExpression")
    return found


def partition(action: dict[str, Any]) -> str:
    (body,) = action.values()
    row: dict[str, Any] = body.get("Item") or body["Key"]
    return str(row["pk"]["S"])


async def test_a_move_writes_the_item_at_the_revision_that_was_read_and_counts_it() -> None:
    put, count = await actions_of(move(item(), item(state=S.CREATING, revision=4)))
    assert put["Put"]["ConditionExpression"] == "r = :r"
    assert put["Put"]["ExpressionAttributeValues"] == {":r": number(3)}
    values = count["Update"]["ExpressionAttributeValues"]
    assert values == {":moves": number(1), ":n_creating": number(1), ":n_queued": number(-1)}
    assert condition(count) == "attribute_exists(pk)"


async def test_a_move_to_the_same_state_changes_no_number_of_items() -> None:
    _, count = await actions_of(move(item(), item(revision=4)))
    assert count["Update"]["UpdateExpression"] == "ADD moves :moves"
    assert count["Update"]["ExpressionAttributeValues"] == {":moves": number(1)}


async def test_a_move_is_counted_in_a_shard_that_need_not_exist() -> None:
    sharded = replace(move(item(), item(state=S.CREATING)), counters=CountersPlace(batch_id="b", shard=3))
    _, count = await actions_of(sharded)
    assert count["Update"]["Key"] == keys.counters_key("b", 3)
    assert count["Update"]["UpdateExpression"] == "ADD moves :moves, n_creating :n_creating, n_queued :n_queued"
    assert condition(count) is None


@pytest.mark.parametrize(
    ("tagged", "shares", "expected"),
    [
        ({}, False, ABSENT),
        ({"w": {"B": b"token"}}, False, "w = :seen"),
        ({"w": {"B": b"token"}}, True, None),
        ({}, True, None),
    ],
)
async def test_a_tag_is_claimed_if_it_is_as_it_was_read_unless_it_is_shared(
    tagged: Row, shares: bool, expected: str | None
) -> None:
    _, _, tag = await actions_of(move(item(), item(state=S.CREATING, tag="t"), tagged=tagged, shares=shares))
    assert (partition(tag), condition(tag)) == ("TAG#t", expected)
    values = tag["Update"]["ExpressionAttributeValues"]
    assert values[":b"] == {"BS": [b"b\x001.csv"]}
    assert (":seen" in values) == (expected == "w = :seen")


async def test_a_new_import_is_claimed_on_condition_that_nobody_has_it_and_an_old_one_is_not_claimed_again() -> None:
    created = item(state=S.CREATED, import_id="i")
    *_, claim = await actions_of(move(item(state=S.CREATING), created))
    assert (partition(claim), condition(claim)) == ("IMPORT#i", ABSENT)
    assert len(await actions_of(move(created, replace(created, state=S.PROCESSING)))) == 2
    assert len(await actions_of(move(created, replace(created, state=S.QUEUED, import_id=None)))) == 2
    assert len(await actions_of(move(created, replace(created, import_id="j")))) == 3


@pytest.mark.parametrize(
    ("before", "after", "is_noted"),
    [
        (item(), item(state=S.CREATING, file_key="f"), True),
        (item(file_key="f"), item(state=S.CREATING, file_key="f"), True),
        (item(state=S.CREATING, file_key="f"), item(state=S.CREATED, file_key="f"), False),
        (item(state=S.CREATING, file_key="e"), item(state=S.CREATED, file_key="f"), True),
        (item(state=S.CREATING), item(state=S.CREATED), False),
        (item(), item(state=S.REJECTED, file_key="f"), False),
    ],
)
async def test_an_item_is_noted_at_its_file_once_it_was_tried(before: Item, after: Item, is_noted: bool) -> None:
    table = Table()
    assert await move(before, after).write(table)  # type: ignore[arg-type]
    assert [note["pk"]["S"] for note in table.notes] == [keys.file_partition("f")] * is_noted


async def test_a_move_that_is_counted_later_writes_the_item_alone() -> None:
    later = replace(move(item(state=S.CREATED), item(state=S.PROCESSING)), counters=None)
    (put,) = await actions_of(later)
    assert condition(put) == "r = :r"
    assert later.counts == {"n_processing": 1, "n_created": -1}


async def test_what_an_earlier_move_left_is_counted_with_the_next() -> None:
    left = CountersPlace(batch_id="b", shard=1, left={"n_processing": 2, "n_created": -2, "n_queued": 1})
    _, count = await actions_of(replace(move(item(state=S.QUEUED), item(state=S.FAILED)), counters=left))
    values = count["Update"]["ExpressionAttributeValues"]
    expected = {"moves": 1, "n_failed": 1, "n_processing": 2, "n_created": -2}
    assert values == {f":{name}": number(value) for name, value in expected.items()}


@pytest.mark.parametrize(
    ("before", "after", "is_noted"),
    [
        (item(), item(state=S.SKIPPED, earlier_state=S.UNCERTAIN), True),
        (item(), item(state=S.SKIPPED, earlier_state=S.COLLECTED), False),
        (item(), item(state=S.SKIPPED), False),
        (item(), item(state=S.FAILED, earlier_state=S.UNCERTAIN), False),
        (
            item(state=S.SKIPPED, earlier_state=S.UNCERTAIN),
            item(state=S.SKIPPED, earlier_state=S.NEEDS_REVIEW),
            False,
        ),
    ],
)
async def test_an_item_is_noted_once_it_is_held_back_by_an_earlier_one(
    before: Item, after: Item, is_noted: bool
) -> None:
    held_back = keys.held_back_partition("b")
    notes = [one for one in await actions_of(move(before, after)) if partition(one) == held_back]
    assert len(notes) == is_noted


@pytest.mark.parametrize(
    ("failed", "error"),
    [({0}, StaleItem), ({0, 2, 3}, StaleItem), ({3}, ImportIdTaken), ({1}, LedgerError), ({2}, None), ({2, 3}, None)],
)
async def test_the_condition_that_failed_says_who_was_faster(failed: set[int], error: type[Exception] | None) -> None:
    one = move(item(state=S.CREATING), item(state=S.CREATED, import_id="i", tag="t"), tagged={})
    if error is None:
        assert not await one.write(Table(failed))  # type: ignore[arg-type]
        return
    with pytest.raises(error) as raised:
        await one.write(Table(failed))  # type: ignore[arg-type]
    assert type(raised.value) is error


async def added(*records: Recorded, failures: Sequence[set[int]] = ()) -> tuple[int, list[list[dict[str, Any]]]]:
    table = Table(*failures)
    count = await add_group(table, records, batch_place=PLACE, counters=OF_BATCH)  # type: ignore[arg-type]
    return count, table.written


async def test_items_that_are_added_are_new_and_bring_their_imports_tags_and_notes() -> None:
    first = item("1.csv", state=S.FAILED, tag="t", file_key="f", import_id="j")
    second = item("2.csv", state=S.SKIPPED, tag="t", earlier_state=S.UNCERTAIN)
    count, (actions,) = await added(recorded(first, "i", "j"), recorded(second))
    assert count == 2
    assert [(partition(action), condition(action)) for action in actions[1:]] == [
        (partition(actions[1]), ABSENT),
        (partition(actions[2]), ABSENT),
        ("IMPORT#i", ABSENT),
        ("IMPORT#j", ABSENT),
        ("TAG#t", None),
        (keys.file_partition("f"), None),
        (keys.held_back_partition("b"), None),
    ]
    assert actions[5]["Update"]["ExpressionAttributeValues"][":b"] == {"BS": [b"b\x001.csv", b"b\x002.csv"]}
    values = actions[0]["Update"]["ExpressionAttributeValues"]
    assert values == {":moves": number(1), ":n_failed": number(1), ":n_skipped": number(1)}


async def test_items_that_are_there_already_are_left_out() -> None:
    records = [recorded(item(f"{number}.csv")) for number in range(3)]
    count, written = await added(*records, failures=[{2}])
    assert count == 2
    assert [len(actions) for actions in written] == [4, 3]
    assert [action["Put"]["Item"]["sk"] for action in written[1][1:]] == [
        written[0][at]["Put"]["Item"]["sk"] for at in (1, 3)
    ]
    assert (await added(*records, failures=[{1, 2, 3}]))[0] == 0


async def test_nothing_is_added_to_a_batch_that_does_not_exist() -> None:
    with pytest.raises(LedgerError, match="there is no batch b"):
        await added(recorded(item()), failures=[{0}])


async def test_an_import_that_somebody_has_is_an_error() -> None:
    with pytest.raises(ImportIdTaken):
        await added(recorded(item(import_id="i"), "i"), failures=[{2}])


@pytest.mark.parametrize(
    ("one", "per_item"),
    [
        (recorded(item()), 1),
        (recorded(item(state=S.CREATED, import_id="i"), "i"), 2),
        (recorded(item(state=S.CREATED, import_id="j", tag="t", file_key="f"), "i", "j"), 5),
        (recorded(item(state=S.SKIPPED, earlier_state=S.UNCERTAIN, tag="t")), 3),
    ],
)
async def test_a_group_has_as_many_items_as_fit_in_one_transaction(one: Recorded, per_item: int) -> None:
    most = 99 // per_item
    assert [len(group) for group in groups_of([one] * (2 * most + 1))] == [most, most, 1]
    assert list(groups_of([])) == []
    (group,) = groups_of([replace(one, item=replace(one.item, source=f"{n}.csv", tag=None)) for n in range(2)])
    _, (actions,) = await added(*group)
    has_tag = one.item.tag is not None
    assert len(actions) == 1 + 2 * (per_item - has_tag)


def test_the_value_of_a_tag_names_the_item() -> None:
    assert tagged_item_of(b"b\x00in\x00side.csv") == ("b", "in\x00side.csv")
