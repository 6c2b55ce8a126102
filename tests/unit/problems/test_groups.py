"""Problem groups and totals: independent of the order of files, of constant size, largest first."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from runner.check import CheckTotals, FileCheck, Prediction
from runner.config.units import Rate
from runner.local.outcome import ExitCode
from runner.problems import Cell, Effect, Place, Problem
from runner.problems.groups import GROUPS_MAX, SAMPLES, ProblemGroups, rows_of

QUOTA = Rate(20, 60.0)


def check(
    source: str, *problems: Problem, prediction: Prediction = Prediction.SUCCEED, route: str = "r", **more: int
) -> FileCheck:
    return FileCheck(source=source, prediction=prediction, route=route, problems=problems, **more)


def problem(message: str = "no number", *, kind: str = "cell", row: int = 1, value: str = "x") -> Problem:
    cells = (Cell(source="", row=row, value=value),)
    return Problem(
        effect=Effect.ROWS_REMOVED, kind=kind, message=message, field_keys=("f",), row_count=2, cells=cells,
        values=((value, 2),),
    )  # fmt: skip


def test_messages_that_differ_in_numbers_only_are_one_group_and_routes_are_apart() -> None:
    groups = ProblemGroups()
    for source, message, route in (("b", "near row 7", "r"), ("a", "near row 9", "r"), ("c", "near row 7", "other")):
        groups.take(check(source, problem(message), route=route))
    found = [(one.route, one.file_count, one.row_count, one.message, one.files) for one in groups.sorted()]
    assert found == [("r", 2, 4, "near row 9", ("a", "b")), ("other", 1, 2, "near row 7", ("c",))]


def test_two_problems_of_one_kind_in_a_file_count_as_one_file() -> None:
    groups = ProblemGroups()
    groups.take(check("a", problem("row 1"), problem("row 2")))
    (group,) = groups.sorted()
    assert (group.file_count, group.row_count) == (1, 4)


def test_warnings_with_one_code_are_one_group_with_their_sum_and_first_places() -> None:
    groups = ProblemGroups()
    for source, row in (("b", 9), ("c", 4), ("a", 7), ("d", 2)):
        place = Place(source=source, row=row, sample=f"in {source}")
        warning = Problem(
            effect=Effect.DATA_LOST, kind="warning", message="wide", code="rows_wider", count=row, place=place
        )
        groups.take(check(source, warning))
    (group,) = groups.sorted()
    assert (group.code, group.file_count, group.count) == ("rows_wider", 4, 22)
    assert [(place.source, place.row, place.sample) for place in group.places] == [
        ("a", 7, "in a"), ("b", 9, "in b"), ("c", 4, "in c"),
    ]  # fmt: skip
    assert rows_of(group) == "22 rows"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=40), st.randoms())
def test_the_order_in_which_files_finish_changes_nothing(made: list[tuple[int, int]], dice: random.Random) -> None:
    checks = [
        check(
            f"{number:02}",
            Problem(
                effect=Effect.REVIEW, kind="cell", message=f"m{value % 2}", row_count=1,
                cells=(Cell(source=f"{number:02}", row=value + 1, value=str(value)),), values=((str(value), 1),),
            ),
        )
        for number, value in made
    ]  # fmt: skip
    straight, mixed = ProblemGroups(), ProblemGroups()
    for one in checks:
        straight.take(one)
    dice.shuffle(checks)
    for one in checks:
        mixed.take(one)
    assert straight.sorted() == mixed.sorted()


def test_memory_does_not_grow_with_the_number_of_different_problems() -> None:
    groups = ProblemGroups()
    for number in range(GROUPS_MAX + 500):
        groups.take(check(f"{number:05}", problem(f"{chr(0x4E00 + number)}", value=f"{number}")))
    found = groups.sorted()
    assert len(found) == GROUPS_MAX + 1
    assert (found[0].kind, found[0].file_count, found[0].cells) == ("other", 500, ())
    assert all(len(one.files) <= SAMPLES for one in found)


def test_numbers_that_are_part_of_a_name_keep_messages_apart() -> None:
    groups = ProblemGroups()
    for source, message in (("a", "cp1252 or cp1250"), ("b", "cp1251 or cp1252"), ("c", "cp1252 or cp1250")):
        groups.take(check(source, problem(message)))
    assert [(one.message, one.files) for one in groups.sorted()] == [
        ("cp1252 or cp1250", ("a", "c")),
        ("cp1251 or cp1252", ("b",)),
    ]


def test_the_totals_add_up_files_rows_losses_and_time() -> None:
    totals = CheckTotals()
    totals.take(check("a", row_count=10, removed_row_count=10, size_bytes=5))
    totals.take(check("b", row_count=10, removed_row_count=1, size_bytes=5))
    for number in range(50):
        totals.take(check(f"c{number}", prediction=Prediction.REVIEW))
    totals.take(check("d", prediction=Prediction.SKIP))
    summary = totals.summary(quota=QUOTA)
    assert (summary.file_count, summary.create_count, summary.row_count) == (53, 52, 20)
    assert (summary.removed_row_count, summary.losing_file_count, summary.emptied_file_count) == (11, 2, 1)
    assert summary.finish_in_s == 120.0


def test_the_exit_code_is_that_of_a_run_with_the_same_outcomes() -> None:
    def code(*predictions: Prediction, fail_if_empty: bool = False) -> ExitCode:
        totals = CheckTotals()
        for at, prediction in enumerate(predictions):
            totals.take(check(str(at), prediction=prediction))
        return totals.summary(quota=QUOTA).exit_code(fail_if_empty=fail_if_empty)

    assert code(Prediction.SUCCEED, Prediction.SKIP, fail_if_empty=True) is ExitCode.OK
    assert code(Prediction.SUCCEED, Prediction.REVIEW) is ExitCode.NEEDS_REVIEW
    assert code(Prediction.REVIEW, Prediction.FAIL) is code(Prediction.REJECT) is ExitCode.ITEMS_FAILED
    assert code(Prediction.SKIP) is ExitCode.OK
    assert code(Prediction.SKIP, fail_if_empty=True) is ExitCode.NOTHING_TO_DO
