"""The warnings of one file: what the engine knows about it that stops no import, and that nobody may miss.

Every stage of an import adds to one list, `Sheet.warnings`. The result metadata show it, and the check reports it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

SAMPLE_MAX_CHARS = 80
WARNINGS_MAX_COUNT = 1_000


class Level(StrEnum):
    """`loss`: rows or cells are missing, merged, or shifted in the result; `note`: good to know."""

    LOSS = "loss"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class WarningKind:
    """What all warnings with one code have in common: a sentence without counts and cells, and what is counted."""

    message: str
    level: Level = Level.NOTE
    unit: str = "row"


KINDS = {
    "bad_bytes": WarningKind("Some byte sequences are not valid in the encoding and were replaced.", unit="sequence"),
    "cell_error": WarningKind("Cells hold an error of the spreadsheet and are imported as empty.", unit="cell"),
    "checkbox_word": WarningKind(
        "Cells of a checkbox hold words that are neither yes nor no: they are true.", unit="cell"
    ),
    "column_similar": WarningKind("A column is imported as a field to which its name is only similar.", unit="column"),
    "column_unnamed": WarningKind("Cells under an empty header belong to no field.", unit="cell"),
    "date_orders": WarningKind(
        "Dates have day and month in both orders: the order of cells that fit both is a guess.", Level.LOSS, "cell"
    ),
    "decimal_commas": WarningKind(
        "Numbers have decimal commas, so others that look like thousands or thousandths may be read as the wrong one.",
        Level.LOSS,
        "cell",
    ),
    "digits_lost": WarningKind(
        "Whole numbers beyond 2^53 lost digits: only the first 15 to 17 are right.", Level.LOSS, "cell"
    ),
    "digits_rounded": WarningKind(
        "Whole numbers of 16 digits end in 0: a spreadsheet keeps 15 digits, so the last one may be lost.", unit="cell"
    ),
    "encoding_unclear": WarningKind("encoding unclear"),
    "end_marks": WarningKind("The file ends with NUL or 0x1A characters, which were ignored: it may be cut off."),
    "float_ids": WarningKind(
        "Every text of a column ends in .0: a program wrote whole numbers as decimals.", unit="cell"
    ),
    "formula_empty": WarningKind(
        "Cells hold a formula without a value and are imported as empty: the program that wrote them computed nothing.",
        Level.LOSS,
        "cell",
    ),
    "header_again": WarningKind("The header occurs again below and is imported as a row."),
    "header_other": WarningKind(
        "Another header follows below: the rows after it are imported by the first one.", Level.LOSS
    ),
    "key_unknown": WarningKind("No field has a key of the rows: its values are left out."),
    "keys_unknown": WarningKind("No key of the rows is a field.", Level.LOSS),
    "option_repeated": WarningKind("Cells name one option twice; it is imported once.", unit="cell"),
    "quote_escaped": WarningKind(
        "A backslash stands before a quote: it escapes nothing, so the quote ends the cell, and the backslash stays.",
        unit="cell",
    ),
    "quoted_lines": WarningKind("A quoted cell contains line breaks and the delimiter.", unit="cell"),
    "quoted_rows": WarningKind(
        "A quoted cell contains whole rows, which are not imported as rows.", Level.LOSS, "cell"
    ),
    "rows_above": WarningKind("Rows above the header are as wide as it and are not imported.", Level.LOSS),
    "rows_limited": WarningKind("Rows were left out."),
    "rows_short": WarningKind("Rows have one cell only, such as a ruler, a total, or a footer; they are imported."),
    "rows_unsplit": WarningKind(
        "Rows are quoted as a whole or have another delimiter, so that all their cells are in one column.", Level.LOSS
    ),
    "rows_wider": WarningKind(
        "Rows have more cells than the header: cells may be in the wrong column, and the surplus belongs to no field.",
        Level.LOSS,
    ),
    "scientific": WarningKind(
        "Cells hold long numbers with an exponent, such as 1.2E+11: a spreadsheet has dropped their last digits.",
        unit="cell",
    ),
    "sheet_missing": WarningKind("A sheet does not exist."),
    "validator": WarningKind("A validator has a remark.", unit="cell"),
    "value_nested": WarningKind("Values are JSON objects and are imported as [object Object].", Level.LOSS, "cell"),
    "zero_group": WarningKind(
        "Numbers begin with a group that starts with 0, such as 0,500: they are decimals with a comma, not thousands.",
        Level.LOSS,
        "cell",
    ),
    "zeros_by_format": WarningKind(
        "Numbers that the workbook shows with leading zeros are imported without them.", unit="cell"
    ),
}
"""The codes of warnings. Later stages add theirs here."""


@dataclass(frozen=True, slots=True)
class FileWarning:
    """One kind of trouble in a file.

    `message` is a sentence without a cell's text. `first_row` counts the file's rows from 1, as a spreadsheet does;
    None if the warning is about no row. `sample` is a text of the file, cut and escaped. `field_key` names the field
    that the warning is about.
    """

    code: str
    message: str
    level: Level
    unit: str
    first_row: int | None = None
    count: int = 0
    sample: str = ""
    field_key: str | None = None

    @property
    def sentence(self) -> str:
        """The message with count and place, without the sample."""
        if self.first_row is None:
            return self.message
        if self.count == 1:
            return f"{self.message} (1 {self.unit}: row {self.first_row})"
        return f"{self.message} ({self.count:,} {self.unit}s; the first: row {self.first_row})"

    def as_object(self) -> dict[str, Any]:
        """Return the warning as the metadata show it."""
        return {
            "code": self.code,
            "level": self.level.value,
            "message": self.message,
            "unit": self.unit,
            "firstRow": self.first_row,
            "count": self.count,
            "sample": self.sample,
            "fieldKey": self.field_key,
        }


class FileWarnings:
    """The one list of warnings of a file; equal warnings are counted together."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str | None, str], FileWarning] = {}

    def __iter__(self) -> Iterator[FileWarning]:
        return iter(self._found.values())

    def add(
        self,
        code: str,
        *,
        row: int | None = None,
        count: int = 1,
        sample: str = "",
        message: str | None = None,
        level: Level | None = None,
        field_key: str | None = None,
    ) -> None:
        """Count `count` more of `code`, a key of KINDS; `row`, from 0, and `sample` are kept if they come first.

        `message` and `level` replace those of the kind, for example for a name of the file; never give a cell's text.
        """
        kind = KINDS[code]
        key = (code, field_key, message or kind.message)
        before = self._found.get(key)
        if before is None:
            if len(self._found) < WARNINGS_MAX_COUNT:
                self._found[key] = FileWarning(
                    code=code,
                    message=message or kind.message,
                    level=level or kind.level,
                    unit=kind.unit,
                    first_row=None if row is None else row + 1,
                    count=count,
                    sample=visible(sample),
                    field_key=field_key,
                )
            return
        after = replace(before, count=before.count + count)
        if row is not None and (before.first_row is None or row + 1 < before.first_row):
            after = replace(after, first_row=row + 1, sample=visible(sample))
        self._found[key] = after


def visible(text: str) -> str:
    """Return a text cut to a sample, in which every invisible character is escaped."""
    cut = text if len(text) <= SAMPLE_MAX_CHARS else text[: SAMPLE_MAX_CHARS - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)
