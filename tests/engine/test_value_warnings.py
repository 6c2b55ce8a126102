"""Values that may not mean what they are read as are told: date orders, decimal commas, long numbers, odd words."""

import pytest

from sandbox.engine.reading import text as text_reading
from sandbox.engine.reading import workbook as workbook_reading
from tests.support.engine import run, workbook

NAME = {"key": "name", "label": "Name"}
SUM = {"key": "sum", "label": "Sum", "type": "number"}
DAY = {"key": "day", "label": "Day", "type": "date"}
PAID = {"key": "paid", "label": "Paid", "type": "checkbox"}


def told(outcome):
    details = outcome.metadata["warningDetails"]
    return [(one["code"], one["level"], one["firstRow"], one["count"], one["sample"]) for one in details]


def codes(outcome):
    return [one[0] for one in told(outcome)]


def column(field, *texts, **settings):
    """Import one column, written with semicolons so that commas stay in its cells."""
    return run(f"Name;{field['label']}\n" + "".join(f"x;{text}\n" for text in texts), NAME, field, **settings)


def test_both_date_orders_in_a_column_are_a_loss_that_counts_the_cells_that_are_a_guess():
    outcome = column(DAY, "03/04/2025", "25/12/2024", "12/25/2024", "05/05/2025", "2025-01-02", "1/2/2025")
    assert told(outcome) == [("date_orders", "loss", 2, 2, "03/04/2025 beside 25/12/2024 and 12/25/2024")]
    assert "(2 cells; the first: row 2)" in outcome.metadata["warnings"][0]


def test_both_date_orders_without_a_guess_are_a_note():
    assert told(column(DAY, "25/12/2024", "12/25/2024", "26/12/2024", "05/05/2025")) == [
        ("date_orders", "note", 3, 1, "12/25/2024 beside 25/12/2024")
    ]


@pytest.mark.parametrize("texts", [("25/12/2024", "03/04/2025"), ("12/25/2024", "03/04/2025"), ("03/04/2025",)])
def test_one_date_order_is_not_worth_a_word(texts):
    assert told(column(DAY, *texts)) == []


def test_date_orders_are_found_in_datetimes_and_counted_in_physical_rows():
    field = {**DAY, "type": "datetime"}
    outcome = run("Day\n\n25.12.2024 10:00\n\n12/25/2024 9:15 pm\n3/4/2025 8:00\n", field)
    assert [(one[0], one[2], one[3]) for one in told(outcome)] == [("date_orders", 6, 1)]


def test_decimal_commas_beside_ambiguous_groups_are_a_loss():
    assert told(column(SUM, "1,234", "1,5", "12,750", "100", "1.250")) == [
        ("decimal_commas", "loss", 2, 3, "1,234 beside 1,5")
    ]


@pytest.mark.parametrize(
    "proof", ["2,75", "1.234,56", "12.345.678", "1234,567", "3,12345", "1 234,5", "-7,5", "€ 7,50"]
)
def test_any_form_of_a_decimal_comma_makes_groups_ambiguous(proof):
    assert codes(column(SUM, "9,100", proof)) == ["decimal_commas"]


def test_ambiguous_groups_before_the_first_decimal_comma_count(monkeypatch):
    monkeypatch.setattr(text_reading, "HELD_MAX_BYTES", 0)
    outcome = column(SUM, *["1,234"] * 6_000, "1,5")
    assert [(one[0], one[2], one[3]) for one in told(outcome)] == [("decimal_commas", 2, 6_000)]


def test_a_decimal_comma_beside_decimal_points_is_a_note():
    assert [one[:2] for one in told(column(SUM, "1,234", "1,234.50", "7,5"))] == [("decimal_commas", "note")]


@pytest.mark.parametrize(
    "texts", [("1,234", "12,750"), ("1,234", "0.5"), ("2,5", "7"), ("1,234", "x,y"), ("1.250", "7")]
)
def test_groups_and_decimal_commas_alone_are_not_told(texts):
    assert told(column(SUM, *texts)) == []


@pytest.mark.parametrize("text", ["0,500", "-0,125", "00,123", "01,234", "$0,500", "0,500,000", "01,234.50"])
def test_a_group_that_starts_with_zero_is_no_number_and_a_loss(text):
    outcome = column(SUM, "7", text)
    assert (outcome.rows, codes(outcome)) == ([{"name": "x", "sum": 7}], ["zero_group"])
    assert told(outcome)[0][1:] == ("loss", 3, 1, text)


@pytest.mark.parametrize("text", ["0", "0.500", "007", "1,000", "10,023", "-1,050.25", "0000123"])
def test_zeros_elsewhere_are_numbers(text):
    assert (len(column(SUM, text).rows), told(column(SUM, text))) == (1, [])


