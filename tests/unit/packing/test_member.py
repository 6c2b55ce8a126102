"""What of a file's bytes makes it a member, and what refuses it."""

from __future__ import annotations

import codecs
from typing import Any

import pytest

from runner.config.routes import Route
from runner.packing.cells import DateOrder, date_order
from runner.packing.member import MEMBER_BYTES_MAX, Member, read_member
from runner.packing.refusals import Refusal, Refused
from runner.packing.rules import PackRules, rules_of

FIELDS: list[dict[str, Any]] = [{"key": "name", "label": "Name"}, {"key": "city", "label": "City"}]
DAY = [{"key": "name", "label": "Name"}, {"key": "day", "label": "Day", "type": "date"}]


def rules(fields: list[dict[str, Any]] = FIELDS, **settings: Any) -> PackRules:
    found = rules_of(Route(name="all", fields=tuple(fields), settings=settings))
    assert isinstance(found, PackRules), found
    return found


def read(raw: bytes | str, fields: list[dict[str, Any]] = FIELDS, **settings: Any) -> Member | Refusal:
    return read_member(raw.encode() if isinstance(raw, str) else raw, rules(fields, **settings))


def member(raw: bytes | str, fields: list[dict[str, Any]] = FIELDS, **settings: Any) -> Member:
    found = read(raw, fields, **settings)
    assert isinstance(found, Member), found
    return found


def code(raw: bytes | str, fields: list[dict[str, Any]] = FIELDS, **settings: Any) -> str:
    found = read(raw, fields, **settings)
    assert isinstance(found, Refusal), found
    return found.code


@pytest.mark.parametrize(
    "raw",
    [
        "Name,City\nAda,Ulm\nBo,Rom\n",
        "Name,City\r\nAda,Ulm\r\nBo,Rom\r\n",
        "Name,City\nAda,Ulm\nBo,Rom",
        "Name;City\nAda;Ulm\nBo;Rom\n",
        "Name\tCity\nAda\tUlm\nBo\tRom\n",
        "Name|City\nAda|Ulm\nBo|Rom\n",
        '"Name","City"\n"Ada","Ulm"\n"Bo","Rom"\n',
        codecs.BOM_UTF8 + b"Name,City\nAda,Ulm\nBo,Rom\n",
    ],
)
def test_files_that_differ_in_form_alone_are_the_same_member(raw: bytes | str) -> None:
    found = member(raw)
    assert (found.header, found.lines, found.delimiter) == (("Name", "City"), ("Ada,Ulm\r\n", "Bo,Rom\r\n"), ",")


def test_cells_keep_every_character() -> None:
    found = member('Name,City\n" a\nb ","say ""hi"", ok"\n\u200b,\ufeff\n')
    assert found.lines == ('" a\nb ","say ""hi"", ok"\r\n', "\u200b,\ufeff\r\n")
    assert found.row_count == 2


def test_a_member_knows_how_large_it_is_in_a_pack() -> None:
    found = member("Name,City\nJürgen,Ulm\n")
    assert found.size_bytes == len("Jürgen,Ulm\r\n".encode()) + 24


