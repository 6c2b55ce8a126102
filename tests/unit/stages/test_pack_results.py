"""The result of a pack: what its files are told if its rows do not add up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

from runner.errors import PackUnaccounted
from runner.models import Item, ItemState
from runner.stages.pack_results import PackCollector
from tests.support.pack_bench import PackBench

pytestmark = pytest.mark.virtual_time

S = ItemState


class Fetch:
    """Gives a result without rows, or an error while it is read."""

    def __init__(self, error: PackUnaccounted | None) -> None:
        self.error = error

    async def fetch(self, _: Item, save: Callable[[AsyncIterator[bytes]], Awaitable[Any]], *, files: int) -> Any:
        return await save(self.chunks())

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.error is not None:
            raise self.error
        yield b"[]"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (None, "1.csv: 1 of 1 rows are unaccounted"),
        ("the pack's result has the row tag of 2.csv.17 twice", "the pack's result has the row 17 of 2.csv twice"),
        ("row 3 of the pack's result has no valid marker", "row 3 of the pack's result has no valid marker"),
    ],
)
async def test_rows_that_do_not_add_up_name_the_file_instead_of_its_tag_which_nobody_can_look_up(
    message: str | None, told: str
) -> None:
    bench = PackBench()
    pack = await bench.ledger.advance(await bench.sent_pack("SUCCESSFUL"), S.SUCCEEDED, reason="x")
    unused: Any = None
    collector = PackCollector(
        ledger=bench.ledger,
        api=bench.vendor,
        fetch=cast("Any", Fetch(PackUnaccounted("marker_repeated", message) if message else None)),
        sink=unused,
        comparison=unused,
        transitions=bench.transitions,
        row_accounts=unused,
        places=None,
        result_bytes=1000,
    )
    with pytest.raises(PackUnaccounted) as caught:
        await collector.collect(pack)
    assert str(caught.value) == told
