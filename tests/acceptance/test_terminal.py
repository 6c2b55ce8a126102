"""No command writes a raw control character of a name, a text of the vendor, a setting, or a variable."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.dromo.allowed_hosts import NO_LINK
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.models import Batch, BatchState, Item, ItemState
from runner.sources import SourceSpec
from tests.acceptance.inbox import Workspace
from tests.acceptance.vendors import DrfVendor
from tests.support.command import Command, Finished
from tests.support.rawserver import Peer, RawServer, answer

NASTY = "\x1b]0;pwned\x07\x1b[2J\x7f\x9b31m\x85\u202e\u2066\u200b\ufeff\u2028\u2029\xad\U000e0041\x08\x0c\r"
OURS = re.compile(rb"\x1b\[(?:[0-9;]*m|\?25[lh]|1A|2K)|\r+\n|\r(?=\x1b\[2K|\x1b\[1A)|\n")
"""What the command itself writes to a terminal: colors, and the movements of the progress view."""

BATCH_ID = "20261129-010203-abcd"
COMMANDS = {
    "run": ["run", "inbox", "--schema-id", f"s{NASTY}", "--out", f"out{NASTY}"],
    "run verbosely": ["run", "inbox", "--schema-id", "s", "-v", "--again"],
    "run as JSON": ["run", "inbox", "--schema-id", "s", "--json", "-v"],
    "run of nothing": ["run", f"nothing{NASTY}", "--schema-id", "s"],
    "resume": ["resume", BATCH_ID, "-v"],
    "resume of nothing": ["resume", f"b{NASTY}"],
    "track": ["track", BATCH_ID, "-v"],
    "plan": ["plan", "inbox", "--schema-id", "s"],
    "plan as JSON": ["plan", "inbox", "--schema-id", "s", "--json"],
    "explain": ["explain", f"inbox/a{NASTY}.csv", "--schema-id", "s"],
    "check": ["check", "inbox", "--fields", "fields.json"],
    "check as JSON": ["check", "inbox", "--fields", "fields.json", "--json", "-v"],
    "status": ["status", BATCH_ID],
    "status as JSON": ["status", BATCH_ID, "--json"],
    "batches": ["batches"],
    "batches as JSON": ["batches", "--json"],
    "manifest": ["manifest", BATCH_ID],
    "manifest as CSV": ["manifest", BATCH_ID, "--format", "csv"],
    "manifest as JSON lines": ["manifest", BATCH_ID, "--format", "jsonl"],
    "redrive": ["redrive", BATCH_ID, "--match", f"no{NASTY}", "-v"],
    "reconcile": ["reconcile", BATCH_ID, "-v"],
    "reconcile as JSON": ["reconcile", BATCH_ID, "--json"],
    "doctor": ["doctor", "-v"],
    "config": ["config", "--schema-id", f"s{NASTY}"],
    "config as JSON": ["config", "--schema-id", f"s{NASTY}", "--json"],
    "ledger copy": ["ledger", "copy", ".bulkhead/ledger.db", f"copy{NASTY}.db"],
    "ledger create-table": ["ledger", "create-table", f"t{NASTY}", "-v"],
    "cloud status": ["cloud", "status", f"b{NASTY}", "--stack", f"s{NASTY}", "-v"],
    "webhook-url": ["webhook-url", "--stack", f"s{NASTY}", "-v"],
    "an unknown command": [f"rum{NASTY}"],
    "an unknown option": ["run", f"--opt{NASTY}"],
    "a value of a wrong type": ["sandbox", "--port", f"1{NASTY}"],
}


async def hostile(peer: Peer) -> None:
    """Refuse each request in hostile words."""
    await peer.head()
    await peer.send(answer(400, json.dumps({"detail": f"bad {NASTY}", NASTY: [NASTY]}, ensure_ascii=False).encode()))


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Command]:
    """A directory with hostile files, and a ledger with a hostile batch, for a hostile vendor."""
    (tmp_path / "inbox").mkdir()
    for name in (f"a{NASTY}.csv", f"empty{NASTY}.csv"):
        (tmp_path / "inbox" / name).write_text(f"Name\nx{NASTY}\n" if name.startswith("a") else "")
    (tmp_path / "fields.json").write_text(json.dumps([{"key": "n", "label": f"N{NASTY}", "type": "email"}]))
    await leave_batch(tmp_path / ".bulkhead" / "ledger.db", tmp_path / "inbox")
    async with RawServer(hostile) as server:
        yield Command(
            tmp_path,
            api_url=f"{server.url}/api/v1",
            **{f"BULKHEAD_X{NASTY}": "1", "AWS_DEFAULT_REGION": f"r{NASTY}", "BULKHEAD_GIVE_UP_AFTER": "1s"},
        )


async def leave_batch(path: Path, inbox: Path) -> None:
    path.parent.mkdir()
    ledger = SqliteLedger.open(path, now=lambda: datetime(2026, 11, 29, tzinfo=UTC))
    spec = RunSpec(source=SourceSpec(kind="directory", path=str(inbox)), routes=Routes.single(schema_id="s"))
    await ledger.start_batch(
        Batch(
            batch_id=BATCH_ID,
            source_uri=f"file://{inbox}",
            account="a",
            out=str(inbox.parent / f"out{NASTY}"),
            config=spec.to_json(),
            started_at=datetime(2026, 11, 29, tzinfo=UTC),
        )
    )
    texts = {"status": f"W{NASTY}", "error_code": f"c{NASTY}", "error_message": f"m{NASTY}", "review_url": f"u{NASTY}"}
    states = (ItemState.FAILED, ItemState.NEEDS_REVIEW, ItemState.UNCERTAIN, ItemState.REJECTED, ItemState.COLLECTED)
    items = [
        Item(batch_id=BATCH_ID, source=f"{state}{NASTY}.csv", state=state, import_id=f"i-{state}", result="r", **texts)
        for state in states
    ]
    await ledger.add(items)
    await ledger.update_batch(BATCH_ID, state=BatchState.SETTLED, listed=True, exit_code=4, reason=f"because {NASTY}")
    await ledger.close()


def raw_controls(output: bytes) -> list[str]:
    return [
        hex(ord(char))
        for char in output.decode("utf-8", "surrogateescape")
        if not (char.isprintable() or unicodedata.category(char) == "Zs")
    ]


def on_a_terminal(command: Command, arguments: list[str]) -> bytes:
    """Run a command with a terminal as stdout and stderr, and return what it wrote there."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *command.program, *arguments],
        cwd=command.home,
        env={**command.environment, "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        stdout=end,
        stderr=end,
    )
    os.close(end)
    written = b""
    while block := _read(terminal):
        written += block
    os.close(terminal)
    process.wait(60)
    return written


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


