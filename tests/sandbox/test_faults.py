"""Which fault applies to which call."""

import asyncio
import http.client
import random
from urllib.parse import urlsplit

import pytest

from sandbox.faults import FaultPlan, parse_rule
from tests.support.sandbox import running_sandbox

IMPORTS = "/headless/imports/"


@pytest.fixture
async def box():
    async with running_sandbox() as running:
        yield running


def plan(*rules, seed=1):
    made = FaultPlan(random.Random(seed))
    made.rules = [parse_rule(rule) for rule in rules]
    return made


def kinds(made, operation, count):
    return [fault.kind if (fault := made.decide(operation)) else None for _ in range(count)]


def test_a_rule_strikes_its_own_operation_only():
    made = plan({"operation": "create", "kind": "lost_reply"})
    assert kinds(made, "list", 2) == [None, None]
    assert kinds(made, "create", 2) == ["lost_reply", "lost_reply"]


def test_a_rule_skips_then_strikes_a_number_of_times():
    made = plan({"operation": "upload", "kind": "error", "skip": 2, "times": 2})
    assert kinds(made, "upload", 6) == [None, None, "error", "error", None, None]


def test_the_first_rule_that_strikes_decides():
    made = plan(
        {"operation": "create", "kind": "throttle", "times": 1, "retry_after": 7},
        {"operation": "create", "kind": "error", "times": 1},
    )
    first = made.decide("create")
    assert (first.kind, first.retry_after) == ("throttle", "7")
    assert kinds(made, "create", 2) == ["error", None]


def test_a_probability_strikes_about_that_often_and_the_same_way_from_the_same_seed():
    rule = {"operation": "create", "kind": "drop_before", "probability": 0.2}
    runs = [kinds(plan(rule, seed=5), "create", 1000) for _ in range(2)]
    assert runs[0] == runs[1]
    assert 150 < runs[0].count("drop_before") < 250


@pytest.mark.parametrize(
    "rule",
    [
        {"operation": "create", "kind": "explode"},
        {"operation": "dance", "kind": "error"},
        {"operation": "create", "kind": "error", "tiems": 1},
        {"operation": "create", "kind": "error", "times": "many"},
        {},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule):
    with pytest.raises(ValueError, match=r"fault rule|invalid literal"):
        parse_rule(rule)


# What a client sees


@pytest.mark.parametrize("operation", ["create", "retrieve", "list", "url", "upload", "download", "schema"])
@pytest.mark.parametrize("kind", ["lost_reply", "drop_before", "error", "error_after", "truncate", "throttle", "stall"])
async def test_every_fault_strikes_every_operation_once(box, operation, kind):
    created = await box.create(initial_data=[{"name": "Ada"}])
    await box.ended(created["id"])
    _, found = await box.api("GET", f"{IMPORTS}{created['id']}/url/")
    waiting = await box.create()
    headers = {"X-Dromo-License-Key": "k"}
    calls = {
        "create": ("POST", box.base_url + IMPORTS, headers),
        "retrieve": ("GET", f"{box.base_url}{IMPORTS}{created['id']}/", headers),
        "list": ("GET", box.base_url + IMPORTS, headers),
        "url": ("GET", f"{box.base_url}{IMPORTS}{created['id']}/url/", headers),
        "upload": ("PUT", waiting["upload"], {}),
        "download": ("GET", found["presigned_url"], {}),
        "schema": ("GET", f"{box.base_url}/schemas/", headers),
    }
    method, url, given = calls[operation]
    body = {"POST": b'{"schema_id": "customers", "original_filename": "a"}', "PUT": b"Full Name\nAda\n"}.get(method)
    await box.set_faults({"operation": operation, "kind": kind, "delay_s": 0.01, "times": 1})
    outcomes = [await asyncio.to_thread(outcome_of, method, url, data=body, headers=given) for _ in range(2)]
    assert outcomes[0] == {"error": 503, "error_after": 503, "throttle": 429}.get(kind, "cut")
    assert outcomes[1] in {200, 201}
    assert (await box.counters())["faults"] == {f"{operation}:{kind}": 1}


def outcome_of(method, url, *, data, headers):
    """Return the status of a complete answer, or "cut", without a retry: most clients repeat a GET that was cut."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body=data, headers=headers)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return "cut"
    else:
        return response.status
    finally:
        connection.close()
