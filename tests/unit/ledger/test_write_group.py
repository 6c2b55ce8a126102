"""Writes of tasks that run at the same time share a transaction, and each is answered only once it is durable."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.errors import StaleItem, StorageFull
from runner.ledger.sqlite.database import Database, Schema
from runner.ledger.sqlite.write_group import LEAST_S, LONGEST_S, MOST_WRITES, WriteGroup
from tests.support.vloop import VirtualLoop

pytestmark = pytest.mark.virtual_time

SCHEMA = Schema(application_id=1, version=1, script="CREATE TABLE words (word TEXT PRIMARY KEY);")


class Watched(Database):
    """A database in memory that notes its transactions, and whose disk is full when a test says so."""

    @classmethod
    def new(cls) -> Watched:
        inner = Database.in_memory(SCHEMA)
        watched = cls(inner.connection, path=Path(":memory:"))
        watched.committed, watched.is_full = [], False
        return watched

    committed: list[list[str]]
    is_full: bool

    def write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        before = set(self.words())
        if self.is_full:
            raise StorageFull("no space is left")
        found = super().write(work)
        self.committed.append(sorted(set(self.words()) - before))
        return found

    def words(self) -> list[str]:
        return [word for (word,) in self.connection.execute("SELECT word FROM words ORDER BY word")]


def adding(word: str) -> Callable[[sqlite3.Connection], str]:
    def work(db: sqlite3.Connection) -> str:
        db.execute("INSERT INTO words VALUES (?)", (word,))
        return word

    return work


def refusing(word: str) -> Callable[[sqlite3.Connection], str]:
    def work(db: sqlite3.Connection) -> str:
        db.execute("INSERT INTO words VALUES (?)", (word,))
        raise StaleItem(f"another process moved {word}")

    return work


async def test_writes_of_the_same_moment_share_one_transaction_and_each_gets_its_own_answer() -> None:
    database = Watched.new()
    group = WriteGroup(database)
    answers = await asyncio.gather(*(group.write(adding(word)) for word in ("a", "b", "c")))
    assert answers == ["a", "b", "c"]
    assert database.committed == [["a", "b", "c"]]


async def test_a_write_is_answered_only_after_the_commit_that_holds_it() -> None:
    database = Watched.new()
    group = WriteGroup(database)
    writing = [asyncio.ensure_future(group.write(adding(word))) for word in ("a", "b")]
    while not any(one.done() for one in writing):
        assert database.committed == []
        await asyncio.sleep(LONGEST_S / 10)
    assert database.committed == [["a", "b"]]


async def test_a_write_that_fails_changes_nothing_and_leaves_the_others_alone() -> None:
    database = Watched.new()
    group = WriteGroup(database)
    found = await asyncio.gather(
        group.write(adding("a")), group.write(refusing("b")), group.write(adding("c")), return_exceptions=True
    )
    assert [type(one) for one in found] == [str, StaleItem, str]
    assert database.words() == ["a", "c"]


async def test_a_group_closes_after_its_most_writes_or_five_milliseconds() -> None:
    database = Watched.new()
    group = WriteGroup(database)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(group.write(adding(f"{number:03}")) for number in range(MOST_WRITES + 1)))
    assert [len(words) for words in database.committed] == [MOST_WRITES, 1]
    assert asyncio.get_running_loop().time() - began <= LONGEST_S + 0.001


@pytest.mark.parametrize(("commit_s", "wait_s"), [(0.0, LEAST_S), (0.002, 0.002), (9.0, LONGEST_S)])
async def test_a_group_waits_for_others_as_long_as_the_last_commit_took_but_for_one_to_five_milliseconds(
    commit_s: float, wait_s: float
) -> None:
    group, loop = WriteGroup(Watched.new()), asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    began = loop.time()
    await group.write(lambda _: loop.freeze(commit_s))
    assert loop.time() - began == pytest.approx(LEAST_S + commit_s, abs=0.0005)
    began = loop.time()
    await group.write(adding("a"))
    assert loop.time() - began == pytest.approx(wait_s, abs=0.0005)


async def test_a_caller_that_is_cancelled_before_the_commit_has_written_nothing() -> None:
    database = Watched.new()
    group = WriteGroup(database)
    writing = [asyncio.ensure_future(group.write(adding(word))) for word in ("a", "b")]
    await asyncio.sleep(0)
    writing[0].cancel()
    found = await asyncio.gather(*writing, return_exceptions=True)
    assert [type(one) for one in found] == [asyncio.CancelledError, str]
    assert database.words() == ["b"]


async def test_a_caller_that_is_cancelled_as_the_group_closes_has_written_nothing() -> None:
    database = Watched.new()
    group = WriteGroup(database)
    writing = [asyncio.ensure_future(group.write(adding(word))) for word in ("a", "b")]
    await asyncio.sleep(0)
    writing[0].cancel()
    group.commit()
    found = await asyncio.gather(*writing, return_exceptions=True)
    assert [type(one) for one in found] == [asyncio.CancelledError, str]
    assert database.words() == ["b"]


async def test_a_full_disk_is_told_to_every_caller_of_the_group() -> None:
    database = Watched.new()
    group = WriteGroup(database)
    database.is_full = True
    found = await asyncio.gather(*(group.write(adding(word)) for word in ("a", "b")), return_exceptions=True)
    assert [type(one) for one in found] == [StorageFull, StorageFull]
    database.is_full = False
    assert await group.write(adding("a")) == "a"


async def test_what_waits_is_committed_when_the_ledger_is_closed() -> None:
    database = Watched.new()
    group = WriteGroup(database)
    writing = asyncio.ensure_future(group.write(adding("a")))
    await asyncio.sleep(0)
    group.commit()
    assert database.words() == ["a"]
    assert await writing == "a"
