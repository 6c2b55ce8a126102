"""The codes of refusals, and the page that explains them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.packing.planner import PackLimits
from runner.packing.refusals import FILE_REFUSALS, SCHEMA_REFUSALS, SENTENCES, Refusal

PAGE = (Path(__file__).parents[3] / "docs/packing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("heading", "refusals"), [("All files of a route", SCHEMA_REFUSALS), ("Single files", FILE_REFUSALS)]
)
def test_the_page_has_each_code_with_its_sentence(heading: str, refusals: dict[str, str]) -> None:
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n#")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE))
    assert rows == {code: sentence.format(name="NAME") for code, sentence in refusals.items()}


def test_the_page_has_the_limits_of_packs() -> None:
    limits = PackLimits()
    for text in (
        f"{limits.members:,} files, {limits.rows:,} rows, and {limits.size_bytes // 1_000_000} MB",
        f"at most {limits.canary_members} files",
    ):
        assert text in " ".join(PAGE.split())


def test_the_page_says_that_packing_is_off_and_what_nobody_has_seen() -> None:
    assert "**Packing is off by default.**" in PAGE
    assert "never been used with a live account" in " ".join(PAGE.split())


def test_each_code_is_for_routes_or_for_files_and_is_one_sentence() -> None:
    assert not SCHEMA_REFUSALS.keys() & FILE_REFUSALS.keys()
    for code in SENTENCES:
        refusal = Refusal(code, "Na\tme")
        assert re.fullmatch(r"[a-z][a-z0-9_]*", code)
        assert refusal.is_of_route is (code in SCHEMA_REFUSALS)
        assert refusal.sentence.endswith(".")
        assert not {"{", "\t", "\n"} & set(refusal.sentence)


def test_a_code_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no_such_code"):
        Refusal("no_such_code")
