"""What of a schema and a route refuses packs, and what a header needs."""

from __future__ import annotations

from typing import Any

import pytest

from runner.config.routes import Route
from runner.config.schema_keys import DOCUMENTED, NESTED, OPENAPI, TYPES, VALIDATORS
from runner.packing import rules as rules_module
from runner.packing.refusals import Refusal
from runner.packing.rules import HeaderRules, PackRules, UniqueForm, refusals_of, rules_of

FIELDS: list[dict[str, Any]] = [{"key": "name", "label": "Name"}, {"key": "city", "label": "City"}]


def saved(*fields: dict[str, Any], hooks: Any = None, **settings: Any) -> dict[str, Any]:
    return {"id": "s1", "name": "Saved", "fields": list(fields) or FIELDS, "settings": settings, "hooks": hooks or {}}


def codes(schema: dict[str, Any] | None, **route: Any) -> list[str]:
    return [refusal.code for refusal in refusals_of(Route(name="all", schema_id="s1", **route), schema)]


def rules(*fields: dict[str, Any], **settings: Any) -> PackRules:
    found = rules_of(Route(name="all", schema_id="s1"), saved(*fields, **settings))
    assert isinstance(found, PackRules), found
    return found


def of_header(*header: str, fields: list[dict[str, Any]] = FIELDS) -> HeaderRules | Refusal:
    return rules(*fields).of_header(header)


def test_a_plain_schema_allows_packs() -> None:
    assert codes(saved()) == []
    found = rules(invalidDataBehavior="BLOCK_SUBMIT", passThroughUnmappedColumns=True, delimiter=";")
    assert (found.behavior, found.keeps_unmapped, found.delimiter, found.is_inline) == (
        "BLOCK_SUBMIT",
        True,
        ";",
        False,
    )


def test_the_behavior_follows_the_older_setting_if_the_newer_one_is_absent() -> None:
    assert rules().behavior == "REMOVE_INVALID_ROWS"
    assert rules(allowInvalidSubmit=True).behavior == "INCLUDE_INVALID_ROWS"
    assert rules(allowInvalidSubmit=True, invalidDataBehavior="REMOVE_INVALID_ROWS").behavior == "REMOVE_INVALID_ROWS"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"maxRecords": 5_000}, "max_records"),
        ({"maxRecords": 0}, "max_records"),
        ({"developmentMode": True}, "development_mode"),
        ({"maxFileSize": 1_000_000}, "max_file_size"),
        ({"maxFileSize": "10 MB"}, "max_file_size"),
        ({"allowEmptySubmit": False}, "empty_submit"),
        ({"allowCustomFields": True}, "custom_fields"),
        ({"webhookUrl": "https://example.com"}, "webhook"),
        ({"needsReviewWebhookUrl": "https://example.com"}, "webhook"),
        ({"backendSync": True}, "backend_sync"),
        ({"backendSyncMode": "MAPPINGS_ONLY"}, "backend_sync"),
        ({"headerRowOverride": 2}, "header_row"),
        ({"matchingStep": {"headerRowOverride": 1}}, "header_row"),
        ({"matchingStep": {"matchToSchema": True}}, "match_to_schema"),
        ({"matchingStep": {"autoMapHeaders": True}}, "auto_map_headers"),
        ({"autoMapHeaders": True}, "auto_map_headers"),
        ({"matchValuesStep": {"maxMappableSelectValues": 10}}, "option_limit"),
        ({"initialData": []}, "initial_data"),
        ({"manualInputOnly": True}, "initial_data"),
        ({"delimiter": "x"}, "delimiter_setting"),
        ({"invalidDataBehavior": "KEEP_SOME"}, "behavior_unknown"),
        ({"maxRows": 3}, "setting_unknown"),
        ({"matchingStep": {"sortRows": True}}, "setting_unknown"),
        ({"matchingStep": "yes"}, "setting_unknown"),
    ],
)
def test_a_setting_that_concerns_a_whole_import_refuses_the_route(settings: dict[str, Any], code: str) -> None:
    assert codes(saved(**settings)) == [code]
    assert codes(saved(), settings=settings) == [code]


