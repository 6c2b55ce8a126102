"""Files designed to break a reader, and a program that imports each in a process with little memory and time."""

import base64
import gzip
import io
import json
import os
import random
import resource
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from sandbox.engine import run_import
from tests.support.engine import workbook, zipped

MEMORY_MAX_BYTES = 300_000_000
CPU_MAX_S = 8
_FIELDS = [{"key": "a", "label": "a"}, {"key": "b", "label": "b"}]
_OFFICE = "urn:oasis:names:tc:opendocument:xmlns"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEADER_ROW = '<row r="1"><c r="A1"><v>1</v></c></row>'
_FAR_ROW = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'


def noise(size: int) -> bytes:
    """Return incompressible bytes, the same each time."""
    return random.Random(size).randbytes(size)


def xlsx(
    rows: str, *, part: str = "xl/worksheets/sheet1.xml", method: int = zipfile.ZIP_DEFLATED, doctype: str = ""
) -> bytes:
    """Return a workbook whose sheet has this XML as its rows, with any file name and compression."""
    made = zipfile.ZipFile(io.BytesIO(workbook(["a"])))
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as package:
        for name in made.namelist():
            if name.endswith("sheet1.xml"):
                package.writestr(part, f"{doctype}<worksheet {main}><sheetData>{rows}</sheetData></worksheet>")
            else:
                package.writestr(name, made.read(name).replace(b"/xl/worksheets/sheet1.xml", f"/{part}".encode()))
    return stream.getvalue()


def text_cell(at: str, text: str) -> str:
    return f'<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>'


def ods(rows: str, *, manifest: str = "", doctype: str = "") -> bytes:
    """Return an ods with one sheet with these rows."""
    spaces = " ".join(f'xmlns:{name}="{_OFFICE}:{name}:1.0"' for name in ("office", "table", "text"))
    body = f'<office:body><office:spreadsheet><table:table table:name="S">{rows}</table:table>'
    content = f"{doctype}<office:document-content {spaces}>{body}</office:spreadsheet></office:body>"
    files = f'<manifest:manifest xmlns:manifest="{_OFFICE}:manifest:1.0">{manifest}</manifest:manifest>'
    return zipped(
        [
            ("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"),
            ("META-INF/manifest.xml", files.encode()),
            ("content.xml", f"{content}</office:document-content>".encode()),
        ]
    )


def ods_row(*texts: str, repeated: int = 1, cell_repeated: int = 1) -> str:
    """Return a repeated row of repeated cells; "" is a blank cell."""
    cells = (
        f'<table:table-cell office:value-type="string" table:number-columns-repeated="{cell_repeated}">'
        f"<text:p>{text}</text:p></table:table-cell>"
        if text
        else f'<table:table-cell table:number-columns-repeated="{cell_repeated}"/>'
        for text in texts
    )
    return f'<table:table-row table:number-rows-repeated="{repeated}">{"".join(cells)}</table:table-row>'


def xlsb(cells: list[tuple[int, int, str]]) -> bytes:
    """Return an xlsb with one sheet with texts at these rows and columns."""
    sheet = _record(129) + _record(148, bytes(16)) + _record(145)
    for row, column, text in cells:
        sheet += _record(0, struct.pack("<I", row) + bytes(13))
        sheet += _record(6, struct.pack("<III", column, 0, len(text)) + text.encode("utf-16-le"))
    names = struct.pack("<III", 0, 1, 4) + "rId1".encode("utf-16-le") + struct.pack("<I", 1) + "S".encode("utf-16-le")
    book = _record(131) + _record(143) + _record(156, names) + _record(144) + _record(132)
    space = "http://schemas.openxmlformats.org/package/2006"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
    relation = f'<Relationship Id="rId1" Type="{kind}" Target="worksheets/sheet1.bin"/>'
    return zipped(
        [
            ("[Content_Types].xml", f'<Types xmlns="{space}/content-types"/>'.encode()),
            ("xl/workbook.bin", book),
            (
                "xl/_rels/workbook.bin.rels",
                f'<Relationships xmlns="{space}/relationships">{relation}</Relationships>'.encode(),
            ),
            ("xl/worksheets/sheet1.bin", sheet + _record(146) + _record(130)),
        ]
    )


def _record(kind: int, body: bytes = b"") -> bytes:
    return (bytes([kind]) if kind < 128 else bytes([kind & 127 | 128, kind >> 7])) + bytes([len(body)]) + body


