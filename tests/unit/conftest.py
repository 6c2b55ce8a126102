"""A sandbox whose imports end at once, and the settings of a user in a directory of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from runner.config.settings import Settings
from sandbox.engine import Outcome
from sandbox.settings import SandboxSettings
from tests.support.sandbox import LICENSE_KEY, RunningSandbox, running_sandbox


@pytest.fixture
async def box() -> AsyncIterator[RunningSandbox]:
    settings = SandboxSettings(license_key=LICENSE_KEY, pending_s=0.0, running_s=0.0, refuse_leaked_key=True)
    async with running_sandbox(settings=settings, engine=lambda _job: Outcome(status="SUCCESSFUL", rows=[])) as box:
        yield box


@pytest.fixture
def settings(box: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return Settings(
        api_url=box.base_url,
        license_key=SecretStr(LICENSE_KEY),
        ledger=tmp_path / "ledger.db",
        quota_store=tmp_path / "quota.db",
    )