@pytest.mark.parametrize(
    "settings",
    [
        {
            "maxRecords": None,
            "webhookUrl": "",
            "developmentMode": False,
            "allowEmptySubmit": True,
            "backendSync": False,
        },
        {"maxFileSize": 1 << 30, "backendSyncMode": "DISABLED", "allowCustomFields": False, "delimiter": "|"},
        {"matchingStep": {"headerRowOverride": 0, "fuzzyMatchHeaders": False, "matchToSchema": False}},
        {"importIdentifier": "x", "title": "y", "styleOverrides": {}, "textOverrides": {"errors": {"required": "no"}}},
    ],
)
def test_a_setting_that_says_the_same_about_each_row_refuses_nothing(settings: dict[str, Any]) -> None:
    assert codes(saved(**settings)) == []


def test_the_settings_of_a_route_replace_those_of_its_saved_schema() -> None:
    assert codes(saved(maxRecords=5), settings={"maxRecords": None}) == []
    assert codes(saved(matchingStep={"matchToSchema": True}), settings={"matchingStep": {}}) == []
    assert codes(saved(hooks={"rowHooks": ["(r) => r"]}), hooks={"rowHooks": []}) == []


@pytest.mark.parametrize("hooks", [{"rowHooks": ["(r) => r"]}, {"columnHooks": [{"fieldName": "a", "callback": "x"}]},
                                   {"beforeFinishCallback": "() => {}"}, {"unheardOf": "x"}])  # fmt: skip
def test_any_hook_refuses_the_route(hooks: dict[str, Any]) -> None:
    assert codes(saved(hooks=hooks)) == ["hooks"]
    assert codes(saved(), hooks=hooks) == ["hooks"]


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ({"key": "a", "colour": "red"}, "field_unknown"),
        ({"key": "$unmapped", "hidden": True}, "field_key"),
        ({"key": "a", "type": "hologram"}, "type_unknown"),
        ({"key": "a", "type": ["number", {"base": 16}]}, "type_unknown"),
        ({"key": "a", "type": ["string", "long"]}, "type_unknown"),
        ({"key": "a", "validators": [{"validate": "sorted"}]}, "validator_unknown"),
        ({"key": "a", "validators": [{"validate": "required", "scope": "file"}]}, "validator_unknown"),
        ({"key": "a", "validators": "required"}, "validator_unknown"),
        ({"key": "a", "type": "phone-number", "validators": [{"validate": "unique"}]}, "unique_type"),
        ({"key": "a", "type": "date", "validators": [{"validate": "unique_with", "uniqueKey": "k"}]}, "unique_type"),
        ({"key": "a", "type": ["number", {"round": -2}], "validators": [{"validate": "unique"}]}, "unique_type"),
        ({"key": "a", "manyToOne": True, "validators": [{"validate": "unique"}]}, "unique_type"),
        ({"key": "a", "type": "date", "manyToOne": True}, "dates_of_many_columns"),
    ],
)
def test_a_field_of_which_something_is_not_known_refuses_the_route(field: dict[str, Any], code: str) -> None:
    assert codes(saved(*FIELDS, field)) == [code]


def test_a_hidden_field_takes_no_column_and_checks_nothing() -> None:
    hidden = {"key": "a", "hidden": True, "type": "date", "validators": [{"validate": "unique"}]}
    assert codes(saved(*FIELDS, hidden)) == []
    assert isinstance(rules(*FIELDS, hidden).of_header(("Name", "City")), HeaderRules)
    assert codes(saved(hidden)) == ["schema_without_fields"]


@pytest.mark.parametrize(
    "schema", [None, {}, {"fields": "x"}, {"fields": [{"label": "no key"}]}, {"fields": [], "settings": 3}]
)
def test_a_saved_schema_that_cannot_be_read_refuses_the_route(schema: dict[str, Any] | None) -> None:
    assert codes(schema) == ["schema_unread"]


