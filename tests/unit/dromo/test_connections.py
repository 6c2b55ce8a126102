"""Proxies and certificates: which requests go through a proxy, whom TLS trusts, and what a failure says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from runner.dromo.client import HeadlessClient
from runner.dromo.connections import Connections
from runner.dromo.proxy import Proxy
from runner.dromo.storage import HttpStorage
from runner.errors import BulkheadError, ConfigError, ConnectionBarred, NotSent, Unavailable
from runner.models import CreateRequest
from tests.support.bodies import FakeBody
from tests.support.certificates import Authority
from tests.support.proxy import ConnectProxy
from tests.support.rawserver import Peer, RawServer, Script, answer, answering, closed_port_url

API = "https://api.example/api/v1"
STORAGE = "https://storage.example/bucket/key?sig=1"
PAGE = answer(200, b'{"count": 0, "next": null, "results": []}')
FILE = CreateRequest(schema_id="s-1", original_filename="a.csv")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@asynccontextmanager
async def behind_a_proxy(
    authority: Authority, script: Script, *, user: str = "", **options: Any
) -> AsyncIterator[tuple[ConnectProxy, Connections]]:
    """Run a server of api.example and storage.example that is reached through a proxy only."""
    tls = authority.server("api.example", "storage.example")
    async with RawServer(script, tls=tls) as server, ConnectProxy(server.url, **options) as proxy:
        through = Proxy.parse(f"http://{user}{proxy.address}")
        yield proxy, Connections(proxy=through, ca_file=authority.path)


async def refusal_of(connections: Connections, url: str = API) -> BulkheadError:
    async with HeadlessClient(url, "key-1", connections=connections) as client:
        with pytest.raises(BulkheadError) as caught:
            await client.list_page(limit=1, offset=0)
    return caught.value


async def test_requests_to_the_api_are_tunnelled_through_the_proxy(authority: Authority) -> None:
    async with (
        behind_a_proxy(authority, answering(PAGE)) as (proxy, connections),
        HeadlessClient(API, "key-1", connections=connections) as client,
    ):
        page = await client.list_page(limit=1, offset=0)
    assert page.count == 0
    assert proxy.asked == ["CONNECT api.example:443 HTTP/1.1"]
    assert "key-1" not in str(proxy.headers)


async def test_uploads_and_results_are_tunnelled_through_the_proxy(authority: Authority) -> None:
    async with (
        behind_a_proxy(authority, answering(answer(200), answer(200, b"[]"))) as (proxy, connections),
        HttpStorage("https://api.example", connections=connections) as storage,
    ):
        assert await storage.put(STORAGE, FakeBody([b"a,b\n"]), only_if_absent=True)
        async with storage.get(STORAGE) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == b"[]"
    assert proxy.asked == ["CONNECT storage.example:443 HTTP/1.1"] * 2


async def test_a_proxy_that_speaks_tls_works_too(authority: Authority) -> None:
    async with (
        RawServer(answering(PAGE), tls=authority.server("api.example")) as server,
        ConnectProxy(server.url, tls=authority.server("127.0.0.1")) as proxy,
    ):
        connections = Connections(proxy=Proxy.parse(proxy.url), ca_file=authority.path)
        async with HeadlessClient(API, "key-1", connections=connections) as client:
            assert (await client.list_page(limit=1, offset=0)).count == 0


async def test_user_and_password_go_to_the_proxy_and_to_nobody_else(authority: Authority) -> None:
    seen: list[dict[str, str]] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        seen.append(peer.headers)
        await peer.send(PAGE)

    async with (
        behind_a_proxy(authority, script, user="jo:p%40s@s@") as (proxy, connections),
        HeadlessClient(API, "key-1", connections=connections) as client,
    ):
        await client.list_page(limit=1, offset=0)
    assert proxy.passwords == ["Basic am86cEBzQHM="]
    assert "proxy-authorization" not in seen[0]


async def test_an_api_without_tls_is_asked_by_the_proxy_with_user_and_password() -> None:
    async with RawServer(answering(PAGE)) as server, ConnectProxy(server.url) as proxy:
        connections = Connections(proxy=Proxy.parse(f"http://jo:secret@{proxy.address}"))
        async with HeadlessClient("http://api.example/v1", "key-1", connections=connections) as client:
            await client.list_page(limit=1, offset=0)
    assert proxy.asked == ["GET http://api.example/v1/headless/imports/?limit=1&offset=0 HTTP/1.1"]
    assert proxy.passwords == ["Basic am86c2VjcmV0"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_is_reached_without_the_proxy(host: str) -> None:
    async with RawServer(answering(PAGE)) as server, ConnectProxy(server.url) as proxy:
        url = server.url.replace("127.0.0.1", host)
        connections = Connections(proxy=Proxy.parse(proxy.url))
        async with HeadlessClient(url, "key-1", connections=connections) as client:
            await client.list_page(limit=1, offset=0)
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("status", "user", "says"),
    [
        (407, "", "needs a user and a password (HTTP 407)"),
        (407, "jo:secret@", "does not accept the user and password (HTTP 407)"),
        (403, "", "does not connect to the API (HTTP 403)"),
        (404, "", "does not connect to the API (HTTP 404)"),
    ],
)
async def test_a_proxy_that_refuses_ends_the_attempt_for_good_and_is_named(
    authority: Authority, status: int, user: str, says: str
) -> None:
    async with behind_a_proxy(authority, answering(PAGE), user=user, refuses=status) as (proxy, connections):
        error = await refusal_of(connections)
    assert isinstance(error, ConnectionBarred)
    shown = "****@" if user else ""
    assert str(error) == f"the proxy http://{shown}{proxy.address} {says}"
    assert error.hint
    assert "secret" not in repr((error, error.__cause__, error.__context__, connections))


async def test_a_proxy_that_wants_a_password_for_an_api_without_tls_says_so() -> None:
    async with ConnectProxy(refuses=407) as proxy:
        error = await refusal_of(Connections(proxy=Proxy.parse(proxy.url)), "http://api.example")
    assert isinstance(error, ConnectionBarred)
    assert "needs a user and a password" in str(error)


async def test_a_create_that_a_proxy_refuses_was_not_sent(authority: Authority) -> None:
    async with (
        behind_a_proxy(authority, answering(PAGE), refuses=502) as (_, connections),
        HeadlessClient(API, "key-1", connections=connections) as client,
    ):
        with pytest.raises(NotSent, match="does not connect to the API"):
            await client.create(FILE)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_proxy_that_cannot_connect_at_the_moment_is_tried_again(authority: Authority, status: int) -> None:
    async with behind_a_proxy(authority, answering(PAGE), refuses=status) as (_, connections):
        assert isinstance(await refusal_of(connections), NotSent)


async def test_a_refusal_after_the_api_has_answered_is_tried_again(authority: Authority) -> None:
    async with (
        behind_a_proxy(authority, answering(answer(200, PAGE.partition(b"\r\n\r\n")[2], Connection="close"))) as (
            proxy,
            connections,
        ),
        HeadlessClient(API, "key-1", connections=connections) as client,
    ):
        await client.list_page(limit=1, offset=0)
        proxy.refuses = 403
        with pytest.raises(NotSent, match="403"):
            await client.list_page(limit=1, offset=0)


async def test_a_proxy_that_cannot_be_reached_is_named() -> None:
    address = closed_port_url()
    error = await refusal_of(Connections(proxy=Proxy.parse(address)))
    assert isinstance(error, NotSent)
    assert str(error).startswith(f"cannot connect to the proxy {address}: ")
    assert error.hint == "check --proxy"


async def test_a_proxy_that_says_nothing_is_named_after_the_timeout() -> None:
    async with ConnectProxy(hangs=True) as proxy:
        connections = Connections(proxy=Proxy.parse(proxy.url))
        async with HeadlessClient(API, "key-1", connections=connections, timeout_s=0.1) as client:
            with pytest.raises(NotSent) as caught:
                await client.list_page(limit=1, offset=0)
    assert str(caught.value) == f"cannot reach the API through the proxy {proxy.url}: no connection within 0.1 s"


@pytest.mark.parametrize(
    "text", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n"]
)
async def test_what_is_no_proxy_is_named(text: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(text)

    async with RawServer(script) as server:
        error = await refusal_of(Connections(proxy=Proxy.parse(server.url)))
    assert isinstance(error, NotSent)
    assert f"the proxy {server.url}" in str(error)


async def test_a_proxy_that_says_nothing_holds_no_transfer_up_for_long() -> None:
    async with ConnectProxy(hangs=True) as proxy:
        connections = Connections(proxy=Proxy.parse(proxy.url))
        async with HttpStorage("https://api.example", connections=connections, stall_s=0.05) as storage:
            with pytest.raises(NotSent, match="the upload got no connection"):
                await storage.put(STORAGE, FakeBody([b"a"]), only_if_absent=True)
            with pytest.raises(Unavailable, match="got no connection"):
                async with storage.get(STORAGE):
                    """Not reached."""


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.9", "localhost", "sandbox.localhost", "[::ffff:127.0.0.1]"])
def test_no_name_or_address_of_this_machine_goes_through_the_proxy(host: str) -> None:
    connections = Connections(proxy=Proxy.parse("http://proxy.example"))
    assert "proxy" not in connections.through(URL(f"http://{host}:8700/x"), {})
    assert "proxy" in connections.through(URL("http://localhost.example:8700/x"), {})


async def test_an_upload_that_a_proxy_refuses_was_not_sent_and_names_the_proxy(authority: Authority) -> None:
    async with (
        behind_a_proxy(authority, answering(PAGE), refuses=403) as (_, connections),
        HttpStorage("https://api.example", connections=connections) as storage,
    ):
        with pytest.raises(NotSent, match="does not connect to storage"):
            await storage.put(STORAGE, FakeBody([b"a\n"]), only_if_absent=True)
        with pytest.raises(Unavailable, match="does not connect to storage"):
            async with storage.get(STORAGE):
                """Not reached."""


async def test_a_storage_url_of_this_machine_stays_forbidden_behind_a_proxy_on_this_machine(
    authority: Authority,
) -> None:
    async with (
        behind_a_proxy(authority, answering(PAGE)) as (proxy, connections),
        HttpStorage("https://api.example", connections=connections) as storage,
    ):
        with pytest.raises(Unavailable, match="private address"):
            async with storage.get("https://localhost/x"):
                """Not reached."""
    assert proxy.asked == []


async def test_an_unused_proxy_variable_is_named_if_no_connection_is_made() -> None:
    error = await refusal_of(Connections(unused_variable="HTTPS_PROXY"), closed_port_url())
    assert "HTTPS_PROXY is set, but Bulkhead uses only the proxy of --proxy" in str(error)
    assert 'export BULKHEAD_PROXY="$HTTPS_PROXY"' in str(error.hint)


async def test_an_authority_of_ones_own_is_trusted_by_ca_file(authority: Authority) -> None:
    async with RawServer(answering(PAGE), tls=authority.server("127.0.0.1")) as server:
        async with HeadlessClient(server.url, "key-1", connections=Connections(ca_file=authority.path)) as client:
            assert (await client.list_page(limit=1, offset=0)).count == 0
        error = await refusal_of(Connections(), server.url)
    assert isinstance(error, ConnectionBarred)
    assert str(error) == ("the certificate of 127.0.0.1 cannot be verified: unable to get local issuer certificate")
    assert "if your company inspects TLS" in str(error.hint)
    assert "--ca-file" in str(error.hint)


async def test_a_certificate_that_has_ended_or_is_for_another_host_has_a_hint_of_its_own(authority: Authority) -> None:
    connections = Connections(ca_file=authority.path)
    async with RawServer(answering(PAGE), tls=authority.server("127.0.0.1", ended=True)) as server:
        ended = await refusal_of(connections, server.url)
    async with RawServer(answering(PAGE), tls=authority.server("other.example")) as server:
        foreign = await refusal_of(connections, server.url)
    assert "certificate has expired" in str(ended)
    assert "clock" in str(ended.hint)
    assert "127.0.0.1" in str(foreign)
    assert foreign.hint == "check the address"


async def test_a_certificate_that_stops_being_trusted_after_an_answer_is_an_outage(authority: Authority) -> None:
    connections = Connections(ca_file=authority.path)
    once = answer(200, PAGE.partition(b"\r\n\r\n")[2], Connection="close")
    tls = authority.server("127.0.0.1")
    async with (
        RawServer(answering(once), tls=tls) as server,
        HeadlessClient(server.url, "key-1", connections=connections) as client,
    ):
        await client.list_page(limit=1, offset=0)
        tls.load_cert_chain(authority.certificate("other.example"))
        with pytest.raises(NotSent, match="cannot be verified"):
            await client.list_page(limit=1, offset=0)


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), (b"no certificate", "in PEM form")])
async def test_a_file_without_certificates_is_an_error_that_names_it(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "company.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        async with HeadlessClient(API, "key-1", connections=Connections(ca_file=path)):
            """Not reached."""
    assert str(path) in str(caught.value)
