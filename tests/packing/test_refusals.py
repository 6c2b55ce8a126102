"""Why files are refused: packed nevertheless, they would get something else than their own imports give."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from runner.config.routes import Route
from runner.errors import PackUnaccounted
from runner.packing.body import PackBody
from runner.packing.canary import PredictedImport, differences
from runner.packing.marker import MARKER_NAMES, MarkerColumn
from runner.packing.member import Member, lines_of, read_member
from runner.packing.refusals import Refusal
from runner.packing.result_rows import PackRows
from runner.packing.rules import PackRules, rules_of
from runner.packing.split import MemberResult, PackSplitter
from tests.packing.equality import imported

TAGS = ("aaaabbbbccccd", "k3f5x2ab7q2mc", "zzzz222233334")
NAME = {"key": "name", "label": "Name"}
NOTE = {"key": "note", "label": "Note"}
FIRST, SECOND = {"key": "a1", "label": "Name"}, {"key": "b1", "label": "Note"}
COUNTING_HOOK = "(rows) => rows.map(() => ({row: {name: {value: '' + rows.length}}}))"
DAY = {"key": "day", "label": "Day", "type": "date"}
UNIQUE = {"key": "name", "label": "Name", "validators": [{"validate": "unique"}]}


def schema(*fields: dict[str, Any], hooks: Any = None, **settings: Any) -> dict[str, Any]:
    return {"fields": list(fields), "settings": settings, "hooks": hooks or {}}


def carelessly(raw: str) -> Member:
    """Make a member of whatever a CSV file has."""
    header, *rows = list(csv.reader(io.StringIO(raw, newline="")))
    column = MarkerColumn(MARKER_NAMES[0])
    lines = lines_of(rows, ",")
    return Member(
        header=tuple(header), marker=column, delimiter=",", lines=lines, size_bytes=0, date_order="", unique_keys=b""
    )  # fmt: skip


def packed_nevertheless(files: Sequence[str], given: dict[str, Any]) -> list[Any] | str:
    """Return each file's rows of a pack, or how the pack's import or its split ended without any."""
    body = PackBody(zip(TAGS, map(carelessly, files), strict=False))
    _, settings = body.marker.create_parts(fields=None, settings=given["settings"])
    outcome, content = imported(body.content, {**given, "settings": settings})
    if outcome.status != "SUCCESSFUL":
        return outcome.status
    rows: dict[str, list[Any]] = {tag: [] for tag in body.layout.starts}
    reader = PackRows(
        lambda marker, row: rows[marker.tag].append(json.loads(row)), column=body.marker, keeps_unmapped=False
    )
    try:
        reader.feed(content)
    except PackUnaccounted as error:
        return type(error).__name__
    return list(rows.values())


def singly(files: Sequence[str], given: dict[str, Any]) -> list[Any]:
    made = [imported(raw.encode(), given) for raw in files]
    assert {outcome.status for outcome, _ in made} == {"SUCCESSFUL"}
    return [json.loads(content) for _, content in made]


def refusal_of(raw: str, given: dict[str, Any]) -> str:
    """Return the code that refuses the route or the file; "" if none does."""
    rules = rules_of(Route(name="all", schema_id="s"), given)
    found = rules if isinstance(rules, Refusal) else read_member(raw.encode(), rules)
    return found.code if isinstance(found, Refusal) else ""


@pytest.mark.parametrize(
    ("code", "given", "files"),
    [
        ("dates_ambiguous", schema(NAME, DAY), ["Name,Day\na,3/4/2024\n", "Name,Day\nb,25/12/2024\n"]),
        ("delimiter_unclear", schema(NAME, NOTE), ["Name,Note\nx,a;b;c;d;e;f;g;h;i;j;k;l\n"] * 3),
        ("header_unclear", schema(FIRST, SECOND), ["Name,Note,x\na1,b1,Name\n", "Name,Note,x\nb,c,d\n"]),
        ("blank_rows", schema(NAME, NOTE), ["Name,Note\n,\na,b\n", "Name,Note\nc,d\n"]),
        ("max_records", schema(NAME, maxRecords=2), ["Name\na\nb\n", "Name\nc\nd\n"]),
        ("development_mode", schema(NAME, developmentMode=True), ["Name\n" + "a\n" * 60, "Name\n" + "b\n" * 60]),
        ("max_file_size", schema(NAME, maxFileSize=60), ["Name\na\nb\n", "Name\nc\nd\n"]),
        ("hooks", schema(NAME, hooks={"bulkRowHooks": [COUNTING_HOOK]}), ["Name\na\nb\n", "Name\nc\n"]),
        ("header_row", schema(NAME, NOTE, matchingStep={"headerRowOverride": 1}), ["Name,x\nName,Note\na,b\n"] * 2),
    ],
)  # fmt: skip
def test_what_is_refused_would_be_imported_otherwise(code: str, given: dict[str, Any], files: list[str]) -> None:
    assert refusal_of(files[0], given) == code
    try:
        alone: Any = singly(files, given)
    except AssertionError:
        alone = "a file would not be imported alone"
    assert packed_nevertheless(files, given) != alone


def test_a_unique_value_in_two_files_would_lose_both_rows() -> None:
    files = ["Name\na\n", "Name\na\n"]
    assert singly(files, schema(UNIQUE)) == [[{"name": "a"}], [{"name": "a"}]]
    assert packed_nevertheless(files, schema(UNIQUE)) == [[], []]
    rules = rules_of(Route(name="all", schema_id="s"), schema(UNIQUE))
    assert isinstance(rules, PackRules)
    one, two = (read_member(raw.encode(), rules) for raw in files)
    assert isinstance(one, Member)
    assert isinstance(two, Member)
    assert one.unique_keys == two.unique_keys != b""


def test_a_setting_against_empty_results_would_let_an_empty_file_pass() -> None:
    required = {"key": "name", "label": "Name", "validators": [{"validate": "length", "max": 1}]}
    given = schema(required, allowEmptySubmit=False)
    files = ["Name\ntoo long\n", "Name\na\n"]
    assert refusal_of(files[0], given) == "empty_submit"
    assert imported(files[0].encode(), given)[0].status == "NEEDS_REVIEW"
    assert packed_nevertheless(files, given) == [[], [{"name": "a"}]]


def seven_rows(number: int) -> str:
    return "".join(f"n{number}-{row},x{row},{'oops' if row == 3 else '2024-01-02'}\n" for row in range(7))


def split(
    files: Mapping[str, bytes], given: dict[str, Any], *, change: Callable[[bytes], bytes] = lambda content: content
) -> tuple[MemberResult, ...]:
    """Pack and import all files, and split the result after a change."""
    rules = rules_of(Route(name="all", schema_id="s"), given)
    assert isinstance(rules, PackRules)
    members = {tag: read_member(raw, rules) for tag, raw in files.items()}
    body = PackBody((tag, member) for tag, member in members.items() if isinstance(member, Member))
    assert len(body.layout.members) == len(files)
    _, settings = body.marker.create_parts(fields=None, settings=given["settings"])
    outcome, content = imported(body.content, {**given, "settings": settings})
    splitter = PackSplitter(
        body.layout, column=body.marker, keeps_unmapped=rules.keeps_unmapped, behavior=rules.behavior
    )
    splitter.feed(change(content))
    return splitter.finish(outcome.metadata).members


def test_a_full_pack_is_split_as_its_files_are_imported_alone() -> None:
    given = schema(NAME, DAY, passThroughUnmappedColumns=True)
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    files = {
        f"{'a' * 11}{alphabet[at // 32]}{alphabet[at % 32]}": f"Name,Remarks,Day\n{seven_rows(at)}".encode()
        for at in range(1_000)
    }
    results = split(files, given)
    assert len(results) == 1_000
    for each in results[::37]:
        single, alone = imported(files[each.tag], given)
        assert each.content == alone
        assert each.metadata["errors"] == single.metadata["errors"] != []


def canary_differences(change: Callable[[bytes], bytes]) -> list[str]:
    given = schema(NAME, DAY)
    files = {TAGS[0]: b"Name,Day\na,2024-01-02\nb,x\n", TAGS[1]: b"Name;Day\nc;2024-12-25\n"}

    def predict(raw: bytes, /, *, filename: str) -> PredictedImport:
        single, alone = imported(raw, given)
        return PredictedImport(status=single.status, content=alone, metadata=single.metadata)

    named = {tag: (raw, "a.csv") for tag, raw in files.items()}
    return [each.sentence for each in differences(split(files, given, change=change), named, predict)]


def test_the_canary_is_as_predicted_by_the_engine_and_a_damaged_one_is_not() -> None:
    assert canary_differences(lambda content: content) == []
    damaged = canary_differences(lambda content: content.replace(b"2024-12-25", b"2024-12-26"))
    assert damaged == ["row 1 of its result differs in day"]
