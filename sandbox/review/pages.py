"""The content of each page of a review, collected from its draft and its decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.engine.corrections import NO_HEADER
from sandbox.engine.draft import DraftColumn, Layout
from sandbox.engine.reading.sheet import is_blank
from sandbox.engine.schema import read_settings
from sandbox.imports import Import, Review
from sandbox.review.cells import Fields, shown_texts, table_rows
from sandbox.review.decisions import Decisions, open_decisions
from sandbox.review.draft_reader import ALL_ROWS, Draft, NoDraft, RowList, WrongText, open_draft
from sandbox.review.draft_writer import ERRORS, PREVIEW_CELLS
from sandbox.review.forms import Place, show_text

ROWS_A_PAGE = 50
PREVIEW_FIRST_ROWS = 20
TEXTS_SHOWN = 12
TEXTS_OF_FIELD_SHOWN = 200


@dataclass(frozen=True)
class Shown:
    """A page: its template and the values for it."""

    template: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A step of the review: its name in URLs and its title."""

    name: str
    title: str


STEPS = (Step("header", "Header row"), Step("columns", "Columns"), Step("rows", "Values"))


@dataclass(frozen=True)
class Problem:
    """One kind of problem: the rows that have it, the field's label, and the form value that selects it."""

    rows: RowList
    label: str
    show: str


@dataclass(frozen=True)
class WrongField:
    """A field's wrong texts, frequent ones first, and the options to replace them with."""

    key: str
    label: str
    options: Sequence[str]
    texts: Sequence[WrongText]
    more_count: int


@dataclass(frozen=True)
class PreviewRow:
    at: int
    cells: Sequence[str]
    is_blank: bool


@dataclass(frozen=True)
class FileColumn:
    """A column of the file, the field that it belongs to ("" for none), and the fields to choose from."""

    column: DraftColumn
    chosen: str
    suggested: Sequence[tuple[str, str]]
    others: Sequence[tuple[str, str]]


def load(found: Import, review: Review, step: str, place: Place, *, all_preview: bool = False) -> Shown:
    """Return the page of a step, for "" that of the first step that needs a person; without a draft, a waiting page."""
    with open_decisions(review.decisions) as decisions:
        try:
            with open_draft(review.draft) as draft:
                return _of_draft(found, draft, decisions, step, place, all_preview=all_preview)
        except NoDraft:
            return Shown("waiting.html", {"revision": decisions.revision, "checked": -1, "last_change": None})


def _of_draft(
    found: Import, draft: Draft, decisions: Decisions, step: str, place: Place, *, all_preview: bool
) -> Shown:
    content: dict[str, Any] = {
        "revision": decisions.revision,
        "checked": draft.revision,
        "last_change": decisions.last_change(),
    }
    layout = draft.layout
    if layout is None or draft.revision < decisions.structure:
        return Shown("waiting.html", content)
    step = _possible(found, layout, draft, decisions, step)
    content |= {"step": step, "is_file": found.original_filename is not None, "errors": _other_errors(draft)}
    if step == "header":
        return Shown("header.html", content | _header(layout, all_preview=all_preview))
    if step == "columns":
        return Shown("columns.html", content | _columns(layout) | {"sheet_error": _sheet_error(draft)})
    return Shown("rows.html", content | _rows(found, draft, layout, decisions, place))


def _possible(found: Import, layout: Layout, draft: Draft, decisions: Decisions, step: str) -> str:
    """Return the step asked for if it is possible, or else the first one that needs a person."""
    if found.original_filename is None:
        return "rows"
    if layout.header_row is None:
        return "header"
    if step:
        return step
    is_guessed = layout.header_row == NO_HEADER and decisions.columns is None
    is_open = any(error["type"] in ("FIELD_NOT_MAPPED", "SHEET_NOT_CHOSEN") for error in draft.errors)
    return "columns" if is_guessed or is_open else "rows"


def _other_errors(draft: Draft) -> list[str]:
    """Return the structural errors, in the order of the steps."""
    return [str(error["message"]) for error in draft.errors]


def _sheet_error(draft: Draft) -> str:
    """Return the sentence about several sheets with data; "" if there is none."""
    return next((str(error["message"]) for error in draft.errors if error["type"] == "SHEET_NOT_CHOSEN"), "")


