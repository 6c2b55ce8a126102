"""The field types: one module per family, and the table of their names.

Owns how each type reads a text, and writes a value for people and for the result. Imports the engine's messages and
libraries.

Terms:
    kind: a field's type with its options; one instance serves one column of one import.
    value: what a kind reads from a text: hashable, and equal for equal cells.
    display, output: a value as a person sees it, and as the result has it.
"""

from collections.abc import Mapping
from typing import Any

from sandbox.engine.types.choice import CheckboxKind, MultiSelectKind, SelectKind
from sandbox.engine.types.codes import CountryKind, SsnKind, StateKind, UuidKind, ZipKind
from sandbox.engine.types.dates import DateKind, DatetimeKind, TimeKind
from sandbox.engine.types.internet import DomainKind, EmailKind, UrlKind
from sandbox.engine.types.kind import CellError, CellMemo, Invalid, Kind
from sandbox.engine.types.number import NumberKind
from sandbox.engine.types.phone import PhoneKind
from sandbox.engine.types.string import StringKind

__all__ = ["TYPE_NAMES", "CellError", "CellMemo", "Invalid", "Kind", "make_kind", "type_and_options"]

_KINDS: dict[str, Any] = {
    "string": StringKind,
    "number": NumberKind,
    "date": DateKind,
    "datetime": DatetimeKind,
    "time": TimeKind,
    "checkbox": CheckboxKind,
    "email": EmailKind,
    "country": CountryKind,
    "phone-number": PhoneKind,
    "ssn": SsnKind,
    "domain": DomainKind,
    "url": UrlKind,
    "us-state-territory": StateKind,
    "us-zip-code": ZipKind,
    "uuid": UuidKind,
}
_CHOICE_KINDS = {"select": SelectKind, "multi-select": MultiSelectKind}
TYPE_NAMES = (*_KINDS, *_CHOICE_KINDS)


def type_and_options(field: Mapping[str, Any]) -> tuple[str, Any]:
    """Return a field's type (by default, string) and its options: a preset's name, an object, or None."""
    given = field.get("type") or "string"
    if isinstance(given, list | tuple):
        return str(given[0]) if given else "string", given[1] if len(given) > 1 else None
    return str(given), None


def make_kind(field: Mapping[str, Any]) -> Kind:
    """Return the kind of a field whose definition has no `schema_problems`."""
    name, options = type_and_options(field)
    if name in _CHOICE_KINDS:
        choices = field.get("selectOptions") or (options or {}).get("selectOptions") or ()
        chosen: Kind = _CHOICE_KINDS[name](options, choices=choices)
        return chosen
    kind: Kind = _KINDS[name](options)
    return kind
