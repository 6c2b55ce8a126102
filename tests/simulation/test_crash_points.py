"""A crash at any event changes nothing: five batches, killed at each of their events, end as if undisturbed.

Only a JSON create that was in flight may stay uncertain.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import pytest

from runner.models import ItemKind
from sandbox.api_state import SandboxSettings
from sandbox.quotas import Rate
from tests.simulation.plan import Life, Plan
from tests.simulation.scenario import Report, simulate
from tests.support.inputs import Input

SETTINGS = (
    SandboxSettings(),
    SandboxSettings(if_none_match="not_signed", upload_lag_s=60.0),
    SandboxSettings(if_none_match="not_implemented", fresh_upload_url=False),
    SandboxSettings(pending_s=5.0, running_s=30.0),
    SandboxSettings(upload_lag_s=20.0, absent_as_null=True),
)
SHARES = 4
DOUBTFUL = {("uncertain", 0), ("uncertain", 1)}
Account = dict[str, tuple[str, int]]


def small_plan(number: int) -> Plan:
    """Return a batch of files with equal names and equal contents, and JSON documents of two schemas."""
    rng = random.Random(number)
    inputs = (
        Input.make("a/customers.csv", ItemKind.FILE, "good"),
        Input.make("b/customers.csv", ItemKind.FILE, "good"),
        Input.make("c/customers.csv", ItemKind.FILE, "good", like="a/customers.csv"),
        Input.make("c/orders.csv", ItemKind.FILE, rng.choice(("review", "broken", "refused"))),
        Input.make("inline/1.json", ItemKind.JSON, "good"),
        Input.make("json/1.json", ItemKind.JSON, "good"),
        Input.make("json/2.json", ItemKind.JSON, rng.choice(("good", "broken"))),
    )
    return Plan(
        seed=number,
        inputs=inputs,
        settings=SETTINGS[number],
        quota=Rate(rng.choice((4, 20)), 60.0),
        filename_tag=number != 3,
        uploads=rng.choice((2, 8)),
    )


@cache
def undisturbed(number: int) -> Report:
    return simulate(small_plan(number))


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_an_undisturbed_batch_imports_every_file_once(number: int) -> None:
    account = undisturbed(number).account
    assert all(imports == (state != "rejected") for state, imports in account.values())


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_a_crash_at_any_event_ends_in_the_same_account(number: int, share: int) -> None:
    usual = undisturbed(number)
    for event in range(1 + share, usual.events[0] + 1, SHARES):
        crashed = replace(small_plan(number), lives=(Life(kill_at=event, rest_s=event % 3),))
        assert _without_doubts(simulate(crashed).account, usual.account) == usual.account, f"killed at event {event}"


def _without_doubts(account: Account, usual: Account) -> Account:
    """Return the account with the usual end of JSON creates whose outcome the list cannot show."""
    return {
        source: usual[source] if source.endswith(".json") and end in DOUBTFUL else end
        for source, end in account.items()
    }
