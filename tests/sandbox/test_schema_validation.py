"""Invalid schemas are refused with a body that leads to each wrong place."""

import random

import pytest

from sandbox.api_state import SandboxState
from sandbox.engine import Outcome
from sandbox.engine.types import TYPE_NAMES
from sandbox.hooks import HooksUnavailable, find_deno
from sandbox.problems import ApiProblem
from sandbox.schema_validation import check_definition, problem_body
from sandbox.settings import SandboxSettings
from tests.support.sandbox import CUSTOMERS, running_sandbox

T0 = 1_780_000_000.0
FILE = {"schema_id": "customers", "original_filename": "a.csv"}


def make_state(**options):
    return SandboxState(random.Random(7), settings=SandboxSettings(), schemas=[CUSTOMERS], **options)


def refused(**given):
    with pytest.raises(ApiProblem) as caught:
        check_definition(given)
    assert caught.value.status == 400
    return caught.value.body


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ({"key": ""}, "key"),
        ({"key": 5}, "key"),
        ({"label": "no key"}, "key"),
        ({"key": None}, "key"),
        ({"key": "a", "type": "text"}, "type"),
        ({"key": "a", "type": []}, "type"),
        ({"key": "a", "type": ["date", {}, {}]}, "type"),
        ({"key": "a", "type": ["date", 5]}, "type"),
        ({"key": "a", "type": {"date": {}}}, "type"),
        ({"key": "a", "label": 5}, "label"),
        ({"key": "a", "alternateMatches": "b"}, "alternateMatches"),
        ({"key": "a", "validators": {"validate": "required"}}, "validators"),
        ({"key": "a", "validators": [{"validate": "nice"}]}, "validators"),
        ({"key": "a", "validators": [{}]}, "validators"),
        ({"key": "a", "hidden": "yes"}, "hidden"),
        ({"key": "a", "manyToOne": 1}, "manyToOne"),
        ({"key": "a", "type": "select", "selectOptions": ["a"]}, "selectOptions"),
    ],
)
def test_a_wrong_field_is_named_by_its_place(field, key):
    body = refused(fields=[{"key": "fine"}, field])
    assert list(body) == ["fields"]
    assert body["fields"][0] == {}
    assert list(body["fields"][1]) == [key]


def test_a_repeated_key_is_named_at_its_second_place():
    body = refused(fields=[{"key": "a"}, {"key": "b"}, {"key": "a"}])
    assert body == {"fields": [{}, {}, {"key": ['The key "a" occurs more than once.']}]}


@pytest.mark.parametrize("fields", [None, {}, [], "name", 5])
def test_fields_are_a_list_with_something_in_it(fields):
    assert refused(fields=fields) == {"fields": ["Expected a non-empty list of fields."]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maxRecords", "many"),
        ("maxRecords", -1),
        ("maxRecords", 2.5),
        ("maxRecords", True),
        ("maxFileSize", "1 MB"),
        ("invalidDataBehavior", "IGNORE"),
        ("invalidDataBehavior", ["BLOCK_SUBMIT"]),
        ("developmentMode", "true"),
        ("passThroughUnmappedColumns", 1),
        ("title", {}),
        ("delimiter", ""),
        ("headerRowOverride", "first"),
        ("matchingStep", [1]),
        ("webhookUrl", "not a url"),
        ("webhookUrl", "ftp://127.0.0.1/"),
        ("needsReviewWebhookUrl", "http://[::1"),
        ("needsReviewWebhookUrl", "http://127.0.0.1:99999/"),
        ("initialData", {}),
    ],
)
def test_a_setting_of_a_wrong_type_is_named(key, value):
    assert list(refused(settings={key: value})["settings"]) == [key]
    with pytest.raises(ApiProblem) as caught:
        make_state().create({**FILE, "settings": {key: value}}, T0)
    assert list(caught.value.body["settings"]) == [key]


@pytest.mark.parametrize(
    ("hooks", "expected"),
    [
        ({"rowHooks": "() => 1"}, ["rowHooks"]),
        ({"rowHooks": [5]}, ["rowHooks"]),
        ({"beforeFinishCallback": []}, ["beforeFinishCallback"]),
        ({"columnHooks": [{"callback": "x"}]}, ["columnHooks"]),
        ({"columnHooks": [{"fieldName": "a"}]}, ["columnHooks"]),
        ({"columnHooks": ["a"]}, ["columnHooks"]),
        ({"columnHooks": {}}, ["columnHooks"]),
        ({"stepHooks": [{"type": "LAST_STEP", "callback": "x"}]}, ["stepHooks"]),
        ({"stepHooks": [{"callback": "x"}]}, ["stepHooks"]),
    ],
)
def test_a_wrong_hook_is_named(hooks, expected):
    assert list(refused(hooks=hooks)["hooks"]) == expected


