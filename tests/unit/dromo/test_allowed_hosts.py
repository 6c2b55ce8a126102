"""Where presigned urls may lead: the vendor's answers cannot make the runner talk to this machine or its network."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from aiohttp.abc import AbstractResolver

from runner.config.settings import Settings
from runner.dromo.allowed_hosts import NO_LINK, ReviewLinks, StorageHosts
from runner.dromo.storage import HttpStorage
from runner.errors import Unavailable, UploadRefused
from tests.support.bodies import FakeBody
from tests.support.rawserver import RawServer, answer, answering

PUBLIC_API = "https://app.dromo.io/api/v1"
LOCAL_API = "http://127.0.0.1:8700/api/v1"


class Names(AbstractResolver):
    """Resolves every name to the same addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in self._addresses
        ]

    async def close(self):
        """Nothing to close."""


@pytest.mark.parametrize(
    "url",
    [
        "https://dromo-headless-imports-prod.s3.us-west-2.amazonaws.com/k?X-Amz-Signature=1",
        "https://app.dromo.io/files/1",
        "https://8.8.8.8/x",
        "https://[2606:4700::1111]/x",
    ],
)
def test_a_public_api_may_send_to_public_hosts_by_https(url):
    assert str(StorageHosts(PUBLIC_API).checked(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        "/relative",
        "http://bucket.s3.amazonaws.com/x",
        "http://app.dromo.io/x",
        "ftp://bucket.s3.amazonaws.com/x",
        "file:///etc/passwd",
        "https:///x",
        "https://bucket.s3.amazonaws.com:22/x",
        "https://user@bucket.s3.amazonaws.com/x",
        "https://user:pw@bucket.s3.amazonaws.com/x",
        "https://bucket.s3.amazonaws.com\\@evil.example/x",
        "https://bucket.s3.amazonaws.com/x\r\nX-Evil: 1",
        "https://bücket.example/x",
        "https://127.0.0.1/x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://0177.0.0.1/x",
        "https://127.0.0.1./x",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/x",
        "https://192.168.1.1/x",
        "https://100.64.0.1/x",
        "https://0.0.0.0/x",
        "https://255.255.255.255/x",
        "https://224.0.0.1/x",
        "https://[::1]/x",
        "https://[::]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[::ffff:a9fe:a9fe]/x",
        "https://[64:ff9b::a9fe:a9fe]/x",
        "https://[2002:7f00:1::]/x",
        "https://[fe80::1]/x",
        "https://[fd00::1]/x",
        "http://127.0.0.1/x",
        "http://localhost:8700/x",
        "https://[::10.0.0.1]/x",
        "https://[::127.0.0.1]/x",
        "https://[::8.8.8.8]/x",
        "https://[fec0::1]/x",
        "https://[64:ff9b:1::1]/x",
        "https://[64:ff9b:1:a00:0:1::]/x",
        "https://[64:ff9b::10.0.0.1]/x",
        "https://[64:ff9b::127.0.0.1]/x",
        "https://[::ffff:0:10.0.0.1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://[::ffff:6440:1]/x",
        "https://[2002:a00:1::]/x",
        "https://[2002:808:808::]/x",
        "https://[2001:0:a00:1::]/x",
        "https://[2001:0:4136:e378:8000:63bf:f5ff:fffe]/x",
        "https://[2001:db8::1]/x",
        "https://[2001:10::1]/x",
        "https://[3fff::1]/x",
        "https://[100::1]/x",
        "https://[5f00::1]/x",
        "https://[fd00:ec2::254]/x",
        "https://[ff02::1]/x",
        "https://[ff0e::1]/x",
        "https://[4000::1]/x",
        "https://[fe80::1%25eth0]/x",
        "https://[2606:4700::1111%25eth0]/x",
        "https://[::ffff:0x7f000001]/x",
        "https://192.0.0.1/x",
        "https://192.0.0.9/x",
        "https://192.0.0.192/x",
        "https://168.63.129.16/x",
        "https://[::ffff:168.63.129.16]/x",
        "https://bucket';.s3.amazonaws.com/x",
        "https://192.88.99.1/x",
        "https://198.18.0.1/x",
        "https://203.0.113.1/x",
        "https://240.0.0.1/x",
        "https://0.1.2.3/x",
        "https://172.31.255.255/x",
        "https://100.127.255.254/x",
        "https://239.255.255.250/x",
        "https://0x7f.1/x",
        "https://017700000001/x",
        "https://127.0.1/x",
        "https://0x7f.0x0.0x0.0x1/x",
        "https://00000177.0.0.1/x",
        "https://4294967297/x",
        "https://%31%32%37.0.0.1/x",
        "https://127.0.0.1%2e/x",
        "https://127.0.0.1%00.example.com/x",
        "https://\uff11\uff12\uff17.0.0.1/x",
        "https://127\u30020\u30020\u30021/x",
        "https://\u2460\u2461\u2466.0.0.1/x",
        "https://@127.0.0.1/x",
        "https://bucket.s3.amazonaws.com@127.0.0.1/x",
    ],
)
def test_a_public_api_may_send_nowhere_else(url):
    with pytest.raises(UploadRefused):
        StorageHosts(PUBLIC_API).checked(url)


