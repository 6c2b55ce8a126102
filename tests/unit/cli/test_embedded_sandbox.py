"""The embedded sandbox starts, or says why not, whatever it writes to stderr."""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runner.cli import embedded_sandbox
from runner.cli.embedded_sandbox import Sandbox, embedded
from runner.errors import ConfigError
from tests.support.processes import children_of


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


@pytest.mark.skipif(sys.platform != "linux", reason="processes are shown as Linux shows them")
def test_the_key_is_in_no_argument_and_no_variable_of_the_process() -> None:
    with embedded(create_quota="20/60s", poll_quota="12/60s", schemas=None) as sandbox:
        here = next(pid for pid in children_of(os.getpid()) if _shown(pid, "cmdline").count(b"--exit-with-parent"))
        for pid in (here, *children_of(here)):
            assert sandbox.license_key.encode() not in _shown(pid, "cmdline") + _shown(pid, "environ")
        assert _status(sandbox, sandbox.license_key) == 200
        assert _status(sandbox, "another-key") == 403


def _shown(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def _status(sandbox: Sandbox, key: str) -> int:
    place = urlsplit(sandbox.api_url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=10)
    try:
        connection.request("GET", f"{place.path}/schemas/", headers={"X-Dromo-License-Key": key})
        return connection.getresponse().status
    finally:
        connection.close()
