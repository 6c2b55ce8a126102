"""The modules that decide whether anything is imported twice or lost, and the fast tests of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A module and its fast tests; seeds of the `kinds` of simulation judge a mutant that passes them.

    `only` selects some of the tests, as `pytest -k` does.
    """

    module: str
    tests: tuple[str, ...]
    kinds: tuple[str, ...] = ("alone", "shared")
    only: str = ""


STAGES = "tests/unit/stages"
LOCAL = "tests/unit/local"
CONTRACT = "tests/contract"
PACKING = "tests/unit/packing"

TARGETS = {
    "pack_split": Target("runner/packing/split.py", (f"{PACKING}/test_split.py",), kinds=()),
    "pack_rows": Target("runner/packing/result_rows.py", (f"{PACKING}/test_split.py",), kinds=()),
    "pack_planner": Target(
        "runner/packing/planner.py",
        (f"{PACKING}/test_planner.py",),
        kinds=(),
        only="not (most_of_its_packs or memory or 850_on_average)",
    ),
    "pack_layout": Target("runner/packing/layout.py", (f"{PACKING}/test_split.py",), kinds=()),
    "pack_marker": Target(
        "runner/packing/marker.py", (f"{PACKING}/test_marker.py", f"{PACKING}/test_split.py"), kinds=()
    ),
    "pack_ends": Target(
        "runner/stages/pack_ends.py",
        (f"{STAGES}/test_pack_ends.py", f"{STAGES}/test_dissolved_packs.py"),
        kinds=("packs",),
    ),
    "dissolved_packs": Target(
        "runner/stages/dissolved_packs.py", (f"{STAGES}/test_dissolved_packs.py",), kinds=("packs",)
    ),
    "lost_packs": Target(
        "runner/stages/lost_packs.py",
        (f"{STAGES}/test_lost_packs.py", f"{STAGES}/test_found_lists.py", f"{STAGES}/test_other_sources.py"),
        kinds=("packs",),
    ),
    "unsent_packs": Target("runner/stages/unsent_packs.py", (f"{STAGES}/test_unsent_packs.py",), kinds=("packs",)),
    "other_sources": Target(
        "runner/stages/other_sources.py",
        (f"{STAGES}/test_other_sources.py", f"{STAGES}/test_unsent_packs.py"),
        kinds=("packs",),
    ),
    "pack_comparison": Target("runner/stages/pack_comparison.py", (f"{STAGES}/test_pack_comparison.py",), kinds=()),
    "lost_members": Target(
        "runner/stages/lost_members.py",
        (
            f"{STAGES}/test_lost_members.py",
            f"{STAGES}/test_lost_packs.py",
            f"{STAGES}/test_found_lists.py",
            f"{STAGES}/test_other_sources.py",
            f"{STAGES}/test_unsent_packs.py",
        ),
        kinds=("packs",),
    ),
    "pack_making": Target(
        "runner/stages/pack_making.py",
        (f"{STAGES}/test_pack_making.py", f"{STAGES}/test_pack_ends.py"),
        kinds=("packs",),
    ),
    "listing": Target(
        "runner/dromo/listing.py",
        ("tests/unit/dromo/test_listing.py", "tests/unit/dromo/test_listing_order.py", f"{STAGES}/test_orphans.py"),
    ),
    "orphans": Target("runner/stages/orphans.py", (f"{STAGES}/test_orphans.py", f"{STAGES}/test_submit.py")),
    "pacer": Target("runner/quota/pacer.py", ("tests/unit/quota", f"{STAGES}/test_submit.py")),
    "collect": Target(
        "runner/stages/collect.py",
        (f"{STAGES}/test_collect.py", f"{STAGES}/test_result_places.py", f"{LOCAL}/test_gone_results.py"),
    ),
    "track": Target(
        "runner/stages/track.py",
        (
            f"{STAGES}/test_tracker.py",
            f"{STAGES}/test_track.py",
            f"{STAGES}/test_absence.py",
            f"{LOCAL}/test_shared_ledger.py",
        ),
    ),
    "lost_creates": Target(
        "runner/stages/lost_creates.py",
        (f"{STAGES}/test_lost_creates.py", f"{STAGES}/test_json_imports.py", "tests/simulation/test_lost_creates.py"),
    ),
    "json_imports": Target(
        "runner/stages/json_imports.py",
        (f"{STAGES}/test_json_imports.py", f"{STAGES}/test_lost_creates.py", "tests/simulation/test_lost_creates.py"),
    ),
    "absence": Target(
        "runner/stages/absence.py",
        (f"{STAGES}/test_evidence.py", f"{STAGES}/test_absence.py", f"{STAGES}/test_submit.py"),
    ),
    "upload": Target(
        "runner/stages/upload.py",
        (f"{STAGES}/test_upload.py", f"{STAGES}/test_creating.py", f"{STAGES}/test_submit.py"),
    ),
    "submit": Target(
        "runner/stages/submit.py",
        (
            f"{STAGES}/test_creating.py",
            f"{STAGES}/test_submit.py",
            f"{STAGES}/test_lost_creates.py",
            f"{LOCAL}/test_shared_ledger.py",
        ),
    ),
    "reconcile": Target(
        "runner/local/reconcile.py", (f"{LOCAL}/test_reconcile.py", f"{LOCAL}/test_gone_results.py"), kinds=()
    ),
    "sqlite": Target(
        "runner/ledger/sqlite/ledger.py",
        (
            "tests/unit/ledger/test_sqlite_restore.py",
            f"{CONTRACT}/test_ledger.py",
            f"{CONTRACT}/test_pack_ledger.py",
            "tests/unit/ledger/test_sqlite.py",
            f"{CONTRACT}/test_version_0_1_0.py",
        ),
        kinds=(),
        only="(sqlite or version_0_1_0) and not (million or kill_9 or disk)",
    ),
    "write_group": Target("runner/ledger/sqlite/write_group.py", ("tests/unit/ledger/test_write_group.py",), kinds=()),
    "transactions": Target(
        "runner/ledger/dynamodb/transactions.py",
        ("tests/unit/ledger/test_dynamodb_transactions.py",),
        kinds=(),
    ),
    "dynamodb": Target(
        "runner/ledger/dynamodb/ledger.py",
        (
            f"{CONTRACT}/test_dynamodb_interleaved.py",
            "tests/integration/ledger/test_dynamodb_queries.py",
            f"{CONTRACT}/test_ledger.py",
            f"{CONTRACT}/test_cloud_ledger.py",
            f"{CONTRACT}/test_ledger_copy.py",
        ),
        kinds=(),
        only="ministack or interleaved or dynamodb_queries or cloud_ledger or ledger_copy",
    ),
}