@pytest.mark.parametrize("api", [LOCAL_API, "http://localhost:8700", "http://[::1]:8700", "http://sandbox:8700"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/x", "http://localhost:9000/x", "http://[::1]:9000/x"])
def test_an_api_of_this_machine_may_send_to_this_machine(api, url):
    assert str(StorageHosts(api).checked(url)) == url


def test_an_api_of_a_private_network_may_send_to_it_and_by_http_to_itself():
    hosts = StorageHosts("http://10.1.2.3:8700/api/v1")
    assert hosts.checked("https://10.9.9.9:9000/x").host == "10.9.9.9"
    assert hosts.checked("http://10.1.2.3:8700/x").host == "10.1.2.3"
    with pytest.raises(UploadRefused):
        hosts.checked("http://10.9.9.9/x")


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "0.0.0.0", "224.0.0.1", "192.0.0.192", "fec0::1"),
        *("fd00:ec2::254", "100.100.100.200", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "240.0.0.1", "::"),
    ],
)
def test_no_api_may_send_to_a_link_local_address(address):
    assert not StorageHosts(LOCAL_API).admits(ip_address(address), host="x")


def test_a_list_of_allowed_hosts_narrows_down():
    hosts = StorageHosts(PUBLIC_API, patterns=["*.S3.us-west-2.amazonaws.com"])
    assert hosts.checked("https://b.s3.us-west-2.amazonaws.com/x").host == "b.s3.us-west-2.amazonaws.com"
    with pytest.raises(UploadRefused):
        hosts.checked("https://b.s3.us-west-2.amazonaws.com.evil.example/x")


