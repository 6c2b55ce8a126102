"""Hooks of creates are compiled before the create, each set of hooks once."""

import pytest

from sandbox import hook_check
from sandbox.hook_check import HookCheck
from sandbox.hooks import HooksUnavailable
from sandbox.problems import ApiProblem


@pytest.fixture
def compiled(monkeypatch):
    """The hooks that were compiled; one with the text "broken" does not compile."""
    seen = []

    def compile_all(hooks):
        seen.append(hooks)
        return [("rowHooks[0]", "does not compile.")] if "broken" in str(hooks) else []

    monkeypatch.setattr(hook_check, "hook_problems", compile_all)
    return seen


def test_equal_hooks_are_compiled_once_and_broken_ones_each_time(compiled):
    check = HookCheck()
    for _ in range(3):
        check.check({"hooks": {"rowHooks": ["fine"]}, "original_filename": "a.csv"})
        with pytest.raises(ApiProblem) as caught:
            check.check({"hooks": {"rowHooks": ["broken"]}})
        assert caught.value.body == {"hooks": {"rowHooks": [["does not compile."]]}}
    assert [hooks["rowHooks"] for hooks in compiled] == [["fine"], ["broken"], ["broken"], ["broken"]]


def test_what_has_no_hooks_starts_no_process(compiled):
    for body in ({}, {"hooks": None}, {"hooks": {}}, [], "text", 5):
        HookCheck().check(body)
    assert compiled == []


def test_malformed_hooks_are_refused_without_a_process(compiled):
    with pytest.raises(ApiProblem):
        HookCheck().check({"hooks": {"rowHooks": "text"}})
    assert compiled == []


def test_only_so_many_hooks_are_remembered(compiled, monkeypatch):
    monkeypatch.setattr(hook_check, "REMEMBERED_MAX_COUNT", 2)
    check = HookCheck()
    for text in ("a", "b", "c", "a"):
        check.check({"hooks": {"rowHooks": [text]}})
    assert len(compiled) == 4


def test_without_deno_no_hook_is_checked(monkeypatch):
    def unavailable(hooks):
        raise HooksUnavailable

    monkeypatch.setattr(hook_check, "hook_problems", unavailable)
    HookCheck().check({"hooks": {"rowHooks": ["x"]}})
