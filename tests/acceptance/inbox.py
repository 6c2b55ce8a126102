"""A workspace: an inbox of files, the command that imports them, and what it wrote about them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.support.command import Command

ROW_CANARY = "Rowena Canary"
"""A cell of every file: what files hold belongs in results alone."""


def rows(number: int, *, count: int = 3) -> bytes:
    """A CSV file like no other."""
    lines = [f"{ROW_CANARY} {number}-{line},row{number}.{line}@example.com" for line in range(count)]
    return ("Full Name,Email\n" + "\n".join(lines) + "\n").encode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Workspace:
    """`home` holds `inbox/` and everything that the command writes."""

    def __init__(self, home: Path, *, api_url: str, **variables: str) -> None:
        self.home = home
        self.inbox = home / "inbox"
        self.inbox.mkdir()
        self.out = home / "out"
        self.command = Command(home, api_url=api_url, **variables)

    def add(self, name: str, content: bytes) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def fill(self, count: int, *, first: int = 0) -> dict[str, bytes]:
        """Add that many CSV files, some in folders; returns their contents by name."""
        files = {f"{'abc'[number % 3]}/{number:03}.csv": rows(number) for number in range(first, first + count)}
        for name, content in files.items():
            self.add(name, content)
        return files

    def arguments(self, *more: str, schema: str = "customers") -> list[str]:
        return ["run", "inbox", "--schema-id", schema, "--out", "out", *more]

    def manifest(self, out: Path | None = None) -> dict[str, dict[str, Any]]:
        """The lines of manifest.jsonl by source."""
        text = ((out or self.out) / "manifest.jsonl").read_text("utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        assert len({line["source"] for line in lines}) == len(lines)
        return {line["source"]: line for line in lines}

    def summary(self, out: Path | None = None) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(((out or self.out) / "summary.json").read_bytes())
        assert sum(summary["by_state"].values()) == summary["items"]
        return summary

    def states(self) -> dict[str, str]:
        return {source: line["state"] for source, line in self.manifest().items()}

    def assert_collected(self, files: dict[str, bytes], *, row_count: int = 3) -> None:
        """Every file has a line that says so and the result that the line names; no two share an import."""
        manifest = self.manifest()
        assert manifest.keys() == files.keys()
        for line in manifest.values():
            assert (line["state"], line["status"], line["row_count"]) == ("collected", "SUCCESSFUL", row_count), line
            result = (self.out / line["result"]).read_bytes()
            assert sha256(result) == line["result_sha256"]
            assert len(json.loads(result)) == row_count
        assert len({line["import_id"] for line in manifest.values()}) == len(files)


def assert_each_once(received: dict[str, list[str]], files: dict[str, bytes]) -> None:
    """Each content was received by exactly one import, once, and nothing else was."""
    wanted = {sha256(content) for content in files.values()}
    assert {content: len(ids) for content, ids in received.items()} == dict.fromkeys(wanted, 1)
    assert len({import_id for ids in received.values() for import_id in ids}) == len(files)
