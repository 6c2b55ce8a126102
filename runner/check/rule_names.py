"""Which rule of a schema a sentence about a cell belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

TYPE_RULE = "type"
_PART = re.compile(r"\{[^{}]*\}")


class RuleFinder:
    """Finds rules for one schema: by its own messages first, then by those of the engine.

    A rule is a validator's name, such as `unique`, or a type rule of the engine, such as `email` or `min`; `type` where
    only that much is known, and empty where the sentence is not known at all.
    """

    def __init__(self, schema: Mapping[str, Any], messages: Mapping[str, str]) -> None:
        self._own: dict[tuple[str, str], str] = {}
        self._everywhere: dict[str, str] = {}
        self._patterns = [(rule, re.compile(_as_pattern(template))) for rule, template in messages.items()]
        for field in schema.get("fields") or ():
            self._learn(field)
        overrides = (((schema.get("settings") or {}).get("textOverrides") or {}).get("errors")) or {}
        self._everywhere.update({str(text): str(rule) for rule, text in overrides.items() if isinstance(text, str)})

    def rule_of(self, field_key: str, message: str) -> str:
        """Return the rule that a cell of a field broke."""
        own = self._own.get((field_key, message)) or self._everywhere.get(message)
        if own is None:
            own = next((rule for rule, pattern in self._patterns if pattern.fullmatch(message)), "")
            self._own[field_key, message] = own
        return own

    def _learn(self, field: Mapping[str, Any]) -> None:
        key = str(field.get("key"))
        if message := field.get("invalidValueMessage"):
            self._own[key, str(message)] = TYPE_RULE
        for validator in field.get("validators") or ():
            if message := validator.get("errorMessage"):
                self._own[key, str(message)] = str(validator.get("validate"))


def _as_pattern(template: str) -> str:
    return ".+".join(re.escape(text) for text in _PART.split(template))