@pytest.mark.slow
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
async def test_no_raw_control_character_reaches_the_output(home: Command, arguments: list[str]) -> None:
    finished: Finished = await asyncio.to_thread(home, *arguments, timeout_s=60)
    assert raw_controls((finished.stdout + finished.stderr).replace(b"\r\n", b"").replace(b"\n", b"")) == []
    assert finished.stdout + finished.stderr


@pytest.mark.parametrize("name", ["run", "track", "check", "manifest as CSV", "manifest as JSON lines", "status"])
async def test_no_raw_control_character_reaches_a_terminal(home: Command, name: str) -> None:
    written = await asyncio.to_thread(on_a_terminal, home, COMMANDS[name])
    assert raw_controls(OURS.sub(b"", written)) == []
    assert written


async def test_the_manifest_as_json_lines_keeps_its_values(home: Command) -> None:
    finished = await asyncio.to_thread(home, *COMMANDS["manifest as JSON lines"])
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert {line["error_message"] for line in lines} == {f"m{NASTY}"}


def test_a_review_url_of_a_foreign_host_is_no_link_anywhere(
    work: Callable[..., Workspace], start_drf: Callable[..., DrfVendor]
) -> None:
    mine = work(start_drf())
    mine.add("eu.csv", b"Full Name,Email\nREVIEW-ME,a@example.com\n")
    finished = mine.command(*mine.arguments("-v")).expect(6)
    again = mine.command("track", "--json").expect(6)
    written = [path.read_bytes() for path in mine.out.rglob("*") if path.is_file()]
    texts = [finished.stdout, finished.stderr, again.stdout, *written]
    assert not [text for text in texts if b"https://review.example" in text]
    assert b"https[:]//review.example/" in finished.stdout
    assert mine.manifest()["eu.csv"]["review_url"].startswith(NO_LINK)


def test_a_review_url_of_a_host_that_the_settings_allow_is_a_link(
    work: Callable[..., Workspace], start_drf: Callable[..., DrfVendor]
) -> None:
    mine = work(start_drf(), BULKHEAD_REVIEW_HOSTS="*.example")
    mine.add("eu.csv", b"Full Name,Email\nREVIEW-ME,a@example.com\n")
    assert b" https://review.example/" in mine.command(*mine.arguments()).expect(6).stdout
