"""The validators: one module per family, and the table of their names.

Owns what each validator means. Imports batches, types, and the schema's fields from the engine.

Terms:
    rule: a validator of one field; it returns the rows of a batch that break it.
    definition: the validator's object in the schema.
    level: error, warning, or info; only an error makes a row invalid.
"""

from collections.abc import Callable, Mapping, Sequence

from sandbox.engine.messages import VALIDATOR_MESSAGES
from sandbox.engine.schema import Field
from sandbox.engine.validators import presence, regex, text
from sandbox.engine.validators.rule import ERROR_LEVEL, Broken, Definition, Rule
from sandbox.engine.validators.uniqueness import Uniqueness

__all__ = ["VALIDATOR_NAMES", "Checks", "Rule", "make_checks"]

_MAKERS: dict[str, Callable[[Definition], Broken]] = {
    "required": presence.required,
    "require_with": presence.require_by_presence(any, filled=True),
    "require_without": presence.require_by_presence(any, filled=False),
    "require_with_all": presence.require_by_presence(all, filled=True),
    "require_without_all": presence.require_by_presence(all, filled=False),
    "require_with_values": presence.require_by_values(any, equal=True),
    "require_without_values": presence.require_by_values(any, equal=False),
    "require_with_all_values": presence.require_by_values(all, equal=True),
    "require_without_all_values": presence.require_by_values(all, equal=False),
    "length": text.length,
    "alphabetical": text.alphabetical,
    "regex_match": regex.regex_match,
    "regex_exclude": regex.regex_exclude,
}
_UNIQUE_NAMES = ("unique", "unique_case_insensitive", "unique_with")
VALIDATOR_NAMES = (*_MAKERS, *_UNIQUE_NAMES)


class Checks:
    """The rules of the mapped fields, and those that must see all data before any row is validated."""

    def __init__(self, rules: Mapping[str, list[Rule]], uniqueness: Sequence[Uniqueness]) -> None:
        self.rules = rules
        self.uniqueness = uniqueness


def make_checks(fields: Sequence[Field], *, messages: Mapping[str, str], sieved: bool) -> Checks:
    """Make the checks of the mapped `fields`. Raises EngineError for a pattern that does not compile."""
    together: dict[str, Uniqueness] = {}
    uniqueness: list[Uniqueness] = []
    rules: dict[str, list[Rule]] = {}
    for field in fields:
        made = rules.setdefault(field.key, [])
        for definition in field.validators:
            name = str(definition.get("validate"))
            if name in _UNIQUE_NAMES:
                found = _uniqueness(field, definition, fields, together, sieved=sieved)
                uniqueness += [] if found in uniqueness else [found]
                broken = found.broken()
            else:
                broken = _MAKERS[name](definition)
            level = str(definition.get("level") or ERROR_LEVEL)
            made.append(Rule(name, _message(name, definition, messages), level, broken))
    return Checks(rules, uniqueness)


def _uniqueness(
    field: Field, definition: Definition, fields: Sequence[Field], together: dict[str, Uniqueness], *, sieved: bool
) -> Uniqueness:
    name = definition["validate"]
    if name != "unique_with":
        folded = name == "unique_case_insensitive"
        return Uniqueness([field.key], ignores_case=folded, together=False, sieved=sieved)
    group = str(definition.get("uniqueKey"))
    if group not in together:
        keys = [each.key for each in fields if any(_is_of_group(rule, group) for rule in each.validators)]
        together[group] = Uniqueness(keys, ignores_case=False, together=True, sieved=sieved)
    return together[group]


def _is_of_group(definition: Definition, group: str) -> bool:
    return definition.get("validate") == "unique_with" and str(definition.get("uniqueKey")) == group


def _message(name: str, definition: Definition, messages: Mapping[str, str]) -> str:
    given = definition.get("errorMessage") or messages.get(name)
    return str(given or VALIDATOR_MESSAGES[name].format(bounds=text.bounds_text(definition)))
