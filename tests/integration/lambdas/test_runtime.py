"""A container's life: one loop for all invocations, starts that fail, keys that change, and what is left behind."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

import aiohttp
import pytest

from lambdas.runtime import Container
from runner.errors import ConfigError, Unavailable
from tests.support.functions import LICENSE_KEY, Context, Opening, Stack


def invoke(container: Container, work: Callable[[], Any], **left: int) -> Any:
    async def invocation(_time_left: Callable[[], float]) -> Any:
        return await work()

    return container.run(invocation, Context(**left))


async def forever(ended: list[str]) -> None:
    """Go on until cancelled, and note that."""
    try:
        await asyncio.sleep(3600)
    finally:
        ended.append("ended")


def opened(container: Container, **given: bool) -> Any:
    return invoke(container, lambda: container.deployment(**given))


def test_all_invocations_share_one_loop_and_what_was_opened_on_it(container: Container, opening: Opening) -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert invoke(container, loop) is invoke(container, loop)
    assert opened(container) == opened(container) == "deployment 1"
    assert opening.events == [f"opened with {LICENSE_KEY}"]


def test_a_client_of_aws_serves_more_than_one_invocation(container: Container, stack: Stack) -> None:
    async def buckets() -> Any:
        return await (await container.aws()).call("s3", "list_buckets")

    assert invoke(container, buckets)["Buckets"] == []
    assert invoke(container, buckets)["Buckets"] == []


def test_the_work_knows_how_long_is_left(container: Container) -> None:
    async def left(time_left: Callable[[], float]) -> float:
        return time_left()

    assert container.run(left, Context(left_ms=12_345)) == pytest.approx(12.345)


def test_what_could_not_be_opened_is_tried_again_by_the_next_invocation(
    container: Container, opening: Opening, log: io.StringIO
) -> None:
    opening.failure = Unavailable("DynamoDB does not answer")
    with pytest.raises(RuntimeError, match="DynamoDB does not answer"):
        opened(container)
    assert "DynamoDB does not answer" in log.getvalue()
    opening.failure = None
    assert opened(container) == "deployment 1"


def test_what_moves_have_left_to_be_counted_is_written_at_the_end_also_of_work_that_fails(
    container: Container, opening: Opening
) -> None:
    async def fails() -> None:
        await container.deployment()
        raise Unavailable("the vendor is away")

    opened(container)
    assert opening.counts.flushes == 1
    with pytest.raises(RuntimeError, match="the vendor is away"):
        invoke(container, fails)
    assert opening.counts.flushes == 2


def test_counts_that_cannot_be_written_fail_no_work(container: Container, opening: Opening, log: io.StringIO) -> None:
    opening.counts.failure = Unavailable("DynamoDB does not answer")
    assert opened(container) == "deployment 1"
    assert "counts were not written" in log.getvalue()


def test_a_license_key_that_nobody_has_put_in_is_named(stack: Stack, opening: Opening) -> None:
    container = Container(opening)
    with pytest.raises(RuntimeError, match="the secret bulkhead/license has no value yet"):
        opened(container)
    stack.put_secret("license", f"{LICENSE_KEY}\n")
    opened(container)
    assert opening.events == [f"opened with {LICENSE_KEY}"]
    container.close()


@pytest.mark.parametrize("name", ["BULKHEAD_LICENSE_SECRET", "BULKHEAD_COLLECT_QUEUE_URL"])
def test_a_variable_that_is_missing_is_named(container: Container, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(RuntimeError, match=f"the variable {name} is not set"):
        opened(container)


def test_a_secret_that_cannot_be_read_is_no_missing_one(stack: Stack, container: Container) -> None:
    stack.secrets.delete_secret(SecretId="bulkhead/license", ForceDeleteWithoutRecovery=True)
    stack.secrets.create_secret(Name="bulkhead/license", SecretString=" ")
    with pytest.raises(RuntimeError, match="the secret bulkhead/license is empty"):
        opened(container)


def test_functions_that_do_not_call_the_vendor_need_no_license_key(stack: Stack, opening: Opening) -> None:
    container = Container(opening)
    assert opened(container, license_key=False) == "deployment 1"
    assert opening.events == ["opened with None"]
    container.close()


def test_a_changed_license_key_is_used_once_the_vendor_refuses_the_old_one(
    stack: Stack, container: Container, opening: Opening
) -> None:
    opened(container)
    stack.put_secret("license", "canary-second-key")
    opened(container)
    assert len(opening.events) == 1, "a secret is kept for five minutes"
    container.reload_license_key()
    assert opened(container) == "deployment 2"
    assert opening.events == [f"opened with {LICENSE_KEY}", "closed", "opened with canary-second-key"]


def test_what_an_invocation_leaves_running_ends_with_it(container: Container) -> None:
    ended: list[str] = []

    async def leaves_it() -> None:
        container.left = asyncio.get_running_loop().create_task(forever(ended))
        await asyncio.sleep(0)

    invoke(container, leaves_it)
    assert ended == ["ended"]


def test_a_last_write_that_its_caller_did_not_wait_for_is_done(container: Container) -> None:
    written: list[str] = []

    async def write() -> None:
        await asyncio.sleep(0.05)
        written.append("written")

    async def is_cut_short() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.shield(write())

    with pytest.raises(RuntimeError, match="TimeoutError"):
        invoke(container, is_cut_short)
    assert written == ["written"]


def test_work_that_fails_leaves_nothing_running_either(container: Container) -> None:
    ended: list[str] = []

    async def fails() -> None:
        container.left = asyncio.get_running_loop().create_task(forever(ended))
        await asyncio.sleep(0)
        raise ConfigError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        invoke(container, fails)
    assert ended == ["ended"]


def test_a_foreign_error_is_told_by_its_kind_and_place_alone(container: Container, log: io.StringIO) -> None:
    async def fails() -> None:
        raise ValueError("row canary") from OSError("https://s3.test/x?X-Amz-Signature=canary")

    with pytest.raises(RuntimeError) as raised:
        invoke(container, fails)
    assert str(raised.value) == "ValueError"
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    logged = log.getvalue()
    assert "test_runtime.py" in logged
    assert "ValueError" in logged
    assert '"error":' in logged
    assert "Signature" not in logged
    assert "row canary" not in logged


class Forgetful:
    """An HTTP server that keeps connections open until it is told to drop them all."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def drop(self) -> None:
        for connection in self._connections:
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._connections.clear()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        self.drop()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_a_connection_that_ended_while_the_container_was_frozen_is_not_used(container: Container) -> None:
    server, sessions = Forgetful(), []

    async def post() -> str:
        if not sessions:
            sessions.append(aiohttp.ClientSession())
        async with sessions[0].post(server.url, data=b"x") as answered:
            return await answered.text()

    for _ in range(3):
        assert invoke(container, post) == "ok"
        server.drop()
    invoke(container, sessions[0].close)
    server.close()
