"""Which errors of hooks end an import, with which sentence, and when hooks do not run at all."""

import pytest

from sandbox.engine import run_import
from sandbox.hooks import HookLimits
from tests.support.engine import run, step

pytest.importorskip("deno")

NAME = {"key": "name", "label": "Name"}
AGE = {"key": "age", "label": "Age", "type": "number"}
N = {"key": "n", "label": "N", "type": "number"}
TEXT = "Name,Age\nAda,36\nBob,x\n"
THROW = "() => { throw new Error('told so'); }"


def failure(outcome):
    assert outcome.status == "FAILED"
    assert outcome.rows is None
    return str(outcome.errors[0]["message"])


@pytest.mark.parametrize(
    "hooks",
    [
        step("UPLOAD_STEP", THROW),
        step("REVIEW_STEP", THROW),
        {"columnHooks": [{"fieldName": "name", "callback": THROW}]},
        {"bulkRowHooks": [THROW]},
        {"rowHooks": [THROW]},
        step("REVIEW_STEP_POST_HOOKS", THROW),
        step("REVIEW_STEP_PRE_SUBMIT", THROW),
        {"beforeFinishCallback": THROW},
    ],
    ids=["upload", "review", "column", "bulk", "row", "post", "pre-submit", "finish"],
)
def test_a_hook_that_throws_fails_the_import_with_its_words(hooks):
    assert "told so" in failure(run("Name\nAda\n", NAME, hooks=hooks))


@pytest.mark.parametrize(
    "hooks",
    [
        {"rowHooks": ["() => 5"]},
        {"bulkRowHooks": ["() => ({})"]},
        {"columnHooks": [{"fieldName": "n", "callback": "() => 'x'"}]},
        {"rowHooks": ["() => ({row: {n: {value: {}}}})"]},
        {"beforeFinishCallback": "() => { throw new Error('no'); }"},
        step("REVIEW_STEP_PRE_SUBMIT", "async (i) => { throw new Error('no'); }"),
    ],
)
def test_a_wrong_shape_or_an_error_fails_the_import_and_names_the_hook(hooks):
    outcome = run("N\n1\n", N, hooks=hooks)
    assert (outcome.status, outcome.errors[0]["type"], outcome.rows) == ("FAILED", "FATAL", None)
    assert outcome.errors[0]["message"].startswith(next(iter(hooks)))


def test_a_hook_over_its_time_fails_the_import():
    schema = {"fields": [NAME], "hooks": {"rowHooks": ["() => { for (;;); }"]}}
    outcome = run_import(b"Name\nAda\n", schema=schema, filename="a.csv", hook_limits=HookLimits(call_s=0.5))
    assert "rowHooks[0]" in failure(outcome)


def test_a_hook_over_its_memory_fails_the_import():
    hook = "() => { const all = []; for (;;) all.push(new Array(100000).fill(Math.random())); }"
    schema = {"fields": [N], "hooks": {"rowHooks": [hook]}}
    limits = HookLimits(heap_bytes=64 << 20, call_s=20.0)
    outcome = run_import(b"N\n1\n", schema=schema, filename="a.csv", hook_limits=limits)
    assert outcome.errors[0]["message"] == "rowHooks[0] used more memory than the 64 MiB allowed."


def test_a_hook_may_not_fetch():
    hook = "async () => { await fetch('http://127.0.0.1:8123/'); }"
    assert "Hooks may not do this here" in failure(run("Name\nAda\n", NAME, hooks={"rowHooks": [hook]}))


def test_a_field_that_cannot_be_used_fails_the_import_that_adds_it():
    outcome = run(TEXT, NAME, hooks=step("REVIEW_STEP", "(i) => i.addField({key: 'z', type: 'nonsense'})"))
    assert "added a field that cannot be used" in failure(outcome)


def test_a_missing_header_asks_for_a_person_before_the_data_hooks_run():
    outcome = run("1,2\n3,4\n", NAME, AGE, hooks={"rowHooks": [THROW]})
    assert [error["type"] for error in outcome.errors] == ["HEADER_NOT_FOUND"]


def test_row_delete_hooks_alone_start_no_process(monkeypatch):
    monkeypatch.setattr("sandbox.engine.hooks.HookRunner.start", lambda *_args, **_options: pytest.fail("started"))
    assert run("Name\nAda\n", NAME, hooks={"rowDeleteHooks": [THROW]}).status == "SUCCESSFUL"


def test_without_the_extra_a_schema_with_hooks_fails_and_names_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "deno", None)
    sentence = failure(run("Name\nAda\n", NAME, hooks={"rowHooks": ["(r) => r"]}))
    assert "pip install '.[hooks]'" in sentence
