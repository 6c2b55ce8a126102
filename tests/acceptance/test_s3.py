"""Files in S3, results to S3: the same promises as on a disk, with the listing in pages and the process killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.s3 import child
from benchmarks.upload import sink
from tests.acceptance.inbox import Workspace, assert_each_once, rows, sha256
from tests.acceptance.vendors import SandboxVendor
from tests.support.aws import LocalAws
from tests.support.bucket import Bucket
from tests.support.command import CANARY_AWS_KEY

FILES = 60
PACE = ("--create-quota", "200/2s", "--uploads", "4")
SMALL_PAGES = "import runner.sources.s3 as s3; s3.PAGE_LENGTH = 7; from runner.__main__ import main; main()"
DOCUMENTS = {
    ".bulkhead-out.json",
    "manifest.csv",
    "manifest.jsonl",
    "summary.json",
    "report.html",
    "failed.txt",
    "review.txt",
}

Work = Callable[..., Workspace]


@pytest.fixture
def inbox(aws: LocalAws) -> Bucket:
    return Bucket(aws)


@pytest.fixture
def results(aws: LocalAws) -> Bucket:
    return Bucket(aws, "results")


@pytest.fixture
def mine(work: Work, sandbox: SandboxVendor, aws: LocalAws) -> Workspace:
    """A workspace whose commands list seven keys a page."""
    workspace = work(sandbox, **{**aws.variables, "AWS_SECRET_ACCESS_KEY": CANARY_AWS_KEY})
    workspace.command.program = ["-c", SMALL_PAGES]
    return workspace


def fill(bucket: Bucket, *, count: int) -> dict[str, bytes]:
    files = {f"{'abc'[number % 3]}/{number:03}.csv": rows(number) for number in range(count)}
    for name, content in files.items():
        bucket.put(f"2026/{name}", content=content)
    return files


def run(*more: str, source: str = "s3://inbox/2026/", out: str = "s3://results/out/") -> list[str]:
    return ["run", source, "--schema-id", "customers", "--out", out, *PACE, *more]


def lines(manifest: bytes) -> dict[str, dict[str, Any]]:
    return {line["source"]: line for line in map(json.loads, manifest.splitlines())}


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [4, 150])
def test_a_run_that_was_killed_goes_on_and_leaves_what_the_local_sink_would(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, results: Bucket, killed_after: int
) -> None:
    files = fill(inbox, count=FILES)
    with mine.command.start(*run("--json")) as running:
        running.until_lines(killed_after)
        running.kill()

    mine.command("resume", *PACE).expect(0)

    assert_each_once(sandbox.received(), files)
    manifest = lines(results.get("out/manifest.jsonl"))
    assert manifest.keys() == files.keys()
    assert set(results.keys()) == {f"out/{name}" for name in DOCUMENTS} | {f"out/results/{name}.json" for name in files}
    for name, line in manifest.items():
        content = results.get(f"out/{line['result']}")
        assert (line["state"], line["row_count"], line["result"]) == ("collected", 3, f"results/{name}.json")
        assert (sha256(content), len(json.loads(content))) == (line["result_sha256"], 3)
    printed = mine.command("manifest").expect(0).stdout
    assert lines(printed) == manifest
    assert json.loads(results.get("out/summary.json"))["by_state"]["collected"] == FILES
    assert results.uploads() == []


@pytest.mark.slow
def test_an_unchanged_prefix_is_skipped_and_a_changed_object_is_not(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, results: Bucket
) -> None:
    files = fill(inbox, count=9)
    mine.command(*run()).expect(0)
    inbox.put("2026/a/000.csv", content=rows(900))
    mine.command(*run(out="s3://results/again")).expect(0)
    assert_each_once(sandbox.received(), {**files, "a/000.csv again": rows(900)})
    states = {name: line["state"] for name, line in lines(results.get("again/manifest.jsonl")).items()}
    assert states == {**dict.fromkeys(files, "skipped"), "a/000.csv": "collected"}


def test_packed_objects_keep_their_places_over_two_nights_in_one_prefix(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, results: Bucket
) -> None:
    files = fill(inbox, count=12)
    mine.command(*run("--pack", "auto")).expect(0)
    first = lines(results.get("out/manifest.jsonl"))
    changed = {name: rows(900 + number) for number, name in enumerate(list(files)[:4])}
    for name, content in changed.items():
        inbox.put(f"2026/{name}", content=content)
    second = mine.command(*run("--pack", "auto")).expect(0)

    assert "result_kept" not in second.text
    kept, documents = set(results.keys()), {f"out/{name}" for name in DOCUMENTS}
    lists = {key for key in kept if key.startswith("out/.bulkhead-packs/")}
    assert kept - lists == documents | {f"out/results/{name}.json" for name in files}
    night = lines(results.get("out/manifest.jsonl"))
    assert {name for name, line in night.items() if line["pack_id"]} == changed.keys()
    for name, content in changed.items():
        saved = results.get(f"out/results/{name}.json")
        assert sha256(saved) == night[name]["result_sha256"]
        assert json.loads(saved)[0]["name"].encode() in content

    for path in mine.home.rglob("ledger.db*"):
        path.unlink()
    mine.command(*run("--pack", "auto")).expect(0)
    without_ledger = lines(results.get("out/manifest.jsonl"))
    assert {name: line["import_id"] for name, line in without_ledger.items()} == {
        name: (night if name in changed else first)[name]["import_id"] for name in files
    }


@pytest.mark.slow
def test_an_object_overwritten_between_listing_and_upload_is_never_imported_under_its_old_name(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, results: Bucket
) -> None:
    files = fill(inbox, count=6)
    slowly = ["run", "s3://inbox/2026", "--schema-id", "customers", "--out", "s3://results/out", "--json"]
    with mine.command.start(*slowly, "--create-quota", "1/2s") as running:
        running.until_event(lambda event: event["event"] == "items_discovered" and event["finished"])
        inbox.put("2026/c/005.csv", content=rows(905))
        running.wait().expect(4)
    line = lines(results.get("out/manifest.jsonl"))["c/005.csv"]
    assert (line["state"], line["error_code"]) == ("rejected", "changed_while_read")
    assert "replaced after it was listed" in line["error_message"]

    mine.command(*run(out="s3://results/next")).expect(0)
    assert_each_once(sandbox.received(), {**files, "c/005.csv": rows(905)})


@pytest.mark.slow
def test_files_go_from_s3_to_a_disk_and_from_a_disk_to_s3(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, results: Bucket
) -> None:
    files = fill(inbox, count=9)
    mine.command(*run(out="out")).expect(0)
    mine.assert_collected(files)
    local = {name.replace(".csv", "-local.csv"): rows(number + 100) for number, name in enumerate(files)}
    for name, content in local.items():
        mine.add(name, content)
    mine.command(*run(source="inbox")).expect(0)
    assert lines(results.get("out/manifest.jsonl")).keys() == local.keys()
    assert_each_once(sandbox.received(), {**files, **local})


@pytest.mark.slow
def test_a_ledger_in_dynamodb_needs_nothing_on_the_disk(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, results: Bucket
) -> None:
    files = fill(inbox, count=9)
    mine.command("ledger", "create-table", "bulkhead").expect(0)
    for out, state in (("first", "collected"), ("second", "skipped")):
        mine.command(*run("--ledger", "dynamodb://bulkhead", out=f"s3://results/{out}")).expect(0)
        manifest = lines(results.get(f"{out}/manifest.jsonl"))
        assert {name: line["state"] for name, line in manifest.items()} == dict.fromkeys(files, state)
    assert_each_once(sandbox.received(), files)
    assert not (mine.home / ".bulkhead").exists()


@pytest.mark.slow
def test_plan_and_explain_say_what_a_run_would_do(mine: Workspace, sandbox: SandboxVendor, inbox: Bucket) -> None:
    fill(inbox, count=9)
    inbox.put("2026/empty.csv", content=b"")
    schema = ("--schema-id", "customers", "--json")
    plan = mine.command("plan", "s3://inbox/2026", *schema).expect(0).document
    assert (plan["items"], plan["creates"], plan["rejected"]) == (10, 9, {"empty": 1})
    for file in ("s3://inbox/2026/a/000.csv", "s3://inbox/2026/empty.csv"):
        printed = mine.command("explain", file, *schema).expect(0).document
        assert printed["verdict"] == ("reject" if "empty" in file else "send")
    mine.command("explain", "s3://inbox/2026/gone.csv", *schema).expect(3)
    mine.command("explain", "a/000.csv", "--source", "s3://inbox/2026", *schema).expect(0)
    assert sandbox.received() == {}


@pytest.mark.slow
def test_a_review_finished_later_is_collected_to_s3(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, results: Bucket
) -> None:
    inbox.put("2026/a.csv", content=b"Full Name,Email\n,not an address\n")
    arguments = ["run", "s3://inbox/2026", "--schema-id", "strict", "--out", "s3://results/out", *PACE]
    mine.command(*arguments).expect(6)
    [line] = lines(results.get("out/manifest.jsonl")).values()
    assert (line["state"], results.keys("out/results")) == ("needs_review", [])
    sandbox.finish_review(line["import_id"])
    mine.command("track").expect(0)
    [line] = lines(results.get("out/manifest.jsonl")).values()
    assert line["state"] == "collected"
    assert results.keys("out/results") == ["out/results/a.csv.json"]


def test_objects_are_checked_as_files_are(mine: Workspace, sandbox: SandboxVendor, inbox: Bucket) -> None:
    fill(inbox, count=3)
    inbox.put("2026/rows.json", content=b'[{"name": "A", "email": "a@example.com"}]')
    inbox.put("2026/wrong.csv", content=b"Full Name,Email\n,no address\n")
    inbox.put("2026/empty.csv", content=b"")
    printed = mine.command("check", "s3://inbox/2026", "--schema-id", "customers", "--json")
    found = {line["source"]: line["prediction"] for line in printed.events if "prediction" in line}
    assert found == {
        **dict.fromkeys(("a/000.csv", "b/001.csv", "c/002.csv", "rows.json"), "succeed"),
        "wrong.csv": found["wrong.csv"],
        "empty.csv": "reject",
    }
    assert found["wrong.csv"] in ("succeed", "review", "fail")
    assert sandbox.received() == {}


@pytest.mark.slow
def test_a_run_may_check_objects_before_it_sends_them(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, results: Bucket
) -> None:
    files = fill(inbox, count=3)
    inbox.put("2026/damaged.xlsx", content=b"PK\x03\x04 the rest of this workbook was lost")
    mine.command(*run("--check")).expect(4)
    states = {name: line["state"] for name, line in lines(results.get("out/manifest.jsonl")).items()}
    assert states == {**dict.fromkeys(files, "collected"), "damaged.xlsx": "rejected"}
    assert_each_once(sandbox.received(), files)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["s3://nowhere-to-be-found/in", "--out", "out"], 3, "there is no bucket nowhere-to-be-found"),
        (["s3://inbox/2026", "--out", "s3://nowhere-to-be-found/out"], 2, "there is no bucket nowhere-to-be-found"),
        (["s3:///2026", "--out", "out"], 2, "does not name a bucket"),
        (["s3://inbox/2026", "--files-from", "s3://inbox/list", "--out", "out"], 2, "takes a list on this machine"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, arguments: list[str], code: int, said: str
) -> None:
    inbox.put("2026/a.csv", content=rows(0))
    ended = mine.command("run", *arguments, "--schema-id", "customers").expect(code)
    assert said in ended.text
    assert "hint:" in ended.text
    assert sandbox.received() == {}


def test_nothing_tells_the_credentials_even_when_all_is_told(mine: Workspace, inbox: Bucket) -> None:
    inbox.put("2026/a.csv", content=rows(0))
    mine.command(*run("--verbose", out="s3://nowhere-to-be-found/out")).expect(2)
    mine.command(*run("--verbose", out="out")).expect(0)
    mine.command("config").expect(0)


def test_missing_credentials_are_said(mine: Workspace, inbox: Bucket) -> None:
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    ended = mine.command("plan", "s3://inbox/2026", "--schema-id", "customers", variables=none).expect(2)
    assert "no usable AWS credentials" in ended.text


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["upload", "collect"])
def test_memory_does_not_grow_with_the_size_of_what_is_carried(aws: LocalAws, direction: str) -> None:
    with sink() as url:
        child(aws, "fill", url, "96")
        large = child(aws, direction, url, "96")
        child(aws, "fill", url, "1")
        small = child(aws, direction, url, "1")
    assert large["rss_mb"] < small["rss_mb"] + 40


@pytest.mark.parametrize("out", ["s3:/results/out", "gs://results/out"])
def test_a_mistyped_url_is_no_directory_for_results(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, out: str
) -> None:
    fill(inbox, count=1)
    assert "write a path, or s3://BUCKET/PREFIX" in mine.command(*run(out=out)).expect(2).text
    assert sandbox.received() == {}


@pytest.mark.parametrize("out", ["s3://inbox", "s3://inbox/2026/out"])
def test_results_may_be_above_or_below_the_source(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, out: str
) -> None:
    files = fill(inbox, count=2)
    mine.command(*run(out=out)).expect(0)
    mine.command(*run(out=out)).expect(0)
    assert_each_once(sandbox.received(), files)


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("s3://inbox/2026", "s3://inbox/2026//"),
        ("s3://inbox", "s3://inbox/"),
        ("s3://inbox/2026/results/a/", "s3://inbox/2026"),
        ("inbox", "inbox"),
        ("inbox", "inbox/../inbox"),
    ],
)
def test_results_never_go_among_the_files_of_the_source(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket, source: str, out: str
) -> None:
    fill(inbox, count=1)
    inbox.put("2026/results/a/b.csv", content=rows(1))
    mine.add("a.csv", rows(2))
    before = inbox.keys()
    ended = mine.command(*run(source=source, out=out)).expect(2)
    assert "among the files of its source" in ended.text
    assert "hint: choose another --out" in ended.text
    assert (sandbox.received(), inbox.keys()) == ({}, before)


def test_no_night_imports_the_results_of_another(mine: Workspace, sandbox: SandboxVendor, inbox: Bucket) -> None:
    files = fill(inbox, count=2)
    local = {"a.csv": rows(5)}
    mine.add("a.csv", local["a.csv"])
    for night in ("1", "2"):
        for source in ("s3://inbox/2026", "inbox"):
            ended = mine.command(*run(source=source, out=f"{source}/night-{night}")).expect(0)
            assert ("the results of earlier runs are not imported: night-1" in ended.text) == (night == "2")
    assert_each_once(sandbox.received(), files | local)


def test_the_results_of_a_file_that_is_named_may_be_beside_it(
    mine: Workspace, sandbox: SandboxVendor, inbox: Bucket
) -> None:
    files = fill(inbox, count=1)
    mine.command(*run(source="s3://inbox/2026/a/000.csv", out="s3://inbox/2026/a")).expect(0)
    assert_each_once(sandbox.received(), files)
