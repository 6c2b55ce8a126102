"""The counts of a run, the time until its last create, and when it will be done."""

from datetime import UTC, datetime

import pytest

from runner.cli.progress_state import ProgressState
from runner.config.units import Rate
from runner.events import (
    BatchStarted,
    BytesUploaded,
    CreateAnswered,
    CreateThrottled,
    ItemMoved,
    ItemsDiscovered,
    OutageBegan,
    OutageEnded,
    PacksChanged,
)
from runner.models import ItemState

S = ItemState


class Ticks:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def moved(old: ItemState, new: ItemState) -> ItemMoved:
    return ItemMoved(source="a.csv", old=old, new=new, reason="", import_id=None)


def started(**by_state: int) -> BatchStarted:
    return BatchStarted(
        batch_id="b1", source_uri="file:///in", out="out", resumed=False, by_state=by_state, slots_free=20
    )


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def state(ticks: Ticks) -> ProgressState:
    return ProgressState(quota=Rate(20, 60.0), ticks=ticks)


def test_moves_shift_counts_and_keep_the_total(state: ProgressState) -> None:
    state.take(started(queued=3, collected=1))
    state.take(moved(S.QUEUED, S.CREATING))
    state.take(moved(S.CREATING, S.FAILED))
    assert (state.by_state[S.QUEUED], state.by_state[S.FAILED], state.total) == (2, 1, 4)
    assert state.finished == 2
    assert state.creates_left == 2


def test_a_review_counts_as_finished_for_this_run(state: ProgressState) -> None:
    state.take(started(needs_review=1, processing=1))
    assert state.finished == 1


def test_discovery_sets_the_counts_and_ends_the_listing(state: ProgressState) -> None:
    state.take(started())
    assert state.listing
    state.take(ItemsDiscovered(new=2, total=2, finished=True, by_state={"queued": 1, "rejected": 1}))
    assert not state.listing
    assert state.total == 2


def test_the_estimate_counts_down_between_events(state: ProgressState, ticks: Ticks) -> None:
    state.take(started(queued=60))
    assert state.last_create_in_s == 120
    ticks.now += 45
    assert state.last_create_in_s == 75


def test_the_estimate_holds_while_a_burst_is_sent(state: ProgressState) -> None:
    state.take(started(queued=60))
    for free in range(19, -1, -1):
        state.take(moved(S.QUEUED, S.CREATING))
        state.take(moved(S.CREATING, S.CREATED))
        state.take(CreateAnswered(source="a.csv", slots_free=free))
    assert state.last_create_in_s == 120


def test_a_refused_create_delays_the_estimate_at_least_as_long_as_all_wait(state: ProgressState) -> None:
    state.take(started(queued=1))
    state.take(CreateThrottled(source="a.csv", wait_s=41.0))
    assert state.last_create_in_s == 41


def test_an_answer_to_another_create_does_not_shorten_the_wait_after_a_refused_one(state: ProgressState) -> None:
    state.take(started(queued=1))
    state.take(CreateThrottled(source="a.csv", wait_s=41.0))
    state.take(CreateAnswered(source="b.csv", slots_free=19))
    assert state.last_create_in_s == 41


def test_nothing_left_to_create_takes_no_time(state: ProgressState) -> None:
    state.take(started(queued=30))
    state.take(ItemsDiscovered(new=0, total=1, finished=True, by_state={"collected": 1}))
    assert state.last_create_in_s == 0


def test_uploaded_bytes_add_up(state: ProgressState) -> None:
    state.take(BytesUploaded(source="a.csv", count=1000))
    state.take(BytesUploaded(source="b.csv", count=500))
    assert state.bytes_uploaded == 1500


class TestEnd:
    """When a run will be done: as the quota allows, or as fast as items end, whichever is slower."""

    NOW = datetime(2026, 7, 23, 17, 0, tzinfo=UTC)

    @pytest.fixture
    def state(self, ticks: Ticks) -> ProgressState:
        return ProgressState(quota=Rate(20, 60.0), ticks=ticks, now=lambda: self.NOW)

    def left_s(self, state: ProgressState) -> float | None:
        return None if state.done_at is None else (state.done_at - self.NOW).total_seconds()

    def finish(self, state: ProgressState, count: int) -> None:
        for _ in range(count):
            state.take(moved(S.PROCESSING, S.COLLECTED))

    def test_at_the_beginning_it_is_what_the_quota_allows(self, state: ProgressState) -> None:
        state.take(started(queued=61))
        assert self.left_s(state) == 180

    def test_a_fast_start_does_not_promise_more_than_the_quota(self, ticks: Ticks, state: ProgressState) -> None:
        state.take(started(queued=40, processing=20))
        ticks.now += 5
        self.finish(state, 20)
        assert self.left_s(state) == 60 - 5

    def test_items_that_end_more_slowly_than_the_quota_allows_decide(self, ticks: Ticks, state: ProgressState) -> None:
        state.take(started(processing=60))
        ticks.now += 100
        self.finish(state, 10)
        assert self.left_s(state) == 500

    def test_only_the_last_five_minutes_count(self, ticks: Ticks, state: ProgressState) -> None:
        state.take(started(processing=90))
        ticks.now += 10
        self.finish(state, 50)
        ticks.now += 300.1
        self.finish(state, 10)
        assert self.left_s(state) == 900

    def test_rejected_and_skipped_items_are_no_pace(self, ticks: Ticks, state: ProgressState) -> None:
        state.take(started(queued=20, processing=5))
        ticks.now += 100
        for _ in range(10):
            state.take(moved(S.QUEUED, S.REJECTED))
        assert self.left_s(state) is None

    def test_nobody_can_tell_if_nothing_has_ended_for_five_minutes(self, ticks: Ticks, state: ProgressState) -> None:
        state.take(started(queued=400))
        ticks.now += 301
        assert self.left_s(state) is None

    def test_an_outage_has_no_end_and_the_pace_is_measured_again_after_it(
        self, ticks: Ticks, state: ProgressState
    ) -> None:
        state.take(started(processing=100))
        ticks.now += 100
        self.finish(state, 10)
        state.take(OutageBegan(since=self.NOW, reason="down", message="vendor unreachable"))
        assert state.done_at is None
        ticks.now += 3600
        state.take(OutageEnded(message="the vendor answers again"))
        assert state.done_at is None
        ticks.now += 30
        self.finish(state, 30)
        assert self.left_s(state) == 60

    def test_a_clock_at_the_end_of_time_is_no_error(self, ticks: Ticks) -> None:
        state = ProgressState(quota=Rate(20, 60.0), ticks=ticks, now=lambda: datetime.max.replace(tzinfo=UTC))
        state.take(started(queued=100))
        assert state.done_at is None

    def test_nothing_left_has_no_end(self, state: ProgressState) -> None:
        state.take(started(collected=3))
        assert state.done_at is None


def test_files_that_wait_for_a_pack_need_one_create_together() -> None:
    state = ProgressState(quota=Rate(count=20, per_s=60), ticks=Ticks())
    state.take(started(queued=607))
    assert state.creates_left == 607
    state.take(PacksChanged(total=8, ended=0, unsent=8, waiting=605))
    assert (state.creates_left, state.packs) == (10, (0, 8))
    state.take(PacksChanged(total=8, ended=7, unsent=0, waiting=0))
    for _ in range(607):
        state.take(moved(S.QUEUED, S.PACKED))
    assert (state.creates_left, state.packs) == (0, (7, 8))
