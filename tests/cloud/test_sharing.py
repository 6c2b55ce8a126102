"""Runners on two machines and the functions: one ledger, one quota."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.acceptance.inbox import assert_each_once, rows
from tests.support.cloud.running import Cloud, rolling


def test_two_runners_and_the_functions_share_the_quota(cloud: Cloud, tmp_path: Path) -> None:
    laptops = {name: cloud.command(tmp_path / name) for name in ("first", "second")}
    own: dict[str, dict[str, bytes]] = {}
    for start, (name, laptop) in zip((2000, 2100), laptops.items(), strict=True):
        own[name] = {f"{number}.csv": rows(number) for number in range(start, start + 25)}
        for file, content in own[name].items():
            laptop.home.joinpath(file).write_bytes(content)
    landing = {f"shared/{number}.csv": rows(number) for number in range(2200, 2225)}

    with ExitStack() as running:
        runs = [
            running.enter_context(
                laptop.start(
                    "run", ".", "--include", "*.csv", "--schema-id", "customers", "--create-quota", cloud.quota,
                    "--ledger", f"dynamodb://{cloud.stack.table}", "--out", "out",
                )
            )
            for laptop in laptops.values()
        ]  # fmt: skip
        cloud.land(landing)
        for run in runs:
            run.wait(timeout_s=150).expect(0)
        cloud.expect(rolling("shared"), dict.fromkeys(landing, "collected"), within_s=120)
    cloud.assert_collected(landing, batch_id=rolling("shared"))
    assert_each_once(cloud.vendor.received(), landing | own["first"] | own["second"])
    cloud.assert_quota_kept()
