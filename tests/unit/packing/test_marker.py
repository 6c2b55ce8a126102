"""Markers, the column they stand in, and the names of packs."""

from __future__ import annotations

import pytest

from runner.models import tag_of
from runner.packing.body import PackName, pack_tag
from runner.packing.layout import PackLayout
from runner.packing.marker import MARKER_NAMES, Marker, MarkerColumn, marker_name
from runner.packing.planner import header_digest

TAG = "k3f5x2ab7q2mc"
OTHER = "aaaabbbbccccd"


def test_a_marker_is_read_as_it_was_written() -> None:
    assert Marker.parse(str(Marker(TAG, 17))) == Marker(TAG, 17)


@pytest.mark.parametrize(
    "text",
    ["", TAG, f"{TAG}.", f"{TAG}.0", f"{TAG}.01", f"{TAG}.1 ", f" {TAG}.1", f"{TAG}.1\n", f"{TAG}.-1",
     f"{TAG.upper()}.1", f"x{TAG}.1", f"{TAG}.1.1", f"{TAG}.٣", f"{TAG}.1234567890", None, 7, [f"{TAG}.1"]],
)  # fmt: skip
def test_a_text_that_is_not_a_marker_as_a_whole_is_none(text: object) -> None:
    assert Marker.parse(text) is None


def test_the_column_is_named_unlike_every_other_name() -> None:
    assert marker_name(["Name", "Ship City", "", "№"]) == MARKER_NAMES[0]
    for like in ("Marker", "bulkhead_marker", "Bulkhead marker 2", "bulkhead", "Market", "BULKHEADMARKERS"):
        assert marker_name(["Name", like]) == MARKER_NAMES[1], like
    assert marker_name([f"my {name}" for name in MARKER_NAMES]) is None


def test_four_letters_of_the_columns_name_are_like_it_and_three_are_not() -> None:
    assert marker_name(["khea"]) == MARKER_NAMES[1]
    assert marker_name(["khe"]) == MARKER_NAMES[0]


def test_a_pack_of_a_saved_schema_passes_its_marker_through_and_keeps_the_other_settings() -> None:
    column = MarkerColumn("Bulkhead marker")
    assert column.create_parts(fields=None, settings={"title": "t", "passThroughUnmappedColumns": False}) == (
        None,
        {"title": "t", "passThroughUnmappedColumns": True},
    )
    assert column.create_parts(fields=None, settings=None) == (None, {"passThroughUnmappedColumns": True})


def test_a_pack_of_an_inline_schema_has_a_field_for_its_marker_and_the_same_settings() -> None:
    fields, settings = MarkerColumn("Bulkhead marker", is_field=True).create_parts(
        fields=[{"key": "a"}], settings={"title": "t"}
    )
    assert fields == ({"key": "bulkhead_marker", "label": "Bulkhead marker", "type": "string"}, {"key": "a"})
    assert settings == {"title": "t"}


def test_a_layout_knows_whose_each_row_is() -> None:
    layout = PackLayout.of([(TAG, 3), (OTHER, 1)])
    assert [layout.member_at(index) for index in range(-1, 5)] == [
        None, (TAG, 0), (TAG, 1), (TAG, 2), (OTHER, 0), None,
    ]  # fmt: skip
    assert (layout.rows_of(TAG), layout.rows_of(OTHER), layout.row_count) == ((1, 3), (4, 4), 4)
    with pytest.raises(ValueError, match="twice"):
        PackLayout.of([(TAG, 1), (TAG, 2)])


def test_the_name_of_a_pack_has_its_tag_where_every_name_has_it_and_is_no_name_of_a_file() -> None:
    name = PackName(850, TAG, "abc234")
    assert PackName.parse(str(name)) == name
    assert tag_of(str(name)) == TAG
    for other in (f"pack-of-850-files.~{TAG}.csv", f"a.~{TAG}.~abc234.csv", f"{name}.csv", f"x{name}", None, ""):
        assert PackName.parse(other) is None, other


def test_a_tag_of_a_pack_depends_on_members_order_binding_and_endpoint() -> None:
    tags = {
        pack_tag([TAG, OTHER], binding="b", endpoint="e"),
        pack_tag([OTHER, TAG], binding="b", endpoint="e"),
        pack_tag([TAG], binding="b", endpoint="e"),
        pack_tag([TAG, OTHER], binding="c", endpoint="e"),
        pack_tag([TAG, OTHER], binding="b", endpoint="f"),
    }
    assert len(tags) == 5
    assert all(len(tag) == 13 for tag in tags)
    assert pack_tag([TAG, OTHER], binding="b", endpoint="e") in tags


def test_the_digest_of_a_header_tells_its_cells_apart() -> None:
    assert header_digest(("a", "b")) == header_digest(["a", "b"])
    assert len({header_digest(each) for each in (("a", "b"), ("a,b",), ("b", "a"), ("a", "b", ""))}) == 4
