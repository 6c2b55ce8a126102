"""A batch belongs to the account of the first key that the vendor accepts, from then on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.errors import AuthRefused
from runner.local.pipeline import Scope, run_batch
from runner.models import ItemState
from tests.support.bench import BATCH_ID, Bench
from tests.support.scripted import EPOCH

pytestmark = pytest.mark.virtual_time

ACCOUNT = "e-0011223344556677"


async def run(bench: Bench, *, scope: Scope = Scope.RUN) -> None:
    batch = await bench.ledger.batch(BATCH_ID) or await bench.start()
    await run_batch(batch, replace(bench.context(), account=ACCOUNT), scope=scope)


async def test_a_batch_is_bound_before_the_first_create() -> None:
    bench = Bench({"a.csv": b"1"})
    bound: list[str] = []
    create = bench.vendor.create

    async def note(request: object) -> object:
        bound.append((await bench.batch()).account)
        return await create(request)  # type: ignore[arg-type]

    bench.vendor.create = note  # type: ignore[method-assign,assignment]
    await run(bench)
    assert bound == [ACCOUNT]


@pytest.mark.parametrize("scope", [Scope.RUN, Scope.TRACK_ONCE, Scope.TRACK_WATCH])
async def test_a_refused_key_binds_nothing(scope: Scope) -> None:
    bench = Bench({"a.csv": b"1"})
    await bench.leave("a.csv", ItemState.NEEDS_REVIEW, import_id="import-1", created_at=EPOCH)

    async def refuse(**_options: int) -> None:
        raise AuthRefused("no")

    bench.vendor.list_page = refuse  # type: ignore[method-assign,assignment]
    await run(bench, scope=scope)
    assert (await bench.batch()).account == "e-a"


async def test_tracking_binds_a_batch_to_the_key_that_was_accepted_for_it() -> None:
    bench = Bench({"a.csv": b"1"})
    await bench.leave("a.csv", ItemState.NEEDS_REVIEW, import_id="import-1", created_at=EPOCH)
    await run(bench, scope=Scope.TRACK_ONCE)
    assert (await bench.batch()).account == ACCOUNT
