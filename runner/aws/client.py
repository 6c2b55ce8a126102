"""A client of one service of AWS: all that call AWS asynchronously open theirs here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from runner.errors import ConfigError

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0


@contextmanager
def aws_extra() -> Iterator[None]:
    """Hold the imports of what needs botocore. Raises ConfigError where the `aws` extra is not installed."""
    try:
        yield
    except ImportError as error:
        raise ConfigError("the AWS extra is not installed", hint="pip install 'dromo-bulkhead[aws]'") from error


def aws_session(*, region_name: str | None = None, **credentials: str | None) -> Any:
    """Return a session of aioboto3, from which clients take region and credentials.

    What is not given comes from where the AWS tools take it. Raises ConfigError where that is of no use.
    """
    with aws_extra():
        import aioboto3  # noqa: PLC0415 - a quarter of a second that only users of AWS pay

        from runner.aws.errors import UNUSABLE, translated  # noqa: PLC0415 - as above
    try:
        return aioboto3.Session(region_name=region_name, **credentials)
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
    """Open a client; what its calls raise is not translated. `arguments` are those of `aws_session`.

    Buckets at an `endpoint_url` are addressed by path, which every S3 understands. Raises ConfigError where the `aws`
    extra is not installed, or region or profile cannot be used; credentials are looked at by the first call.
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
