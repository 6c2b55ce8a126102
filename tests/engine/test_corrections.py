"""What a person decided in a review: the next run applies and validates it."""

from sandbox.engine.corrections import NO_HEADER, Corrections
from tests.support.engine import marks, run

NAME = {"key": "name", "label": "Name", "validators": [{"validate": "required"}]}
AGE = {"key": "age", "label": "Age", "type": "number"}
N = {"key": "n", "label": "N", "type": "number"}
DAY = {"key": "day", "label": "Day", "type": "date"}
TAGS = {"key": "tags", "label": "Tag", "manyToOne": True}
STRICT = {"invalidDataBehavior": "BLOCK_SUBMIT"}


def correct(source, *fields, settings=STRICT, hooks=None, **decided):
    """Import with what was decided in a review, under BLOCK_SUBMIT or other settings."""
    return run(source, *fields, hooks=hooks, corrections=Corrections(**decided), **settings)


def test_a_corrected_cell_is_parsed_and_the_import_succeeds():
    outcome = correct("Name,Age\nAda,x\nBob,2\n", NAME, AGE, cells={0: {("age", 0): "36"}})
    assert outcome.status == "SUCCESSFUL"
    assert outcome.rows == [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 2}]


def test_a_wrong_correction_keeps_the_review_open():
    outcome = correct("Name,Age\nAda,x\n", NAME, AGE, cells={0: {("age", 0): "still no number"}})
    assert outcome.status == "NEEDS_REVIEW"
    assert [(error["rowIndex"], error["value"]) for error in outcome.errors] == [(0, "still no number")]


def test_dropped_rows_are_gone_and_the_others_keep_their_indexes():
    outcome = correct("Name,Age\nAda,x\nBob,2\nCy,y\n", NAME, AGE, dropped=frozenset({0}))
    assert marks(outcome) == [(2, "age")]
    assert [row["name"] for row in outcome.rows] == ["Bob", "Cy"]
    assert outcome.metadata["totalRows"] == 2


def test_uniqueness_does_not_see_dropped_rows_and_sees_corrected_ones():
    unique = {"key": "name", "label": "Name", "validators": [{"validate": "unique"}]}
    assert correct("Name\nAda\nAda\n", unique, dropped=frozenset({0})).status == "SUCCESSFUL"
    outcome = correct("Name\nAda\nBob\n", unique, cells={1: {("name", 0): "Ada"}})
    assert marks(outcome) == [(0, "name"), (1, "name")]


def test_a_person_may_point_at_the_header():
    text = "1,2\n3,4\nWho,Years\nAda,36\n"
    fields = ({**NAME, "alternateMatches": ["Who"]}, {**AGE, "alternateMatches": ["Years"]})
    outcome = correct(text, *fields, header_row=2)
    assert outcome.rows == [{"name": "Ada", "age": 36}]


def test_a_persons_mapping_replaces_the_matching():
    outcome = correct("Name,Other\nAda,Bob\n", NAME, AGE, columns={"name": (1,)})
    assert outcome.rows == [{"name": "Bob"}]
    assert outcome.metadata["fields"]["name"]["fileHeader"] == "Other"


def test_what_a_person_leaves_unmapped_though_it_is_needed_stays_an_error():
    outcome = correct("Name,Other\nAda,Bob\n", NAME, AGE, columns={"age": (1,)})
    assert (outcome.errors[0]["type"], outcome.errors[0]["fieldKey"]) == ("FIELD_NOT_MAPPED", "name")


def test_a_person_may_say_that_a_file_has_no_header():
    outcome = correct("1,2\n3,4\n", NAME, AGE, columns={"age": (0,), "name": (1,)})
    assert outcome.status == "SUCCESSFUL"
    assert outcome.rows == [{"name": "2", "age": 1}, {"name": "4", "age": 3}]


def test_without_a_header_the_columns_are_the_fields_in_order_as_far_as_they_go():
    text = "Ada,5\nBob,6\n"
    outcome = correct(text, NAME, AGE, header_row=NO_HEADER)
    assert outcome.rows == [{"name": "Ada", "age": 5}, {"name": "Bob", "age": 6}]
    assert outcome.metadata["headerRow"] is None
    short = correct(text, {"key": "a"}, AGE, NAME, header_row=NO_HEADER)
    assert [(error["type"], error["fieldKey"]) for error in short.errors] == [("FIELD_NOT_MAPPED", "name")]


def test_one_part_of_a_many_to_one_field_is_corrected():
    outcome = correct("Tag,Tag,Name\na,b,Ada\n", TAGS, NAME, cells={0: {("tags", 1): "B"}})
    assert outcome.rows == [{"tags": ["a", "B"], "name": "Ada"}]


def test_a_date_is_corrected_as_it_is_displayed_whatever_the_order_in_the_file():
    outcome = correct("Day\n27/03/2024\n28/03/2024\n", DAY, cells={0: {("day", 0): "3/4/2024"}})
    assert outcome.rows == [{"day": "2024-03-04"}, {"day": "2024-03-28"}]


def test_unmapped_columns_stay_with_their_row():
    outcome = correct(
        "Name,Extra\nAda,one\nBob,two\n", NAME, settings={"passThroughUnmappedColumns": True}, dropped=frozenset({0})
    )
    assert outcome.rows == [{"name": "Bob", "$unmapped": {"1": "two"}}]


def test_rows_of_json_are_corrected_too():
    outcome = correct([{"n": "x"}, {"n": 2}], N, cells={0: {("n", 0): "1"}})
    assert outcome.rows == [{"n": 1}, {"n": 2}]


def test_corrections_of_what_is_not_there_change_nothing():
    outcome = correct("Name\nAda\n", NAME, cells={7: {("name", 0): "x"}, 0: {("gone", 0): "y"}}, dropped=frozenset({9}))
    assert outcome.rows == [{"name": "Ada"}]


def test_without_block_submit_what_is_still_invalid_is_removed():
    outcome = correct("Name,Age\nAda,x\nBob,y\n", NAME, AGE, settings={}, cells={0: {("age", 0): "1"}})
    assert outcome.rows == [{"name": "Ada", "age": 1}]


def test_many_corrections_in_many_rows_find_their_places():
    text = "Name,Age\n" + "".join(f"n{n},x\n" for n in range(12_000))
    outcome = correct(text, NAME, AGE, cells={n: {("age", 0): str(n)} for n in range(12_000)})
    assert outcome.status == "SUCCESSFUL"
    assert outcome.rows[11_999] == {"name": "n11999", "age": 11_999}