def xls(cells: list[tuple[int, int, str]]) -> bytes:
    """Return an xls with one sheet with texts at these rows and columns."""
    opening = struct.pack("<HII", 0x0DBB, 0x07CC, 6)

    def book(sheet_at: int) -> bytes:
        named = struct.pack("<IHBB", sheet_at, 0, 1, 0) + b"S"
        head = _biff(0x0809, struct.pack("<HH", 0x0600, 5) + opening) + _biff(0x42, struct.pack("<H", 1200))
        return head + _biff(0x85, named) + _biff(0x0A)

    sheet = _biff(0x0809, struct.pack("<HH", 0x0600, 0x10) + opening)
    for row, column, text in cells:
        sheet += _biff(0x0204, struct.pack("<HHHHB", row, column, 0, len(text), 0) + text.encode())
    stream = (book(len(book(0))) + sheet + _biff(0x0A)).ljust(4096, b"\0")
    count = len(stream) // 512
    table = [0xFFFFFFFD, 0xFFFFFFFE, *range(3, count + 2), 0xFFFFFFFE]
    header = _OLE + bytes(16) + struct.pack("<5H", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<10I", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, 0)
    sectors = struct.pack(f"<{len(table)}I", *table).ljust(512, b"\xff")
    directory = _ole_entry("Root Entry", kind=5, child=1) + _ole_entry("Workbook", kind=2, first=2, size=len(stream))
    return header.ljust(512, b"\xff") + sectors + directory.ljust(512, b"\0") + stream


def _ole_entry(name: str, *, kind: int, child: int = 0xFFFFFFFF, first: int = 0xFFFFFFFE, size: int = 0) -> bytes:
    text = name.encode("utf-16-le")
    head = text.ljust(64, b"\0") + struct.pack("<HBBIII", len(text) + 2, kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child)
    return head + bytes(36) + struct.pack("<IQ", first, size)


def _biff(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def lying_zip() -> bytes:
    """Return a zip whose directory declares a thousand bytes for an entry of five million."""
    data = bytearray(zipped([("xl/workbook.xml", b"x" * 5_000_000)]))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    return bytes(data)


def overlapping_zip() -> bytes:
    """Return a zip with a hundred entries that share one compressed body."""
    one = zipped([("a.xml", noise(100_000))])
    at, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    entry = one[at:end]
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 100, 100, len(entry) * 100, at, 0)
    return one[:at] + entry * 100 + tail


def laughs(depth: int) -> str:
    """Return a document type in which each entity expands to ten of the one before."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha" * 100}">' for n in range(depth))
    return f"<!DOCTYPE x [{entities}]>"


CASES: dict[str, Callable[[], bytes]] = {
    "an entry that unpacks a thousandfold": lambda: zipped([("xl/sharedStrings.xml", bytes(60 << 20))]),
    "ten thousand entries": lambda: zipped([(f"{n}.xml", b"") for n in range(10_001)]),
    "a directory that is false": lying_zip,
    "entries that overlap": overlapping_zip,
    "a workbook in a zip": lambda: zipped([("a.xlsx", workbook(["a", "b"]))]),
    "a text in a zip": lambda: zipped([("a.csv", b"a,b\n1,2\n")]),
    "a far cell": lambda: xlsx(_HEADER_ROW + _FAR_ROW),
    "a far cell, stored": lambda: xlsx(_HEADER_ROW + _FAR_ROW, method=zipfile.ZIP_STORED),
    "a far cell in a part of another name": lambda: xlsx(_HEADER_ROW + _FAR_ROW, part="xl/media/image1.png"),
    "a far cell in small letters": lambda: xlsx(_HEADER_ROW + _FAR_ROW.replace("XFD", "xfd")),
    "a far cell by its character's number": lambda: xlsx(_HEADER_ROW + _FAR_ROW.replace("XFD", "&#88;FD")),
    "a far cell with blanks around the sign": lambda: xlsx(_HEADER_ROW + _FAR_ROW.replace('c r="', 'c  r = "')),
    "a far cell under a prefix": lambda: xlsx(_HEADER_ROW + _FAR_ROW.replace("<c", "<x:c").replace("</c", "</x:c")),
    "a far cell behind two megabytes": lambda: xlsx(_HEADER_ROW + _FAR_ROW.replace("<c ", "<c" + " " * (2 << 20))),
    "a cell beyond every column": lambda: xlsx('<row r="1"><c r="ZZZZZZ99999999999"><v>1</v></c></row>'),
    "two references on one cell": lambda: xlsx('<row r="1"><c r="A1" r="XFD1048576"><v>1</v></c></row>'),
    "a shared text that is not there": lambda: xlsx('<row r="1"><c r="A1" t="s"><v>999</v></c></row>'),
    "a cell of many megabytes": lambda: xlsx(
        f'<row r="1">{text_cell("A1", base64.b64encode(noise(9 << 20)).decode())}</row>'
    ),
    "entities that multiply in an xlsx": lambda: xlsx(
        '<row r="1"><c r="A1" t="str"><v>&l8;</v></c></row>', doctype=laughs(9)
    ),
    "entities that multiply in an ods": lambda: ods(ods_row("&l8;"), doctype=laughs(9)),
    "an ods row for a billion": lambda: ods(ods_row("a", "b") + ods_row("1", repeated=10**9)),
    "an ods cell for a billion": lambda: ods(ods_row("a", "b") + ods_row("1", cell_repeated=10**9)),
    "a billion blank ods rows before the last": lambda: ods(
        ods_row("a", "b") + ods_row("", repeated=10**9) + ods_row("z")
    ),
    "an ods far cell in each of many rows": lambda: ods(ods_row("a") + ods_row("z", cell_repeated=16_000) * 2000),
    "an ods that repeats less than once": lambda: ods(ods_row("a", "b") + ods_row("1", repeated=-5)),
    "an xls far cell": lambda: xls([(0, 0, "a"), (65_535, 65_535, "b")]),
    "an xls": lambda: xls([(0, 0, "a"), (0, 1, "b"), (1, 0, "x")]),
    "an xlsb": lambda: xlsb([(0, 0, "a"), (0, 1, "b"), (1, 0, "x")]),
    "an xlsb far cell": lambda: xlsb([(0, 0, "a"), (1_048_575, 16_383, "b")]),
    "a workbook cut short": lambda: workbook(["a", "b"], ["1", "2"])[:-50],
    "the first bytes of a zip": lambda: b"PK\x03\x04",
    "an encrypted workbook": lambda: _OLE + bytes(500) + "EncryptedPackage".encode("utf-16-le") + bytes(2000),
    "an encrypted ods": lambda: ods(
        "", manifest="<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    ),
    "noise behind an xls's first bytes": lambda: _OLE + noise(4096),
    "zeros behind an xls's first bytes": lambda: _OLE + bytes(100_000),
    "a web page": lambda: b"<html><table><tr><td>a</td><td>b</td></tr></table></html>",
    "a spreadsheet in XML": lambda: b'<?xml version="1.0"?><Workbook><Worksheet/></Workbook>',
    "formatted text": lambda: b"{\\rtf1\\ansi a,b\\par 1,2}",
    "a PDF": lambda: b"%PDF-1.7\n" + noise(2000),
    "a picture": lambda: b"\x89PNG\r\n\x1a\n" + noise(2000),
    "a packed text": lambda: gzip.compress(b"a,b\n1,2\n" * 1000),
    "a packed text cut short": lambda: gzip.compress(b"a,b\n1,2\n" * 1000)[:20],
    "zeros": lambda: bytes(10_000),
    "a quote that never closes": lambda: b'a,b\n"x,1\n' + b"y,2\n" * 2_000_000,
    "one endless line": lambda: b"a," + b"x" * 60_000_000,
    "millions of columns": lambda: b"a,b" + b"," * 7_000_000 + b"\n1,2\n",
    "UTF-16 of nothing": lambda: b"\xfe\xff",
    "a table of half a million blank lines": lambda: b"a,b\n" + b"\n" * 500_000 + b"1,2\n",
    "a sheet of many blank rows": lambda: xlsx(
        f'<row r="1">{text_cell("A1", "a")}{text_cell("B1", "b")}</row>'
        + "".join(f'<row r="{n}"/>' for n in range(2, 100_000))
        + f'<row r="100000">{text_cell("A100000", "x")}</row>'
    ),
    "a blank tail of an ods": lambda: ods(
        ods_row("a", "b") + ods_row("1", "2") + ods_row("", repeated=1_048_574, cell_repeated=1024)
    ),
    "UTF-16 that ends within a letter": lambda: b"\xff\xfe" + "a,b\n1,2".encode("utf-16-le") + b"3",
    "UTF-16 with half a pair": lambda: b"\xff\xfe" + "a,b\n".encode("utf-16-le") + b"\x00\xd8,\x002\x00",
    "zeros in a text": lambda: b"a,b\n\0\0\0,1\n" + b"x,y\n" * 100,
}


def main() -> None:
    _load_libraries()
    for name, made in CASES.items():
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(reading)
            _import(made(), writing)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            found = answer.read()
        _, status = os.wait()
        ending = json.loads(found) if found else {"status": f"died of {status}", "message": ""}
        print(json.dumps({"name": name, **ending}))


def _load_libraries() -> None:
    """Import a workbook and a text in an old encoding, so that child processes don't load the libraries again."""
    for data in (workbook(["a"]), "\u00e9,b\n1,2\n".encode("cp1252") * 50):
        run_import(data, schema={"fields": _FIELDS}, filename="")


def _import(data: bytes, writing: int) -> None:
    """Import within limits that allow for the memory that the process already uses."""
    held = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line).split()[1])
    resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + MEMORY_MAX_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    outcome = run_import(data, schema={"fields": _FIELDS}, filename="")
    message = outcome.errors[0]["message"] if outcome.errors else ""
    row_count = len(outcome.rows or ())
    os.write(writing, json.dumps({"status": outcome.status, "message": message, "rows": row_count}).encode())


if __name__ == "__main__":
    main()