def test_the_delimiter_of_the_settings_decides() -> None:
    found = member("Name;City\na,b;Ulm\n", delimiter=";")
    assert (found.lines, found.delimiter) == (("a,b;Ulm\r\n",), ";")
    assert member("Name;City\na,b,c,d;Ulm\n", delimiter=";").row_count == 1
    assert code("Name,City\nAda,Ulm\n", delimiter=";") == "header_unmatched"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"PK\x03\x04rest", "workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "workbook"),
        ('[{"name": "Ada"}]', "json"),
        ('{"name": "Ada"}\n{"name": "Bo"}', "json"),
        ("<html><table>", "other_format"),
        ("%PDF-1.7", "other_format"),
        ("BEGIN:VCARD\nN:x", "other_format"),
        ("Name,City\n" + "Ada,Ulm\n" * 200_000, "too_large"),
        ("Name,City\n" + "A" * 110_000 + ",Ulm\n", "too_large"),
        ("Name,City\n" + "A" * 140_000 + ",Ulm\n", "too_large"),
        ("Name,City\nZoë,Ulm\n".encode("latin-1"), "not_utf8"),
        ("Name,City\nZoë,Ulm\n".encode("utf-16"), "not_utf8"),
        (b"Name,City\nZo\xed\xa0\x80,Ulm\n", "not_utf8"),
        ("Name,City\nAda\0,Ulm\n", "control_characters"),
        ("Name,City\nAda,Ulm\n\x1a", "control_characters"),
        ("sep=,\nName,City\nAda,Ulm\n", "separator_line"),
        ("Name,City;\nAda,Ulm\n", "delimiter_unclear"),
        ("Name,City\nAda,a;b;c\n", "delimiter_unclear"),
        ('Name,City\nAda,a;"b\n', "delimiter_unclear"),
        ('Name,City\n"Ada,Ulm\n', "quotes_unclear"),
        ('Name,City\n"Ada"x,Ulm\n', "quotes_unclear"),
        ('Name,City\n"A\\"da",Ulm\n', "quotes_unclear"),
        ("Report\nName,City\nAda,Ulm\n", "preamble"),
        ("Report\n\nName;City\nAda;Ulm\n", "preamble"),
        ("Report\nOrt,City\nAda,Ulm\n", "delimiter_unclear"),
        ("Report,May\nName,City\nAda,Ulm\n", "preamble"),
        ("Name,City\n\nAda,Ulm\n", "blank_rows"),
        ("Name,City\nAda,Ulm\n\n", "blank_rows"),
        ("Name,City\nAda,Ulm\n , \n", "blank_rows"),
        ("Name,City\nAda\n", "ragged_rows"),
        ("Name,City\nAda,Ulm,x\n", "ragged_rows"),
        ("Name,City\n", "no_rows"),
        ("", "no_rows"),
        ("Name,\nAda,Ulm\n", "header_empty"),
        ("Name,City,Name\nAda,Ulm,x\n", "header_repeated"),
        ("Name,Ort\nAda,Ulm\n", "header_unmatched"),
    ],
)  # fmt: skip
def test_what_an_import_would_have_to_guess_refuses_a_file(raw: bytes | str, expected: str) -> None:
    assert code(raw) == expected


def test_a_table_of_one_column_must_have_no_delimiter_at_all() -> None:
    one = [{"key": "name", "label": "Name"}]
    assert member("Name\nAda\nBo\n", one).lines == ("Ada\r\n", "Bo\r\n")
    assert code("Name\nAda, Countess\n", one) == "delimiter_unclear"


def test_a_delimiter_within_cells_is_clear_while_it_makes_no_row_wider_than_the_header() -> None:
    for raw in ("Name,City\nAda,a;b\n", "Name,City\nAda,a;b", "Name,City\r\nAda,a;b\r\n"):
        assert member(raw).row_count == 1
    assert code("Name,City\nAda,a;b;c\n") == "delimiter_unclear"


def test_a_row_with_more_names_than_the_header_refuses_a_file() -> None:
    fields = [{"key": "n", "label": "Name"}, {"key": "c", "label": "City"}]
    assert member("Name,City,x\nn,c,y\n", fields).row_count == 1
    assert code("Name,City,x\nn,c,Name\n", fields) == "header_unclear"


def test_a_header_with_one_name_must_look_like_a_header() -> None:
    one = [{"key": "name", "label": "Name"}]
    assert member("Name,Remarks,Spalte\nAda,x,y\n", one).row_count == 1
    assert member("Name,2023\nAda,x\n".replace("2023", "Year"), one).row_count == 1
    assert code("Name,2023,2024\nAda,x,y\n", one) == "header_unclear"
    assert code("Name,a@b\nAda,x\n", one) == "header_unclear"


def test_two_names_or_names_in_half_of_the_cells_are_enough_for_a_header() -> None:
    assert member("Name,City,2023,2024,5\nAda,Ulm,1,2,3\n").row_count == 1
    year = [{"key": "year", "label": "2024"}]
    assert member("2024\nx\n", year).row_count == 1
    assert code("2024,2025\nx,y\n", year) == "header_unclear"


def test_a_row_with_as_many_names_as_the_header_is_no_header() -> None:
    fields = [{"key": "n", "label": "Name"}, {"key": "c", "label": "City"}]
    assert member("Name,City,x\nn,City,y\n", fields).row_count == 1


def test_too_many_columns_are_too_large() -> None:
    header = ",".join(["Name", "City", *(f"c{at}" for at in range(1_000))])
    assert code(f"{header}\n{','.join('x' * 1_002)}\n") == "too_large"


