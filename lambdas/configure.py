"""configure: reads the bulkhead.toml that was written to the inbox, and stores it if it is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas import environment
from lambdas.bootstrap import container, tracer
from runner.cloud.handlers.configure import MAX_CONFIG_BYTES, configure
from runner.errors import AwsRefused

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from runner.cloud.protocols import TimeLeft


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def lambda_handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, list[str]]:
    """Validate the current configuration, whatever version the event is about, and return its problems.

    Raises RuntimeError if it could not be read or stored; Lambda then tries again.
    """
    return {"problems": container.run(_configure, context)}


async def _configure(_time_left: TimeLeft) -> list[str]:
    raw = await _content()
    if raw is None:
        return []
    problems = await _problems(raw)
    if problems:
        container.telemetry.add_metric("ConfigInvalid", 1)
        container.telemetry.logger.error(
            "configuration is invalid; the last valid one stays active", extra={"problems": problems}
        )
    return problems


async def _content() -> bytes | None:
    """Return the file, cut just above MAX_CONFIG_BYTES; None if it was deleted. Raises AwsRefused, Unavailable."""
    bucket, key = environment.required(environment.INBOX), environment.required(environment.CONFIG_KEY)
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


async def _problems(raw: bytes) -> list[str]:
    if len(raw) > MAX_CONFIG_BYTES:
        return [f"it is larger than {MAX_CONFIG_BYTES // 1024} KB"]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ["it is not UTF-8"]
    return await configure(await container.deployment(license_key=False), text)
