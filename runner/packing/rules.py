"""The rules of packing for one route: whether its schema allows packs at all, and what each file must then have.

Refuses by what is known: a setting, property, type, or validator that is not listed here refuses the whole route.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from runner.config.schema_keys import NESTED, TYPES, VALIDATORS
from runner.packing.marker import UNMAPPED_KEY, UNMAPPED_SETTING, MarkerColumn, marker_name
from runner.packing.refusals import Refusal, Refused
from runner.problems.header_names import names_of, plain_name

if TYPE_CHECKING:
    from runner.config.routes import Route

PACK_BYTES_MAX = 16 << 20
"""No pack is larger, whatever the limits say: a smaller `maxFileSize` refuses the route (choice)."""

DELIMITERS = (",", "\t", ";", "|")

REMOVE_INVALID = "REMOVE_INVALID_ROWS"
BEHAVIORS = (REMOVE_INVALID, "INCLUDE_INVALID_ROWS", "INCLUDE_INVALID_ROWS_AND_VALUES", "BLOCK_SUBMIT")

UNIQUE, UNIQUE_WITH = frozenset(("unique", "unique_case_insensitive")), "unique_with"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FIELD_PROPERTIES = _names(
    "key label type description alternateMatches validators invalidValueMessage readOnly hidden requireMapping "
    "manyToOne selectOptions"
)
HARMLESS_SETTINGS = _names(
    "importIdentifier title allowInvalidSubmit invalidDataBehavior manualInputDisabled passThroughUnmappedColumns "
    "displayEncoding styleOverrides browserExcelParsing templateDownloadFilename textOverrides fuzzyMatchHeaders "
    "sheetOverride"
)
"""Settings that say the same about each row, whatever other rows the import has; or that no import of text uses."""

HARMLESS_STEPS: Mapping[str, frozenset[str]] = {
    "uploadStep": NESTED["uploadStep"],
    "matchingStep": frozenset(("fuzzyMatchHeaders", "helpText", "suggestCustomFirst")),
    "matchValuesStep": frozenset(("helpText",)),
    "reviewStep": NESTED["reviewStep"],
}
"""The keys of the steps that say the same about each row."""

REFUSING_SETTINGS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "maxRecords": ("max_records", lambda value: value is not None),
    "developmentMode": ("development_mode", bool),
    "maxFileSize": ("max_file_size", lambda value: value is not None and not _is_at_least(value, PACK_BYTES_MAX)),
    "allowEmptySubmit": ("empty_submit", lambda value: value is False),
    "allowCustomFields": ("custom_fields", bool),
    "webhookUrl": ("webhook", bool),
    "needsReviewWebhookUrl": ("webhook", bool),
    "backendSync": ("backend_sync", bool),
    "backendSyncMode": ("backend_sync", lambda value: value not in (None, "", "DISABLED")),
    "headerRowOverride": ("header_row", lambda value: value is not None and (value != 0 or isinstance(value, bool))),
    "matchToSchema": ("match_to_schema", bool),
    "autoMapHeaders": ("auto_map_headers", bool),
    "maxMappableSelectValues": ("option_limit", lambda value: value is not None),
    "initialData": ("initial_data", lambda value: value is not None),
    "initialFile": ("initial_data", lambda value: value is not None),
    "manualInputOnly": ("initial_data", bool),
    "delimiter": ("delimiter_setting", lambda value: bool(value) and value not in DELIMITERS),
}
"""Setting -> the code of its refusal, and whether a value of it refuses."""

HEADERS_KEPT = 1_000
HEADER_CHARS_KEPT = 10_000
"""The rules of so many headers that are no longer are kept, so that files of one kind are judged quickly (choice)."""


class UniqueForm(StrEnum):
    """How the values of a unique field are compared."""

    TEXT = "text"
    WHOLE_NUMBER = "whole number"


_UNIQUE_FORMS = {
    "string": UniqueForm.TEXT,
    "email": UniqueForm.TEXT,
    "uuid": UniqueForm.TEXT,
    "number": UniqueForm.WHOLE_NUMBER,
}
"""The types whose equal values are known without an engine."""

_LEARNING_TYPES = frozenset(("date", "datetime"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """A field that takes a column: `names` are label, key, and alternate names, each in its own turn."""

    key: str
    title: str
    names: tuple[tuple[str, ...], ...]
    is_many: bool
    learns_dates: bool
    unique_form: UniqueForm | None
    unique_groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UniqueColumns:
    """Columns whose cells together must be unique in the import: (place, how to compare, the field's name) of each."""

    group: str
    columns: tuple[tuple[int, UniqueForm, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRules:
    """What the files with one header must have; `date_columns` are (place, the field's name) of dates to look at.

    `known_count` is how many cells of the header are names of fields.
    """

    header: tuple[str, ...]
    marker: MarkerColumn
    date_columns: tuple[tuple[int, str], ...]
    unique: tuple[UniqueColumns, ...]
    known_count: int


@dataclass(frozen=True, kw_only=True)
class PackRules:
    """What the route and its schema say to packs.

    `keeps_unmapped`: the imports of single files pass their unmapped columns through. `delimiter` is that of the
    settings. `behavior` is what happens to invalid rows, in the vendor's words. `known_names` are the fields' names,
    letters and digits only.
    """

    is_inline: bool
    fields: tuple[FieldRule, ...]
    keeps_unmapped: bool
    behavior: str
    delimiter: str | None
    known_names: frozenset[str]
    _headers: dict[tuple[str, ...], HeaderRules | Refusal] = field(default_factory=dict, repr=False, compare=False)

    def of_header(self, header: Sequence[str]) -> HeaderRules | Refusal:
        """Return what files with this header must have, or why they are refused; answers are kept."""
        given = tuple(header)
        found = self._headers.get(given)
        if found is None:
            try:
                found = _header_rules(self, given)
            except Refused as refused:
                found = refused.refusal
            if len(self._headers) >= HEADERS_KEPT:
                self._headers.clear()
            if sum(map(len, given)) <= HEADER_CHARS_KEPT:
                self._headers[given] = found
        return found

    def names_all_fields(self, row: Sequence[str]) -> bool:
        """Return whether a row has exactly a name of each field."""
        cells = set(map(str.strip, row))
        return all(any(not cells.isdisjoint(turn) for turn in each.names) for each in self.fields)


def rules_of(route: Route, saved: Mapping[str, Any] | None = None) -> PackRules | Refusal:
    """Return the rules of a route, or the first reason why none of its files is packed.

    `saved` is its saved schema as `GET /schemas/{id}/` returns it, None if it could not be read.
    """
    return next(iter(refusals_of(route, saved)), None) or _rules(route, saved)


def refusals_of(route: Route, saved: Mapping[str, Any] | None = None) -> list[Refusal]:
    """Return all reasons why no file of a route is packed; each once."""
    if route.schema_id is not None and not _is_schema(saved):
        return [Refusal("schema_unread")]
    fields, settings, hooks = _parts(route, saved)
    found = [*_of_hooks(hooks), *_of_settings(settings)]
    for each in fields:
        found += _of_field(each)
    if not any(not each.get("hidden") for each in fields):
        found.append(Refusal("schema_without_fields"))
    return list(dict.fromkeys(found))


def _is_schema(saved: Mapping[str, Any] | None) -> bool:
    return (
        isinstance(saved, Mapping)
        and _are_fields(saved.get("fields"))
        and all(saved.get(part) is None or isinstance(saved[part], Mapping) for part in ("settings", "hooks"))
    )


def _are_fields(given: object) -> bool:
    return isinstance(given, list) and all(isinstance(each, Mapping) and each.get("key") for each in given)


def _parts(
    route: Route, saved: Mapping[str, Any] | None
) -> tuple[list[Mapping[str, Any]], dict[str, Any], dict[str, Any]]:
    """Return the fields, settings, and hooks of an import: the route's keys replace those of the saved schema."""
    base: Mapping[str, Any] = saved if route.schema_id is not None and saved is not None else {}
    fields = base.get("fields") if route.fields is None else route.fields
    settings = {**(base.get("settings") or {}), **(route.settings or {})}
    hooks = {**(base.get("hooks") or {}), **(route.hooks or {})}
    return list(fields or ()), settings, hooks


def _of_hooks(hooks: Mapping[str, Any]) -> Iterator[Refusal]:
    if any(hooks.values()):
        yield Refusal("hooks")


def _of_settings(settings: Mapping[str, Any]) -> Iterator[Refusal]:
    for name, value in settings.items():
        if value is None:
            continue
        if name in HARMLESS_STEPS:
            yield from _of_step(name, value)
        else:
            yield from _of_setting(name, value, harmless=HARMLESS_SETTINGS, path=name)
    if settings.get("invalidDataBehavior") not in (None, "", *BEHAVIORS):
        yield Refusal("behavior_unknown")


def _of_step(step: str, given: object) -> Iterator[Refusal]:
    if not isinstance(given, Mapping):
        yield Refusal("setting_unknown", step)
        return
    for name, value in given.items():
        yield from _of_setting(name, value, harmless=HARMLESS_STEPS[step], path=f"{step}.{name}")


def _of_setting(name: str, value: Any, *, harmless: frozenset[str], path: str) -> Iterator[Refusal]:
    if name in REFUSING_SETTINGS:
        code, refuses = REFUSING_SETTINGS[name]
        if refuses(value):
            yield Refusal(code, path)
    elif name not in harmless:
        yield Refusal("setting_unknown", path)


def _is_at_least(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _of_field(given: Mapping[str, Any]) -> Iterator[Refusal]:
    title = str(given.get("label") or given.get("key"))
    if given.get("key") == UNMAPPED_KEY:
        yield Refusal("field_key", UNMAPPED_KEY)
    for name, value in given.items():
        if name not in FIELD_PROPERTIES and value is not None:
            yield Refusal("field_unknown", str(name))
    kind, options = _type_of(given)
    if kind not in TYPES or not _has_known_options(kind, options):
        yield Refusal("type_unknown", title)
    validators = given.get("validators") or ()
    names = [_validator_of(each) for each in validators] if isinstance(validators, list | tuple) else [""]
    if not set(names) <= set(VALIDATORS):
        yield Refusal("validator_unknown", title)
    if given.get("hidden"):
        return
    is_unique = not (UNIQUE | {UNIQUE_WITH}).isdisjoint(names)
    if is_unique and (kind not in _UNIQUE_FORMS or given.get("manyToOne") or _rounds_whole_numbers(options)):
        yield Refusal("unique_type", title)
    if given.get("manyToOne") and _learns_dates(kind, options):
        yield Refusal("dates_of_many_columns", title)


def _type_of(given: Mapping[str, Any]) -> tuple[str, object]:
    """Return a field's type, by default string, and its options."""
    kind = given.get("type") or "string"
    name, options = (*kind, None, None)[:2] if isinstance(kind, list | tuple) else (kind, None)
    return (name if isinstance(name, str) else ""), options


def _has_known_options(kind: str, options: object) -> bool:
    if isinstance(options, Mapping):
        return {name for name, value in options.items() if value is not None} <= TYPES[kind]
    return options is None or (kind == "number" and isinstance(options, str))


def _validator_of(given: object) -> str:
    """Return a validator's name; "" if it has a key that is not known."""
    if not isinstance(given, Mapping) or not set(given) <= NESTED["validator"]:
        return ""
    return str(given.get("validate"))


def _learns_dates(kind: str, options: object) -> bool:
    autofix = options.get("autofix") if isinstance(options, Mapping) else None
    return kind in _LEARNING_TYPES and autofix is not False


def _rounds_whole_numbers(options: object) -> bool:
    """Return whether different whole numbers can become equal."""
    places = options.get("round") if isinstance(options, Mapping) else None
    return places is not None and not _is_at_least(places, 0)


def _rules(route: Route, saved: Mapping[str, Any] | None) -> PackRules:
    fields, settings, _ = _parts(route, saved)
    visible = [each for each in fields if not each.get("hidden")]
    implied = BEHAVIORS[1] if settings.get("allowInvalidSubmit") else REMOVE_INVALID
    return PackRules(
        is_inline=route.fields is not None,
        fields=tuple(map(_field_rule, visible)),
        keeps_unmapped=bool(settings.get(UNMAPPED_SETTING)),
        behavior=str(settings.get("invalidDataBehavior") or implied),
        delimiter=settings.get("delimiter") or None,
        known_names=frozenset(plain_name(name) for each in visible for name in names_of(each)) - {""},
    )


def _field_rule(given: Mapping[str, Any]) -> FieldRule:
    key, label = str(given["key"]), str(given.get("label") or "")
    kind, options = _type_of(given)
    groups = [
        (f"with {rule.get('uniqueKey')}" if rule.get("validate") == UNIQUE_WITH else f"one {key}")
        for rule in given.get("validators") or ()
        if rule.get("validate") in UNIQUE or rule.get("validate") == UNIQUE_WITH
    ]
    alternates = tuple(map(str, given.get("alternateMatches") or ()))
    return FieldRule(
        key=key,
        title=label or key,
        names=((label,), (key,), alternates),
        is_many=bool(given.get("manyToOne")),
        learns_dates=_learns_dates(kind, options),
        unique_form=_UNIQUE_FORMS.get(kind) if groups else None,
        unique_groups=tuple(dict.fromkeys(groups)),
    )


def _header_rules(rules: PackRules, header: tuple[str, ...]) -> HeaderRules:
    """Return the rules of a header. Raises Refused."""
    names = [cell.strip() for cell in header]
    if not all(names):
        raise Refused.of("header_empty")
    if len(set(names)) < len(names):
        raise Refused.of("header_repeated")
    columns = _columns(rules.fields, names)
    missing = next((each for each in rules.fields if each.key not in columns), None)
    if missing is not None:
        raise Refused.of("header_unmatched", missing.title)
    marker = marker_name([*(name for each in rules.fields for turn in each.names for name in turn), *names])
    if marker is None:
        raise Refused.of("marker_name")
    return HeaderRules(
        header=header,
        marker=MarkerColumn(marker, is_field=rules.is_inline),
        date_columns=tuple((at, each.title) for each in rules.fields if each.learns_dates for at in columns[each.key]),
        unique=tuple(_unique_columns(rules.fields, columns)),
        known_count=len(rules.known_names.intersection(map(plain_name, names))),
    )


def _columns(fields: Sequence[FieldRule], names: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns that each field takes by an exact name: all by label, then by key, then by alternates."""
    free = dict(enumerate(names))
    found: dict[str, list[int]] = {}
    for turn in range(3):
        for each in fields:
            if each.key in found and not each.is_many:
                continue
            wanted = [at for at, name in free.items() if name in each.names[turn]]
            for at in wanted if each.is_many else wanted[:1]:
                found.setdefault(each.key, []).append(at)
                del free[at]
    return found


def _unique_columns(fields: Sequence[FieldRule], columns: Mapping[str, list[int]]) -> Iterator[UniqueColumns]:
    groups: dict[str, list[tuple[int, UniqueForm, str]]] = {}
    for each in fields:
        for group in each.unique_groups if each.unique_form is not None else ():
            assert each.unique_form is not None
            groups.setdefault(group, []).append((columns[each.key][0], each.unique_form, each.title))
    for group, members in groups.items():
        yield UniqueColumns(group=group, columns=tuple(members))
