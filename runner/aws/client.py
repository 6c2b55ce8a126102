"""Clients of AWS services: every asynchronous call to AWS goes through a client from here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from runner.errors import ConfigError

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0


@contextmanager
def aws_extra() -> Iterator[None]:
    """Wrap imports that need botocore. Raises ConfigError if the `aws` extra is not installed."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            "the AWS extra is not installed", hint="in the directory of Bulkhead, run: pip install '.[aws]'"
        ) from error


def aws_session(*, region_name: str | None = None, botocore_session: Any = None, **credentials: str | None) -> Any:
    """Return a session of aioboto3, from which clients take region and credentials.

    `botocore_session` is the session of aiobotocore that it uses. Missing values come from the usual AWS environment
    and files. Raises ConfigError if those are unusable.
    """
    with aws_extra():
        import aioboto3  # noqa: PLC0415 - takes a quarter of a second, which only AWS users should pay

        from runner.aws.errors import UNUSABLE, translated  # noqa: PLC0415 - as above
    try:
        return aioboto3.Session(region_name=region_name, botocore_session=botocore_session, **credentials)
    except UNUSABLE as error:
        raise translated(error) from error


@asynccontextmanager
async def open_client(
    service: str,
    *,
    session: Any = None,
    endpoint_url: str | None = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    read_timeout_s: float = READ_TIMEOUT_S,
    max_tries: int = 1,
    max_connections: int = 10,
    **arguments: str | None,
) -> AsyncIterator[Any]:
    """Open a client; the errors of its calls are not translated. `arguments` are those of `aws_session`.

    Buckets at an `endpoint_url` are addressed by path, which every S3 understands. Raises ConfigError if the `aws`
    extra is not installed, or the region or profile is unusable; the first call checks the credentials.
    """
    session = session or aws_session(**arguments)
    from aiobotocore.config import AioConfig  # noqa: PLC0415 - a session is there, and with it all that is needed

    from runner.aws.errors import UNUSABLE, translated  # noqa: PLC0415 - as above

    config = AioConfig(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": max_tries},
        max_pool_connections=max_connections,
        s3={"addressing_style": "path"} if endpoint_url else None,
    )
    try:
        opening = session.client(service, endpoint_url=endpoint_url, config=config)
        client = await opening.__aenter__()
    except UNUSABLE as error:
        raise translated(error, service=service) from error
    try:
        yield client
    finally:
        await opening.__aexit__(None, None, None)
