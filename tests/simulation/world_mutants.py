"""Planted bugs that show only in a world in which the vendor, or the surroundings of a run, is odd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runner.dromo import listing
from runner.stages import earlier_json, foreign
from tests.simulation.plan import Plan, within
from tests.support.seeds import Mutant
from tests.support.worlds import World


def playing(*worlds: World) -> Callable[[Plan], Plan]:
    """Return what puts plans into worlds."""
    return lambda plan: within(plan, frozenset(worlds))


def order_of_one_page_trusted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(listing, "ORDER_PROVED_BY", 0)


def json_of_a_lost_ledger_sent_again(patch: pytest.MonkeyPatch) -> None:
    async def none_waits(_self: Any, _schema_id: str | None) -> None:
        """Let all JSON be new."""

    patch.setattr(earlier_json.EarlierJson, "reason_to_wait", none_waits)


def json_waits_without_reason(patch: pytest.MonkeyPatch) -> None:
    async def all_wait(_self: Any, schema_id: str | None) -> str:
        return f"JSON of {schema_id} waits"

    patch.setattr(earlier_json.EarlierJson, "reason_to_wait", all_wait)


def any_name_taken_for_that_of_a_file(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(earlier_json, "_is_of_a_file", lambda remote: bool(remote.original_filename))


def files_of_another_run_sent_again(patch: pytest.MonkeyPatch) -> None:
    async def refuse_nothing(*_: Any) -> None:
        return None

    patch.setattr(foreign.ForeignWatch, "refuse", refuse_nothing)


def another_run_not_noticed(patch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> bool:
        return False

    patch.setattr(foreign.ForeignWatch, "_is_confirmed", never)


WORLD_MUTANTS = (
    Mutant(
        "one page in order proves that a list is in order",
        order_of_one_page_trusted,
        playing(World.UNORDERED_LIST),
        first_seed=700135,
    ),
    Mutant(
        "JSON of a lost ledger is sent again",
        json_of_a_lost_ledger_sent_again,
        playing(World.LOST_LEDGER),
        first_seed=700004,
    ),
    Mutant("JSON waits although no ledger was lost", json_waits_without_reason, playing(World.LOST_LEDGER)),
    Mutant(
        "any name is taken for that of an uploaded file",
        any_name_taken_for_that_of_a_file,
        playing(World.LOST_LEDGER, World.NAMED_JSON),
        first_seed=700001,
    ),
    Mutant(
        "files that another run has sent are sent again",
        files_of_another_run_sent_again,
        playing(World.SECOND_LEDGER),
        first_seed=704200,
    ),
    Mutant(
        "a run goes on beside another one with another ledger",
        another_run_not_noticed,
        playing(World.SECOND_LEDGER),
        first_seed=704001,
    ),
)
