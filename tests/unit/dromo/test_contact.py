"""The API, watched for whether it answers at all."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from runner.dromo.contact import WatchedApi
from runner.errors import (
    AuthRefused,
    BulkheadError,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequestInvalid,
    SchemaNotFound,
    Unavailable,
)
from runner.models import CreateRequest
from tests.support.scripted import EPOCH, LoopClock, ScriptedVendor

pytestmark = pytest.mark.virtual_time

FILE = CreateRequest(schema_id="s-1", original_filename="a.csv")


def watched(*answers: BulkheadError | None) -> WatchedApi:
    vendor = ScriptedVendor(LoopClock())
    vendor.create_script.extend(answers)
    return WatchedApi(vendor, clock=vendor.clock)


async def create(api: WatchedApi) -> None:
    try:
        await api.create(FILE)
    except BulkheadError:
        await asyncio.sleep(10)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        AuthRefused("401"),
        SchemaNotFound("404"),
        RequestInvalid("400"),
        RateLimited("429"),
    ],
)
async def test_whatever_the_api_wrote_is_an_answer(answer: BulkheadError | None) -> None:
    api = watched(NotSent("refused"), answer)
    await create(api)
    await create(api)
    assert api.has_answered
    assert api.outage is None


@pytest.mark.parametrize(
    "trouble", [NotSent("x"), OutcomeUnknown("x"), Unavailable("x"), RateLimited("x", is_of_the_api=False)]
)
async def test_an_outage_begins_with_the_first_call_that_is_not_answered(trouble: BulkheadError) -> None:
    api = watched(trouble, trouble, NotSent("the last reason"))
    await asyncio.sleep(5)
    for _ in range(3):
        await create(api)
    assert api.outage is not None
    assert api.outage.since - EPOCH == pytest.approx(timedelta(seconds=5), abs=timedelta(seconds=1))
    assert (round(api.outage.since_ticks), api.outage.reason) == (5, "the last reason")
    assert not api.has_answered


async def test_a_call_that_began_before_the_last_answer_begins_no_outage() -> None:
    api = watched(None)

    async def slow(_import_id: str) -> None:
        await asyncio.sleep(30)
        raise Unavailable("late")

    api.inner.retrieve = slow  # type: ignore[method-assign,assignment]
    reading = asyncio.ensure_future(api.retrieve("i-1"))
    await asyncio.sleep(10)
    await api.create(FILE)
    with pytest.raises(Unavailable):
        await reading
    assert api.outage is None
