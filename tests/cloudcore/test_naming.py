"""A batch's name says where its files are from, and is the same whichever function makes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from runner.cloud.lifecycle import day_is_over, is_rolling, load_id, rolling_id

AT = datetime(2026, 7, 23, 10, 15, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("orders/a.csv", "landed-20260723-orders"),
        ("orders/2026/a.csv", "landed-20260723-orders"),
        ("a.csv", "landed-20260723-all"),
    ],
)
def test_a_file_that_landed_belongs_to_its_day_and_first_folder(source: str, name: str) -> None:
    assert rolling_id(source, AT) == name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("incoming/bulk/orders/a.csv", "landed-20260723-orders"),
        ("incoming/bulk/a.csv", "landed-20260723-all"),
        ("elsewhere/orders/a.csv", "landed-20260723-elsewhere"),
    ],
)
def test_the_folder_is_the_first_one_below_the_prefix_of_the_inbox(source: str, name: str) -> None:
    assert rolling_id(source, AT, below="incoming/bulk/") == name


def test_the_day_is_that_of_utc() -> None:
    late = datetime(2026, 7, 24, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert rolling_id("orders/a.csv", late) == "landed-20260723-orders"


def test_folders_whose_plain_names_are_equal_are_told_apart() -> None:
    folders = ["Orders", "orders", "or/ders", "Ör ders", "or-ders", "", "…"]
    names = {rolling_id(f"{folder}/a.csv", AT) for folder in folders}
    assert len(names) == len(folders)
    assert all(name.isascii() and is_rolling(name) for name in names)


def test_a_day_is_over_at_midnight_and_a_while() -> None:
    name, midnight = rolling_id("a.csv", AT), datetime(2026, 7, 24, tzinfo=UTC)
    assert not day_is_over(name, midnight - timedelta(seconds=1))
    assert day_is_over(name, midnight)
    assert not day_is_over(name, midnight, grace=timedelta(minutes=15))


def test_a_load_that_is_asked_for_twice_is_one_batch() -> None:
    name = load_id("s3://inbox/nightly", "Nightly load", AT)
    assert name == load_id("s3://inbox/nightly", "Nightly load", AT)
    assert name.startswith("nightly-load-20260723-101502-")


@pytest.mark.parametrize(
    "other",
    [("s3://inbox/other", "n", AT), ("s3://inbox/n", "m", AT), ("s3://inbox/n", "n", AT + timedelta(seconds=1))],
)
def test_another_place_name_or_time_is_another_load(other: tuple[str, str, datetime]) -> None:
    assert load_id(*other) != load_id("s3://inbox/n", "n", AT)


@pytest.mark.parametrize("name", ["landed", "ObjectCreated", "landed-20260723-orders", "", "…"])
def test_no_load_is_taken_for_a_rolling_batch(name: str) -> None:
    assert not is_rolling(load_id("s3://inbox/n", name, AT))
