"""What to do about a group: one sentence, as concrete as its samples and the schema allow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from runner.check.predictions import Effect
from runner.check.schemas import label_of

if TYPE_CHECKING:
    from runner.check.problem_groups import ProblemGroup

Definition = Mapping[str, Any]

_DECIMAL_COMMA = re.compile(r"[^\d]*\d{1,3}(\.\d{3})*,\d+[^\d]*|[^\d]*\d+,\d{1,2}[^\d]*")
_SERIAL = re.compile(r"\d{5}(\.\d+)?")
_PLACEHOLDER = re.compile(r"n\.?/?a\.?|none|null|nil|-+|\?+|tbd|unknown|x+|#n/a", re.IGNORECASE)
_VALUES_NAMED = 3
_HEADERS_NAMED = 3


def advice_for(group: ProblemGroup, fields: Mapping[str, Definition]) -> str:
    """Return what to do; `fields` are the definitions of the group's schema by key."""
    if group.kind == "cell":
        return _for_cells(group, fields.get(group.field_keys[0], {}) if group.field_keys else {})
    by_kind = _BY_KIND.get(group.kind)
    if by_kind is not None:
        return by_kind(group, fields)
    return _for_failure(group) if group.effect is Effect.FAILS else "Open one of the files and look."


def _header_not_found(_group: ProblemGroup, fields: Mapping[str, Definition]) -> str:
    names = [label_of(field) for field in fields.values() if not field.get("hidden")]
    shown = ", ".join(names[:_HEADERS_NAMED]) + (", …" if len(names) > _HEADERS_NAMED else "")
    return (
        f"Add a header row ({shown}), or, where a row is the header that was not recognised, set headerRowOverride "
        "to its number (from 0)."
    )


