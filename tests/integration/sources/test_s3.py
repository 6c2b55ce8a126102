"""An S3 prefix as a source: what is listed under which name, and that only what was listed is ever read."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runner.aws.s3 import S3Client
from runner.clock import SystemClock
from runner.cloud.context import S3Places
from runner.errors import ConfigError, ItemRejected, SourceChanged, SourceNotFound
from runner.models import Item, ItemKind
from runner.protocols import SourceEntry
from runner.sources import ObjectVersion, open_one, open_source, results_passed_over, source_spec, versioned_source
from runner.sources.object_versions import unversioned_source
from runner.sources.s3 import S3Source
from tests.support.aws import LocalAws
from tests.support.bucket import Bucket

NOW = datetime.now(UTC)


@pytest.fixture
def bucket(either_aws: LocalAws) -> Bucket:
    return Bucket(either_aws)


def source_at(s3: S3Client, url: str = "s3://inbox/in", *, page_length: int | None = None, **options: Any) -> S3Source:
    return S3Source(source_spec(url, **options), client=s3, now=NOW, page_length=page_length)


async def listed(source: Any) -> list[SourceEntry]:
    return [entry async for entries in source.entries() for entry in entries]


async def keys(source: Any) -> list[str]:
    return [entry.source for entry in await listed(source)]


def item_of(entry: SourceEntry) -> Item:
    return Item(batch_id="b", source=entry.source, version=entry.version, size_bytes=entry.size_bytes)


async def content_of(source: S3Source, item: Item) -> bytes:
    prepared = await source.prepare(item)
    assert prepared.body is not None
    return b"".join([chunk async for chunk in prepared.body.chunks()])


class TestListing:
    async def test_keys_are_relative_to_the_prefix_which_is_a_folder(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/b.csv", "in/a/x.csv", "in/é.csv", "in/Z.csv", "inside.csv", "other/c.csv")
        assert await keys(source_at(s3)) == ["Z.csv", "a/x.csv", "b.csv", "é.csv"]
        assert await keys(source_at(s3, "s3://inbox/in/")) == ["Z.csv", "a/x.csv", "b.csv", "é.csv"]
        assert "in/b.csv" in await keys(source_at(s3, "s3://inbox"))

    async def test_an_entry_says_what_listing_knows(self, bucket: Bucket, s3: S3Client) -> None:
        etag = bucket.put("in/x y.json", content=b"[{}]")
        [entry] = await listed(source_at(s3))
        assert abs((entry.modified_ns or 0) / 1e9 - datetime.now(UTC).timestamp()) < 60
        assert replace(entry, modified_ns=None) == SourceEntry(
            source="x y.json",
            uri="s3://inbox/in/x%20y.json",
            size_bytes=4,
            version=f"{etag}-4",
            modified_ns=None,
            kind=ItemKind.JSON,
        )

    async def test_pages_follow_each_other_by_their_tokens(self, bucket: Bucket, s3: S3Client) -> None:
        names = [f"{number:02}.csv" for number in range(11)]
        bucket.put(*(f"in/{name}" for name in names))
        source = source_at(s3, page_length=4)
        pages: list[list[str]] = []
        token: str | None = None
        while token is not None or not pages:
            entries, token = await source.page(token)
            pages.append([entry.source for entry in entries])
        assert pages == [names[:4], names[4:8], names[8:]]
        assert await keys(source) == names

    async def test_an_empty_prefix_lists_nothing(self, bucket: Bucket, s3: S3Client) -> None:
        assert await listed(source_at(s3)) == []

    async def test_a_path_that_names_an_object_lists_it_alone(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv", "in/a.csv.csv", "in/b.csv")
        source = source_at(s3, "s3://inbox/in/a.csv")
        [entry] = await listed(source)
        assert (entry.source, entry.uri, source.uri) == ("a.csv", "s3://inbox/in/a.csv", "s3://inbox/in/a.csv")
        assert await content_of(source_at(s3, "s3://inbox/in/a.csv"), item_of(entry)) == b"a\n1\n"

    async def test_folder_markers_are_passed_over(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/", "in/a/", content=b"")
        bucket.put("in/a/b.csv")
        assert await keys(source_at(s3)) == ["a/b.csv"]

    async def test_odd_keys_keep_their_names_and_are_read(self, bucket: Bucket, s3: S3Client) -> None:
        odd = ["/a.csv", "a//b.csv", "a/../b.csv", "%2F.csv", "a+b &=.csv", "ü/日本.csv", "\x01\x7f.csv", " .csv",
               "n" * (1024 - len("in/x.csv")) + "x.csv"]  # fmt: skip
        for number, name in enumerate(odd):
            bucket.put(f"in/{name}", content=b"a\n%d\n" % number)
        source = source_at(s3, include=["**", "a/../*"])
        entries = {entry.source: entry for entry in await listed(source)}
        assert sorted(entries) == sorted(odd)
        assert len({entry.uri for entry in entries.values()}) == len(odd)
        assert all(entry.uri.isascii() and entry.uri.isprintable() for entry in entries.values())
        for number, name in enumerate(odd):
            assert await content_of(source, item_of(entries[name])) == b"a\n%d\n" % number

    async def test_filters_are_those_of_a_directory(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv", "in/.hidden.csv", "in/.git/a.csv", "in/~$a.xlsx", "in/old/a.csv", "in/x/b.csv",
                   "in/bulkhead.toml", "in/bulkhead-out/r.csv")  # fmt: skip
        assert await keys(source_at(s3)) == ["a.csv", "old/a.csv", "x/b.csv"]
        assert await keys(source_at(s3, include=["a.csv"], exclude=["old/"])) == ["a.csv"]
        assert await keys(source_at(s3, include=[".*.csv"])) == [".hidden.csv"]

    async def test_results_below_the_source_are_not_listed(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv", "in/out/results/a.csv.json", "in/outer.csv")
        assert await keys(source_at(s3, leave_out=["s3://inbox/in/out"])) == ["a.csv", "outer.csv"]

    async def test_results_of_earlier_runs_are_not_listed_wherever_they_are(self, bucket: Bucket, s3: S3Client) -> None:
        written = [".bulkhead-out.json", "failed.txt", "manifest.csv", "manifest.jsonl", "results/a.csv.json"]
        for folder in ("", "o1/", "o1/deeper/", "out/"):
            bucket.put(*(f"in/{folder}{name}" for name in written))
        bucket.put("in/a.csv", "in/o1/own.csv", "in/o2/results/own.csv", "in/z/failed.txt", "in/out/new.csv")
        source = source_at(s3, leave_out=["s3://inbox/in/out"], page_length=2)
        for _ in range(2):
            assert await keys(source) == ["a.csv", "o1/own.csv", "o2/results/own.csv", "z/failed.txt"]
            said = results_passed_over(source)
            assert "not imported: the source itself, o1, o1/deeper; to import" in (said or "")
        assert await keys(source_at(s3, "s3://inbox/in/o1/results")) == ["a.csv.json"]
        assert results_passed_over(source_at(s3)) is None

    async def test_results_of_earlier_runs_are_not_listed_either_if_each_page_is_listed_by_another_process(
        self, bucket: Bucket, s3: S3Client
    ) -> None:
        written = [".bulkhead-out.json", "manifest.csv", "results/a.csv.json", "results/b/c.csv.json", "summary.json"]
        for folder in ("", "o1/", "o1/deeper/"):
            bucket.put(*(f"in/{folder}{name}" for name in written))
        bucket.put("in/a.csv", "in/o1/own.csv", "in/o2/results/own.csv", "in/o2/results/x/own.csv", "in/z.csv")
        found: list[str] = []
        token: str | None = None
        is_first = True
        while is_first or token is not None:
            entries, token = await source_at(s3, page_length=1).page(token)
            is_first = False
            found += [entry.source for entry in entries]
        assert found == ["a.csv", "o1/own.csv", "o2/results/own.csv", "o2/results/x/own.csv", "z.csv"]

    @pytest.mark.parametrize("out", ["s3://inbox", "s3://inbox/in", "s3://inbox/other"])
    async def test_a_folder_of_results_above_or_beside_the_source_hides_nothing(
        self, bucket: Bucket, s3: S3Client, out: str
    ) -> None:
        bucket.put("in/a.csv", "in/b/c.csv")
        assert await keys(source_at(s3, leave_out=[out])) == ["a.csv", "b/c.csv"]

    async def test_an_object_that_is_named_is_meant(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv", "in/.b.csv")
        assert await keys(source_at(s3, "s3://inbox/in/a.csv", leave_out=["s3://inbox/in"])) == ["a.csv"]
        assert await keys(source_at(s3, "s3://inbox/in/.b.csv")) == [".b.csv"]
        assert await keys(source_at(s3, "s3://inbox/in/a.csv", exclude=["a.*"])) == []

    async def test_young_objects_are_left_for_a_later_run(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv")
        young = S3Source(source_spec("s3://inbox/in", min_age_s=3600), client=s3, now=datetime.now(UTC))
        assert (await listed(young), young.too_young) == ([], 1)
        later = datetime.now(UTC) + timedelta(hours=2)
        old = S3Source(source_spec("s3://inbox/in", min_age_s=3600), client=s3, now=later)
        assert (len(await listed(old)), old.too_young) == (1, 0)

    async def test_what_cannot_be_imported_is_an_entry_that_says_why(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/empty.csv", content=b"")
        bucket.put("in/a.pdf", "in/b")
        bucket.put("in/cold.csv", StorageClass="DEEP_ARCHIVE")
        bucket.put("in/cool.csv", StorageClass="STANDARD_IA")
        found = {entry.source: entry.rejection for entry in await listed(source_at(s3))}
        codes = {name: rejection.code if rejection else None for name, rejection in found.items()}
        assert codes == {
            "empty.csv": "empty",
            "a.pdf": "unsupported_type",
            "b": "unsupported_type",
            "cold.csv": "archived",
            "cool.csv": None,
        }
        assert "DEEP_ARCHIVE" in str(found["cold.csv"])

    async def test_a_bucket_that_is_not_there_is_named(self, bucket: Bucket, s3: S3Client) -> None:
        with pytest.raises(SourceNotFound, match="no bucket nowhere-to-be-found"):
            await listed(source_at(s3, "s3://nowhere-to-be-found/in"))


class TestReading:
    async def test_the_fingerprint_is_of_etag_and_size(self, bucket: Bucket, s3: S3Client) -> None:
        etag = bucket.put("in/a.csv")
        source = source_at(s3)
        [entry] = await listed(source)
        prepared = await source.prepare(item_of(entry))
        assert prepared.uri == "s3://inbox/in/a.csv"
        assert (prepared.version, prepared.fingerprint) == (entry.version, f"s3:{etag}-4")
        assert prepared.size_bytes == 4

    async def test_each_attempt_reads_the_body_again(self, bucket: Bucket, s3: S3Client) -> None:
        content = bytes(range(256)) * 4096
        bucket.put("in/a.csv", content=content)
        source = source_at(s3)
        prepared = await source.prepare(item_of((await listed(source))[0]))
        assert prepared.body is not None
        for _ in range(2):
            assert b"".join([chunk async for chunk in prepared.body.chunks()]) == content

    async def test_an_object_replaced_after_listing_is_refused(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv")
        source = source_at(s3)
        [entry] = await listed(source)
        bucket.put("in/a.csv", content=b"b\n2\n")
        with pytest.raises(SourceChanged, match="replaced after it was listed"):
            await source.prepare(item_of(entry))

    async def test_an_object_replaced_before_it_is_sent_is_refused(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv")
        source = source_at(s3)
        prepared = await source.prepare(item_of((await listed(source))[0]))
        bucket.put("in/a.csv", content=b"b\n2\n")
        assert prepared.body is not None
        with pytest.raises(SourceChanged):
            _ = [chunk async for chunk in prepared.body.chunks()]

    async def test_an_object_that_has_gone_is_rejected(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv", "in/b.csv")
        source = source_at(s3)
        item = item_of((await listed(source))[0])
        bucket.delete("in/a.csv")
        with pytest.raises(ItemRejected, match="no such object") as caught:
            await source.prepare(item)
        assert caught.value.code == "not_found"

    async def test_a_bucket_that_has_gone_stops_the_run(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv")
        source = source_at(s3)
        item = item_of((await listed(source))[0])
        bucket.delete("in/a.csv")
        bucket.client.delete_bucket(Bucket="inbox")
        with pytest.raises(SourceNotFound, match="no bucket inbox"):
            await source.prepare(item)

    async def test_json_is_read_whole(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.ndjson", content=b'{"a":1}\n{"a":2}\n')
        source = source_at(s3)
        prepared = await source.prepare(item_of((await listed(source))[0]))
        assert (prepared.rows, prepared.body) == (b'[{"a":1},{"a":2}]', None)

    async def test_an_archived_object_is_refused_before_its_create(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv", StorageClass="GLACIER")
        with pytest.raises(ItemRejected, match="the storage class GLACIER") as caught:
            await source_at(s3).prepare(Item(batch_id="b", source="a.csv"))
        assert caught.value.code == "archived"

    async def test_an_object_stored_compressed_is_refused(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv", ContentEncoding="gzip")
        source = source_at(s3)
        with pytest.raises(ItemRejected, match="Content-Encoding gzip"):
            await source.prepare(item_of((await listed(source))[0]))

    async def test_an_item_without_a_version_is_the_object_as_it_is(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv")
        assert await content_of(source_at(s3), Item(batch_id="b", source="a.csv")) == b"a\n1\n"


class TestVersions:
    async def test_a_version_that_is_known_is_read_though_it_was_replaced(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.client.put_bucket_versioning(Bucket="inbox", VersioningConfiguration={"Status": "Enabled"})
        answers = [
            bucket.client.put_object(Bucket="inbox", Key="in/a.csv", Body=content) for content in (b"old\n", b"new2\n")
        ]
        versions = [
            ObjectVersion(etag=answer["ETag"].strip('"'), size_bytes=size, version_id=answer["VersionId"])
            for answer, size in zip(answers, (4, 5), strict=True)
        ]
        source = source_at(s3)
        first = source.entry("in/a.csv", versions[0])
        second = source.entry("in/a.csv", versions[1])
        assert first is not None
        assert second is not None
        again = replace(second, source=versioned_source(second.source, second.version))
        assert await content_of(source, item_of(first)) == b"old\n"
        assert await content_of(source, item_of(again)) == b"new2\n"
        assert (await source.prepare(item_of(again))).uri == "s3://inbox/in/a.csv"

    async def test_a_key_that_only_looks_like_a_marked_one_is_itself(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a@k3f9x2.csv")
        source = source_at(s3)
        [entry] = await listed(source)
        assert await content_of(source, item_of(entry)) == b"a\n1\n"

    @pytest.mark.parametrize(
        "version",
        [
            ObjectVersion(etag="d41d8cd98f00b204e9800998ecf8427e", size_bytes=1 << 30),
            ObjectVersion(etag="d41d8cd98f00b204e9800998ecf8427e-12", size_bytes=31),
            ObjectVersion(etag="d41d8cd98f00b204e9800998ecf8427e-12", size_bytes=31, version_id="a-b@c-1"),
        ],
    )
    def test_a_version_is_read_back_from_its_text(self, version: ObjectVersion) -> None:
        assert ObjectVersion.parse(str(version)) == version

    @pytest.mark.parametrize("text", ["", "-", "abc", "abc-", "-1f", "abc-xyz"])
    def test_text_that_is_not_a_version_is_recognized(self, text: str) -> None:
        assert ObjectVersion.parse(text) is None

    def test_the_mark_is_before_the_suffix_and_depends_on_the_version(self) -> None:
        marked = versioned_source("orders/a.b.csv", "v1")
        assert (marked[:11], marked[-4:]) == ("orders/a.b@", ".csv")
        assert len(marked) == len("orders/a.b.csv") + 7
        assert versioned_source("orders/a.b.csv", "v2") != marked
        assert versioned_source("orders.d/a", "v1").startswith("orders.d/a@")

    @pytest.mark.parametrize("key", ["orders/A.CSV", "a.Xlsx", "orders.d/a", "a@b.json", "a.İ", ".csv", "x/.b.TSV"])
    def test_a_marked_name_leads_back_to_its_key_however_the_suffix_is_written(self, key: str) -> None:
        assert unversioned_source(versioned_source(key, "v1"), "v1") == key
        assert unversioned_source(key, "v1") == key


class TestPlaces:
    async def test_a_stack_parses_one_json_object_at_a_time_whichever_batch_it_is_of(
        self, bucket: Bucket, s3: S3Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        together = threading.Barrier(2)

        def parsed(_name: str, _raw: bytes) -> bytes:
            with pytest.raises(threading.BrokenBarrierError):
                together.wait(timeout=0.2)
            together.reset()
            return b"[]"

        monkeypatch.setattr("runner.sources.s3.rows_of", parsed)
        bucket.put("in/a.json", "in/b.json")
        places = S3Places(s3, clock=SystemClock())
        sources = [places.source(source_spec("s3://inbox/in")) for _ in range(2)]
        (items, _), _ = await asyncio.gather(*(source.page(None) for source in sources))
        await asyncio.gather(*(source.prepare(item_of(entry)) for source, entry in zip(sources, items, strict=True)))


class TestOne:
    @pytest.mark.parametrize("path", ["x/a.csv", "s3://inbox/in/x/a.csv"])
    async def test_one_object_is_found_by_key_or_url(self, bucket: Bucket, s3: S3Client, path: str) -> None:
        bucket.put("in/x/a.csv", "in/x/a.csv2", "in/x/b.csv")
        source = open_one(source_spec("s3://inbox/in"), path, now=NOW, s3=s3)
        assert await keys(source) == ["x/a.csv"]

    async def test_filters_may_leave_it_out(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv")
        spec = source_spec("s3://inbox/in", exclude=["a.csv"])
        assert await listed(open_one(spec, "a.csv", now=NOW, s3=s3)) == []

    async def test_one_that_is_not_there_is_not_found(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("in/a.csv2")
        with pytest.raises(SourceNotFound, match=r"s3://inbox/in/a\.csv does not exist"):
            await listed(open_one(source_spec("s3://inbox/in"), "a.csv", now=NOW, s3=s3))

    async def test_one_outside_the_prefix_is_refused(self, s3: S3Client) -> None:
        with pytest.raises(SourceNotFound, match="is not in"):
            open_one(source_spec("s3://inbox/in"), "s3://inbox/other/a.csv", now=NOW, s3=s3)


class TestSpec:
    def test_the_kind_is_s3_and_the_path_is_taken_literally(self) -> None:
        spec = source_spec("s3://inbox/a b/%41")
        assert (spec.kind, spec.path) == ("s3", "s3://inbox/a b/%41")
        assert type(spec).from_json(spec.to_json()) == spec

    async def test_a_list_names_objects_below_the_prefix(self, bucket: Bucket, s3: S3Client, tmp_path: Any) -> None:
        bucket.put("in/a b.csv", "in/.b.csv", "in/c.csv", "in/gone.csv2")
        names = tmp_path / "names"
        names.write_text("s3://inbox/in/gone.csv\ns3://inbox/in/.b.csv\ns3://inbox/in/a b.csv\n")
        source = open_source(source_spec("s3://inbox/in", files_from=str(names)), now=NOW, s3=s3)
        entries = await listed(source)
        assert [(one.source, one.rejection and one.rejection.code) for one in entries] == [
            (".b.csv", None),
            ("a b.csv", None),
            ("gone.csv", "not_found"),
        ]
        of_prefix = {entry.source: entry for entry in await listed(source_at(s3))}
        assert entries[1] == of_prefix["a b.csv"]

    async def test_a_list_that_names_objects_is_refused(self, tmp_path: Any) -> None:
        names = tmp_path / "names"
        names.write_text("a.csv\ns3://inbox/a.csv\n")
        source = open_source(source_spec(str(tmp_path), files_from=str(names)), now=NOW)
        with pytest.raises(ConfigError, match=r"names s3://inbox/a\.csv"):
            await listed(source)


class TestInbox:
    async def test_each_object_is_listed_once_in_its_latest_version_page_by_page(
        self, bucket: Bucket, s3: S3Client
    ) -> None:
        bucket.client.put_bucket_versioning(Bucket="inbox", VersioningConfiguration={"Status": "Enabled"})
        bucket.put("in/a.csv", "in/b.csv", "in/gone.csv", "other.csv", content=b"old\n")
        etag = bucket.put("in/a.csv", content=b"new\n")
        bucket.delete("in/gone.csv")
        found, token = await S3Places(s3, clock=SystemClock()).inbox_page("s3://inbox/in/", None)
        assert token is None
        assert [one.key for one in found] == ["in/a.csv", "in/b.csv"]
        version = bucket.client.head_object(Bucket="inbox", Key="in/a.csv")["VersionId"]
        assert (found[0].etag, found[0].size_bytes, found[0].version_id) == (etag, 4, version)
        assert abs(found[0].at - datetime.now(UTC)) < timedelta(minutes=5)

    async def test_objects_without_versions_have_none(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put("a.csv")
        (found,), _ = await S3Places(s3, clock=SystemClock()).inbox_page("s3://inbox/", None)
        assert found.version_id is None

    async def test_a_long_inbox_has_several_pages(self, bucket: Bucket, s3: S3Client) -> None:
        bucket.put(*(f"{number:04}.csv" for number in range(1003)))
        places, keys, token = S3Places(s3, clock=SystemClock()), [], None
        while True:
            found, token = await places.inbox_page("s3://inbox/", token)
            keys += [one.key for one in found]
            if token is None:
                break
        assert sorted(set(keys)) == [f"{number:04}.csv" for number in range(1003)], "a page may repeat the last object"
