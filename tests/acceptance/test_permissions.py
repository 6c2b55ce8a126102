"""Whom the operating system lets read what commands leave behind, under several umasks."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.inbox import Workspace
from tests.acceptance.vendors import SandboxVendor

PACE = ("--create-quota", "1000/2s")
UMASKS = [0o000, 0o022, 0o077]

Work = Callable[..., Workspace]


def under(umask: int, work: Workspace) -> Workspace:
    """Let the workspace's commands run under a umask."""
    work.command.umask = umask
    return work


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def below(root: Path) -> dict[Path, int]:
    return {path: mode(path) for path in (root, *root.rglob("*"))}


def wider_than(root: Path, *, folders: int, files: int) -> dict[Path, int]:
    """Return what has more permissions than allowed."""
    return {path: found for path, found in below(root).items() if found & ~(folders if path.is_dir() else files)}


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
def test_ledger_quota_locks_and_lists_are_for_their_owner(work: Work, sandbox: SandboxVendor, umask: int) -> None:
    mine = under(umask, work(sandbox))
    mine.fill(2)
    mine.command("run", "inbox", "--schema-id", "customers", *PACE).expect(0)
    assert mine.command("status").expect(0).text.count("chmod") == 0
    assert wider_than(mine.home / ".bulkhead", folders=0o700, files=0o600) == {}
    assert wider_than(mine.home / ".state", folders=0o700, files=0o600) == {}

    [out] = (mine.home / "bulkhead-out").iterdir()
    assert {mode(mine.home / "bulkhead-out"), mode(out)} == {0o700}
    assert mode(out / "manifest.jsonl") == 0o666 & ~umask


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
def test_a_directory_that_is_given_keeps_its_mode_and_files_follow_the_umask(
    work: Work, sandbox: SandboxVendor, umask: int
) -> None:
    mine = under(umask, work(sandbox))
    mine.fill(1)
    (mine.home / "out").mkdir()
    (mine.home / "out").chmod(0o750)
    mine.command("run", "inbox", "--schema-id", "customers", "--out", "out", *PACE).expect(0)
    found = below(mine.home / "out")
    assert found.pop(mine.home / "out") == 0o750
    assert {made for path, made in found.items() if path.is_dir()} == {0o777 & ~umask}
    assert {made for path, made in found.items() if path.is_file()} == {0o666 & ~umask}


def test_settings_choose_other_modes(work: Work, sandbox: SandboxVendor) -> None:
    mine = under(0o077, work(sandbox, BULKHEAD_LEDGER_MODE="0660", BULKHEAD_OUT_MODE="0640"))
    mine.fill(1)
    mine.command("run", "inbox", "--schema-id", "customers", *PACE).expect(0)
    assert mode(mine.home / ".bulkhead") == 0o770
    assert mode(mine.home / ".bulkhead/ledger.db") == 0o660
    found = below(mine.home / "bulkhead-out")
    assert {made for path, made in found.items() if path.is_dir()} == {0o750}
    assert {made for path, made in found.items() if path.is_file()} == {0o640}
    assert "chmod" not in mine.command("status").expect(0).text


def test_a_ledger_that_others_can_read_is_named_with_the_command(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(1)
    run = ["run", "inbox", "--schema-id", "customers", *PACE]
    mine.command(*run).expect(0)
    ledger = mine.home / ".bulkhead/ledger.db"
    ledger.chmod(0o644)
    for command in (["status"], ["batches"], run, ["ledger", "copy", str(ledger), "copy.db"], ["doctor"]):
        ended = mine.command(*command).expect(0)
        assert f"run: chmod 0600 {ledger}" in ended.text.replace("\n", " "), command
        assert "chmod" not in mine.command(*command, variables={"BULKHEAD_LEDGER_MODE": "0644"}).text, command


def test_a_ledger_for_others_stays_as_its_owner_left_it(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(1)
    mine.command("run", "inbox", "--schema-id", "customers", *PACE).expect(0)
    (mine.home / ".bulkhead").chmod(0o755)
    mine.command("status").expect(0)
    assert mode(mine.home / ".bulkhead") == 0o755
