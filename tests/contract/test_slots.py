"""Every sentence of the SlotStore protocol, tested on each store, and what the shared file adds to it."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.clock import system_ticks
from runner.errors import LedgerCorrupt, LedgerError, LedgerTooNew, LedgerUnavailable
from runner.quota import sqlite as sqlite_slots
from runner.quota.dynamodb import DynamoSlots
from runner.quota.slots import MemorySlots, Slot, SlotStore, Turn
from runner.quota.sqlite import MAX_WAIT_AFTER_BOOT_S, SqliteSlots, system_boot_id
from tests.support.aws import LocalAws
from tests.support.dynamodb import fixture_of, fresh_table

START = datetime(2026, 7, 23, 10, 0, tzinfo=UTC)
KEY = "account-hash"


class Machine:
    """Clocks of a machine that can sleep and be booted again."""

    def __init__(self, path: Path, *, boot_id: str = "boot-1") -> None:
        self.path = path
        self.wall = START
        self.ticks = 1000.0
        self.boot_id = boot_id

    def pass_time(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.ticks += seconds

    def reboot(self, *, down_s: float, boot_id: str = "boot-2") -> None:
        self.wall += timedelta(seconds=down_s)
        self.ticks = 0.5
        self.boot_id = boot_id

    def slots(self) -> SqliteSlots:
        return SqliteSlots(self.path, now=lambda: self.wall, ticks=lambda: self.ticks, boot_id=self.boot_id)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "state" / "quota.db")


@pytest.fixture(params=["memory", "sqlite", "ministack", pytest.param("moto", marks=pytest.mark.slow)])
async def store(request: pytest.FixtureRequest, machine: Machine) -> AsyncIterator[SlotStore]:
    if request.param == "moto" and request.node.originalname == "test_racing_tasks_get_one_slot_once":
        pytest.skip("moto loses concurrent updates")
    if request.param in {"ministack", "moto"}:
        async with fresh_table(request.getfixturevalue(fixture_of(request.param)).client_arguments) as table:
            yield DynamoSlots(table)
        return
    slots: SlotStore = MemorySlots() if request.param == "memory" else machine.slots()
    yield slots
    await slots.close()


async def has(store: SlotStore, number: int, slot: Slot) -> bool:
    """Return whether a slot is as expected."""
    return await store.swap(KEY, number, seen=slot, new=slot)


async def test_slots_that_were_never_used_are_free(store: SlotStore) -> None:
    assert await store.first(KEY, count=20) == Turn(0, Slot(), due_at=0.0)
    assert await store.free(KEY, count=20, now=1.0) == 20
    assert await store.free(KEY, count=100_000, now=1.0) == 100_000


async def test_each_slot_is_used_before_any_is_used_again(store: SlotStore) -> None:
    used = []
    for number in range(5):
        turn = await store.first(KEY, count=5)
        assert await store.swap(KEY, turn.number, seen=turn.slot, new=Slot(until=1060.0 - number, token="t"))
        used.append(turn.number)
    assert sorted(used) == [0, 1, 2, 3, 4]
    assert await store.first(KEY, count=5) == Turn(used[-1], Slot(1056.0, "t"), due_at=1056.0)


async def test_slots_beyond_the_quota_do_not_count(store: SlotStore) -> None:
    for number, until in enumerate((1060.0, 1050.0, 1010.0)):
        await store.swap(KEY, number, seen=Slot(), new=Slot(until, "t"))
    assert await store.first(KEY, count=2) == Turn(1, Slot(1050.0, "t"), due_at=1050.0)
    assert [await store.free(KEY, count=count, now=1055.0) for count in (1, 2, 3, 4)] == [0, 1, 2, 3]


async def test_a_swap_sets_the_slot_if_it_is_unchanged(store: SlotStore) -> None:
    first, second = Slot(until=1060.123456789, token="one"), Slot(until=1030.25, token="two")
    assert await store.swap(KEY, 0, seen=Slot(), new=first)
    assert await has(store, 0, first)
    assert await has(store, 1, Slot())
    assert await store.swap(KEY, 0, seen=first, new=second)
    assert await has(store, 0, second)


@pytest.mark.parametrize("seen", [Slot(), Slot(until=1060.0, token="other"), Slot(until=1060.5, token="t")])
async def test_a_swap_of_a_slot_that_changed_is_refused(store: SlotStore, seen: Slot) -> None:
    taken = Slot(until=1060.0, token="t")
    assert await store.swap(KEY, 0, seen=Slot(), new=taken)
    assert not await store.swap(KEY, 0, seen=seen, new=Slot(until=2000.0, token="x"))
    assert await has(store, 0, taken)


async def test_a_hold_is_never_shortened_and_nothing_is_free_before_its_end(store: SlotStore) -> None:
    await store.hold(KEY, until=1100.0)
    await store.hold(KEY, until=1050.0)
    assert (await store.first(KEY, count=1)).due_at == 1100.0
    await store.hold(KEY, until=1100.5)
    assert await store.first(KEY, count=1) == Turn(0, Slot(), due_at=1100.5)
    assert [await store.free(KEY, count=3, now=now) for now in (1100.4, 1100.5)] == [0, 3]


async def test_accounts_do_not_share_slots(store: SlotStore) -> None:
    await store.swap(KEY, 0, seen=Slot(), new=Slot(until=1060.0, token="t"))
    await store.hold(KEY, until=1100.0)
    assert await store.first("other", count=1) == Turn(0, Slot(), due_at=0.0)
    assert await store.free("other", count=2, now=1.0) == 2


async def test_racing_tasks_get_one_slot_once(store: SlotStore) -> None:
    won = await asyncio.gather(
        *(store.swap(KEY, 0, seen=Slot(), new=Slot(until=1060.0, token=f"task {number}")) for number in range(20))
    )
    assert sum(won) == 1


# the shared table


async def test_a_permit_reads_as_much_at_a_quota_of_six_thousand_as_at_a_hundred(
    ministack: LocalAws,
) -> None:
    async with fresh_table(ministack.client_arguments) as table:
        store, busy = DynamoSlots(table), Slot(until=4_000_000_000.0, token="t")
        for number in range(200):
            await store.swap(KEY, number, seen=Slot(), new=busy)
        read: dict[int, float] = {}
        for count in (100, 200, 6000, 100_000):
            before = table.usage.read_units
            for _ in range(20):
                turn = await store.first(KEY, count=count)
                assert 0 <= turn.number < count
            read[count] = (table.usage.read_units - before) / 20
        assert max(read.values()) <= 6
        assert read[100_000] <= read[100]


async def test_a_large_quota_is_used_to_its_last_slot_and_no_slot_twice(ministack: LocalAws) -> None:
    async with fresh_table(ministack.client_arguments) as table:
        stores = [DynamoSlots(table) for _ in range(3)]
        busy, taken = Slot(until=4_000_000_000.0, token="t"), []
        for number in range(150):
            turn = await stores[number % 3].first(KEY, count=130)
            if turn.due_at == 0.0:
                assert await stores[number % 3].swap(KEY, turn.number, seen=turn.slot, new=busy)
                taken.append(turn.number)
        assert sorted(taken) == list(range(130))
        assert (await stores[0].first(KEY, count=130)).due_at == busy.until
        await stores[0].hold(KEY, until=busy.until + 5)
        assert (await stores[0].first(KEY, count=130)).due_at == busy.until + 5
        assert await stores[0].free(KEY, count=130, now=1.0) == 0


async def test_slots_beyond_two_bytes_have_places_of_their_own(ministack: LocalAws) -> None:
    async with fresh_table(ministack.client_arguments) as table:
        store, taken = DynamoSlots(table), Slot(until=1060.0, token="t")
        for number in (65_535, 65_536, 99_999):
            assert await store.swap(KEY, number, seen=Slot(), new=taken)
            assert await has(store, number, taken)
            assert not await has(store, number - 2, taken)


# the shared file


async def test_another_process_of_the_machine_sees_the_same_slots(machine: Machine) -> None:
    taken = Slot(until=1060.0, token="t")
    await machine.slots().swap(KEY, 0, seen=Slot(), new=taken)
    await machine.slots().hold(KEY, until=1010.0)
    assert await machine.slots().first(KEY, count=1) == Turn(0, taken, due_at=1060.0)
    assert await machine.slots().first(KEY, count=2) == Turn(1, Slot(), due_at=1010.0)


async def test_a_step_of_the_wall_clock_changes_nothing(machine: Machine) -> None:
    taken = Slot(until=1060.0, token="t")
    await machine.slots().swap(KEY, 0, seen=Slot(), new=taken)
    for step in (timedelta(hours=3), timedelta(hours=-9)):
        machine.wall += step
        assert (await machine.slots().first(KEY, count=1)).slot == taken


@pytest.mark.parametrize("named", [True, False])
async def test_after_a_reboot_the_rest_of_the_wait_is_taken_from_the_wall_clock(tmp_path: Path, named: bool) -> None:
    machine = Machine(tmp_path / "quota.db", boot_id="boot-1" if named else "")
    await machine.slots().swap(KEY, 0, seen=Slot(), new=Slot(until=machine.ticks + 90, token="t"))
    await machine.slots().hold(KEY, until=machine.ticks + 20)
    machine.reboot(down_s=30, boot_id="boot-2" if named else "")
    turn = await machine.slots().first(KEY, count=1)
    assert turn.slot == Slot(until=pytest.approx(machine.ticks + 60), token="t")
    assert (await machine.slots().first(KEY, count=2)).due_at == pytest.approx(machine.ticks)


async def test_after_a_reboot_no_wait_is_longer_than_the_cap(machine: Machine) -> None:
    await machine.slots().swap(KEY, 0, seen=Slot(), new=Slot(until=machine.ticks + 90, token="t"))
    machine.reboot(down_s=-86_400)
    turn = await machine.slots().first(KEY, count=1)
    assert turn.due_at == machine.ticks + MAX_WAIT_AFTER_BOOT_S


async def test_a_slot_read_after_a_reboot_can_be_swapped_later(machine: Machine) -> None:
    await machine.slots().swap(KEY, 0, seen=Slot(), new=Slot(until=machine.ticks + 90, token="t"))
    machine.reboot(down_s=30)
    slots = machine.slots()
    seen = (await slots.first(KEY, count=1)).slot
    machine.pass_time(61)
    assert (await slots.first(KEY, count=1)).slot == seen
    assert await slots.swap(KEY, 0, seen=seen, new=Slot(until=machine.ticks + 60, token="u"))


async def test_a_new_hold_replaces_one_of_an_earlier_boot(machine: Machine) -> None:
    await machine.slots().hold(KEY, until=machine.ticks + 5)
    machine.reboot(down_s=60)
    await machine.slots().hold(KEY, until=machine.ticks + 30)
    assert (await machine.slots().first(KEY, count=1)).due_at == machine.ticks + 30


@pytest.mark.parametrize("named", [True, False])
async def test_slots_of_another_boot_are_put_in_order_before_the_first_is_chosen(tmp_path: Path, named: bool) -> None:
    machine = Machine(tmp_path / "quota.db", boot_id="boot-1" if named else "")
    for number, wait_s in enumerate((90, 50)):
        await machine.slots().swap(KEY, number, seen=Slot(), new=Slot(until=machine.ticks + wait_s, token="t"))
    machine.reboot(down_s=10, boot_id="boot-2" if named else "")
    await machine.slots().swap(KEY, 2, seen=Slot(), new=Slot(until=machine.ticks + 60, token="u"))
    turn = await machine.slots().first(KEY, count=3)
    assert (turn.number, turn.due_at) == (1, pytest.approx(machine.ticks + 40))
    assert await machine.slots().free(KEY, count=3, now=machine.ticks + 61) == 2


def grab(path: Path, worker: int, rounds: int) -> list[str]:
    """Take each of `rounds` slots in turn that was never used; return what was won."""

    async def run() -> list[str]:
        slots = SqliteSlots(path, now=lambda: START, ticks=lambda: 0.0, boot_id="boot-1")
        return [
            f"{number}:{worker}"
            for number in range(rounds)
            if await slots.swap(KEY, number, seen=Slot(), new=Slot(until=60.0, token=f"{worker}"))
        ]

    return asyncio.run(run())


async def test_racing_processes_never_get_the_same_slot(tmp_path: Path) -> None:
    path, rounds = tmp_path / "quota.db", 100
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        won = [name for names in pool.starmap(grab, [(path, worker, rounds) for worker in range(3)]) for name in names]
    assert sorted(int(name.split(":")[0]) for name in won) == list(range(rounds))
    slots = SqliteSlots(path, now=lambda: START, ticks=lambda: 0.0, boot_id="boot-1")
    for name in won:
        number, worker = name.split(":")
        assert await has(slots, int(number), Slot(until=60.0, token=worker))


async def test_a_damaged_file_is_a_clear_error(machine: Machine) -> None:
    machine.path.parent.mkdir()
    machine.path.write_bytes(b"not a database " * 100)
    with pytest.raises(LedgerCorrupt, match=r"quota\.db") as caught:
        await machine.slots().first(KEY, count=1)
    assert "delete it: it has only the pace of creates" in (caught.value.hint or "")


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_quota_file_that_a_power_failure_damaged_begins_again(
    machine: Machine, is_open: bool, caplog: pytest.LogCaptureFixture
) -> None:
    slots = machine.slots()
    for number in range(200):
        await slots.swap(KEY, number, seen=Slot(), new=Slot(until=1060.0, token="t" * 50))
    whole = machine.path.read_bytes()
    machine.path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    slots = slots if is_open else machine.slots()
    if is_open:
        await slots.close()
    assert await slots.first(KEY, count=1) == Turn(0, Slot(), due_at=0.0)
    assert "was damaged" in caplog.text
    assert machine.path.with_name("quota.db.damaged").exists()


async def test_a_file_that_was_deleted_or_replaced_is_not_used_further(machine: Machine) -> None:
    slots, taken = machine.slots(), Slot(until=1060.0, token="t")
    await slots.swap(KEY, 0, seen=Slot(), new=taken)
    machine.path.unlink()
    assert (await slots.first(KEY, count=1)).slot == Slot()
    other = Machine(machine.path.with_name("other.db"))
    await other.slots().swap(KEY, 0, seen=Slot(), new=taken)
    other.path.replace(machine.path)
    assert (await slots.first(KEY, count=1)).slot == taken


async def test_a_fork_uses_a_connection_of_its_own(machine: Machine) -> None:
    slots = machine.slots()
    await slots.first(KEY, count=2)
    child = multiprocessing.get_context("fork").Process(target=take_one, args=(slots,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert await has(slots, 0, Slot(until=1060.0, token="child"))


def take_one(slots: SqliteSlots) -> None:
    """Take the first slot, as a process that was forked while the file was open."""
    asyncio.run(slots.swap(KEY, 0, seen=Slot(), new=Slot(until=1060.0, token="child")))


async def test_a_file_of_version_0_1_0_gets_the_index_and_stays_readable_for_it(machine: Machine) -> None:
    await machine.slots().hold(KEY, until=1.0)
    with closing(sqlite3.connect(machine.path)) as old:
        old.execute("DROP INDEX slots_by_end")
    assert await machine.slots().free(KEY, count=20, now=2.0) == 20
    with closing(sqlite3.connect(machine.path)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)


async def test_a_ledger_is_not_taken_for_a_quota_file(machine: Machine) -> None:
    machine.path.parent.mkdir()
    with closing(sqlite3.connect(machine.path)) as other:
        other.execute("CREATE TABLE something (x)")
    with pytest.raises(LedgerCorrupt):
        await machine.slots().hold(KEY, until=1.0)


async def test_a_file_of_a_later_version_is_refused(machine: Machine) -> None:
    await machine.slots().hold(KEY, until=1.0)
    with closing(sqlite3.connect(machine.path)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerTooNew):
        await machine.slots().first(KEY, count=1)


async def test_a_folder_that_cannot_be_created_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be used"):
        await SqliteSlots(tmp_path / "file" / "quota.db").first(KEY, count=1)


def test_the_shared_clock_never_goes_back() -> None:
    first = system_ticks()
    assert 0 < first <= system_ticks()
    assert system_boot_id() == system_boot_id()


@pytest.mark.virtual_time
async def test_a_file_that_another_program_holds_for_a_moment_is_waited_for(machine: Machine) -> None:
    slots = machine.slots()
    await slots.first(KEY, count=1)
    with closing(sqlite3.connect(machine.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        reading = asyncio.ensure_future(slots.first(KEY, count=1))
        await asyncio.sleep(0.3)
        assert not reading.done()
        other.execute("COMMIT")
        assert (await reading).slot == Slot()


@pytest.mark.virtual_time
async def test_a_file_that_another_program_keeps_is_an_error_that_a_later_run_can_outlast(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_slots, "BUSY_PAUSE_S", sqlite_slots.LONGEST_BUSY_S / 2)
    slots = machine.slots()
    await slots.first(KEY, count=1)
    with closing(sqlite3.connect(machine.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerUnavailable, match=r"another program has held .* for 5 min"):
            await slots.first(KEY, count=1)