def _not_mapped(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    likely = group.headers[:_HEADERS_NAMED]
    rest = [label for label in group.labels if label not in {label for label, _ in likely}]
    parts = [f'add "{header}" to the alternateMatches of {label}' for label, header in likely]
    if rest:
        parts.append(f"add a column for {', '.join(rest[:_HEADERS_NAMED])}")
    if not parts:
        return "Compare the header with the schema's labels; perhaps another route should take these files."
    return _sentence(", ".join(parts))


def _column_ignored(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    if group.headers:
        label, header = group.headers[0]
        return f'If {label} is meant, add "{header}" to its alternateMatches; else set passThroughUnmappedColumns.'
    return "If its cells matter, add a field for it, or set passThroughUnmappedColumns; else there is nothing to do."


def _empty(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    if group.effect is Effect.REVIEW:
        return "Mend the rows, or set allowEmptySubmit where a file without a good row is fine."
    return "Find out why the file holds nothing; leave such files out with --exclude if that is fine."


def _warning(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    if "left out" in group.message:
        return "Raise maxRecords, or turn developmentMode off, which cuts at 100 rows; or split the file."
    if "UTF-8" in group.message:
        return "Save the file as UTF-8 anew from where it came from; some of its characters are lost."
    return "Look whether that is meant."


def _unsupported_type(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    suffix = PurePosixPath(group.files[0]).suffix if group.files else ""
    pattern = f"**/*{suffix}" if suffix else "**/NAME"
    return f"Leave them out with --exclude '{pattern}', or convert them to CSV."


def _no_route(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    folder = str(PurePosixPath(group.files[0]).parent) if group.files else "."
    pattern = "**" if folder == "." else f"{folder}/**"
    return f'Add a route that matches them, such as match = "{pattern}", or leave them out with --exclude.'


def _schema_refused(_group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    return "Mend the fields, settings or hooks of this route; no file of it can be imported before."


def _library(group: ProblemGroup, _fields: Mapping[str, Definition]) -> str:
    extra = "hooks" if "hooks" in group.message else "sandbox"
    return f"Install what the check needs for it: pip install 'dromo-bulkhead[{extra}]'."


def _always(text: str) -> Callable[[ProblemGroup, Mapping[str, Definition]], str]:
    return lambda _group, _fields: text


_BY_KIND: Mapping[str, Callable[[ProblemGroup, Mapping[str, Definition]], str]] = {
    "header_not_found": _header_not_found,
    "not_mapped": _not_mapped,
    "column_ignored": _column_ignored,
    "empty": _empty,
    "warning": _warning,
    "unsupported_type": _unsupported_type,
    "no_route": _no_route,
    "create_refused": _schema_refused,
    "schema_unusable": _always("The vendor may well take it; the check cannot say anything of these files."),
    "too_large": _always("Split the file."),
    "json_too_large": _always("Split the document, or convert it to CSV, which may be larger."),
    "invalid_json": _always("Mend the document at the place that is named."),
    "unreadable": _always("Give the user that runs Bulkhead the right to read it."),
    "link_outside": _always("Put the file itself there, or name the directory it lies in as a source of its own."),
    "not_a_file": _always("Leave it out with --exclude."),
    "changed_while_read": _always("Leave files that are still being written to a later run with --min-age 5m."),
    "check_library": _library,
    "check_network": _always("The vendor may well take it; name the host by --hook-hosts if hooks may fetch from it."),
    "check_timeout": _always("The vendor may well take it; give the check more time with --file-timeout 30m."),
    "check_memory": _always("The vendor may well take it; look at the file if it is not a large one."),
    "check_killed": _always("The vendor may well take it; look at the file if it is not a large one."),
    "check_error": _always("The vendor may well take it; please report this with the kind of file it is."),
    "other": _always("See the lines of --json."),
}


_BY_WORD = {
    "neither text": "Export it from where it came from as CSV or XLSX; its content is not what its name says.",
    "workbook": "Open it in a spreadsheet and save it again, or export it as CSV.",
    "quote": 'Close the quote near that row; a quote inside of a quoted cell is written twice ("").',
    "hook": "Mend the hook that is named; it may not be ready for such data.",
    "schema": "Mend the schema.",
    "encoding": "Save it as UTF-8, or export it as XLSX.",
    "empty": "Find out why the file holds nothing.",
}
"""What to do by a word of the sentence with which an import failed."""


def _for_failure(group: ProblemGroup) -> str:
    message = group.message.casefold()
    return next((advice for word, advice in _BY_WORD.items() if word in message), "Open one of the files and look.")


def _for_cells(group: ProblemGroup, field: Definition) -> str:
    values = [value for value, _ in group.values if value.strip()]
    rule, name = group.rule, group.labels[0] if group.labels else ""
    if rule == "required" or rule.startswith("require_"):
        return f"Fill {name} in these rows, or drop the validator {rule}."
    if rule.startswith("unique"):
        which = f" ({_listed(values)})" if values else ""
        return f"Leave one row for each repeated {name}{which}, or drop the validator {rule}."
    by_type = _BY_TYPE.get(_type_of(field))
    if by_type is not None and rule not in ("regex_match", "regex_exclude", "length", "alphabetical"):
        return by_type(name, field, values, rule)
    if rule in ("regex_match", "regex_exclude"):
        return f"Fix the values of {name}, or its {rule} pattern {_pattern(field, rule)}."
    which = f", such as {_listed(values)}" if values else ""
    return f"Fix the values of {name}{which}, or loosen what the schema asks of them."


def _number(name: str, _field: Definition, values: list[str], rule: str) -> str:
    if rule in ("min", "max"):
        return f"Fix the numbers in {name}, or its {rule} in the schema."
    if commas := [value for value in values if _DECIMAL_COMMA.fullmatch(value)]:
        return f"Export {name} with a decimal point: {_listed(commas[:1])} has a decimal comma, which is not read."
    return _placeholders(name, values) or _fix(name, values, "numbers")


def _date(name: str, field: Definition, values: list[str], _rule: str) -> str:
    if serials := [value for value in values if _SERIAL.fullmatch(value)]:
        return f"Export {name} as dates: {_listed(serials[:1])} is a spreadsheet's day number, which is not read."
    return _placeholders(name, values) or _fix(name, values, f"a {_type_of(field)}, such as 2026-03-27")


def _select(name: str, field: Definition, values: list[str], _rule: str) -> str:
    if not values:
        return f"Add the missing options to {name}, or alternateMatches to the options that are meant."
    options = {str(one.get("label") or one.get("value")): one for one in field.get("selectOptions") or ()}
    lower = {label.casefold(): label for label in options}
    parts = []
    for value in values[:_VALUES_NAMED]:
        near = get_close_matches(value.casefold(), list(lower), n=1)
        meant = f" or, if {lower[near[0]]} is meant, to the alternateMatches of that option" if near else ""
        parts.append(f'add "{value}" to the options of {name}{meant}')
    return _sentence("; ".join(parts))


def _country(name: str, field: Definition, values: list[str], _rule: str) -> str:
    form = _options_of(field).get("format") or "2-letter"
    return f"Write {name} as {form} ISO codes{_such(values)}; names of countries are not read."


def _phone(name: str, field: Definition, values: list[str], _rule: str) -> str:
    local = [value for value in values if not value.strip().startswith("+")]
    if local and (_options_of(field).get("format") or "international") == "international":
        return (
            f"Write {name} with the country's code ({_listed(local[:1])} has none), or set the field's format to "
            "both and its country."
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
    "url": _typed("whole addresses like https://host.example/"),
    "domain": _typed("names like host.example"),
    "us-zip-code": _typed("ZIP codes of the field's format"),
    "us-state-territory": _typed("two-letter codes of states"),
    "ssn": _typed("nine digits"),
    "uuid": _typed("UUIDs of the field's version"),
}


def _placeholders(name: str, values: list[str]) -> str:
    found = [value for value in values if _PLACEHOLDER.fullmatch(value.strip())]
    return f"Empty the cells of {name} that hold {_listed(found)}: it stands for nothing." if found else ""


def _fix(name: str, values: list[str], form: str) -> str:
    return f"Fix the values of {name}{_such(values)}; the field takes {form}."


def _such(values: list[str]) -> str:
    return f" ({_listed(values)})" if values else ""


def _listed(values: list[str]) -> str:
    return ", ".join(f'"{value}"' for value in values[:_VALUES_NAMED]) + (", …" if len(values) > _VALUES_NAMED else "")


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
