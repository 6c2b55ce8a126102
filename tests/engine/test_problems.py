"""Problems of a schema, found before any import."""

import pytest

from sandbox.engine import schema_problems
from tests.support.engine import run


def faults(**field):
    return [path for path, _ in schema_problems({"fields": [{"key": "a", **field}]})]


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ({"type": "text"}, "fields.0.type"),
        ({"type": []}, "fields.0.type"),
        ({"type": ["number", "dollars"]}, "fields.0.type.preset"),
        ({"type": ["number", {"round": 1.5}]}, "fields.0.type.round"),
        ({"type": ["number", {"min": "1"}]}, "fields.0.type.min"),
        ({"type": ["number", {"outputFormat": {"mantissa": "two"}}]}, "fields.0.type.outputFormat"),
        ({"type": ["date", {"locale": "xx-Nowhere-Q"}]}, "fields.0.type"),
        ({"type": ["date", {"autofix": "yes"}]}, "fields.0.type.autofix"),
        ({"type": ["country", {"format": "4-letter"}]}, "fields.0.type.format"),
        ({"type": ["uuid", {"version": "four"}]}, "fields.0.type.version"),
        ({"type": ["url", {"acceptedDomains": "dromo.io"}]}, "fields.0.type.acceptedDomains"),
        ({"type": "select", "selectOptions": ["red"]}, "fields.0.selectOptions"),
        ({"type": "select", "selectOptions": [{}]}, "fields.0.selectOptions.0"),
        ({"validators": [{"validate": "nice"}]}, "fields.0.validators.0.validate"),
        ({"validators": [{"validate": "regex_match", "regex": "("}]}, "fields.0.validators.0.regex"),
        ({"validators": [{"validate": "regex_match"}]}, "fields.0.validators.0.regex"),
        ({"validators": [{"validate": "length"}]}, "fields.0.validators.0"),
        ({"validators": [{"validate": "unique_with"}]}, "fields.0.validators.0.uniqueKey"),
        ({"validators": [{"validate": "require_with"}]}, "fields.0.validators.0.fields"),
        ({"validators": [{"validate": "require_with_values"}]}, "fields.0.validators.0.fieldValues"),
        ({"validators": [{"validate": "required", "level": "fatal"}]}, "fields.0.validators.0.level"),
    ],
)
def test_a_fault_of_a_field_is_named_by_its_path(field, path):
    assert faults(**field) == [path]


def test_keys_must_be_there_and_distinct():
    problems = schema_problems({"fields": [{"key": "a"}, {"key": "a"}, {}]})
    assert [path for path, _ in problems] == ["fields.1.key", "fields.2.key"]


@pytest.mark.parametrize(
    "field",
    [
        {"type": None, "validators": None, "selectOptions": None},
        {"type": ["number", {"preset": "usd", "min": 0, "outputFormat": "eur", "round": None}]},
        {"type": ["date", {"locale": "pt-BR", "displayFormat": "D", "outputFormat": "[ISO]"}]},
        {"validators": [{"validate": "regex_match", "regex": r"(?<=a)\p{L}", "regexOptions": {"unicode": True}}]},
    ],
)
def test_a_good_field_has_no_faults(field):
    assert faults(**field) == []


def test_faults_of_settings_and_hooks_are_named_too():
    settings = {"delimiter": "::", "matchingStep": {"headerRowOverride": -1}, "invalidDataBehavior": "KEEP"}
    hooks = {"rowHooks": [1], "stepHooks": [{"type": "LAST", "callback": "x"}]}
    problems = schema_problems({"settings": settings, "hooks": hooks})
    assert [path for path, _ in problems] == [
        "settings.matchingStep.headerRowOverride",
        "settings.invalidDataBehavior",
        "settings.delimiter",
        "hooks.rowHooks.0",
        "hooks.stepHooks.0.type",
    ]


@pytest.mark.parametrize(
    ("hooks", "path"),
    [
        ({"columnHooks": [{"callback": "() => []"}]}, "hooks.columnHooks.0.fieldName"),
        ({"columnHooks": [{"fieldName": 3, "callback": "() => []"}]}, "hooks.columnHooks.0.fieldName"),
        ({"rowHooks": ""}, "hooks.rowHooks"),
        ({"beforeFinishCallback": 0}, "hooks.beforeFinishCallback"),
        (["() => {}"], "hooks"),
    ],
)
def test_hooks_of_a_wrong_form_are_a_fault_and_never_raise(hooks, path):
    assert [place for place, _ in schema_problems({"hooks": hooks})] == [path]
    assert path in run("a\n1\n", {"key": "a"}, hooks=hooks).errors[0]["message"]


def test_settings_that_are_no_object_are_a_fault():
    assert schema_problems({"settings": ["strict"]}) == [("settings", "Expected an object.")]


def test_an_import_by_a_faulty_schema_fails_with_the_fault():
    outcome = run("a\n1\n", {"key": "a", "type": "text"})
    assert (outcome.status, outcome.errors[0]["type"]) == ("FAILED", "FATAL")
    assert "fields.0.type" in outcome.errors[0]["message"]
    assert run("a\n1\n").errors[0]["message"] == "The schema has no fields."
