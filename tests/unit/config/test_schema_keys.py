"""Names in a schema that the vendor does not know, each with the nearest known one."""

from __future__ import annotations

from typing import Any

import pytest

from runner.config.route_remarks import fault_sentences, name_findings, remarks_of_routes, remarks_of_saved, sentences
from runner.config.routes import Route
from runner.config.schema_keys import (
    DOCUMENTED,
    OPENAPI,
    REMARKS_MAX,
    SETTINGS,
    TYPES,
    VALIDATORS,
    VALUES,
    RemarkKind,
    schema_remarks,
)  # fmt: skip
from runner.findings import Level
from sandbox.engine.types import TYPE_NAMES
from sandbox.engine.validators import VALIDATOR_NAMES
from sandbox.schema_validation import FIELD, HOOKS
from sandbox.schema_validation import SETTINGS as SANDBOX_SETTINGS
from tests.support.openapi import description


def field(**more: Any) -> dict[str, Any]:
    return {"key": "k", "label": "K", "type": "string", **more}


def told(**parts: Any) -> list[tuple[str, str, str]]:
    return [(one.kind.value, one.path, one.nearest) for one in schema_remarks(**parts)]


@pytest.mark.parametrize(
    ("parts", "path", "nearest"),
    [
        ({"settings": {"invalidDataBehaviour": "x"}}, "settings.invalidDataBehaviour", "invalidDataBehavior"),
        ({"settings": {"import_identifier": "x"}}, "settings.import_identifier", "importIdentifier"),
        ({"settings": {"MaxRecords": 1}}, "settings.MaxRecords", "maxRecords"),
        ({"settings": {"matching_step": {}}}, "settings.matching_step", "matchingStep"),
        ({"settings": {"matchingStep": {"fuzzyMatch": 1}}}, "settings.matchingStep.fuzzyMatch", "fuzzyMatchHeaders"),
        ({"fields": [field(validators=[{"validate": "unique", "eror": "x"}])]}, "fields[0].validators[0].eror",
         "errorMessage"),
        ({"settings": {"passThrough": True}}, "settings.passThrough", "passThroughUnmappedColumns"),
        ({"settings": {"nothingLikeIt": 1}}, "settings.nothingLikeIt", ""),
        ({"settings": {"invalidDataBehavior": "REMOVE_INVALID_ROW"}}, "settings.invalidDataBehavior",
         "REMOVE_INVALID_ROWS"),
        ({"settings": {"invalidDataBehavior": "block_submit"}}, "settings.invalidDataBehavior", "BLOCK_SUBMIT"),
        ({"settings": {"backendSyncMode": "FULL"}}, "settings.backendSyncMode", "FULL_DATA"),
        ({"fields": [field(), field(lable="x")]}, "fields[1].lable", "label"),
        ({"fields": [field(alternate_matches=[])]}, "fields[0].alternate_matches", "alternateMatches"),
        ({"fields": [field(options=[])]}, "fields[0].options", "selectOptions"),
        ({"fields": [field(type="phone")]}, "fields[0].type", "phone-number"),
        ({"fields": [field(type=["multiselect", {}])]}, "fields[0].type", "multi-select"),
        ({"fields": [field(type="integer")]}, "fields[0].type", "number"),
        ({"fields": [field(type=["number", {"rounds": 2}])]}, "fields[0].type[1].rounds", "round"),
        ({"fields": [field(validators=[{"validate": "required"}, {"validte": "unique"}])]},
         "fields[0].validators[1].validte", "validate"),
        ({"fields": [field(validators=[{"validate": "require"}])]}, "fields[0].validators[0].validate", "required"),
        ({"fields": [field(validators=[{"validate": "regexMatch", "regex": "a"}])]},
         "fields[0].validators[0].validate", "regex_match"),
        ({"fields": [field(validators=[{"validate": "required", "level": "warn"}])]},
         "fields[0].validators[0].level", "warning"),
        ({"fields": [field(validators=[{"validate": "regex_match", "regexOptions": {"ignorecase": True}}])]},
         "fields[0].validators[0].regexOptions.ignorecase", "ignoreCase"),
        ({"hooks": {"rowHook": []}}, "hooks.rowHook", "rowHooks"),
        ({"hooks": {"beforeFinish": ""}}, "hooks.beforeFinish", "beforeFinishCallback"),
        ({"hooks": {"columnHooks": [{"field_name": "k"}]}}, "hooks.columnHooks[0].field_name", "fieldName"),
        ({"hooks": {"stepHooks": [{"type": "UPLOAD"}]}}, "hooks.stepHooks[0].type", "UPLOAD_STEP"),
    ],
)  # fmt: skip
def test_a_misspelt_name_is_told_with_its_place_and_the_nearest_known_one(
    parts: dict[str, Any], path: str, nearest: str
) -> None:
    assert [one for one in told(**parts) if one[0] != "documented"] == [("unknown", path, nearest)]


