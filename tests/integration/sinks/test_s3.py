"""What the S3 sink leaves in a bucket: complete objects or nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from runner.aws.s3 import S3Client
from runner.errors import ConfigError, FileUnavailable, ResultInvalid, SinkFailed, StorageFull, Unavailable
from runner.protocols import Look, Occupant, SavedResult
from runner.sinks import LocalSink, open_sink
from runner.sinks.s3 import S3Sink
from tests.support.aws import LocalAws
from tests.support.bucket import Bucket
from tests.support.scripted_s3 import ScriptedS3, refusal, without_pauses

ROWS = b'[{"a": 1}, {"a": [2, "]"]}, null]\n'
PART_BYTES = 5 << 20
"""The least that S3 takes as a part before the last."""

LARGE = b'["' + b"x" * (2 * PART_BYTES) + b'", 2]'


async def stream(*chunks: bytes, fail: BaseException | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if fail:
        raise fail


def pieces(content: bytes) -> AsyncIterator[bytes]:
    return stream(*(content[at : at + 65536] for at in range(0, len(content), 65536)))


@pytest.fixture
def bucket(either_aws: LocalAws) -> Bucket:
    return Bucket(either_aws, "results")


@pytest.fixture
def sink(s3: S3Client, bucket: Bucket) -> S3Sink:
    return S3Sink("s3://results/out/", s3, part_bytes=PART_BYTES)


@pytest.mark.parametrize("content", [ROWS, LARGE], ids=["one request", "in parts"])
async def test_a_result_is_stored_as_the_local_sink_would(
    sink: S3Sink, bucket: Bucket, tmp_path: Path, content: bytes
) -> None:
    saved = await sink.save_result("in/a.csv", pieces(content))
    assert saved == await LocalSink(tmp_path).save_result("in/a.csv", pieces(content))
    assert bucket.get(f"out/{saved.path}") == content == (tmp_path / saved.path).read_bytes()
    assert saved.sha256 == hashlib.sha256(content).hexdigest()
    assert (bucket.keys(), bucket.uploads()) == ([f"out/{saved.path}"], [])


async def test_saving_again_replaces_the_result(sink: S3Sink, bucket: Bucket) -> None:
    await sink.save_result("a.csv", stream(ROWS))
    await sink.save_result("a.csv", stream(b"[]"))
    assert bucket.get("out/results/a.csv.json") == b"[]"


async def test_a_sink_says_whether_a_result_is_there(sink: S3Sink) -> None:
    saved = await sink.save_result("a.csv", stream(ROWS))
    assert await sink.has(saved.path)
    assert not await sink.has("results/b.csv.json")


async def test_hostile_sources_stay_below_the_prefix(sink: S3Sink, bucket: Bucket) -> None:
    for source in ("../../a.csv", "/a.csv", "a//b.csv", "n" * 1024, "\x00.csv"):
        saved = await sink.save_result(source, stream(b"[]"))
        assert bucket.get(f"out/{saved.path}") == b"[]"
    assert all(key.startswith("out/results/") and ".." not in key.split("/") for key in bucket.keys())  # noqa: SIM118


@pytest.mark.parametrize("content", [ROWS.strip()[:-1], LARGE[:-1], b""], ids=["one request", "in parts", "nothing"])
async def test_a_cut_result_never_appears_and_the_earlier_one_stays(
    sink: S3Sink, bucket: Bucket, content: bytes
) -> None:
    await sink.save_result("a.csv", stream(b"[1]"))
    with pytest.raises(ResultInvalid):
        await sink.save_result("a.csv", pieces(content))
    assert bucket.get("out/results/a.csv.json") == b"[1]"
    assert bucket.uploads() == []


async def test_a_download_that_breaks_leaves_nothing_and_keeps_its_error(sink: S3Sink, bucket: Bucket) -> None:
    with pytest.raises(ConnectionResetError):
        await sink.save_result("a.csv", stream(LARGE[: PART_BYTES + 1], fail=ConnectionResetError()))
    assert (bucket.keys(), bucket.uploads()) == ([], [])


async def test_a_cancelled_download_leaves_nothing(sink: S3Sink, bucket: Bucket) -> None:
    sent = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield LARGE[: PART_BYTES + 1]
        sent.set()
        await asyncio.Event().wait()

    saving = asyncio.create_task(sink.save_result("a.csv", endless()))
    await sent.wait()
    assert bucket.uploads() == ["out/results/a.csv.json"]
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert (bucket.keys(), bucket.uploads()) == ([], [])


async def test_a_document_is_stored_with_its_type_and_reported_by_its_url(sink: S3Sink, bucket: Bucket) -> None:
    assert await sink.write("manifest.jsonl", stream(b"{}\n", b"{}\n")) == "s3://results/out/manifest.jsonl"
    assert bucket.get("out/manifest.jsonl") == b"{}\n{}\n"
    head = bucket.client.head_object(Bucket="results", Key="out/manifest.jsonl")
    assert head["ContentType"] == "application/x-ndjson"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".."])
async def test_a_document_has_a_plain_name(sink: S3Sink, name: str) -> None:
    with pytest.raises(ConfigError, match="not a plain file name"):
        await sink.write(name, stream(b"x"))


async def test_a_whole_bucket_may_be_the_sink(s3: S3Client, bucket: Bucket) -> None:
    await open_sink("s3://results", s3=s3).write("summary.json", stream(b"{}"))
    assert bucket.keys() == ["summary.json"]


async def test_preparing_leaves_nothing(sink: S3Sink, bucket: Bucket) -> None:
    await sink.prepare()
    assert (bucket.keys(), bucket.uploads()) == ([], [])


async def test_a_bucket_that_is_not_there_is_named(s3: S3Client, bucket: Bucket) -> None:
    with pytest.raises(ConfigError, match="there is no bucket nowhere-to-be-found"):
        await S3Sink("s3://nowhere-to-be-found/out", s3).prepare()


@pytest.mark.parametrize("uri", ["s3://", "s3:///x", "s3://results/" + "n" * 300])
def test_a_place_that_cannot_hold_results_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError):
        S3Sink(uri, None)  # type: ignore[arg-type]


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)


@pytest.mark.parametrize(
    ("operation", "permission"),
    [("create_multipart_upload", "s3:PutObject"), ("abort_multipart_upload", "s3:AbortMultipartUpload")],
)
async def test_a_missing_permission_is_reported_before_the_run(operation: str, permission: str) -> None:
    client = ScriptedS3(**{operation: [refusal(403, "AccessDenied")]})
    with pytest.raises(ConfigError, match="S3 denies it") as caught:
        await S3Sink("s3://results/out", client).prepare()  # type: ignore[arg-type]
    assert f"allow {permission} on arn:aws:s3:::results/out/" in (caught.value.hint or "")


async def test_permissions_that_only_shared_results_need_are_reported_before_the_run() -> None:
    client = ScriptedS3(head_object=[refusal(403, "403")], get_object=[refusal(403, "AccessDenied")])
    with pytest.raises(ConfigError, match="S3 denies it") as caught:
        await S3Sink("s3://results/out", client).prepare()  # type: ignore[arg-type]
    assert "s3:GetObject on arn:aws:s3:::results/out/*" in (caught.value.hint or "")
    assert "s3:ListBucket on arn:aws:s3:::results " in (caught.value.hint or "")


class Chosen:
    """Chooses a fixed path; implements Place. `seen` is what was there."""

    def __init__(self, path: str, *, import_id: str = "import-1", meanwhile: Callable[[], None] | None = None) -> None:
        self.import_id = import_id
        self.seen: Occupant | None = None
        self._path = path
        self._meanwhile = meanwhile

    async def choose(self, usual: str, look: Look, *, saved: SavedResult | None) -> str:
        self.seen = await look(self._path)
        if self._meanwhile is not None:
            self._meanwhile()
        return self._path


@pytest.mark.parametrize("content", [ROWS, LARGE], ids=["one request", "in parts"])
async def test_an_object_names_the_import_it_was_saved_for(sink: S3Sink, bucket: Bucket, content: bytes) -> None:
    path = "results/a.csv.~7.json"
    saved = await sink.save_result("a.csv", pieces(content), Chosen(path, import_id="ä/1"))
    again = Chosen(path)
    await sink.save_result("a.csv", pieces(ROWS), again)
    assert (saved.path, again.seen) == (path, Occupant(import_id="ä/1"))
    assert bucket.get(f"out/{path}") == ROWS


async def test_an_object_that_names_no_import_is_known_by_its_content(sink: S3Sink, bucket: Bucket) -> None:
    bucket.put("out/results/a.csv.json", content=ROWS)
    place = Chosen("results/a.csv.json")
    await sink.save_result("a.csv", pieces(b"[]"), place)
    assert place.seen == Occupant(sha256=hashlib.sha256(ROWS).hexdigest())


@pytest.mark.parametrize("content", [ROWS, LARGE], ids=["one request", "in parts"])
@pytest.mark.parametrize("is_there", [True, False], ids=["replaced meanwhile", "made meanwhile"])
async def test_what_others_write_after_the_choice_is_not_replaced(
    sink: S3Sink, bucket: Bucket, content: bytes, is_there: bool
) -> None:
    key = "out/results/a.csv.json"
    if is_there:
        bucket.put(key, content=b"[1]")
    place = Chosen("results/a.csv.json", meanwhile=lambda: bucket.put(key, content=b"[2]"))
    with pytest.raises(FileUnavailable, match="somebody else"):
        await sink.save_result("a.csv", pieces(content), place)
    assert (bucket.get(key), bucket.uploads()) == (b"[2]", [])
    await sink.save_result("a.csv", pieces(content), Chosen("results/a.csv.json"))
    assert bucket.get(key) == content


async def test_a_store_without_conditional_writes_is_written_without_them() -> None:
    client = ScriptedS3(
        head_object=[refusal(404, "404")], put_object=[refusal(501, "NotImplemented"), {"ETag": '"e1"'}]
    )
    sink = S3Sink("s3://results/out", client)  # type: ignore[arg-type]
    with pytest.raises(FileUnavailable):
        await sink.save_result("a.csv", stream(ROWS), Chosen("results/a.csv.json"))
    await sink.save_result("a.csv", stream(ROWS), Chosen("results/a.csv.json"))
    first, second = [arguments for operation, arguments in client.calls if operation == "put_object"]
    assert first["IfNoneMatch"] == "*"
    assert second.keys().isdisjoint({"IfMatch", "IfNoneMatch"})


async def test_a_permission_that_is_taken_away_while_results_are_looked_at_is_a_failure_of_the_sink() -> None:
    client = ScriptedS3(head_object=[refusal(403, "403")], get_object=[refusal(403, "AccessDenied")])
    sink = S3Sink("s3://results/out", client)  # type: ignore[arg-type]
    with pytest.raises(SinkFailed, match="S3 denies it"):
        await sink.save_result("a.csv", stream(ROWS), Chosen("results/a.csv.json"))


async def test_what_is_deleted_while_it_is_looked_at_is_no_result_of_others() -> None:
    gone = refusal(404, "NoSuchKey")
    client = ScriptedS3(head_object=[{"ETag": '"e1"'}], get_object=[gone], put_object=[{"ETag": '"e2"'}])
    place = Chosen("results/a.csv.json")
    await S3Sink("s3://results/out", client).save_result("a.csv", stream(ROWS), place)  # type: ignore[arg-type]
    assert (place.seen, client.calls[-1][1]["IfNoneMatch"]) == (None, "*")


@pytest.mark.parametrize("status", [400, 403])
async def test_what_a_head_does_not_say_is_asked_for(status: int) -> None:
    client = ScriptedS3(head_object=[refusal(status, str(status))], get_object=[refusal(status, "ExpiredToken")])
    with pytest.raises(ConfigError, match=r"does not accept the AWS credentials \(ExpiredToken\)") as caught:
        await S3Sink("s3://results/out", client).has("results/a.csv.json")  # type: ignore[arg-type]
    assert "log in again" in (caught.value.hint or "")


async def test_a_document_in_an_archive_is_no_missing_permission() -> None:
    archived = refusal(403, "InvalidObjectState")
    client = ScriptedS3(head_object=[{"ETag": '"e1"'}], get_object=[archived])
    with pytest.raises(ConfigError, match="it is in an archive") as caught:
        await S3Sink("s3://results/out", client).read(".bulkhead-out.json")  # type: ignore[arg-type]
    assert "restore it" in (caught.value.hint or "")


async def test_a_document_is_read_back(sink: S3Sink) -> None:
    assert await sink.read("owner.json") is None
    await sink.write("owner.json", stream(b"{}"))
    assert await sink.read("owner.json") == b"{}"


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("operation", ["head_object", "put_object", "create_multipart_upload", "upload_part",
                                       "complete_multipart_upload"])  # fmt: skip
async def test_a_web_page_in_the_place_of_s3_stores_nothing(operation: str) -> None:
    client = ScriptedS3(**{"head_object": [refusal(404, "404")], operation: [{}]})
    sink = S3Sink("s3://results/out", client, part_bytes=10)  # type: ignore[arg-type]
    content = b"[]" if operation == "put_object" else ROWS
    with pytest.raises(Unavailable, match="something else answers in the place of S3"):
        await sink.save_result("a.csv", stream(content), Chosen("results/a.csv.json"))


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("operation", ["create_multipart_upload", "upload_part", "complete_multipart_upload"])
async def test_a_transient_error_is_retried(operation: str) -> None:
    client = ScriptedS3(
        **{operation: [refusal(503, "SlowDown"), refusal(503, "SlowDown"), {"UploadId": "u1", "ETag": "e"}]}
    )
    saved = await S3Sink("s3://results/out", client, part_bytes=10).save_result("a.csv", stream(ROWS))  # type: ignore[arg-type]
    assert saved.row_count == 3
    assert client.operations.count(operation) == 3
    assert "abort_multipart_upload" not in client.operations


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (503, "SlowDown", Unavailable),
        (400, "KMS.ThrottlingException", Unavailable),
        (507, "XMinioStorageFull", StorageFull),
        (403, "AccessDenied", SinkFailed),
        (400, "KMS.DisabledException", SinkFailed),
    ],
)
async def test_an_upload_that_cannot_be_finished_is_given_up(status: int, code: str, error: type[Exception]) -> None:
    client = ScriptedS3(complete_multipart_upload=[refusal(status, code)])
    with pytest.raises(error):
        await S3Sink("s3://results/out", client, part_bytes=10).save_result("a.csv", stream(ROWS))  # type: ignore[arg-type]
    assert client.operations[-1] == "abort_multipart_upload"
