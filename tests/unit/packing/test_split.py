"""The split of a pack's result: each row's own text, and an account of every row that was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import PackUnaccounted, ResultInvalid
from runner.packing.layout import PackLayout
from runner.packing.marker import MARKER_NAMES, Marker, MarkerColumn
from runner.packing.result_rows import PackRows, column_of
from runner.packing.split import Offenders, PackResult, PackSplitter, offenders

ONE, TWO = "aaaabbbbccccd", "k3f5x2ab7q2mc"
UNMAPPED = MarkerColumn(MARKER_NAMES[0])
FIELD = MarkerColumn(MARKER_NAMES[0], is_field=True)
LAYOUT = PackLayout.of([(ONE, 2), (TWO, 3)])
REMOVE, INCLUDE = "REMOVE_INVALID_ROWS", "INCLUDE_INVALID_ROWS"
EVERY = [f"{ONE}.1", f"{ONE}.2", f"{TWO}.1", f"{TWO}.2", f"{TWO}.3"]


def own_rows(text: str, column: MarkerColumn | None = UNMAPPED, *, keeps_unmapped: bool = False) -> list[str]:
    found: list[str] = []
    rows = PackRows(lambda _, row: found.append(row.decode()), column=column, keeps_unmapped=keeps_unmapped)
    rows.feed(text.encode())
    rows.finish()
    return found


def result(*markers: str) -> bytes:
    rows = ",".join(f'{{"a":"{marker}!","$unmapped":{{"0":"{marker}"}}}}' for marker in markers)
    return f"[{rows}]".encode()


def split(
    content: bytes, metadata: object = None, *, behavior: str = REMOVE, layout: PackLayout = LAYOUT
) -> PackResult:
    splitter = PackSplitter(layout, column=UNMAPPED, keeps_unmapped=False, behavior=behavior)
    for at in range(len(content)):
        splitter.feed(content[at : at + 1])
    return splitter.finish(metadata)


def refused(content: bytes, metadata: object = None, *, behavior: str = REMOVE) -> str:
    with pytest.raises(PackUnaccounted) as caught:
        split(content, metadata, behavior=behavior)
    return caught.value.code


def error(row: int, **more: Any) -> dict[str, Any]:
    return {"type": "VALIDATION", "rowIndex": row, "fieldKey": "a", "message": "no", "value": "x", **more}


@pytest.mark.parametrize(
    ("row", "off", "on"),
    [
        ('{"a":1,"$unmapped":{"0":"M"}}', '{"a":1}', '{"a":1,"$unmapped":{}}'),
        ('{"a":1.50,"$unmapped":{"0":"M","12":"x"}}', '{"a":1.50}', '{"a":1.50,"$unmapped":{"11":"x"}}'),
        ('{"$unmapped":{"0":"M"},"a":1}', '{"a":1}', '{"$unmapped":{},"a":1}'),
        ('{"$unmapped": {"3": "y", "0": "M"}, "a": 1}', '{"a": 1}', '{"$unmapped": {"2": "y"}, "a": 1}'),
        ('{"$unmapped": {"0": "M", "3": "y", "5": ""}}', "{}", '{"$unmapped": {"2": "y", "4": ""}}'),
        ('{ "$unmapped" : { "0" : "M" } }', "{  }", '{ "$unmapped" : {} }'),
        (
            '{"a":"\\"$unmapped\\":{\\"0\\":\\"x\\"}","$unmapped":{"0":"M","2":"a, \\"7\\": b"}}',
            '{"a":"\\"$unmapped\\":{\\"0\\":\\"x\\"}"}',
            '{"a":"\\"$unmapped\\":{\\"0\\":\\"x\\"}","$unmapped":{"1":"a, \\"7\\": b"}}',
        ),
        ('{"a":"\\ud800","$unmapped":{"0":"M"}}', '{"a":"\\ud800"}', '{"a":"\\ud800","$unmapped":{}}'),
        ('{"a":123456789012345678901234567890,"$unmapped":{"0":"M","1":null}}', '{"a":123456789012345678901234567890}',
         '{"a":123456789012345678901234567890,"$unmapped":{"0":null}}'),
    ],
)  # fmt: skip
def test_only_the_marker_is_cut_out_of_a_row(row: str, off: str, on: str) -> None:
    text = f"[{row.replace('M', EVERY[0])}]"
    assert own_rows(text) == [off]
    assert own_rows(text, keeps_unmapped=True) == [on]


@pytest.mark.parametrize(
    ("row", "own"),
    [
        ('{"bulkhead_marker":"M","a":1}', '{"a":1}'),
        ('{"a":1,"bulkhead_marker": "M"}', '{"a":1}'),
        ('{"bulkhead_marker":"M"}', "{}"),
        (
            '{"bulkhead_marker":"M","a":1,"$unmapped":{"4":"x","7":"bulkhead_marker"}}',
            '{"a":1,"$unmapped":{"3":"x","6":"bulkhead_marker"}}',
        ),
        (
            '{"bulkhead_marker":"M","a":"\\"bulkhead_marker\\":\\"M\\"","$unmapped":{}}',
            '{"a":"\\"bulkhead_marker\\":\\"M\\"","$unmapped":{}}',
        ),
    ],
)  # fmt: skip
def test_the_field_of_the_marker_is_cut_out_of_a_row(row: str, own: str) -> None:
    assert own_rows(f"[{row.replace('M', EVERY[0])}]", FIELD, keeps_unmapped=True) == [own.replace("M", EVERY[0])]


@pytest.mark.parametrize(
    "row",
    ["1", "[]", "{}", '{"a":1}', '{"$unmapped":{}}', '{"$unmapped":{"1":"M"}}', '{"$unmapped":{"0":"M "}}',
     '{"$unmapped":"M"}', '{"$unmapped":{"0":["M"]}}', '{"$unmapped":{"0":"M","x":"y"}}',
     '{"$unmapped":{"0":"M","1":{"2":"3"}}}',
     '{"\\u0024unmapped":{"0":"M"}}', '{"$unmapped":{"0":"M"},"b":{"$unmapped":{"0":"M"}}}', '{"bulkhead_marker":"M"}'],
)  # fmt: skip
def test_a_row_whose_marker_is_not_where_it_should_be_is_never_passed_over(row: str) -> None:
    with pytest.raises(PackUnaccounted) as caught:
        own_rows(f"[{row.replace('M', EVERY[0])}]", keeps_unmapped=True)
    assert caught.value.code == "marker_invalid"


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ('{"a":1}', None),
        ('{"bulkhead_marker":"M","bulkhead_marker":"M"}', FIELD),
        ('{"bulkhead_marker":"\\u006dM"}', FIELD),
    ],
)
def test_a_marker_that_is_missing_twice_or_written_oddly_is_never_passed_over(
    row: str, column: MarkerColumn | None
) -> None:
    with pytest.raises(PackUnaccounted) as caught:
        own_rows(f"[{row.replace('M', EVERY[0])}]", column)
    assert caught.value.code == "marker_invalid"


def test_a_result_tells_by_itself_how_its_markers_come_back() -> None:
    assert column_of({"a": 1, "$unmapped": {"0": EVERY[0]}}) == UNMAPPED
    assert column_of({"bhpk_qzxv": EVERY[0]}) == MarkerColumn("Bhpk qzxv", is_field=True)
    assert column_of({"a": EVERY[0]}) is None
    assert own_rows(f'[{{"bhpk_qzxv":"{EVERY[0]}","a":1}}]', None) == ['{"a":1}']


def test_rows_go_to_their_members_in_order_whatever_the_order_of_the_result() -> None:
    found = split(result(*reversed(EVERY)))
    assert [each.tag for each in found.members] == [ONE, TWO]
    assert [each.size_bytes for each in found.members] == [len(each.content) for each in found.members]
    assert json.loads(found.members[1].content) == [{"a": f"{TWO}.{number}!"} for number in (1, 2, 3)]


def test_rows_that_errors_name_are_accounted_for_and_the_errors_are_the_members_own() -> None:
    metadata = {
        "totalRows": 5,
        "errors": [error(1), error(3), error(3, message="again")],
        "errorCount": 3,
        "rowsWithError": [1, 3],
    }
    found = split(result(EVERY[0], EVERY[2], EVERY[4]), metadata)
    assert not found.errors_are_cut
    one, two = found.members
    assert one.metadata == {
        "totalRows": 2, "validRows": 1, "invalidRows": 1, "rowsWithError": [1], "errors": [error(1)], "errorCount": 1,
    }  # fmt: skip
    assert two.metadata == {
        "totalRows": 3, "validRows": 2, "invalidRows": 1, "rowsWithError": [1],
        "errors": [error(1), error(1, message="again")], "errorCount": 2,
    }  # fmt: skip
    assert len(one.rows) == 1
    assert len(two.rows) == 2


def test_a_member_whose_rows_are_all_left_out_has_an_empty_result() -> None:
    one, _ = split(result(*EVERY[2:]), {"errors": [error(0), error(1)]}).members
    assert (one.content, one.size_bytes) == (b"[]", 2)
    assert one.metadata["invalidRows"] == 2


def test_invalid_rows_that_are_included_are_in_the_result_and_named() -> None:
    _, two = split(result(*EVERY), {"errors": [error(4)], "rowsWithError": [4]}, behavior=INCLUDE).members
    assert len(two.rows) == 3
    assert two.metadata["rowsWithError"] == [2]


def test_metadata_that_says_nothing_is_enough_while_no_row_is_missing() -> None:
    for metadata in (None, "x", {}, {"totalRows": 5}, {"errors": "many"}, {"rows": 5}):
        found = split(result(*EVERY), metadata)
        assert [each.metadata for each in found.members] == [{"totalRows": 2}, {"totalRows": 3}], metadata
        assert not found.errors_are_cut


def test_a_list_of_errors_that_was_cut_is_told_and_the_rows_with_errors_still_account() -> None:
    metadata = {"errors": [error(0)], "rowsWithError": [0, 1], "errorCount": 3}
    found = split(result(*EVERY[2:]), metadata)
    assert found.errors_are_cut
    assert found.members[0].rows == ()


@pytest.mark.parametrize(
    ("content", "metadata", "code"),
    [
        (result(*EVERY[1:]), None, "rows_missing"),
        (result(*EVERY[1:]), {"errors": [error(1)]}, "rows_contradict"),
        (result(*EVERY), {"errors": [error(1)]}, "rows_contradict"),
        (result(*EVERY[2:]), {"errors": [error(0)]}, "rows_missing"),
        (result(*EVERY), {"errors": [error(5)]}, "row_count"),
        (result(*EVERY, EVERY[0]), None, "marker_repeated"),
        (result(*EVERY, f"{ONE}.3"), None, "marker_foreign"),
        (result(*EVERY, f"{'z' * 13}.1"), None, "marker_foreign"),
        (b'[{"a":1}]', None, "marker_invalid"),
        (b"[]", None, "rows_missing"),
    ],
)
def test_what_does_not_add_up_is_an_error_with_a_code(content: bytes, metadata: object, code: str) -> None:
    assert refused(content, metadata) == code


def test_a_named_row_is_no_excuse_for_a_missing_one_if_invalid_rows_are_included() -> None:
    assert refused(result(*EVERY[1:]), {"errors": [error(0)]}, behavior=INCLUDE) == "rows_missing"


def test_no_error_has_the_content_of_a_row() -> None:
    for content in (b'[{"a":"secret"}]', result(*EVERY, EVERY[0]).replace(b'"a":"', b'"a":"secret')):
        with pytest.raises(PackUnaccounted) as caught:
            split(content)
        assert "secret" not in str(caught.value)


def test_the_text_of_a_result_for_logs_has_no_content_of_a_row() -> None:
    found = split(result(*EVERY).replace(b'"a":"', b'"a":"secret'), {"errors": [], "totalRows": "secret"})
    assert "secret" not in repr(found)
    assert "metadata" not in repr(found)


def test_an_error_says_how_many_rows_are_unaccounted() -> None:
    with pytest.raises(PackUnaccounted, match=f"{TWO}: 1 of 3 rows are unaccounted"):
        split(result(*EVERY[:3]), {"errors": [error(3)]})


def test_an_error_with_an_index_below_zero_names_no_row() -> None:
    assert len(split(result(*EVERY), {"errors": [error(-1)]}).members) == 2


def test_a_layout_tells_the_rows_of_each_member_and_the_member_of_each_row() -> None:
    assert [LAYOUT.rows_of(tag) for tag in (ONE, TWO)] == [(1, 2), (3, 5)]
    assert [LAYOUT.member_at(index) for index in (-1, 0, 1, 2, 4, 5)] == [
        None,
        (ONE, 0),
        (ONE, 1),
        (TWO, 0),
        (TWO, 2),
        None,
    ]


@pytest.mark.parametrize("content", [b"", b"{}", result(*EVERY)[:-1], result(*EVERY) + b"x", b'[{"a":\xff}]'])
def test_a_result_that_is_no_complete_array_is_invalid(content: bytes) -> None:
    with pytest.raises(ResultInvalid) as caught:
        split(content)
    assert not isinstance(caught.value, PackUnaccounted)


def test_the_errors_of_a_review_name_its_offenders() -> None:
    found = offenders([error(0), error(1), error(4)], LAYOUT)
    assert (found.tags, found.are_all) == (frozenset((ONE, TWO)), True)
    assert offenders([error(2)], LAYOUT) == Offenders(frozenset((TWO,)), are_all=True)
    structural = offenders([error(0), {"type": "FIELD_NOT_MAPPED", "message": "no"}], LAYOUT)
    assert (structural.tags, structural.are_all) == (frozenset((ONE,)), False)
    assert offenders([], LAYOUT).are_all is False
    assert offenders([error(9), "x", None], LAYOUT) == offenders([{}], LAYOUT)


def test_a_marker_is_given_with_each_row() -> None:
    seen: list[Marker] = []
    rows = PackRows(lambda marker, _: seen.append(marker), column=None, keeps_unmapped=False)
    rows.feed(result(*EVERY))
    rows.finish()
    assert seen == [Marker(text[:-2], int(text[-1])) for text in EVERY]
    assert rows.row_count == 5


ROWS_OF_MEMBERS = st.lists(st.integers(1, 5), min_size=1, max_size=5)
TAGS = ("aaaabbbbccccd", "bbbbccccddddq", "k3f5x2ab7q2mc", "qqqq222233334", "zzzzyyyyxxxxw")


@given(ROWS_OF_MEMBERS, st.data())
def test_a_result_that_lost_got_or_changed_a_row_is_refused_and_its_order_does_not_matter(
    counts: list[int], data: st.DataObject
) -> None:
    layout = PackLayout.of(zip(TAGS, counts, strict=False))
    markers = [f"{each.tag}.{number}" for each in layout.members for number in range(1, each.row_count + 1)]
    invalid = data.draw(st.sets(st.integers(0, len(markers) - 1)))
    metadata = {"totalRows": len(markers), "errors": [error(index) for index in sorted(invalid)]}
    kept = [marker for index, marker in enumerate(markers) if index not in invalid]
    whole = split(result(*kept), metadata, layout=layout)
    assert [len(each.rows) + each.metadata["invalidRows"] for each in whole.members] == counts
    assert split(result(*data.draw(st.permutations(kept))), metadata, layout=layout) == whole
    changed = list(kept)
    change = data.draw(st.sampled_from(["lose", "repeat", "foreign", "beyond", "named"]))
    if change == "lose" and kept:
        changed.pop(data.draw(st.integers(0, len(kept) - 1)))
    elif change == "repeat" and kept:
        changed.append(data.draw(st.sampled_from(kept)))
    elif change == "foreign":
        changed.append(f"{'y' * 13}.1")
    elif change == "beyond":
        changed.append(f"{TAGS[0]}.{counts[0] + 1}")
    elif invalid:
        changed.append(markers[data.draw(st.sampled_from(sorted(invalid)))])
    if changed != kept:
        with pytest.raises(PackUnaccounted):
            split(result(*changed), metadata, layout=layout)