def test_whole_numbers_that_lose_digits_are_a_loss_in_a_number_field_only():
    texts = ("7", "738529527931269425", "738529527931269425", "9007199254740993", "1,234,567,890,123,456,789")
    assert told(column(SUM, *texts)) == [("digits_lost", "loss", 3, 4, "738529527931269425")]
    assert told(column({**SUM, "type": "string"}, *texts)) == []


@pytest.mark.parametrize("text", ["9007199254740992", "1000000000000000000", "0.12345678901234567"])
def test_numbers_that_keep_their_digits_are_not_told(text):
    assert told(column(SUM, text)) == []


@pytest.mark.parametrize("text", ["4.00639E+12", "1.23E+15", "5e+20", "-2.5E+11"])
def test_long_numbers_with_an_exponent_are_a_note(text):
    for type_ in ("string", "number"):
        assert told(column({**SUM, "type": type_}, "7", text, text)) == [("scientific", "note", 3, 2, text)]


def test_long_texts_with_an_exponent_and_a_decimal_comma_are_a_note():
    assert codes(column({**SUM, "type": "string"}, "4,00639E+12")) == ["scientific"]


def test_other_texts_with_an_e_are_not_told():
    assert told(column({**SUM, "type": "string"}, "E+12", "A1E+12", "1.5E+1", "1E5", "grade E+")) == []
    assert told(column(SUM, "1.5e3", "2e-7")) == []


def test_a_column_of_texts_that_all_end_in_point_zero_is_a_note():
    ids = {"key": "id", "label": "ID"}
    assert told(run("ID,Name\n1001.0,x\n,y\n1002.0,z\n", ids, NAME)) == [("float_ids", "note", 2, 2, "1001.0")]
    assert told(run("ID,Name\n1.0,x\n1.5,y\n", ids, NAME)) == []
    assert told(run("Sum,Name\n1001.0,x\n", SUM, NAME)) == []


def test_words_in_a_checkbox_that_are_neither_yes_nor_no_are_a_note():
    outcome = column(PAID, "yes", "No", "", "F", "n/a", "TRUE", "0", "f")
    assert told(outcome) == [("checkbox_word", "note", 5, 3, "F")]
    assert [row["paid"] for row in outcome.rows] == [True, False, False, True, True, True, False, True]


def test_a_repeated_option_is_a_note_with_its_row():
    options = {"type": "multi-select", "selectOptions": [{"label": "A"}, {"label": "B"}]}
    assert told(column({**SUM, **options}, "A,B", "A,a", "B,B")) == [("option_repeated", "note", 3, 2, "A,a")]


def test_rows_beyond_the_limit_count_for_no_warning():
    assert codes(column(PAID, "yes", "maybe", maxRecords=1)) == ["rows_limited"]


def test_all_columns_of_a_field_count_together():
    paid = {**PAID, "manyToOne": True}
    outcome = run("Paid1,Paid2,Name\nyes,maybe,x\nso,no\n", paid, NAME)
    assert told(outcome) == [("checkbox_word", "note", 2, 2, "maybe")]


def test_columns_that_belong_to_no_field_are_not_looked_at():
    assert told(run("Name,Other\nx,1.23E+15\n", NAME)) == []


def test_cells_that_a_hook_changes_are_no_loss():
    pytest.importorskip("deno")
    hook = "(values) => values.map(each => ({index: each.index, value: String(each.value).replace(',', '.')}))"
    source = "Name;Sum\nx;1,234\ny;1,5\n"
    outcome = run(source, NAME, SUM, hooks={"columnHooks": [{"fieldName": "sum", "callback": hook}]})
    assert {one[1] for one in told(outcome)} <= {"note"}


@pytest.mark.parametrize("is_large", [False, True])
def test_long_numbers_in_number_cells_of_a_workbook_are_told_but_not_those_in_text_cells(monkeypatch, is_large):
    if is_large:
        monkeypatch.setattr("sandbox.engine.reading.package.HELD_XML_MAX_BYTES", 0)
    fields = [{"key": key, "label": key.upper()} for key in ("id", "card", "text")]
    rows = [
        ("ID", "CARD", "TEXT", "Other"),
        (7, 42, "7", 7),
        (738529527931269425, 4111111111111110, "738529527931269425", 2**60),
    ]
    outcome = run(workbook(*rows), *fields)
    assert told(outcome) == [
        ("digits_lost", "loss", 3, 1, "738529527931269400"),
        ("digits_rounded", "note", 3, 1, "4111111111111110"),
    ]
    assert outcome.rows[1]["text"] == "738529527931269425"


def test_a_cell_of_a_workbook_that_is_too_long_still_fails(monkeypatch):
    monkeypatch.setattr(workbook_reading, "CELL_MAX_CHARS", 20)
    assert run(workbook(("Name",), ("x" * 21,)), NAME).status == "FAILED"
