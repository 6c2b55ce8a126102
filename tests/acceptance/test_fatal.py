"""Code 7: each sentence about it in docs/operations.md is a test here."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.inbox import Workspace, assert_each_once
from tests.acceptance.vendors import SandboxVendor

PACE = ("--create-quota", "1000/2s")
WRONG = {"DROMO_LICENSE_KEY": "wrong-key"}
CONFIG = '[[routes]]\nname = "all"\nmatch = "**"\nschema_id = "{schema}"\n'

Work = Callable[..., Workspace]


def new_key(vendor: SandboxVendor, key: str) -> dict[str, str]:
    """Replace the account's key at the vendor, and return the variable that has it."""
    vendor.settings(license_key=key)
    return {"DROMO_LICENSE_KEY": key}


def half_sent(mine: Workspace, sandbox: SandboxVendor) -> dict[str, bytes]:
    """Run a batch that the vendor accepts and that does not finish."""
    files = mine.fill(3)
    sandbox.faults({"operation": "create", "kind": "error", "status": 503, "skip": 1})
    mine.command(*mine.arguments(*PACE, "--uploads", "1", "--max-duration", "2s")).expect(10)
    sandbox.faults()
    return files


@pytest.mark.slow
def test_if_the_key_is_not_accepted_the_items_are_queued_again_and_nothing_is_lost(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    files = half_sent(mine, sandbox)
    mine.command("resume", *PACE, variables={**WRONG, "BULKHEAD_ACCEPT_NEW_KEY": "1"}).expect(7)
    assert set(mine.states().values()) <= {"collected", "processing", "queued"}
    mine.command("resume", *PACE).expect(0)
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


def test_fix_the_key_run_doctor_then_resume(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(5)
    assert "key" in mine.command(*mine.arguments(*PACE), variables=WRONG).expect(7).text
    assert "key" in mine.command("doctor", variables=WRONG).expect(7).text

    mine.command("doctor").expect(0)
    mine.command("resume", *PACE).expect(0)
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


def test_a_run_after_one_with_a_wrong_key_continues_its_batch(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(2)
    mine.command(*mine.arguments(*PACE), variables=WRONG).expect(7)
    mine.command(*mine.arguments(*PACE), variables={"DROMO_LICENSE_KEY": "also-wrong"}).expect(7)
    mine.command(*mine.arguments(*PACE)).expect(0)
    assert len(mine.command("batches", "--json").expect(0).document) == 1
    mine.assert_collected(files)


def test_if_a_schema_does_not_exist_explain_shows_the_route_and_a_run_after_the_fix_sends_the_files(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    files = mine.fill(2)
    config = mine.home / "bulkhead.toml"
    config.write_text(CONFIG.format(schema="gone"))
    run = ("run", "inbox", "--out", "out", *PACE)
    assert "schema 'gone' (route all) does not exist; this account has: " in mine.command(*run).expect(7).text
    explained = mine.command("explain", f"inbox/{next(iter(files))}").expect(0).text
    assert "all" in explained
    assert "gone" in explained

    config.write_text(CONFIG.format(schema="customers"))
    mine.command(*run).expect(0)
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


@pytest.mark.slow
def test_a_batch_that_was_started_with_another_key_needs_the_original_one(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = half_sent(mine, sandbox)
    refused = mine.command("resume", *PACE, variables={"DROMO_LICENSE_KEY": "of-another-account"}).expect(7)
    assert "was started with another license key" in refused.text
    mine.command("resume", *PACE).expect(0)
    mine.assert_collected(files)


@pytest.mark.slow
def test_a_batch_that_was_started_with_another_api_needs_the_original_one(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = half_sent(mine, sandbox)
    elsewhere = {"BULKHEAD_API_URL": "http://127.0.0.1:9/api/v1"}
    (batch,) = mine.command("batches", "--json").expect(0).document
    refused = mine.command("resume", batch["batch_id"], *PACE, variables=elsewhere).expect(7)
    assert "was started with another API" in refused.text
    mine.command("resume", *PACE).expect(0)
    mine.assert_collected(files)


def test_if_the_key_of_the_account_was_replaced_accept_it_once(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = half_sent(mine, sandbox)
    replaced = new_key(sandbox, "replaced-key-77")
    assert "BULKHEAD_ACCEPT_NEW_KEY=1" in mine.command("resume", *PACE, variables=replaced).expect(7).text

    once = {**replaced, "BULKHEAD_ACCEPT_NEW_KEY": "1"}
    mine.command("resume", "--max-duration", "1s", "--create-quota", "1/60s", variables=once)
    mine.command("resume", *PACE, variables={**replaced, "XDG_STATE_HOME": str(mine.home / "fresh")})
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


def test_a_newer_ledger_is_refused_and_kept_as_it_is(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(1)
    mine.command(*mine.arguments(*PACE)).expect(0)
    ledger = mine.home / ".bulkhead" / "ledger.db"
    with closing(sqlite3.connect(ledger)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute("PRAGMA user_version = 99")
    kept = ledger.read_bytes()
    assert "version 99" in mine.command(*mine.arguments(*PACE)).expect(7).text
    assert ledger.read_bytes() == kept

    with closing(sqlite3.connect(ledger)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    mine.command(*mine.arguments(*PACE)).expect(0)


@pytest.mark.parametrize(
    "is_there", [pytest.param(True, id="damaged", marks=pytest.mark.slow), pytest.param(False, id="lost")]
)
def test_with_a_new_ledger_files_that_were_sent_are_recognized_by_their_tags(
    work: Work, sandbox: SandboxVendor, is_there: bool
) -> None:
    mine = work(sandbox)
    files = mine.fill(3)
    mine.command(*mine.arguments(*PACE)).expect(0)
    own = mine.home / ".bulkhead"
    if is_there:
        damage(own / "ledger.db")
        assert "damaged" in mine.command(*mine.arguments(*PACE)).expect(7).text
    shutil.rmtree(own)
    mine.command(*mine.arguments(*PACE)).expect(0)
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


def damage(ledger: Path) -> None:
    content = bytearray(ledger.read_bytes())
    content[:4096] = b"\xff" * 4096
    ledger.write_bytes(content)
