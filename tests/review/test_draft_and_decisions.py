"""A review's two files: the draft that a run writes, and the decisions that people make."""

import errno
import sqlite3

import orjson
import pytest

from sandbox.engine.corrections import Corrections
from sandbox.engine.draft import DraftColumn, DraftMessage, DraftRow, Layout
from sandbox.engine.outcome import Outcome, failed
from sandbox.review.decisions import CHANGES_MAX_COUNT, CellEdit, Stale, open_decisions
from sandbox.review.draft_reader import _ALL_PAGE, _LIST_PAGE, _WRONG_TEXTS, NoDraft, open_draft
from sandbox.review.draft_writer import LISTS_MAX_COUNT, DraftWriter

LAYOUT = Layout(
    preview=[["Name", "Land"], [], ["Ada", "x"]],
    header_row=0,
    file_columns=[DraftColumn(at=0, header="Name", samples=["Ada"], suggestions=["name"])],
    columns={"name": (0,), "land": (1, 2)},
    fields=[{"key": "name"}, {"key": "land", "manyToOne": True}],
)
DONE = Outcome(status="NEEDS_REVIEW", rows=None, errors=[{"type": "EMPTY", "message": "No row is left."}])
WRONG = "This is wrong."


def row(index, *, land="x", messages=()):
    return DraftRow(index, {"name": (f"n{index}",), "land": (land, "")}, messages)


def wrong(key="land", part=0, message=WRONG, level="error"):
    return DraftMessage(key, part, message, level)


@pytest.fixture
def draft_path(tmp_path):
    return tmp_path / "a draft%.blob"


@pytest.fixture
def decisions_path(tmp_path):
    return tmp_path / "decisions#.blob"


def write(path, *batches, outcome=DONE, revision=0, layout=LAYOUT):
    writer = DraftWriter(path)
    if layout:
        writer.begin(layout)
    for batch in batches:
        writer.add(batch)
    writer.finish(outcome, revision=revision)


def test_a_draft_is_read_as_it_was_told(draft_path):
    rows = [row(0), row(2, land="Röd\n", messages=[wrong(), wrong(part=1, level="warning", message="hm")])]
    write(draft_path, rows[:1], rows[1:], revision=7)
    with open_draft(draft_path) as draft:
        assert draft.layout == LAYOUT
        assert (draft.status, draft.revision, draft.row_count) == ("NEEDS_REVIEW", 7, 2)
        assert draft.errors == DONE.errors
        found = draft.page(None, start=0, count=9)
        assert [each.index for each in found] == [0, 2]
        assert found[1].texts == {"name": ["n2"], "land": ["Röd\n", ""]}
        assert found[1].messages == rows[1].messages
        assert draft.has_row(2)
        assert not draft.has_row(1)


def test_rows_are_listed_by_field_and_by_message_and_only_errors_count(draft_path):
    other = wrong("name", message="Other.")
    write(draft_path, [row(0, messages=[wrong(), wrong(part=1)]), row(1, messages=[wrong(), other]),
                       row(2, messages=[wrong(level="warning", message="hm")])])  # fmt: skip
    with open_draft(draft_path) as draft:
        counts = {each.name: each.row_count for each in draft.lists()}
        assert counts == {
            ("errors", "", ""): 2,
            ("field", "land", ""): 2,
            ("message", "land", WRONG): 2,
            ("field", "name", ""): 1,
            ("message", "name", "Other."): 1,
            ("message", "land", "hm"): 1,
        }
        listed = next(each for each in draft.lists() if each.name == ("message", "name", "Other."))
        assert [each.index for each in draft.page(listed, start=0, count=9)] == [1]


def test_wrong_texts_are_counted_once_a_cell_the_frequent_ones_first(draft_path):
    write(
        draft_path,
        [row(n, land="UK" if n % 3 else "USA", messages=[wrong(), wrong(message="Also.")]) for n in range(9)],
    )
    with open_draft(draft_path) as draft:
        assert [(each.text, each.cell_count) for each in draft.wrong_texts("land", count=9)] == [("UK", 6), ("USA", 3)]
        assert draft.wrong_text("land", 1) == "USA"
        assert draft.wrong_text("land", 2) is None
        assert draft.wrong_text_count("land") == 2
        assert draft.wrong_text_count("name") == 0


def test_a_second_telling_replaces_the_first(draft_path):
    writer = DraftWriter(draft_path)
    for index in (1, 2):
        writer.begin(LAYOUT)
        writer.add([row(index, messages=[wrong()])])
    writer.finish(DONE, revision=0)
    with open_draft(draft_path) as draft:
        assert [each.index for each in draft.page(None, start=0, count=9)] == [2]
        assert {each.row_count for each in draft.lists()} == {1}


def test_messages_of_a_hook_that_never_repeat_do_not_make_lists_without_end(draft_path):
    write(draft_path, [row(n, messages=[wrong(message=f"no {n}")]) for n in range(LISTS_MAX_COUNT * 2)])
    with open_draft(draft_path) as draft:
        lists = draft.lists()
        assert len(lists) == LISTS_MAX_COUNT
        assert lists[0].row_count == LISTS_MAX_COUNT * 2


