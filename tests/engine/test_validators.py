"""Rules of the validators beyond the table of vectors, and their agreement with a naive implementation."""

import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.engine.validators import regex
from sandbox.engine.validators.regex import JsRegex
from tests.support.engine import marks, run

TEXT = st.text(alphabet="ab1 é😀", max_size=5)


def field(key, *validators, **more):
    return {"key": key, "label": key, "validators": list(validators), **more}


def test_one_error_a_broken_rule_the_type_first():
    rules = [{"validate": "regex_match", "regex": "^x"}, {"validate": "unique", "errorMessage": "twice"}]
    outcome = run([{"a": "no"}], field("a", *rules, type="email"), invalidDataBehavior="BLOCK_SUBMIT")
    assert [error["message"] for error in outcome.errors] == [
        "This is not an email address.",
        "This value does not have the expected form.",
    ]


def test_messages_come_from_the_validator_then_the_settings_then_the_table():
    overrides = {"errors": {"required": "Fehlt."}}
    outcome = run([{"a": "", "b": ""}], field("a", {"validate": "required"}), field("b", {"validate": "required",
                  "errorMessage": "Mine."}), textOverrides=overrides)  # fmt: skip
    assert [error["message"] for error in outcome.metadata["errors"]] == ["Fehlt.", "Mine."]


@pytest.mark.parametrize("level", ["info", "warning"])
def test_below_the_level_error_a_rule_is_a_remark(level):
    outcome = run([{"a": "", "b": "1"}], field("a", {"validate": "required", "level": level}), field("b"))
    assert (outcome.metadata["errorCount"], len(outcome.rows)) == (0, 1)
    assert outcome.metadata["warnings"] == ["a: A value is required. (1 cells)"]


def test_regular_expressions_look_at_what_is_displayed():
    money = field("a", {"validate": "regex_match", "regex": r"^\$ 1,234\.57$"}, type=["number", "usd"])
    assert marks(run([{"a": "1234.567"}], money)) == []


def test_a_pattern_that_never_ends_fails_the_import(monkeypatch):
    monkeypatch.setattr(regex.JsRegex.__init__, "__kwdefaults__", {"time_limit_s": 0.2})
    outcome = run([{"a": "a" * 40 + "b"}], field("a", {"validate": "regex_match", "regex": "^(a+)+$"}))
    assert outcome.status == "FAILED"
    assert "takes too long" in outcome.errors[0]["message"]


def test_every_equal_cell_is_marked_and_empty_ones_are_not():
    outcome = run([{"a": "x"}, {"a": ""}, {"a": "x"}, {"a": ""}, {"a": "y"}], field("a", {"validate": "unique"}))
    assert marks(outcome) == [(0, "a"), (2, "a")]
    assert [row["a"] for row in outcome.rows] == ["", "", "y"]


def test_unique_holds_across_all_columns_of_a_many_to_one_field():
    outcome = run("a1,a2\nx,y\nz,x\n", field("a", {"validate": "unique"}, manyToOne=True))
    assert [(e["rowIndex"], e["manyToOneIndex"]) for e in outcome.metadata["errors"]] == [(0, 0), (1, 1)]


def test_numbers_whose_hashes_collide_are_still_distinguished(tmp_path, monkeypatch):
    from sandbox.engine.reading import text as text_reading

    monkeypatch.setattr(text_reading, "HELD_MAX_BYTES", 0)
    path = tmp_path / "a.csv"
    path.write_text("a,b\n-1,x\n-2,x\n5,x\n5.0,x\n")
    outcome = run(path, field("a", {"validate": "unique"}, type="number"), field("b"))
    assert marks(outcome) == [(2, "a"), (3, "a")]


def test_required_values_are_compared_with_the_display_then_the_result():
    rule = {"validate": "require_with_values", "fieldValues": {"b": "free"}}
    plan = field("b", type="select", selectOptions=[{"label": "Gratis", "value": "free"}])
    assert marks(run([{"a": "", "b": "Gratis"}], field("a", rule), plan)) == [(0, "a")]
    shown = {"validate": "require_with_values", "fieldValues": {"b": "Gratis"}}
    assert marks(run([{"a": "", "b": "free"}], field("a", shown), plan)) == [(0, "a")]


NODE = shutil.which("node")
PATTERNS = [r"^\d+$", r"\w\b", "^.$", "[^a]", r"\u{61}", "(?<=a)b", "^b$", r"\s", "\u017f", r"(a|b)\1", "[]", r"\p{L}"]


