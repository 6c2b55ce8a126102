"""Rules of the header and of matching columns to fields."""

import pytest

from sandbox.engine.matching import match_columns
from sandbox.engine.schema import read_fields
from tests.support.engine import run


def match(header, *fields, fuzzy=True, **options):
    return match_columns(header, fields=read_fields({"fields": list(fields)}), fuzzy=fuzzy, **options)


def field(label, key=None, **more):
    return {"label": label, "key": key or label.lower().replace(" ", "_"), **more}


def test_a_label_goes_before_a_key_and_a_key_before_other_names():
    city = field("City", "town", alternateMatches=["place"])
    assert match(["place", "town", "City"], city) == {"town": [2]}
    assert match(["place", "town"], city) == {"town": [1]}
    assert match(["place"], city, fuzzy=False) == {"town": [0]}


@pytest.mark.parametrize("header", ["first_name", "FIRST-NAME", "firstName", " First  name "])
def test_names_match_without_case_and_punctuation(header):
    assert match([header], field("First Name", "given")) == {"given": [0]}
    assert match([header], field("First Name", "given"), fuzzy=False) == {}


def test_similar_names_match_from_85_on():
    assert match(["Mail Adr"], field("Email Address")) == {}
    assert match(["Email Adress"], field("Email Address")) == {"email_address": [0]}
    assert match(["Username"], field("Last Name")) == {}


def test_names_whose_numbers_differ_are_not_similar():
    assert match(["Address Line 2"], field("Address Line 1")) == {}


def test_a_similar_name_must_beat_the_next_field_by_five():
    assert match(["customer nam"], field("customer name"), field("customer nams")) == {}


def test_each_column_goes_to_one_field_and_the_better_pair_first():
    found = match(["Phone Numbr", "Phone Number"], field("Phone Number"))
    assert found == {"phone_number": [1]}


def test_a_many_to_one_field_gets_all_its_columns_and_numbered_ones():
    tags = field("Interest", manyToOne=True, alternateMatches=["hobby"])
    assert match(["Interest1", "name", "Interest 2", "hobby", "Interest"], tags) == {"interest": [0, 2, 3, 4]}
    assert match(["Interest1", "Interest"], tags, fuzzy=False) == {"interest": [1]}


def test_a_remembered_header_goes_before_a_similar_one():
    assert match(["Kunde"], field("Name"), remembered={"Kunde": "name"}) == {"name": [0]}


def test_a_hidden_field_takes_no_column_and_checks_nothing():
    hidden = field("Name", hidden=True, validators=[{"validate": "required"}])
    outcome = run("Name,N\n,1\n", hidden, field("N"))
    assert (outcome.status, outcome.rows) == ("SUCCESSFUL", [{"n": "1"}])


def test_the_header_is_the_row_with_most_names_of_fields():
    text = "Report,2024\nName,N\nAda,1\n"
    assert run(text, field("Name"), field("N")).metadata["headerRow"] == 1


def test_a_header_needs_two_names_or_half_of_its_cells():
    text = "a,b,c,Name\nKunde,Ort,Land,Text\nAda,Ulm,DE,x\n"
    assert run(text, field("Name")).metadata["headerRow"] == 0
    assert run("1,2,3,Name\nKunde,Ort,Land,Text\n1,2,3,4\n", field("Name")).metadata["headerRow"] == 1


def test_a_file_without_a_header_shows_its_rows_by_position():
    outcome = run("1,2\n3,4\n", field("A"), field("B"))
    assert (outcome.status, outcome.errors[0]["type"]) == ("NEEDS_REVIEW", "HEADER_NOT_FOUND")
    assert outcome.rows == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_a_warning_that_asks_for_a_value_asks_for_no_column():
    rule = {"validate": "required", "level": "warning"}
    assert run("N\n1\n", field("N"), field("Name", validators=[rule])).status == "SUCCESSFUL"


def test_a_header_matches_in_another_unicode_form():
    assert match(["PRE\u0301NOM"], field("Pr\u00e9nom", "given")) == {"given": [0]}
