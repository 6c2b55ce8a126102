"""What the S3 source makes of answers that no stand-in for S3 gives: denials, archives, busy moments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from runner.errors import ConfigError, ItemRejected, SourceNotFound, Unavailable
from runner.models import Item
from runner.sources import source_spec
from runner.sources.s3 import S3Source
from tests.support.scripted_s3 import ScriptedS3, refusal, without_pauses

NOW = datetime.now(UTC)
ITEM = Item(batch_id="b", source="a.csv")


class NoBody:
    """The body of an answer that nobody reads."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


FOUND = {"ETag": '"e1"', "ContentLength": 1, "ContentRange": "bytes 0-0/4", "Body": NoBody()}
LISTED = {"Key": "in/a.csv", "ETag": '"e1"', "Size": 4, "LastModified": NOW}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)


def source_of(client: ScriptedS3) -> S3Source:
    return S3Source(source_spec("s3://inbox/in/"), client=client, now=NOW)  # type: ignore[arg-type]


async def rejected(source: S3Source, name: str = "a.csv") -> str:
    with pytest.raises(ItemRejected) as caught:
        await source.prepare(Item(batch_id="b", source=name))
    return caught.value.code


async def test_the_first_object_that_is_denied_stops_the_run_and_a_later_one_is_rejected() -> None:
    denied = refusal(403, "AccessDenied")
    with pytest.raises(ConfigError, match="needs s3:GetObject"):
        await source_of(ScriptedS3(get_object=[denied])).prepare(ITEM)
    source = source_of(ScriptedS3(get_object=[FOUND, denied]))
    await source.prepare(ITEM)
    assert await rejected(source, "b.csv") == "access_denied"


async def test_one_object_that_cannot_be_given_is_rejected_from_the_first_on() -> None:
    assert await rejected(source_of(ScriptedS3(get_object=[refusal(400, "InvalidRequest")]))) == "unreadable"


async def test_a_missing_object_is_distinguished_from_a_missing_bucket() -> None:
    assert await rejected(source_of(ScriptedS3(get_object=[refusal(404, "NoSuchKey")]))) == "not_found"
    with pytest.raises(SourceNotFound, match="no bucket inbox"):
        await source_of(ScriptedS3(get_object=[refusal(404, "NoSuchBucket")])).prepare(ITEM)


async def test_a_key_that_is_disabled_during_a_run_stops_it_and_rejects_nothing() -> None:
    source = source_of(ScriptedS3(get_object=[FOUND, refusal(400, "KMS.DisabledException")]))
    await source.prepare(ITEM)
    with pytest.raises(ConfigError, match="KMS key") as caught:
        await source.prepare(ITEM)
    assert not isinstance(caught.value.__cause__, ItemRejected), "a function would give up the file"


async def test_a_moment_in_which_a_key_is_busy_is_waited_for() -> None:
    source = source_of(ScriptedS3(get_object=[refusal(400, "KMS.ThrottlingException"), FOUND]))
    assert (await source.prepare(ITEM)).size_bytes == 4


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId", "RequestTimeTooSkewed"])
async def test_credentials_that_end_during_a_run_stop_it_and_reject_nothing(code: str) -> None:
    source = source_of(ScriptedS3(get_object=[FOUND, refusal(400, code)]))
    await source.prepare(ITEM)
    with pytest.raises(ConfigError, match=code):
        await source.prepare(ITEM)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"StorageClass": "DEEP_ARCHIVE"}, "archived"),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="true"'}, "archived"),
        ({"StorageClass": "INTELLIGENT_TIERING"}, None),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="false", expiry-date="Fri, 1 Jan 2027"'}, None),
        ({"StorageClass": "GLACIER_IR"}, None),
        ({"ContentEncoding": "aws-chunked"}, None),
        ({"ContentEncoding": "gzip"}, "unsupported_type"),
    ],
)
async def test_what_cannot_be_read_is_known_before_the_create(answer: dict[str, str], code: str | None) -> None:
    source = source_of(ScriptedS3(get_object=[{**FOUND, **answer}]))
    if code is None:
        assert (await source.prepare(ITEM)).size_bytes == 4
    else:
        assert await rejected(source) == code


@pytest.mark.parametrize(
    ("restore", "code"),
    [
        (None, "archived"),
        ({"IsRestoreInProgress": True}, "archived"),
        ({"IsRestoreInProgress": False, "RestoreExpiryDate": NOW}, None),
    ],
)
async def test_a_restored_object_is_listed_as_one_to_import(restore: dict[str, Any] | None, code: str | None) -> None:
    raw = {**LISTED, "StorageClass": "GLACIER", **({"RestoreStatus": restore} if restore else {})}
    [entry], _ = await source_of(ScriptedS3(list_objects_v2=[{"Contents": [raw], "IsTruncated": False}])).page(None)
    assert (entry.rejection.code if entry.rejection else None) == code


async def test_a_busy_moment_of_the_listing_is_waited_for() -> None:
    client = ScriptedS3(
        list_objects_v2=[
            refusal(503, "SlowDown"),
            refusal(500, "InternalError"),
            {"Contents": [LISTED], "IsTruncated": False},
        ]
    )
    entries, token = await source_of(client).page(None)
    assert ([entry.source for entry in entries], token) == (["a.csv"], None)


async def test_a_listing_that_is_never_answered_is_reported() -> None:
    with pytest.raises(Unavailable, match="SlowDown"):
        await source_of(ScriptedS3(list_objects_v2=[refusal(503, "SlowDown")])).page(None)


async def test_an_object_replaced_where_the_condition_is_ignored_is_noticed() -> None:
    client = ScriptedS3(get_object=[{**FOUND, "ETag": '"e2"'}])
    with pytest.raises(ItemRejected) as caught:
        await source_of(client).prepare(Item(batch_id="b", source="a.csv", version="e1-4"))
    assert caught.value.code == "changed_while_read"
    assert client.calls[0][1]["IfMatch"] == '"e1"'


async def test_only_a_known_version_id_is_requested() -> None:
    client = ScriptedS3(get_object=[{**FOUND, "VersionId": "v1"}])
    await source_of(client).prepare(Item(batch_id="b", source="a.csv", version="e1-4"))
    await source_of(client).prepare(Item(batch_id="b", source="a.csv", version="e1-4@v1"))
    assert [arguments.get("VersionId") for _, arguments in client.calls] == [None, "v1"]


@pytest.mark.parametrize("following", [{}, {"NextContinuationToken": "t"}], ids=["no token", "the same token"])
async def test_a_listing_that_cannot_be_continued_is_never_taken_for_a_whole_one(following: dict[str, str]) -> None:
    source = source_of(ScriptedS3(list_objects_v2=[{"Contents": [LISTED], "IsTruncated": True, **following}]))
    with pytest.raises(Unavailable, match="there is more"):
        _ = [entries async for entries in source.entries()]


@pytest.mark.parametrize("operation", ["list", "read"])
async def test_a_web_page_in_the_place_of_s3_is_no_answer_of_it(operation: str) -> None:
    source = source_of(ScriptedS3(list_objects_v2=[{}], get_object=[{"ContentLength": 9, "Body": NoBody()}]))
    with pytest.raises(Unavailable, match="something else answers in the place of S3"):
        await (source.page(None) if operation == "list" else source.prepare(ITEM))
