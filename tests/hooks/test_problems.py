"""The problems of a schema's hooks when it is saved, and what happens without Deno."""

import sys
from pathlib import Path

import pytest

from sandbox.hooks import HookFailed, HookRunner, HooksUnavailable, hook_problems
from sandbox.hooks.deno import HookLimits, start_deno
from tests.support.hooks import start


def test_hooks_that_compile_have_no_problems() -> None:
    pytest.importorskip("deno")
    hooks = {
        "columnHooks": [{"fieldName": "email", "callback": "async (values) => values"}],
        "rowHooks": ["function (record) { return record; } // with a comment", "(r) => r"],
        "bulkRowHooks": ["async function named(rows) { return rows; }"],
        "rowDeleteHooks": ["(row) => {}"],
        "stepHooks": [{"type": "UPLOAD_STEP", "callback": "(instance, data) => {}"}],
        "beforeFinishCallback": "(data, metadata, instance) => undefined",
    }
    assert hook_problems(hooks) == []


def test_every_hook_that_does_not_compile_is_named() -> None:
    pytest.importorskip("deno")
    hooks = {
        "rowHooks": ["(r) => r", "(r => {", "42"],
        "columnHooks": [{"fieldName": "a", "callback": "nowhere"}],
        "beforeFinishCallback": "(a) => { return }}",
    }
    assert hook_problems(hooks) == [
        ("columnHooks[0]", "does not compile: ReferenceError: nowhere is not defined"),
        ("rowHooks[1]", "does not compile: SyntaxError: Unexpected token ')'"),
        ("rowHooks[2]", "is not a function."),
        ("beforeFinishCallback", "does not compile: SyntaxError: Unexpected token '}'"),
    ]


def test_checking_a_hook_does_not_call_it() -> None:
    pytest.importorskip("deno")
    assert hook_problems({"rowHooks": ["() => { while (true); }"]}) == []


def test_a_hook_that_never_ends_when_it_is_read_is_a_problem() -> None:
    pytest.importorskip("deno")
    [(path, sentence)] = hook_problems({"rowHooks": ["() => 1", "(() => { while (true); })()"]}, call_s=0.6)
    assert (path, sentence) == ("rowHooks[1]", "ran longer than the 0.6 seconds allowed for a call.")


@pytest.mark.parametrize(
    ("hooks", "problem"),
    [
        ({"rowHooks": [1]}, ("rowHooks[0]", "must be the text of a JavaScript function.")),
        ({"bulkRowHooks": {}}, ("bulkRowHooks", "must be a list.")),
        ({"columnHooks": ["x"]}, ("columnHooks[0]", "must be an object with a callback.")),
        ({"columnHooks": [{"callback": "x"}]}, ("columnHooks[0].fieldName", "must be the key of a field.")),
        (
            {"stepHooks": [{"type": "UPLOAD_STEP"}]},
            ("stepHooks[0].callback", "must be the text of a JavaScript function."),
        ),
        ({"beforeFinishCallback": []}, ("beforeFinishCallback", "must be the text of a JavaScript function.")),
    ],
)
def test_a_hook_of_a_wrong_form_is_named_without_starting_anything(
    hooks: dict[str, object], problem: tuple[str, str]
) -> None:
    assert hook_problems(hooks, program=Path("/nowhere/deno")) == [problem]


def test_an_unknown_step_is_a_problem() -> None:
    [(path, sentence)] = hook_problems({"stepHooks": [{"type": "LAST_STEP", "callback": "x"}]})
    assert path == "stepHooks[0].type"
    assert sentence.startswith("must be one of UPLOAD_STEP, REVIEW_STEP")


def test_a_schema_without_hooks_needs_nothing() -> None:
    assert hook_problems({"rowHooks": [], "stepHooks": None}, program=Path("/nowhere/deno")) == []


def test_a_runner_refuses_hooks_of_a_wrong_form_and_hooks_that_do_not_compile() -> None:
    with pytest.raises(ValueError, match=r"rowHooks\[0\] must be the text"):
        start({"rowHooks": [1]})
    with pytest.raises(HookFailed, match=r"rowHooks\[1\] does not compile: SyntaxError"):
        start({"rowHooks": ["() => 1", "("]})


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deno", None)
    with pytest.raises(HooksUnavailable, match=r"pip install '\.\[hooks\]'"):
        HookRunner.start({"rowHooks": ["() => 1"]}, fields=[])
    with pytest.raises(HooksUnavailable):
        hook_problems({"rowHooks": ["() => 1"]})


def test_a_program_that_is_not_there_is_as_good_as_no_extra(tmp_path: Path) -> None:
    with pytest.raises(HooksUnavailable):
        start_deno(tmp_path, limits=HookLimits(), program=tmp_path / "deno")


def test_the_heap_grows_with_the_rows_that_have_to_fit() -> None:
    limits = HookLimits(heap_bytes=512 << 20)
    assert limits.for_rows(1000, fields=12).heap_bytes == 512 << 20
    assert limits.for_rows(1_000_000, fields=12).heap_bytes == 1_800_000_000
    assert limits.for_rows(1_000_000, fields=24).heap_bytes == 3_600_000_000