def test_an_inline_schema_needs_no_saved_one_and_gets_a_field_for_the_marker() -> None:
    found = rules_of(Route(name="all", fields=tuple(FIELDS)))
    assert isinstance(found, PackRules)
    header = found.of_header(("Name", "City"))
    assert isinstance(header, HeaderRules)
    assert header.marker.is_field


def test_every_reason_is_told_and_the_first_one_alone_is_the_answer() -> None:
    schema = saved(hooks={"rowHooks": ["x"]}, maxRecords=1, developmentMode=True)
    assert codes(schema) == ["hooks", "max_records", "development_mode"]
    assert rules_of(Route(name="all", schema_id="s1"), schema) == Refusal("hooks")


@pytest.mark.parametrize(
    ("header", "code", "name"),
    [
        (("Name", ""), "header_empty", ""),
        (("Name", "City", " Name "), "header_repeated", ""),
        (("Name", "Ort"), "header_unmatched", "City"),
        (("Name", "city name"), "header_unmatched", "City"),
        (("name", "CITY"), "header_unmatched", "City"),
    ],
)
def test_a_header_that_leaves_something_to_guess_is_refused(header: tuple[str, ...], code: str, name: str) -> None:
    assert of_header(*header) == Refusal(code, name)


def test_a_column_is_found_by_label_key_or_alternate_name_with_blanks_around_it() -> None:
    fields = [{"key": "name", "label": "Name"}, {"key": "city", "label": "City", "alternateMatches": ["Ort"]}]
    for header in (("Name", "City"), ("name", " city "), ("Ort", "Name")):
        assert isinstance(of_header(*header, fields=fields), HeaderRules), header


def test_one_column_is_not_taken_by_two_fields() -> None:
    fields = [{"key": "a", "label": "Email"}, {"key": "b", "label": "Mail", "alternateMatches": ["Email"]}]
    assert of_header("Email", "Other", fields=fields) == Refusal("header_unmatched", "Mail")


def test_the_columns_to_look_at_follow_the_header() -> None:
    fields = [
        {"key": "d", "label": "Day", "type": "date"},
        {"key": "f", "label": "Fixed", "type": ["date", {"autofix": False}]},
        {"key": "i", "label": "Id", "type": "number", "validators": [{"validate": "unique"}]},
        {"key": "x", "label": "X", "validators": [{"validate": "unique_with", "uniqueKey": "k"}]},
        {"key": "y", "label": "Y", "validators": [{"validate": "unique_with", "uniqueKey": "k"}]},
    ]
    found = of_header("Y", "Id", "X", "Fixed", "Day", fields=fields)
    assert isinstance(found, HeaderRules)
    assert found.date_columns == ((4, "Day"),)
    assert [each.columns for each in found.unique] == [
        ((1, UniqueForm.WHOLE_NUMBER, "Id"),),
        ((2, UniqueForm.TEXT, "X"), (0, UniqueForm.TEXT, "Y")),
    ]


def test_answers_about_headers_are_kept_but_not_without_limit() -> None:
    found = rules(*FIELDS)
    assert found.of_header(("Name", "City")) is found.of_header(["Name", "City"])
    for number in range(rules_module.HEADERS_KEPT + 5):
        found.of_header(("Name", "City", f"Extra {number}"))
    found.of_header(("Name", "x" * 20_000))
    assert len(found._headers) <= rules_module.HEADERS_KEPT


def test_every_setting_and_property_that_is_known_was_judged() -> None:
    judged = rules_module.HARMLESS_SETTINGS | set(rules_module.REFUSING_SETTINGS) | set(rules_module.HARMLESS_STEPS)
    assert OPENAPI["settings"] | DOCUMENTED["settings"] <= judged
    for step, harmless in rules_module.HARMLESS_STEPS.items():
        assert NESTED[step] <= harmless | set(rules_module.REFUSING_SETTINGS), step
    assert OPENAPI["field"] | DOCUMENTED["field"] == rules_module.FIELD_PROPERTIES
    assert len(TYPES) == 17
    assert len(VALIDATORS) == 16