def _header(layout: Layout, *, all_preview: bool) -> dict[str, Any]:
    rows = [PreviewRow(at, row[:PREVIEW_CELLS], is_blank(row)) for at, row in enumerate(layout.preview)]
    shown = rows if all_preview else rows[:PREVIEW_FIRST_ROWS]
    return {
        "rows": shown,
        "more_count": len(rows) - len(shown),
        "width": max((len(row.cells) for row in shown), default=0),
        "is_cut": any(len(row) > PREVIEW_CELLS for row in layout.preview),
        "header_row": layout.header_row,
        "no_header": NO_HEADER,
    }


def _columns(layout: Layout) -> dict[str, Any]:
    fields = Fields.of(layout)
    chosen = {at: key for key, ats in layout.columns.items() for at in ats}
    visible = [key for key, each in fields.by_key.items() if not each.hidden]
    return {
        "columns": [_file_column(column, chosen, visible, fields) for column in layout.file_columns],
        "missing": [
            each.title for each in fields.by_key.values() if each.needs_column and not layout.columns.get(each.key)
        ],
        "required": {each.key for each in fields.by_key.values() if each.needs_column},
    }


def _file_column(column: DraftColumn, chosen: Mapping[int, str], visible: Sequence[str], fields: Fields) -> FileColumn:
    mine = chosen.get(column.at, "")
    suggested = [key for key in dict.fromkeys([*([mine] if mine else []), *column.suggestions]) if key in visible]
    others = [key for key in visible if key not in suggested]
    return FileColumn(
        column,
        mine,
        [(key, fields.label(key)) for key in suggested],
        [(key, fields.label(key)) for key in others],
    )


def _rows(found: Import, draft: Draft, layout: Layout, decisions: Decisions, place: Place) -> dict[str, Any]:
    fields, lists = Fields.of(layout), draft.lists()
    by_name = {each.name: each for each in lists}
    chosen, show = _chosen(by_name, place)
    count = draft.row_count if chosen is None else chosen.row_count
    last_page = max(count - 1, 0) // ROWS_A_PAGE
    page = min(place.page, last_page)
    found_rows = draft.page(chosen, start=page * ROWS_A_PAGE, count=ROWS_A_PAGE)
    columns = fields.columns(layout, found_rows)
    unchecked = decisions.unchecked([row.index for row in found_rows], since=draft.revision)
    rows = table_rows(found_rows, columns, unchecked)
    errors = by_name.get(ERRORS)
    return {
        "rows": rows,
        "columns": columns,
        "datalists": _datalists(columns),
        "shown": shown_texts(rows),
        "row_count": draft.row_count,
        "error_count": errors.row_count if errors else 0,
        "dropped_count": decisions.dropped_count(),
        "unchecked_count": decisions.unchecked_count(since=draft.revision),
        "problems": [_problem(each, fields) for each in lists if each.kind == "message"],
        "wrong": _wrong_fields(draft, fields, lists, show),
        "fields_with_errors": [_problem(each, fields) for each in lists if each.kind == "field"],
        "show": show_text(show),
        "show_name": show,
        "place": Place(show, page),
        "page": page,
        "last_page": last_page,
        "first": page * ROWS_A_PAGE + 1,
        "last": page * ROWS_A_PAGE + len(rows),
        "total": count,
        "behavior": read_settings(found.schema.get("settings") or {}).behavior,
        "is_ready": draft.status == "SUCCESSFUL" and draft.revision == decisions.revision,
    }


def _chosen(by_name: Mapping[Any, RowList], place: Place) -> tuple[RowList | None, Any]:
    """Return the list asked for; or else the list of rows with errors, or all rows if there are none."""
    if place.show == ALL_ROWS:
        return None, ALL_ROWS
    for name in (place.show, ERRORS):
        if name in by_name:
            return by_name[name], name
    return None, ALL_ROWS


def _problem(rows: RowList, fields: Fields) -> Problem:
    return Problem(rows, fields.label(rows.field), show_text(rows.name))


def _wrong_fields(draft: Draft, fields: Fields, lists: Sequence[RowList], show: Any) -> list[WrongField]:
    """Return the wrong texts of each field; more of them for the field that the page shows."""
    found = []
    for key in (each.field for each in lists if each.kind == "field"):
        limit = TEXTS_OF_FIELD_SHOWN if show[1] == key else TEXTS_SHOWN
        texts = draft.wrong_texts(key, count=limit)
        more = draft.wrong_text_count(key) - len(texts)
        if texts:
            found.append(WrongField(key, fields.label(key), fields.options(key), texts, more))
    return found


def _datalists(columns: Sequence[Any]) -> dict[str, Sequence[str]]:
    """Return long lists of options by field; cells share them."""
    return {each.field: each.options for each in columns if each.options and not each.has_short_options}