@pytest.mark.parametrize(
    "addresses",
    [
        *(["127.0.0.1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["::1", "10.0.0.1"], ["::10.0.0.1"], ["fec0::1"]),
        *(["64:ff9b:1::1"], ["192.0.0.1"], ["2002:7f00:1::"], ["fe80::1%1"], ["100.64.0.1"], ["fd00:ec2::254"]),
    ],
)
async def test_a_public_name_with_private_addresses_is_refused_before_any_connection(addresses):
    async with RawServer(answering(answer(200))) as server:
        async with HttpStorage(PUBLIC_API, resolver=Names(*addresses)) as storage:
            with pytest.raises(UploadRefused, match="private"):
                await storage.put("https://bucket.s3.amazonaws.com/x", FakeBody([b"x"]), only_if_absent=True)
            with pytest.raises(Unavailable, match="private"):
                async with storage.get("https://bucket.s3.amazonaws.com/x"):
                    pass
            with pytest.raises(Unavailable, match="https"):
                async with storage.get(server.url):
                    pass
        assert server.peers == []


async def test_the_address_that_was_checked_is_the_one_connected_to():
    async with RawServer(answering(answer(200))) as server:
        url = server.url.replace("127.0.0.1", "storage.localhost") + "/x"
        async with HttpStorage(LOCAL_API, resolver=Names("169.254.169.254", "127.0.0.1")) as storage:
            assert await storage.put(url, FakeBody([b"x"]), only_if_absent=True)
        assert server.peers[0].headers["host"].startswith("storage.localhost:")


async def test_the_apis_own_host_may_have_a_private_address():
    async with RawServer(answering(answer(200, b"[]"))) as server:
        api = server.url.replace("127.0.0.1", "dromo.corp.example")
        async with HttpStorage(api, resolver=Names("127.0.0.1")) as storage, storage.get(api + "/x") as chunks:
            assert [chunk async for chunk in chunks] == [b"[]"]


async def test_a_name_without_addresses_is_unavailable():
    async with HttpStorage(PUBLIC_API, resolver=Names()) as storage:
        with pytest.raises(Unavailable):
            async with storage.get("https://bucket.s3.amazonaws.com/x"):
                pass


VENDOR_HOSTS = Settings().review_hosts


@pytest.mark.parametrize(
    ("api", "url"),
    [
        (PUBLIC_API, "https://app.dromo.io/review/1?token=t"),
        (PUBLIC_API, "https://dromo.io/r/1"),
        (PUBLIC_API, "https://eu.app.dromo.io:443/r/1"),
        (PUBLIC_API, "HTTPS://APP.DROMO.IO/r/1"),
        ("https://dromo.corp.example/api/v1", "https://dromo.corp.example/r/1"),
        ("http://sandbox:8700/api/v1", "http://sandbox:8700/review/1"),
        (LOCAL_API, "http://127.0.0.1:8700/review/1"),
        (LOCAL_API, "http://localhost:9000/review/1"),
        (LOCAL_API, "https://app.dromo.io/r/1"),
    ],
)
def test_a_review_url_of_an_allowed_host_is_a_link(api, url):
    assert ReviewLinks(api, patterns=VENDOR_HOSTS).shown(url) == url


@pytest.mark.parametrize(
    ("api", "url"),
    [
        (PUBLIC_API, "http://app.dromo.io/r/1"),
        (PUBLIC_API, "https://evil.example/r/1"),
        (PUBLIC_API, "https://app.dromo.io.evil.example/r/1"),
        (PUBLIC_API, "https://evildromo.io/r/1"),
        (PUBLIC_API, "https://app.dromo.io@evil.example/r/1"),
        (PUBLIC_API, "https://user:pw@app.dromo.io/r/1"),
        (PUBLIC_API, "https://app.dromo.io%2eevil.example/"),
        (PUBLIC_API, "https://\u0430pp.dromo.io/r/1"),
        (PUBLIC_API, "https://app\uff0edromo\uff0eio/r/1"),
        (PUBLIC_API, "https://app.dromo.io./r/1"),
        *((PUBLIC_API, f"https://evil.example{end}.dromo.io/r/1") for end in "!$&'()*+,;=`{|}~^"),
        (PUBLIC_API, "https://evil.example%2f.dromo.io/r/1"),
        (PUBLIC_API, "http://127.0.0.1:8700/review/1"),
        (PUBLIC_API, "https://localhost/review/1"),
        (PUBLIC_API, "https://evil.example/r?to=https://other.example/ftp://third.example"),
        (LOCAL_API, "https://evil.example/r/1"),
        (LOCAL_API, "http://evil.example/r/1"),
        (LOCAL_API, "http://10.0.0.1/r/1"),
        ("http://sandbox:8700/api/v1", "http://other:8700/review/1"),
    ],
)
def test_any_other_review_url_is_a_text(api, url):
    said = ReviewLinks(api, patterns=VENDOR_HOSTS).shown(url)
    assert said.startswith(NO_LINK)
    assert "://" not in said
    assert said.removeprefix(NO_LINK).replace("[:]", ":") == url


def test_the_hosts_of_review_urls_can_be_set():
    links = ReviewLinks(PUBLIC_API, patterns=["review.corp.example"])
    assert links.shown("https://review.corp.example/1") == "https://review.corp.example/1"
    assert links.shown("https://eu.dromo.io/1").startswith(NO_LINK)
