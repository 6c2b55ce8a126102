"""Planted bugs: each spoils one rule of the core, and the judges must notice."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from runner.dromo import clock as vendor_time
from runner.dromo.listing import imports_since
from runner.errors import OutcomeUnknown, StaleItem
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import Ledger
from runner.local import feeder, pipeline, settling
from runner.models import ImportStatus, Item, ItemKind, ItemState, RemoteImport
from runner.protocols import Prepared, SavedResult
from runner.quota import pacer as pacing
from runner.sinks import local, result_array
from runner.stages import json_imports, lost_creates, orphans, submit, track, upload
from runner.stages.collect import ResultFetch
from runner.stages.transitions import Transitions
from tests.simulation.plan import Life, Plan, within
from tests.support.process import ProcessLedger
from tests.support.seeds import Mutant
from tests.support.weather import Call
from tests.support.worlds import World

_TAG = re.compile(r"\.~[a-z2-7]{13}")


def short_downloads(plan: Plan) -> Plan:
    """Let downloads end early, into a real directory."""
    rates: dict[Call, float] = {**plan.rates, "download": 0.4}
    return replace(plan, store="disk", kinds=plan.kinds | {"short"}, rates=rates, clears_at=1000.0)


def late_json(plan: Plan) -> Plan:
    """Let many creates take effect late, in a batch with more JSON documents."""
    plan = within(plan, frozenset({World.NAMED_JSON}))
    rates: dict[Call, float] = {**plan.rates, "create": 0.4}
    return replace(plan, kinds=plan.kinds | {"late"}, rates=rates, latest_create_s=120.0)


def lost_json(plan: Plan) -> Plan:
    """Lose the answers of many JSON creates, where the vendor names their imports."""
    return within(plan, frozenset({World.NAMED_JSON}))


def late_json_and_clocks(plan: Plan) -> Plan:
    """Let creates of JSON documents take effect late, on a machine whose clock is set back by an hour."""
    lives = (Life(stop_after_s=100.0), Life(skew_s=-4000.0, stop_after_s=100.0), Life())
    return replace(late_json(plan), lives=lives, clears_at=1000.0, outages=())


def early_dates(plan: Plan) -> Plan:
    """Lose the answers of many JSON creates, where imports are dated an hour before the vendor's time and our own."""
    plan = within(plan, frozenset({World.DATE_AHEAD}))
    return replace(plan, lives=(Life(skew_s=4000.0, stop_after_s=400.0), Life()))


def crashes_without_condition(plan: Plan) -> Plan:
    """Crash somewhere, where storage takes no condition and an upload is noticed late."""
    settings = replace(plan.settings, if_none_match="not_signed", upload_lag_s=60.0)
    return replace(plan, settings=settings, lives=(Life(kill_at=60 + plan.seed),), full=(), outages=())


def deletions_and_crashes(plan: Plan) -> Plan:
    """Crash somewhere, notice uploads late, and let a person delete what seems to wait for its file."""
    settings = replace(plan.settings, upload_lag_s=60.0)
    deletions = tuple((2.0 * number, 0.5) for number in range(40))
    lives = (Life(kill_at=60 + plan.seed),)
    return replace(plan, settings=settings, lives=lives, deletions=deletions, full=(), outages=(), strangers=())


def data_before_bind(patch: pytest.MonkeyPatch) -> None:
    bind_first = submit.Submitter._created

    async def created(self: Any, attempt: Any, remote: RemoteImport) -> Item | None:
        if attempt.prepared.body is not None and remote.upload_url:
            await self._uploader._storage.put(remote.upload_url, attempt.prepared.body, only_if_absent=False)
        return await bind_first(self, attempt, remote)

    patch.setattr(submit.Submitter, "_created", created)


def create_before_intent(patch: pytest.MonkeyPatch) -> None:
    intend = submit.Submitter._record_intent

    async def forget(self: Any, attempt: Any) -> None:
        before = attempt.item
        if before.state is ItemState.QUEUED:
            attempt.number += 1
        else:
            await intend(self, attempt)

    patch.setattr(submit.Submitter, "_record_intent", forget)


def answered_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    commit = ProcessLedger.advance

    async def advance(self: ProcessLedger, item: Item, state: ItemState, **moved: Any) -> Item:
        async def write_later() -> None:
            await asyncio.sleep(0.005)
            with suppress(StaleItem):
                await commit(self, item, state, **moved)

        self._process.tasks.append(asyncio.ensure_future(write_later()))
        changes = {name: value for name, value in moved.items() if name not in {"reason", "share_tag"}}
        return item.with_state(state, **changes)

    patch.setattr(ProcessLedger, "advance", advance)


