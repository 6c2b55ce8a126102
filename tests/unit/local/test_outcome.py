"""How a run ends: state and exit code follow from the items and from why the run ended."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runner.config.options import FailureLimit
from runner.local.outcome import ExitCode, batch_result, worst
from runner.models import BatchState, Deferral, Deferrals, ItemState
from runner.reviews import EarlierReviews, OpenReview
from runner.row_counts import RowTotals
from runner.stages.earlier import HeldBack
from runner.stop import StopReason, StopSignal

_S = ItemState


@pytest.mark.parametrize(
    ("by_state", "state", "code"),
    [
        ({_S.COLLECTED: 3, _S.SKIPPED: 1}, BatchState.COMPLETE, ExitCode.OK),
        ({}, BatchState.COMPLETE, ExitCode.OK),
        ({_S.COLLECTED: 3, _S.NEEDS_REVIEW: 1}, BatchState.SETTLED, ExitCode.NEEDS_REVIEW),
        ({_S.FAILED: 1, _S.NEEDS_REVIEW: 1}, BatchState.SETTLED, ExitCode.ITEMS_FAILED),
        ({_S.REJECTED: 1}, BatchState.COMPLETE, ExitCode.ITEMS_FAILED),
        ({_S.UNCERTAIN: 1}, BatchState.COMPLETE, ExitCode.ITEMS_FAILED),
        ({_S.QUEUED: 1, _S.FAILED: 1}, BatchState.PAUSED, ExitCode.TRY_AGAIN),
    ],
)
def test_the_items_of_a_run_that_was_not_stopped_decide_its_result(
    by_state: dict[ItemState, int], state: BatchState, code: ExitCode
) -> None:
    result = batch_result(by_state, stop=StopSignal(), held_schemas=(), listed=True)
    assert (result.state, result.exit_code) == (state, code)


@pytest.mark.parametrize(
    ("by_state", "held_back", "state", "code", "reason"),
    [
        (
            {_S.SKIPPED: 1},
            HeldBack(unresolved=1),
            BatchState.COMPLETE,
            ExitCode.ITEMS_FAILED,
            "1 item was skipped: what became of this content in an earlier batch is unknown",
        ),
        (
            {_S.SKIPPED: 2, _S.FAILED: 1},
            HeldBack(unresolved=2),
            BatchState.COMPLETE,
            ExitCode.ITEMS_FAILED,
            None,
        ),
        ({_S.SKIPPED: 1, _S.QUEUED: 1}, HeldBack(unresolved=1), BatchState.PAUSED, ExitCode.TRY_AGAIN, None),
    ],
)
def test_items_that_earlier_batches_hold_back_need_attention_like_items_of_the_batch(
    by_state: dict[ItemState, int], held_back: HeldBack, state: BatchState, code: ExitCode, reason: str | None
) -> None:
    result = batch_result(by_state, stop=StopSignal(), held_schemas=(), listed=True, held_back=held_back)
    assert (result.state, result.exit_code) == (state, code)
    assert reason is None or result.reason == reason


@pytest.mark.parametrize(
    ("reason", "state", "code"),
    [
        (StopReason.INTERRUPTED, BatchState.INTERRUPTED, ExitCode.INTERRUPTED),
        (StopReason.TERMINATED, BatchState.INTERRUPTED, ExitCode.TERMINATED),
        (StopReason.OUT_OF_TIME, BatchState.PAUSED, ExitCode.OUT_OF_TIME),
        (StopReason.TOO_MANY_FAILURES, BatchState.PAUSED, ExitCode.TOO_MANY_FAILURES),
        (StopReason.AUTH_REFUSED, BatchState.PAUSED, ExitCode.FATAL),
        (StopReason.TROUBLE, BatchState.PAUSED, ExitCode.TRY_AGAIN),
        (StopReason.VENDOR_UNREACHABLE, BatchState.PAUSED, ExitCode.TRY_AGAIN),
    ],
)
def test_a_stop_with_work_left_decides(reason: StopReason, state: BatchState, code: ExitCode) -> None:
    stop = StopSignal()
    stop.request(reason, "why")
    result = batch_result({_S.QUEUED: 1}, stop=stop, held_schemas=(), listed=True)
    assert (result.state, result.exit_code, result.reason) == (state, code, "why")


def test_a_stop_that_came_after_the_last_item_changes_nothing() -> None:
    stop = StopSignal()
    stop.request(StopReason.OUT_OF_TIME)
    assert batch_result({_S.COLLECTED: 1}, stop=stop, held_schemas=(), listed=True).exit_code is ExitCode.OK


@pytest.mark.parametrize(
    ("reason", "code"), [(StopReason.INTERRUPTED, ExitCode.INTERRUPTED), (StopReason.TERMINATED, ExitCode.TERMINATED)]
)
def test_a_stop_while_reviews_are_awaited_decides_the_code_and_leaves_the_batch_settled(
    reason: StopReason, code: ExitCode
) -> None:
    stop = StopSignal()
    stop.request(reason, "stopped on request")
    result = batch_result({_S.NEEDS_REVIEW: 1}, stop=stop, held_schemas=(), listed=True, tracking=True)
    assert (result.state, result.exit_code) == (BatchState.SETTLED, code)
    assert result.reason == "stopped on request; 1 item needs review"


def test_a_stop_after_the_last_review_changes_nothing() -> None:
    stop = StopSignal()
    stop.request(StopReason.TERMINATED)
    result = batch_result({_S.COLLECTED: 1}, stop=stop, held_schemas=(), listed=True, tracking=True)
    assert result.exit_code is ExitCode.OK


def test_a_run_that_ends_during_an_outage_says_so_whatever_ended_it() -> None:
    stop = StopSignal()
    stop.request(StopReason.OUT_OF_TIME, "the time budget is used up")
    outage = "vendor unreachable since 10:28: no answer"
    result = batch_result({_S.QUEUED: 1}, stop=stop, held_schemas=(), listed=True, outage=outage)
    assert (result.exit_code, result.reason) == (ExitCode.OUT_OF_TIME, f"the time budget is used up; {outage}")


def test_a_complete_batch_does_not_speak_of_an_outage() -> None:
    result = batch_result({_S.COLLECTED: 1}, stop=StopSignal(), held_schemas=(), listed=True, outage="unreachable")
    assert result.reason == "all items are collected or skipped"


def test_a_missing_schema_with_items_left_is_fatal_and_named() -> None:
    result = batch_result({_S.QUEUED: 2}, stop=StopSignal(), held_schemas=["no schema s"], listed=True)
    assert (result.exit_code, result.reason) == (ExitCode.FATAL, "no schema s")


def test_nothing_to_do_is_an_error_only_where_it_was_asked_for() -> None:
    skipped = {_S.SKIPPED: 2}
    assert batch_result(skipped, stop=StopSignal(), held_schemas=(), listed=True).exit_code is ExitCode.OK
    asked = batch_result(skipped, stop=StopSignal(), held_schemas=(), listed=True, fail_if_empty=True)
    assert asked.exit_code is ExitCode.NOTHING_TO_DO


@pytest.mark.parametrize(
    ("by_state", "asked", "code"),
    [
        ({_S.COLLECTED: 2}, False, ExitCode.OK),
        ({_S.COLLECTED: 2}, True, ExitCode.ITEMS_FAILED),
        ({_S.COLLECTED: 2, _S.NEEDS_REVIEW: 1}, False, ExitCode.NEEDS_REVIEW),
        ({_S.COLLECTED: 2, _S.NEEDS_REVIEW: 1}, True, ExitCode.ITEMS_FAILED),
        ({_S.COLLECTED: 2, _S.QUEUED: 1}, True, ExitCode.TRY_AGAIN),
    ],
)
def test_rows_left_out_are_a_failure_only_where_it_was_asked_for(
    by_state: dict[ItemState, int], asked: bool, code: ExitCode
) -> None:
    rows = RowTotals(file_count=2, known_count=2, rows_in=9, rows_left_out=1312, lossy_count=1)
    result = batch_result(by_state, stop=StopSignal(), held_schemas=(), listed=True, rows=rows, fail_on_lost_rows=asked)
    assert result.exit_code is code
    if code is not ExitCode.TRY_AGAIN:
        assert result.reason.endswith("; 1,312 rows left out in 1 file")
    none_lost = batch_result(
        {_S.COLLECTED: 2}, stop=StopSignal(), held_schemas=(), listed=True, rows=RowTotals(file_count=2),
        fail_on_lost_rows=True,
    )  # fmt: skip
    assert (none_lost.exit_code, none_lost.reason) == (ExitCode.OK, "all items are collected or skipped")


def test_the_first_reason_to_stop_is_the_one_that_counts() -> None:
    stop = StopSignal()
    stop.request(StopReason.OUT_OF_TIME, "first")
    stop.request(StopReason.INTERRUPTED, "second")
    assert (stop.reason, stop.detail) == (StopReason.OUT_OF_TIME, "first")


@pytest.mark.parametrize(
    ("limit", "failed", "ended", "reached"),
    [
        (FailureLimit(count=3), 3, 3, True),
        (FailureLimit(count=3), 2, 100, False),
        (FailureLimit(percent=10), 2, 19, False),
        (FailureLimit(percent=10), 2, 20, True),
        (FailureLimit(percent=10), 1, 20, False),
        (FailureLimit(), 99, 99, False),
    ],
)
def test_a_failure_limit_counts_or_takes_a_percentage_of_a_sample(
    limit: FailureLimit, failed: int, ended: int, reached: bool
) -> None:
    assert limit.is_reached(failed=failed, ended=ended) is reached


def test_a_run_that_was_stopped_before_its_source_was_listed_is_not_complete() -> None:
    stop = StopSignal()
    stop.request(StopReason.AUTH_REFUSED, "the key is refused")
    result = batch_result({_S.COLLECTED: 3}, stop=stop, held_schemas=(), listed=False)
    assert (result.state, result.exit_code, result.reason) == (
        BatchState.PAUSED, ExitCode.FATAL, "the key is refused",
    )  # fmt: skip


def test_a_batch_whose_source_is_not_fully_listed_must_be_continued() -> None:
    result = batch_result({_S.COLLECTED: 3}, stop=StopSignal(), held_schemas=(), listed=False)
    assert (result.state, result.exit_code) == (BatchState.PAUSED, ExitCode.TRY_AGAIN)


@pytest.mark.parametrize(
    ("by_state", "reason"),
    [
        ({_S.NEEDS_REVIEW: 1}, "1 item needs review"),
        ({_S.NEEDS_REVIEW: 2}, "2 items need review"),
        ({_S.FAILED: 1}, "1 item failed or was rejected"),
        ({_S.FAILED: 1, _S.REJECTED: 1}, "2 items failed or were rejected"),
    ],
)
def test_one_item_is_counted_in_the_singular(by_state: dict[ItemState, int], reason: str) -> None:
    assert batch_result(by_state, stop=StopSignal(), held_schemas=(), listed=True).reason == reason


_DEFERRED = Deferrals(count=2, first=(Deferral(source="a.csv", reason="the url expired"),))


def test_the_reason_names_an_item_that_was_left_to_a_later_run() -> None:
    result = batch_result({_S.CREATED: 3}, stop=StopSignal(), held_schemas=(), listed=True, deferred=_DEFERRED)
    assert (
        result.reason == "3 items did not finish: a.csv: the url expired (and 2 more); run again to continue with them"
    )
    assert (result.exit_code, result.deferred) == (ExitCode.TRY_AGAIN, _DEFERRED)


def test_a_review_whose_import_was_not_found_ends_a_tracking_with_5_also_if_another_review_is_open() -> None:
    deferred = Deferrals(count=1, first=(Deferral(source="a.csv", reason="the vendor does not find the import"),))
    result = batch_result(
        {_S.NEEDS_REVIEW: 2}, stop=StopSignal(), held_schemas=(), listed=True, tracking=True, deferred=deferred
    )
    assert (result.exit_code, result.state) == (ExitCode.TRY_AGAIN, BatchState.SETTLED)
    assert result.reason == "1 item did not finish: a.csv: the vendor does not find the import; 2 items need review"


def reviews(*sources: str) -> EarlierReviews:
    found = tuple(
        OpenReview(
            batch_id="n1", source=source, schema_id="s1", import_id="i", review_url="https://v/r", why=None,
            opened_at=datetime(2026, 7, 23, tzinfo=UTC),
        )
        for source in sources
    )  # fmt: skip
    return EarlierReviews(count=len(found), first=found)


@pytest.mark.parametrize(
    ("by_state", "earlier", "code", "reason"),
    [
        (
            {_S.COLLECTED: 1},
            reviews("a.csv"),
            ExitCode.NEEDS_REVIEW,
            "1 review of an earlier batch is open: a.csv in batch n1",
        ),
        (
            {_S.NEEDS_REVIEW: 1},
            reviews("a.csv", "b.csv", "c.csv"),
            ExitCode.NEEDS_REVIEW,
            "1 item needs review; 3 reviews of earlier batches are open: a.csv in batch n1, and 2 more",
        ),
        ({_S.FAILED: 1}, reviews("a.csv"), ExitCode.ITEMS_FAILED, "1 item failed or was rejected"),
    ],
)
def test_an_open_review_of_an_earlier_batch_counts_like_one_of_the_batch(
    by_state: dict[ItemState, int], earlier: EarlierReviews, code: ExitCode, reason: str
) -> None:
    result = batch_result(by_state, stop=StopSignal(), held_schemas=(), listed=True, earlier_reviews=earlier)
    assert (result.exit_code, result.reason) == (code, reason)


@pytest.mark.parametrize(
    ("dismissed", "code", "reason"),
    [
        (2, ExitCode.OK, "all items are collected, skipped, or dismissed"),
        (1, ExitCode.ITEMS_FAILED, "1 item failed or was rejected"),
    ],
)
def test_dismissed_items_count_as_settled(dismissed: int, code: ExitCode, reason: str) -> None:
    counts = {_S.COLLECTED: 5, _S.FAILED: 2}
    result = batch_result(counts, stop=StopSignal(), held_schemas=(), listed=True, dismissed_count=dismissed)
    assert (result.exit_code, result.reason) == (code, reason)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 6, 4), 4), ((6, 5, 4), 5), ((5, 7, 0), 7), ((0, 6), 6), ((), 0), ((4, 130), 130)],
)
def test_several_batches_end_with_the_worst_of_their_exit_codes(codes: tuple[int, ...], expected: int) -> None:
    assert worst([ExitCode(code) for code in codes]) == expected
