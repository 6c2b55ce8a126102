"""Under which host names the sandbox answers: a site that makes its name resolve to this machine gets nothing."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.hosts import AllowedHosts, is_loopback, read_host_name
from tests.support.sandbox import LICENSE_KEY, RunningSandbox, running_sandbox

ROUTES = [
    "GET /api/v1/headless/imports/", "POST /api/v1/headless/imports/", "DELETE /api/v1/headless/imports/x/",
    "GET /api/v1/schemas/", "GET /api/v1/schemas", "GET /_sandbox/health", "POST /_sandbox/reset",
    "POST /_sandbox/settings", "GET /review/x/y", "POST /review/x/y/cells", "GET /static/review.css", "GET /storage/x",
    "PUT /storage/x", "GET /", "GET /nothing/here", "OPTIONS /api/v1/headless/imports/", "OPTIONS *",
]  # fmt: skip
OTHERS = [
    "evil.example", "evil.example:8700", "localhost.evil.example", "evil-localhost", "localhost@evil.example",
    "localhost:80@evil.example", "localhost:x", "localhost:99999", "localhost:8700:1", "localhost..", "[localhost]",
    "[127.0.0.1]", "::1", "[::1", "127.0.0.1.evil.example", "127.1", "0x7f000001", "2130706433", "127.0.0.01",
    "localhost,evil.example", "l\u043ecalhost", "localhost/", "box.lan.evil.example", "", ":8700",
]  # fmt: skip
ALLOWED = [
    "localhost", "LocalHost", "localhost.", "localhost:", "localhost:1", "127.0.0.1", "127.0.0.1:8700", "10.1.2.3",
    "[::1]", "[::1]:8700", "[2001:DB8::1]", "box.lan", "BOX.lan.:8700", "other.lan",
]  # fmt: skip


async def _status(box: RunningSandbox, request: str, *headers: str) -> tuple[int, str]:
    """Return status and body of a request with exactly these headers."""
    host, port = box.server.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        lines = [f"{request} HTTP/1.1", *headers, "Connection: close", "Content-Length: 0"]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = (await asyncio.wait_for(reader.read(), 10)).decode()
    finally:
        writer.close()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


@pytest.mark.parametrize("route", ROUTES)
async def test_no_route_answers_under_the_name_of_another_site(route: str) -> None:
    async with running_sandbox() as box:
        before = await box.counters()
        status, body = await _status(box, route, "Host: evil.example", f"X-Dromo-License-Key: {LICENSE_KEY}")
        assert (status, "--allow-host" in body) == (421, True)
        assert await box.counters() == before


async def test_a_request_needs_exactly_one_host() -> None:
    async with running_sandbox() as box:
        for headers in [(), ("Host: localhost", "Host: evil.example"), ("Host: localhost", "Host: localhost")]:
            status, _ = await _status(box, "GET /_sandbox/health", *headers)
            assert status == 400
        assert (await _status(box, "GET http://evil.example/_sandbox/health", "Host: localhost"))[0] == 421
        assert (await _status(box, "GET http://localhost/_sandbox/health", "Host: localhost"))[0] == 200


async def test_the_names_that_a_user_adds_are_answered() -> None:
    async with running_sandbox(allow_hosts=["box.lan"]) as box:
        assert (await _status(box, "GET /_sandbox/health", "Host: Box.lan:8700"))[0] == 200
        assert (await _status(box, "GET /_sandbox/health", "Host: other.lan"))[0] == 421


@pytest.mark.parametrize("authority", ALLOWED)
def test_localhost_addresses_and_given_names_are_allowed(authority: str) -> None:
    assert AllowedHosts(["box.lan", "Other.LAN."]).allow(authority)


@pytest.mark.parametrize("authority", OTHERS)
def test_everything_else_is_not(authority: str) -> None:
    assert not AllowedHosts(["box.lan", ""]).allow(authority)


@pytest.mark.parametrize("text", ["", "a b", "http://x", "x:80", "*", "*.x", "x/", "ü.de", "a..b", "-x"])
def test_only_plain_names_can_be_added(text: str) -> None:
    with pytest.raises(ValueError, match="not a host name without a port"):
        read_host_name(text)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", False),
     ("::", False), ("10.0.0.1", False), ("fe80::1%eth0", False)],
)  # fmt: skip
def test_loopback_is_this_machine_alone(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected
