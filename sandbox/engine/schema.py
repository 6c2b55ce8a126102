"""A schema's fields and settings as the engine uses them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sandbox.engine.types import type_and_options

FILE_MAX_BYTES = 1 << 30
DEVELOPMENT_MAX_ROWS = 100

InvalidDataBehavior = Literal[
    "REMOVE_INVALID_ROWS", "INCLUDE_INVALID_ROWS", "INCLUDE_INVALID_ROWS_AND_VALUES", "BLOCK_SUBMIT"
]
BEHAVIORS: tuple[str, ...] = get_args(InvalidDataBehavior)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field; `definition` is its object in the schema. A hidden field takes no column and checks nothing."""

    key: str
    label: str
    type: str
    definition: Mapping[str, Any]
    alternates: tuple[str, ...]
    validators: tuple[Mapping[str, Any], ...]
    many_to_one: bool
    hidden: bool
    needs_column: bool
    requires_mapping: bool
    names: tuple[str, ...] = field(init=False)
    """The names that a header may use: label, key, and alternate names."""

    def __post_init__(self) -> None:
        names = (self.label, self.key, *self.alternates)
        object.__setattr__(self, "names", names if all(names) else tuple(filter(None, names)))

    @property
    def title(self) -> str:
        """The name for people: its label, or else its key."""
        return self.label or self.key


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that matter to a headless import; sizes are in bytes, and rows count from 0."""

    identifier: str | None
    behavior: InvalidDataBehavior
    allows_empty: bool
    passes_unmapped: bool
    max_rows: int | None
    max_bytes: int
    delimiter: str | None
    sheet: str | None
    header_row: int | None
    fuzzy: bool
    messages: Mapping[str, str]


def read_fields(schema: Mapping[str, Any]) -> list[Field]:
    return [_field(definition) for definition in schema["fields"]]


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Read settings; keys in `matchingStep` and `uploadStep` win over the same keys at the top."""
    matching = {**given, **(given.get("matchingStep") or {})}
    upload = {**given, **(given.get("uploadStep") or {})}
    overrides = (given.get("textOverrides") or {}).get("errors") or {}
    limits = [given.get("maxRecords"), DEVELOPMENT_MAX_ROWS if given.get("developmentMode") else None]
    max_bytes = given.get("maxFileSize")
    return Settings(
        identifier=given.get("importIdentifier"),
        behavior=_behavior(given),
        allows_empty=given.get("allowEmptySubmit") is not False,
        passes_unmapped=bool(given.get("passThroughUnmappedColumns")),
        max_rows=min((limit for limit in limits if limit is not None), default=None),
        max_bytes=FILE_MAX_BYTES if max_bytes is None else min(max_bytes, FILE_MAX_BYTES),
        delimiter=given.get("delimiter") or None,
        sheet=upload.get("sheetOverride") or None,
        header_row=matching.get("headerRowOverride"),
        fuzzy=matching.get("fuzzyMatchHeaders") is not False,
        messages={name: text for name, text in overrides.items() if isinstance(text, str)},
    )


def _field(definition: Mapping[str, Any]) -> Field:
    key = str(definition["key"])
    hidden = bool(definition.get("hidden"))
    validators = tuple(definition.get("validators") or ())
    requires_mapping = bool(definition.get("requireMapping"))
    required = any(rule.get("validate") == "required" and rule.get("level") in (None, "error") for rule in validators)
    return Field(
        key=key,
        label=str(definition.get("label") or ""),
        type=type_and_options(definition)[0],
        definition=definition,
        alternates=tuple(map(str, definition.get("alternateMatches") or ())),
        validators=() if hidden else validators,
        many_to_one=bool(definition.get("manyToOne")),
        hidden=hidden,
        needs_column=not hidden and (requires_mapping or required),
        requires_mapping=requires_mapping,
    )


def _behavior(given: Mapping[str, Any]) -> InvalidDataBehavior:
    implied: InvalidDataBehavior = "INCLUDE_INVALID_ROWS" if given.get("allowInvalidSubmit") else "REMOVE_INVALID_ROWS"
    return given.get("invalidDataBehavior") or implied
