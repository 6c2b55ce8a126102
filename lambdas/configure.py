"""configure: reads the bulkhead.toml in the stack's own bucket, and stores it if it is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas import environment
from lambdas.bootstrap import container, tracer
from runner.cloud.handlers.configure import MAX_CONFIG_BYTES, configure
from runner.errors import AwsRefused

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from runner.cloud.context import Deployment
    from runner.cloud.protocols import TimeLeft


_IS_THERE = ("PreconditionFailed", "ConditionalRequestConflict")
"""What S3 answers if another has written the object in the meantime."""


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def lambda_handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, list[str]]:
    """Validate the current configuration, whatever the event is about, and return its problems.

    It runs when the file is written, and on a schedule, in case that an event is lost.

    Raises RuntimeError if it could not be read or stored; Lambda then tries again.
    """
    return {"problems": container.run(_configure, context)}


async def _configure(_time_left: TimeLeft) -> list[str]:
    deployment = await container.deployment(license_key=False)
    before = await deployment.ledger.good_config()
    raw = await _content()
    if raw is None and before is not None and await deployment.ledger.config_is_from_inbox():
        raw = await _copied(before)
    if raw is None:
        return []
    problems = await _problems(deployment, raw, before)
    if problems:
        container.telemetry.add_metric("ConfigInvalid", 1)
        container.telemetry.logger.error(
            "configuration is invalid; the last valid one stays active", extra={"problems": problems}
        )
    return problems


def _place() -> tuple[str, str]:
    return environment.required(environment.CONFIG_BUCKET), environment.required(environment.CONFIG_KEY)


async def _copied(text: str) -> bytes | None:
    """Copy the configuration that version 0.1.0 has read from the inbox to its new place, and return what is there."""
    bucket, key = _place()
    content = text.encode()
    try:
        await (await container.aws()).call(
            "s3", "put_object", Bucket=bucket, Key=key, Body=content, ContentType="application/toml", IfNoneMatch="*"
        )
    except AwsRefused as error:
        if error.code not in _IS_THERE:
            raise
        return await _content()
    return content


async def _content() -> bytes | None:
    """Return the file, cut just above MAX_CONFIG_BYTES; None if it was deleted. Raises AwsRefused, Unavailable."""
    bucket, key = _place()
    try:
        answer = await (await container.aws()).call("s3", "get_object", Bucket=bucket, Key=key)
    except AwsRefused as error:
        if error.code == "NoSuchKey":
            return None
        raise
    content = bytearray()
    async with answer["Body"]:
        async for chunk in answer["Body"].iter_chunks():
            content += chunk
            if len(content) > MAX_CONFIG_BYTES:
                break
    return bytes(content)


async def _problems(deployment: Deployment, raw: bytes, before: str | None) -> list[str]:
    if len(raw) > MAX_CONFIG_BYTES:
        return [f"it is larger than {MAX_CONFIG_BYTES // 1024} KB"]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ["it is not UTF-8"]
    bucket, key = _place()
    return await configure(deployment, text, place=f"s3://{bucket}/{key}", before=before)
