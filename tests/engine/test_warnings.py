"""The reader tells what it knows: warnings with a code, the row of a spreadsheet, a count, and a sample."""

import pytest

from sandbox.engine.reading import text as text_reading
from sandbox.engine.warning import SAMPLE_MAX_CHARS, WARNINGS_MAX_COUNT, FileWarnings, visible
from tests.support.engine import run

NAME = {"key": "name", "label": "Name"}
CITY = {"key": "city", "label": "City"}
N = {"key": "n", "label": "N", "type": "number"}


def told(outcome):
    """Return (code, level, first row, count) of each warning."""
    details = outcome.metadata["warningDetails"]
    return [(one["code"], one["level"], one["firstRow"], one["count"]) for one in details]


def samples(outcome):
    return [one["sample"] for one in outcome.metadata["warningDetails"]]


@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n"])
def test_a_quote_that_is_open_at_the_end_fails_with_its_row(end):
    outcome = run(f'Name,City,N\nIda,Lyon,1\n\nUwe,"Graz,2\nPia,Turin,3{end}', NAME, CITY, N)
    assert (outcome.status, outcome.errors[0]["message"]) == ("FAILED", "unclosed quote near row 4")


def test_a_quote_that_is_closed_at_the_end_of_the_file_is_fine():
    outcome = run('Name,City\nIda,"Ly""on"', NAME, CITY)
    assert (outcome.rows, told(outcome)) == ([{"name": "Ida", "city": 'Ly"on'}], [])


def test_an_open_quote_is_found_in_a_file_that_is_read_in_pieces(monkeypatch):
    monkeypatch.setattr(text_reading, "HELD_MAX_BYTES", 0)
    outcome = run("Name,N\n" + "Ida,1\n" * 12_000 + '"Uwe,2\n', NAME, N)
    assert outcome.errors[0]["message"] == "unclosed quote near row 12002"


def test_a_quoted_cell_that_swallows_rows_is_a_loss():
    outcome = run('Name,City,N\nIda,"Lyon,1\nUwe,Graz,2\nPia,Turin",3\nTom,Bern,4\n', NAME, CITY, N)
    assert told(outcome) == [("quoted_rows", "loss", 2, 1)]
    assert samples(outcome) == ["Lyon,1\\nUwe,Graz,2\\nPia,Turin"]
    assert "row 2" in outcome.metadata["warnings"][0]


