"""The check of a source skips what a run would skip."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from runner.check.predictions import FileCheck, Prediction
from runner.check.schemas import BoundRoute
from runner.check.source_check import SourceCheck
from runner.check.worker import FileToCheck
from runner.models import ImportStatus, ItemState
from runner.stages.discover import Discovery
from tests.support.bench import BATCH_ID, Bench


class _Pool:
    """Finds every file good, and knows its tag."""

    size = 1

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def check(self, files: Sequence[FileToCheck]) -> list[FileCheck]:
        return [
            FileCheck(
                source=file.source, size_bytes=file.size_bytes, prediction=Prediction.SUCCEED,
                tag=self._bench.tag(file.source),
            )
            for file in files
        ]  # fmt: skip


async def _predicted(bench: Bench, *, again: bool = False) -> dict[str, Prediction]:
    found: list[FileCheck] = []
    discovery = Discovery(
        batch_id=BATCH_ID, ledger=bench.ledger, source=bench.source, routes=bench.routes, rank_of=lambda _: 0,
        endpoint="e", again=again, clock=bench.clock,
    )  # fmt: skip
    bound = [BoundRoute(route=route, schema={}) for route in bench.routes.routes]
    await SourceCheck(
        source=bench.source, discovery=discovery, routes=bench.routes, bound=bound, pool=_Pool(bench),  # type: ignore[arg-type]
        ledger=bench.ledger, again=again, on_files=found.extend, on_listed=lambda _: None,
    ).run()  # fmt: skip
    return {check.source: check.prediction for check in found}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.virtual_time
async def test_content_that_was_imported_with_an_unusable_result_is_skipped_even_with_again(again: bool) -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    await bench.leave("a.csv", ItemState.FAILED, tag=bench.tag("a.csv"), status=ImportStatus.SUCCESSFUL)
    assert await _predicted(bench, again=again) == {"a.csv": Prediction.SKIP, "b.csv": Prediction.SUCCEED}
