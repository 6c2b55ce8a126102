"""The modules that decide whether anything is imported twice or lost, and the fast tests of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A module and its fast tests; `is_simulated`: seeds judge a mutant that passes them.

    `only` selects some of the tests, as `pytest -k` does.
    """

    module: str
    tests: tuple[str, ...]
    is_simulated: bool = True
    only: str = ""


STAGES = "tests/unit/stages"
LOCAL = "tests/unit/local"
CONTRACT = "tests/contract"

TARGETS = {
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
        "runner/local/reconcile.py", (f"{LOCAL}/test_reconcile.py", f"{LOCAL}/test_gone_results.py"), is_simulated=False
    ),
    "sqlite": Target(
        "runner/ledger/sqlite/ledger.py",
        (
            "tests/unit/ledger/test_sqlite_restore.py",
            f"{CONTRACT}/test_ledger.py",
            "tests/unit/ledger/test_sqlite.py",
            f"{CONTRACT}/test_version_0_1_0.py",
        ),
        is_simulated=False,
        only="(sqlite or version_0_1_0) and not (million or kill_9 or disk)",
    ),
    "write_group": Target(
        "runner/ledger/sqlite/write_group.py", ("tests/unit/ledger/test_write_group.py",), is_simulated=False
    ),
    "transactions": Target(
        "runner/ledger/dynamodb/transactions.py",
        ("tests/unit/ledger/test_dynamodb_transactions.py",),
        is_simulated=False,
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
        is_simulated=False,
        only="ministack or interleaved or dynamodb_queries or cloud_ledger or ledger_copy",
    ),
}
