"""What to do about a group of problems: one sentence, as concrete as its samples and the schema allow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from shlex import quote
from typing import TYPE_CHECKING, Any

from runner.formatting import shown
from runner.problems.cell_advice import advice_for_cells, listed
from runner.problems.problem import Effect, label_of

if TYPE_CHECKING:
    from runner.problems.groups import ProblemGroup

Definition = Mapping[str, Any]

_HEADERS_NAMED_MAX = 3
_WORKBOOKS = frozenset((".xls", ".xlsx", ".xlsm", ".xlsb", ".ods"))


def advice_for(group: ProblemGroup, fields: Mapping[str, Definition]) -> str:
    """Return what to do, with invisible characters escaped; `fields` are the definitions of the schema, by key."""
    return shown(_advice(group, fields))


def _advice(group: ProblemGroup, fields: Mapping[str, Definition]) -> str:
    if group.kind == "cell":
        return advice_for_cells(group, fields.get(group.field_keys[0], {}) if group.field_keys else {})
    by_kind = _BY_KIND.get(group.kind)
    if by_kind is not None:
        return by_kind(group, fields)
    return _for_failure(group) if group.effect is Effect.FAILS else "Open one of the files to see why."


def _header_not_found(_group: ProblemGroup, fields: Mapping[str, Definition]) -> str:
    names = [label_of(field) for field in fields.values() if not field.get("hidden")]
    shown = ", ".join(names[:_HEADERS_NAMED_MAX]) + (", …" if len(names) > _HEADERS_NAMED_MAX else "")
    return (
        f"Add a header row ({shown}). If there is one that was not recognized, set headerRowOverride to its row number "
        "(from 0)."
    )


def _not_mapped(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    if group.delimiter:
        return _delimiter(group)
    if group.encoding:
        return (
            f"Name the encoding with --encoding {group.encoding}, in which their header has names of fields, or export "
            "them as UTF-8."
        )
    likely = group.headers[:_HEADERS_NAMED_MAX]
    rest = [label for label in group.labels if label not in {label for label, _ in likely}]
    parts = [_alternate(label, header) for label, header in likely]
    if rest:
        named = ", ".join(rest[:_HEADERS_NAMED_MAX])
        parts.append(f"Add a column for {named}. If another column holds it, add its header to the alternateMatches.")
    if not parts:
        return (
            "Compare the first row with the schema's labels: these files may need another route, or their first row "
            "is data, and a header is missing."
        )
    return " ".join(parts)


def _alternate(label: str, header: str) -> str:
    if not header.isprintable():
        return f'Remove the invisible characters from the header "{header}".'
    return f'Add "{header}" to the alternateMatches of {label}, if that is what the column holds.'


def _delimiter(group: ProblemGroup) -> str:
    named = json.dumps(group.delimiter, ensure_ascii=not group.delimiter.isprintable())
    if any(PurePosixPath(source).suffix.lower() in _WORKBOOKS for source in group.files):
        return f"Split the column at {named} into columns with a spreadsheet program, or save the sheet as CSV."
    return f"Set delimiter to {named} in the settings for these files: it separates their header into names of fields."


def _sheet_not_chosen(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    if len(group.labels) > 1:
        return (
            f"Save each of the sheets as a file of its own: {listed(group.labels)} look alike, and "
            "uploadStep.sheetOverride in the settings imports only one."
        )
    named = f'"{group.labels[0]}"' if group.labels else "the one to import"
    return f"Set uploadStep.sheetOverride in the settings to {named}; the other sheets are then not imported."


def _column_ignored(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    if group.delimiter:
        return _delimiter(group)
    if group.headers:
        label, header = group.headers[0]
        if not header.isprintable():
            return _alternate(label, header)
        return (
            f'If it belongs to {label}, add "{header}" to its alternateMatches; otherwise, set '
            "passThroughUnmappedColumns to keep its cells."
        )
    return "If you need its cells, add a field for it, or set passThroughUnmappedColumns; otherwise do nothing."


def _empty(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    if group.effect is Effect.REVIEW:
        return "Fix the invalid rows, because none is left; with allowEmptySubmit, such files succeed without any row."
    return "Find out why the file is empty. If that is fine, leave such files out with --exclude."


def _warning(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    advice = BY_WARNING.get(group.code, "Check whether this is intended.")
    named = _UNCLEAR.search(group.message)
    return advice.format(*named.groups()) if named else advice


_UNCLEAR = re.compile(r"^encoding unclear: (\S+) or ([^\s;]+)")


BY_WARNING = {
    "bad_bytes": "Export the file again as UTF-8; some of its characters are lost.",
    "encoding_contradicted": "Remove the encoding from the route, or name utf-8.",
    "encoding_unclear": (
        "Look at the sample, and name the right one: --encoding {} or --encoding {}; or export the file as UTF-8."
    ),
    "cell_error": "Correct the formulas in these cells, or replace them with values.",
    "checkbox_word": "Write yes or no; only off, n, no, false, disabled, 0, and empty cells mean no.",
    "column_similar": "If that is right, add the header to the field's alternateMatches; otherwise, rename the column.",
    "column_unnamed": "Write a name into the empty cell of the header if the column is needed.",
    "date_orders": "Export the dates as YYYY-MM-DD, or split the file by where its rows came from.",
    "decimal_commas": "Export the numbers with a decimal point and without groups of thousands.",
    "digits_lost": "Write long IDs as text: in quotes in JSON, as text cells in a workbook; and use a string field.",
    "digits_rounded": "Compare them with the original; if they differ, write them as text cells.",
    "end_marks": "Compare the last rows with the original; the file may have been cut off while it was copied.",
    "float_ids": "If these are IDs, export them as whole numbers or as text.",
    "formula_empty": "Open the workbook in a spreadsheet program and save it, so that it contains the values.",
    "header_again": "Remove the repeated header; the file looks like several exports, one after the other.",
    "header_other": "Split the file where the other header stands, and import each part by itself.",
    "key_unknown": "Rename the key to that of its field, or remove it; JSON rows are not matched by labels.",
    "keys_unknown": "Rename the keys to those of the fields; JSON rows are not matched by labels.",
    "option_repeated": "Remove the repeated option if it was meant to be another one.",
    "quote_escaped": 'Export the file with quotes inside quoted cells written twice (""), not with a backslash.',
    "quoted_lines": "Check that the cell is meant to have several lines; otherwise, close the quote in that row.",
    "quoted_rows": 'Close or remove the quote in that row; write a quote inside a quoted cell twice ("").',
    "rows_above": "If these rows are data, split the file at the header below them, and import each part by itself.",
    "rows_limited": "Raise maxRecords, turn off developmentMode (its limit is 100 rows), or split the file.",
    "rows_short": "Remove these rows if they are not data.",
    "sheet_missing": "Correct uploadStep.sheetOverride in the settings, or remove it if there is one sheet only.",
    "rows_unsplit": "Remove the quotes around whole rows, and use one delimiter in the whole file.",
    "rows_wider": (
        "Quote cells that contain the delimiter, write quotes inside them twice, and give every column a name in the "
        "header."
    ),
    "scientific": "Export the file again with these columns as text; the digits cannot be restored from this one.",
    "validator": "Check these values; the validator removes no row.",
    "value": "Compare these values with the file; if they are identifiers, change the field's type to string.",
    "value_nested": "Write the values of nested objects into keys of their own.",
    "zero_group": "Export the numbers with a decimal point.",
    "zeros_by_format": "If the zeros belong to the value, store the cells as text in the workbook.",
}
"""What to do, by the code of a warning of the engine."""


def _unsupported_type(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    names = [PurePosixPath(source).name for source in group.files]
    if any(name != name.strip() or not name.isprintable() for name in names):
        return f"Rename them without blanks or invisible characters at the ends: {listed(names)}."
    if names and all(name.startswith("_") for name in names):
        return "If they only mark what other programs did, leave all such names out with --exclude '**/_*'."
    pattern = _pattern_of(names, is_all=group.file_count == len(names))
    if pattern is None:
        return f"Leave each of them out with --exclude, or give it a suffix that is imported: {listed(names)}."
    return f"If they are no data, leave them out with --exclude {quote(pattern)}; otherwise, convert them to CSV."


def _pattern_of(names: Sequence[str], *, is_all: bool) -> str | None:
    """Return a glob that matches files of these names and none that is imported; None if there is none."""
    suffixes = {PurePosixPath(name).suffix for name in names}
    if len(suffixes) == 1 and (suffix := suffixes.pop()):
        return f"**/*{_literal(suffix)}"
    if len(set(names)) == 1:
        return f"**/{_literal(names[0])}"
    return f"**/{{{','.join(map(_literal, names))}}}" if names and is_all else None


def _no_route(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    folder = str(PurePosixPath(group.files[0]).parent) if group.files else "."
    pattern = f"*{_literal(PurePosixPath(group.files[0]).suffix)}" if group.files and folder == "." else "**"
    pattern = pattern if folder == "." else f"{_literal(folder)}/**"
    return (
        f"After the other routes, add one that matches them, such as match = {_toml(pattern)}, or leave them out with "
        "--exclude."
    )


def _literal(path: str) -> str:
    """Return a glob that matches only this text."""
    return re.sub(r"([*?\[\]{},\\])", r"\\\1", path)


def _toml(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _invalid_json(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    if "UTF-8" in group.message:
        return "Save the document as UTF-8."
    if "array of objects" in group.message:
        return 'Write the rows as one array, such as [{"key": "value"}], or one object on each line of a .jsonl file.'
    return "Fix the document at the given position."


def _schema_refused(_group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    return "Fix the fields, settings, or hooks of this route; until then, none of its files can be imported."


def _library(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    extra = "hooks" if "hooks" in group.message else "sandbox"
    return f"Install what the check needs: pip install '.[{extra}]'."


def _always(text: str) -> Callable[[ProblemGroup, Mapping[str, Definition]], str]:
    return lambda _group, _fields: text


_ASK_THE_VENDOR = (
    "Look for the import in the vendor's dashboard; `bulkhead redrive` asks the vendor before it sends anything again."
)

_BY_KIND: Mapping[str, Callable[[ProblemGroup, Mapping[str, Definition]], str]] = {
    "header_not_found": _header_not_found,
    "not_mapped": _not_mapped,
    "sheet_not_chosen": _sheet_not_chosen,
    "column_ignored": _column_ignored,
    "empty": _empty,
    "warning": _warning,
    "unsupported_type": _unsupported_type,
    "no_route": _no_route,
    "create_refused": _schema_refused,
    "schema_unusable": _always("The vendor may accept it; the check can't predict anything for these files."),
    "too_large": _always("Split the file."),
    "json_too_large": _always("Split the document, or convert it to CSV, which has a higher limit."),
    "invalid_json": _invalid_json,
    "unreadable": _always("Give the user that runs Bulkhead permission to read it."),
    "link_outside": _always("Copy the file into the source, or use its directory as a separate source."),
    "linked_directory": _always(
        "Put the directory back in place of the link, or use the directory that it leads to as a separate source."
    ),
    "not_a_file": _always("Leave it out with --exclude."),
    "changed_while_read": _always("Leave files that are still being written for a later run: use --min-age 5m."),
    "check_library": _library,
    "check_network": _always("The vendor may accept it; if hooks may fetch from the host, name it in --hook-hosts."),
    "check_timeout": _always("The vendor may accept it; give the check more time with --file-timeout 30m."),
    "check_memory": _always("The vendor may accept it; if the file isn't large, look at its content."),
    "check_killed": _always("The vendor may accept it; if the file isn't large, look at its content."),
    "check_error": _always("The vendor may accept it; please report this, with the type of the file."),
    "other": _always("Use --json to see them all."),
    "rows": _always("Compare the result with the file; `bulkhead check` shows which rows are invalid, and why."),
    "check_failed": _always("Fix the file; `bulkhead check` shows the cells. The next run checks it again."),
    "check_data_lost": _always("Fix the file; `bulkhead check` shows the rows. The next run checks it again."),
    "not_found": _always("Put the file back, or remove it from the list."),
    "archived": _always("Restore the object, then run again."),
    "access_denied": _always("Let the identity that runs Bulkhead read the object, then run again."),
    "failed_before": _always("Fix the files, or the schema; with --retry-failed, a run sends unchanged files again."),
    "upload_too_slow": _always(
        "The functions of the stack run for too short a time for this file: import it with `bulkhead run` from a "
        "machine or a container."
    ),
    "upload_refused": _always("Queue it again with `bulkhead redrive`; if storage refuses it again, ask the vendor."),
    "upload_not_taken": _always(_ASK_THE_VENDOR),
    "import_missing": _always(_ASK_THE_VENDOR),
    "result_missing": _always(_ASK_THE_VENDOR),
    "result_invalid": _always(_ASK_THE_VENDOR),
    "pack_unaccounted": _always(
        "The vendor has imported the rows, but its result does not say which are whose: look at the import in the "
        "vendor's dashboard. `bulkhead redrive --import-again` sends each file alone; its rows are there twice then."
    ),
    "pack_review_finished": _always(
        "Somebody finished the review of its pack in the vendor's dashboard, so its rows are there: `bulkhead redrive` "
        "fetches its part of the result."
    ),
    "pack_review_open": _always(
        "Finish the review of its pack in the vendor's dashboard, then `bulkhead redrive` fetches its part of the "
        "result. Or delete the import there: `bulkhead redrive --import-again` then sends each file alone."
    ),
    "create_in_doubt": _always(
        "Look for the import in the vendor's dashboard; if it is not there, queue it again with `bulkhead redrive`."
    ),
    "result_too_large": _always("Raise max_result; `bulkhead redrive` then fetches the result."),
    "dead_letter": _always("Fix the cause, then queue it again with `bulkhead cloud redrive`."),
}


_BY_WORD = {
    "neither text": "Export it again as CSV or XLSX; its content doesn't match its file name.",
    "workbook": "Open it in a spreadsheet program and save it again, or export it as CSV.",
    "quote": 'Close the quote near that row; write a quote inside a quoted cell twice ("").',
    "hook": "Fix the named hook; it may not handle such data.",
    "schema": "Fix the schema.",
    "encoding": "Save it as UTF-8, or export it as XLSX.",
    "empty": "Find out why the file is empty.",
}
"""What to do, by a word in the message of a failed import."""


_NO_TABLE = ", which cannot be imported. "
"""In the engine's sentence about a file that holds no table, this stands before what to do."""


_SEPARATED = re.compile(r'The cells are separated by (".+"), which no setting names.')


def _for_failure(group: ProblemGroup) -> str:
    if found := _SEPARATED.fullmatch(group.message):
        return f"Set delimiter to {found[1]} in the settings for these files."
    _, _, remedy = group.message.partition(_NO_TABLE)
    if remedy:
        return remedy
    message = group.message.casefold()
    return next((advice for word, advice in _BY_WORD.items() if word in message), "Open one of the files to see why.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
