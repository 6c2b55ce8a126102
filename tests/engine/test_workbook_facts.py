"""What a workbook holds beside the texts of one sheet: formulas without a value, errors, other sheets, far formats."""

import io
import struct
import zipfile

import pytest

from sandbox.engine.corrections import Corrections
from sandbox.engine.reading import cell_facts, package
from sandbox.engine.reading.number_formats import STYLES_PART, padded_styles, shown_digits
from tests.support.engine import run, sheets, workbook, zipped
from tests.support.hostile import ods, ods_row, text_cell, xls, xlsb, xlsx

pytest.importorskip("openpyxl")

NAME = {"key": "name", "label": "Name"}
N = {"key": "n", "label": "N", "type": "number"}
HEADER = f'<row r="1">{text_cell("A1", "Name")}{text_cell("B1", "N")}</row>'
OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"


def told(outcome):
    """Return (code, level, first row, count, sample) of each warning."""
    details = outcome.metadata["warningDetails"]
    return [(one["code"], one["level"], one["firstRow"], one["count"], one["sample"]) for one in details]


@pytest.fixture(params=[False, True], ids=["held", "large"])
def _large(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(package, "HELD_XML_MAX_BYTES", 0)


@pytest.mark.usefixtures("_large")
@pytest.mark.parametrize("value", ["", "<v></v>", "<v/>", "<v />"])
def test_formulas_without_a_value_are_a_loss(value):
    cell = f'<row r="2">{text_cell("A2", "Ida")}<c r="B2" s="3"><f>2*21</f>{value}</c></row>'
    more = f'<row r="3"><c r="A3" t="str"><f>"Uwe"</f><v>Uwe</v></c><c r="B3"><f t="shared" si="0"/>{value}</c></row>'
    outcome = run(xlsx(HEADER + cell + more), NAME, N)
    assert outcome.rows == [{"name": "Ida", "n": None}, {"name": "Uwe", "n": None}]
    assert told(outcome) == [("formula_empty", "loss", 2, 2, "=2*21")]


@pytest.mark.usefixtures("_large")
def test_a_formula_whose_value_is_the_empty_text_has_a_value():
    cell = '<row r="2"><c r="A2" t="str"><f>IF(1,"","x")</f><v></v></c><c r="B2"><f>1+1</f><v>2</v></c></row>'
    assert told(run(xlsx(HEADER + cell), NAME, N)) == []


@pytest.mark.usefixtures("_large")
def test_error_cells_are_told_with_the_first_one():
    cells = f'<row r="2">{text_cell("A2", "Ida")}<c r="B2" t="e"><v>#N/A</v></c></row>'
    cells += f'<row r="5">{text_cell("A5", "Uwe")}<c r="B5" t="e"><f>1/0</f><v>#DIV/0!</v></c></row>'
    outcome = run(xlsx(HEADER + cells), NAME, N)
    assert [row["n"] for row in outcome.rows] == [None, None]
    assert told(outcome) == [("cell_error", "note", 2, 2, "#N/A")]


def test_a_sheet_whose_cells_are_written_in_another_form_is_told_of_too():
    rows = (
        "<row r='1'><c r='A1' t='inlineStr'><is><t>Name</t></is></c><c r='B1' t='inlineStr'><is><t>N</t></is></c></row>"
    )
    rows += "<row><c t='inlineStr'><is><t>Ida</t></is></c><c><f>1+1</f></c></row>"
    rows += "<row><c t='inlineStr'><is><t>Uwe</t></is></c><c t='e'><v>#REF!</v></c></row>"
    found = told(run(xlsx(rows), NAME, N))
    assert found == [("formula_empty", "loss", 2, 1, "=1+1"), ("cell_error", "note", 3, 1, "#REF!")]


def test_cells_that_span_two_pieces_are_found(monkeypatch):
    monkeypatch.setattr(package, "_CHUNK_BYTES", 64)
    cells = "".join(
        f'<row r="{at}">{text_cell(f"A{at}", "Ida")}<c r="B{at}"><f>1+1</f></c></row>' for at in range(2, 40)
    )
    assert told(run(xlsx(HEADER + cells), NAME, N)) == [("formula_empty", "loss", 2, 38, "=1+1")]


def test_only_the_sheet_that_is_imported_is_told_of():
    data = sheets(First=[["Name", "N"], ["Ida", "=1+1"]], Second_hidden=[["Name", "N"], ["Uwe", "=2+2"], ["Pia", "=3"]])
    assert told(run(data, NAME, N)) == [("formula_empty", "loss", 2, 1, "=1+1")]
    chosen = told(run(data, NAME, N, sheetOverride="Second_hidden"))
    assert chosen == [("formula_empty", "loss", 2, 2, "=2+2")]


def ods_cells(cells):
    spaces = (
        f'xmlns:office="{OFFICE}" xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
    )
    return ods(ods_row("Name", "N") + f"<table:table-row {spaces}>{cells}</table:table-row>")


def test_errors_and_formulas_without_a_value_of_an_ods_are_told():
    name = '<table:table-cell office:value-type="string"><text:p>Ida</text:p></table:table-cell>'
    empty = '<table:table-cell table:formula="of:=1+1"/>'
    assert told(run(ods_cells(name + empty), NAME, N)) == [("formula_empty", "loss", 2, 1, "of:=1+1")]
    wrong = (
        '<table:table-cell table:formula="of:=1/0" office:value-type="string" calcext:value-type="error">'
        "<text:p>#DIV/0!</text:p></table:table-cell>"
    )
    assert told(run(ods_cells(name + wrong), NAME, N))[0][:4] == ("cell_error", "note", 2, 1)


def test_errors_of_binary_workbooks_are_told():
    error = struct.pack("<IIB", 1, 0, 42)
    assert told(run(xlsb_with(3, error), NAME, N))[0] == ("cell_error", "note", 2, 1, "#N/A")
    assert told(run(xls_with(0x0205, struct.pack("<HHHBB", 1, 1, 0, 7, 1)), NAME, N))[0] == (
        "cell_error", "note", 2, 1, "#DIV/0!",
    )  # fmt: skip
    assert told(run(xls_with(0x0205, struct.pack("<HHHBB", 1, 1, 0, 1, 0)), NAME, {"key": "N"})) == []


def xlsb_with(kind, body):
    data = xlsb([(0, 0, "Name"), (0, 1, "N"), (1, 0, "Ida")])
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        entries = {name: made.read(name) for name in made.namelist()}
    sheet = entries["xl/worksheets/sheet1.bin"]
    end = sheet.rindex(bytes([146 & 127 | 128, 146 >> 7]))
    entries["xl/worksheets/sheet1.bin"] = sheet[:end] + bytes([kind, len(body)]) + body + sheet[end:]
    return zipped(entries.items())


def xls_with(kind, body):
    """Return an xls with another record in the place of the text in B2."""
    data = xls([(0, 0, "Name"), (0, 1, "N"), (1, 0, "Ida"), (1, 1, "pad")])
    old = struct.pack("<HHHHHHB", 0x0204, 12, 1, 1, 0, 3, 0) + b"pad"
    new = struct.pack("<HH", kind, len(body)) + body
    rest = len(old) - len(new) - 4
    assert data.count(old) == 1
    return data.replace(old, new + struct.pack("<HH", 0x00FF, rest) + bytes(rest))


@pytest.mark.usefixtures("_large")
def test_several_sheets_with_data_need_a_person_who_learns_their_names():
    data = sheets(Cover=[["Please read"]], May=[["Name", "N"], ["Ida", 1]], June=[["Name", "N"], ["Uwe", 2]])
    outcome = run(data, NAME, N)
    error = outcome.errors[0]
    assert (outcome.status, error["type"], error["sheet"]) == ("NEEDS_REVIEW", "SHEET_NOT_CHOSEN", "May")
    assert '"Cover", "May", "June"' in error["message"]
    assert "sheetOverride" in error["message"]


@pytest.mark.usefixtures("_large")
def test_a_fitting_sheet_override_settles_which_sheet_is_imported():
    data = sheets(May=[["Name", "N"], ["Ida", 1]], June=[["Name", "N"], ["Uwe", 2]])
    chosen = run(data, NAME, N, sheetOverride="June")
    assert (chosen.status, chosen.rows) == ("SUCCESSFUL", [{"name": "Uwe", "n": 2}])
    unknown = run(data, NAME, N, sheetOverride="July")
    assert (unknown.errors[0]["type"], told(unknown)[0][0]) == ("SHEET_NOT_CHOSEN", "sheet_missing")


@pytest.mark.usefixtures("_large")
def test_one_sheet_with_data_among_empty_blank_and_hidden_ones_is_imported():
    data = sheets(
        Blank=[[" ", None], ["", "\t"]], Empty=[], Old_hidden=[["Name"], ["x"]], May=[["Name"], ["Ida"]], Last=[]
    )
    outcome = run(data, NAME)
    assert (outcome.status, outcome.rows, outcome.metadata["sheet"]) == ("SUCCESSFUL", [{"name": "Ida"}], "May")


@pytest.mark.usefixtures("_large")
def test_a_workbook_of_blanks_only_is_empty():
    assert run(sheets(Blank=[[" ", "\t"], ["\u00a0"]]), NAME).errors[0]["type"] == "EMPTY"


def test_a_person_who_confirms_the_columns_confirms_the_sheet():
    data = sheets(May=[["Name", "N"], ["Ida", 1]], June=[["Name", "N"], ["Uwe", 2]])
    outcome = run(data, NAME, N, corrections=Corrections(columns={"name": (0,), "n": (1,)}))
    assert (outcome.status, outcome.rows) == ("SUCCESSFUL", [{"name": "Ida", "n": 1}])


@pytest.mark.usefixtures("_large")
@pytest.mark.parametrize(
    "far",
    [
        '<row r="1048576"><c r="Z1048576" s="1"/></row>',
        '<row r="1048576"><c r="XFD1048576" s="1"></c></row>',
        '<row r="1048576" ht="30" customHeight="1"/>',
        '<row r="3000"><c r="XFD3000" s="1"/></row>',
    ],
)
@pytest.mark.parametrize("width", [2, 20])
def test_formats_far_away_are_no_content(far, width):
    more = "".join(text_cell(f"{chr(65 + at)}1", f"c{at}") for at in range(2, width))
    header = HEADER.replace("</row>", f"{more}</row>")
    data = xlsx(f'{header}<row r="2">{text_cell("A2", "Ida")}<c r="B2"><v>7</v></c></row>{far}')
    assert run(data, NAME, N).rows == [{"name": "Ida", "n": 7}]


@pytest.mark.parametrize("break_", ["<text:line-break/>", "<text:line-break />", "<text:line-break></text:line-break>"])
def test_a_line_break_within_a_paragraph_of_an_ods_stays(break_, monkeypatch):
    for size in (1 << 20, 50):
        monkeypatch.setattr(package, "_CHUNK_BYTES", size)
        rows = ods_row("Name") + ods_row(f"12 Long Street{break_}Lyon").replace("\n", "")
        assert run(ods(rows), NAME).rows == [{"name": "12 Long Street\nLyon"}]


@pytest.mark.usefixtures("_large")
def test_a_workbook_is_told_of_cells_beyond_its_header_and_not_of_short_rows():
    rows = [["Name", "N"], ["Ida", 1], ["Uwe"], ["Pia", 3, "lost"]]
    assert told(run(sheets(May=rows), NAME, N)) == [("column_unnamed", "note", 4, 1, "lost")]


def test_a_fact_keeps_the_first_row():
    fact = cell_facts.Fact()
    fact.add(3, "a", count=2)
    fact.add(1, "b")
    assert (fact.count, fact.row, fact.sample) == (3, 3, "a")


def test_an_ordinary_workbook_is_told_nothing_of():
    assert told(run(workbook(["Name", "N"], ["Ida", 1], ["Uwe", 2.5]), NAME, N)) == []


def styled(cells: str, *formats: str) -> bytes:
    """Return an xlsx whose style n has the n-th format, counted from 1."""
    codes = "".join(f'<numFmt numFmtId="{164 + at}" formatCode="{code}"/>' for at, code in enumerate(formats))
    uses = "".join(f'<xf numFmtId="{164 + at}"/>' for at in range(len(formats)))
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    styles = (
        f'<styleSheet xmlns="{main}"><numFmts>{codes}</numFmts><fonts><font/></fonts>'
        "<fills><fill><patternFill/></fill></fills>"
        f'<borders><border/></borders><cellStyleXfs><xf numFmtId="164"/></cellStyleXfs>'
        f'<cellXfs><xf numFmtId="0"/>{uses}</cellXfs><cellStyles><cellStyle name="Normal" xfId="0" builtinId="0"/>'
        "</cellStyles></styleSheet>"
    )
    made = zipfile.ZipFile(io.BytesIO(xlsx(HEADER + cells)))
    return zipped([(name, styles.encode() if name == STYLES_PART else made.read(name)) for name in made.namelist()])


@pytest.mark.usefixtures("_large")
@pytest.mark.parametrize("form", [' s="1"', " s='1' t='n'"])
def test_numbers_shown_with_leading_zeros_are_imported_without_them_and_told(form):
    rows = f'<row r="2">{text_cell("A2", "Ida")}<c r="B2"{form}><v>42</v></c></row>'
    rows += f'<row r="3">{text_cell("A3", "Uwe")}<c r="B3"{form}><v>123456</v></c></row>'
    rows += f'<row r="4">{text_cell("A4", "Pia")}<c r="B4" s="0"><v>7</v></c></row>'
    outcome = run(styled(rows, "000000"), NAME, {"key": "n", "label": "N"})
    assert [row["n"] for row in outcome.rows] == ["42", "123456", "7"]
    assert told(outcome) == [("zeros_by_format", "note", 2, 1, "42 for 000042")]


@pytest.mark.parametrize(
    ("code", "digits"),
    [
        ("00000", 5), ("000-00-0000", 9), ("&quot;ID-&quot;0000", 4), ("[Red]000;-0", 3), ("00.00", 2),
        ("General", 1), ("0", 1), ("0.00", 1), ("#,##0", 1), ("#,000", 1), ("0%", 1), ("hh:mm", 1), ("yyyy-mm-dd", 1),
        ("0.00E+00", 1), ("@", 1), ("", 1),
    ],
)  # fmt: skip
def test_a_format_shows_leading_zeros_if_it_begins_with_several(code, digits):
    assert shown_digits(code.replace("&quot;", '"')) == digits


def test_damaged_styles_tell_nothing():
    assert padded_styles(b"<styleSheet><numFmts><numFmt") == {}
