"""The zip package of a workbook, inspected before it is read: bombs, false sizes, and cells that are too far apart."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.reading.cell_facts import CellFacts, FactSearch
from sandbox.engine.reading.extent import DAMAGED, ExactLook, QuickLook
from sandbox.engine.reading.number_formats import STYLES_PART, padded_styles
from sandbox.engine.reading.ods_xlsb_extent import ODS_PART, XLSB_SHEET, OdsLook, XlsbLook
from sandbox.engine.reading.other_forms import refuse_by_entries
from sandbox.engine.reading.sheet_parts import plain_name, sheet_parts
from sandbox.engine.reading.source import Source, opened

UNPACKED_MAX_BYTES = 500 << 20
STREAMED_MAX_BYTES = 4 << 30
HELD_XML_MAX_BYTES = 200 << 20
RATIO_MAX = 200
RATIO_FREE_BYTES = 20 << 20
ENTRIES_MAX_COUNT = 10_000
LOCKED = "The workbook is protected by a password."
_BOMB = "The workbook unpacks to far more than a workbook holds."
_CHUNK_BYTES = 1 << 20
_INDEX_MAX_BYTES = 4 << 20
_MAIN_PART = "xl/workbook.xml"
_MIMETYPE, _MIMETYPE_MAX_BYTES = "mimetype", 100
_MANIFEST = "META-INF/manifest.xml"
_LOCK = re.compile(rb"<(?:[\w.-]+:)?encryption-data\b")


@dataclass(frozen=True)
class Package:
    """What a workbook's zip says; `is_large` means that it must be read row by row.

    `facts` are those of its sheets by name. `breaks_lines` says that an ods has line breaks within paragraphs.
    """

    is_large: bool
    facts: Mapping[str, CellFacts] = field(default_factory=dict)
    breaks_lines: bool = False


def check_package(source: Source) -> Package:
    """Inspect a zip; a file that is not a zip is not large. Raises UnreadableFileError."""
    with opened(source) as stream:
        if not stream.read(4).startswith(b"PK"):
            return Package(is_large=False)
        try:
            with zipfile.ZipFile(stream) as package:
                entries = package.infolist()
                _check_ratio(entries, stream)
                refuse_by_entries([entry.filename for entry in entries], _mimetype(stream, entries))
                is_large = _is_large(entries)
                _check_size(entries, most=STREAMED_MAX_BYTES if is_large else UNPACKED_MAX_BYTES)
                padded = _padded_styles(stream, entries)
                found = {entry.filename: _looked_at(stream, entry, padded, is_large=is_large) for entry in entries}
                return _package(stream, entries, found, is_large=is_large)
        except (zipfile.BadZipFile, OSError, ValueError, zlib.error, NotImplementedError, EOFError) as error:
            raise UnreadableFileError(DAMAGED) from error


def _package(
    stream: BinaryIO, entries: list[zipfile.ZipInfo], found: Mapping[str, CellFacts | OdsLook], *, is_large: bool
) -> Package:
    ods = found.get(ODS_PART)
    if isinstance(ods, OdsLook):
        return Package(is_large, ods.facts, ods.breaks_lines)
    telling = {plain_name(name): facts for name, facts in found.items() if isinstance(facts, CellFacts) and facts}
    if not telling:
        return Package(is_large)
    small = {plain_name(entry.filename): entry for entry in entries if entry.file_size <= _INDEX_MAX_BYTES}
    parts = sheet_parts(lambda name: b"".join(pieces(stream, small[name])) if name in small else b"")
    return Package(is_large, {name: telling[part] for name, part in parts.items() if part in telling})


def _mimetype(stream: BinaryIO, entries: list[zipfile.ZipInfo]) -> str:
    """Return what an OpenDocument file says it is; "" for other packages."""
    entry = next((entry for entry in entries if entry.filename == _MIMETYPE), None)
    first = b"" if entry is None else next(pieces(stream, entry), b"")
    return first[:_MIMETYPE_MAX_BYTES].decode("ascii", "replace").lower()


def _is_large(entries: list[zipfile.ZipInfo]) -> bool:
    """Return whether an xlsx has more XML than fits in memory."""
    if not any(entry.filename == _MAIN_PART for entry in entries):
        return False
    return sum(entry.file_size for entry in entries if entry.filename.endswith(".xml")) > HELD_XML_MAX_BYTES


def _check_ratio(entries: list[zipfile.ZipInfo], stream: BinaryIO) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    absurd = unpacked > RATIO_FREE_BYTES and unpacked > RATIO_MAX * max(packed, 1)
    overlapping = packed > stream.seek(0, io.SEEK_END)
    if len(entries) > ENTRIES_MAX_COUNT or absurd or overlapping:
        raise UnreadableFileError(_BOMB)


def _check_size(entries: list[zipfile.ZipInfo], *, most: int) -> None:
    if sum(entry.file_size for entry in entries) > most:
        raise UnreadableFileError(f"The workbook is larger than {most >> 20} MB when unpacked.")


def _padded_styles(stream: BinaryIO, entries: list[zipfile.ZipInfo]) -> Mapping[str, int]:
    """Return the styles of an xlsx that show leading zeros; none if its styles are too large to look at."""
    for entry in entries:
        if plain_name(entry.filename) == STYLES_PART and entry.file_size <= _INDEX_MAX_BYTES:
            return padded_styles(b"".join(islice(pieces(stream, entry), _INDEX_MAX_BYTES // _CHUNK_BYTES + 1)))
    return {}


def _looked_at(
    stream: BinaryIO, entry: zipfile.ZipInfo, padded: Mapping[str, int], *, is_large: bool
) -> CellFacts | OdsLook:
    """Unpack one entry without storing it, and return what its cells hold.

    Raises UnreadableFileError for a false size or cells too far apart.
    """
    unpacked = 0
    quick, search = QuickLook(), FactSearch(padded)
    for piece in pieces(stream, entry):
        unpacked += len(piece)
        if unpacked > entry.file_size:
            raise UnreadableFileError(_BOMB)
        if entry.filename == _MANIFEST and _LOCK.search(piece):
            raise UnreadableFileError(LOCKED)
        search.add(piece)
        if not is_large:
            quick.add(piece)
    exact = _exact_look(stream, entry, padded, needs_parser=quick.needs_parser)
    if exact is None:
        return search.found
    for piece in pieces(stream, entry):
        exact.add(piece)
    exact.finish()
    return exact if isinstance(exact, OdsLook) else exact.facts


def _exact_look(
    stream: BinaryIO, entry: zipfile.ZipInfo, padded: Mapping[str, int], *, needs_parser: bool
) -> ExactLook | OdsLook | XlsbLook | None:
    """Return the parser that the entry needs; None for most entries."""
    if entry.filename == ODS_PART:
        return OdsLook()
    if next(pieces(stream, entry), b"").startswith(XLSB_SHEET):
        return XlsbLook()
    return ExactLook(padded) if needs_parser else None


def pieces(stream: BinaryIO, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the unpacked bytes of an entry in pieces. Raises BadZipFile for a method that no workbook uses."""
    stream.seek(entry.header_offset)
    header = stream.read(30)
    stream.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), io.SEEK_CUR)
    packed = _packed(stream, entry.compress_size)
    if entry.compress_type == zipfile.ZIP_STORED:
        yield from packed
        return
    if entry.compress_type != zipfile.ZIP_DEFLATED:
        raise zipfile.BadZipFile
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    for chunk in packed:
        waiting = chunk
        while waiting and not inflate.eof:
            yield inflate.decompress(waiting, _CHUNK_BYTES)
            waiting = inflate.unconsumed_tail


def _packed(stream: BinaryIO, left: int) -> Iterator[bytes]:
    while left > 0 and (chunk := stream.read(min(left, _CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk
