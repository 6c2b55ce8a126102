"""Which headers are proposed for which fields, and which delimiter splits a header into names."""

from __future__ import annotations

import pytest

from runner.problems.header_names import fitting_delimiter, fitting_encoding, is_name, likely_headers
from tests.support.checks import FIELDS


def proposed(label: str, *headers: str) -> list[str]:
    return [header for _, header in likely_headers([{"key": "k", "label": label}], headers)]


def test_headers_go_to_the_fields_they_are_most_like_each_once() -> None:
    found = likely_headers(FIELDS, ["mail address", "Customer", "zzz"])
    assert {(field["key"], header) for field, header in found} == {("email", "mail address"), ("no", "Customer")}


@pytest.mark.parametrize(
    ("label", "header"),
    [
        ("Customer No", "Customer number"), ("Customer No", "Cust. No"), ("E-Mail", "Mail"),
        ("E-Mail", "eMail address"),
        ("Address Line 1", "address1"), ("Amount", "Amount (EUR)"), ("Full Name", "Name"), ("Phone", "Telephone"),
        ("Customer", "Custmer"), ("First Name", "firstName"), ("Zip", "Zip code"), ("Date of birth", "DOB"),
    ],
)  # fmt: skip
def test_abbreviations_typos_and_additions_are_like_a_field(label: str, header: str) -> None:
    assert proposed(label, header) == [header]


@pytest.mark.parametrize(
    ("label", "header"),
    [
        ("Billing State", "Billing Date"), ("Parent Email", "Patient Email"), ("Contact Name", "Contract Name"),
        ("Country", "County"), ("Country", "City"), ("Employee", "Employer"), ("Payee", "Payer"), ("Name", "Username"),
        ("Address Line 1", "Address Line 2"), ("Gender", "Render"), ("Start Date", "End Date"), ("Quality", "Quantity"),
        ("Full Name", "Customer"), ("Name", "Surname"), ("Id", "Order Id"), ("State", "Status"), ("No", "Now"),
        ("Column 1", "Column 12"), ("Patient Name", "Patient Email"),
    ],
)  # fmt: skip
def test_a_word_or_number_that_differs_makes_a_header_unlike(label: str, header: str) -> None:
    assert proposed(label, header) == []


def test_a_field_that_two_headers_are_like_equally_has_none() -> None:
    assert proposed("Name", "First Name", "Final Name") == []
    assert [*likely_headers([{"key": "patient", "label": "Patient Name"}], ["Patient Email"])] == []
    assert proposed("Full Name", "Name", "Full name of person", "Surname of person") == []
    assert proposed("Full Name", "Surname of person", "Full name of person") == ["Full name of person"]


@pytest.mark.parametrize(
    "text",
    ["", "17", "2024-03-01", "a@host.example", "one, two", 'so "called"', "two\nlines", "a\tb", "zero\u200bwidth",
     "x=1", "https://host.example", "$ 1,200",
     "a sentence that has more words than the header of a column", "w" * 61],
)  # fmt: skip
def test_data_lines_and_invisible_characters_are_no_names(text: str) -> None:
    assert not is_name(text)


@pytest.mark.parametrize(
    "text", ["Name", "Customer's name", "E-Mail", "Gr\u00f6\u00dfe (cm)", "Q1/2024", "\u6771\u4eac"]
)
def test_usual_headers_are_names(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize(
    ("header", "delimiter", "fitting"),
    [
        (["Customer No~E-Mail~Plan"], ",", "~"),
        (["Customer No;E-Mail;Sum", " net;Plan"], ",", ";"),
        (["Customer No\x01E-Mail"], "", "\x01"),
        (["Customer No\tE-Mail"], "|", "\t"),
        (["Customer No", "E-Mail", "Plan;Other"], ",", ""),
        (["Customer No~other"], ",", ""),
        (["E-Mail Plan"], ",", ""),
        (["a-plan", "b"], ",", ""),
        ([], "", ""),
    ],
)
def test_a_delimiter_fits_if_it_gives_more_names_than_there_are(
    header: list[str], delimiter: str, fitting: str
) -> None:
    assert fitting_delimiter(FIELDS, header, delimiter) == fitting


@pytest.mark.parametrize(
    ("label", "true", "taken", "fitting"),
    [
        ("Pří\u017een\u00ed", "cp1250", "cp1252", "cp1250"),
        ("Pr\u00e9nom", "cp850", "cp1252", "cp437"),
        ("\u0418\u043c\u044f", "cp1251", "cp1252", "cp1251"),
        ("Pr\u00e9nom", "utf-8", "cp1252", "utf-8"),
        ("Pr\u00e9nom", "cp1252", "cp1252", ""),
        ("Name", "cp1252", "cp1250", ""),
    ],
)
def test_the_encoding_that_makes_a_header_a_name_fits(label: str, true: str, taken: str, fitting: str) -> None:
    header = [label.encode(true).decode(taken), "Other"]
    assert fitting_encoding([{"key": "k", "label": label}], header, taken) == fitting


def test_an_invisible_character_does_not_hide_which_field_a_header_is_like() -> None:
    assert proposed("E-Mail", "E-\u200bMail") == ["E-\u200bMail"]