def test_a_valid_definition_of_everything_is_taken():
    check_definition(
        {
            "fields": [{"key": name, "type": name, "label": name} for name in sorted(TYPE_NAMES)]
            + [{"key": "options", "type": ["number", {"preset": "integer"}], "description": None, "aNewKey": 1}],
            "settings": {"maxRecords": None, "webhookUrl": "http://127.0.0.1:8080/x", "aNewSetting": object},
            "hooks": {
                "columnHooks": [{"fieldName": "a", "callback": "x => x"}, {"fieldKey": "b", "callback": "x => x"}],
                "stepHooks": [{"type": "REVIEW_STEP_PRE_SUBMIT", "callback": "x => x"}],
                "rowHooks": ["x => x"],
                "beforeFinishCallback": "x => x",
            },
        }
    )


def test_problems_nest_as_the_places_do():
    problems = [(("a", 2, "b"), "x"), (("a", 2, "b"), "y"), (("c",), "z"), (("c", "d"), "deep"), ((), "all")]
    assert problem_body(problems[:4]) == {
        "a": [{}, {}, {"b": ["x", "y"]}],
        "c": {"non_field_errors": ["z"], "d": ["deep"]},
    }
    assert problem_body(problems[4:]) == {"non_field_errors": ["all"]}


def test_a_regular_expression_that_is_none_is_named_by_its_place():
    field = {"key": "a", "validators": [{"validate": "required"}, {"validate": "regex_match", "regex": "(a"}]}
    (problem,) = refused(fields=[field])["fields"]
    assert list(problem["validators"][1]) == ["regex"]


def test_saved_schemas_are_checked_like_inline_ones():
    state = make_state()
    broken = {"name": "x", "fields": [{"key": "a", "type": "colour"}]}
    for call in (state.schemas.create, lambda body: state.schemas.replace("customers", body)):
        with pytest.raises(ApiProblem) as caught:
            call(broken)
        assert caught.value.body == {"fields": [{"type": ['"colour" is not a valid choice.']}]}
    assert [schema["id"] for schema in state.schemas.all()] == ["customers"]


async def test_a_saved_hook_that_does_not_compile_is_named_by_its_place():
    try:
        find_deno()
    except HooksUnavailable:
        pytest.skip("Deno is not installed")
    hooks = {"rowHooks": ["(row) => row", "(row) => {"], "columnHooks": [{"fieldKey": "a", "callback": "x => x"}]}
    async with running_sandbox() as box:
        body = {"name": "New", "fields": [{"key": "a"}], "hooks": hooks}
        for method, path in (("POST", "/schemas/"), ("PUT", "/schemas/customers/")):
            status, answer = await box.api(method, path, json=body)
            assert status == 400
            assert answer["hooks"]["rowHooks"][0] == {}
            assert "does not compile" in answer["hooks"]["rowHooks"][1][0]
        assert (await box.api("PUT", "/schemas/nobody/", json=body))[0] == 404
        hooks["rowHooks"].pop()
        assert (await box.api("POST", "/schemas/", json=body))[0] == 201


# Merging


def seen_schema(saved=None, **given):
    seen = []

    def engine(job):
        seen.append(job.schema)
        return Outcome(status="SUCCESSFUL", rows=[])

    state = make_state(engine=engine)
    if saved:
        state.schemas.replace("customers", {**CUSTOMERS, **saved})
    made = state.create({"schema_id": "customers", "initial_data": [], **given}, T0)
    state.retrieve(made["id"], T0 + 1)
    return seen[0]


def test_a_given_key_replaces_the_saved_one_whole():
    saved = {"settings": {"matchingStep": {"fuzzyMatchHeaders": False, "x": 1}, "title": "t"}}
    schema = seen_schema(saved, settings={"matchingStep": {"y": 2}})
    assert schema["settings"] == {"matchingStep": {"y": 2}, "title": "t"}


def test_a_null_removes_a_saved_setting():
    assert seen_schema({"settings": {"maxRecords": 5, "title": "t"}}, settings={"maxRecords": None})["settings"] == {
        "title": "t"
    }


def test_hooks_are_merged_by_kind():
    saved = {"hooks": {"rowHooks": ["saved"], "bulkRowHooks": ["saved"]}}
    schema = seen_schema(saved, hooks={"rowHooks": ["given"]})
    assert schema["hooks"] == {"rowHooks": ["given"], "bulkRowHooks": ["saved"]}


def test_the_saved_schema_itself_stays_as_it_was():
    state = make_state()
    state.create({**FILE, "settings": {"maxRecords": 1}}, T0)
    assert state.schemas.get("customers")["settings"] == {}


def test_development_mode_imports_at_most_a_hundred_rows():
    state = make_state()
    rows = [{"name": f"n{number}"} for number in range(150)]
    made = state.create({"schema_id": "customers", "initial_data": rows, "settings": {"developmentMode": True}}, T0)
    assert state.retrieve(made["id"], T0 + 1)["result_metadata"]["totalRows"] == 100
