"""Kinds of files: how a table becomes bytes, and the codes that may refuse the result."""

from __future__ import annotations

import codecs
import csv
import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Header = Sequence[str]
Rows = Sequence[Sequence[str]]
Make = Callable[[Header, Rows, random.Random], bytes]


NOT_A_TABLE = frozenset(
    ("quotes_unclear", "delimiter_unclear", "ragged_rows", "header_unmatched", "blank_rows", "preamble")
)
ANYTHING = frozenset(("*",))
"""Of files that may be packed or refused for what is random in them."""


@dataclass(frozen=True)
class Kind:
    """A kind of files; one that can't be packed has the codes of which one must refuse it.

    Whatever a file holds, a header with two delimiters may refuse it first.
    """

    name: str
    make: Make
    codes: frozenset[str] = frozenset()

    @property
    def may_be_packed(self) -> bool:
        return not self.codes or self.codes is ANYTHING

    def may_be_refused_as(self, code: str) -> bool:
        return self.may_be_packed or code in self.codes | {"delimiter_unclear"}


def table(header: Header, rows: Rows, **form: object) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, **{"lineterminator": "\n", **form}).writerows([header, *rows])  # type: ignore[arg-type]
    return stream.getvalue()


def plain(header: Header, rows: Rows, _rng: random.Random) -> bytes:
    return table(header, rows).encode()


def written(**form: object) -> Make:
    return lambda header, rows, _: table(header, rows, **form).encode()


def changed(change: Callable[[str, random.Random], str], **form: object) -> Make:
    """Return files whose text is changed after it was written."""
    return lambda header, rows, rng: change(table(header, rows, **form), rng).encode()


def coded(encoding: str, mark: bytes = b"") -> Make:
    return lambda header, rows, _: mark + table(header, rows).encode(encoding, "replace")


def with_rows(change: Callable[[Header, list[list[str]], random.Random], tuple[Header, list[list[str]]]]) -> Make:
    def make(header: Header, rows: Rows, rng: random.Random) -> bytes:
        return table(*change(list(header), [list(row) for row in rows], rng)).encode()

    return make


def every_cell(cell: Callable[[random.Random], str]) -> Make:
    """Return files in which one cell per row is another one."""

    def change(header: Header, rows: list[list[str]], rng: random.Random) -> tuple[Header, list[list[str]]]:
        for row in rows:
            row[rng.randrange(len(row))] = cell(rng)
        return header, rows

    return with_rows(change)


def inserted(line: str) -> Make:
    def change(text: str, rng: random.Random) -> str:
        lines = text.splitlines(keepends=True)
        at = rng.randint(1, len(lines))
        return "".join([*lines[:at], line, *lines[at:]])

    return changed(change)


def cut_row(header: Header, rows: list[list[str]], rng: random.Random) -> tuple[Header, list[list[str]]]:
    rows[rng.randrange(len(rows))].append("more")
    return header, rows


def cells_are_names(header: Header, rows: list[list[str]], rng: random.Random) -> tuple[Header, list[list[str]]]:
    for row in rows:
        row[:] = [rng.choice(header) for _ in header]
    return header, rows


def other_names_in_cells(header: Header, rows: list[list[str]], rng: random.Random) -> tuple[Header, list[list[str]]]:
    """Put names of fields into the rows of which the header has another name."""
    for row in rows:
        row[:] = [rng.choice(["f0_a", "f0_b", "f1_a", "f1_b", "f2_a", "f2_b", "Customer", "Zone"]) for _ in header]
    return header, rows


def same_header_below(header: Header, rows: list[list[str]], _rng: random.Random) -> tuple[Header, list[list[str]]]:
    return header, [*rows, list(header), *rows]


def one_header_twice(header: Header, rows: list[list[str]], _rng: random.Random) -> tuple[Header, list[list[str]]]:
    return [*header, header[0]], [[*row, "x"] for row in rows]


def header_without_name(header: Header, rows: list[list[str]], _rng: random.Random) -> tuple[Header, list[list[str]]]:
    return [*header, " "], [[*row, "x"] for row in rows]


def more_rows(header: Header, rows: list[list[str]], rng: random.Random) -> tuple[Header, list[list[str]]]:
    return header, rows * rng.randint(2, 20)


def no_rows(header: Header, _rows: list[list[str]], _rng: random.Random) -> tuple[Header, list[list[str]]]:
    return header, []


def lacks_a_column(header: Header, rows: list[list[str]], _rng: random.Random) -> tuple[Header, list[list[str]]]:
    return [f"other {header[0]}", *header[1:]], rows


