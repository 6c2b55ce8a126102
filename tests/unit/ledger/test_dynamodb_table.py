"""The table as data: its keys keep the order of sources."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import AwsRefused
from runner.ledger import rules
from runner.ledger.dynamodb import keys as table
from runner.ledger.dynamodb import rows
from runner.ledger.dynamodb.table import DynamoTable
from runner.models import ItemState
from tests.support.scripted_s3 import ScriptedS3, refusal

sources = st.text(st.characters(codec="utf-8"), max_size=30)


@given(sources, sources)
def test_sort_keys_have_the_order_of_sources(one: str, other: str) -> None:
    assert (table.place_of(one) < table.place_of(other)) == (rules.source_key(one) < rules.source_key(other))


@given(st.tuples(st.integers(-(1 << 63), (1 << 63) - 1), sources), st.tuples(st.integers(-9, 9), sources))
def test_ranks_go_before_sources(one: tuple[int, str], other: tuple[int, str]) -> None:
    in_order = (one[0], rules.source_key(one[1])) < (other[0], rules.source_key(other[1]))
    assert (table.ranked_place(*one) < table.ranked_place(*other)) == in_order
    assert table.rank_in(table.ranked_place(*one)) == one[0]


def test_no_source_is_too_long_for_a_key() -> None:
    long = "\u00e4" * 4000
    assert len(table.ranked_place(0, long)) <= 1024
    assert table.place_of(long + "a") != table.place_of(long + "b")


def test_each_state_is_in_one_group() -> None:
    assert table.states_with(ItemState.QUEUED) == [ItemState.QUEUED]
    assert table.states_with(ItemState.NEEDS_REVIEW) == [ItemState.NEEDS_REVIEW]
    assert {table.group_of(state) for state in ItemState} == {"queued", "open", "review", "ended", "collected"}


def test_batches_that_were_stored_without_numbers_come_before_those_with_one_by_their_start() -> None:
    first, second = {"ts": table.number(5)}, {"ts": table.number(6)}
    numbered = [{"ts": table.number(4), "nr": table.number(nr)} for nr in (1, 2)]
    assert sorted([*reversed(numbered), second, first], key=rows.batch_order) == [first, second, *numbered]


async def test_a_table_whose_key_is_busy_is_asked_again_and_one_whose_key_is_disabled_says_so() -> None:
    busy = refusal(400, "AccessDeniedException", "KMS key access denied error: ThrottlingException: slow down")
    answer = {"Item": {"pk": {"S": "a"}}, "ResponseMetadata": {"RequestId": "r"}}
    asked = DynamoTable(ScriptedS3(get_item=[busy, answer]), "bulkhead")
    assert await asked.get(table.key("a")) == answer["Item"]
    disabled = refusal(400, "AccessDeniedException", "KMS key access denied error: DisabledException: it is disabled")
    with pytest.raises(AwsRefused, match="KMS key cannot be used") as caught:
        await DynamoTable(ScriptedS3(get_item=[disabled]), "bulkhead").get(table.key("a"))
    assert "enable it" in (caught.value.hint or "")