def test_how_large_a_file_may_be_is_the_callers_choice() -> None:
    raw = b"Name,City\nAda,Ulm\n"
    assert read_member(raw, rules(), max_bytes=10) == Refusal("too_large")
    assert MEMBER_BYTES_MAX == 1_000_000


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (
            ["2024-03-04", "2024/3/4", "20240304", "", "27 Mar 2024", "March 3, 2024", "none", "5/5/2024"],
            DateOrder.NONE,
        ),
        (["25/12/2024", "2024-03-04"], DateOrder.DAY_FIRST),
        (["12/25/2024", "5.5.2024"], DateOrder.MONTH_FIRST),
        (["25. 12. 2024"], DateOrder.DAY_FIRST),
        (["13/12/2024", "31/12/2024", "12/12/2024", "32/12/2024"], DateOrder.DAY_FIRST),
        (["12/13/2024", "12/31/2024", "12/32/2024"], DateOrder.MONTH_FIRST),
        (["12/32/2024", "32/12/2024"], DateOrder.NONE),
        (["2024-03-04 10:30:00", "2024-03-04T10:30:00+01:00"], DateOrder.NONE),
        (["40/50/2024", "13/13/2024", "0/40/2024"], DateOrder.NONE),
        (["Mon, 25/12/24 10:30"], DateOrder.DAY_FIRST),
    ],
)
def test_the_order_of_dates_is_what_their_cells_show(cells: list[str], order: DateOrder) -> None:
    assert date_order(cells, field="Day") is order


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["3/4/2024"], "dates_ambiguous"), (["3-4-24"], "dates_ambiguous"), (["3 / 4 / 2024"], "dates_ambiguous"),
        (["3.4.2024 10:30"], "dates_ambiguous"), (["Mon, 3/4/2024"], "dates_ambiguous"),
        (["0/3/2024"], "dates_ambiguous"),
        (["٣/٤/٢٠٢٤"], "dates_ambiguous"), (["3年4月2024"], "dates_ambiguous"),
        (["3\u200f\u200f/\u200f\u200f\u200f4/2024"], "dates_ambiguous"),
        (["x\n3/4/2024"], "dates_ambiguous"),
        (["11/12/2024"], "dates_ambiguous"), (["12/1/2024"], "dates_ambiguous"),
        (["25/12/2024", "12/25/2024"], "dates_mixed"), (["25/12/2024 12/25/2024"], "dates_mixed"),
    ],
)  # fmt: skip
def test_a_date_that_its_column_decides_refuses_a_file(cells: list[str], expected: str) -> None:
    with pytest.raises(Refused) as caught:
        date_order(cells, field="Day")
    assert caught.value.refusal == Refusal(expected, "Day")


def test_files_of_different_orders_are_told_apart() -> None:
    assert member("Name,Day\nAda,25/12/2024\n", DAY).date_order == "d"
    assert member("Name,Day\nAda,12/25/2024\n", DAY).date_order == "m"
    assert member("Name,Day\n3/4/2024,2024-12-25\n", DAY).date_order == "-"
    assert code("Name,Day\nAda,3/4/2024\n", DAY) == "dates_ambiguous"


def test_equal_values_of_a_unique_field_have_equal_keys_however_they_are_written() -> None:
    fields = [{"key": "name", "label": "Name", "validators": [{"validate": "unique_case_insensitive"}]}]
    keys = {member(f"Name\n{text}\n", fields).unique_keys for text in ("Ada B", "ada-b", " ADA  B ", "\uff21da b")}
    assert len(keys) == 1
    assert member("Name\nBo\n", fields).unique_keys not in keys
    assert len(member("Name\nBo\nCy\nbo\n", fields).unique_keys) == 16


def test_blank_cells_are_never_equal() -> None:
    fields = [
        {"key": "name", "label": "Name", "validators": [{"validate": "unique"}]},
        {"key": "city", "label": "City"},
    ]
    assert member("Name,City\n,Ulm\n  ,Rom\n", fields).unique_keys == b""


def test_a_combination_is_equal_if_all_its_values_are() -> None:
    unique = [{"validate": "unique_with", "uniqueKey": "k"}]
    fields = [{"key": "a", "label": "A", "validators": unique}, {"key": "b", "label": "B", "validators": unique}]
    first, other, same = (member(f"A,B\n{row}\n", fields).unique_keys for row in ("x,y", "xy,", "X,Y"))
    assert first == same != other
    assert len(first) == 8


def test_a_unique_number_must_be_written_in_its_one_plain_form() -> None:
    fields = [{"key": "id", "label": "Id", "type": "number", "validators": [{"validate": "unique"}]}]
    assert len(member("Id\n17\n 18 \n0\n", fields).unique_keys) == 24
    for text in ("17.0", "+17", "017", "1k", "$5", "-1", "x"):
        assert code(f"Id\n{text}\n", fields) == "unique_unclear", text


def test_a_refusal_names_a_field_and_never_a_cell() -> None:
    found = read("Name,Day\nsecret,3/4/2024\n", DAY)
    assert isinstance(found, Refusal)
    assert found.sentence == "The field Day has a date whose day and month the rest of the column decides."
