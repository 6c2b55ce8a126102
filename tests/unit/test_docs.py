"""The documentation says what the program does."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from docs.reference import reference
from runner.cli.app import COMMANDS, GROUPS, build
from runner.local.outcome import ExitCode
from runner.models import TRANSITIONS, BatchState, ImportStatus, ItemState

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL_BLOCK = re.compile(r"```(?:sh|shell|bash)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def shell_commands(text: str) -> Iterator[list[str]]:
    """The words of each command in the shell blocks; lines that end in a backslash go on."""
    for block in SHELL_BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words and words[0] != "export":
                yield words


def options_of(name: str) -> set[str]:
    command: Any = typer.main.get_command(build(name.split()))
    for word in name.split():
        command = command.commands[word]
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def test_the_command_reference_is_up_to_date() -> None:
    assert page("docs/cli.md") == reference(), "run: make docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_reference(name: str) -> None:
    section = page("docs/cli.md").split(f"\n## bulkhead {name}\n")[1].split("\n## ")[0]
    for option in options_of(name):
        if option.startswith("-"):
            assert option in section


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_shown_commands_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    for words in shell_commands(path.read_text(encoding="utf-8")):
        if words[0] == "make":
            assert words[1] in targets
        if words[0] == "bulkhead" and not words[1].startswith("--"):
            given = {word.split("=")[0] for word in words[2:] if word.startswith("--")}
            name = " ".join(words[1:3]) if words[1] in GROUPS else words[1]
            assert name in COMMANDS
            assert given <= options_of(name), words


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def paths_named_in(name: str) -> list[str]:
    return re.findall(r"`((?:runner|lambdas|sandbox|tests|infra|docs|benchmarks|examples)/[\w./-]*)`", page(name))


def test_every_file_and_package_that_contributing_names_exists() -> None:
    named = paths_named_in("CONTRIBUTING.md")
    assert len(named) > 40
    assert not [path for path in named if not (ROOT / path).exists()]


def test_contributing_describes_every_package_of_the_runner() -> None:
    packages = {f"runner/{path.parent.name}/" for path in (ROOT / "runner").glob("*/__init__.py")}
    assert packages <= set(paths_named_in("CONTRIBUTING.md"))


@pytest.mark.parametrize("name", ["docs/operations.md", "docs/cli.md"])
def test_exit_codes_in_the_docs_are_those_of_the_program(name: str) -> None:
    rows = re.findall(r"^\| (\d+) \| `([A-Z_]+)` \|", page(name), re.MULTILINE)
    assert {(int(number), code) for number, code in rows} == {(int(code), code.name) for code in ExitCode}


def test_the_picture_of_an_item_s_life_is_the_table_of_transitions() -> None:
    drawn = re.findall(r"^ +([a-z_]+) --> ([a-z_]+)", page("docs/states.md"), re.MULTILINE)
    assert sorted(drawn) == sorted((old.value, new.value) for old, after in TRANSITIONS.items() for new in after)


def test_every_decision_is_in_the_list_of_decisions() -> None:
    listed = set(LINK.findall(page("docs/decisions/README.md")))
    assert listed == {path.name for path in (ROOT / "docs" / "decisions").glob("0*.md")}


def test_the_states_page_names_every_state_and_status() -> None:
    text = page("docs/states.md")
    for word in (*ItemState, *BatchState, *ImportStatus):
        assert f"`{word}`" in text


def test_every_threat_names_tests_that_exist() -> None:
    threats = page("docs/security.md").split("\n## Threats\n")[1].split("\n## ")[0]
    rows = [row.strip("|").split(" | ") for row in threats.splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 10
    for threat, _, tests in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert named, threat
        for path, name in named:
            assert re.search(rf"^ *(?:async )?def {name}\(", page(f"tests/{path}"), re.MULTILINE), name