KINDS = (
    Kind("plain", plain),
    Kind("windows line ends", written(lineterminator="\r\n")),
    Kind("old line ends", written(lineterminator="\r")),
    Kind("byte order mark", coded("utf-8", codecs.BOM_UTF8)),
    Kind("all quoted", written(quoting=csv.QUOTE_ALL)),
    Kind("semicolons", written(delimiter=";")),
    Kind("tabs", written(delimiter="\t")),
    Kind("bars", written(delimiter="|")),
    Kind("no last line end", changed(lambda text, _: text.rstrip("\n"))),
    Kind("many rows", with_rows(more_rows)),
    Kind("lines in cells", every_cell(lambda rng: rng.choice(["a\nb", "a\r\nb", "\n", "x\ry"]))),
    Kind("quotes in cells", every_cell(lambda rng: rng.choice(['"', '""', 'a "b" c', '",', ',"', '"\n"']))),
    Kind(
        "other delimiters in cells",
        every_cell(lambda rng: rng.choice([";;;;;;;;", "|a|b|c|d|e|f", "\t\t", ';"', '|"x'])),
    ),
    Kind(
        "markers in cells",
        every_cell(lambda rng: rng.choice(["k3f5x2ab7q2mc.1", '"$unmapped":{"0":"', "Bulkhead marker"])),
    ),
    Kind(
        "dates of both orders",
        every_cell(lambda rng: rng.choice(["3/4/2024", "25/12/2024", "12/25/2024", "3. 4. 2024"])),
    ),
    Kind(
        "dates of other scripts",
        every_cell(
            lambda rng: rng.choice(
                ["٣/٤/٢٠٢٤", "3年4月2024", "2024年3月4日", "3 / 4 / 24", "3\u200f\u200f/\u200f\u200f\u200f4/2024"]
            )
        ),
    ),
    Kind("many semicolons", every_cell(lambda _: "a;b;c;d;e;f;g;h;i;j;k;l")),
    Kind("many bars", every_cell(lambda _: "a|b|c|d|e|f|g|h|i|j|k|l|m")),
    Kind("bars with quotes", every_cell(lambda rng: rng.choice(['a|"b', '|"', '"|"|"', 'x|"y"|z']))),
    Kind("names in cells", with_rows(cells_are_names)),
    Kind("other names in cells", with_rows(other_names_in_cells)),
    Kind("header below", with_rows(same_header_below)),
    Kind(
        "odd blanks", every_cell(lambda rng: rng.choice(["\xa0", "\u3000", " ", "\u200b", "\ufeff", "\x85", "\u2028"]))
    ),
    Kind("private characters", every_cell(lambda rng: rng.choice(["\ue000", "\ue001", "\ue002", "\ufffd"]))),
    Kind("escaped quotes", changed(lambda text, _: text.replace('""', '\\"')), ANYTHING),
    Kind("bare quotes", changed(lambda text, rng: text.replace("e", 'e"', rng.randint(1, 3))), ANYTHING),
    Kind("blank row", inserted("\n"), ANYTHING),
    Kind("row of delimiters", inserted(",,,\n"), ANYTHING),
    Kind("short row", inserted("x\n"), ANYTHING),
    Kind("long row", with_rows(cut_row), NOT_A_TABLE),
    Kind("title above", changed(lambda text, _: f"Report of May\n{text}"), NOT_A_TABLE),
    Kind(
        "wide title above",
        changed(lambda text, _: f"a,b,c,d,e,f,g,h,i,j,k\n{text}"),
        NOT_A_TABLE | {"delimiter_unclear"},
    ),
    Kind("separator line", changed(lambda text, _: f"sep=,\n{text}"), frozenset(("separator_line",))),
    Kind("no rows", with_rows(no_rows), frozenset(("no_rows",))),
    Kind("empty", lambda *_: b"", frozenset(("no_rows",))),
    Kind("only blanks", lambda *_: b" \n \n", NOT_A_TABLE | {"header_empty", "no_rows"}),
    Kind("repeated header", with_rows(one_header_twice), frozenset(("header_repeated",))),
    Kind("header without a name", with_rows(header_without_name), frozenset(("header_empty",))),
    Kind("missing column", with_rows(lacks_a_column), ANYTHING),
    Kind("open quote", changed(lambda text, _: f'{text}"never closed'), NOT_A_TABLE),
    Kind("zeros", changed(lambda text, _: text.replace("\n", "\0\n", 1)), frozenset(("control_characters",))),
    Kind("end mark", changed(lambda text, _: f"{text}\x1a"), frozenset(("control_characters",))),
    Kind("bell", changed(lambda text, _: f"{text[:-1]}\x07\n"), frozenset(("control_characters",))),
    Kind(
        "latin-1",
        lambda header, rows, _: table(header, rows).encode("latin-1", "replace") + b"\xe4\xf6",
        frozenset(("not_utf8",)),
    ),
    Kind("utf-16", coded("utf-16"), frozenset(("not_utf8",))),
    Kind("utf-16 without a mark", coded("utf-16-le"), frozenset(("not_utf8", "control_characters"))),
    Kind("half a character", lambda header, rows, _: table(header, rows).encode() + b"\xc3", frozenset(("not_utf8",))),
    Kind("workbook", lambda *_: b"PK\x03\x04" + bytes(40), frozenset(("workbook",))),
    Kind("JSON", lambda *_: b'[{"a": 1}]', frozenset(("json",))),
    Kind("web page", lambda *_: b"<!doctype html><table><tr><td>1</td></tr></table>", frozenset(("other_format",))),
    Kind(
        "large",
        lambda header, rows, _: table(header, [*rows, ["x" * 1_000_001, *rows[0][1:]]]).encode(),
        frozenset(("too_large",)),
    ),
)
