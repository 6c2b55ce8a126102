"""What `--json` writes keeps its keys and types, and its values where they do not change from run to run.

`tests/data/json` holds the documents, with ids, instants, addresses and paths replaced by their names. To record one
again after a deliberate addition, delete its file and run this test twice.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.cli.app import build
from runner.cli.embedded_sandbox import Sandbox, embedded

ROOT = Path(__file__).parents[3]
RECORDED = ROOT / "tests" / "data" / "json"

PLACEHOLDERS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "INSTANT"),
    (re.compile(r"\d{8}-\d{6}-[a-z0-9]{6}"), "BATCH"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(/[0-9a-f]{32})?"), "ID"),
    (re.compile(r"~[a-z0-9]{6,}"), "~TAG"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
)
DOCUMENTS = {
    "batches": ["batches"],
    "status": ["status"],
    "plan": ["plan", "inbox"],
    "explain": ["explain", "inbox/orders/q2.csv"],
    "reconcile": ["reconcile"],
    "doctor": ["doctor"],
    "config": ["config"],
    "ledger_copy": ["ledger", "copy", "ledger.db", "copy.db"],
}
SENTENCES = {"message", "advice", "reason", "detail", "hint"}
"""Keys whose text is for people: its wording may change."""


@dataclass
class Place:
    """A directory with the example files, and a sandbox that the commands talk to."""

    directory: Path
    sandbox: Sandbox

    def run(self, *arguments: str) -> bytes:
        """Run a command in this process and return what it wrote to stdout."""
        needed = ["--config", "bulkhead.toml"]
        if arguments[0] != "ledger":
            needed += ["--ledger", "ledger.db"]
        if arguments[0] not in ("status", "batches", "manifest", "ledger"):
            needed += ["--api-url", self.sandbox.api_url]
        if arguments[0] != "manifest":
            needed.append("--json")
        raw = io.BytesIO()
        before, sys.stdout = sys.stdout, io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
        try:
            build(arguments)([*arguments, *needed], prog_name="bulkhead")
        except SystemExit:
            return raw.getvalue()
        finally:
            sys.stdout = before
        raise AssertionError("a command ends with an exit code")

    def named(self, value: Any) -> Any:
        """Return a value in which everything that belongs to this one run is replaced by its name."""
        if isinstance(value, dict):
            return {key: types_of(inner) if key in SENTENCES else self.named(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.named(inner) for inner in value]
        if not isinstance(value, str):
            return value
        host = self.sandbox.api_url.removesuffix("/api/v1")
        value = value.replace(str(self.directory), "DIRECTORY").replace(host, "HOST")
        for pattern, name in PLACEHOLDERS:
            value = pattern.sub(name, value)
        return value


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place where one batch has been run."""
    directory = tmp_path_factory.mktemp("json")
    shutil.copytree(ROOT / "examples", directory, dirs_exist_ok=True)
    patched = pytest.MonkeyPatch()
    with (
        patched.context() as patch,
        embedded(create_quota="20/60s", poll_quota="12/60s", schemas=directory / "schemas" / "saved") as sandbox,
    ):
        patch.chdir(directory)
        patch.setenv("HOME", str(directory))
        patch.delenv("BULKHEAD_DEBUG", raising=False)
        patch.setenv("DROMO_LICENSE_KEY", sandbox.license_key)
        yield Place(directory, sandbox)


@pytest.fixture(scope="module")
def run_lines(place: Place) -> list[dict[str, Any]]:
    """The events of the run that all other documents are about."""
    return lines_of(place.run("run", "inbox", "--out", "out", "--log-file", "run.log"))


def lines_of(written: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.splitlines()]


def types_of(value: Any) -> Any:
    """Return the names of the types in a value; those of a list's members are merged."""
    if isinstance(value, dict):
        return {key: types_of(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [types_of(value[0])] if value else []
    return type(value).__name__


def keys_by_event(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return, for each event, its keys in order and the types that each key's value has."""
    found: dict[str, dict[str, set[str]]] = {}
    for line in lines:
        fields = found.setdefault(line["event"], {})
        for key, value in line.items():
            fields.setdefault(key, set()).add(type(value).__name__)
    return {event: {key: sorted(types) for key, types in found[event].items()} for event in sorted(found)}


def compare(name: str, found: Any) -> None:
    path = RECORDED / f"{name}.json"
    if not path.exists():
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        pytest.fail(f"{path} is recorded now: look at it, and keep it")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    assert json.dumps(found, indent=1) == json.dumps(recorded, indent=1)


def without_counters(value: Any) -> Any:
    """Return a value in which the requests that a batch took are shown by their types: polls depend on time."""
    if isinstance(value, dict):
        return {key: types_of(inner) if key == "counters" else without_counters(inner) for key, inner in value.items()}
    return [without_counters(inner) for inner in value] if isinstance(value, list) else value


def test_the_events_of_a_run_keep_their_keys_and_types(run_lines: list[dict[str, Any]]) -> None:
    named = {"batch_started", "items_discovered", "item_moved", "create_answered", "bytes_uploaded"}
    named |= {"manifest_written", "batch_finished"}
    compare("run", keys_by_event([line for line in run_lines if line["event"] in named]))


def test_the_last_event_of_a_run_keeps_its_values(place: Place, run_lines: list[dict[str, Any]]) -> None:
    compare("run_finished", place.named(run_lines[-1]))


@pytest.mark.usefixtures("run_lines")
def test_the_log_file_has_the_command_and_how_the_batch_ended_also_beside_json(place: Place) -> None:
    first, *_, ended, code = (place.directory / "run.log").read_text().splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d bulkhead \d+\.\d+\.\d+: bulkhead", first)
    assert "settled: 14 items: 9 collected, 2 wait for review, 1 failed, 2 rejected" in ended
    assert code.endswith("ended with code 4; results in out")


@pytest.mark.usefixtures("run_lines")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_keeps_its_keys_and_values(name: str, place: Place) -> None:
    compare(name, without_counters(place.named(json.loads(place.run(*DOCUMENTS[name])))))


@pytest.mark.usefixtures("run_lines")
def test_the_lines_of_track_keep_their_values(place: Place) -> None:
    started, written, finished = place.named(lines_of(place.run("track")))
    assert written["event"] == "manifest_written"
    compare("track", [{**started, "slots_free": "COUNT"}, finished])


@pytest.mark.usefixtures("run_lines")
def test_the_lines_of_check_keep_their_values(place: Place) -> None:
    *files, finished = place.named(lines_of(place.run("check", "inbox", "--again")))
    compare("check", [*sorted(files, key=lambda line: line["source"])[:4], finished])


@pytest.mark.usefixtures("run_lines")
def test_the_manifest_keeps_its_fields(place: Place) -> None:
    compare("manifest", place.named(lines_of(place.run("manifest"))[:4]))


@pytest.mark.usefixtures("run_lines")
def test_an_error_is_a_line_of_its_own(place: Place) -> None:
    compare("error", place.named(lines_of(place.run("run", "absent"))))


@pytest.mark.usefixtures("run_lines")
def test_redrive_says_how_many(place: Place) -> None:
    compare("redrive", json.loads(place.run("redrive", "--state", "rejected")))
