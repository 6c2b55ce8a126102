"""Values of hooks that JSON, UTF-8, or Python cannot carry: replaced, or the import fails with a sentence."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from sandbox.engine import Outcome, run_import
from tests.support.engine import run, step

pytest.importorskip("deno")

NAME = {"key": "name", "label": "Name", "type": "string"}
CHOICE = {"key": "choice", "label": "Choice", "type": "select", "selectOptions": [{"value": "a", "label": "a"}]}
HALF = "'x\\ud83d'"
DEEP = "(() => { let at = []; for (let n = 0; n < %d; n++) at = [at]; return at; })()"
OBJECTS = "(() => { let at = {}; for (let n = 0; n < %d; n++) at = {at}; return at; })()"
WORST = [HALF, DEEP % 300, DEEP % 3000]
ODD = [
    "'\\udc00\\ud800'", DEEP % 150, OBJECTS % 300, OBJECTS % 3000, "NaN", "Infinity",
    "-Infinity", "10n ** 400n", "1e300", "2 ** 70", "JSON.rawJSON('1e999')", "JSON.rawJSON('9'.repeat(5000))",
    "(() => { const at = {}; at.at = at; return at; })()", "({get value() { throw new Error('no'); }})",
    "({get value() { throw {get message() { throw 1; }}; }})", "({toJSON() { throw new RangeError('no'); }})",
    "'x'.repeat(1 << 22)", "Symbol('x')", "() => 1", "new Map([[1, 2]])", "new Proxy({}, {ownKeys() { throw 1; }})",
    "[undefined, null, NaN]",
    f"({{[{HALF}]: 1}})", "new Date(NaN)", "'\\0\\u2028'", "Object.create(null)", "'__proto__'",
]  # fmt: skip
PLACES = {
    "cell": {"rowHooks": ["() => ({row: {name: {value: %s}}})"]},
    "message": {"rowHooks": ["() => ({row: {name: {info: [{message: %s, level: 'error'}]}}})"]},
    "level": {"rowHooks": ["() => ({row: {name: {info: [{message: 'm', level: %s}]}}})"]},
    "info": {"rowHooks": ["() => ({row: {name: {info: %s}}})"]},
    "options": {"rowHooks": ["() => ({row: {choice: {selectOptions: %s}}})"]},
    "option": {"rowHooks": ["() => ({row: {choice: {selectOptions: [%s]}}})"]},
    "option's value": {"rowHooks": ["() => ({row: {choice: {selectOptions: [{value: %s, label: 'a'}]}}})"]},
    "key": {"rowHooks": ["() => ({row: {[%s]: {value: 'x'}}})"]},
    "row": {"rowHooks": ["() => ({row: %s})"]},
    "bulk": {"bulkRowHooks": ["() => [{row: {name: {value: %s}}, index: 0}]"]},
    "bulk index": {"bulkRowHooks": ["() => [{row: {name: {value: 'x'}}, index: %s}]"]},
    "column": {"columnHooks": [{"fieldName": "name", "callback": "() => [{index: 0, value: %s}]"}]},
    "user": step("UPLOAD_STEP", "(i) => i.setUser({id: 'u', of: %s})"),
    "user itself": step("UPLOAD_STEP", "(i) => i.setUser(%s)"),
    "header": step("UPLOAD_STEP", "(i) => i.setHeaderRowOverride(%s)"),
    "field": step("REVIEW_STEP", "(i) => i.addField({key: 'more', label: 'More', of: %s})"),
    "field's key": step("REVIEW_STEP", "(i) => i.addField({key: %s, label: 'More'})"),
    "field's label": step("REVIEW_STEP", "(i) => i.addField({key: 'more', label: %s})"),
    "added row": step("REVIEW_STEP_POST_HOOKS", "(i) => i.addRows([{row: {name: {value: %s}}}])"),
    "added index": step("REVIEW_STEP_POST_HOOKS", "(i) => i.addRows([{index: %s, row: {name: {value: 'x'}}}])"),
    "added parts": step("REVIEW_STEP_POST_HOOKS", "(i) => i.addRows([{row: {name: {manyToOne: [%s]}}}])"),
    "removed row": step("REVIEW_STEP_POST_HOOKS", "(i) => i.removeRows([%s])"),
    "step message": step(
        "REVIEW_STEP_POST_HOOKS",
        "(i) => i.updateInfoMessages({rowIndex: 0, fieldKey: 'name', message: %s, level: 'error'})",
    ),
    "message index": step(
        "REVIEW_STEP_POST_HOOKS", "(i) => i.updateInfoMessages({rowIndex: %s, fieldKey: 'name', message: 'm'})"
    ),
    "error": {"rowHooks": ["() => { throw new Error(%s); }"]},
    "thrown": {"rowHooks": ["() => { throw %s; }"]},
    "cancelled": {"beforeFinishCallback": "() => ({cancel: true, message: %s})"},
    "console": {"rowHooks": ["() => { console.log(%s); }"]},
}  # fmt: skip


def _with(hooks: Any, value: str) -> Any:
    if isinstance(hooks, str):
        return hooks.replace("%s", value)
    if isinstance(hooks, dict):
        return {key: _with(each, value) for key, each in hooks.items()}
    return [_with(each, value) for each in hooks]


def _outcome(place: str, value: str) -> Outcome:
    return run("Name,Choice\nAda,a\n", NAME, CHOICE, hooks=_with(PLACES[place], value))


@pytest.mark.parametrize("place", PLACES)
def test_half_an_emoji_and_deep_nesting_do_not_break_the_engine(place: str) -> None:
    _check(place, WORST)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_no_other_value_breaks_the_engine(place: str) -> None:
    _check(place, ODD)


def _check(place: str, values: list[str]) -> None:
    for value in values:
        outcome = _outcome(place, value)
        orjson.dumps([outcome.rows, outcome.errors, outcome.metadata])
        assert outcome.status in {"SUCCESSFUL", "NEEDS_REVIEW", "FAILED"}, value


@pytest.mark.parametrize("place", ["cell", "message", "option's value", "user", "error", "cancelled"])
def test_half_an_emoji_is_replaced(place: str) -> None:
    outcome = _outcome(place, HALF)
    assert b"x\xef\xbf\xbd" in orjson.dumps([outcome.rows, outcome.errors, outcome.metadata])


@pytest.mark.parametrize("levels", [300, 900, 3000])
@pytest.mark.parametrize("place", ["option", "user"])
def test_deep_nesting_fails_the_import_with_a_sentence(place: str, levels: int) -> None:
    [error] = _outcome(place, DEEP % levels).errors
    assert error["message"].endswith("gave a value nested deeper than 200 levels.")


def test_a_value_of_the_schema_that_is_nested_too_deep_for_a_hook_fails_the_import_with_a_sentence() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    hooks = step("REVIEW_STEP", "() => {}")
    outcome = run("Name\nAda\n", NAME | {"selectOptions": deep}, hooks=hooks)
    orjson.dumps(outcome.errors)
    assert outcome.status in {"SUCCESSFUL", "FAILED"}


def test_half_an_emoji_in_a_file_name_reaches_a_hook_and_comes_back_replaced() -> None:
    hooks = step("UPLOAD_STEP", "(i, data) => i.setUser({id: data.filename})")
    schema = {"fields": [NAME], "settings": {}, "hooks": hooks}
    outcome = run_import(b"Name\nAda\n", schema=schema, filename="caf\udce9-\ud83d.csv")
    assert outcome.metadata["user"]["id"] == "caf\ufffd-\ufffd.csv"
