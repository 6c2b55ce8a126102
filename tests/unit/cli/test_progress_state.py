"""The counts of a run, and the time until its last create."""

import pytest

from runner.cli.progress_state import ProgressState
from runner.config.units import Rate
from runner.events import BatchStarted, BytesUploaded, CreateAnswered, CreateThrottled, ItemMoved, ItemsDiscovered
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


def test_nothing_left_to_create_takes_no_time(state: ProgressState) -> None:
    state.take(started(queued=30))
    state.take(ItemsDiscovered(new=0, total=1, finished=True, by_state={"collected": 1}))
    assert state.last_create_in_s == 0


def test_uploaded_bytes_add_up(state: ProgressState) -> None:
    state.take(BytesUploaded(source="a.csv", count=1000))
    state.take(BytesUploaded(source="b.csv", count=500))
    assert state.bytes_uploaded == 1500
