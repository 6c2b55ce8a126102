"""`cloud reviews`, `dismiss`, and `redrive` say the same as their local namesakes about the same items.

Only this differs: the next commands, because the functions of a stack collect, send, and write manifests by themselves;
the names of stacks and ledgers in errors; and keys that one of the two had first.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.cli.app import build
from runner.clock import system_now
from runner.ledger.dynamodb.keys import TABLE
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.models import BatchState, ItemState
from tests.support.aws import LocalAws
from tests.support.batches import batch_of, leave
from tests.support.deployed import Deployed, deploy

S = ItemState
STATES = {
    "in/a.csv": S.NEEDS_REVIEW,
    "in/b.csv": S.FAILED,
    "c.csv": S.FAILED,
    "d.csv": S.REJECTED,
    "e.csv": S.UNCERTAIN,
    "f.csv": S.COLLECTED,
    "g.csv": S.NEEDS_REVIEW,
}
ONLY_CLOUD = {"since", "items", "dead_letters"}
"""Keys that only the commands of a stack have: version 0.1.0 named two so, and a ledger in a file has no queues."""

WHY = ["--reason", "the customer left"]


@dataclass(frozen=True)
class Ended:
    """How a command ended, without what has to differ."""

    code: int
    out: list[str]
    err: list[str]
    text: str

    @property
    def document(self) -> Any:
        return json.loads(self.text)


Run = Callable[..., Ended]


@pytest.fixture
def deployed(aws: LocalAws) -> Deployed:
    deployed = deploy(aws, table=TABLE)
    deployed.client("s3").create_bucket(Bucket="results")
    return deployed


@pytest.fixture
def run(deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: one that begins with `cloud` on the stack, any other on a ledger in a file."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"HOME": str(tmp_path), **deployed.aws.variables, "BULKHEAD_LEDGER": "l.db"}.items():
        monkeypatch.setenv(name, value)

    def ended(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as raised:
            build(arguments)([*arguments], prog_name="bulkhead")
        captured = capsys.readouterr()
        code = raised.value.code
        return Ended(code if isinstance(code, int) else 0, alike(captured.out), alike(captured.err), captured.out)

    return ended


def alike(text: str) -> list[str]:
    """Return the lines before the next commands, without the word `cloud` in a command, and names of ledgers."""
    before, _, _ = text.partition("\nNext")
    lines = [line for line in before.splitlines() if not line.startswith(("to send them: ", "to fetch them: "))]
    return [
        re.sub(r"the stack bulkhead|the ledger(?: \S+)?", "HERE", line.replace("bulkhead cloud ", "bulkhead "))
        for line in lines
    ]


async def remember(deployed: Deployed, batch_id: str, states: dict[str, ItemState], *, after_s: float) -> None:
    """Let the stack and the local ledger have the same batch."""
    settled = {"state": BatchState.SETTLED, "listed": True, "after_s": after_s}
    fields = {"schema_id": "customers", "error_message": "because"}
    async with DynamoTable.open(deployed.outputs["TableName"], **deployed.aws.client_arguments) as table:
        await leave(DynamoLedger(table, now=system_now), batch_of(batch_id, **settled), states, **fields)
    ledger = SqliteLedger.open(Path("l.db"), now=system_now)
    await leave(ledger, batch_of(batch_id, driver="runner", **settled), states, **fields)
    await ledger.close()


@pytest.fixture
def items(deployed: Deployed, run: Run) -> None:
    asyncio.run(remember(deployed, "b1", STATES, after_s=0))
    asyncio.run(remember(deployed, "b2", {"later.csv": S.COLLECTED}, after_s=60))


@pytest.mark.usefixtures("items")
@pytest.mark.parametrize(
    "arguments",
    [
        ["reviews"],
        ["reviews", "b1"],
        ["reviews", "b2"],
        ["reviews", "--limit", "1"],
        ["dismiss", *WHY],
        ["dismiss", "b1", "--match", "in/*", *WHY],
        ["dismiss", "b1", "--match", "nothing/*", *WHY],
        ["dismiss", "b2", *WHY],
        ["dismiss", "b1"],
        ["dismiss", "b1", "--reason", " " * 3],
        ["redrive"],
        ["redrive", "b1", "--state", "failed", "--state", "rejected", "--match", "**/*.csv"],
        ["redrive", "b1", "--match", "nothing/*"],
        ["redrive", "b2"],
        ["redrive", "b1", "--state", "collected"],
        ["redrive", "b1", "--results", "--import-again"],
        ["redrive", "--results", "--state", "failed"],
    ],
    ids=" ".join,
)
def test_a_command_of_a_stack_says_what_the_local_one_says(run: Run, arguments: list[str]) -> None:
    local, cloud = run(*arguments), run("cloud", *arguments)
    assert (cloud.code, cloud.out, cloud.err) == (local.code, local.out, local.err)
    assert local.out or local.err


@pytest.mark.usefixtures("items")
@pytest.mark.parametrize(
    "arguments",
    [
        ["reviews", "--json"],
        ["reviews", "b2", "--json"],
        ["dismiss", "--json", *WHY],
        ["dismiss", "b2", "--json", *WHY],
        ["redrive", "--json"],
        ["redrive", "b1", "--json", "--match", "nothing/*"],
    ],
    ids=" ".join,
)
def test_a_document_of_a_stack_has_every_key_of_the_local_one(run: Run, arguments: list[str]) -> None:
    local, cloud = run(*arguments).document, run("cloud", *arguments).document
    assert without(cloud, ONLY_CLOUD) == without(local, set())
    assert local != {}


def without(document: Any, keys: set[str]) -> Any:
    """Return a document without keys, and without ages, which pass."""
    match document:
        case dict():
            left = {key: value for key, value in document.items() if key not in keys | {"age_s", "opened_at"}}
            return {key: without(value, keys) for key, value in left.items()}
        case list():
            return [without(one, keys) for one in document]
    return document


@pytest.mark.parametrize("arguments", [["reviews"], ["reviews", "b9"], ["dismiss", *WHY], ["redrive"]], ids=" ".join)
def test_without_any_batch_both_say_that_there_is_none(deployed: Deployed, run: Run, arguments: list[str]) -> None:
    asyncio.run(empty_ledger())
    local, cloud = run(*arguments), run("cloud", *arguments)
    assert cloud.code == local.code
    assert bool(cloud.out) == bool(local.out)


async def empty_ledger() -> None:
    await SqliteLedger.open(Path("l.db"), now=system_now).close()
