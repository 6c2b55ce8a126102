"""The comparison of a pack's result with what is predicted, and the body that a pack has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.config.routes import Route
from runner.packing.body import CHUNK_BYTES, PackBody
from runner.packing.canary import PredictedImport, differences
from runner.packing.marker import MARKER_NAMES
from runner.packing.member import Member, read_member
from runner.packing.rules import PackRules, rules_of
from runner.packing.split import MemberResult

ONE, TWO = "aaaabbbbccccd", "k3f5x2ab7q2mc"
METADATA = {"totalRows": 2, "errors": [{"rowIndex": 0, "fieldKey": "a", "message": "no", "value": "secret"}]}


def differing(
    rows: list[Any], predicted: list[Any], *, status: str = "SUCCESSFUL", metadata: Any = METADATA, own: Any = METADATA
) -> list[str]:
    result = MemberResult(tag=ONE, rows=tuple(json.dumps(row).encode() for row in rows), metadata=own)
    seen: list[tuple[bytes, str]] = []

    def predict(raw: bytes, /, *, filename: str) -> PredictedImport:
        seen.append((raw, filename))
        return PredictedImport(status=status, content=json.dumps(predicted).encode(), metadata=metadata)

    found = differences([result], {ONE: (b"bytes", "a.csv")}, predict)
    assert seen == [(b"bytes", "a.csv")]
    assert all(each.tag == ONE for each in found)
    return [each.sentence for each in found]


def test_a_result_as_predicted_has_no_difference_however_it_is_written() -> None:
    rows = [{"a": 1, "b": [True, None, {"x": "y"}]}, {"a": "x", "b": []}]
    assert differing(rows, [{"b": [True, None, {"x": "y"}], "a": 1.0}, {"a": "x", "b": []}]) == []


@pytest.mark.parametrize(
    ("rows", "predicted", "sentence"),
    [
        ([{"a": "secret"}], [{"a": "other"}], "row 1 of its result differs in a"),
        ([{"a": 1}, {"a": 1, "b": 2}], [{"a": 1}, {"a": True, "c": 2}], "row 2 of its result differs in a, b, c"),
        ([{"a": [1, 2]}], [{"a": [1]}], "row 1 of its result differs in a"),
        ([{"a": {"x": 1}}], [{"a": {"y": 1}}], "row 1 of its result differs in a"),
        ([{"a": None}], [{"a": ""}], "row 1 of its result differs in a"),
        ([], [{"a": 1}], "its result has 0 rows, and 1 are predicted"),
    ],
)
def test_what_differs_is_said_in_one_sentence_without_content(
    rows: list[Any], predicted: list[Any], sentence: str
) -> None:
    assert differing(rows, predicted) == [sentence]


def test_a_status_or_errors_that_are_not_as_predicted_differ() -> None:
    assert differing([], [], status="NEEDS_REVIEW") == [
        "its own import is predicted to end as NEEDS_REVIEW, and the pack was imported"
    ]
    assert differing([], [], own={"errors": []}) == ["its errors are in other rows than predicted"]
    assert differing([], [], own={}, metadata={"errors": []}) == []


def members(*raws: bytes) -> list[Member]:
    rules = rules_of(Route(name="all", fields=({"key": "a", "label": "A"}, {"key": "d", "label": "D", "type": "date"})))
    assert isinstance(rules, PackRules)
    found = [read_member(raw, rules) for raw in raws]
    assert all(isinstance(each, Member) for each in found), found
    return [each for each in found if isinstance(each, Member)]


async def test_a_body_is_one_table_with_the_header_once_and_each_row_behind_its_marker() -> None:
    one, two = members(b'A,D\n"x, y",2024-01-02\nz,\n', b"A;D\r\n1;2024-01-03\r\n".replace(b"\r", b""))
    body = PackBody([(ONE, one), (TWO, two)])
    assert body.content.decode() == (
        f'{MARKER_NAMES[0]},A,D\r\n{ONE}.1,"x, y",2024-01-02\r\n{ONE}.2,z,\r\n{TWO}.1,1,2024-01-03\r\n'
    )
    assert body.layout.row_counts == {ONE: 2, TWO: 1}
    assert b"".join([chunk async for chunk in body.chunks()]) == body.content
    assert body.size_bytes == len(body.content)


async def test_a_large_body_comes_in_chunks_and_every_pass_is_the_same() -> None:
    (one,) = members(b"A,D\n" + b"x" * 90_000 + b",2024-01-02\n")
    body = PackBody([(f"{'a' * 12}{letter}", one) for letter in "bcdefghijklmnopqrstuvwxyz"])
    chunks = [chunk async for chunk in body.chunks()]
    assert [len(chunk) for chunk in chunks[:-1]] == [CHUNK_BYTES] * (len(chunks) - 1)
    assert b"".join(chunks) == b"".join([chunk async for chunk in body.chunks()]) == body.content


def test_members_that_do_not_belong_together_make_no_body() -> None:
    one, other_header, day, month = members(
        b"A,D\nx,2024-01-02\n", b"D,A\n2024-01-02,x\n", b"A,D\nx,25/12/2024\n", b"A,D\nx,12/25/2024\n"
    )
    for other in (other_header, day):
        with pytest.raises(ValueError, match="same header"):
            PackBody([(ONE, one), (TWO, other)])
    with pytest.raises(ValueError, match="same header"):
        PackBody([(ONE, day), (TWO, month)])
    with pytest.raises(ValueError, match="twice"):
        PackBody([(ONE, one), (ONE, one)])
    with pytest.raises(ValueError, match="has members"):
        PackBody([])
