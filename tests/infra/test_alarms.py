"""What each alarm does in healthy days, in trouble, and when the trouble is over."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.alarms import ALARM, NO_DATA, OK, Series, alarms

HOUR, DAY = 60, 1440
FUNCTIONS = (
    *("Register", "Submit", "Upload", "ListPrefix", "Webhook"),
    *("Collect", "Reconcile", "Finish", "Configure"),
)
QUEUES = ("Register", "Submit", "Load", "Upload", "List", "Collect", "Finish")
Values = Sequence[float | None]


def every(minutes: int, value: float, *, total: int) -> list[float | None]:
    """Return a value every so many minutes, and nothing between."""
    return [value if minute % minutes == 0 else None for minute in range(total)]


def passes(minutes: int, value: float, *, total: int) -> list[float | None]:
    """Return a value at the end of each pass of reconcile: one begins every so many minutes, and takes up to three.

    Some periods of as many minutes have two values then, and the next one has none.
    """
    ends = {begin + minutes - 2 + number % 3 for number, begin in enumerate(range(0, total, minutes))}
    return [value if minute in ends else None for minute in range(total)]


def healthy(total: int, *, creates_every: int = 1, reconcile_every: int = 5) -> dict[tuple[str, str], Values]:
    """Return a load that is longer than the window: the quota is used, queues hold weeks of work, nothing fails."""
    reconcile = {
        "ItemsToSend": 400_000.0,
        "OldestOpenAgeSeconds": 900.0,
        "OldestReviewAgeSeconds": 3600.0,
        "VendorAway": 0.0,
        "DuplicateRisk": 0.0,
    }
    return {
        ("CreatesAnswered", "submit"): every(creates_every, 20.0 if creates_every == 1 else 1.0, total=total),
        **{(name, "reconcile"): passes(reconcile_every, value, total=total) for name, value in reconcile.items()},
        ("Invocations", "ReconcileFunction"): every(reconcile_every, 1.0, total=total),
        **{("Errors", f"{name}Function"): every(1, 0.0, total=total) for name in FUNCTIONS},
        **{("ApproximateNumberOfMessagesVisible", f"{name}DeadLetterQueue"): [0.0] * total for name in QUEUES},
        ("ApproximateAgeOfOldestMessage", "SubmitQueue"): [3.0 * DAY * 60] * total,
        **{("ApproximateAgeOfOldestMessage", f"{name}Queue"): [45.0] * total for name in QUEUES if name != "Submit"},
    }


def crashing(name: str, minutes: int, *, total: int) -> Series:
    """Return the errors of a function that crashes every so many minutes; the other executions end well."""
    return {("Errors", f"{name}Function"): [float(minute % minutes == 0) for minute in range(total)]}


def one_crash(name: str, minutes: int, *, total: int) -> Series:
    """Return what a queue shows whose function crashes once: its messages are hidden for so many minutes."""
    age = [45.0] * 30 + [60.0 * minute for minute in range(minutes)]
    return {
        ("ApproximateAgeOfOldestMessage", f"{name}Queue"): [*age, *[45.0] * (total - len(age))],
        ("Errors", f"{name}Function"): [*[0.0] * 30, 1.0, *[0.0] * (total - 31)],
    }


IDLE: Series = {("Invocations", "ReconcileFunction"): every(5, 1.0, total=DAY)}
"""A stack that nobody has used today: AWS writes no values of most metrics."""


@pytest.mark.parametrize("name", alarms())
@pytest.mark.parametrize(
    "series",
    [
        healthy(DAY),
        healthy(3 * DAY, creates_every=60, reconcile_every=15),
        healthy(3 * DAY) | crashing("Collect", 90, total=3 * DAY),
        healthy(DAY) | one_crash("Collect", 105, total=DAY),
        healthy(DAY, reconcile_every=15) | one_crash("Finish", 105, total=DAY),
        healthy(DAY) | one_crash("List", 35, total=DAY),
        healthy(DAY) | one_crash("Register", 14, total=DAY),
        IDLE,
    ],
    ids=[
        "a long load",
        "a quota of one create an hour",
        "a message that crashes each time it is delivered",
        "one crash of collect that has healed",
        "one crash of finish that has healed",
        "one crash of list_prefix that has healed",
        "one crash of register that has healed",
        "an idle stack",
    ],
)
def test_no_alarm_starts_while_all_is_well(name: str, series: Series) -> None:
    total = max(len(values) for values in series.values())
    assert alarms()[name].notifies(series, minutes=total) == []


@pytest.mark.parametrize("name", alarms())
def test_no_alarm_starts_with_a_new_stack_that_has_no_metric_yet(name: str) -> None:
    assert alarms()[name].notifies({}, minutes=3 * HOUR) == []


SICK: dict[str, dict[tuple[str, str], Values]] = {
    "NothingSent": {("CreatesAnswered", "submit"): [None] * (3 * HOUR)},
    "FunctionErrors": {("Errors", "CollectFunction"): [1.0] * (3 * HOUR)},
    "WorkWaits": {("ApproximateAgeOfOldestMessage", "ListQueue"): [2.0 * 3600] * (3 * HOUR)},
    "ReconcileMissing": {("Invocations", "ReconcileFunction"): [None] * (3 * HOUR)},
    "DeadLetters": {("ApproximateNumberOfMessagesVisible", "FinishDeadLetterQueue"): [1.0] * (3 * HOUR)},
    "CreatesRefused": {("CreatesRefused", "submit"): every(2, 1.0, total=3 * HOUR)},
    "ConfigInvalid": {("ConfigInvalid", "configure"): every(5, 1.0, total=3 * HOUR)},
    "DuplicateRisk": {("DuplicateRisk", "reconcile"): every(5, 1.0, total=3 * HOUR)},
    "OldestOpen": {("OldestOpenAgeSeconds", "reconcile"): every(5, 7.0 * 3600, total=3 * HOUR)},
    "OldestReview": {("OldestReviewAgeSeconds", "reconcile"): every(5, 80.0 * 3600, total=3 * HOUR)},
}


def sick(name: str) -> Series:
    """Return three healthy hours, three with the trouble, and three after it."""
    well = healthy(3 * HOUR)
    return {
        key: [*well.get(key, [None] * (3 * HOUR)), *values, *well.get(key, [None] * (3 * HOUR))]
        for key, values in (well | SICK[name]).items()
    }


def test_every_alarm_has_a_trouble_that_starts_it() -> None:
    assert SICK.keys() == alarms().keys()


@pytest.mark.parametrize("name", SICK)
def test_an_alarm_starts_with_its_trouble_and_ends_with_it(name: str) -> None:
    alarm = alarms()[name]
    states = alarm.states(sick(name), minutes=9 * HOUR)
    begun = NO_DATA if name == "ReconcileMissing" else ALARM
    assert states[0] == OK
    assert begun in states
    assert states[-1] == OK
    assert alarm.notifies(sick(name), minutes=9 * HOUR) == [begun]


@pytest.mark.parametrize("name", SICK)
def test_the_trouble_of_one_alarm_starts_no_other(name: str) -> None:
    others = {other: alarm for other, alarm in alarms().items() if other != name}
    assert {other for other, alarm in others.items() if alarm.notifies(sick(name), minutes=9 * HOUR)} == set()


def started(series: Series, *, total: int) -> dict[str, list[str]]:
    """Return the alarms that start, and what each notifies."""
    found = {name: alarm.notifies(series, minutes=total) for name, alarm in alarms().items()}
    return {name: states for name, states in found.items() if states}


def begins_at(name: str, series: Series, *, total: int) -> int:
    """Return the minute in which an alarm starts."""
    return next(
        minutes for minutes in range(5, total, 5) if alarms()[name].notifies(series, minutes=minutes) == [ALARM]
    )


@pytest.mark.parametrize("reconcile_every", [5, 15])
def test_an_outage_of_the_vendor_is_one_alarm_and_not_one_for_each_queue(reconcile_every: int) -> None:
    outage = {
        ("CreatesAnswered", "submit"): [None] * DAY,
        ("VendorAway", "reconcile"): passes(reconcile_every, 1.0, total=DAY),
        ("ApproximateAgeOfOldestMessage", "CollectQueue"): [3.0 * 3600] * DAY,
    }
    series = healthy(DAY, reconcile_every=reconcile_every) | outage
    assert started(series, total=DAY) == {"NothingSent": [ALARM]}


@pytest.mark.parametrize("reconcile_every", [1, 5, 6, 10, 15])
def test_items_that_are_not_sent_are_one_alarm_that_stays_on_however_seldom_reconcile_counts_them(
    reconcile_every: int,
) -> None:
    series = healthy(DAY, reconcile_every=reconcile_every) | {("CreatesAnswered", "submit"): [None] * DAY}
    assert started(series, total=DAY) == {"NothingSent": [ALARM]}


@pytest.mark.parametrize(
    ("name", "minutes", "within"),
    [
        ("Collect", 1, 15),
        ("Configure", 5, 15),
        ("Reconcile", 10, 30),
        ("Reconcile", 15, 45),
        ("Finish", 20, 60),
        ("Finish", 40, 90),
    ],
)
def test_a_function_that_keeps_failing_is_an_alarm_that_stays_on_also_if_it_seldom_runs(
    name: str, minutes: int, within: int
) -> None:
    series = healthy(DAY) | crashing(name, minutes, total=DAY)
    assert started(series, total=DAY) == {"FunctionErrors": [ALARM]}
    well = {key: [*values[-3 * HOUR :], *values] for key, values in healthy(DAY).items()}
    later = well | {key: [*[0.0] * (3 * HOUR), *values] for key, values in crashing(name, minutes, total=DAY).items()}
    assert begins_at("FunctionErrors", later, total=DAY) <= 3 * HOUR + within


@pytest.mark.parametrize(("name", "within"), [("Register", 95), ("List", 95), ("Collect", 155), ("Finish", 155)])
def test_a_queue_that_nothing_reads_is_a_page_in_an_hour_and_a_half_or_two_and_a_half(name: str, within: int) -> None:
    age = {("ApproximateAgeOfOldestMessage", f"{name}Queue"): [60.0 * minute for minute in range(DAY)]}
    series = healthy(DAY) | age
    assert started(series, total=DAY) == {"WorkWaits": [ALARM]}
    assert begins_at("WorkWaits", series, total=DAY) <= within


def test_a_short_pause_of_creates_or_one_failed_call_is_no_alarm() -> None:
    series = healthy(4 * HOUR)
    pause: dict[tuple[str, str], Values] = {
        ("CreatesAnswered", "submit"): [*[20.0] * HOUR, *[None] * 30, *[20.0] * (4 * HOUR - 90)],
        ("Errors", "CollectFunction"): [1.0, *[0.0] * (4 * HOUR - 1)],
    }
    assert [name for name, alarm in alarms().items() if alarm.notifies(series | pause, minutes=4 * HOUR)] == []
