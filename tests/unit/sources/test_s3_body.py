"""An object's bytes on their way: a broken read goes on where it broke, and never brings another version's bytes."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest
from botocore.exceptions import FlexibleChecksumError, ResponseStreamingError

from runner.aws.s3 import S3Place
from runner.errors import ItemRejected, SourceChanged, Unavailable
from runner.sources.object_versions import ObjectVersion
from runner.sources.s3_body import S3Body, S3Object
from tests.support.scripted_s3 import refusal

CONTENT = bytes(range(256)) * 4096
VERSION = ObjectVersion(etag="e1", size_bytes=len(CONTENT))
CUT = ResponseStreamingError(error="cut")


class Answer:
    """Gives its bytes, then its error, or stalls."""

    def __init__(self, content: bytes, *, error: Exception | None = None, stalls: bool = False) -> None:
        self._content = content
        self._error = error
        self._stalls = stalls
        self.closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def read(self, size: int) -> bytes:
        piece, self._content = self._content[: min(size, 65536)], self._content[min(size, 65536) :]
        if not piece and self._stalls:
            await asyncio.Event().wait()
        if not piece and self._error is not None:
            raise self._error
        return piece


class Bucket:
    """Answers each get as scripted: bytes up to `ends`, with an error then; the last script is repeated."""

    def __init__(self, *ends: dict[str, Any], etag: str = "e1") -> None:
        self._ends = list(ends)
        self._etag = etag
        self.asked: list[dict[str, Any]] = []
        self.answers: list[Answer] = []

    async def get_object(self, **arguments: Any) -> dict[str, Any]:
        self.asked.append(arguments)
        script = self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]
        if "refusal" in script:
            raise script["refusal"]
        start = int(arguments.get("Range", "bytes=0-")[len("bytes=") : -1])
        answer = Answer(
            CONTENT[start : script.get("end")], error=script.get("error"), stalls=script.get("stalls", False)
        )
        self.answers.append(answer)
        return {"ETag": f'"{self._etag}"', "ContentLength": len(CONTENT) - start, "Body": answer}

    def body(self, **options: Any) -> S3Body:
        found = S3Object(client=self, place=S3Place("inbox", "a.csv"), version=VERSION)  # type: ignore[arg-type]
        return S3Body(found, **options)


async def sent(body: S3Body) -> bytes:
    return b"".join([chunk async for chunk in body.chunks()])


async def test_every_read_names_the_version_that_was_listed() -> None:
    bucket = Bucket({"end": 300_000, "error": CUT}, {})
    assert await sent(bucket.body()) == CONTENT
    assert [asked["IfMatch"] for asked in bucket.asked] == ['"e1"', '"e1"']
    assert "Range" not in bucket.asked[0]


async def test_a_cut_read_goes_on_where_it_was_cut() -> None:
    bucket = Bucket({"end": 300_000, "error": CUT}, {"end": 800_000, "error": CUT}, {})
    assert await sent(bucket.body()) == CONTENT
    assert [asked.get("Range") for asked in bucket.asked] == [None, "bytes=262144-", "bytes=786432-"]
    assert all(answer.closed for answer in bucket.answers)


async def test_an_answer_that_ends_too_early_is_a_cut_one() -> None:
    bucket = Bucket({"end": 300_000}, {})
    assert await sent(bucket.body()) == CONTENT


@pytest.mark.virtual_time
async def test_a_read_that_stalls_is_repeated() -> None:
    bucket = Bucket({"end": 300_000, "stalls": True}, {})
    began = asyncio.get_running_loop().time()
    assert await sent(bucket.body(stall_s=15)) == CONTENT
    assert 15 <= asyncio.get_running_loop().time() - began < 20


@pytest.mark.virtual_time
async def test_trouble_that_lasts_is_raised_after_five_attempts_without_a_byte() -> None:
    bucket = Bucket({"refusal": refusal(503, "SlowDown")})
    with pytest.raises(Unavailable, match="SlowDown"):
        await sent(bucket.body())
    assert len(bucket.asked) == 5


@pytest.mark.parametrize("end", [len(CONTENT), len(CONTENT) - 100])
async def test_bytes_with_a_wrong_checksum_are_never_taken_for_the_whole(end: int) -> None:
    bucket = Bucket({"end": end, "error": FlexibleChecksumError(error_msg="no")}, {})
    with pytest.raises(Unavailable, match="checksum"):
        await sent(bucket.body())
    assert len(bucket.asked) == 1


async def test_another_version_is_never_sent_even_where_the_condition_is_ignored() -> None:
    with pytest.raises(SourceChanged):
        await sent(Bucket({}, etag="e2").body())


@pytest.mark.parametrize(
    ("status", "code", "rejected"),
    [
        (412, "PreconditionFailed", "changed_while_read"),
        (404, "NoSuchKey", "not_found"),
        (403, "InvalidObjectState", "archived"),
        (403, "AccessDenied", "access_denied"),
        (400, "InvalidRequest", "unreadable"),
    ],
)
async def test_what_concerns_the_object_is_said_of_the_item_at_once(status: int, code: str, rejected: str) -> None:
    bucket = Bucket({"refusal": refusal(status, code)})
    with pytest.raises(ItemRejected) as caught:
        await sent(bucket.body())
    assert (caught.value.code, len(bucket.asked)) == (rejected, 1)


async def test_a_body_that_is_not_read_to_its_end_lets_its_connection_go() -> None:
    bucket = Bucket({})
    chunks = bucket.body().chunks()
    await anext(chunks)
    await chunks.aclose()  # type: ignore[attr-defined]
    assert bucket.answers[0].closed
