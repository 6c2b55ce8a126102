"""The names of rules, from names and messages that others chose."""

from __future__ import annotations

import pytest

from runner.problems.rules import RULES, likely_rule
from sandbox.engine.messages import TYPE_MESSAGES, VALIDATOR_MESSAGES

ALIKE = {
    "unique_case_insensitive": "unique", "subdomain": "domain", "protocol": "url", "url-domain": "url",
    "uuid-version": "uuid", "number-size": "number",
}  # fmt: skip
"""Rules that their messages don't tell apart."""


@pytest.mark.parametrize(("rule", "template"), [*TYPE_MESSAGES.items(), *VALIDATOR_MESSAGES.items()])
def test_the_words_of_a_message_tell_its_rule(rule: str, template: str) -> None:
    expected = "required" if rule.startswith("require_") else ALIKE.get(rule, rule)
    assert likely_rule("", template) == expected


@pytest.mark.parametrize("rule", [*TYPE_MESSAGES, *VALIDATOR_MESSAGES])
def test_a_known_name_is_the_rule(rule: str) -> None:
    assert likely_rule(rule, "whatever") == rule


@pytest.mark.parametrize("text", ["", "??", "anna@example.org", "x" * 10_000, "=1+1"])
def test_what_is_unknown_is_never_quoted(text: str) -> None:
    assert likely_rule(text, text) in RULES | {"other"}
