"""Rows of JSON: keys that are no field, surplus values, nested objects, and numbers that lose digits are told."""

import pytest

from tests.support.engine import run

NAME = {"key": "name", "label": "Full Name"}
CITY = {"key": "city", "label": "City"}
ID = {"key": "id", "label": "ID"}


def told(outcome):
    details = outcome.metadata["warningDetails"]
    return [(one["code"], one["level"], one["firstRow"], one["count"], one["sample"]) for one in details]


def test_rows_whose_keys_are_all_unknown_are_a_loss_that_names_both():
    outcome = run([{"Full Name": "Ida", "City": "Lyon"}, {"Full Name": "Uwe"}], NAME, CITY)
    assert told(outcome) == [("keys_unknown", "loss", 1, 2, '"Ida"')]
    assert outcome.metadata["warningDetails"][0]["message"] == (
        "No key of the rows is a field: Full Name, City; the fields are name, city."
    )


@pytest.mark.parametrize("key", ["Full Name", "full_name", "nmae", "NAME"])
def test_a_key_that_must_mean_a_field_is_a_loss_if_the_row_lacks_it(key):
    outcome = run([{"city": "Lyon", "name": "Ida"}, {"city": "Graz", key: "Uwe"}], NAME, CITY)
    assert told(outcome) == [("key_unknown", "loss", 2, 1, '"Uwe"')]
    assert "the nearest field is name." in outcome.metadata["warnings"][0]


def test_a_key_beside_the_field_it_resembles_is_a_note():
    assert told(run([{"name": "Ida", "Name": "IDA"}], NAME)) == [("key_unknown", "note", 1, 1, '"IDA"')]


def test_other_keys_are_a_note_with_the_nearest_field():
    outcome = run([{"name": "Ida", "town": "Lyon"}], NAME, CITY)
    assert told(outcome)[0][:2] == ("key_unknown", "note")
    assert outcome.metadata["warningDetails"][0]["message"].startswith('No field has the key "town": ')


def test_keys_without_a_value_are_not_worth_a_word():
    assert told(run([{"name": "Ida", "town": None, "tags": [], "x": ""}], NAME)) == []


def test_arrays_longer_than_the_fields_are_a_loss_unless_the_surplus_is_empty():
    assert told(run([["Ida", "Lyon", None], ["Uwe", "Graz", 7]], NAME, CITY)) == [
        ("rows_wider", "loss", 2, 1, "Uwe,Graz,7")
    ]


@pytest.mark.parametrize("type_", ["string", "number", ["select", {"allowCustom": True}]])
def test_whole_numbers_that_lose_digits_are_a_loss_in_a_field_of_any_type(type_):
    rows = [{"id": 9007199254740993, "name": "Ida"}, {"id": 42}, {"id": 738529527931269425}]
    assert told(run(rows, {**ID, "type": type_}, NAME)) == [("digits_lost", "loss", 1, 2, "9007199254740993")]


@pytest.mark.parametrize("value", [2**53, -(2**53), 10**18, 1e20, "738529527931269425", 0.1234567890123456, True])
def test_numbers_that_keep_their_digits_are_not_told(value):
    assert told(run([{"id": value}], ID)) == []


def test_numbers_in_arrays_and_beyond_64_bits_are_told():
    outcome = run([{"id": [1, 2**60 + 1]}, {"id": 1.2345678901234568e23}], ID)
    assert [one[3] for one in told(outcome) if one[0] == "digits_lost"] == [2]


def test_nested_objects_are_a_loss():
    rows = [{"name": {"first": "Ida"}}, {"name": [1, {"x": 2}]}]
    assert told(run(rows, NAME)) == [("value_nested", "loss", 1, 2, '{"first": "Ida"}')]


def test_thousands_of_different_keys_are_listed_up_to_a_limit():
    rows = [{"name": "Ida", f"k{at}": 1} for at in range(3_000)]
    assert len(told(run(rows, NAME))) == 1_000
