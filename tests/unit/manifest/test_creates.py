"""The chart of creates over time: intervals, the quota, and a size that does not grow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config.units import Rate
from runner.manifest.creates import BARS_MAX, CreatesOverTime

START = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)
QUOTA = Rate(20, 60.0)


def test_without_creates_there_is_no_chart() -> None:
    assert CreatesOverTime(QUOTA).chart() is None


def test_creates_are_counted_by_the_minute_under_the_quota() -> None:
    creates = CreatesOverTime(QUOTA)
    for second in (0, 1, 59, 60, 61, 180):  # three, two, none, one
        creates.add(START + timedelta(seconds=second))
    chart = creates.chart()
    assert chart is not None
    assert [(bar.place, bar.meaning) for bar in chart.bars] == [
        (0, "2026-11-27 20:00 to 20:01 UTC: 3 creates"),
        (1, "2026-11-27 20:01 to 20:02 UTC: 2 creates"),
        (3, "2026-11-27 20:03 to 20:04 UTC: 1 create"),
    ]
    assert (chart.count, chart.most, chart.interval, chart.start) == (6, 3, "1 min", START)
    assert chart.quota_count == 20
    assert chart.quota_height is not None
    assert chart.bars[0].height == pytest.approx(chart.quota_height * 3 / 20, abs=0.02)


def test_intervals_double_until_a_long_batch_fits() -> None:
    creates = CreatesOverTime(QUOTA)
    for minute in range(1000):
        creates.add(START + timedelta(minutes=minute))
    chart = creates.chart()
    assert chart is not None
    assert (chart.interval, chart.quota_count, chart.count) == ("4 min", 80, 1000)
    assert len(chart.bars) <= BARS_MAX


def test_few_creates_can_be_seen_although_the_quota_is_far_above_them() -> None:
    creates = CreatesOverTime(QUOTA)
    for day in range(20):
        creates.add(START + timedelta(days=day))
    chart = creates.chart()
    assert chart is not None
    assert (chart.quota_height, chart.most) == (None, 1)
    assert chart.quota_count is not None
    assert chart.quota_count > 2000
    assert min(bar.height for bar in chart.bars) > 90


def test_no_interval_is_shorter_than_the_window_of_the_quota() -> None:
    creates = CreatesOverTime(Rate(100, 3600.0))
    creates.add(START)
    chart = creates.chart()
    assert chart is not None
    assert (chart.interval, chart.quota_count) == ("1 h", 100)


def test_without_a_quota_there_is_no_line() -> None:
    creates = CreatesOverTime(None)
    creates.add(START)
    chart = creates.chart()
    assert chart is not None
    assert (chart.quota_count, chart.quota_height) == (None, None)


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=1, max_size=50))
def test_any_instants_make_a_chart_that_counts_them_all(instants: list[datetime]) -> None:
    creates = CreatesOverTime(QUOTA)
    for at in instants:
        creates.add(at)
    chart = creates.chart()
    assert chart is not None
    assert chart.count == len(instants)
    assert len(chart.bars) <= BARS_MAX
    assert all(0 <= bar.place < chart.place_count and 0 < bar.height <= 100 for bar in chart.bars)