def test_two_rows_of_two_columns_that_a_quote_merges_are_a_loss():
    assert told(run('Name;City\nIda;"Lyon\nUwe;Graz"\nPia;Bern\n', NAME, CITY)) == [("quoted_rows", "loss", 2, 1)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("held", [True, False])
def test_cells_of_several_lines_are_found_however_their_lines_end(monkeypatch, end, held):
    monkeypatch.setattr(text_reading, "HELD_MAX_BYTES", (1 << 30) if held else 0)
    plain = 'Ida,"one\ntwo",1\n' * 6_000
    outcome = run(f'Name,City,N\n{plain}Uwe,"Graz,{end}4, Old Street{end}A, B",2\n{plain}', NAME, CITY, N)
    assert told(outcome) == [("quoted_lines", "note", 6_002, 1)]


def test_an_address_of_several_lines_with_commas_is_only_a_note():
    text = 'Name,City,N\nIda,"12 Long Street, Flat 3\nLyon, France",1\nUwe,"Graz\nAustria",2\n'
    assert told(run(text, NAME, CITY, N)) == [("quoted_lines", "note", 2, 1)]


def test_rows_wider_than_the_header_are_a_loss_unless_the_surplus_is_blank():
    assert told(run("Name,N\nIda,1\nUwe,2,x,y\nPia,3, ,\nTom,4,z\n", NAME, N)) == [("rows_wider", "loss", 3, 2)]


@pytest.mark.parametrize(
    "text",
    [
        "Name,City\n1,Ida,Lyon\n2,Uwe,Graz\n",
        "Name,City\nIda,Lyon, France\n",
        'Name,City\n"Ida","the \\"old, big\\" town"\n',
        'Name,City\nIda,{"a":1,"b":2}\n',
    ],
)
def test_row_names_unquoted_commas_backslashes_and_json_make_rows_too_wide(text):
    assert ("rows_wider", "loss", 2) in [one[:3] for one in told(run(text, NAME, CITY))]


@pytest.mark.parametrize("held", [True, False])
def test_each_row_is_counted_once_however_often_the_file_is_read(monkeypatch, held):
    monkeypatch.setattr(text_reading, "HELD_MAX_BYTES", (1 << 30) if held else 0)
    rows = "".join(f'I{at},2020-01-02,x\n"Lyon\n1,2",U{at},y,z\n' for at in range(9_000))
    fields = [{**NAME, "validators": [{"validate": "unique"}]}, {"key": "d", "label": "D", "type": "date"}]
    outcome = run(f"Name,D,E\n{rows}", *fields, passThroughUnmappedColumns=True)
    assert told(outcome) == [("rows_wider", "loss", 3, 9_000)]


@pytest.mark.parametrize("row", ['"Uwe,Graz,2"', "Uwe;Graz;2"])
def test_a_row_that_is_one_cell_but_would_split_into_a_row_is_a_loss(row):
    assert told(run(f"Name,City,N\nIda,Lyon,1\n{row}\n", NAME, CITY, N)) == [("rows_unsplit", "loss", 3, 1)]


def test_rulers_and_footers_of_one_cell_are_a_note():
    text = " name | city\n------+-----\n Ida | Lyon\n Uwe | Graz\n\n(2 rows)\n"
    assert told(run(text, NAME, CITY)) == [("rows_short", "note", 2, 2)]


def test_a_backslash_before_a_quote_is_told_but_not_one_that_ends_a_cell():
    assert told(run('Name,City\nIda,"a \\"b\\" c"\n', NAME, CITY))[0][:3] == ("quote_escaped", "note", 2)
    assert told(run('Name,City\nIda,"C:\\"\nUwe,"x"\n', NAME, CITY)) == []


def test_a_header_of_one_cell_over_last_and_first_names_makes_one_column():
    outcome = run("Name\nMoss, Ida\nKern, Uwe\n", NAME)
    assert outcome.rows == [{"name": "Moss, Ida"}, {"name": "Kern, Uwe"}]
    assert (told(outcome), outcome.metadata["delimiter"]) == ([], None)


def test_a_title_above_a_wider_header_does_not_make_one_column():
    assert run("Name\n\nName,City\nIda,Lyon\n", NAME, CITY).rows == [{"name": "Ida", "city": "Lyon"}]


def test_the_delimiter_of_the_settings_wins_over_one_column():
    outcome = run("Name\nMoss,Ida\n", NAME, delimiter=",")
    assert (outcome.rows, told(outcome)) == ([{"name": "Moss"}], [("rows_wider", "loss", 2, 1)])


def test_rows_above_the_header_as_wide_as_it_are_a_loss():
    outcome = run("Who,Where,Sum\nIda,Lyon,1\nName,City,N\nUwe,Graz,2\n", NAME, CITY, N)
    assert told(outcome) == [("rows_above", "loss", 1, 2)]


def test_titles_above_the_header_are_not_worth_a_word():
    assert told(run("Staff of May,,\n\nName,City,N\nUwe,Graz,2\n", NAME, CITY, N)) == []


def test_rows_above_a_header_that_the_settings_name_are_a_note():
    outcome = run("Who,Where\nName,City\nUwe,Graz\n", NAME, CITY, headerRowOverride=1)
    assert told(outcome) == [("rows_above", "note", 1, 1)]


def test_cells_under_an_empty_header_are_told():
    outcome = run("Name,,City\nIda,,Lyon\nUwe,lost,Graz\n", NAME, CITY)
    assert (told(outcome), samples(outcome)) == ([("column_unnamed", "note", 3, 1)], ["lost"])


@pytest.mark.parametrize("again", ["Name,City", "NAME,CITY", "\ufeffName,City", "name,city,"])
def test_a_repeated_header_is_a_note(again):
    assert told(run(f"Name,City\nIda,Lyon\n{again}\nUwe,Graz\n", NAME, CITY)) == [("header_again", "note", 3, 1)]


def test_another_header_below_is_a_loss():
    outcome = run("Name,City\nIda,Lyon\nCity,Name\nGraz,Uwe\n", NAME, CITY)
    assert told(outcome) == [("header_other", "loss", 3, 1)]


@pytest.mark.parametrize("mark", ["\0" * 12, "\x1a", "\x1a\r\n", "\r\n\x1a\0\0", "\n\n\0\0\n\0"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_nuls_and_end_marks_behind_the_last_row_are_ignored_and_told(mark, end):
    outcome = run(f"Name,N\nIda,1\nUwe,2{end}{mark}", NAME, N)
    assert outcome.rows == [{"name": "Ida", "n": 1}, {"name": "Uwe", "n": 2}]
    assert [(one[0], one[1], one[3]) for one in told(outcome)] == [("end_marks", "note", 1)]


def test_a_file_that_is_mostly_the_nuls_at_its_end_is_read():
    assert run(b"Name,N\nIda,1\n" + b"\0" * 30_000, NAME, N).rows == [{"name": "Ida", "n": 1}]


def test_end_marks_within_a_file_stay():
    outcome = run("Name,N\nI\x1ada,1\nUwe\0,2\nPia,3\n", NAME, N)
    assert ([row["name"] for row in outcome.rows], told(outcome)) == (["I\x1ada", "Uwe\0", "Pia"], [])


def test_a_control_character_is_a_delimiter_if_the_settings_name_it():
    outcome = run("Name\x01N\nIda\x011\nUwe\x012\n", NAME, N, delimiter="\x01")
    assert (outcome.rows, told(outcome)) == ([{"name": "Ida", "n": 1}, {"name": "Uwe", "n": 2}], [])


def test_equal_warnings_are_counted_together_and_the_first_row_stays():
    warnings = FileWarnings()
    warnings.add("rows_wider", row=7, sample="b")
    warnings.add("rows_wider", row=3, sample="a", count=2)
    warnings.add("rows_wider", row=9, sample="c")
    (one,) = warnings
    assert (one.first_row, one.sample, one.count) == (4, "a", 4)
    assert one.sentence.endswith("(4 rows; the first: row 4)")


def test_the_list_of_warnings_ends_at_a_limit():
    warnings = FileWarnings()
    for at in range(WARNINGS_MAX_COUNT + 5):
        warnings.add("validator", message=f"field {at}")
    assert len(list(warnings)) == WARNINGS_MAX_COUNT


def test_a_sample_is_cut_and_shows_what_is_invisible():
    assert visible("a\u200bb\tc") == "a\\u200bb\\tc"
    assert len(visible("x" * 500)) == SAMPLE_MAX_CHARS
