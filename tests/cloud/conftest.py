"""One deployment for all tests of a process, and what must hold after each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.inbox import ROW_CANARY
from tests.support.aws import MINISTACK
from tests.support.cloud.building import HOW_TO_INSTALL, SAM
from tests.support.cloud.running import Cloud, running_cloud
from tests.support.cloud.stack import until
from tests.support.command import CANARY_KEY
from tests.support.schemas import saved_schemas

QUOTA = "20/3s"
CONFIG = """
exclude = ["**/*.part"]

[[routes]]
name = "strict"
match = "strict*/**"
schema_id = "strict"

[[routes]]
name = "customers"
match = "**"
schema_id = "customers"
"""


ENDS_THE_DEPLOYMENT = "test_upgrade.py"
"""Runs last, because it deletes the stack that all tests share."""

PROCESSES = (
    {"test_demo.py"},
    {"test_configuration.py", "test_ingest.py", "test_trouble.py"},
    {"test_existing_inbox.py", "test_loads.py", "test_sharing.py", "test_webhooks.py", "test_upgrade.py"},
)
"""What runs side by side, each with a deployment of its own; they take about as long."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here:
            item.add_marker(pytest.mark.cloud)
            (number,) = [number for number, files in enumerate(PROCESSES) if item.path.name in files]
            item.add_marker(pytest.mark.xdist_group(f"cloud-{number}"))
    items.sort(key=lambda item: item.path.name == ENDS_THE_DEPLOYMENT)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The deployment of this process; no schedule starts reconcile while these tests run."""
    if not (MINISTACK.exists() and SAM.exists()):
        assert "CI" not in os.environ, f"the tools are missing: {HOW_TO_INSTALL}"
        pytest.skip(f"the tools are not installed: {HOW_TO_INSTALL}")
    directory = tmp_path_factory.mktemp("cloud")
    schemas = directory / "schemas"
    schemas.mkdir()
    with running_cloud(
        directory,
        schemas=saved_schemas(schemas),
        config=CONFIG,
        quota=QUOTA,
        ReconcileMinutes="60",
        ManifestMinutes="0",
    ) as cloud:
        yield cloud


@pytest.fixture
def cloud(deployed: Cloud) -> Iterator[Cloud]:
    """The deployment with a vendor as if it had just been started, which calls the webhook at every import's end."""
    deployed.vendor.reset()
    deployed.vendor.settings(create_quota=QUOTA)
    deployed.vendor.faults()
    deployed.tell(deployed.webhook_url)
    yield deployed
    deployed.vendor.faults()
    until(deployed.stack.is_quiet, what=deployed.stack.depths)
    assert deployed.stack.dead_letters() == []
    assert_logs_are_clean(deployed)


def assert_logs_are_clean(cloud: Cloud) -> None:
    """No function was denied a call by its role, and none logged a secret, a signed url or a row."""
    secrets = (CANARY_KEY, cloud.token, "X-Amz-Signature", ROW_CANARY)
    for function, messages in cloud.stack.logs().items():
        text = "\n".join(messages)
        for word in ("AccessDenied", "not authorized", *secrets):
            at = text.find(word)
            assert at < 0, f"{function} logged {word!r}: …{text[max(at - 400, 0) : at + 200]}…"
