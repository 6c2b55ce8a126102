"""Hostile file names: imported like any other, never outside the output, never live in a manifest or a terminal."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.inbox import Workspace, assert_each_once, rows
from tests.acceptance.vendors import SandboxVendor

NAMES = [
    b"-rf.csv",
    b"--schema-id=other.csv",
    b"new\nline.csv",
    b"carriage\rreturn.csv",
    b"tab\there.csv",
    b"=cmd|' \xe2\x80\xa6'!A1.csv",
    b"@SUM(A1).csv",
    b"+1.csv",
    "\N{PARTY POPPER}-\N{SNOWMAN}.csv".encode(),
    b"not\xff\xfeutf8.csv",
    b"a..csv",
    b"up\\..\\..\\windows.csv",
    b"C:\\x.csv",
    b"~root.csv",
    b"%2e%2e%2fup.csv",
    b"[red]markup.csv",
    b"\x1b[31mred\x1b[0m.csv",
    b"quote\"and'quote.csv",
    b"$(touch pwned).csv",
    b" blanks .csv",
    b"CON.csv",
    b"n" * 246 + b".csv",
    "\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}.csv".encode(),
    "\N{LATIN SMALL LETTER E WITH ACUTE}.csv".encode(),
    "\N{RIGHT-TO-LEFT OVERRIDE}vsc.csv".encode(),
    b"folder.json/x..y/x.csv",
    b"CASE.csv",
    b"case.csv",
]


def test_hostile_names_are_imported_once_and_do_no_harm(work: Callable[..., Workspace], sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = {name: rows(number) for number, name in enumerate(NAMES)}
    for name, content in files.items():
        mine.add(os.fsdecode(name), content)
    before = outside(mine)
    finished = mine.command(*mine.arguments("--create-quota", "1000/2s", "--json", "-v")).expect(0)

    assert_each_once(sandbox.received(), {str(name): content for name, content in files.items()})
    manifest = mine.manifest()
    assert {line["state"] for line in manifest.values()} == {"collected"}
    assert {restored(source) for source in manifest} == set(NAMES)
    assert outside(mine) == before
    assert len(results(mine)) == len({line["result"] for line in manifest.values()}) == len(NAMES)
    assert finished.events[-1]["exit_code"] == 0
    assert b"\x1b[31m" not in finished.stdout + finished.stderr


def test_hostile_names_stay_text_in_manifest_and_terminal(
    work: Callable[..., Workspace], sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    for name in NAMES:
        mine.add(os.fsdecode(name), b"")
    finished = mine.command(*mine.arguments()).expect(4)

    assert b"\x1b" not in finished.stdout + finished.stderr
    table = list(csv.DictReader((mine.out / "manifest.csv").read_text("utf-8-sig").splitlines(keepends=True)))
    assert len(table) == len(NAMES)
    assert not [row["source"] for row in table if row["source"].lstrip()[0] in "=+-@\t\r\n"]


def test_a_name_that_looks_like_markup_is_shown_as_it_is(
    work: Callable[..., Workspace], sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    mine.add("[red]:warning: markup[bold].csv", b"")
    assert "[red]:warning: markup[bold].csv" in mine.command(*mine.arguments()).expect(4).text


def test_a_source_that_looks_like_an_option_can_be_named(
    work: Callable[..., Workspace], sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    (mine.home / "-inbox").mkdir()
    (mine.home / "-inbox" / "a.csv").write_bytes(rows(1))
    mine.command("run", "--schema-id", "customers", "--out", "out", "--", "-inbox").expect(0)
    assert mine.states() == {"a.csv": "collected"}


def restored(source: str) -> bytes:
    """Turn a source in the manifest back into the bytes of the file's name."""
    if "\\x" not in source and "\\\\" not in source:
        return source.encode()
    return source.encode().decode("unicode_escape").encode("latin-1")


def outside(mine: Workspace) -> set[Path]:
    """Name everything in the home and next to it that is not the command's own."""
    own = {mine.home / name for name in ("out", ".state", ".bulkhead")}
    return {*mine.home.iterdir(), *mine.home.parent.iterdir()} - own


def results(mine: Workspace) -> list[Path]:
    found = [path for path in (mine.out / "results").rglob("*") if path.is_file()]
    assert {len(json.loads(path.read_bytes())) for path in found} == {3}
    return found


def test_linked_directories_are_named_and_not_followed(work: Callable[..., Workspace], sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    folder = mine.add("a.csv", rows(1)).parent
    (folder / "again").symlink_to(".")
    (folder / "loop").symlink_to(folder)
    said = "2 linked directories were not followed: again, loop"
    schema = ("--schema-id", "customers")
    assert mine.command("plan", "inbox", *schema, "--json").expect(0).document["linked_directories"] == said
    assert said.encode() in mine.command("plan", "inbox", *schema).expect(0).stdout
    assert said.encode() in mine.command("check", "inbox", *schema).expect(0).stderr
    events = mine.command(*mine.arguments("--json")).expect(0).events
    assert [event["message"] for event in events if event["event"] == "notice"] == [said]
    assert mine.states() == {"a.csv": "collected"}
