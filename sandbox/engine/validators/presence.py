"""The validators that require a value: required, and the eight require_with and require_without."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sandbox.engine.batch import Batch, Part
from sandbox.engine.reading.cells import json_text
from sandbox.engine.types.choice import CheckboxKind
from sandbox.engine.validators.rule import Broken, Definition

_Quantifier = Callable[[Iterable[bool]], bool]


def required(_definition: Definition) -> Broken:
    """Require a value; a checkbox always has one."""
    return lambda part, _batch: _empty_rows(part)


def require_by_presence(quantifier: _Quantifier, *, filled: bool) -> Callable[[Definition], Broken]:
    """Require a value if any or all of the listed `fields` are filled, or are not."""

    def make(definition: Definition) -> Broken:
        keys = [str(key) for key in definition.get("fields") or ()]

        def applies(batch: Batch, row: int) -> bool:
            return quantifier(_is_filled(batch.parts(key), row) is filled for key in keys)

        return _where(applies, keys)

    return make


def require_by_values(quantifier: _Quantifier, *, equal: bool) -> Callable[[Definition], Broken]:
    """Require a value if any or all of the fields in `fieldValues` have the given value, or do not."""

    def make(definition: Definition) -> Broken:
        wanted = {str(key): _texts(value) for key, value in (definition.get("fieldValues") or {}).items()}

        def applies(batch: Batch, row: int) -> bool:
            return quantifier(_has_value(batch.parts(key), row, texts) is equal for key, texts in wanted.items())

        return _where(applies, wanted)

    return make


def _where(applies: Callable[[Batch, int], bool], keys: Mapping[str, Any] | Sequence[str]) -> Broken:
    def broken(part: Part, batch: Batch) -> list[int]:
        return [row for row in _empty_rows(part) if applies(batch, row)] if keys else []

    return broken


def _empty_rows(part: Part) -> list[int]:
    if isinstance(part.kind, CheckboxKind) or True not in part.is_empty:
        return []
    return [row for row, empty in enumerate(part.is_empty) if empty]


def _is_filled(parts: list[Part], row: int) -> bool:
    return any(not part.is_empty[row] for part in parts)


def _has_value(parts: list[Part], row: int, texts: frozenset[str]) -> bool:
    shown = {part.display(row) for part in parts} | {json_text(part.output(row)) for part in parts}
    return bool((shown or {""}) & texts)


def _texts(value: Any) -> frozenset[str]:
    return frozenset(map(json_text, value if isinstance(value, list) else [value]))
