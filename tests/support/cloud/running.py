"""Everything at once: AWS, the vendor and the stack, up and wired until the end of the block."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.inbox import assert_each_once
from tests.acceptance.vendors import SandboxVendor
from tests.support.aws import LocalAws, running_ministack
from tests.support.cloud.deploying import deploy
from tests.support.cloud.stack import Stack, until
from tests.support.command import CANARY_KEY

CONFIG_KEY = "config/bulkhead.toml"


@dataclass(frozen=True)
class Cloud:
    """What runs: `token` is the secret end of the webhooks' address."""

    aws: LocalAws
    vendor: SandboxVendor
    stack: Stack
    token: str

    @property
    def webhook_url(self) -> str:
        return self.stack.webhook_url(self.token)

    def tell(self, *urls: str) -> None:
        """Have the vendor tell these addresses, and no others, of every import's end."""
        for registered in self.vendor.ask("GET", "/_sandbox/webhooks"):
            self.vendor.ask("DELETE", f"/_sandbox/webhooks/{registered['id']}")
        for url in urls:
            self.vendor.ask("POST", "/_sandbox/webhooks", {"url": url})

    def configure(self, text: str) -> None:
        """Write the configuration to the inbox and wait until the stack has taken it."""
        kept = self._kept_config()
        self.stack.land(CONFIG_KEY, text.encode())
        until(lambda: self._kept_config() != kept, what=lambda: self.stack.log("Configure"))

    def assert_imported(self, files: dict[str, bytes], *, batch_ids: Iterable[str]) -> None:
        """The batches account for these files, each as collected with its result, and the vendor ran each once."""
        lines: dict[str, dict[str, Any]] = {}
        for batch_id in batch_ids:
            lines |= self.stack.manifest(batch_id)
        assert lines.keys() == files.keys()
        for source, line in lines.items():
            assert (line["state"], line["status"]) == ("collected", "SUCCESSFUL"), line
            result = self.stack.result(line["result"])
            assert result is not None, f"{source} has no result"
            assert hashlib.sha256(result).hexdigest() == line["result_sha256"]
            assert len(json.loads(result)) == line["row_count"]
        assert_each_once(self.vendor.received(), files)

    def _kept_config(self) -> object:
        found = self.stack.client("dynamodb").query(
            TableName=self.stack.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "CONFIG"}},
            ConsistentRead=True,
        )
        return found["Items"]


@contextmanager
def running_aws(directory: Path) -> Iterator[LocalAws]:
    """Run ministack so that it holds every function to the policy of its role."""
    with running_ministack(directory, AUTH="true", MINISTACK_HOST="127.0.0.1") as aws:
        yield aws


@contextmanager
def running_cloud(directory: Path, *, schemas: Path, config: str, **parameters: str) -> Iterator[Cloud]:
    """Run AWS and the vendor, deploy, and do what an operator does once: secrets, configuration, webhooks."""
    directory.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(32)
    with ExitStack() as running:
        aws = running.enter_context(running_aws(directory / "aws"))
        vendor = running.enter_context(SandboxVendor(schemas=schemas))
        stack = running.enter_context(deploy(aws, log=directory / "sam.log", ApiUrl=vendor.api_url, **parameters))
        stack.set_secrets(license_key=CANARY_KEY, token=token)
        cloud = Cloud(aws, vendor, stack, token)
        cloud.configure(config)
        cloud.tell(cloud.webhook_url)
        yield cloud
