"""The embedded sandbox starts, or says why not, whatever it writes to stderr."""

from __future__ import annotations

import sys

import pytest

from runner.cli import embedded_sandbox
from runner.cli.embedded_sandbox import embedded
from runner.errors import ConfigError


def program(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the embedded sandbox be a Python program."""
    monkeypatch.setattr(embedded_sandbox, "child_command", lambda *_: [sys.executable, "-c", code])


def test_a_sandbox_that_logs_much_is_not_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        monkeypatch,
        "import sys; sys.stderr.write('x' * 1_000_000); print('sandbox listening on http://here', flush=True); "
        "sys.stdin.read()",
    )
    with embedded(create_quota="20/60s", poll_quota="12/60s", schemas=None) as sandbox:
        assert sandbox.api_url == "http://here"


def test_the_reason_is_the_last_line_of_a_sandbox_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, "import sys; sys.exit('a warning\\nsandbox: no.json is not valid JSON')")
    with (
        pytest.raises(ConfigError, match=r"did not start: no.json is not valid JSON$"),
        embedded(create_quota="20/60s", poll_quota="12/60s", schemas=None),
    ):
        pass
