"""An upgrade from version 0.1.0: its ledgers are read as they were written, and its names are computed again."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tomllib
from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from runner import identity
from runner.config.routes import Routes
from runner.errors import TagInUse
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.protocol import Ledger
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.models import Item, ItemState, iso
from runner.sources import open_source, source_spec
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table

DATA = Path(__file__).parents[1] / "data" / "0.1.0"
NOW = datetime(2026, 9, 4, tzinfo=UTC)
EXPECTED = json.loads((DATA / "ledger.json").read_text("utf-8"))
NAMES = json.loads((DATA / "names.json").read_text("utf-8"))
SECOND_NIGHT = EXPECTED["batches"][1]["batch_id"]


def decoded(value: dict[str, Any]) -> dict[str, Any]:
    """Return an attribute value with its base64 texts as bytes."""
    ((kind, content),) = value.items()
    if kind == "B":
        return {kind: base64.b64decode(content)}
    if kind == "BS":
        return {kind: [base64.b64decode(one) for one in content]}
    if kind == "L":
        return {kind: [decoded(one) for one in content]}
    if kind == "M":
        return {kind: {name: decoded(one) for name, one in content.items()}}
    return value


@pytest.fixture(params=["sqlite", "dynamodb"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    """The ledger that version 0.1.0 left, opened for writing by this version."""
    if request.param == "sqlite":
        shutil.copy(DATA / "ledger.db", tmp_path / "ledger.db")
        opened = SqliteLedger.open(tmp_path / "ledger.db", now=lambda: NOW)
        yield opened
        await opened.close()
        return
    aws: LocalAws = request.getfixturevalue("ministack")
    async with fresh_table(aws.client_arguments) as table:
        for row in json.loads((DATA / "dynamodb-items.json").read_text("utf-8")):
            await table.put({name: decoded(value) for name, value in row.items()})
        yield DynamoLedger(table, now=lambda: NOW)


def plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, str) and not value.isascii():
        return os.fsencode(value).decode("latin-1") if any("\udc80" <= c <= "\udcff" for c in value) else value
    return value


def document(record: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record that version 0.1.0 knew."""
    return {field.name: plain(getattr(record, field.name)) for field in fields(record) if field.name in known}


async def test_every_batch_item_and_step_is_read_as_it_was_written(ledger: Ledger) -> None:
    batches = await ledger.batches()
    assert [batch.batch_id for batch in batches] == [one["batch_id"] for one in EXPECTED["batches"]]
    for batch, expected in zip(batches, EXPECTED["batches"], strict=True):
        assert document(batch, expected) == {key: value for key, value in expected.items() if key != "items"}
        items = [item async for item in ledger.items(batch.batch_id)]
        assert len(items) == len(expected["items"])
        for item, known in zip(items, expected["items"], strict=True):
            history = await ledger.history(batch.batch_id, item.source)
            assert document(item, known) == {key: value for key, value in known.items() if key != "history"}
            assert [document(step, known["history"][0]) for step in history] == known["history"]


def test_the_fixture_has_an_item_in_every_state_that_0_1_0_had() -> None:
    found = {item["state"] for batch in EXPECTED["batches"] for item in batch["items"]}
    assert found == {
        "queued", "creating", "created", "processing", "needs_review", "succeeded", "collected", "failed", "rejected",
        "skipped", "uncertain",
    }  # fmt: skip


async def test_counts_pages_orphans_and_owners_are_those_of_the_items(ledger: Ledger) -> None:
    for expected in EXPECTED["batches"]:
        counts = await ledger.counts(expected["batch_id"])
        for state in ItemState:
            sources = [item["source"] for item in expected["items"] if item["state"] == state]
            page = await ledger.page(expected["batch_id"], state, after=None, limit=100)
            assert counts.get(state, 0) == len(page) == len(sources)
    assert iso(await ledger.reconciled_to(EXPECTED["endpoint"])) == EXPECTED["reconciled_to"]
    assert [one.import_id for one in await ledger.orphans("a" * 13)] == EXPECTED["orphans"]
    released, bound = f"{SECOND_NIGHT[-6:]}-import-0020", f"{SECOND_NIGHT[-6:]}-import-0021"
    owner = (SECOND_NIGHT, "released.csv")
    assert await ledger.owners([released, bound, "unknown"]) == {released: owner, bound: owner}


async def test_nobody_knows_what_the_results_of_0_1_0_lack(ledger: Ledger) -> None:
    for expected in EXPECTED["batches"]:
        collected = [item for item in expected["items"] if item["state"] == "collected"]
        totals = await ledger.row_totals(expected["batch_id"])
        assert (totals.file_count, totals.unknown_count, totals.lossy_count) == (len(collected), len(collected), 0)
        if isinstance(ledger, SqliteLedger):
            assert totals.row_count == sum(item["row_count"] or 0 for item in collected)
        for source in (item["source"] for item in collected if item["source"].isascii()):
            item = await ledger.item(expected["batch_id"], source)
            assert item is not None
            moved = await ledger.advance(item, ItemState.SUCCEEDED, reason="its result is gone")
            await ledger.advance(moved, ItemState.COLLECTED, reason="saved", row_count=3, rows_in=5)
    totals = await ledger.row_totals(EXPECTED["batches"][0]["batch_id"])
    assert totals.known_count > 0
    assert totals.rows_left_out == 2 * totals.known_count


