"""What the normal life of a file costs in DynamoDB: write requests, write units, and read units."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from runner import identity
from runner.ledger.dynamodb import keys
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.models import Batch, Item, ItemState
from runner.quota.dynamodb import DynamoSlots
from runner.quota.slots import Slot
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table

START = datetime(2026, 7, 23, 10, 0, tzinfo=UTC)
BATCH = "20260723-101502-k3f9x2"
FILES = 99
MOST_WRITE_REQUESTS = 10
MOST_READ_UNITS = 4
MOST_WRITE_UNITS = {0: 36, 8: 24}
"""With counters in the row of a batch, as runners start it, and with those of the stack's batches, in shards."""

FILES_OF_A_FUNCTION = 9
ROW_BYTES = 1024
S = ItemState


def listed(number: int) -> Item:
    source = f"2026/07/23/customers-of-region-{number:05}.csv"
    key = identity.version_key(source, "v", "b", endpoint="e")
    file = identity.file_key(source, endpoint="e")
    version = f"1048576-1784801702{number:09}"
    return Item(
        batch_id=BATCH, source=source, size_bytes=1 << 20, file_key=file, version=version, version_key=key,
        binding="0123456789abcdef", schema_id=str(uuid.UUID(int=7)),
    )  # fmt: skip


async def live(ledger: DynamoLedger, slots: DynamoSlots, item: Item) -> Item:
    """Bring a listed item to its end as a run does."""
    fingerprint = f"sha256:{sha256(item.source.encode()).hexdigest()}"
    tag = identity.tag(item.source, fingerprint, "b", endpoint="e")
    turn = await slots.first("acc", count=20)
    taken = Slot(turn.due_at + 100, uuid.uuid4().hex[:16])
    assert await slots.swap("acc", turn.number, seen=turn.slot, new=taken)
    item = await ledger.advance(
        item, S.CREATING, reason="create attempt 1", attempts=1, intent_at=START, tag=tag, fingerprint=fingerprint,
        file_key=item.file_key, version=item.version, version_key=item.version_key, binding=item.binding,
        schema_id=item.schema_id, original_filename=identity.tagged_filename(item.source, tag),
    )  # fmt: skip
    import_id = str(uuid.uuid4())
    item = await ledger.advance(
        item, S.CREATED, reason="created", import_id=import_id, status="AWAITING_UPLOAD", created_at=START
    )
    await ledger.count_up(BATCH, creates=1)
    assert await slots.swap("acc", turn.number, seen=taken, new=Slot(turn.due_at + 62, taken.token))
    item = await ledger.advance(item, S.PROCESSING, reason="uploaded", uploaded_at=START)
    item = await ledger.advance(item, S.SUCCEEDED, reason="SUCCESSFUL", status="SUCCESSFUL")
    result = f"results/{item.source}.json"
    return await ledger.advance(
        item, S.COLLECTED, reason="collected", row_count=1000, result=result, finished_at=START,
        result_sha256=sha256(b"result").hexdigest(),
    )  # fmt: skip


def size_of(row: keys.Row) -> int:
    """Return a row's size in bytes as DynamoDB counts it."""
    return sum(len(name) + size_of_value(value) for name, value in row.items())


def size_of_value(value: keys.Value) -> int:
    [(kind, inner)] = value.items()
    match kind:
        case "S":
            return len(inner.encode())
        case "B":
            return len(inner)
        case "N":
            return len(inner) // 2 + 2
        case "L":
            return 3 + sum(1 + size_of_value(one) for one in inner)
        case _:
            return 1


async def life_of_files(table: DynamoTable, count: int, *, shards: int) -> Item:
    ledger, slots = DynamoLedger(table, now=lambda: START, counter_shards=shards), DynamoSlots(table)
    await ledger.start_batch(
        Batch(
            batch_id=BATCH,
            source_uri="file:///data/inbox",
            account="a",
            out="/data/out",
            config="{}" * 5000,
            started_at=START,
        )
    )
    items = [listed(number) for number in range(count)]
    await ledger.add(items)
    last = items[0]
    for number, item in enumerate(items, start=1):
        last = await live(ledger, slots, item)
        if number % FILES_OF_A_FUNCTION == 0:
            await ledger.flush_counts()
    return last


@pytest.mark.parametrize("shards", MOST_WRITE_UNITS)
async def test_a_file_costs_few_writes_and_its_row_fits_into_one_unit(ministack: LocalAws, shards: int) -> None:
    async with fresh_table(ministack.client_arguments) as table:
        item = await life_of_files(table, FILES, shards=shards)
        usage = table.usage
        row = await table.get(keys.item_key(BATCH, item.source))
        assert row is not None
        assert size_of(row) <= ROW_BYTES
        assert usage.write_requests / FILES <= MOST_WRITE_REQUESTS
        assert usage.write_units / FILES <= MOST_WRITE_UNITS[shards]
        assert usage.read_units / FILES <= MOST_READ_UNITS
