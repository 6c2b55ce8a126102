"""A hundred files against an independent server of the vendor's API, whose throttle is the real one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.inbox import Workspace, assert_each_once
from tests.acceptance.vendors import DrfVendor

COUNT = 100
QUOTA = "40/2s"
WIDE_QUOTA = "120/4s"
"""A create of unknown outcome keeps its slot for half a minute longer: the quota must have enough of them."""

TROUBLE = {"lose_replies": 0.2, "errors": 0.05, "cut_uploads": 0.1, "cut_downloads": 0.1, "seed": 7}
IMPATIENT = {"BULKHEAD_SETTLE_S": "0.5", "BULKHEAD_REQUEST_TIMEOUT_S": "10"}

Work = Callable[..., Workspace]
StartDrf = Callable[..., DrfVendor]


@pytest.mark.slow
def test_a_hundred_files_are_a_hundred_imports_without_a_refusal(work: Work, start_drf: StartDrf) -> None:
    vendor = start_drf(rate=QUOTA)
    mine = work(vendor)
    files = mine.fill(COUNT)
    mine.command(*mine.arguments("--create-quota", QUOTA)).expect(0)

    seen = vendor.oracle()
    assert (len(seen["accepted"]), seen["refused"], seen["imports"]) == (COUNT, [], COUNT)
    assert_each_once(seen["received"], files)
    assert (set(seen["puts"].values()), seen["key_leaks"], seen["refused_polls"]) == ({1}, 0, 0)
    mine.assert_collected(files)
    summary = mine.summary()
    assert (summary["state"], summary["creates"], summary["throttled"], summary["exit_code"]) == (
        "complete",
        COUNT,
        0,
        0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("refuse_conditions", [False, True], ids=["conditional-puts", "no-conditional-puts"])
def test_lost_answers_errors_and_cuts_lose_nothing_and_double_nothing(
    work: Work, start_drf: StartDrf, refuse_conditions: bool
) -> None:
    vendor = start_drf(rate=WIDE_QUOTA, **TROUBLE, **({"refuse_conditions": True} if refuse_conditions else {}))
    mine = work(vendor, **IMPATIENT)
    files = mine.fill(COUNT)
    mine.command(*mine.arguments("--create-quota", WIDE_QUOTA, "-v")).expect(0)

    seen = vendor.oracle()
    assert seen["refused"] == []
    assert all(seen["faults"][fault] for fault in ("lose_replies", "errors", "cut_uploads", "cut_downloads"))
    assert_each_once(seen["received"], files)
    assert (seen["key_leaks"], seen["refused_polls"]) == (0, 0)
    mine.assert_collected(files)


@pytest.mark.slow
@pytest.mark.parametrize("then", ["run", "resume"])
def test_a_run_killed_in_the_middle_goes_on_where_it_was(work: Work, start_drf: StartDrf, then: str) -> None:
    vendor = start_drf(rate=WIDE_QUOTA, **TROUBLE)
    mine = work(vendor, **IMPATIENT)
    files = mine.fill(COUNT)
    with mine.command.start(*mine.arguments("--create-quota", WIDE_QUOTA, "--json")) as running:
        assert running.until_event(collected)
        running.kill()

    again = mine.arguments("--create-quota", WIDE_QUOTA) if then == "run" else ["resume", "--create-quota", WIDE_QUOTA]
    mine.command(*again).expect(0)

    seen = vendor.oracle()
    assert seen["refused"] == []
    assert_each_once(seen["received"], files)
    mine.assert_collected(files)


def collected(event: dict[str, object]) -> bool:
    return event["event"] == "item_moved" and event["new"] == "collected"