def test_a_draft_has_its_name_only_when_it_is_whole(draft_path):
    writer = DraftWriter(draft_path)
    writer.begin(LAYOUT)
    assert not draft_path.exists()
    writer.abort()
    assert list(draft_path.parent.iterdir()) == []
    for path in (None, draft_path):
        with pytest.raises(NoDraft), open_draft(path):
            pass


def test_a_run_that_failed_before_its_layout_leaves_a_draft_without_one(draft_path):
    write(draft_path, outcome=failed("FATAL", "A hook threw."), layout=None)
    with open_draft(draft_path) as draft:
        assert draft.layout is None
        assert draft.status == "FAILED"


def test_pages_of_a_hundred_thousand_rows_are_found_by_index(draft_path):
    write(draft_path, [row(n, land=str(n), messages=[wrong()] if n % 2 else ()) for n in range(2000)])
    plans = {_ALL_PAGE: (0, 50), _LIST_PAGE: (0, 0, 50), _WRONG_TEXTS: ("land", 50)}
    plans["SELECT 1 FROM rows WHERE row = ?"] = (1,)
    plans["SELECT row, part FROM wrong WHERE field = ? AND text = ?"] = ("land", "1")
    connection = sqlite3.connect(draft_path)
    for query, values in plans.items():
        steps = [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
        assert all(step.startswith("SEARCH") for step in steps), (query, steps)
    connection.close()


def test_the_marks_of_a_page_are_found_by_index(draft_path, decisions_path):
    with open_decisions(decisions_path):
        pass
    connection = sqlite3.connect(decisions_path)
    for query in (
        "SELECT row, field, part, shown FROM cells WHERE row IN (?, ?) AND revision > ?",
        "SELECT row, is_dropped FROM dropped WHERE row IN (?, ?) AND revision > ?",
    ):
        steps = [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {query}", (1, 2, 3))]
        assert all(step.startswith("SEARCH") for step in steps), (query, steps)
    steps = [step[3] for step in connection.execute("EXPLAIN QUERY PLAN SELECT count(*) FROM cells WHERE revision > 3")]
    assert all("INDEX" in step for step in steps)
    connection.close()


# Decisions


def edit(index, text, *, field="land", part=0, before="x"):
    return CellEdit(row=index, field=field, part=part, text=text, before=before)


def corrections(path):
    with open_decisions(path) as decisions:
        return decisions.corrections()


def test_nothing_is_decided_at_first(decisions_path):
    assert corrections(decisions_path) == Corrections()
    with open_decisions(decisions_path) as decisions:
        assert (decisions.revision, decisions.last_change()) == (0, None)
        decisions.undo()
        assert decisions.revision == 0


def test_edits_and_dropped_rows_become_corrections_and_are_kept(decisions_path):
    with open_decisions(decisions_path) as decisions:
        decisions.edit([edit(3, "DE"), edit(3, "FR", part=1)], dropped=[5, 5], label="three")
    assert corrections(decisions_path) == Corrections(
        cells={3: {("land", 0): "DE", ("land", 1): "FR"}}, dropped=frozenset({5})
    )
    with open_decisions(decisions_path) as decisions:
        assert (decisions.revision, decisions.last_change(), decisions.dropped_count()) == (1, "three", 1)


def test_undo_goes_back_change_by_change_and_shows_what_was_there(decisions_path):
    with open_decisions(decisions_path) as decisions:
        decisions.edit([edit(3, "DE", before="Gemany")], label="one")
        decisions.edit([edit(3, "FR", before="DE")], dropped=[3], label="two")
        decisions.undo()
        assert decisions.corrections() == Corrections(cells={3: {("land", 0): "DE"}})
        assert decisions.last_change() == "one"
        decisions.undo()
        assert decisions.corrections() == Corrections()
        assert decisions.revision == 4
        unchecked = decisions.unchecked([3], since=2)
        assert unchecked.texts == {(3, "land", 0): "Gemany"}
        assert unchecked.dropped == {3: False}


def test_what_was_changed_after_a_check_is_known(decisions_path):
    with open_decisions(decisions_path) as decisions:
        decisions.edit([edit(1, "a")], label="one")
        decisions.edit([edit(2, "b")], dropped=[9], label="two")
        assert decisions.unchecked([1, 2, 9], since=1).texts == {(2, "land", 0): "b"}
        assert decisions.unchecked([1, 2, 9], since=1).dropped == {9: True}
        assert decisions.unchecked_count(since=1) == 2
        assert decisions.unchecked_count(since=2) == 0


def test_a_value_is_replaced_in_all_wrong_cells_of_its_field_and_nowhere_else(draft_path, decisions_path):
    lands = {0: "USA", 2: "UK", 3: "USA"}
    write(draft_path, [row(n, land=lands.get(n, "USA"), messages=[wrong()] if n in lands else ()) for n in range(4)])
    with open_decisions(decisions_path, draft=draft_path) as decisions:
        decisions.edit([edit(3, "USA")], label="typed")
        decisions.replace("land", "USA", "US", since=1, label="all")
        assert decisions.corrections().cells == {0: {("land", 0): "US"}, 3: {("land", 0): "US"}}
        decisions.undo()
        assert decisions.corrections().cells == {3: {("land", 0): "USA"}}


def test_what_was_typed_since_the_check_is_not_replaced(draft_path, decisions_path):
    write(draft_path, [row(n, land="USA", messages=[wrong()]) for n in range(3)])
    with open_decisions(decisions_path, draft=draft_path) as decisions:
        decisions.edit([edit(0, "Chad", before="USA")], label="typed")
        decisions.edit([edit(1, "Peru", before="USA")], label="typed and taken back")
        decisions.undo()
        decisions.replace("land", "USA", "US", since=0, label="all")
        texts = {index: cells["land", 0] for index, cells in decisions.corrections().cells.items()}
        assert texts == {0: "Chad", 1: "US", 2: "US"}
        decisions.undo()
        assert decisions.corrections().cells == {0: {("land", 0): "Chad"}}


def test_all_rows_of_a_list_are_dropped_and_restored(draft_path, decisions_path):
    write(draft_path, [row(n, messages=[wrong()] if n % 2 else ()) for n in range(6)])
    with open_draft(draft_path) as draft:
        listed = next(each for each in draft.lists() if each.kind == "message")
    with open_decisions(decisions_path, draft=draft_path) as decisions:
        decisions.edit([], dropped=[1], label="one")
        decisions.drop_listed(listed.id, label="all")
        assert decisions.corrections().dropped == {1, 3, 5}
        decisions.undo()
        assert decisions.corrections().dropped == {1}


def test_another_header_drops_decisions_about_rows_and_undo_restores_them(decisions_path):
    with open_decisions(decisions_path) as decisions:
        decisions.set_columns({"name": [1]}, before={"name": [0]})
        decisions.edit([edit(1, "a")], dropped=[2], label="one")
        before = decisions.corrections()
        decisions.set_header(4)
        assert decisions.corrections() == Corrections(header_row=4)
        decisions.undo()
        assert decisions.corrections() == before


def test_another_column_drops_only_the_corrections_of_its_field(decisions_path):
    with open_decisions(decisions_path) as decisions:
        decisions.edit([edit(1, "a"), edit(1, "b", field="name")], dropped=[2], label="one")
        before = decisions.corrections()
        decisions.set_columns({"land": [3], "name": [0]}, before={"land": [1], "name": [0]})
        assert decisions.corrections() == Corrections(
            columns={"land": (3,), "name": (0,)}, cells={1: {("name", 0): "b"}}, dropped=frozenset({2})
        )
        decisions.undo()
        assert decisions.corrections() == before


def test_a_stale_revision_is_refused(decisions_path):
    with open_decisions(decisions_path) as decisions:
        decisions.edit([edit(1, "a")], label="one")
        decisions.expect(1)
        decisions.expect_rows_of(0)
        for check in (decisions.expect, decisions.expect_rows_of):
            with pytest.raises(Stale):
                check(2)
        with pytest.raises(Stale):
            decisions.expect(0)
        decisions.set_header(2)
        with pytest.raises(Stale):
            decisions.expect_rows_of(1)


def test_a_change_that_breaks_off_leaves_nothing(decisions_path):
    with pytest.raises(Stale), open_decisions(decisions_path) as decisions:  # noqa: PT012 - the block is the subject
        decisions.edit([edit(1, "a")], label="one")
        decisions.expect(9)
    assert corrections(decisions_path) == Corrections()


def test_the_oldest_changes_can_no_longer_be_undone(decisions_path):
    with open_decisions(decisions_path) as decisions:
        for number in range(CHANGES_MAX_COUNT + 5):
            decisions.edit([edit(1, str(number))], label=str(number))
        for _ in range(CHANGES_MAX_COUNT + 5):
            decisions.undo()
        assert decisions.corrections().cells == {1: {("land", 0): "4"}}


def test_a_draft_keeps_texts_as_they_are(draft_path):
    texts = ["", "\ud800".encode("utf-8", "replace").decode(), "\0", "'; DROP TABLE rows; --", "\u202e"]
    write(draft_path, [row(n, land=text, messages=[wrong()]) for n, text in enumerate(texts)])
    with open_draft(draft_path) as draft:
        assert [each.texts["land"][0] for each in draft.page(None, start=0, count=9)] == texts
        assert orjson.dumps([each.text for each in draft.wrong_texts("land", count=9)])


def test_a_full_disk_is_reported_as_one(decisions_path):
    with open_decisions(decisions_path):
        pass

    def fill():
        with open_decisions(decisions_path) as decisions:
            decisions._connection.execute("PRAGMA max_page_count = 1")
            decisions.edit([edit(n, "x" * 5000) for n in range(50)], label="much")

    with pytest.raises(OSError, match="no space is left") as told:
        fill()
    assert told.value.errno == errno.ENOSPC
    assert corrections(decisions_path) == Corrections()
