"""The names of rules that cells violate, found by the messages of errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

TYPE_RULE = "type"
OTHER_RULE = "other"
"""The rule of an error whose message says nothing that is known."""

HOOKS_RULE = "hooks"
"""The rule of rows that no error explains, if hooks may have removed them."""

_PART = re.compile(r"\{[^{}]*\}")

_WORDS = (
    ("unique_with", r"combination.*\b(more than once|unique|duplicate)"),
    ("unique", r"\b(more than once|unique|duplicates?d?|already exists)\b"),
    ("required", r"\b(required|missing|blank|(must|can)(not|n't| not) be empty)\b"),
    ("email", r"\be-?mail"),
    ("url", r"\b(url|uri|link)\b"),
    ("domain", r"domain"),
    ("uuid", r"\buuid\b"),
    ("ssn", r"\b(ssn|social security)\b"),
    ("phone-number", r"\bphone"),
    ("us-zip-code", r"\bzip\b"),
    ("us-state-territory", r"\bstate\b"),
    ("country", r"\bcountry\b"),
    ("select", r"\b(options?|choices?)\b"),
    ("datetime", r"\bdate ?(and )?time\b"),
    ("date", r"\bdate\b"),
    ("time", r"\btime\b"),
    ("length", r"\b(characters?|length)\b"),
    ("alphabetical", r"\b(letters|alphabetic)"),
    ("min", r"\b(smaller|less|at least|minimum)\b"),
    ("max", r"\b(larger|greater|more than|at most|maximum)\b"),
    ("number", r"\b(number|numeric|integer|decimal)\b"),
    ("regex_exclude", r"\bnot allowed\b"),
    ("regex_match", r"\b(form|format|pattern|match)"),
)
"""What a message is likely about, by its words: the vendor documents none of its messages."""
_PATTERNS = tuple((rule, re.compile(words, re.IGNORECASE)) for rule, words in _WORDS)
_NAMED = {
    "boolean", "checkbox", "multi-select", "number-size", "protocol", "regex_exclude", "regex_match",
    "require_with", "require_with_all", "require_with_all_values", "require_with_values", "require_without",
    "require_without_all", "require_without_all_values", "require_without_values", "string", "subdomain", TYPE_RULE,
    "unique_case_insensitive", "url-domain", "uuid-version",
}  # fmt: skip
RULES = frozenset({rule for rule, _ in _WORDS} | _NAMED)
"""The names of validators and types that an error may have by itself."""


def likely_rule(name: str, message: str) -> str:
    """Return the rule of an error: its `name` if that is known, else what the words of its message are about.

    The result is one of a few names, never a part of the message, which may quote a cell.
    """
    if name in RULES:
        return name
    return next((rule for rule, pattern in _PATTERNS if pattern.search(message)), OTHER_RULE)


class RuleFinder:
    """Finds the rule that an error message belongs to, for one schema: its own messages first, then the engine's.

    A rule is the name of a validator, such as `unique`, or of a type rule of the engine, such as `email` or `min`. It
    is `type` for a field's own message about its type, and empty for an unknown message.
    """

    def __init__(self, schema: Mapping[str, Any], messages: Mapping[str, str]) -> None:
        self._own: dict[tuple[str, str], str] = {}
        self._everywhere: dict[str, str] = {}
        self._validators: dict[str, set[str]] = {}
        self._patterns = [(rule, re.compile(_as_pattern(template))) for rule, template in messages.items()]
        for definition in schema.get("fields") or ():
            self._learn(definition)
        overrides = (((schema.get("settings") or {}).get("textOverrides") or {}).get("errors")) or {}
        self._everywhere.update({str(text): str(rule) for rule, text in overrides.items() if isinstance(text, str)})

    def rule_of(self, field_key: str, message: str) -> str:
        """Return the rule that a cell of a field violates."""
        own = self._own.get((field_key, message)) or self._everywhere.get(message)
        if own is None:
            rules = [rule for rule, pattern in self._patterns if pattern.fullmatch(message)]
            own = next((rule for rule in rules if rule in self._validators.get(field_key, ())), next(iter(rules), ""))
            self._own[field_key, message] = own
        return own

    def _learn(self, field: Mapping[str, Any]) -> None:
        key = str(field.get("key"))
        if message := field.get("invalidValueMessage"):
            self._own[key, str(message)] = TYPE_RULE
        self._validators[key] = {str(validator.get("validate")) for validator in field.get("validators") or ()}
        for validator in field.get("validators") or ():
            if message := validator.get("errorMessage"):
                self._own[key, str(message)] = str(validator.get("validate"))


def _as_pattern(template: str) -> str:
    return ".+".join(re.escape(text) for text in _PART.split(template))
