"""Files that wait for many days are in the ledger from the beginning, and none of them is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.cloud.protocols import Queue
from runner.models import ItemKind
from sandbox.quotas import Rate
from tests.cloudcore.functions import LONGEST_CHAIN
from tests.cloudcore.plan import Drop, Plan
from tests.cloudcore.scenario import simulate
from tests.support.inputs import Input

DAY_S = 86_400.0


def drops(count: int, *, at: float = 0.0) -> tuple[Drop, ...]:
    keys = [f"orders/{number:03}.csv" for number in range(count)]
    return tuple(
        Drop(key=key, given=Input.make(key, ItemKind.FILE, "good"), at=at + number) for number, key in enumerate(keys)
    )


def test_files_that_wait_for_ten_days_while_submit_is_stopped_outlive_their_messages() -> None:
    plan = Plan(seed=1, drops=drops(10), stopped={Queue.SUBMIT: ((0.0, 10 * DAY_S),)}, clears_at=10 * DAY_S)
    report = simulate(plan)
    assert report.expired >= 10, "the messages of all files, and perhaps those of later passes"
    assert report.states == {"collected": 10}


@pytest.mark.slow
def test_files_that_wait_ten_days_for_the_quota_are_all_imported() -> None:
    report = simulate(Plan(seed=2, drops=drops(40), quota=Rate(1, DAY_S / 4), clears_at=10 * DAY_S))
    assert report.states == {"collected": 40}


def test_a_load_of_more_pages_than_lambda_lets_one_chain_of_functions_have_is_listed_to_its_end() -> None:
    nightly = tuple(replace(drop, key=f"nightly/{drop.key}") for drop in drops(2 * (LONGEST_CHAIN + 4)))
    report = simulate(Plan(seed=3, nightly=nightly, loads=(60.0,), page_length=2))
    assert report.states == {"collected": len(nightly)}
