"""How far the cells of an xls reach, as `extent` says for an xlsx.

An xls is a small file system of sectors; the workbook in it is a stream of records, some of which are cells.
"""

import struct
from collections.abc import Iterator, Mapping

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.reading.cell_facts import CellFacts, error_text
from sandbox.engine.reading.extent import check_span
from sandbox.engine.reading.other_forms import refuse_by_streams
from sandbox.engine.reading.source import Source, size_bytes

XLS_MAX_BYTES = 500 << 20
_STREAMS = tuple(name.encode("utf-16-le") for name in ("Workbook", "Book"))
_RECORD_HEAD_BYTES = 4
_HEAD_BYTES, _ENTRY_BYTES, _MINI_BYTES = 512, 128, 64
_LAST_SECTOR = 0xFFFFFFFA
_BEGIN = 0x0809
_CELL_RECORDS = {0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0203, 0x0204, 0x0205, 0x0207,
                 0x027E, 0x007E, 0x00BD, 0x00D6, 0x00FD, 0x0406, 0x0206}  # fmt: skip
_FORMULA_RECORDS, _ERROR_RECORD, _SHEET_RECORD = {0x0006, 0x0206, 0x0406}, 0x0205, 0x0085
_IS_UNICODE = 1


def check_xls(source: Source) -> Mapping[str, CellFacts]:
    """Return what the cells of each sheet hold.

    Raises UnreadableFileError for cells that span too much, and for another document of old Office. The reader rejects
    what is not a proper xls.
    """
    if size_bytes(source) > XLS_MAX_BYTES:
        raise UnreadableFileError(f"The workbook is larger than {XLS_MAX_BYTES >> 20} MB.")
    data = source if isinstance(source, bytes) else source.read_bytes()
    try:
        stream = _workbook_stream(data)
    except (struct.error, IndexError, ValueError, StopIteration):
        refuse_by_streams(data)
        return {}
    rows = columns = 0
    facts, names = CellFacts(), dict[int, str]()
    found: dict[int, CellFacts] = {}
    for kind, at, length in _records(stream):
        if kind == _BEGIN:
            rows = columns = 0
            facts = found.setdefault(at - _RECORD_HEAD_BYTES, CellFacts())
        elif kind == _SHEET_RECORD and length >= 8:
            names[struct.unpack_from("<I", stream, at)[0]] = _sheet_name(stream[at : at + length])
        elif kind in _CELL_RECORDS and length >= 4:
            row, column = struct.unpack_from("<HH", stream, at)
            rows, columns = max(rows, row + 1), max(columns, column + 1)
            check_span(rows, columns)
            if error := _error(kind, stream[at : at + length]):
                facts.errors.add(row, error)
    return {names[at]: facts for at, facts in found.items() if at in names}


def _error(kind: int, cell: bytes) -> str:
    """Return the error that a cell holds; "" if it holds none."""
    if kind == _ERROR_RECORD and cell[7:8] == b"\1":
        return error_text(cell[6:7])
    is_error = kind in _FORMULA_RECORDS and cell[12:14] == b"\xff\xff" and cell[6:7] == b"\2"
    return error_text(cell[8:9]) if is_error else ""


def _sheet_name(record: bytes) -> str:
    if record[7] & _IS_UNICODE:
        return record[8 : 8 + record[6] * 2].decode("utf-16-le", "replace")
    return record[8 : 8 + record[6]].decode("latin-1")


def _records(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the kind of each record, the position of its content, and its length."""
    at = 0
    while at + _RECORD_HEAD_BYTES <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, at)
        yield kind, at + _RECORD_HEAD_BYTES, min(length, len(stream) - at - _RECORD_HEAD_BYTES)
        at += _RECORD_HEAD_BYTES + length


def _workbook_stream(data: bytes) -> bytes:
    """Return the workbook's bytes. Raises struct.error, IndexError, ValueError, or StopIteration if it has none."""
    size = 1 << struct.unpack_from("<H", data, 30)[0]
    if not 64 <= size <= 4096:
        raise ValueError("not a sector size")
    directory_at, mini_from = struct.unpack_from("<I", data, 48)[0], struct.unpack_from("<I", data, 56)[0]
    table = _table(data, size)
    directory = b"".join(_sector(data, size, at) for at in _chain(table, directory_at))
    entries = [directory[at : at + _ENTRY_BYTES] for at in range(0, len(directory), _ENTRY_BYTES)]
    entry = next(entry for name in _STREAMS for entry in entries if entry.startswith(name + b"\0\0"))
    first, length = struct.unpack_from("<II", entry, 116)
    if length >= mini_from:
        return b"".join(_sector(data, size, at) for at in _chain(table, first))[:length]
    mini_at = struct.unpack_from("<I", data, 60)[0]
    minis = _numbers(b"".join(_sector(data, size, at) for at in _chain(table, mini_at)))
    root = struct.unpack_from("<I", entries[0], 116)[0]
    held = b"".join(_sector(data, size, at) for at in _chain(table, root))
    return b"".join(held[at * _MINI_BYTES : (at + 1) * _MINI_BYTES] for at in _chain(minis, first))[:length]


def _table(data: bytes, size: int) -> tuple[int, ...]:
    """Return the sector that follows each sector."""
    places = list(struct.unpack_from("<109I", data, 76))
    at, count = struct.unpack_from("<II", data, 68)
    for _ in range(min(count, len(data) // size)):
        more = _numbers(_sector(data, size, at))
        places, at = places + list(more[:-1]), more[-1]
    return _numbers(b"".join(_sector(data, size, place) for place in places if place < _LAST_SECTOR))


def _chain(table: tuple[int, ...], at: int) -> Iterator[int]:
    for _ in range(len(table)):
        if at >= _LAST_SECTOR:
            return
        yield at
        at = table[at]


def _sector(data: bytes, size: int, at: int) -> bytes:
    begin = max(size, _HEAD_BYTES) + at * size
    return data[begin : begin + size]


def _numbers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
