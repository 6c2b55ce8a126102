"""A worker of the check reads the file that it has prepared, whatever replaces the name meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.check import worker
from runner.check.predictions import FileCheck
from runner.check.worker import FileChecker, FileToCheck
from runner.sources.file_body import FileBody
from tests.support.checks import Ended, setup_of

CONTENT = b"Customer No\n1\n"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    for folder, content in (("in/a", CONTENT), ("out", b"secret\n")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.csv").write_bytes(content)
    return tmp_path / "in"


class Reading:
    """An engine that lets a link replace the directory, then reads twice."""

    def __init__(self, inbox: Path) -> None:
        self.inbox = inbox
        self.read: list[bytes] = []

    def __call__(self, source: Any, **_: object) -> Ended:
        _replace(self.inbox)
        self.read = [source.read_bytes(), source.read_bytes()]
        return Ended()


def _replace(inbox: Path) -> None:
    (inbox / "a").rename(inbox / ".a")
    (inbox / "a").symlink_to(inbox.parent / "out")


def _checked(engine: Reading, inbox: Path) -> FileCheck:
    checker = FileChecker(setup_of(engine, inbox))
    try:
        return checker.check(FileToCheck("a/a.csv", len(CONTENT), 0))
    finally:
        checker._loop.close()


@pytest.mark.parametrize("shows_open_files", [True, False], ids=["by descriptor", "by copy"])
def test_a_directory_replaced_while_its_file_is_checked_is_not_followed(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shows_open_files: bool
) -> None:
    if not shows_open_files:
        monkeypatch.setattr(worker, "OPEN_FILES", tmp_path / "not-there")
    engine = Reading(inbox)
    _checked(engine, inbox)
    assert engine.read == [CONTENT, CONTENT]


def test_a_directory_replaced_between_preparing_and_checking_is_refused(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = FileBody.held

    def late(body: FileBody) -> Any:
        _replace(inbox)
        return held(body)

    monkeypatch.setattr(FileBody, "held", late)
    engine = Reading(inbox)
    found = _checked(engine, inbox)
    assert engine.read == []
    assert "the directory a is a link now" in str(found)


@pytest.mark.parametrize(("encoding", "is_warned"), [("cp1252", True), ("utf-8", False), ("utf_8_sig", False)])
def test_a_file_in_utf8_is_warned_of_if_its_route_names_another_encoding(
    tmp_path: Path, encoding: str, is_warned: bool
) -> None:
    (tmp_path / "a.csv").write_text("Customer No\nJürgen\n", "utf-8")
    setup = setup_of(lambda *_, **__: Ended(), tmp_path)
    bound = replace(setup.routes[0], route=replace(setup.routes[0].route, encoding=encoding))
    checker = FileChecker(replace(setup, routes=(bound,)))
    found = checker.check(FileToCheck("a.csv", 20, 0))
    checker._loop.close()
    assert ["encoding_contradicted" in problem.code for problem in found.problems] == [True] * is_warned