def json_create_repeated(patch: pytest.MonkeyPatch) -> None:
    careful = submit.Submitter._answer_lost

    async def answer_lost(self: Any, attempt: Any, error: OutcomeUnknown) -> Item | None:
        if attempt.item.kind is ItemKind.FILE:
            return await careful(self, attempt, error)
        await self._pause_after(attempt, error)
        return None

    patch.setattr(submit.Submitter, "_answer_lost", answer_lost)


def json_settled_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lost_creates.LostCreates, "_quiet_period", timedelta(0))


def json_repeated_without_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(json_imports.Seen, "shows_json_creates", True)


def json_names_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(json_imports.Seen, "may_be_named", lambda _self, remote, _binding: not remote.original_filename)


def adopted_by_plain_name(patch: pytest.MonkeyPatch) -> None:
    def plain(name: str | None) -> str:
        return _TAG.sub("", name or "")

    async def find_by_tag(self: Any, tag: str, schema_id: str | None, *, since: datetime) -> RemoteImport | None:
        own = (await self._ledger.by_tag([tag]))[tag][0]
        found = {
            remote.import_id: remote
            async for remote in imports_since(self._api, since)
            if plain(remote.original_filename) == plain(own.original_filename)
        }
        return await self._best(list(found.values()), schema_id)  # type: ignore[no-any-return]

    patch.setattr(orphans.Orphans, "find_by_tag", find_by_tag)


def import_ids_not_unique(patch: pytest.MonkeyPatch) -> None:
    def claim(self: MemoryLedger, items: Any) -> None:
        self._owners.update({item.import_id: (item.batch_id, item.source) for item in items if item.import_id})

    patch.setattr(MemoryLedger, "_claim_imports", claim)


def slots_freed_when_sent(patch: pytest.MonkeyPatch) -> None:
    build = pacing.CreatePacer.__init__

    def careless(self: pacing.CreatePacer, *args: Any, **options: Any) -> None:
        build(self, *args, **options)
        self._lease_s = options["quota"].per_s

    async def nothing(self: pacing.Permit) -> None:
        """Let the slot free itself a minute after its grant."""

    patch.setattr(pacing.CreatePacer, "__init__", careless)
    patch.setattr(pacing.Permit, "answered", nothing)
    patch.setattr(pacing.Permit, "outcome_unknown", nothing)


def throttled_create_counted(patch: pytest.MonkeyPatch) -> None:
    polite = submit.Submitter._throttled

    async def throttled(self: Any, attempt: Any, permit: Any, error: Any) -> None:
        await polite(self, attempt, permit, error)
        attempt.number += 1

    patch.setattr(submit.Submitter, "_throttled", throttled)


def result_renamed_before_its_check(patch: pytest.MonkeyPatch) -> None:
    def complete(self: Any, data: bytes) -> None:
        self.array.feed(data)
        self.digest.update(data)
        local._Draft.write(self, data)
        local._Draft.complete(self, b"")
        local._Draft.keep(self)
        self.array.finish()

    patch.setattr(local._ResultDraft, "complete", complete)


def result_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(result_array.ResultArray, "finish", lambda self: None)


def collected_before_saved(patch: pytest.MonkeyPatch) -> None:
    async def replay(whole: bytes) -> AsyncIterator[bytes]:
        yield whole

    async def download(self: Any, item: Item, save: Any, **_: Any) -> SavedResult:
        url = await self._api.results_url(item.import_id)
        async with self._storage.get(url) as chunks:
            whole = b"".join([chunk async for chunk in chunks])
        self.saving = asyncio.ensure_future(save(replay(whole)))
        path = f"results/{item.source}.json"
        return SavedResult(path=path, row_count=1, sha256=hashlib.sha256(whole).hexdigest())

    patch.setattr(ResultFetch, "_download", download)


def upload_repeated_blindly(patch: pytest.MonkeyPatch) -> None:
    careful = upload.Uploader._try

    async def blind(self: Any, visit: Any) -> Item:
        self._empty.add(visit.item.bound_id)
        self._conditional = visit.was_sent = False
        return await careful(self, visit)

    patch.setattr(upload.Uploader, "_try", blind)


