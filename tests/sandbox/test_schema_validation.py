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
            "fields": [
                {"key": name, "type": name, "label": name}
                | ({"selectOptions": [{"value": "a"}]} if "select" in name else {})
                for name in sorted(TYPE_NAMES)
            ]
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


# What only the vendor refuses


OPTIONS = [{"label": "A", "value": "a"}]


@pytest.mark.parametrize("kind", ["select", "multi-select"])
@pytest.mark.parametrize("given", [{}, {"selectOptions": None}, {"selectOptions": []}])
def test_a_select_field_without_options_is_refused(kind, given):
    body = refused(fields=[{"key": "a", "type": kind, **given}])
    assert body == {"fields": [{"selectOptions": [f"A {kind} field needs options."]}]}


def test_a_select_field_that_takes_any_value_may_have_an_empty_list_of_options():
    anything = {"key": "a", "type": ["select", {"allowCustom": True}]}
    check_definition({"fields": [{**anything, "selectOptions": []}]})
    check_definition({"fields": [{"key": "a", "type": ["select", {"selectOptions": OPTIONS}]}]})
    assert refused(fields=[anything]) == {"fields": [{"selectOptions": ["A select field needs options."]}]}


def test_a_hidden_field_with_validators_is_refused():
    rules = [{"validate": "required"}]
    body = refused(fields=[{"key": "a"}, {"key": "b", "hidden": True, "validators": rules}])
    assert body == {"fields": [{}, {"validators": ["A hidden field can't have validators."]}]}
    check_definition({"fields": [{"key": "b", "hidden": True, "validators": []}]})
    check_definition({"fields": [{"key": "b", "hidden": False, "validators": rules}]})


@pytest.mark.parametrize("size_bytes", [0, (1 << 30) + 1, 10**15])
def test_a_file_size_out_of_range_is_refused(size_bytes):
    sentence = "Expected a size from 1 to 1073741824 bytes."
    assert refused(settings={"maxFileSize": size_bytes}) == {"settings": {"maxFileSize": [sentence]}}
    with pytest.raises(ApiProblem) as caught:
        make_state().create({**FILE, "settings": {"maxFileSize": size_bytes}}, T0)
    assert caught.value.body == {"settings": {"maxFileSize": [sentence]}}


@pytest.mark.parametrize("size_bytes", [1, 1 << 30, None])
def test_a_file_size_in_range_is_taken(size_bytes):
    check_definition({"settings": {"maxFileSize": size_bytes}})


WITH = ["require_with", "require_with_all", "require_without", "require_without_all"]
OF_FIELDS = [(f"{name}{kind}", part) for name in WITH for kind, part in (("", "fields"), ("_values", "fieldValues"))]


@pytest.mark.parametrize(("validate", "part"), OF_FIELDS)
def test_a_validator_that_names_an_unknown_field_is_refused(validate, part):
    def fields(*keys):
        given = list(keys) if part == "fields" else dict.fromkeys(keys, "x")
        return [{"key": "a", "validators": [{"validate": validate, part: given}]}, {"key": "b"}]

    (problem, *_) = refused(fields=fields("b", "c"))["fields"]
    assert problem["validators"] == [{part: ['There is no field with the key "c".']}]
    check_definition({"fields": fields("b")})


def test_only_validators_that_need_other_fields_are_looked_up():
    check_definition({"fields": [{"key": "a", "validators": [{"validate": "required", "fields": ["gone"]}]}]})


@pytest.mark.parametrize("name", ["Customers", " Customers "])
def test_a_schema_with_a_name_that_exists_is_refused(name):
    state = make_state()
    body = {"fields": [{"key": "a"}]}
    other = state.schemas.create({**body, "name": "Other"})
    for call in (state.schemas.create, lambda body: state.schemas.replace(other["id"], body)):
        with pytest.raises(ApiProblem) as caught:
            call({**body, "name": name})
        assert (caught.value.status, caught.value.body) == (400, {"name": ["A schema with this name already exists."]})
    assert [schema["name"] for schema in state.schemas.all()] == ["Customers", "Other"]


def test_a_schema_keeps_its_own_name_and_frees_it_when_it_is_renamed_or_deleted():
    state = make_state()
    state.schemas.replace("customers", CUSTOMERS)
    state.schemas.replace("customers", {**CUSTOMERS, "name": "Clients"})
    again = state.schemas.create(CUSTOMERS)
    state.schemas.delete(again["id"])
    assert state.schemas.create(CUSTOMERS)["name"] == "Customers"


OLD = {
    "id": "old",
    "name": "Customers",
    "fields": [
        {"key": "a", "type": "select"},
        {"key": "b", "hidden": True, "validators": [{"validate": "required"}]},
        {"key": "c", "validators": [{"validate": "require_with", "fields": ["z"]}]},
    ],
    "settings": {"maxFileSize": 1 << 40},
}


def test_what_is_saved_already_is_only_warned_about():
    state = SandboxState(random.Random(7), schemas=[CUSTOMERS, OLD])
    assert state.schemas.warnings() == [
        'the saved schemas customers, old have the same name, "Customers"; the vendor refuses a name that exists',
        "the vendor refuses the saved schema old: fields.0.selectOptions: A select field needs options.",
        "the vendor refuses the saved schema old: fields.1.validators: A hidden field can't have validators.",
        'the vendor refuses the saved schema old: fields.2.validators.0.fields: There is no field with the key "z".',
        "the vendor refuses the saved schema old: settings.maxFileSize: Expected a size from 1 to 1073741824 bytes.",
    ]
    assert make_state().schemas.warnings() == []


def test_imports_still_run_by_a_saved_schema_that_is_warned_about():
    state = SandboxState(random.Random(7), schemas=[OLD])
    made = state.create({"schema_id": "old", "initial_data": [{"c": "x"}]}, T0)
    assert state.retrieve(made["id"], T0 + 1)["status"] == "SUCCESSFUL"


async def test_an_inline_hook_that_does_not_compile_is_refused_by_the_create():
    try:
        find_deno()
    except HooksUnavailable:
        pytest.skip("Deno is not installed")
    async with running_sandbox() as box:
        inline = {"fields": [{"key": "a"}], "original_filename": "a.csv"}
        saved = {"schema_id": "customers", "original_filename": "a.csv"}
        for body in (inline, saved):
            hooks = {"rowHooks": ["(row) => row"], "beforeFinishCallback": "(data) => {"}
            status, answer = await box.api("POST", "/headless/imports/", json={**body, "hooks": hooks})
            assert (status, list(answer["hooks"])) == (400, ["beforeFinishCallback"])
            assert "does not compile" in answer["hooks"]["beforeFinishCallback"][0]
            del hooks["beforeFinishCallback"]
            assert (await box.api("POST", "/headless/imports/", json={**body, "hooks": hooks}))[0] == 201
        assert len((await box.counters())["create_times"]) == 4


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
