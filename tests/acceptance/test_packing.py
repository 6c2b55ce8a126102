"""`--pack`: files that travel together have the results of files that travel alone, also after kills."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable

import pytest

from tests.acceptance.inbox import Workspace, rows
from tests.acceptance.killed import KILLS, killed_runs
from tests.acceptance.vendors import SandboxVendor

PACE = ("--create-quota", "1000/2s", "--uploads", "4")
PACKED = (*PACE, "--pack", "20")
HEADER = b"Full Name,Email\n"
GROUPS = 4
FILES = 60
EVENTS = 100


def test_packed_files_have_the_results_that_they_have_alone(
    work: Callable[..., Workspace], sandbox: SandboxVendor
) -> None:
    mine, alone = work(sandbox), work(sandbox, name="alone")
    odd = {
        "odd/quoted.csv": HEADER + b'"Wei, Li",a@example.com\r\n"A ""B""",b@example.com\r\n',
        "odd/no-rows.csv": HEADER,
        "odd/semicolons.csv": b"Full Name;Email\nSemi Colon,c@example.com;d@example.com\n",
        "odd/other-header.csv": b"Email,Full Name\nx@example.com,Ann\n",
    }
    files = {**mine.fill(30), **odd}
    for name, content in files.items():
        mine.add(name, content)
        alone.add(name, content)
    packed = mine.command(*mine.arguments(*PACKED)).expect(0)
    alone.command(*alone.arguments(*PACE)).expect(0)

    assert "32 files in 3 packs; 2 files alone" in packed.text
    ours, theirs = mine.manifest(), alone.manifest()
    for name in files:
        keys = ("state", "status", "row_count", "rows_in", "rows_left_out", "result_sha256", "fingerprint")
        assert {key: ours[name][key] for key in keys} == {key: theirs[name][key] for key in keys}, name
    assert counted(mine.summary()["by_state"]) == {"collected": len(files)}
    assert len({line["import_id"] for line in ours.values()}) < 10
    member = ours["a/000.csv"]
    assert member["pack_rows"][1] - member["pack_rows"][0] == 2
    assert mine.command("status", "--json").expect(0).document["batch_id"] == member["batch_id"]
    assert len(mine.command("batches", "--json").expect(0).document) == 1


