"""The stack as CloudFormation describes it: its status, its outputs, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import AwsRefused, BulkheadError, ConfigError

if TYPE_CHECKING:
    from runner.aws.services import Aws

TABLE = "TableName"
INBOX = "InboxBucketName"
CONFIG = "ConfigBucketName"
CONNECT_INBOX = "ConnectInboxCommand"
WEBHOOK_BASE = "WebhookUrlBase"
LICENSE_SECRET = "LicenseKeySecretArn"  # noqa: S105 - names of outputs, no secrets
WEBHOOK_SECRET = "WebhookTokensSecretArn"  # noqa: S105
QUEUES = ("Register", "Submit", "Load", "Upload", "List", "Collect", "Finish")
OUTPUTS = (
    *(TABLE, INBOX, CONFIG, "ResultsBucketName", WEBHOOK_BASE, LICENSE_SECRET, WEBHOOK_SECRET),
    *("EndedTopicArn", "AlarmTopicArn", "DashboardName"),
    *(f"{queue}QueueUrl" for queue in QUEUES),
    *(f"{queue}DeadLetterQueueUrl" for queue in QUEUES),
)
"""The outputs of the template that the commands use."""

DEPLOY = "deploy the template of this version: sam build && sam deploy"
PARAMETERS = "parameters.toml"
"""The file with the parameters of a deployment, beside template.yaml: every `sam deploy` reads it."""

_NEVER_CREATED = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"})
_USABLE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """What sends the files of a stack: `functions`, or a `container`; `is_there` is None for functions."""

    by: str
    is_there: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A deployed stack: `account` is its AWS account, `status` CloudFormation's status, such as `UPDATE_COMPLETE`."""

    name: str
    region: str
    account: str
    status: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @property
    def is_stable(self) -> bool:
        """Return whether the last deployment has ended and the stack is usable."""
        return self.status in _USABLE

    @property
    def has_existing_inbox(self) -> bool:
        """Return whether the inbox is a bucket that was there before the stack, which it only reads."""
        return bool(self.parameters.get("ExistingInbox"))

    @property
    def submit_by(self) -> str:
        """Return what sends files: `functions`, or `container`, which is a worker outside of the stack."""
        return self.parameters.get("SubmitBy") or "functions"

    @property
    def nightly_prefix(self) -> str:
        """Return the prefix of the inbox whose files wait for a load."""
        return self.parameters.get("NightlyPrefix") or "nightly/"

    @property
    def inbox_prefix(self) -> str:
        """Return the prefix of the inbox whose files are imported when they arrive; empty for all files."""
        return self.parameters.get("InboxPrefix", "")

    @property
    def readable_prefixes(self) -> tuple[str, ...]:
        """Return the prefixes of the inbox that the functions can read."""
        prefix = self.inbox_prefix
        return (prefix, self.nightly_prefix) if self.has_existing_inbox and prefix else ("",)

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the names of the outputs that a stack of this version has and this one lacks."""
        return tuple(name for name in OUTPUTS if not self.outputs.get(name))

    def output(self, name: str) -> str:
        """Return an output. Raises ConfigError if the stack does not have it."""
        found = self.outputs.get(name)
        if not found:
            raise ConfigError(
                f"the stack {self.name} has no output {name}: it is of another version, or not a Bulkhead stack",
                hint=DEPLOY,
            )
        return found

    def queue_url(self, queue: str) -> str:
        """Return the url of a queue, such as `submit`. Raises ConfigError."""
        return self.output(f"{queue.capitalize()}QueueUrl")

    def dead_letter_url(self, queue: str) -> str:
        """Return the url of a queue's dead-letter queue. Raises ConfigError."""
        return self.output(f"{queue.capitalize()}DeadLetterQueueUrl")


async def read_stack(aws: Aws, name: str) -> Stack:
    """Ask CloudFormation for a stack. Raises ConfigError if there is none, AwsRefused, Unavailable."""
    try:
        answer = await aws.call("cloudformation", "describe_stacks", StackName=name)
    except AwsRefused as error:
        if error.code != "ValidationError":
            raise
        raise await _absent(aws, name) from error
    found = answer["Stacks"][0]
    _require_created(name, str(found["StackStatus"]), str(found.get("StackStatusReason", "")))
    _, _, _, region, account, _ = str(found["StackId"]).split(":", 5)
    return Stack(
        name=str(found["StackName"]),
        region=region,
        account=account,
        status=str(found["StackStatus"]),
        outputs={one["OutputKey"]: one.get("OutputValue", "") for one in found.get("Outputs", ())},
        parameters={one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())},
    )


def _require_created(name: str, status: str, reason: str) -> None:
    """Raise ConfigError for a stack that was never created to its end, with the way out."""
    delete = f"sam delete --stack-name {name}"
    why = f" ({reason})" if reason else ""
    if status == "REVIEW_IN_PROGRESS":
        raise ConfigError(
            f"the stack {name} was prepared, and its deployment never confirmed ({status})",
            hint=f"deploy it, and confirm the changeset: sam build && sam deploy\nor remove it: {delete}",
        )
    if status in _NEVER_CREATED:
        raise ConfigError(
            f"the first deployment of the stack {name} has failed{why}, so there is no deployment ({status})",
            hint="find the first CREATE_FAILED: "
            f"aws cloudformation describe-stack-events --stack-name {name}\n"
            f"CloudFormation can't update such a stack: {delete}, then deploy again: sam build && sam deploy",
        )
    if status in ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
        raise ConfigError(
            f"the first deployment of the stack {name} is not complete ({status})",
            hint=f"wait until it ends: aws cloudformation wait stack-create-complete --stack-name {name}",
        )
    if status.startswith("DELETE_"):
        raise ConfigError(
            f"the stack {name} is being deleted, or its deletion has failed ({status}{why})",
            hint=f"aws cloudformation describe-stack-events --stack-name {name}",
        )


async def _absent(aws: Aws, name: str) -> ConfigError:
    """Return an error that names the account and region: usually one of them is wrong."""
    region = await aws.region()
    try:
        account = f"account {(await aws.call('sts', 'get_caller_identity'))['Account']}, "
    except BulkheadError:
        account = ""
    return ConfigError(
        f"there is no stack {name} here ({account}region {region})",
        hint="name it by --stack, its region by --region, its account by AWS_PROFILE; or deploy it: docs/deploying.md",
    )
