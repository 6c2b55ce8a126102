"""The vendor's names in a schema: which keys and values are known, and the nearest known one for each that is not.

The names in `OPENAPI` are those of the vendor's OpenAPI file, which closes settings, hooks, and fields. Other pages and
the typings of the vendor's SDK document those in `DOCUMENTED`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any

from runner.formatting import shown

NEAREST_MIN = 0.6
"""Lowest similarity, from 0 to 1, of a name that is proposed (choice)."""

REMARKS_MAX = 200
_BEGINNING = 0.9
_BEGINNING_MIN_CHARS = 4
_NAME_MAX_CHARS = 60
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
_INDEX = re.compile(r"\[\d+\]")

FIELD, VALIDATOR, REGEX_OPTIONS = "field", "validator", "regexOptions"
OPTION, TYPE_OPTIONS, SETTINGS = "option of selectOptions", "options of the type", "settings"
UPLOAD, MATCHING, MATCH_VALUES, REVIEW = "uploadStep", "matchingStep", "matchValuesStep", "reviewStep"
HOOKS, COLUMN_HOOK, STEP_HOOK = "hooks", "column hook", "step hook"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPENAPI: Mapping[str, frozenset[str]] = {
    FIELD: _names(
        "key type label description alternateMatches validators invalidValueMessage readOnly hidden requireMapping "
        "manyToOne"
    ),
    SETTINGS: _names(
        "importIdentifier title allowInvalidSubmit invalidDataBehavior backendSync backendSyncMode manualInputDisabled "
        "manualInputOnly allowCustomFields passThroughUnmappedColumns maxRecords developmentMode displayEncoding "
        "styleOverrides maxFileSize webhookUrl needsReviewWebhookUrl initialData"
    ),
    HOOKS: _names("rowHooks bulkRowHooks rowDeleteHooks beforeFinishCallback columnHooks stepHooks"),
    COLUMN_HOOK: frozenset(("fieldName", "callback")),
    STEP_HOOK: frozenset(("type", "callback")),
}
"""The keys of each kind of object that the OpenAPI file describes."""

DOCUMENTED: Mapping[str, frozenset[str]] = {
    FIELD: frozenset(("selectOptions",)),
    SETTINGS: _names(
        "allowEmptySubmit autoMapHeaders browserExcelParsing delimiter initialFile matchValuesStep matchingStep "
        "reviewStep templateDownloadFilename textOverrides uploadStep"
    ),
    COLUMN_HOOK: frozenset(("fieldKey",)),
}
"""Further keys of these kinds of objects, which other pages or the SDK's typings document."""

NESTED: Mapping[str, frozenset[str]] = {
    UPLOAD: frozenset(("helpText", "sheetOverride", "templateDownloadOverrideURL")),
    MATCHING: _names("matchToSchema fuzzyMatchHeaders helpText headerRowOverride suggestCustomFirst "
                        "autoMapHeaders"),
    MATCH_VALUES: frozenset(("helpText", "maxMappableSelectValues")),
    REVIEW: _names("processingText helpText allowAddingRows allowRemovingRows highlightAutoFixes "
                      "enableNavigatingErrors enableUserTransformations locale"),
    VALIDATOR: _names("validate errorMessage level uniqueKey regex regexOptions fields fieldValues min max"),
    REGEX_OPTIONS: frozenset(("ignoreCase", "dotAll", "multiline", "unicode")),
    OPTION: frozenset(("label", "value", "alternateMatches", "exactMatchOnly")),
}  # fmt: skip
"""The keys of objects that the OpenAPI file leaves open."""

