"""How metadata and step hooks are told which columns of the file became which fields."""

from collections.abc import Sequence
from typing import Any

from sandbox.engine.table import FieldColumns, Table


def fields_metadata(mapped: Sequence[FieldColumns], header: Sequence[str]) -> dict[str, Any]:
    """Of each mapped field its columns; of a field that only hooks filled no column. Nothing without a header."""
    return {each.field.key: _mapping(each, header) for each in mapped} if header else {}


def header_mapping(table: Table) -> dict[str, str]:
    """The headers of the mapped columns, and the key of the field each of them became."""
    return {table.header[at]: key for key, ats in table.columns.items() for at in ats if at < len(table.header)}


def _mapping(columns: FieldColumns, header: Sequence[str]) -> dict[str, Any]:
    ats = list(columns.ats)
    names = [header[at] if at < len(header) else "" for at in ats]
    if columns.field.many_to_one:
        return {
            "fileHeader": None,
            "fileHeaders": names,
            "fileHeaderIndex": None,
            "fileHeaderIndexes": ats,
            "isCustom": False,
            "manyToOne": True,
        }
    return {
        "fileHeaderIndex": ats[0] if ats else None,
        "fileHeader": names[0] if ats else None,
        "isCustom": False,
        "manyToOne": False,
    }
