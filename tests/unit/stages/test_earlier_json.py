"""JSON and a ledger that was lost: no tag shows what it sent, so a person says whether the files are new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runner.config.options import RunOptions
from runner.config.routes import Route, Routes
from runner.errors import Unavailable
from runner.events import Notice
from runner.models import CreateRequest, ImportPage, ItemState, RemoteImport
from tests.support.bench import Bench
from tests.support.scripted import EPOCH

pytestmark = pytest.mark.virtual_time

ONE = {"a.json": b'[{"x":1}]'}
FILES = {**ONE, "b.json": b'[{"x":2}]', "c.csv": b"x\n3\n"}
_S = ItemState


def _bench(files: Mapping[str, bytes] = ONE, **more: Any) -> Bench:
    """Return a bench whose vendor ends the imports of JSON creates at once."""
    bench = Bench(files, **more)
    add = bench.vendor.add
    bench.vendor.add = lambda request, status=None: add(  # type: ignore[method-assign, misc]
        request, status=status or ("SUCCESSFUL" if request.initial_data else None)
    )
    return bench


def _imported(bench: Bench, *, schema_id: str | None = "s1", **shown: object) -> RemoteImport:
    """Let the vendor have an import that ended, with rows that a JSON create sent."""
    remote = bench.vendor.add(CreateRequest(schema_id=schema_id, initial_data=b"[]"), status="SUCCESSFUL")
    bench.vendor.change(remote.import_id, **shown)
    return remote


def _next(bench: Bench, files: Mapping[str, bytes], *, keeps_ledger: bool) -> Bench:
    """Return what a later run has, with the same vendor."""
    later = Bench(files)
    later.vendor = bench.vendor
    if keeps_ledger:
        later.ledger = bench.ledger
    return later


def _said(bench: Bench) -> list[str]:
    return [event.message for event in bench.events if isinstance(event, Notice) and event.code == "json_in_doubt"]


async def test_json_waits_after_a_lost_ledger_and_files_go_on() -> None:
    old = _bench(FILES)
    await old.run()
    bench = _next(old, FILES, keeps_ledger=False)
    created = len(bench.vendor.created)
    result = await bench.run()

    assert await bench.states() == {"a.json": "queued", "b.json": "queued", "c.csv": "collected"}
    assert len(bench.vendor.created) == created
    newest = max(remote.created_at for remote in bench.vendor.imports.values() if remote.created_at)
    (sentence,) = result.held_schemas
    assert "2 imports" in sentence
    assert f"{newest:%Y-%m-%d %H:%M} UTC" in sentence
    assert "--json-is-new" in sentence
    assert _said(bench) == [sentence]


async def test_a_person_who_says_that_it_is_new_is_not_asked_again() -> None:
    bench = _bench(ONE, options=RunOptions(json_is_new=True))
    _imported(bench)
    await bench.run()
    assert await bench.states() == {"a.json": "collected"}

    later = _next(bench, FILES, keeps_ledger=True)
    assert (await later.run()).held_schemas == []
    assert set((await later.states()).values()) == {"collected"}


async def test_a_first_run_that_ended_early_is_not_asked_about_its_own_imports() -> None:
    bench = _bench(FILES)
    bench.vendor.create_script += [None, Unavailable("503")]
    await bench.run()
    result = await bench.run()
    assert result.held_schemas == []
    assert set((await bench.states()).values()) == {"collected"}


async def test_a_ledger_of_an_earlier_version_that_has_sent_json_is_not_asked() -> None:
    bench = _bench(FILES)
    await bench.leave("a.json", _S.CREATING)
    await bench.ledger.advance(await bench.item("a.json"), _S.UNCERTAIN, reason="earlier")
    _imported(bench)
    assert (await bench.run()).held_schemas == []
    assert await bench.states() == {"a.json": "uncertain", "b.json": "collected", "c.csv": "collected"}


@pytest.mark.parametrize(
    ("names", "waits"),
    [
        ([None], True),
        ([""], True),
        (["initial_data.json", "initial_data.json"], True),
        (["{id}.json"], True),
        (["{id}.json", "{id}.json"], True),
        (["initial_data.json"], True),
        (["Untitled"], True),
        (["{id}.csv"], True),
        (["orders.csv"], False),
        (["Orders.XLSX", "refunds.csv"], False),
        (["orders.~abcdefghijklm.csv", "orders.~abcdefghijklm.csv"], False),
    ],
)
async def test_only_imports_without_the_name_of_an_uploaded_file_may_be_those_of_json(
    names: list[str | None], *, waits: bool
) -> None:
    bench = _bench(ONE)
    for name in names:
        remote = _imported(bench)
        shown = None if name is None else name.format(id=remote.import_id)
        bench.vendor.change(remote.import_id, original_filename=shown)
    assert bool((await bench.run()).held_schemas) is waits


async def test_an_import_of_json_is_found_in_a_list_of_which_one_page_looks_older_by_chance() -> None:
    bench = _bench(ONE)
    for number in range(2):
        bench.vendor.add(CreateRequest(schema_id="s2", original_filename=f"{number}.csv"))
    _imported(bench)
    days = {"import-1": 40, "import-2": 41, "import-3": 1}
    listed = [replace(bench.vendor.imports[one], created_at=EPOCH - timedelta(days=ago)) for one, ago in days.items()]

    async def list_page(*, limit: int, offset: int) -> ImportPage:
        page = tuple(listed[offset : offset + 2])
        return ImportPage(count=len(listed), imports=page, has_next=offset == 0)

    bench.vendor.list_page = list_page  # type: ignore[method-assign]
    assert (await bench.run()).held_schemas


@pytest.mark.parametrize(
    "shown",
    [{"schema_id": "s2"}, {"status": "AWAITING_UPLOAD"}, {"age": timedelta(days=31)}],
    ids=["another schema", "without data", "31 days old"],
)
async def test_imports_that_cannot_hold_its_data_do_not_make_json_wait(shown: dict[str, object]) -> None:
    bench = _bench(ONE)
    age = shown.pop("age", timedelta(0))
    assert isinstance(age, timedelta)
    _imported(bench, created_at=bench.clock.now() - age, **shown)
    assert (await bench.run()).held_schemas == []
    assert await bench.states() == {"a.json": "collected"}


@pytest.mark.parametrize(("schema_id", "waits"), [(None, True), ("made-from-fields", True), ("s1", False)])
async def test_with_inline_fields_only_imports_of_a_saved_schema_of_a_route_are_others(
    schema_id: str | None, *, waits: bool
) -> None:
    inline = Route(name="inline", match="*.json", fields=({"key": "x"},))
    saved = Route(name="saved", schema_id="s1")
    bench = _bench(ONE, routes=Routes([inline, saved]))
    _imported(bench, schema_id=schema_id)
    assert bool((await bench.run()).held_schemas) is waits
