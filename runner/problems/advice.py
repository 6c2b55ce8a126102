"""What to do about a group of problems: one sentence, as concrete as its samples and the schema allow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from runner.formatting import shown
from runner.problems.problem import Effect, label_of

if TYPE_CHECKING:
    from runner.problems.groups import ProblemGroup

Definition = Mapping[str, Any]

_DECIMAL_COMMA = re.compile(r"[^\d]*\d{1,3}(\.\d{3})*,\d+[^\d]*|[^\d]*\d+,\d{1,2}[^\d]*")
_SERIAL = re.compile(r"\d{5}(\.\d+)?")
_PLACEHOLDER = re.compile(r"n\.?/?a\.?|none|null|nil|-+|\?+|tbd|unknown|x+|#n/a", re.IGNORECASE)
_VALUES_NAMED_MAX = 3
_HEADERS_NAMED_MAX = 3


def advice_for(group: ProblemGroup, fields: Mapping[str, Definition]) -> str:
    """Return what to do, with invisible characters escaped; `fields` are the definitions of the schema, by key."""
    return shown(_advice(group, fields))


def _advice(group: ProblemGroup, fields: Mapping[str, Definition]) -> str:
    if group.kind == "cell":
        return _for_cells(group, fields.get(group.field_keys[0], {}) if group.field_keys else {})
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
    likely = group.headers[:_HEADERS_NAMED_MAX]
    rest = [label for label in group.labels if label not in {label for label, _ in likely}]
    parts = [f'add "{header}" to the alternateMatches of {label}' for label, header in likely]
    if rest:
        parts.append(f"add a column for {', '.join(rest[:_HEADERS_NAMED_MAX])}")
    if not parts:
        return "Compare the header with the schema's labels; these files may need another route."
    return _sentence(", ".join(parts))


def _sheet_not_chosen(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    named = f'"{group.labels[0]}"' if group.labels else "the one to import"
    return f"Set uploadStep.sheetOverride in the schema's settings to {named}, or remove the other sheets."


def _column_ignored(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    if group.headers:
        label, header = group.headers[0]
        return f'If it belongs to {label}, add "{header}" to its alternateMatches; else set passThroughUnmappedColumns.'
    return "If you need its cells, add a field for it, or set passThroughUnmappedColumns; otherwise do nothing."


def _empty(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    if group.effect is Effect.REVIEW:
        return "Fix the rows, or set allowEmptySubmit if files without a valid row are fine."
    return "Find out why the file is empty. If that is fine, leave such files out with --exclude."


def _warning(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    return _BY_WARNING.get(group.code, "Check whether this is intended.")


_BY_WARNING = {
    "bad_bytes": "Export the file again as UTF-8; some of its characters are lost.",
    "cell_error": "Correct the formulas in these cells, or replace them with values.",
    "column_unnamed": "Write a name into the empty cell of the header if the column is needed.",
    "end_marks": "Compare the last rows with the original; the file may have been cut off while it was copied.",
    "formula_empty": "Open the workbook in a spreadsheet program and save it, so that it contains the values.",
    "header_again": "Remove the repeated header; the file looks like several exports, one after the other.",
    "header_other": "Split the file where the other header stands, and import each part by itself.",
    "quote_escaped": 'Export the file with quotes inside quoted cells written twice (""), not with a backslash.',
    "quoted_lines": "Check that the cell is meant to have several lines; otherwise, close the quote in that row.",
    "quoted_rows": 'Close or remove the quote in that row; write a quote inside a quoted cell twice ("").',
    "rows_above": "If these rows are data, remove the header below them, or split the file there.",
    "rows_limited": "Raise maxRecords, turn off developmentMode (its limit is 100 rows), or split the file.",
    "rows_short": "Remove these rows if they are not data.",
    "rows_unsplit": "Remove the quotes around whole rows, and use one delimiter in the whole file.",
    "rows_wider": (
        "Quote cells that contain the delimiter, write quotes inside them twice, and give every column a name in the "
        "header."
    ),
}
"""What to do, by the code of a warning of the engine."""


def _unsupported_type(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    suffix = PurePosixPath(group.files[0]).suffix if group.files else ""
    pattern = f"**/*{suffix}" if suffix else "**/NAME"
    return f"Leave them out with --exclude '{pattern}', or convert them to CSV."


def _no_route(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    folder = str(PurePosixPath(group.files[0]).parent) if group.files else "."
    pattern = "**" if folder == "." else f"{folder}/**"
    return f'Add a route that matches them, such as match = "{pattern}", or leave them out with --exclude.'


def _schema_refused(_group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    return "Fix the fields, settings, or hooks of this route; until then, none of its files can be imported."


def _library(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    extra = "hooks" if "hooks" in group.message else "sandbox"
    return f"Install what the check needs: pip install 'dromo-bulkhead[{extra}]'."


def _always(text: str) -> Callable[[ProblemGroup, Mapping[str, Definition]], str]:
    return lambda _group, _fields: text


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
    "invalid_json": _always("Fix the document at the given position."),
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


def _for_failure(group: ProblemGroup) -> str:
    _, _, remedy = group.message.partition(_NO_TABLE)
    if remedy:
        return remedy
    message = group.message.casefold()
    return next((advice for word, advice in _BY_WORD.items() if word in message), "Open one of the files to see why.")


def _for_cells(group: ProblemGroup, field: Definition) -> str:
    values = [value for value, _ in group.values if value.strip()]
    rule, name = group.rule, group.labels[0] if group.labels else ""
    if rule == "required" or rule.startswith("require_"):
        return f"Fill in {name} in these rows, or remove the validator {rule}."
    if rule.startswith("unique"):
        which = f" ({_listed(values)})" if values else ""
        return f"Keep one row for each repeated {name}{which}, or remove the validator {rule}."
    if hidden := [value for value in values if not value.isprintable()]:
        return f"Remove the invisible characters from {name} ({_listed(hidden)})."
    by_type = _BY_TYPE.get(_type_of(field))
    if by_type is not None and rule not in ("regex_match", "regex_exclude", "length", "alphabetical"):
        return by_type(name, field, values, rule)
    if rule in ("regex_match", "regex_exclude"):
        return f"Fix the values of {name}, or its {rule} pattern {_pattern(field, rule)}."
    which = f", such as {_listed(values)}" if values else ""
    return f"Fix the values of {name}{which}, or relax the schema."


def _number(name: str, _field: Definition, values: list[str], rule: str) -> str:
    if rule in ("min", "max"):
        return f"Fix the numbers in {name}, or its {rule} in the schema."
    if commas := [value for value in values if _DECIMAL_COMMA.fullmatch(value)]:
        return f"Export {name} with a decimal point: {_listed(commas[:1])} has a decimal comma, which is not supported."
    return _placeholders(name, values) or _fix(name, values, "numbers")


def _date(name: str, field: Definition, values: list[str], _rule: str) -> str:
    if serials := [value for value in values if _SERIAL.fullmatch(value)]:
        return f"Export {name} as dates: {_listed(serials[:1])} is a spreadsheet's day number, which is not supported."
    return _placeholders(name, values) or _fix(name, values, f"a {_type_of(field)}, such as 2026-03-27")


def _select(name: str, field: Definition, values: list[str], _rule: str) -> str:
    if not values:
        return f"Add the missing options to {name}, or add alternateMatches to its existing options."
    options = {str(one.get("label") or one.get("value")): one for one in field.get("selectOptions") or ()}
    lower = {label.casefold(): label for label in options}
    parts = []
    for value in values[:_VALUES_NAMED_MAX]:
        near = get_close_matches(value.casefold(), list(lower), n=1)
        meant = f" or to the alternateMatches of its option {lower[near[0]]}" if near else ""
        parts.append(f'add "{value}" to the options of {name}{meant}')
    return _sentence("; ".join(parts))


def _country(name: str, field: Definition, values: list[str], _rule: str) -> str:
    form = _options_of(field).get("format") or "2-letter"
    return f"Write {name} as {form} ISO codes{_such(values)}; names of countries are not supported."


def _phone(name: str, field: Definition, values: list[str], _rule: str) -> str:
    local = [value for value in values if not value.strip().startswith("+")]
    if local and (_options_of(field).get("format") or "international") == "international":
        return (
            f"Write {name} with the country code ({_listed(local[:1])} has none), or set the field's format to "
            "both, and its country."
        )
    return _fix(name, values, "valid phone numbers")


def _typed(form: str) -> Callable[[str, Definition, list[str], str], str]:
    return lambda name, _field, values, _rule: _placeholders(name, values) or _fix(name, values, form)


_BY_TYPE: Mapping[str, Callable[[str, Definition, list[str], str], str]] = {
    "number": _number,
    "date": _date,
    "datetime": _date,
    "time": _typed("times, such as 17:30"),
    "select": _select,
    "multi-select": _select,
    "country": _country,
    "phone-number": _phone,
    "email": _typed("addresses like name@host.example"),
    "url": _typed("complete URLs like https://host.example/"),
    "domain": _typed("names like host.example"),
    "us-zip-code": _typed("ZIP codes of the field's format"),
    "us-state-territory": _typed("two-letter state codes"),
    "ssn": _typed("nine digits"),
    "uuid": _typed("UUIDs of the field's version"),
}


def _placeholders(name: str, values: list[str]) -> str:
    found = [value for value in values if _PLACEHOLDER.fullmatch(value.strip())]
    return f"Empty the cells of {name} that hold {_listed(found)}: it is a placeholder." if found else ""


def _fix(name: str, values: list[str], form: str) -> str:
    return f"Fix the values of {name}{_such(values)}; the field takes {form}."


def _such(values: list[str]) -> str:
    return f" ({_listed(values)})" if values else ""


def _listed(values: list[str]) -> str:
    named = ", ".join(f'"{value}"' for value in values[:_VALUES_NAMED_MAX])
    return f"{named}, …" if len(values) > _VALUES_NAMED_MAX else named


def _pattern(field: Definition, rule: str) -> str:
    found = (one.get("regex") for one in field.get("validators") or () if one.get("validate") == rule)
    return str(next(found, ""))


def _type_of(field: Definition) -> str:
    given = field.get("type") or "string"
    return str(given[0]) if isinstance(given, list) and given else str(given)


def _options_of(field: Definition) -> Mapping[str, Any]:
    given = field.get("type")
    options = given[1] if isinstance(given, list) and len(given) > 1 else {}
    return options if isinstance(options, Mapping) else {}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
