"""Shortcuts to run the import engine in tests."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from sandbox.engine import Outcome, run_import
from sandbox.engine.corrections import Corrections
from sandbox.engine.types import CellMemo, Invalid, make_kind


def run(
    source: Any,
    *fields: Mapping[str, Any],
    hooks: Any = None,
    result: Any = None,
    corrections: Corrections | None = None,
    **settings: Any,
) -> Outcome:
    """Import text, bytes, a path, or JSON rows with these fields and settings."""
    data = source.encode() if isinstance(source, str) else source
    schema = {"fields": list(fields), "settings": settings, "hooks": hooks or {}}
    return run_import(data, schema=schema, filename="a.csv", result=result, corrections=corrections)


def step(kind: str, callback: str) -> dict[str, Any]:
    """Return the hooks of a schema with one step hook."""
    return {"stepHooks": [{"type": kind, "callback": callback}]}


def cells(type_: Any, *texts: str, **field: Any) -> list[Any]:
    """Return the result for each text of one column, or for an invalid text the name of the rule."""
    kind = make_kind({"key": "a", "type": type_, **field})
    kind.prepare(texts)
    values = kind.column(list(texts), CellMemo(kind))
    return [Fault(value.rule) if isinstance(value, Invalid) else kind.output(value) for value in values]


class Fault(str):
    """The rule that an invalid cell violates."""

    __slots__ = ()


def marks(outcome: Outcome) -> list[tuple[int, str]]:
    """Return row and field of each validation error."""
    return [(error["rowIndex"], error["fieldKey"]) for error in outcome.metadata["errors"]]


def zipped(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a zip file with these entries."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in entries:
            package.writestr(name, content)
    return stream.getvalue()


def workbook(*rows: Iterable[Any], sheet_xml: str | None = None) -> bytes:
    """Return an xlsx with one sheet, Data, that has these rows or this XML."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Data"
    for row in rows:
        book.active.append(list(row))
    stream = io.BytesIO()
    book.save(stream)
    if sheet_xml is None:
        return stream.getvalue()
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    xml = f"<worksheet {main}>{sheet_xml}</worksheet>".encode()
    with zipfile.ZipFile(stream) as package:
        entries = [(name, xml if "sheet1.xml" in name else package.read(name)) for name in package.namelist()]
    return zipped(entries)


def sheets(**rows_of: Iterable[Iterable[Any]]) -> bytes:
    """Return an xlsx with these sheets; one whose name ends with _hidden is hidden."""
    openpyxl = pytest.importorskip("openpyxl")
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in rows_of.items():
        sheet = made.create_sheet(name)
        sheet.sheet_state = "hidden" if name.endswith("_hidden") else "visible"
        for row in rows:
            sheet.append(list(row))
    stream = io.BytesIO()
    made.save(stream)
    return stream.getvalue()