def upload_of_an_earlier_run_not_doubted(patch: pytest.MonkeyPatch) -> None:
    careful = upload.Uploader.upload

    async def sure(self: Any, item: Item, prepared: Prepared, **_: Any) -> Item:
        return await careful(self, item, prepared)

    patch.setattr(upload.Uploader, "upload", sure)


def bound_items_created_again(patch: pytest.MonkeyPatch) -> None:
    careful = feeder.unfinished

    async def careless(ledger: Ledger, batch_id: str, *, transitions: Transitions) -> AsyncIterator[Item]:
        async for item in careful(ledger, batch_id, transitions=transitions):
            if item.state is ItemState.CREATED:
                await transitions.advance(item, ItemState.QUEUED, reason="again", import_id=None)
            else:
                yield item

    patch.setattr(pipeline, "unfinished", careless)


def stale_list_believed(patch: pytest.MonkeyPatch) -> None:
    careful = track.Tracker.apply

    async def apply(self: Any, remote: RemoteImport, *, is_whole: bool = False) -> Item | None:
        item = self._open.get(remote.import_id)
        if item is not None and remote.status == ImportStatus.AWAITING_UPLOAD:
            self._open.pop(remote.import_id)
            lost = await self._transitions.advance(
                item, ItemState.FAILED, reason="the upload was lost", error_code="lost"
            )
            await self._on_move(lost)
            return lost
        return await careful(self, remote, is_whole=is_whole)

    patch.setattr(track.Tracker, "apply", apply)


def held_back_items_forgotten(patch: pytest.MonkeyPatch) -> None:
    careful = settling.LostCreateQueue._settle

    async def settle(self: Any, items: list[Item]) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self, "_on_released", lambda: None)
            await careful(self, items)

    patch.setattr(settling.LostCreateQueue, "_settle", settle)


def own_clock_trusted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(vendor_time.VendorTime, "answered", lambda *_, **__: None)


def clock_read_each_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(vendor_time.VendorTime, "now", lambda self: self._clock.now())


def data_of_a_lost_import_sent_again(patch: pytest.MonkeyPatch) -> None:
    careful = upload.Uploader._missing

    async def missing(self: Any, item: Item) -> Item:
        self._empty.add(item.bound_id)
        return await careful(self, item)

    patch.setattr(upload.Uploader, "_missing", missing)


MUTANTS = (
    Mutant("data is sent before the bind", data_before_bind),
    Mutant("a create is sent before its intent", create_before_intent),
    Mutant("a request is sent before the commit of its group", answered_before_the_commit),
    Mutant("a JSON create of unknown outcome is repeated", json_create_repeated, first_seed=46),
    Mutant("a JSON create is settled without a quiet period", json_settled_at_once, late_json),
    Mutant("a JSON create is repeated without proof", json_repeated_without_proof, early_dates, first_seed=124),
    Mutant("only an import without a name can be that of a JSON create", json_names_ignored, lost_json),
    Mutant("an import is adopted by its plain name", adopted_by_plain_name, first_seed=111),
    Mutant("import ids are not unique", import_ids_not_unique, first_seed=33),
    Mutant("a slot is free a minute after its create was sent", slots_freed_when_sent, first_seed=4),
    Mutant("a throttled create counts as an attempt", throttled_create_counted, first_seed=7),
    Mutant("a result is renamed before its check", result_renamed_before_its_check, short_downloads, first_seed=9),
    Mutant("a result is not checked", result_not_checked, first_seed=39),
    Mutant("an item is collected before its result is saved", collected_before_saved),
    Mutant("an upload of unknown outcome is repeated without a condition", upload_repeated_blindly, first_seed=6),
    Mutant(
        "the upload of an earlier run is taken for complete",
        upload_of_an_earlier_run_not_doubted,
        crashes_without_condition,
        first_seed=2,
    ),
    Mutant("a bound item is created again after a crash", bound_items_created_again, first_seed=32),
    Mutant("a stale status of the list is believed", stale_list_believed, first_seed=2),
    Mutant("items held back behind an unknown outcome are forgotten", held_back_items_forgotten, first_seed=6),
    Mutant(
        "data is sent again for an import that is gone",
        data_of_a_lost_import_sent_again,
        deletions_and_crashes,
        first_seed=1,
    ),
    Mutant("the machine's own clock is trusted", own_clock_trusted, late_json_and_clocks, first_seed=138),
    Mutant("the machine's own clock is read each time", clock_read_each_time, late_json_and_clocks, first_seed=138),
)
