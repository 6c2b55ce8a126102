"""Which fault strikes which call."""

import random

import pytest

from sandbox.faults import FaultPlan, parse_rule


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
