"""What a terminal says about the rows of a batch."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from runner.cli.row_lines import print_left_out, rows_sentence
from runner.manifest.row_summary import RowTally
from runner.models import Item, ItemState
from runner.row_counts import LeftOutReason, RowTotals

MANY = RowTotals(
    file_count=1817, known_count=1817, row_count=5250, rows_in=5562, rows_left_out=312, lossy_count=41, empty_count=67
)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (MANY, "1,817 files, 5,250 rows in results; 312 rows left out in 41 files; 67 files gave 0 rows"),
        (RowTotals(), ""),
        (RowTotals(file_count=1, known_count=1, row_count=1, rows_in=1), "1 file, 1 row in results"),
        (
            RowTotals(file_count=3, known_count=1, row_count=9, rows_in=3),
            "3 files, 9 rows in results; the vendor does not say how many rows it left out of 2 files",
        ),
    ],
)
def test_the_totals_are_one_sentence(rows: RowTotals, sentence: str) -> None:
    assert rows_sentence(rows) == sentence


def lossy(source: str, *reasons: LeftOutReason) -> Item:
    return Item(
        batch_id="b", source=source, state=ItemState.COLLECTED, rows_in=9, row_count=4, left_out_reasons=reasons
    )


def test_causes_are_grouped_by_rule_and_field_the_one_in_most_files_first() -> None:
    tally = RowTally()
    for item in (
        lossy("a.csv", LeftOutReason("email", "mail", 5)),
        lossy("b.csv", LeftOutReason("required", "id", 1), LeftOutReason("hooks", None, 4)),
        lossy("c.csv", LeftOutReason("required", "id", 2)),
    ):
        tally.take(item)
    screen = Console(file=io.StringIO(), width=100)
    print_left_out(screen, tally.summary().groups)
    file = screen.file
    assert isinstance(file, io.StringIO)
    assert [line.strip() for line in file.getvalue().splitlines() if line.strip()] == [
        "Rows left out, largest first",
        "2 files, 3 rows  id: required",
        "b.csv, c.csv",
        "1 file, 5 rows  mail: email",
        "a.csv",
        "1 file, 4 rows  Hooks may have removed rows",
        "b.csv",
    ]