_DATE_OPTIONS = frozenset(("locale", "displayFormat", "outputFormat", "autofix", "dayFirst"))
_SELECT_OPTIONS = frozenset(("allowCustom", "exactMatchOnly", "selectOptions"))
_NONE: frozenset[str] = frozenset()
TYPES: Mapping[str, frozenset[str]] = {
    "string": _NONE,
    "number": frozenset(("preset", "round", "displayFormat", "outputFormat", "min", "max")),
    "date": _DATE_OPTIONS,
    "datetime": _DATE_OPTIONS | {"withSeconds"},
    "time": _DATE_OPTIONS | {"withSeconds"},
    "select": _SELECT_OPTIONS,
    "multi-select": _SELECT_OPTIONS | {"delimiter", "trimValues"},
    "checkbox": _NONE,
    "email": _NONE,
    "country": frozenset(("format",)),
    "phone-number": frozenset(("country", "format", "outputFormatted")),
    "ssn": frozenset(("outputDash",)),
    "domain": frozenset(("allowSubdomains",)),
    "url": frozenset(("acceptedProtocols", "acceptedDomains")),
    "us-state-territory": _NONE,
    "us-zip-code": frozenset(("format", "outputDash")),
    "uuid": frozenset(("version",)),
}
"""The field types and the options of each."""

VALIDATORS = (
    "required", "unique", "unique_case_insensitive", "unique_with", "regex_match", "regex_exclude", "require_with",
    "require_without", "require_with_all", "require_without_all", "require_with_values", "require_without_values",
    "require_with_all_values", "require_without_all_values", "length", "alphabetical",
)  # fmt: skip
VALUES: Mapping[tuple[str, str], tuple[str, ...]] = {
    (SETTINGS, "invalidDataBehavior"): (
        "BLOCK_SUBMIT", "REMOVE_INVALID_ROWS", "INCLUDE_INVALID_ROWS", "INCLUDE_INVALID_ROWS_AND_VALUES",
    ),
    (SETTINGS, "backendSyncMode"): ("DISABLED", "FULL_DATA", "MAPPINGS_ONLY"),
    (STEP_HOOK, "type"): ("UPLOAD_STEP", "REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT"),
    (VALIDATOR, "validate"): VALIDATORS,
    (VALIDATOR, "level"): ("info", "warning", "error"),
    (FIELD, "type"): tuple(TYPES),
}  # fmt: skip
"""The values of the keys that take one of a few."""

_OTHER_WORDS = {
    (FIELD, "type"): {
        "text": "string", "str": "string", "integer": "number", "int": "number", "float": "number", "decimal": "number",
        "currency": "number", "percent": "number", "boolean": "checkbox", "bool": "checkbox", "enum": "select",
        "dropdown": "select", "picklist": "select", "options": "select", "phone": "phone-number", "tel": "phone-number",
        "telephone": "phone-number", "zip": "us-zip-code", "zipcode": "us-zip-code", "state": "us-state-territory",
        "timestamp": "datetime", "link": "url", "guid": "uuid",
    },
    (VALIDATOR, "validate"): {
        "regex": "regex_match", "pattern": "regex_match", "mandatory": "required", "minlength": "length",
        "maxlength": "length", "distinct": "unique", "alpha": "alphabetical",
    },
    FIELD: {"name": "label", "title": "label", "id": "key", "options": "selectOptions", "rules": "validators",
            "aliases": "alternateMatches", "synonyms": "alternateMatches", "datatype": "type", "help": "description"},
    VALIDATOR: {"type": "validate", "name": "validate", "rule": "validate", "pattern": "regex",
                "message": "errorMessage", "flags": "regexOptions"},
    HOOKS: {"beforefinish": "beforeFinishCallback"},
}  # fmt: skip
"""Words that people use for a name that is spelt otherwise."""


class RemarkKind(StrEnum):
    """`unknown`: a key or value that no document names; `misplaced`: a key that belongs elsewhere; `documented`: a key
    that is documented, though not in the vendor's OpenAPI file.
    """

    UNKNOWN = "unknown"
    MISPLACED = "misplaced"
    DOCUMENTED = "documented"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaRemark:
    """A name in a schema that deserves a remark.

    `path` looks like `fields[3].validators[0].validte`; for a value, `value` is it. `nearest` is the nearest known
    name, or where a misplaced key belongs; empty if there is none.
    """

    path: str
    kind: RemarkKind
    nearest: str = ""
    value: str | None = None

    @property
    def sentence(self) -> str:
        what = self.path if self.value is None else f'{self.path}: "{self.value}"'
        if self.kind is RemarkKind.DOCUMENTED:
            return f"{what} is documented, but not in the vendor's OpenAPI file"
        if self.kind is RemarkKind.MISPLACED:
            return f"{what} is not known there; it belongs in {self.nearest}"
        return f"{what} is not known" + (f"; did you mean {self.nearest}?" if self.nearest else "")


