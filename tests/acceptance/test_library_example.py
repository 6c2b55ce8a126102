"""The library's example runs as it stands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tests.acceptance.inbox import Workspace, assert_each_once
from tests.acceptance.vendors import SandboxVendor
from tests.support.fork_server import ROOT


def test_the_example_imports_a_directory_and_prints_its_manifest(
    work: Callable[..., Workspace], sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    files = mine.fill(3)
    ran = subprocess.run(
        [sys.executable, ROOT / "examples" / "library.py", "inbox", "customers"],
        cwd=mine.home,
        env=mine.command.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    for name in files:
        assert f"{name}: collected" in ran.stdout
        assert f"{name} 3" in ran.stdout
    assert_each_once(sandbox.received(), files)
