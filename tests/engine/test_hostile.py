"""Files made to break the reader end with a sentence, within a limit of memory and of time."""

import fcntl
import json
import subprocess
import sys

import pytest

from tests.support.hostile import CASES

DEADLINE_S = 120
BOMB = "The workbook unpacks to far more than a workbook holds."
TOO_FAR = "The sheet spans more than 20,000,000 cells."
DAMAGED = "The workbook is damaged and cannot be read."
LOCKED = "The workbook is protected by a password."
UNREADABLE = "The file is neither text nor a workbook that can be read."
UNPACK = "Unpack it, and import the files in it."
PACKED = f"The file is compressed (gzip), which cannot be imported. {UNPACK}"
SAVE_PAGE = "It may be a login or error page in place of the file: download it again, or save its table as CSV."
SAVE = "Open it in a spreadsheet program, and save it as CSV or XLSX."
EXPORT = "Open it in the program that it was made with, and export its table as CSV or XLSX."
SENTENCES = {
    "an entry that unpacks a thousandfold": BOMB,
    "ten thousand entries": BOMB,
    "a directory that is false": BOMB,
    "entries that overlap": BOMB,
    "a workbook in a zip": f"The file is a zip archive of other files (a.xlsx), which cannot be imported. {UNPACK}",
    "a text in a zip": f"The file is a zip archive of other files (a.csv), which cannot be imported. {UNPACK}",
    "two references on one cell": DAMAGED,
    "a shared text that is not there": DAMAGED,
    "a cell of many megabytes": "A cell is longer than 1,048,576 characters.",
    "entities that multiply in an xlsx": DAMAGED,
    "entities that multiply in an ods": DAMAGED,
    "an ods row for a billion": TOO_FAR,
    "an ods cell for a billion": TOO_FAR,
    "a billion blank ods rows before the last": TOO_FAR,
    "an ods far cell in each of many rows": TOO_FAR,
    "an ods that repeats less than once": DAMAGED,
    "an xls far cell": TOO_FAR,
    "an xlsb far cell": TOO_FAR,
    "a workbook cut short": DAMAGED,
    "the first bytes of a zip": DAMAGED,
    "an encrypted workbook": LOCKED,
    "an encrypted ods": LOCKED,
    "noise behind an xls's first bytes": DAMAGED,
    "zeros behind an xls's first bytes": DAMAGED,
    "a web page": f"The file is a web page, which cannot be imported. {SAVE_PAGE}",
    "a spreadsheet in XML": f"The file is XML, which cannot be imported. {SAVE}",
    "formatted text": f"The file is formatted text (RTF), which cannot be imported. {EXPORT}",
    "a PDF": f"The file is a PDF, which cannot be imported. {EXPORT}",
    "a picture": f"The file is an image (PNG), which cannot be imported. {EXPORT}",
    "a packed text": PACKED,
    "a packed text cut short": PACKED,
    "zeros": UNREADABLE,
    "a quote that never closes": "unclosed quote near row 2",
    "one endless line": "A line is longer than 8 MB.",
    "millions of columns": "Row 1 has more than 16384 columns.",
    "UTF-16 of nothing": "The file is empty.",
}
FAR_CELLS = [name for name in CASES if name.startswith(("a far cell", "a cell beyond"))]
ROW_COUNTS = {
    "an xls": 1,
    "an xlsb": 1,
    "a table of half a million blank lines": 1,
    "a sheet of many blank rows": 1,
    "a blank tail of an ods": 1,
    "UTF-16 that ends within a letter": 1,
    "UTF-16 with half a pair": 1,
    "zeros in a text": 101,
}


@pytest.fixture(scope="module")
def endings(tmp_path_factory, worker_id):
    """How each file's import ended: {name: ending}. All pytest workers share one pass over the files."""
    base = tmp_path_factory.getbasetemp()
    output = (base if worker_id == "master" else base.parent) / "hostile.jsonl"
    with output.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            output.write_text(imported_one_by_one(), "utf-8")
    return {ending["name"]: ending for ending in map(json.loads, output.read_text("utf-8").splitlines())}


def imported_one_by_one():
    """Import each file in a process of its own; return a JSON line per file."""
    command = [sys.executable, "-m", "tests.support.hostile"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE_S).stdout


@pytest.mark.parametrize(("name", "sentence"), [*SENTENCES.items(), *((name, TOO_FAR) for name in FAR_CELLS)])
def test_a_hostile_file_fails_with_a_sentence(endings, name, sentence):
    assert (endings[name]["status"], endings[name]["message"]) == ("FAILED", sentence)


@pytest.mark.parametrize("name", ROW_COUNTS)
def test_a_file_that_only_looks_hostile_is_imported(endings, name):
    assert (endings[name]["status"], endings[name]["rows"]) == ("SUCCESSFUL", ROW_COUNTS[name])


def test_every_hostile_file_is_looked_at():
    assert {*SENTENCES, *FAR_CELLS, *ROW_COUNTS} == set(CASES)
