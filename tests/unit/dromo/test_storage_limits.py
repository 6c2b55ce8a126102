"""Storage that answers slowly, without end, or compressed: what a transfer may take at most, in virtual time."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from runner.dromo.client import HeadlessClient
from runner.dromo.storage import HttpStorage
from runner.errors import BulkheadError, OutcomeUnknown, ResultTooLarge, Unavailable, UploadRefused
from tests.support.bodies import FakeBody
from tests.support.memory_http import answered_by
from tests.support.rawserver import answer

pytestmark = pytest.mark.virtual_time(deadline=100_000)

API = "http://localhost/api/v1"
URL = "http://localhost/bucket/key"
OK = b"HTTP/1.1 200 OK\r\n"
DATA = b'[{"a":1}]'
ROWS = b"[" + b",".join(b'{"a":%d}' % n for n in range(50_000)) + b"]"

Parts = Iterable[tuple[float, bytes]]


def dripping(start: bytes, data: bytes = b"x", *, every_s: float = 1.0) -> Callable[[object], Parts]:
    """Return an answer that begins with `start` and then goes on for ever."""

    def parts(_asked: object) -> Iterator[tuple[float, bytes]]:
        yield 0.0, start
        while True:
            yield every_s, data

    return parts


async def put(answering: Callable[..., Any], **options: Any) -> bool:
    with answered_by(answering):
        async with HttpStorage(API, **options) as storage:
            return await storage.put(URL, FakeBody([b"a,b\n"]), only_if_absent=True)


async def download(answering: Callable[..., Any], **options: Any) -> bytes:
    with answered_by(answering):
        async with HttpStorage(API, **options) as storage, storage.get(URL) as chunks:
            return b"".join([chunk async for chunk in chunks])


async def refusal(call: Callable[..., Any], answering: Callable[..., Any], **options: Any) -> BulkheadError:
    with pytest.raises(BulkheadError) as raised:
        await call(answering, **options)
    return raised.value


def time_s() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("start", [OK + b"X-A: ", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"X-A: "])
@pytest.mark.parametrize(("call", "expected"), [(put, OutcomeUnknown), (download, Unavailable)])
async def test_a_head_that_drips_is_cut_after_the_stall_time(call, expected, start) -> None:
    error = await refusal(call, dripping(start))
    assert type(error) is expected
    assert 29 < time_s() < 31


async def test_informational_heads_without_end_are_cut_after_the_stall_time() -> None:
    assert isinstance(await refusal(download, dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")), Unavailable)
    assert time_s() < 31


async def test_the_head_of_an_answer_of_the_api_that_drips_is_cut_after_the_timeout() -> None:
    with answered_by(dripping(OK + b"X-A: ")):
        async with HeadlessClient(API, "key", timeout_s=30) as client:
            with pytest.raises(Unavailable):
                await client.retrieve("i-1")
    assert time_s() < 32


@pytest.mark.parametrize(("status", "expected"), [(b"200 OK", OutcomeUnknown), (b"403 Forbidden", UploadRefused)])
async def test_the_answer_to_an_upload_that_drips_is_cut_after_the_stall_time(status, expected) -> None:
    error = await refusal(put, dripping(b"HTTP/1.1 " + status + b"\r\nContent-Length: 1000\r\n\r\n"))
    assert type(error) is expected
    assert 29 < time_s() < 31


@pytest.mark.parametrize("length", [b"", b"Content-Length: 99999999999\r\n"])
async def test_no_more_than_64_kib_of_the_answer_to_an_upload_are_read(length) -> None:
    sent = []

    def parts(_asked: object) -> Parts:
        yield 0.0, OK + length + b"\r\n"
        while True:
            sent.append(1024)
            yield 0.001, b"x" * 1024

    assert await put(parts)
    assert sum(sent) < 70_000


async def test_a_download_that_moves_64_kib_in_each_stall_time_is_cut_when_it_takes_too_long_as_a_whole() -> None:
    error = await refusal(download, dripping(OK + b"\r\n", b"x" * 65536, every_s=29))
    assert isinstance(error, Unavailable)
    assert "as a whole" in str(error)
    assert 1000 < time_s() < 1200


async def test_a_download_as_slow_as_that_is_complete_if_its_length_leaves_it_the_time() -> None:
    def parts(_asked: object) -> Parts:
        yield 0.0, OK + b"Content-Length: 6553600\r\n\r\n"
        yield from [(12.0, b"x" * 65536)] * 100

    assert len(await download(parts)) == 6_553_600
    assert time_s() > 1190


async def test_a_transfer_at_a_fraction_of_a_low_bandwidth_has_the_time_for_it() -> None:
    error = await refusal(download, dripping(OK + b"\r\n", b"x" * 65536, every_s=29), slowest_per_s=2500)
    assert "as a whole" in str(error)
    assert time_s() > 5000


@pytest.mark.parametrize("sized", [True, False])
async def test_a_result_that_is_too_large_is_not_read_to_its_end(sized) -> None:
    head = OK + (b"Content-Length: 1001\r\n\r\n" if sized else b"\r\n")
    error = await refusal(download, lambda _: head + b"x" * 1001, result_bytes=1000)
    assert isinstance(error, ResultTooLarge)
    assert "1000 bytes" in str(error)
    assert "max_result" in str(error.hint)
    assert len(await download(lambda _: head + b"x" * 1001, result_bytes=1001)) == 1001


async def test_a_caller_can_allow_a_larger_result_than_usual() -> None:
    answering = answered_by(lambda _: OK + b"\r\n" + b"x" * 1001)
    with answering:
        async with HttpStorage(API, result_bytes=10) as storage:
            async with storage.get(URL, most_bytes=1001) as chunks:
                assert len(b"".join([chunk async for chunk in chunks])) == 1001
            with pytest.raises(ResultTooLarge, match="larger than 1000 bytes"):
                async with storage.get(URL, most_bytes=1000) as chunks:
                    assert [chunk async for chunk in chunks]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "two members": ("gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:])),
    "padded": ("gzip", lambda data: gzip.compress(data) + bytes(100)),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "identity": ("identity", bytes),
    "empty": ("", bytes),
    "listed": (" identity , gzip", gzip.compress),
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("data", [DATA, ROWS, b"[" + b" " * 1_000_000 + b"]"], ids=["small", "rows", "blank"])
async def test_a_compressed_result_is_unpacked(coding, data) -> None:
    named, pack = CODINGS[coding]
    packed, rng = pack(data), random.Random(1)
    cuts = sorted(rng.sample(range(1, len(packed)), min(20, len(packed) - 1)))

    def parts(_asked: object) -> Parts:
        yield 0.0, f"HTTP/1.1 200 OK\r\nContent-Encoding: {named}\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
        for start, end in zip([0, *cuts], [*cuts, len(packed)], strict=True):
            yield 0.1, packed[start:end]

    assert await download(parts) == data


@pytest.mark.parametrize("coding", ["gzip", "two members", "deflate", "raw deflate"])
async def test_a_compressed_result_without_its_end_is_cut_and_no_success(coding) -> None:
    named, pack = CODINGS[coding]
    for left in (0, 1, 5, 12):
        cut = pack(DATA)[:left] if left < 12 else pack(DATA)[:-1]
        error = await refusal(download, lambda _, cut=cut: answer(200, cut, Content_Encoding=named))
        assert isinstance(error, Unavailable), left


@pytest.mark.parametrize(
    "data", [DATA, gzip.compress(DATA)[:-8] + b"12345678", gzip.compress(DATA) + b"more"], ids="012"
)
async def test_a_damaged_compressed_result_is_unavailable(data) -> None:
    error = await refusal(download, lambda _: answer(200, data, Content_Encoding="gzip"))
    assert isinstance(error, Unavailable)


@pytest.mark.parametrize("named", ["br", "zstd", "compress", "gzip, gzip", "\x1b[31m", "x" * 3000])
async def test_any_other_coding_is_named(named) -> None:
    error = await refusal(download, lambda _: answer(200, DATA, Content_Encoding=named))
    assert isinstance(error, Unavailable)
    assert str(error).isprintable()


async def test_a_bomb_stops_at_the_size_of_a_result() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    error = await refusal(download, lambda _: answer(200, bomb, Content_Encoding="gzip"), result_bytes=1_000_000)
    assert isinstance(error, ResultTooLarge)