@pytest.mark.parametrize(
    ("parts", "path", "belongs"),
    [
        ({"settings": {"headerRowOverride": 2}}, "settings.headerRowOverride",
         "settings.matchingStep.headerRowOverride"),
        ({"settings": {"fuzzy_match_headers": True}}, "settings.fuzzy_match_headers",
         "settings.matchingStep.fuzzyMatchHeaders"),
        ({"settings": {"sheetOverride": "x"}}, "settings.sheetOverride", "settings.uploadStep.sheetOverride"),
        ({"settings": {"rowHooks": []}}, "settings.rowHooks", "hooks.rowHooks"),
        ({"settings": {"uploadStep": {"delimiter": ";"}}}, "settings.uploadStep.delimiter", "settings.delimiter"),
        ({"fields": [field(required=True)]}, "fields[0].required", 'validators, as {"validate": "required"}'),
        ({"fields": [field(unique=True)]}, "fields[0].unique", 'validators, as {"validate": "unique"}'),
        ({"fields": [field(regex="a")]}, "fields[0].regex", "an object of validators, as its regex"),
        ({"fields": [field(type="number", preset="usd")]}, "fields[0].preset",
         'the type\'s options, as "type": ["number", {"preset": ...}]'),
    ],
)  # fmt: skip
def test_a_key_at_the_wrong_level_is_told_with_the_right_one(parts: dict[str, Any], path: str, belongs: str) -> None:
    found = [one for one in told(**parts) if one[0] != "documented"]
    assert found == [("misplaced", path, belongs)]


def test_a_documented_key_outside_the_openapi_file_is_noted_once_and_not_called_misspelt() -> None:
    fields = [field(type="select", selectOptions=[]), field(key="l", type="select", selectOptions=[])]
    remarks = remarks_of_routes([Route(name="all", fields=tuple(fields), settings={"delimiter": ";"})])
    assert {one.remark.kind for one in remarks} == {RemarkKind.DOCUMENTED}
    (said,) = sentences(remarks)
    assert said == (
        "route all: fields[0].selectOptions, settings.delimiter are documented, but not in the vendor's OpenAPI file"
    )
    assert fault_sentences(remarks) == []
    assert [one.level for one in name_findings(remarks)] == [Level.OK]


def test_a_faultless_schema_has_no_remarks() -> None:
    settings = {"title": "T", "invalidDataBehavior": "BLOCK_SUBMIT", "maxRecords": None}
    hooks = {"columnHooks": [{"fieldName": "k", "callback": "x => x"}], "rowHooks": ["x => x"]}
    fields = [field(type=["number", {"preset": "usd"}], validators=[{"validate": "unique", "errorMessage": "m"}])]
    assert schema_remarks(fields=fields, settings=settings, hooks=hooks) == []


@pytest.mark.parametrize(
    "parts",
    [
        {"fields": None, "settings": None, "hooks": None},
        {"fields": "x", "settings": 3, "hooks": [1]},
        {"fields": [1, None, {"type": 3}, {"type": []}, {"type": [[]]}, {"validators": {"a": 1}}]},
        {"fields": [{"type": ["number", 3], "validators": [1, {"validate": None, "regexOptions": 2}]}]},
        {"settings": {"styleOverrides": 3, "invalidDataBehavior": 4}, "hooks": {"columnHooks": 3, "stepHooks": [7]}},
    ],
)
def test_what_has_another_shape_is_passed_over(parts: dict[str, Any]) -> None:
    assert schema_remarks(**parts) == []


def test_remarks_are_limited_and_names_are_cut_and_escaped() -> None:
    many = schema_remarks(settings={f"zzz{number}": 1 for number in range(2 * REMARKS_MAX)})
    assert len(many) == REMARKS_MAX
    (one,) = schema_remarks(settings={"ti\u202etle" + "x" * 200: 1})
    assert r"\u202e" in one.sentence
    assert len(one.sentence) < 120


def test_remarks_about_a_saved_schema_name_it() -> None:
    (one,) = remarks_of_saved("abc", {"id": "abc", "fields": [field(Label="x")], "settings": {}}, route="all")
    assert one.sentence == "saved schema abc: fields[0].Label is not known; did you mean label?"
    assert (one.as_object()["route"], one.as_object()["schema_id"]) == ("all", "abc")
    (finding,) = name_findings([one])
    assert (finding.name, finding.level) == ("saved schema abc", Level.WARN)


def test_the_engine_knows_the_same_types_validators_and_values() -> None:
    assert set(TYPES) == set(TYPE_NAMES)
    assert set(VALIDATORS) == set(VALIDATOR_NAMES)
    assert set(FIELD) <= OPENAPI["field"] | DOCUMENTED["field"]
    assert set(HOOKS) == OPENAPI["hooks"]
    flat = {"sheetOverride", "headerRowOverride"}
    assert set(SANDBOX_SETTINGS) - flat <= OPENAPI[SETTINGS] | DOCUMENTED[SETTINGS]


def test_the_names_of_the_openapi_file_are_those_listed() -> None:
    schemas = description()["components"]["schemas"]
    hooks = schemas["SchemaHooks"]["properties"]
    described = {
        "field": schemas["SchemaFields"]["items"]["properties"],
        "settings": schemas["SchemaSettings"]["properties"],
        "hooks": hooks,
        "column hook": hooks["columnHooks"]["items"]["properties"],
        "step hook": hooks["stepHooks"]["items"]["properties"],
    }
    assert {kind: set(keys) for kind, keys in described.items()} == {kind: set(keys) for kind, keys in OPENAPI.items()}
    settings = schemas["SchemaSettings"]["properties"]
    for key in ("invalidDataBehavior", "backendSyncMode"):
        assert set(settings[key]["enum"]) == set(VALUES[SETTINGS, key])
    steps = described["step hook"]["type"]["enum"]
    assert set(steps) <= set(VALUES["step hook", "type"])
