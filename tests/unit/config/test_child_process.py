"""Child processes get few variables, and find modules as their parent does, in the working directory last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import runner.config.child_process
import sandbox.child_process
from runner.config.child_process import child_command, child_environment

SECRETS = {
    "DROMO_LICENSE_KEY": "key",
    "BULKHEAD_LICENSE_KEY": "key",
    "BULKHEAD_API_URL": "http://here",
    "GITHUB_TOKEN": "token",
    "PYTHONPATH": "here",
    "PYTHONSTARTUP": "start.py",
    "DENO_AUTH_TOKENS": "token",
}
HARMLESS = {"PATH": "/bin", "HOME": "/home", "TMPDIR": "/tmp", "TZ": "UTC", "LANG": "C", "LC_ALL": "C.UTF-8"}
FOR_S3 = {
    "AWS_PROFILE": "p",
    "AWS_SECRET_ACCESS_KEY": "s",
    "HTTPS_PROXY": "http://proxy",
    "https_proxy": "http://proxy",
    "NO_PROXY": "localhost",
}


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {**SECRETS, **HARMLESS, **FOR_S3})


@pytest.mark.usefixtures("variables")
def test_a_child_gets_no_key_no_token_and_nothing_that_python_or_deno_heed() -> None:
    assert child_environment() == HARMLESS
    assert sandbox.child_process.child_environment() == HARMLESS


@pytest.mark.usefixtures("variables")
def test_a_child_that_reads_s3_gets_the_credentials_and_proxies_for_it() -> None:
    assert child_environment(reads_s3=True) == {**HARMLESS, **FOR_S3}


def test_modules_in_the_working_directory_replace_none_but_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a stand-in')")
    (tmp_path / "mine.py").write_text(
        "import json, sys\ndef main():\n    print(json.dumps([sys.argv[1:], sys.flags.safe_path]))"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    ran = subprocess.run(child_command("mine", "a", "b c"), check=True, capture_output=True, text=True)
    assert ran.stdout == '[["a", "b c"], true]\n'


def test_runner_and_sandbox_start_their_children_in_the_same_way() -> None:
    ours, theirs = runner.config.child_process, sandbox.child_process
    assert ours.child_command("any", "a") == theirs.child_command("any", "a")
