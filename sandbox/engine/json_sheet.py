"""Rows of JSON as a sheet with one column per field, and warnings of what has no place in it or changes in it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.matching import match_columns, suggestions
from sandbox.engine.reading.cell_facts import Fact
from sandbox.engine.reading.cells import json_leaves, json_text, loses_digits
from sandbox.engine.reading.sheet import Row, Sheet
from sandbox.engine.schema import Field
from sandbox.engine.warning import SAMPLE_MAX_CHARS, WARNINGS_MAX_COUNT, FileWarnings, Level, visible

_NAMES_SHOWN = 20


def sheet_of_json(rows: Sequence[Any], fields: Sequence[Field]) -> Sheet:
    """Return JSON rows as a sheet without a header, whose columns are the fields in order.

    Rows are objects by field key, or arrays in field order; a missing value is "". Raises UnreadableFileError.
    """
    warnings = FileWarnings()
    keys = _KeyWatch(fields, warnings)
    texts = [_texts(at, row, keys, warnings) for at, row in enumerate(rows)]
    keys.finish()
    return Sheet(texts, keeps_blank=True, warnings=warnings)


def _texts(at: int, row: Any, keys: "_KeyWatch", warnings: FileWarnings) -> Row:
    if isinstance(row, dict):
        keys.see(row, at)
        return [_text(at, key, row.get(key), warnings) for key in keys.of_fields]
    if isinstance(row, list):
        width = len(keys.of_fields)
        if any(map(_is_filled, row[width:])):
            message = "Rows have more values than the schema has fields: the surplus belongs to no field."
            warnings.add("rows_wider", row=at, sample=json_text(row), message=message)
        texts = [_text(at, key, value, warnings) for key, value in zip(keys.of_fields, row, strict=False)]
        return texts + [""] * (width - len(texts))
    raise UnreadableFileError("Rows of JSON must be objects or arrays.")


def _text(at: int, key: str, value: Any, warnings: FileWarnings) -> str:
    if type(value) is str or value is None:
        return value or ""
    leaves = json_leaves(value) if isinstance(value, list) else [value]
    if any(map(loses_digits, leaves)):
        warnings.add("digits_lost", row=at, sample=_sample(value), field_key=key)
    if any(isinstance(leaf, dict) for leaf in leaves):
        warnings.add("value_nested", row=at, sample=_sample(value), field_key=key)
    return json_text(value)


def _sample(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[: SAMPLE_MAX_CHARS + 1]


def _is_filled(value: Any) -> bool:
    return value not in (None, "", [], {})


class _KeyWatch:
    """Looks at the keys of rows: which fields they name, and which keys name none."""

    def __init__(self, fields: Sequence[Field], warnings: FileWarnings) -> None:
        self.of_fields = [field.key for field in fields]
        self._fields = fields
        self._known = frozenset(self.of_fields)
        self._warnings = warnings
        self._unknown: dict[str, Fact] = {}
        self._meanings: dict[str, str | None] = {}
        self._replacing: set[str] = set()
        self._has_known = False

    def see(self, row: Mapping[str, Any], at: int) -> None:
        """Look at the row with the index `at`."""
        if not row.keys() <= self._known:
            for key in [key for key in row if key not in self._known and _is_filled(row[key])]:
                self._see_unknown(key, row, at)
        self._has_known = self._has_known or not self._known.isdisjoint(row)

    def _see_unknown(self, key: str, row: Mapping[str, Any], at: int) -> None:
        if key not in self._unknown:
            if len(self._unknown) >= WARNINGS_MAX_COUNT:
                return
            self._unknown[key] = Fact()
            self._meanings[key] = next(iter(match_columns([key], fields=self._fields, fuzzy=True)), None)
        self._unknown[key].add(at, _sample(row[key]))
        if self._meanings[key] is not None and self._meanings[key] not in row:
            self._replacing.add(key)

    def finish(self) -> None:
        """Add the warnings: one if no key is that of a field, else one for each key that is none."""
        if self._unknown and not self._has_known:
            first = next(iter(self._unknown.values()))
            message = f"No key of the rows is a field: {_listed(self._unknown)}; the fields are "
            message += f"{_listed(self.of_fields)}."
            count = max(fact.count for fact in self._unknown.values())
            self._warnings.add("keys_unknown", row=first.row, count=count, sample=first.sample, message=message)
            return
        for key, fact in self._unknown.items():
            nearest = self._meanings[key] or next(iter(suggestions(key, self._fields)), None)
            message = f'No field has the key "{visible(key)}": its values are left out'
            message += f"; the nearest field is {nearest}." if nearest else "."
            level = Level.LOSS if key in self._replacing else Level.NOTE
            self._warnings.add(
                "key_unknown", row=fact.row, count=fact.count, sample=fact.sample, message=message, level=level
            )


def _listed(names: Iterable[str]) -> str:
    shown = [visible(name) for name in names]
    return ", ".join(shown[:_NAMES_SHOWN]) + (", …" if len(shown) > _NAMES_SHOWN else "")
