"""A batch keeps all its data when it is copied from any store to any other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.config.settings import Settings
from runner.errors import BatchTaken, ConfigError, ImportIdTaken, LedgerError
from runner.ledger.dynamodb.leases import DynamoLeases
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.location import LedgerTable
from runner.ledger.protocol import PortableLedger
from runner.local.copy_ledger import Copied, copy_ledger
from runner.local.resources import Resources
from runner.models import Batch, BatchState, HistoryEntry, Item, ItemState, RemoteImport
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table

START = datetime(2026, 7, 23, 10, 0, tzinfo=UTC)
UNDECODABLE = b"caf\xe9\xff.csv".decode("utf-8", "surrogateescape")
TAG = "a" * 13
S = ItemState
Both = tuple[Resources, Resources]


@pytest.fixture(
    params=["file to table", "table to file", pytest.param("table to table", marks=pytest.mark.slow), "file to file"]
)
async def both(
    request: pytest.FixtureRequest, tmp_path: Path, ministack: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Both]:
    for name, value in ministack.variables.items():
        monkeypatch.setenv(name, value)
    async with AsyncExitStack() as stack:
        sides = []
        for number, kind in enumerate(request.param.split(" to ")):
            place: Path | LedgerTable = tmp_path / f"{number}.db"
            if kind == "table":
                table = await stack.enter_async_context(fresh_table(ministack.client_arguments))
                place = LedgerTable(table.name)
            sides.append(await stack.enter_async_context(Resources(Settings(ledger=place))))
        yield sides[0], sides[1]


async def opened(resources: Resources) -> PortableLedger:
    return await resources.ledger(write=True)  # type: ignore[return-value]


async def fill(ledger: PortableLedger, batch_id: str = "b1") -> None:
    """Leave a batch with a bound, a released, a tagged and an untouched item."""
    await ledger.start_batch(
        Batch(
            batch_id=batch_id, source_uri=f"file:///{UNDECODABLE}", account="e1-acc", out="o", config='{"v": 1}',
            started_at=START, counters={"creates": 3},
        )
    )  # fmt: skip
    names = ["plain.csv", "bound.csv", "released.csv", UNDECODABLE]
    await ledger.add(
        [Item(batch_id=batch_id, source=name, version_key=f"k-{name[0]}", file_key=f"f-{name[0]}") for name in names]
    )
    earlier = Item(batch_id="b0", source="", state=S.UNCERTAIN, import_id="imp").as_earlier()
    await ledger.add([Item(batch_id=batch_id, source="held back.csv", state=S.SKIPPED, **earlier)])
    await ledger.add(
        [Item(batch_id=batch_id, source="brought.csv", state=S.FAILED, revision=4, import_id=f"{batch_id}-0")]
    )
    for number, name in enumerate(names[1:], start=1):
        item = Item(batch_id=batch_id, source=name)
        item = await ledger.advance(
            item, S.CREATING, reason="create attempt 1", attempts=1, tag=f"{batch_id}-t{number}"
        )
        item = await ledger.advance(item, S.CREATED, reason="created", import_id=f"{batch_id}-{number}")
        if name == "released.csv":
            item = await ledger.advance(item, S.QUEUED, reason=f"url {UNDECODABLE}|expired", import_id=None)
            item = await ledger.advance(item, S.CREATING, reason="create attempt 2", attempts=2)
            await ledger.advance(item, S.CREATED, reason="created", import_id=f"{batch_id}-again")
    await ledger.update_batch(
        batch_id, state=BatchState.PAUSED, listed=True, exit_code=5, reason="stopped", finished_at=START
    )


async def all_of(ledger: PortableLedger, batch_id: str) -> dict[str, Any]:
    items = [item async for item in ledger.items(batch_id)]
    imports = [f"{batch_id}-{name}" for name in (0, 1, 2, 3, "again")]
    return {
        "batch": await ledger.batch(batch_id),
        "items": items,
        "histories": [await ledger.history(batch_id, item.source) for item in items],
        "counts": await ledger.counts(batch_id),
        "owners": await ledger.owners(imports),
        "tags": await ledger.by_tag([f"{batch_id}-t{number}" for number in range(4)]),
        "versions": await ledger.by_version([f"k-{letter}" for letter in "pbrc"]),
        "files": await ledger.by_file([f"f-{letter}" for letter in "pbrc"]),
        "held back": await ledger.held_back(batch_id),
    }


async def copied(both: Both, batch_id: str | None = None) -> list[Copied]:
    found: list[Copied] = []
    await copy_ledger(*both, batch_id=batch_id, on_copied=found.append)
    return found


async def test_a_copy_has_everything_of_a_batch(both: Both) -> None:
    old, new = [await opened(side) for side in both]
    await fill(old)
    assert await copied(both) == [Copied(batch_id="b1", items=6, new=6)]
    found = await all_of(new, "b1")
    assert found == await all_of(old, "b1")
    assert found["owners"]["b1-2"] == ("b1", "released.csv")
    assert len(found["owners"]) == 5
    assert found["files"].keys() == {"f-b", "f-r", "f-c"}
    assert [item.source for item in found["held back"]] == ["held back.csv"]


async def test_nothing_is_restored_from_no_records(both: Both) -> None:
    for side in both:
        assert await (await opened(side)).restore([]) == 0


async def test_a_copied_batch_can_be_continued(both: Both) -> None:
    old, new = [await opened(side) for side in both]
    await fill(old)
    await copied(both)
    item = await new.item("b1", "released.csv")
    assert item is not None
    with pytest.raises(ImportIdTaken):
        await new.advance(item, S.CREATED, reason="rebind", import_id="b1-2")
    await new.advance(item, S.PROCESSING, reason="uploaded")
    assert [step.reason for step in await new.history("b1", "released.csv")][-1] == "uploaded"


async def test_a_copy_of_the_whole_ledger_has_what_it_knows_of_the_vendor(both: Both) -> None:
    old, new = [await opened(side) for side in both]
    orphan = RemoteImport(import_id="lost", status="PENDING", original_filename=f"a.~{TAG}.csv")
    pack = replace(orphan, import_id="pack", original_filename=f"pack-of-2-files.~{TAG}.~bbbbbb.csv")
    await old.keep_orphans([orphan, pack])
    assert [one async for page in old.all_orphans() for one in page if one.import_id == "pack"] == [pack]
    await old.set_reconciled("e1", START)
    await old.set_reconciled("e2", START)
    await new.set_reconciled("e2", START + timedelta(hours=1))
    await copied(both)
    assert sorted(one.import_id for one in await new.orphans(TAG)) == ["lost", "pack"]
    assert await new.orphans_named("pack-of-") == [pack]
    assert await new.reconciled_to("e1") == START
    assert await new.reconciled_to("e2") == START + timedelta(hours=1)


async def test_a_copy_of_one_batch_has_only_orphans_without_an_owner(both: Both) -> None:
    old, new = [await opened(side) for side in both]
    await fill(old)
    await fill(old, "b2")
    lost = RemoteImport(import_id="lost", status="PENDING", original_filename=f"a.~{TAG}.csv")
    await old.keep_orphans([lost, replace(lost, import_id="b2-1")])
    await old.set_reconciled("e1", START)
    assert [one.batch_id for one in await copied(both, "b1")] == ["b1"]
    assert [batch.batch_id for batch in await new.batches()] == ["b1"]
    assert await new.orphans(TAG) == [lost]
    assert await new.reconciled_to("e1") is None


async def test_a_copy_overwrites_nothing(both: Both) -> None:
    old, new = [await opened(side) for side in both]
    await fill(old)
    await copied(both)
    item = await new.item("b1", "plain.csv")
    assert item is not None
    await new.advance(item, S.SKIPPED, reason="x")
    before = await all_of(new, "b1")
    with pytest.raises(LedgerError, match="b1 is already in the target ledger"):
        await copied(both)
    assert await all_of(new, "b1") == before


async def test_an_interrupted_copy_can_be_continued(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = [await opened(side) for side in both]
    await fill(old)

    async def cut(*_: Any, **__: Any) -> Any:
        raise LedgerError("cut")

    with monkeypatch.context() as patched:
        patched.setattr(new, "update_batch", cut)
        with pytest.raises(LedgerError, match="cut"):
            await copied(both)
    half = await new.batch("b1")
    assert half is not None
    assert half.config != '{"v": 1}'
    assert await copied(both) == [Copied(batch_id="b1", items=6, new=0)]
    assert await all_of(new, "b1") == await all_of(old, "b1")


async def test_a_copy_of_a_batch_that_changed_meanwhile_is_reported_as_incomplete(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = [await opened(side) for side in both]
    await fill(old)
    monkeypatch.setattr(new, "counts", old.counts)
    real = new.restore

    async def restore(records: Any) -> int:
        return await real(records[:-1])

    monkeypatch.setattr(new, "restore", restore)
    with pytest.raises(LedgerError, match="changed after its copy started"):
        await copied(both)


async def test_a_ledger_is_not_copied_onto_itself_and_an_unknown_batch_is_an_error(both: Both) -> None:
    await opened(both[0])
    with pytest.raises(ConfigError, match="the same ledger"):
        await copied((both[0], both[0]))
    with pytest.raises(ConfigError, match="no batch b9 to copy"):
        await copied(both, "b9")


async def test_a_batch_that_a_run_works_on_is_not_copied(both: Both) -> None:
    place = both[0].settings.ledger
    if not isinstance(place, LedgerTable):
        pytest.skip("a file is locked as a whole")
    await fill(await opened(both[0]))
    leases = DynamoLeases(await both[0].table(place), now=both[0].clock.now)
    await leases.take("b1", "", holder="pid 1 on elsewhere, since now", for_s=60)
    with pytest.raises(BatchTaken):
        await copied(both)


async def test_a_long_history_keeps_its_first_and_last_entries_and_every_import(ministack: LocalAws) -> None:
    async with fresh_table(ministack.client_arguments) as table:
        ledger = DynamoLedger(table, now=lambda: START)
        await ledger.start_batch(
            Batch(batch_id="b1", source_uri="u", account="a", out="o", config="{}", started_at=START)
        )
        item = Item(batch_id="b1", source="a.csv")
        await ledger.add([item])
        for number in range(30):
            item = await ledger.advance(item, S.CREATING, reason=f"attempt {number}")
            bind = {"import_id": f"imp-{number}"} if number % 10 == 0 else {}
            item = await ledger.advance(item, S.CREATING, reason="in between", **bind)
            item = await ledger.advance(item, S.QUEUED, reason="put back", import_id=None)
        steps: list[HistoryEntry] = await ledger.history("b1", "a.csv")
        assert len(steps) == 40
        assert (steps[0].reason, steps[-1].reason) == ("listed", "put back")
        assert {step.import_id for step in steps} == {None, "imp-0", "imp-10", "imp-20"}
        assert sorted(step.at for step in steps) == [step.at for step in steps]


@pytest.mark.parametrize("batch_id", [None, "b1"])
async def test_a_copy_of_a_ledger_that_does_not_exist_is_refused_and_creates_none(
    tmp_path: Path, batch_id: str | None
) -> None:
    old, new = tmp_path / "old" / "ledger.db", tmp_path / "new" / "ledger.db"
    async with Resources(Settings(ledger=old)) as source, Resources(Settings(ledger=new)) as target:
        with pytest.raises(ConfigError, match=r"there is no ledger at .*old/ledger.db"):
            await copy_ledger(source, target, batch_id=batch_id, on_copied=lambda _: None)
    assert not old.parent.exists()
    assert not new.parent.exists()


async def test_a_copy_of_a_batch_that_does_not_exist_creates_no_ledger(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new" / "ledger.db"
    async with Resources(Settings(ledger=old)) as source, Resources(Settings(ledger=new)) as target:
        await fill(await opened(source))
        with pytest.raises(ConfigError, match="there is no batch b2 to copy"):
            await copy_ledger(source, target, batch_id="b2", on_copied=lambda _: None)
    assert not new.parent.exists()
