"""Which part of a workbook's zip holds which sheet."""

import posixpath
import re
from collections.abc import Callable, Mapping
from xml.parsers import expat

from sandbox.engine.reading.ods_xlsb_extent import xlsb_sheets

_WORKBOOK, _BINARY_WORKBOOK = "xl/workbook.xml", "xl/workbook.bin"
_RELATION_ID = re.compile(r"(?:.*:)?id", re.IGNORECASE)


def plain_name(name: str) -> str:
    """Return an entry's name as the zip's relations are compared: with slashes, without case."""
    return name.replace("\\", "/").lstrip("/").lower()


def sheet_parts(read: Callable[[str], bytes]) -> Mapping[str, str]:
    """Return the plain name of each sheet's part by the sheet's name; `read` returns an entry, or b""."""
    book, binary = read(_WORKBOOK), read(_BINARY_WORKBOOK)
    relations = _elements(read(f"xl/_rels/workbook.{'xml' if book else 'bin'}.rels"), "Relationship")
    targets = {each.get("Id", ""): _target(each.get("Target", "")) for each in relations}
    sheets = [(each.get("name", ""), _relation_of(each)) for each in _elements(book, "sheet")]
    return {name: targets[at] for name, at in sheets or xlsb_sheets(binary) if at in targets}


def _target(path: str) -> str:
    name = path.replace("\\", "/")
    return plain_name(posixpath.normpath(name if name.startswith("/") else f"xl/{name}"))


def _relation_of(attributes: Mapping[str, str]) -> str:
    """Return the id of a sheet's relation, which has the prefix of any namespace; the sheet's own id has none."""
    return next((text for name, text in attributes.items() if ":" in name and _RELATION_ID.fullmatch(name)), "")


def _elements(xml: bytes, kind: str) -> list[Mapping[str, str]]:
    """Return the attributes of all elements of a kind; of XML that is damaged, those before the damage."""
    found: list[Mapping[str, str]] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: (
        found.append(attributes) if name.rpartition(":")[2] == kind else None
    )
    try:
        parser.Parse(xml, True)  # noqa: FBT003 - the parser's own argument
    except (expat.ExpatError, ValueError):
        return found
    return found
