"""Where a run writes: what stands in its way is told as it is, before anything is sent or with a batch that resumes."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner import Bulkhead, Routes, RunSpec, source_spec
from runner.config.settings import Settings
from runner.errors import ConfigError
from runner.events import Event, Notice
from runner.local.out_owner import SANDBOX, OutOwner
from runner.local.outcome import ExitCode
from runner.models import BatchState, ItemState
from runner.sinks import local as sinks
from runner.sources import local
from tests.support.sandbox import RunningSandbox


def _spec(inbox: Path, *sources: str) -> RunSpec:
    for source in sources:
        (inbox / source).parent.mkdir(parents=True, exist_ok=True)
        (inbox / source).write_text(f"name\n{source}\n")
    return RunSpec(source=source_spec(str(inbox)), routes=Routes.single(schema_id="customers"), out="out")


async def test_a_link_in_the_way_of_a_result_stops_the_run_in_order(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/results").mkdir(parents=True)
    (tmp_path / "out/results/sub").symlink_to(tmp_path / "elsewhere")
    async with Bulkhead(settings) as bulkhead:
        stopped = await bulkhead.run(_spec(tmp_path / "in", "sub/a.csv"))
        assert (stopped.exit_code, stopped.state) == (ExitCode.TRY_AGAIN, BatchState.PAUSED)
        assert stopped.by_state == {ItemState.SUCCEEDED: 1}
        assert "out/results/sub/a.csv.json" in stopped.reason
        assert "replace the link by a directory" in stopped.reason
        (tmp_path / "out/results/sub").unlink()
        assert (await bulkhead.resume()).by_state == {ItemState.COLLECTED: 1}
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_a_link_in_place_of_all_results_is_refused_before_anything_is_sent(
    box: RunningSandbox, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/results").symlink_to(tmp_path)
    async with Bulkhead(settings) as bulkhead:
        with pytest.raises(ConfigError, match="out/results"):
            await bulkhead.run(_spec(tmp_path / "in", "a.csv"))
    assert (await box.counters())["created_ids"] == []


async def test_a_manifest_that_cannot_be_written_ends_with_try_again_and_says_so(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Event] = []
    keep = sinks._Draft.keep

    def broken(draft: sinks._Draft) -> None:
        if draft.path == "manifest.jsonl":
            with draft._translated():
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        keep(draft)

    monkeypatch.setattr(sinks._Draft, "keep", broken)
    async with Bulkhead(settings, on_event=heard.append) as bulkhead:
        outcome = await bulkhead.run(_spec(tmp_path / "in", "a.csv"))
    assert (outcome.exit_code, outcome.by_state) == (ExitCode.TRY_AGAIN, {ItemState.COLLECTED: 1})
    assert "out/manifest.jsonl: Read-only file system" in outcome.reason
    assert f"bulkhead track {outcome.batch.batch_id}" in outcome.reason
    assert "manifest_not_written" in [event.code for event in heard if isinstance(event, Notice)]


async def test_a_disk_that_fails_below_one_directory_leaves_only_that_to_a_later_run(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def broken(path: str | bytes, *args: Any, **options: Any) -> int:
        if os.fsdecode(path) == "sub":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened(path, *args, **options)

    monkeypatch.setattr(local, "LISTING_RETRIES", 1)
    async with Bulkhead(settings) as bulkhead:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", broken)
            outcome = await bulkhead.run(_spec(tmp_path / "in", "a.csv", "sub/b.csv"))
        assert (outcome.exit_code, outcome.by_state) == (ExitCode.TRY_AGAIN, {ItemState.COLLECTED: 1})
        assert "sub/: it cannot be read at the moment: Input/output error" in outcome.reason
        assert (await bulkhead.resume()).by_state == {ItemState.COLLECTED: 2}


async def test_a_second_root_is_refused_before_anything_is_sent(
    box: RunningSandbox, settings: Settings, tmp_path: Path
) -> None:
    async with Bulkhead(settings) as bulkhead:
        await bulkhead.run(_spec(tmp_path / "in", "a.csv"))
        with pytest.raises(ConfigError, match=f"out has the results of {tmp_path}/in") as caught:
            await bulkhead.run(_spec(tmp_path / "other", "a.csv"))
        assert "choose another --out" in (caught.value.hint or "")
        assert len(await bulkhead.batches()) == 1
    assert len((await box.counters())["created_ids"]) == 1


async def test_a_list_a_file_and_the_directory_they_are_in_share_a_folder(settings: Settings, tmp_path: Path) -> None:
    spec = _spec(tmp_path / "in", "a.csv", "sub/b.csv")
    (tmp_path / "list").write_text("sub/b.csv\n")
    of_list = source_spec(str(tmp_path / "in"), files_from=str(tmp_path / "list"))
    of_file = source_spec(str(tmp_path / "in/a.csv"))
    result = tmp_path / "out/results/sub/b.csv.json"
    async with Bulkhead(settings) as bulkhead:
        await bulkhead.run(spec)
        before = result.stat().st_ino
        _spec(tmp_path / "in")
        (tmp_path / "in/sub/b.csv").write_text("name\nchanged\n")
        assert (await bulkhead.run(replace(spec, source=of_list))).by_state == {ItemState.COLLECTED: 1}
        assert (await bulkhead.run(replace(spec, source=of_file))).by_state == {ItemState.SKIPPED: 1}
    assert result.stat().st_ino != before
    assert sorted(path.name for path in result.parent.iterdir()) == ["b.csv.json"]


async def test_a_wrong_key_does_not_take_the_folder_from_the_right_one(settings: Settings, tmp_path: Path) -> None:
    spec = _spec(tmp_path / "in", "a.csv")
    wrong = settings.model_copy(update={"license_key": SecretStr("wrong"), "ledger": tmp_path / "wrong.db"})
    async with Bulkhead(wrong) as bulkhead:
        assert (await bulkhead.run(spec)).exit_code is ExitCode.FATAL
    async with Bulkhead(settings) as bulkhead:
        assert (await bulkhead.run(spec)).exit_code is ExitCode.OK
    async with Bulkhead(wrong) as bulkhead:
        with pytest.raises(ConfigError, match="another license key") as caught:
            await bulkhead.resume()
    assert "BULKHEAD_ACCEPT_NEW_KEY=1" in (caught.value.hint or "")


async def test_a_new_key_that_is_not_accepted_does_not_take_the_folder_over(settings: Settings, tmp_path: Path) -> None:
    wrong = settings.model_copy(update={"license_key": SecretStr("wrong"), "accept_new_key": True})
    async with Bulkhead(settings) as bulkhead:
        await bulkhead.run(_spec(tmp_path / "in", "a.csv", "b.csv"))
        (tmp_path / "out/results/b.csv.json").unlink()
        assert await bulkhead.fetch_results_again() == 1
    async with Bulkhead(wrong) as bulkhead:
        assert (await bulkhead.resume()).exit_code is ExitCode.FATAL
    async with Bulkhead(settings) as bulkhead:
        assert (await bulkhead.resume()).exit_code is ExitCode.OK


async def test_the_folder_of_an_earlier_version_is_taken_over_with_its_results(
    settings: Settings, tmp_path: Path
) -> None:
    spec = _spec(tmp_path / "in", "a.csv")
    async with Bulkhead(settings) as bulkhead:
        await bulkhead.run(spec)
        (tmp_path / "out/.bulkhead-out.json").unlink()
        (tmp_path / "in/a.csv").write_text("name\nchanged\n")
        assert (await bulkhead.run(spec)).by_state == {ItemState.COLLECTED: 1}
    assert (tmp_path / "out/.bulkhead-out.json").exists()
    assert [path.name for path in (tmp_path / "out/results").iterdir()] == ["a.csv.json"]


async def test_an_owner_file_that_cannot_be_read_is_no_invitation(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.bulkhead-out.json").write_text("{")
    async with Bulkhead(settings) as bulkhead:
        with pytest.raises(ConfigError, match=r"out/\.bulkhead-out\.json cannot be read"):
            await bulkhead.run(_spec(tmp_path / "in", "a.csv"))


async def test_results_of_one_sandbox_replace_those_of_another(settings: Settings, tmp_path: Path) -> None:
    for number in (1, 2):
        own = settings.model_copy(update={"ledger": tmp_path / f"ledger{number}.db"})
        async with Bulkhead(own, in_sandbox=True) as bulkhead:
            assert (await bulkhead.run(_spec(tmp_path / "in", "a.csv"))).exit_code is ExitCode.OK
        (tmp_path / "out/results/a.csv.json").write_text("[1]")
    assert [path.name for path in (tmp_path / "out/results").iterdir()] == ["a.csv.json"]
    async with Bulkhead(settings) as bulkhead:
        assert (await bulkhead.run(_spec(tmp_path / "in", "a.csv"))).exit_code is ExitCode.OK


def test_results_of_a_sandbox_and_of_the_vendor_never_mix() -> None:
    sandbox, vendor = OutOwner(account=SANDBOX, root="file:///in"), OutOwner(account="ab-12", root="file:///in")
    with pytest.raises(ConfigError, match="has the results of a sandbox") as refused:
        vendor.refuse(sandbox, "/out", accept_new_key=False, is_local=False)
    assert "choose another --out" in (refused.value.hint or "")
    with pytest.raises(ConfigError, match="another API"):
        sandbox.refuse(vendor, "/out", accept_new_key=False, is_local=True)