def test_routes_say_which_files_travel_together(work: Callable[..., Workspace], sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(12)
    for name, content in files.items():
        mine.add(f"alone/{name}", content.replace(b"example", b"alone"))
    config = mine.home / "routes.toml"
    config.write_text(
        '[[routes]]\nmatch = "alone/**"\nschema_id = "customers"\npack = "off"\n'
        '[[routes]]\nmatch = "**"\nschema_id = "customers"\npack = 6\n'
    )
    routes = ("inbox", "--config", str(config))
    mine.add("a/rows.json", b'[{"full_name": "J"}]')
    plan = mine.command("plan", *routes).expect(0)
    assert "12 alone: Packing is off for the files of this route." in plan.text
    assert "creates instead of 25" in plan.text
    assert "1 alone: The file is JSON; only delimited text is packed." in plan.text
    assert explained(mine, "a/000.csv", *routes[1:]) == (True, None)
    assert explained(mine, "a/rows.json", *routes[1:]) == (
        False,
        "The file is JSON; only delimited text is packed.",
    )
    assert "in a pack, if other files fit" in mine.command("explain", "inbox/a/000.csv", *routes[1:]).expect(0).text
    (mine.home / "inbox/a/rows.json").unlink()
    mine.command("run", *routes, *PACE, "--out", "out").expect(0)
    packed = Counter(line["pack_id"] for line in mine.manifest().values() if line.get("pack_id"))
    assert max(packed.values()) <= 6
    assert 10 <= packed.total() <= 12
    assert {name for name, line in mine.manifest().items() if line.get("pack_id")} <= files.keys()


def test_an_unchanged_inbox_is_skipped_and_a_changed_file_is_sent(
    work: Callable[..., Workspace], sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    mine.fill(12)
    mine.command(*mine.arguments(*PACKED)).expect(0)
    mine.add("a/000.csv", rows(100))
    mine.command(*mine.arguments(*PACKED)).expect(0)
    assert counted(mine.summary()["by_state"]) == {"skipped": 11, "collected": 1}
    assert delivered(sandbox) == Counter(
        {f"Rowena Canary {number}-{line}": 1 for number in (*range(12), 100) for line in range(3)}
    )


@pytest.mark.parametrize(
    ("keeps_out", "options"),
    [(True, PACKED), (False, PACKED), (False, PACE)],
    ids=["with the results", "without them", "without them, and without packing"],
)
def test_without_the_ledger_files_that_did_not_change_are_not_sent_again(
    work: Callable[..., Workspace], sandbox: SandboxVendor, keeps_out: bool, options: tuple[str, ...]
) -> None:
    mine = work(sandbox)
    files = mine.fill(FILES)
    mine.command(*mine.arguments(*PACKED)).expect(0)
    before = mine.manifest()
    lose_ledger(mine)
    if not keeps_out:
        shutil.rmtree(mine.out)
    mine.add("a/000.csv", rows(100))
    mine.add("b/001.csv", b"").unlink()
    again = mine.command(*mine.arguments(*options)).expect(0)

    assert "packs of a lost ledger, and are not sent again; changed or gone since: 2" in again.text
    assert counted(mine.summary()["by_state"]) == {"collected": FILES - 1}
    after, keys = mine.manifest(), ("import_id", "pack_id", "pack_rows", "row_count", "result_sha256")
    for name in files.keys() - {"a/000.csv", "b/001.csv"}:
        assert {key: after[name][key] for key in keys} == {key: before[name][key] for key in keys}, name
    assert after["a/000.csv"]["import_id"] not in {line["import_id"] for line in before.values()}
    wanted = {f"Rowena Canary {number}-{line}": 1 for number in (*range(FILES), 100) for line in range(3)}
    assert delivered(sandbox) == Counter(wanted)


@pytest.mark.parametrize("group", [0, *(pytest.param(group, marks=pytest.mark.slow) for group in range(1, GROUPS))])
def test_a_packing_run_killed_at_any_instant_goes_on_and_imports_each_row_once(
    work: Callable[..., Workspace], sandbox: SandboxVendor, group: int
) -> None:
    trials = killed_runs(work, sandbox, group=group, count=FILES, most_events=EVENTS, options=PACKED, pace=PACE)
    for trial in trials:
        assert Counter(line["state"] for line in trial.mine.manifest().values()) == {"collected": FILES}
    wanted = {f"Rowena Canary {number}-{line}": 1 for number in range(KILLS * FILES) for line in range(3)}
    assert delivered(sandbox) == Counter(wanted)


def test_without_the_ledger_a_run_of_some_files_sends_nothing(
    work: Callable[..., Workspace], sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    mine.fill(12)
    mine.command(*mine.arguments(*PACKED)).expect(0)
    lose_ledger(mine)
    refused = mine.command(*mine.arguments(*PACKED, "--include", "a/**")).expect(7)
    assert "and this run leaves it out" in refused.text
    mine.command(*mine.arguments(*PACKED)).expect(0)
    assert delivered(sandbox) == Counter(
        {f"Rowena Canary {number}-{line}": 1 for number in range(12) for line in range(3)}
    )


def explained(mine: Workspace, name: str, *routes: str) -> tuple[bool | None, str | None]:
    """Return what `explain` says of a file: whether it can be packed, and why it travels alone."""
    found = mine.command("explain", f"inbox/{name}", *routes, "--json").expect(0).document
    return found["can_be_packed"], found["alone"]


def lose_ledger(mine: Workspace) -> None:
    lost = list(mine.home.rglob("ledger.db*"))
    assert lost
    for path in lost:
        path.unlink()


def counted(by_state: dict[str, int]) -> dict[str, int]:
    return {state: count for state, count in by_state.items() if count}


def delivered(sandbox: SandboxVendor) -> Counter[str]:
    """How often each row was imported, by its first cell, over all imports that succeeded."""
    found: Counter[str] = Counter()
    for row in sandbox.result_rows():
        found[row["name"]] += 1
    return found
