"""What hooks may ask for and what ends them, seen from a whole import."""

import pytest

from sandbox.engine import run_import
from sandbox.hooks import HookLimits
from tests.support.engine import marks, run

pytest.importorskip("deno")

NAME = {"key": "name", "label": "Name"}
N = {"key": "n", "label": "N", "type": "number"}
KIND = {"key": "kind", "label": "Kind", "type": "select", "selectOptions": [{"label": "A", "value": "a"}]}
TELL = "() => ({cancel: true, message: globalThis.told.join(' ')})"
NOTE = "globalThis.told = [...(globalThis.told ?? []), %s];"


def step(kind, body):
    return {"type": kind, "callback": f"async (instance, data) => {{ {body} }}"}


def test_the_kinds_run_in_the_documented_order():
    steps = ["REVIEW_STEP_PRE_SUBMIT", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP", "UPLOAD_STEP"]
    hooks = {
        "stepHooks": [step(kind, NOTE % f"'{kind}'") for kind in steps],
        "rowHooks": [f"(r, mode) => {{ {NOTE % '`row ${mode}`'} }}"],
        "bulkRowHooks": [f"(rows, mode) => {{ {NOTE % '`bulk ${mode}`'} }}"],
        "columnHooks": [{"fieldName": "name", "callback": "(values) => {" + NOTE % "'column'" + " return values; }"}],
        "beforeFinishCallback": TELL,
    }
    assert run("Name\nAda\n", NAME, hooks=hooks).errors[0]["message"] == (
        "UPLOAD_STEP REVIEW_STEP column bulk init row init REVIEW_STEP_POST_HOOKS REVIEW_STEP_PRE_SUBMIT"
    )


@pytest.mark.parametrize("kind", ["UPLOAD_STEP", "REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT"])
def test_a_field_removed_in_any_step_is_not_in_the_result(kind):
    hooks = {"stepHooks": [step(kind, "await instance.removeField('n');")]}
    outcome = run("Name,N\nAda,x\n", NAME, N, hooks=hooks)
    assert (outcome.rows, outcome.metadata["errorCount"]) == ([{"name": "Ada"}], 0)


@pytest.mark.parametrize("kind", ["REVIEW_STEP", "REVIEW_STEP_POST_HOOKS", "REVIEW_STEP_PRE_SUBMIT"])
def test_rows_are_added_where_they_are_asked_for_and_removed_by_their_ids(kind):
    body = """
      const [id] = await instance.addRows([{row: {name: {value: 'gone'}}}]);
      await instance.addRows([{index: 0, row: {name: {value: 'first'}}}]);
      await instance.removeRows([id, 'row-1']);"""
    outcome = run("Name\nAda\nBob\nEve\n", NAME, hooks={"stepHooks": [step(kind, body)]})
    assert [row["name"] for row in outcome.rows] == ["first", "Ada", "Eve"]


def test_an_added_row_brings_its_messages():
    cell = "{value: '1', info: [{message: 'look', level: 'error'}]}"
    hooks = {"stepHooks": [step("REVIEW_STEP", f"instance.addRows([{{row: {{n: {cell}}}}}]);")]}
    outcome = run("N\n2\n", N, hooks=hooks)
    assert (marks(outcome), outcome.rows) == ([(1, "n")], [{"n": 2}])


def test_a_later_row_hook_sees_the_value_that_a_cells_own_options_give():
    hooks = {
        "rowHooks": [
            "() => ({row: {kind: {selectOptions: [{label: 'B', value: 'b'}]}}})",
            "(r) => ({row: {name: {value: `${r.row.kind.value}/${r.row.kind.resultValue}`}}})",
        ]
    }
    outcome = run("Name,Kind\nAda,B\n", NAME, KIND, hooks=hooks)
    assert outcome.rows == [{"name": "B/b", "kind": "b"}]


def test_a_validator_that_shows_a_value_knows_its_own_options():
    kind = {**KIND, "validators": [{"validate": "regex_match", "regex": "^Bee$"}]}
    hooks = {"rowHooks": ["() => ({row: {kind: {selectOptions: [{label: 'Bee', value: 'b'}]}}})"]}
    assert run("Name,Kind\nAda,b\n", NAME, kind, hooks=hooks).rows == [{"name": "Ada", "kind": "b"}]


def test_development_mode_set_in_the_review_step_keeps_to_its_rows():
    hooks = {"stepHooks": [step("REVIEW_STEP", "instance.setDevelopmentMode(true);")]}
    outcome = run("N\n" + "1\n" * 150, N, hooks=hooks)
    assert len(outcome.rows) == 100


@pytest.mark.parametrize(
    "hooks",
    [
        {"rowHooks": ["() => 5"]},
        {"bulkRowHooks": ["() => ({})"]},
        {"columnHooks": [{"fieldName": "n", "callback": "() => 'x'"}]},
        {"rowHooks": ["() => ({row: {n: {value: {}}}})"]},
        {"beforeFinishCallback": "() => { throw new Error('no'); }"},
        {"stepHooks": [step("REVIEW_STEP_PRE_SUBMIT", "throw new Error('no');")]},
    ],
)
def test_a_wrong_shape_or_an_error_fails_the_import_and_names_the_hook(hooks):
    outcome = run("N\n1\n", N, hooks=hooks)
    assert (outcome.status, outcome.errors[0]["type"], outcome.rows) == ("FAILED", "FATAL", None)
    assert outcome.errors[0]["message"].startswith(next(iter(hooks)))


def test_a_hook_over_its_memory_fails_the_import():
    hook = "() => { const all = []; for (;;) all.push(new Array(100000).fill(Math.random())); }"
    schema = {"fields": [N], "hooks": {"rowHooks": [hook]}}
    limits = HookLimits(heap_bytes=64 << 20, call_s=20.0)
    outcome = run_import(b"N\n1\n", schema=schema, filename="a.csv", hook_limits=limits)
    assert outcome.errors[0]["message"] == "rowHooks[0] used more memory than the 64 MiB allowed."