async def test_an_item_of_0_1_0_can_be_moved_on(ledger: Ledger) -> None:
    item = await ledger.item(SECOND_NIGHT, "processing.csv")
    assert item is not None
    moved = await ledger.advance(item, ItemState.SUCCEEDED, reason="SUCCESSFUL", status="SUCCESSFUL")
    assert moved.revision == item.revision + 1
    assert (await ledger.history(SECOND_NIGHT, "processing.csv"))[-1].reason == "SUCCESSFUL"


async def test_a_batch_of_0_1_0_takes_the_reason_of_its_next_run(ledger: Ledger) -> None:
    assert [batch.reason for batch in await ledger.batches()] == [None] * len(EXPECTED["batches"])
    await ledger.update_batch(SECOND_NIGHT, reason="the time budget is used up")
    found = await ledger.batch(SECOND_NIGHT)
    assert found is not None
    assert found.reason == "the time budget is used up"


async def test_content_that_0_1_0_sent_cannot_be_claimed_again(ledger: Ledger) -> None:
    sent = await ledger.item(EXPECTED["batches"][0]["batch_id"], "2026-08/east.csv")
    assert sent is not None
    await ledger.add([Item(batch_id=SECOND_NIGHT, source="copy.csv")])
    twin = Item(batch_id=SECOND_NIGHT, source="copy.csv")
    with pytest.raises(TagInUse):
        await ledger.advance(twin, ItemState.CREATING, reason="create attempt 1", tag=sent.tag, attempts=1)


async def test_a_file_that_0_1_0_sent_is_found_by_its_version_and_a_new_item_also_by_its_file(ledger: Ledger) -> None:
    sent = await ledger.item(EXPECTED["batches"][0]["batch_id"], "2026-08/east.csv")
    assert sent is not None
    assert sent.file_key == ""
    assert (await ledger.by_version([sent.version_key]))[sent.version_key][0] == sent
    new = Item(batch_id=SECOND_NIGHT, source="new.csv", file_key="f", state=ItemState.COLLECTED, tag="t")
    await ledger.add([new])
    assert await ledger.by_file(["f"]) == {"f": [new]}
    earlier = sent.as_earlier() | {"earlier_state": ItemState.UNCERTAIN}
    held_back = Item(batch_id=SECOND_NIGHT, source="held.csv", state=ItemState.SKIPPED, **earlier)
    await ledger.add([held_back])
    assert await ledger.held_back(SECOND_NIGHT) == [held_back]


def test_endpoint_and_account_are_as_in_0_1_0() -> None:
    assert identity.endpoint(NAMES["api_url"]) == NAMES["endpoint"]
    assert identity.account(NAMES["api_url"], NAMES["license_key"]) == NAMES["account"]


def test_the_bindings_of_an_unchanged_configuration_are_as_in_0_1_0() -> None:
    table = tomllib.loads((DATA / "config" / "bulkhead.toml").read_text("utf-8"))["routes"]
    routes = Routes.load(table, DATA / "config")
    assert {route.name: route.binding for route in routes.routes} == NAMES["bindings"]


@pytest.mark.parametrize("known", NAMES["tags"], ids=lambda known: known["tag"])
def test_a_tag_is_as_in_0_1_0(known: dict[str, str]) -> None:
    assert (
        identity.tag(known["uri"], known["fingerprint"], known["binding"], endpoint=NAMES["endpoint"]) == known["tag"]
    )


@pytest.mark.parametrize("known", NAMES["version_keys"], ids=lambda known: known["version_key"])
def test_a_version_key_is_as_in_0_1_0(known: dict[str, str]) -> None:
    key = identity.version_key(known["uri"], known["version"], known["binding"], endpoint=NAMES["endpoint"])
    assert key == known["version_key"]


@pytest.mark.parametrize("known", NAMES["filenames"], ids=lambda known: str(known["source"])[:20])
def test_an_original_filename_is_as_in_0_1_0(known: dict[str, str]) -> None:
    assert identity.tagged_filename(known["source"], known["tag"]) == known["original_filename"]


@pytest.mark.parametrize("known", NAMES["batch_ids"], ids=lambda known: known["batch_id"])
def test_a_batch_id_is_as_in_0_1_0(known: dict[str, str]) -> None:
    started_at = datetime.fromisoformat(known["started_at"])
    assert identity.batch_id(known["source_uri"], started_at) == known["batch_id"]


@pytest.mark.parametrize("known", NAMES["local_files"], ids=lambda known: known["version"])
async def test_version_and_fingerprint_of_a_file_are_as_in_0_1_0(known: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(known["content"], "utf-8")
    os.utime(path, ns=(known["mtime_ns"], known["mtime_ns"]))
    source = open_source(source_spec(str(tmp_path)), now=NOW)
    (entry,) = [entry async for chunk in source.entries() for entry in chunk]
    prepared = await source.prepare(Item(batch_id="b", source="a.csv"))
    assert (entry.version, prepared.fingerprint) == (known["version"], known["fingerprint"])
