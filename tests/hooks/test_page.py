"""The hooks page of the docs: its Python example runs and prints what it says."""

import textwrap
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"


def test_the_example_prints_what_its_comment_says(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("deno")
    section = PAGE.read_text(encoding="utf-8").partition("## From Python")[2]
    example = textwrap.dedent("\n".join(line for line in section.splitlines() if line.startswith("    ")))
    exec(compile(example, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.strip() == example.rpartition("# ")[2].strip()
