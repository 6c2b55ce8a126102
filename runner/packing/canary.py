"""The canary: the first pack of a schema, whose result is compared with what each member's own import should give.

The prediction comes from an import engine on this machine, which the caller passes in. Real imports of single files are
never compared: they would import the same data twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from runner.packing.split import ROW_INDEX, MemberResult

SUCCESSFUL = "SUCCESSFUL"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedImport:
    """What an engine predicts for the import of one file: its status, the result as a JSON array, and its metadata."""

    status: str
    content: bytes = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)


class PredictImport(Protocol):
    """Imports one file by the schema of its route, as without packing; never raises for bad data."""

    def __call__(self, raw: bytes, /, *, filename: str) -> PredictedImport: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """How a member's part of a pack is not as predicted; `sentence` never has the content of a row."""

    tag: str
    sentence: str


def differences(
    results: Iterable[MemberResult], files: Mapping[str, tuple[bytes, str]], predict: PredictImport
) -> list[Difference]:
    """Compare each member's result with the prediction for its file alone; `files` are (bytes, file name) by tag.

    Returns the first difference of each member that has one; none if packing does what it should.
    """
    found = []
    for each in results:
        raw, filename = files[each.tag]
        sentence = _difference(each, predict(raw, filename=filename))
        if sentence:
            found.append(Difference(each.tag, sentence))
    return found


def _difference(result: MemberResult, predicted: PredictedImport) -> str:
    """Return how a result is not as predicted; "" if it is."""
    if predicted.status != SUCCESSFUL:
        return f"its own import is predicted to end as {predicted.status}, and the pack was imported"
    expected = json.loads(predicted.content)
    if len(expected) != len(result.rows):
        return f"its result has {len(result.rows)} rows, and {len(expected)} are predicted"
    for number, (row, other) in enumerate(zip(map(json.loads, result.rows), expected, strict=True), start=1):
        if keys := _differing_keys(row, other):
            return f"row {number} of its result differs in {', '.join(keys)}"
    if _named(result.metadata) != _named(predicted.metadata):
        return "its errors are in other rows than predicted"
    return ""


def _differing_keys(row: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the keys that only one of two rows has, or whose values differ."""
    keys = dict.fromkeys((*row, *other))
    return [key for key in keys if key not in row or key not in other or not _is_same(row[key], other[key])]


def _is_same(one: object, other: object) -> bool:
    """Return whether two JSON values are equal; true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(value, other[key]) for key, value in one.items())
    return one == other


def _named(metadata: Mapping[str, Any]) -> list[tuple[object, object]]:
    """Return row and field of each error."""
    errors: Sequence[Mapping[str, Any]] = metadata.get("errors") or ()
    return [(error.get(ROW_INDEX), error.get("fieldKey")) for error in errors]