def schema_remarks(*, fields: object = None, settings: object = None, hooks: object = None) -> list[SchemaRemark]:
    """Return a remark for each name in parts of a schema that is unknown, misplaced, or not in the OpenAPI file.

    What has another shape than a schema is passed over. A documented key that several fields have counts once.
    """
    found: list[SchemaRemark] = []
    noted: set[str] = set()
    for remark in (*_fields(fields), *_settings(settings), *_hooks(hooks)):
        if remark.kind is RemarkKind.DOCUMENTED:
            place = _INDEX.sub("", remark.path)
            if place in noted:
                continue
            noted.add(place)
        found.append(remark)
        if len(found) == REMARKS_MAX:
            break
    return found


def _fields(given: object) -> Iterator[SchemaRemark]:
    for at, field in enumerate(_list(given)):
        if isinstance(field, Mapping):
            yield from _field(f"fields[{at}]", field)


def _field(path: str, field: Mapping[str, Any]) -> Iterator[SchemaRemark]:
    yield from _keys(path, field, FIELD)
    kind, options = _type_of(field.get("type"))
    if kind:
        yield from _value(f"{path}.type", kind, (FIELD, "type"))
    if kind in TYPES and isinstance(options, Mapping):
        yield from _keys(f"{path}.type[1]", options, TYPE_OPTIONS, known=TYPES[kind])
    for at, validator in enumerate(_list(field.get("validators"))):
        if isinstance(validator, Mapping):
            yield from _keyed(f"{path}.validators[{at}]", validator, VALIDATOR)
            options = validator.get("regexOptions")
            if isinstance(options, Mapping):
                yield from _keys(f"{path}.validators[{at}].regexOptions", options, REGEX_OPTIONS)
    for at, option in enumerate(_list(field.get("selectOptions"))):
        if isinstance(option, Mapping):
            yield from _keys(f"{path}.selectOptions[{at}]", option, OPTION)


def _settings(given: object) -> Iterator[SchemaRemark]:
    if not isinstance(given, Mapping):
        return
    yield from _keyed(SETTINGS, given, SETTINGS)
    for step in (UPLOAD, MATCHING, MATCH_VALUES, REVIEW):
        if isinstance(given.get(step), Mapping):
            yield from _keys(f"{SETTINGS}.{step}", given[step], step)


def _hooks(given: object) -> Iterator[SchemaRemark]:
    if not isinstance(given, Mapping):
        return
    yield from _keys(HOOKS, given, HOOKS)
    for name, kind in (("columnHooks", COLUMN_HOOK), ("stepHooks", STEP_HOOK)):
        for at, hook in enumerate(_list(given.get(name))):
            if isinstance(hook, Mapping):
                yield from _keyed(f"{HOOKS}.{name}[{at}]", hook, kind)


def _keyed(path: str, given: Mapping[str, Any], kind: str) -> Iterator[SchemaRemark]:
    """Yield the remarks about an object's keys, and about those of its values that are one of a few."""
    yield from _keys(path, given, kind)
    for key, value in given.items():
        if isinstance(value, str) and value and (kind, key) in VALUES:
            yield from _value(f"{path}.{key}", value, (kind, key))


def _keys(
    path: str, given: Mapping[str, Any], kind: str, *, known: frozenset[str] | None = None
) -> Iterator[SchemaRemark]:
    listed = known if known is not None else OPENAPI.get(kind, NESTED.get(kind, _NONE))
    documented = DOCUMENTED.get(kind, _NONE)
    for key in map(str, given):
        at = f"{path}.{_named(key)}"
        if key in listed:
            continue
        if key in documented:
            yield SchemaRemark(path=at, kind=RemarkKind.DOCUMENTED)
        elif place := "" if _spelt(key, listed | documented) else _place_of(key, given, kind):
            yield SchemaRemark(path=at, kind=RemarkKind.MISPLACED, nearest=place)
        else:
            nearest = _nearest(key, listed | documented, _OTHER_WORDS.get(kind, {}))
            yield SchemaRemark(path=at, kind=RemarkKind.UNKNOWN, nearest=nearest)


