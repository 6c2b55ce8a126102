"""The changes that forms ask for, each checked against the draft that the form showed."""

from collections.abc import Callable, Mapping
from typing import Any

from multidict import MultiMapping

from sandbox.engine.corrections import NO_HEADER
from sandbox.review.cells import Fields
from sandbox.review.decisions import CellEdit, Decisions, Stale
from sandbox.review.draft_reader import Draft
from sandbox.review.forms import BadForm, Place, as_sent, cell_edits, column_choices, digest, text_of, whole

_LABEL_TEXT_LENGTH = 40

Make = Callable[[Decisions, Draft, MultiMapping[Any]], None]


class Refused(Exception):
    """A change is not possible; the text is the sentence that says why."""


def make_change(name: str, decisions: Decisions, draft: Draft, form: MultiMapping[Any]) -> None:
    """Make the change that the form `name` asks for. Raises Stale, Refused, or BadForm."""
    _MAKERS[name](decisions, draft, form)


def _header(decisions: Decisions, draft: Draft, form: MultiMapping[Any]) -> None:
    decisions.expect(whole(form, "revision"))
    if draft.layout is None:
        raise Stale
    if "row" not in form:
        raise Refused("Choose the row that contains the column names, or say that there is none.")
    row = NO_HEADER if form["row"] == "none" else whole(form, "row")
    if row >= len(draft.layout.preview):
        raise BadForm("row")
    if row != draft.layout.header_row:
        decisions.set_header(row)


def _columns(decisions: Decisions, draft: Draft, form: MultiMapping[Any]) -> None:
    decisions.expect(whole(form, "revision"))
    layout = draft.layout
    if layout is None:
        raise Stale
    fields = Fields.of(layout)
    chosen = column_choices(form, column_count=max((each.at + 1 for each in layout.file_columns), default=0))
    for key, ats in chosen.items():
        if key not in fields.by_key:
            raise BadForm(key)
        if len(ats) > 1 and not fields.by_key[key].many_to_one:
            raise Refused(f"{fields.label(key)} is chosen for {len(ats)} columns; it takes one.")
    is_guess = layout.header_row == NO_HEADER and decisions.columns is None
    confirms_sheet = any(error["type"] == "SHEET_NOT_CHOSEN" for error in draft.errors)
    if is_guess or confirms_sheet or chosen != {key: list(ats) for key, ats in layout.columns.items() if ats}:
        decisions.set_columns(chosen, before=layout.columns)


def _cells(decisions: Decisions, draft: Draft, form: MultiMapping[Any]) -> None:
    """Store cells as typed (the last writer wins) and rows to leave out."""
    decisions.expect_rows_of(whole(form, "revision"))
    edits = cell_edits(form)
    dropped = [whole({"row": row}, "row") for row in form.getall("leave-out", [])]
    fields = Fields.of(draft.layout).by_key if draft.layout else {}
    for row in {*dropped, *(edit.row for edit in edits)}:
        if not draft.has_row(row):
            raise BadForm("row")
    if any(edit.field not in fields for edit in edits):
        raise BadForm("field")
    if edits or dropped:
        decisions.edit(edits, dropped=dropped, label=_edit_label(edits, dropped))


def _replace(decisions: Decisions, draft: Draft, form: MultiMapping[Any]) -> None:
    decisions.expect(whole(form, "revision"))
    field, replacement = text_of(form, "field"), text_of(form, "replacement")
    text = draft.wrong_text(field, whole(form, "at"))
    if draft.layout is None or text is None or digest(text) != form.get("digest"):
        raise Stale
    if replacement == as_sent(text):
        raise Refused("Choose another value.")
    label = f"{Fields.of(draft.layout).label(field)}: {_short(text)} → {_short(replacement)}"
    decisions.replace(field, text, replacement, since=draft.revision, label=label)


def _leave_out(decisions: Decisions, draft: Draft, form: MultiMapping[Any]) -> None:
    decisions.expect(whole(form, "revision"))
    wanted = Place.read({"show": form.get("list", "")}).show
    rows = next((each for each in draft.lists() if each.name == wanted), None)
    if rows is None:
        raise BadForm("list")
    decisions.drop_listed(rows.id, label=f"{rows.row_count:,} rows left out")


def _undo(decisions: Decisions, _draft: Draft, form: MultiMapping[Any]) -> None:
    decisions.expect(whole(form, "revision"))
    decisions.undo()


_MAKERS: Mapping[str, Make] = {
    "header": _header,
    "columns": _columns,
    "cells": _cells,
    "replace": _replace,
    "leave-out": _leave_out,
    "undo": _undo,
}


def _edit_label(edits: list[CellEdit], dropped: list[int]) -> str:
    parts = []
    if edits:
        only = f"cell edited (row {edits[0].row + 1}, {_short(edits[0].text)})"
        parts.append(only if len(edits) == 1 else f"{len(edits)} cells edited")
    if dropped:
        parts.append(f"row {dropped[0] + 1} left out" if len(dropped) == 1 else f"{len(dropped)} rows left out")
    return ", ".join(parts)


def _short(text: str) -> str:
    shown = text if len(text) <= _LABEL_TEXT_LENGTH else text[: _LABEL_TEXT_LENGTH - 1] + "…"
    return f"“{shown}”" if text.strip() else "blank"
