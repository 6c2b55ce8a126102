"""AWS, the vendor, and the stack, running and connected until the end of the block."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from pprint import pformat

from runner.config.units import parse_rate
from tests.acceptance.inbox import assert_each_once
from tests.acceptance.vendors import SandboxVendor
from tests.support.aws import LocalAws, running_ministack
from tests.support.cloud.building import built_template
from tests.support.cloud.deploying import deploy
from tests.support.cloud.meter import Meter
from tests.support.cloud.stack import Stack, until
from tests.support.command import CANARY_KEY, Command

CONFIG_KEY = "config/bulkhead.toml"


def rolling(folder: str) -> str:
    """Return the id of the batch of files that arrive in a folder today."""
    return f"landed-{datetime.now(UTC):%Y%m%d}-{folder}"


@dataclass(frozen=True)
class Cloud:
    """The running deployment: `token` is the secret in the webhook's URL, `quota` that of vendor and stack."""

    aws: LocalAws
    vendor: SandboxVendor
    stack: Stack
    token: str
    quota: str

    @property
    def webhook_url(self) -> str:
        return self.stack.webhook_url(self.token)

    def tell(self, *urls: str) -> None:
        """Make the vendor send webhooks to these URLs and no others."""
        for registered in self.vendor.ask("GET", "/_sandbox/webhooks"):
            self.vendor.ask("DELETE", f"/_sandbox/webhooks/{registered['id']}")
        for url in urls:
            self.vendor.ask("POST", "/_sandbox/webhooks", {"url": url})

    def configure(self, text: str) -> None:
        """Write the configuration to the stack's bucket for it, and wait until it is active."""
        kept = self._kept_config()
        self.stack.client("s3").put_object(Bucket=self.stack.config, Key=CONFIG_KEY, Body=text.encode())
        until(lambda: self._kept_config() != kept, what=lambda: self._account("none"))

    def land(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """Put files, contents by key, into the inbox, and return them."""
        for key, content in files.items():
            self.stack.land(key, content)
        return files

    def states(self, batch_id: str) -> dict[str, str]:
        """Return the state of each source in the manifest; empty if there is none yet."""
        return {source: line["state"] for source, line in self.stack.manifest(batch_id).items()}

    def expect(
        self, batch_id: str, states: dict[str, str], *, within_s: float = 120.0, meanwhile: Callable[[], object] = int
    ) -> None:
        """Wait until the manifest has these states; call `meanwhile` each time that it doesn't."""

        def come() -> bool:
            found = self.states(batch_id) == states
            if not found:
                meanwhile()
            return found

        until(come, within_s=within_s, what=lambda: self._account(batch_id))

    def reconcile(self) -> None:
        """Run reconcile now instead of on schedule."""
        self.stack.invoke("Reconcile")

    def batches_of(self, prefix: str) -> list[str]:
        """Wait until batches whose ids have this prefix are in the results bucket, and return their ids."""
        return until(
            lambda: sorted({key.split("/")[1] for key in self.stack.result_keys(f"batches/{prefix}")}),
            what=lambda: self._account(prefix),
        )

    def command(self, home: Path) -> Command:
        """Return the command with its own home, configured for this AWS and this vendor."""
        home.mkdir(exist_ok=True)
        return Command(home, api_url=self.vendor.api_url, **self.stack.aws.variables)

    def assert_quota_kept(self) -> None:
        """Assert that the vendor refused no create, and that creates never exceeded the quota."""
        counters, quota = self.vendor.counters(), parse_rate(self.quota)
        assert counters["refused_create_times"] == []
        times = sorted(counters["create_times"])
        gaps = [later - earlier for earlier, later in zip(times, times[quota.count :], strict=False)]
        assert min(gaps, default=quota.per_s) >= quota.per_s

    def assert_imported(self, files: dict[str, bytes], *, batch_id: str) -> None:
        """Assert that the batch has exactly these files, and that the vendor ran each of them once and no others."""
        self.assert_collected(files, batch_id=batch_id)
        assert_each_once(self.vendor.received(), files)

    def assert_collected(self, files: dict[str, bytes], *, batch_id: str) -> None:
        """Assert that the batch has exactly these files, each collected with its result."""
        lines = self.stack.manifest(batch_id)
        assert lines.keys() == files.keys()
        for source, line in lines.items():
            assert (line["state"], line["status"]) == ("collected", "SUCCESSFUL"), line
            result = self.stack.result(f"batches/{batch_id}/{line['result']}")
            assert result is not None, f"{source} has no result"
            assert hashlib.sha256(result).hexdigest() == line["result_sha256"]
            assert len(json.loads(result)) == line["row_count"]

    def _account(self, batch_id: str) -> str:
        """Return details for the error about a batch that doesn't end."""
        logs = {function: messages[-12:] for function, messages in self.stack.logs().items()}
        troubles = [line for line in self.aws.log.read_text("utf-8", "replace").splitlines() if " ERROR " in line]
        return pformat([self.states(batch_id), self.stack.depths(), logs, troubles[-10:]], width=200)

    def _kept_config(self) -> object:
        found = self.stack.client("dynamodb").query(
            TableName=self.stack.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "CONFIG"}},
            ConsistentRead=True,
        )
        return found["Items"]


@contextmanager
def running_cloud(
    directory: Path,
    *,
    schemas: Path,
    config: str,
    quota: str,
    say: Callable[[str], object] = lambda _: None,
    meter: Meter | None = None,
    **parameters: str,
) -> Iterator[Cloud]:
    """Run AWS and the vendor, deploy, and set up secrets, configuration, and webhooks as an operator does.

    Every function has only the permissions of its role, unless its calls go through a `meter`. `say` gets a sentence
    for each step.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log, token = directory / "sam.log", secrets.token_urlsafe(32)
    with ExitStack() as running:
        port, variables = (meter.target_port, {"AWS_ENDPOINT_URL": meter.url}) if meter else (None, {"AUTH": "true"})
        aws = running.enter_context(
            running_ministack(directory / "aws", port=port, MINISTACK_HOST="127.0.0.1", **variables)
        )
        say(f"AWS: ministack at {aws.endpoint_url}, which holds every function to the policy of its role")
        vendor = running.enter_context(SandboxVendor(schemas=schemas))
        say(f"the vendor: the sandbox at {vendor.api_url}, which takes {quota} creates")
        template = built_template(log=log)
        say("sam build: one artifact for all functions")
        stack = running.enter_context(deploy(aws, template, log=log, ApiUrl=vendor.api_url, Quota=quota, **parameters))
        say(f"sam deploy: stack {stack.name}, {len(stack.resources)} resources; files go to s3://{stack.inbox}/")
        stack.set_secrets(license_key=CANARY_KEY, token=token)
        cloud = Cloud(aws, vendor, stack, token, quota)
        cloud.configure(config)
        cloud.tell(cloud.webhook_url)
        say("the license key and the webhook token are put into secrets, config/bulkhead.toml into its bucket")
        say("the vendor knows where to send webhooks")
        yield cloud