def _value(path: str, value: str, place: tuple[str, str]) -> Iterator[SchemaRemark]:
    if value not in VALUES[place]:
        nearest = _nearest(value, VALUES[place], _OTHER_WORDS.get(place, {}))
        yield SchemaRemark(path=path, kind=RemarkKind.UNKNOWN, nearest=nearest, value=_named(value))


def _place_of(key: str, given: Mapping[str, Any], kind: str) -> str:
    """Return where a key belongs that is known in another kind of object; empty if it is known in none."""
    if kind == FIELD:
        return _place_of_a_field_key(key, given)
    levels = {SETTINGS: "", **dict.fromkeys((UPLOAD, MATCHING, MATCH_VALUES, REVIEW), "")}
    if kind not in levels:
        return ""
    for other in levels:
        names = NESTED[other] if other in NESTED else OPENAPI[other] | DOCUMENTED[other]
        if other != kind and (name := _spelt(key, names)):
            return f"{SETTINGS}.{name}" if other == SETTINGS else f"{SETTINGS}.{other}.{name}"
    if kind == SETTINGS and (name := _spelt(key, OPENAPI[HOOKS])):
        return f"{HOOKS}.{name}"
    return ""


def _place_of_a_field_key(key: str, field: Mapping[str, Any]) -> str:
    if name := _spelt(key, frozenset(VALIDATORS)):
        return f'validators, as {{"validate": "{name}"}}'
    kind, _ = _type_of(field.get("type"))
    if kind in TYPES and (name := _spelt(key, TYPES[kind] - {"selectOptions"})):
        return f'the type\'s options, as "type": ["{kind}", {{"{name}": ...}}]'
    if name := _spelt(key, NESTED[VALIDATOR] - {"fields"}):
        return f"an object of validators, as its {name}"
    return ""


def _spelt(key: str, names: frozenset[str]) -> str:
    """Return the name that a key is apart from case and punctuation; empty if there is none."""
    return next((name for name in sorted(names) if _plain(name) == _plain(key)), "")


def _nearest(word: str, names: frozenset[str] | tuple[str, ...], others: Mapping[str, str]) -> str:
    """Return the known name that is nearest to a word: the same but for case and punctuation, or else similar."""
    plain = {_plain(name): name for name in sorted(names)}
    found = plain.get(_plain(word)) or others.get(_plain(word))
    if found:
        return found
    best = max(plain, key=lambda name: _likeness(_plain(word), name), default="")
    return plain[best] if best and _likeness(_plain(word), best) >= NEAREST_MIN else ""


def _likeness(word: str, name: str) -> float:
    """Return how similar a word is to a name, or a little less to the name's beginning: `eror` means `errorMessage`."""
    whole = SequenceMatcher(None, word, name).ratio()
    if len(word) < _BEGINNING_MIN_CHARS:
        return whole
    beginnings = (name[: len(word) + more] for more in (-1, 0, 1))
    return max(whole, *(_BEGINNING * SequenceMatcher(None, word, beginning).ratio() for beginning in beginnings))


def _type_of(given: object) -> tuple[str, object]:
    """Return a type's name, empty if there is none, and its options."""
    name, options = (*given, None, None)[:2] if isinstance(given, list) else (given, None)
    return (name if isinstance(name, str) else ""), options


def _list(given: object) -> Sequence[Any]:
    return given if isinstance(given, list | tuple) else ()


def _named(text: str) -> str:
    return shown(text if len(text) <= _NAME_MAX_CHARS else text[: _NAME_MAX_CHARS - 1] + "…")


def _plain(name: str) -> str:
    return _NOT_ALPHANUMERIC.sub("", name).casefold()