@pytest.mark.skipif(NODE is None, reason="compares with Node's regular expressions")
@pytest.mark.parametrize("flags", ["", "i", "m", "s", "u"])
def test_patterns_mean_what_they_mean_in_javascript(flags):
    texts = ["", "a", "b", "ab", "bb", "a\nb", "12", "٣", "é", "😀", "S", "\u2028", "u" * 61, "k\u00a0"]
    script = (
        "const [p, f, t] = JSON.parse(process.argv[1]); console.log(JSON.stringify(p.map(x => {"
        "try { const r = new RegExp(x, f); return t.map(y => r.test(y)) } catch { return null } })))"
    )
    ran = subprocess.run([NODE, "-e", script, json.dumps([PATTERNS, flags, texts])], capture_output=True, check=True)
    for pattern, expected in zip(PATTERNS, json.loads(ran.stdout), strict=True):
        try:
            found = JsRegex(pattern, flags).test(texts)
        except ValueError:
            found = None
        assert found == expected, pattern


NAIVE = {
    "required": lambda cell, others: not cell.strip(),
    "alphabetical": lambda cell, others: cell.strip() and not re.fullmatch("[a-zA-Z]+", cell),
    "length": lambda cell, others: cell.strip() and not 2 <= len(cell.encode("utf-16-le")) // 2 <= 3,
    "require_with": lambda cell, others: not cell.strip() and any(map(str.strip, others)),
    "require_with_all": lambda cell, others: not cell.strip() and all(map(str.strip, others)),
    "require_without": lambda cell, others: not cell.strip() and not all(map(str.strip, others)),
    "require_without_all": lambda cell, others: not cell.strip() and not any(map(str.strip, others)),
    "require_with_values": lambda cell, others: not cell.strip() and "a" in others,
    "require_with_all_values": lambda cell, others: not cell.strip() and set(others) == {"a"},
    "require_without_values": lambda cell, others: not cell.strip() and set(others) != {"a"},
    "require_without_all_values": lambda cell, others: not cell.strip() and "a" not in others,
}


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=6),
    name=st.sampled_from(sorted(NAIVE)),
)
def test_a_validator_agrees_with_a_naive_reading(rows, name):
    rule = {"validate": name, "min": 2, "max": 3, "fields": ["b", "c"], "fieldValues": {"b": "a", "c": "a"}}
    data = [dict(zip("abc", row, strict=True)) for row in rows]
    outcome = run(data, field("a", rule), field("b"), field("c"))
    assert marks(outcome) == [(at, "a") for at, (a, *others) in enumerate(rows) if NAIVE[name](a, others)]


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(TEXT, TEXT), max_size=8), name=st.sampled_from(["unique", "unique_case_insensitive"]))
def test_uniqueness_agrees_with_counting(rows, name):
    data = [{"a": a, "b": b} for a, b in rows]
    keys = [(a.casefold() if name != "unique" else a) if a.strip() else None for a, _ in rows]
    outcome = run(data, field("a", {"validate": name}), field("b"))
    assert marks(outcome) == [(at, "a") for at, key in enumerate(keys) if key is not None and keys.count(key) > 1]
    pair = {"validate": "unique_with", "uniqueKey": "k"}
    both = [(a if a.strip() else None, b if b.strip() else None) for a, b in rows]
    again = [at for at, key in enumerate(both) if key != (None, None) and both.count(key) > 1]
    outcome = run(data, field("a", pair), field("b", pair))
    assert marks(outcome) == [(at, key) for at in again for key in "ab"]


def test_uniqueness_without_case_goes_by_small_letters():
    field = {"key": "a", "label": "a", "validators": [{"validate": "unique_case_insensitive"}]}
    outcome = run("a,b\nÄ,1\nä,2\nß,3\nss,4\n", field, {"key": "b", "label": "b"})
    assert marks(outcome) == [(0, "a"), (1, "a")]


def test_a_checkbox_is_never_without_a_value():
    for rule in ({"validate": "required"}, {"validate": "require_with", "fields": ["b"]}):
        field = {"key": "a", "label": "a", "type": "checkbox", "validators": [rule]}
        assert marks(run("a,b\n,x\n", field, {"key": "b", "label": "b"})) == []


def test_a_list_without_items_is_empty():
    field = {"key": "a", "label": "a", "type": "multi-select", "validators": [{"validate": "required"}]}
    assert marks(run('a,b\n" , ",x\n', field, {"key": "b", "label": "b"})) == [(0, "a")]
