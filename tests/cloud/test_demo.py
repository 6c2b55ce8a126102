"""The demo that newcomers run."""

from __future__ import annotations

import subprocess
import sys

from tests.support.cloud.building import ROOT

WITHIN_S = 540.0


def test_the_demo_succeeds() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.cloud.demo"],
        cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    assert "The demo succeeded" in ended.stdout
