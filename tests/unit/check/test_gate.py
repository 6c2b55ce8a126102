"""The gate checks an item once, before its first create, and rejects only what the check could predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from runner.check import BoundRoute, FileCheck, Gate, GateMode, Prediction, WorkerPool
from runner.check.gate import NOTICES_MAX
from runner.check.worker import FileToCheck
from runner.errors import ItemRejected, SchemaNotFound
from runner.events import Event, Notice
from runner.models import Item
from runner.problems import Effect, Place, Problem
from tests.support.checks import bound_route

BOUND = bound_route()
ITEM = Item(batch_id="b", source="a.csv")


@dataclass
class FakePool:
    """Says the same of every file."""

    check_of_all: FileCheck
    asked: list[str] = field(default_factory=list)

    async def check(self, tasks: Sequence[FileToCheck]) -> list[FileCheck]:
        self.asked += [task.source for task in tasks]
        return [replace(self.check_of_all, source=task.source) for task in tasks]


def gate_of(
    *,
    mode: GateMode = GateMode.SKIP,
    code: str = "import_failed",
    prediction: Prediction = Prediction.FAIL,
    bound: BoundRoute = BOUND,
    problems: tuple[Problem, ...] = (),
) -> tuple[Gate, FakePool, list[Event]]:
    pool = FakePool(FileCheck(source="", prediction=prediction, code=code, message="damaged", problems=problems))
    events: list[Event] = []

    async def opened() -> tuple[WorkerPool, list[Any]]:
        return cast("WorkerPool", pool), [bound]

    return Gate(opened, mode=mode, emit=events.append), pool, events


async def test_a_file_that_would_fail_is_rejected_with_the_reason() -> None:
    gate, _, _ = gate_of()
    with pytest.raises(ItemRejected, match="predicts a failure: damaged") as refused:
        await gate.admit(ITEM, BOUND.route)
    assert refused.value.code == "check_failed"


@pytest.mark.parametrize("prediction", [Prediction.SUCCEED, Prediction.REVIEW, Prediction.REJECT])
async def test_what_would_not_fail_is_admitted(prediction: Prediction) -> None:
    gate, pool, _ = gate_of(prediction=prediction)
    await gate.admit(ITEM, BOUND.route)
    assert pool.asked == ["a.csv"]


@pytest.mark.parametrize("code", ["check_timeout", "check_killed", "check_memory", "check_library", "schema_unusable"])
async def test_a_file_that_could_not_be_judged_is_admitted(code: str) -> None:
    gate, _, events = gate_of(code=code)
    await gate.admit(ITEM, BOUND.route)
    assert events == []


def warning(effect: Effect) -> Problem:
    place = Place(source="a.csv", row=4, sample="secret")
    return Problem(effect=effect, kind="warning", message="Rows are wider.", code="rows_wider", count=2, place=place)


@pytest.mark.parametrize("prediction", [Prediction.SUCCEED, Prediction.REVIEW])
async def test_a_file_whose_rows_would_be_shifted_or_lost_is_rejected_without_the_text_of_a_cell(
    prediction: Prediction,
) -> None:
    gate, _, _ = gate_of(prediction=prediction, problems=(warning(Effect.DATA_LOST),))
    with pytest.raises(ItemRejected, match=r"lost data: Rows are wider. \(2 rows; the first: row 4\)") as refused:
        await gate.admit(ITEM, BOUND.route)
    assert refused.value.code == "check_data_lost"
    assert "secret" not in str(refused.value)


async def test_in_mode_warn_a_file_that_would_lose_data_is_sent_and_told() -> None:
    gate, _, events = gate_of(mode=GateMode.WARN, prediction=Prediction.SUCCEED, problems=(warning(Effect.DATA_LOST),))
    await gate.admit(ITEM, BOUND.route)
    (notice,) = events
    assert isinstance(notice, Notice)
    assert (notice.code, "secret" in notice.message) == ("check_data_lost", False)


@pytest.mark.parametrize("mode", list(GateMode))
async def test_a_warning_that_loses_nothing_is_told_and_the_file_is_sent(mode: GateMode) -> None:
    gate, _, events = gate_of(mode=mode, prediction=Prediction.SUCCEED, problems=(warning(Effect.NOTE),))
    await gate.admit(ITEM, BOUND.route)
    assert [event.code for event in events if isinstance(event, Notice)] == ["check_warning"]


async def test_an_item_that_changed_state_before_is_not_checked_again() -> None:
    gate, pool, _ = gate_of()
    await gate.admit(replace(ITEM, revision=2), BOUND.route)
    assert pool.asked == []


async def test_a_route_without_a_bound_schema_is_left_to_the_create() -> None:
    gate, pool, _ = gate_of()
    await gate.admit(ITEM, bound_route("other", fields=[{"key": "x"}]).route)
    assert pool.asked == []


async def test_a_route_whose_schema_the_vendor_does_not_have_is_left_to_the_create() -> None:
    gate, pool, _ = gate_of(bound=replace(BOUND, missing=SchemaNotFound("none")))
    await gate.admit(ITEM, BOUND.route)
    assert pool.asked == []


async def test_notices_stop_after_a_while() -> None:
    gate, _, events = gate_of(mode=GateMode.WARN)
    for number in range(NOTICES_MAX + 10):
        await gate.admit(replace(ITEM, source=f"{number}.csv"), BOUND.route)
    assert len(events) == NOTICES_MAX + 1
    assert all(isinstance(event, Notice) for event in events)


async def test_a_file_that_is_checked_again_is_told_once() -> None:
    gate, pool, events = gate_of(mode=GateMode.WARN)
    for source in ("a.csv", "a.csv", "b.csv"):
        await gate.admit(replace(ITEM, source=source), BOUND.route)
    assert pool.asked == ["a.csv", "a.csv", "b.csv"]
    assert [event.message.split(":")[0] for event in events if isinstance(event, Notice)] == ["a.csv", "b.csv"]


async def test_reading_schemas_is_repeated_after_an_error() -> None:
    calls = []

    async def opened() -> tuple[WorkerPool, list[Any]]:
        calls.append(1)
        raise SchemaNotFound("not now")

    gate = Gate(opened, mode=GateMode.SKIP, emit=lambda _: None)
    for _ in range(2):
        with pytest.raises(SchemaNotFound):
            await gate.admit(ITEM, BOUND.route)
    assert len(calls) == 2
