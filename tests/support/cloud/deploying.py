"""`sam deploy` of the built template into an AWS on this machine."""

from __future__ import annotations

from pathlib import Path

from tests.support.aws import LocalAws
from tests.support.cloud.building import run_sam, runtime_parameters
from tests.support.cloud.stack import Stack

STACK_NAME = "bulkhead"

_DEPLOY_WITHIN_S = 300.0


def deploy(aws: LocalAws, template: Path, *, log: Path, name: str = STACK_NAME, **parameters: str) -> Stack:
    """Deploy a built template with these parameters, or update its stack."""
    values = {**runtime_parameters(), **parameters}
    run_sam(
        "deploy", "--template-file", str(template), "--stack-name", name,
        "--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar",
        "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND",
        "--parameter-overrides", *(f"{name}={value}" for name, value in values.items()),
        log=log, timeout_s=_DEPLOY_WITHIN_S, **aws.variables,
    )  # fmt: skip
    stack = Stack(aws, name=name)
    stack.speak_plainly()
    stack.grant_batches()
    stack.read_concurrency_as_numbers()
    return stack
