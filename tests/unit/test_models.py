"""The one table of legal transitions, and how instants are written."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest

from runner.errors import BulkheadError, DuplicatePending, IllegalTransition
from runner.models import (
    OPEN_STATES,
    REDRIVABLE_STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    Batch,
    BatchChanges,
    Item,
    ItemChanges,
    ItemState,
    iso,
)


@pytest.mark.parametrize(("old", "new"), list(product(ItemState, ItemState)))
def test_an_item_moves_only_along_the_table(old: ItemState, new: ItemState) -> None:
    item = Item(batch_id="b", source="a", state=old)
    if new == old or new in TRANSITIONS[old]:
        moved = item.with_state(new)
        assert (moved.state, moved.revision) == (new, 1)
    else:
        with pytest.raises(IllegalTransition):
            item.with_state(new)


def test_a_terminal_state_is_left_only_because_a_person_wants_it() -> None:
    again = {state: {ItemState.QUEUED} for state in REDRIVABLE_STATES}
    again[ItemState.FAILED] |= {ItemState.PROCESSING, ItemState.NEEDS_REVIEW, ItemState.SUCCEEDED, ItemState.SKIPPED}
    again[ItemState.FAILED].add(ItemState.PACKED)
    again[ItemState.COLLECTED] = {ItemState.PACKED, ItemState.SUCCEEDED}
    again[ItemState.UNCERTAIN].add(ItemState.FAILED)
    again[ItemState.SKIPPED] = {ItemState.QUEUED}
    for state in TERMINAL_STATES:
        assert TRANSITIONS[state] == again.get(state, set())


def test_every_state_is_open_or_terminal_or_a_review() -> None:
    assert OPEN_STATES | TERMINAL_STATES | {ItemState.NEEDS_REVIEW} == set(ItemState)
    assert not OPEN_STATES & TERMINAL_STATES


def test_every_open_state_can_reach_an_end() -> None:
    for state in OPEN_STATES:
        seen, reach = set(), {state}
        while reach - seen:
            seen |= reach
            reach = set().union(*(TRANSITIONS[one] for one in seen))
        assert reach & TERMINAL_STATES


def test_a_review_url_is_not_in_a_repr() -> None:
    assert "token" not in repr(Item(batch_id="b", source="a", review_url="https://review/token"))


def test_instants_are_written_in_utc_with_milliseconds() -> None:
    assert iso(datetime(2026, 7, 1, 2, 0, tzinfo=timezone(timedelta(hours=2)))) == "2026-07-01T00:00:00.000Z"
    assert iso(datetime(2026, 7, 1, 0, 0, 0, 123456, tzinfo=UTC)) == "2026-07-01T00:00:00.123Z"
    assert iso(None) is None


def test_the_changes_of_items_and_batches_name_their_fields_with_the_same_types() -> None:
    fixed = {"batch_id", "source", "kind", "state", "revision"}
    assert ItemChanges.__annotations__.keys() == {field.name for field in fields(Item)} - fixed
    for changes, kind in ((ItemChanges, Item), (BatchChanges, Batch)):
        types = {field.name: field.type for field in fields(kind)}
        for name, reference in changes.__annotations__.items():
            assert reference.__forward_arg__ == types[name]


def test_an_item_without_an_import_has_no_bound_id() -> None:
    assert Item(batch_id="b", source="a", import_id="i1").bound_id == "i1"
    with pytest.raises(LookupError, match=r"a\.csv has no import"):
        _ = Item(batch_id="b", source="a.csv").bound_id


def test_an_error_with_another_message_keeps_all_else() -> None:
    error: BulkheadError = DuplicatePending("secret", batch_id="b1")
    error.hint = "wait"
    other = error.with_message("shown")
    assert isinstance(other, DuplicatePending)
    assert (str(other), other.batch_id, other.hint, str(error)) == ("shown", "b1", "wait", "secret")
