"""The field types: a module a family, and the one table of their names."""

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
    """A field's type, string where it names none, and the options beside it (a preset's name, an object, None)."""
    given = field.get("type") or "string"
    if isinstance(given, list | tuple):
        return str(given[0]) if given else "string", given[1] if len(given) > 1 else None
    return str(given), None


def make_kind(field: Mapping[str, Any]) -> Kind:
    """The kind of a field whose definition `schema_problems` found nothing wrong with."""
    name, options = type_and_options(field)
    if name in _CHOICE_KINDS:
        choices = field.get("selectOptions") or (options or {}).get("selectOptions") or ()
        chosen: Kind = _CHOICE_KINDS[name](options, choices=choices)
        return chosen
    kind: Kind = _KINDS[name](options)
    return kind
