"""What to do about invalid cells: what most of them have in common decides, and nothing that would falsify data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any
from unicodedata import category

from runner.problems.header_names import names_of, plain_name
from runner.problems.rules import TYPE_RULE

if TYPE_CHECKING:
    from runner.problems.groups import ProblemGroup

Definition = Mapping[str, Any]

VALUES_NAMED_MAX = 3
_OPTIONS_MAX = 8
"""More unknown values than this are no list of options that somebody forgot (choice)."""

_PLACEHOLDER = re.compile(
    r"#?n\.?/?a\.?!?|<?none>?|\(?null\)?|nil|nan|nat|[-\u2013\u2014]+|\.+|\?+|\\n|tbd|unknown|undefined|empty|\(?blank\)?|x{2,}|"
    r"#(ref|div/0|value|name|num|null)[!?]|0{1,4}[-/.]0{1,2}[-/.]0{1,4}([ t]0{1,2}(:0{1,2}){1,2})?",
    re.IGNORECASE,
)
_DASHES = re.compile("[-\u2013\u2014]+")
_MAY_BACKTRACK = re.compile(r"\)[+*{]")
"""A repeated group, with which a search may take too long."""

_FORCED_TEXT = re.compile(r"""=\s*"(.*)"|'(.+)""", re.DOTALL)
_SCIENTIFIC = re.compile(r"[-+]?\d+([.,]\d+)?e[-+]?\d+", re.IGNORECASE)
_WHOLE_AS_DECIMAL = re.compile(r"\d+\.0+")
_DECIMAL_COMMA = re.compile(r"[^\d]*\d{1,3}(\.\d{3})*,\d+[^\d]*|[^\d]*\d+,\d{1,2}[^\d]*")
_CODE = re.compile(r"(?=.*\d)[A-Za-z]{1,5}[-_/ ]?[\dA-Za-z][-_\dA-Za-z/]*|\d+[-_/]\d[-_\d/]*")
_SERIAL = re.compile(r"\d{5}(\.\d+)?")
_UNIX_TIME = re.compile(r"1\d{9}(\d{3})?")
_FOREIGN_ZIP = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[A-Za-z\d -]{4,10}")
_LOCAL_NUMBER = re.compile(r"(?!00)\(?\d[\d ()./-]{5,}")
_OTHER_DELIMITERS = (",", ";", "|", "/")
_JOINERS = "\u200c\u200d"
_LINE_BREAKS = "\t\r\n"
_MISWRITTEN_COUNTRIES = {"UK": "GB", "EL": "GR"}

_PLAUSIBLE = {
    "email": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"),
    "url": re.compile(r"\w+://\S+"),
    "number": re.compile(r"[-+($€£]*[\d.,]+[%)]?"),
    "us-zip-code": re.compile(r"\d{3,5}(-?\d{4})?"),
    "phone-number": re.compile(r"\+?[\d ().-]{6,}"),
    "ssn": re.compile(r"\d{3}-?\d\d-?\d{4}"),
}
"""What a value may look like once it is cleaned, by rule; a cleaned value of another rule may be any text."""


@dataclass(frozen=True, slots=True)
class _Cells:
    """The invalid cells of one field: their texts with counts, and how many there are in all."""

    name: str
    rule: str
    definition: Definition
    counts: Sequence[tuple[str, int]]
    total: int
    values: list[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", [value for value, _ in self.counts])

    def most(self, test: Callable[[str], object]) -> list[str]:
        """Return the texts that pass a test if most cells have such a text.

        Cells whose text is not known are taken to be spread evenly over the known texts.
        """
        passed = [value for value, _ in self.counts if test(value)]
        known = sum(count for _, count in self.counts)
        unknown_each = max(self.total - known, 0) / max(len(self.counts), 1)
        weight = sum(count + unknown_each for value, count in self.counts if value in passed)
        return passed if weight * 2 > max(self.total, known) else []

    @property
    def options(self) -> Mapping[str, Any]:
        given = self.definition.get("type")
        options = given[1] if isinstance(given, list) and len(given) > 1 else {}
        return options if isinstance(options, Mapping) else {}

    @property
    def type(self) -> str:
        given = self.definition.get("type") or "string"
        return str(given[0]) if isinstance(given, list) and given else str(given)

    @property
    def is_required(self) -> bool:
        return self.validator("required") is not None

    def validator(self, name: str) -> Mapping[str, Any] | None:
        given = self.definition.get("validators")
        found = (one for one in given if isinstance(one, Mapping)) if isinstance(given, list) else ()
        return next((one for one in found if one.get("validate") == name), None)

    def fix(self, form: str) -> str:
        return f"Fix the values of {self.name}{self.such()}; the field takes {form}."

    def such(self) -> str:
        return f" ({listed(self.values)})" if self.values else ""

    def rest(self, named: Sequence[str]) -> str:
        """Return what to do about the texts that are not in `named`, after a sentence about those that are."""
        others = [value for value in self.values if value not in named]
        return f" Then fix the others ({listed(others)})." if others else ""


def advice_for_cells(group: ProblemGroup, definition: Definition) -> str:
    """Return what to do about a group of invalid cells of one field."""
    name, rule = group.labels[0] if group.labels else "the field", group.rule
    counts = [(value, count) for value, count in group.values if value.strip()]
    cells = _Cells(name, _rule_of(rule, definition), definition, counts, group.row_count)
    if rule == "required" or rule.startswith("require_"):
        return f"Fill in {name} in these rows; if it may be empty, remove the validator {rule}."
    if rule.startswith("unique"):
        return _placeholders(cells) or _scientific(cells) or _repeated(cells, rule)
    if cells.rule in _SIZES:
        return _SIZES[cells.rule](cells)
    for form in _FORMS:
        if said := form(cells):
            return said
    return _BY_RULE.get(cells.rule, _other)(cells)


def listed(values: Sequence[str]) -> str:
    """Return the first values in quotes."""
    named = ", ".join(f'"{value}"' for value in values[:VALUES_NAMED_MAX])
    return f"{named}, …" if len(values) > VALUES_NAMED_MAX else named


def _rule_of(rule: str, definition: Definition) -> str:
    """Return a rule; that of the field's type if the field has its own message for it."""
    return rule if rule != TYPE_RULE else _Cells("", rule, definition, (), 0).type


def _repeated(cells: _Cells, rule: str) -> str:
    if rule == "unique_with":
        return f"Correct {cells.name} or the other fields of the combination; remove a row only if it repeats another."
    return (
        f"Keep one row for each repeated {cells.name}{cells.such()} if these rows are equal; otherwise, correct the "
        f"{cells.name}."
    )


def _bound(cells: _Cells) -> str:
    return f"Fix the numbers in {cells.name}{cells.such()}, or its {cells.rule} in the schema."


def _too_large(cells: _Cells) -> str:
    return f"If {cells.name}{cells.such()} holds identifiers, change the field's type to string: it keeps all digits."


def _length(cells: _Cells) -> str:
    which = f", such as {listed(cells.values)}" if cells.values else ""
    return f"Fix the values of {cells.name}{which}, or change min and max of its validator length."


_SIZES: Mapping[str, Callable[[_Cells], str]] = {
    "min": _bound,
    "max": _bound,
    "number-size": _too_large,
    "length": _length,
}
"""Rules about how large a value is, whose form is right."""


def _header(cells: _Cells) -> str:
    names = {plain_name(name) for name in names_of(cells.definition)}
    if found := cells.most(lambda value: plain_name(value) in names):
        return f"Remove the rows that repeat the header ({listed(found)} in {cells.name}).{cells.rest(found)}"
    return ""


def _invisible(cells: _Cells) -> str:
    found = cells.most(lambda value: (clean := _visible(value)) != value and _is_plausible(cells, clean))
    if not found:
        return ""
    is_spaced = any(category(char) == "Zs" and char != " " for value in found for char in value)
    spaces = ", and write ordinary spaces" if is_spaced else ""
    return f"Remove the invisible characters from {cells.name} ({listed(found)}){spaces}.{cells.rest(found)}"


def _forced_text(cells: _Cells) -> str:
    inner = {value: _inner(value) for value in cells.values}
    found = cells.most(lambda value: inner[value] and _is_plausible(cells, inner[value]))
    if not found:
        return ""
    shown = " and ".join(f"{inner[value]} instead of {value}" for value in found[:2])
    return (
        f"Write {cells.name} as plain text, {shown}: spreadsheets need such marks to keep zeros, and imports do not."
        f"{cells.rest(found)}"
    )


def _placeholders(cells: _Cells) -> str:
    found = cells.most(lambda value: is_placeholder(value) and not _is_namibia(cells, value))
    if not found:
        return ""
    one = "it is a placeholder" if len(found) == 1 else "they are placeholders"
    if cells.is_required:
        return (
            f"Replace {listed(found)} in {cells.name} with values: {one}, and the field is required.{cells.rest(found)}"
        )
    zero = ", or write 0 if it means that" if cells.rule == "number" and any(map(_DASHES.fullmatch, found)) else ""
    return f"Empty the cells of {cells.name} that hold {listed(found)}: {one}{zero}.{cells.rest(found)}"


def _is_namibia(cells: _Cells, value: str) -> bool:
    """Return whether a placeholder is a country's code, though perhaps not one in the form of the field."""
    return cells.rule == "country" and value.strip().upper() == "NA"


def _scientific(cells: _Cells) -> str:
    found = [] if cells.rule == "number" else cells.most(_SCIENTIFIC.fullmatch)
    if not found:
        return ""
    return (
        f"Export {cells.name} from where it came from, as text: in {listed(found[:1])}, a spreadsheet has replaced the "
        f"last digits.{cells.rest(found)}"
    )


def _decimal_ids(cells: _Cells) -> str:
    found = [] if cells.rule == "number" else cells.most(_WHOLE_AS_DECIMAL.fullmatch)
    if not found:
        return ""
    return (
        f"Export {cells.name} as text: {listed(found[:1])} ends in .0 because a program took it for a number, and "
        f"leading zeros may be lost.{cells.rest(found)}"
    )


def _outer_blanks(cells: _Cells) -> str:
    found = cells.most(lambda value: value != value.strip()) if cells.rule in _TEXT_RULES else []
    return f"Remove the blanks before or after {cells.name} ({listed(found)}).{cells.rest(found)}" if found else ""


_TEXT_RULES = ("regex_match", "regex_exclude", "alphabetical")
_FORMS = (_header, _invisible, _forced_text, _placeholders, _scientific, _decimal_ids, _outer_blanks)
"""What most cells may have in common whatever the field's type; the first that fits is told."""


def is_placeholder(value: str) -> bool:
    """Return whether a text stands for a missing value."""
    return _PLACEHOLDER.fullmatch(value.strip()) is not None


def _is_plausible(cells: _Cells, text: str) -> bool:
    if cells.rule in ("select", "multi-select"):
        return plain_name(text) in _Options(cells).plain
    pattern = _PLAUSIBLE.get(cells.rule)
    return bool(text) and (pattern is None or pattern.fullmatch(text) is not None)


def _visible(text: str) -> str:
    """Return a text without invisible characters; joiners stay in texts of scripts that need them."""
    kept = "" if all(char.isascii() or char in _JOINERS for char in text) else _JOINERS
    chars = (" " if category(char) == "Zs" else char for char in text)
    return "".join(char for char in chars if char.isprintable() or char in _LINE_BREAKS or char in kept).strip(" ")


def _inner(value: str) -> str:
    found = _FORCED_TEXT.fullmatch(value.strip())
    return (found[1] or found[2] or "").strip() if found else ""


def _number(cells: _Cells) -> str:
    if found := cells.most(_DECIMAL_COMMA.fullmatch):
        return f"Export {cells.name} with a decimal point: {listed(found[:1])} has a decimal comma.{cells.rest(found)}"
    if found := cells.most(_CODE.fullmatch):
        return f"If {cells.name} holds codes ({listed(found)}), change the field's type to string.{cells.rest(found)}"
    return cells.fix("numbers")


def _date(cells: _Cells) -> str:
    kind = "dates with times" if cells.rule == "datetime" else "dates"
    for form, what in ((_SERIAL, "a spreadsheet's day number"), (_UNIX_TIME, "a count of seconds since 1970")):
        if found := cells.most(form.fullmatch):
            return (
                f"Export {cells.name} as {kind}: {listed(found[:1])} is {what}, which is not supported."
                f"{cells.rest(found)}"
            )
    example = "2026-03-27T17:30" if cells.rule == "datetime" else "2026-03-27"
    return cells.fix(f"{kind}, such as {example}")


class _Options:
    """The options of a choice, and the texts that its cells hold."""

    def __init__(self, cells: _Cells) -> None:
        given = cells.definition.get("selectOptions") or cells.options.get("selectOptions")
        options = [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
        self.labels = {
            plain_name(str(name)): str(one.get("label") or one.get("value"))
            for one in options
            for name in (one.get("value"), *(one.get("alternateMatches") or ()), one.get("label"))
            if name is not None
        }
        self.plain = self.labels.keys()
        self.delimiter = str(cells.options.get("delimiter") or ",") if cells.type == "multi-select" else ""

    def parts(self, value: str, delimiter: str | None = None) -> list[str]:
        """Return the options that a cell names, known or not."""
        split = value.split(delimiter or self.delimiter) if self.delimiter else [value]
        return [part.strip() for part in split if part.strip()]

    def knows_all(self, value: str, delimiter: str) -> bool:
        parts = self.parts(value, delimiter)
        return len(parts) > 1 and all(plain_name(part) in self.plain for part in parts)


def _select(cells: _Cells) -> str:
    options = _Options(cells)
    name = cells.name
    if options.delimiter:
        for other in _OTHER_DELIMITERS:
            if other != options.delimiter and cells.most(partial(options.knows_all, delimiter=other)):
                return f'If all cells of {name} are separated by "{other}", set the delimiter of its type to "{other}".'
    exact = bool(cells.options.get("exactMatchOnly"))
    unknown = [part for value in cells.values for part in options.parts(value)]
    unknown = [part for part in dict.fromkeys(unknown) if exact or plain_name(part) not in options.plain]
    added = [part for part in unknown if _is_option(part)]
    if not added:
        return f"Fix the values of {name}{cells.such()}, or add the missing options to it."
    if len(added) > _OPTIONS_MAX:
        return f"Add the missing options to {name} ({listed(added)}), or set allowCustom in its type for any text."
    said = [_added(part, name, options) for part in added[:VALUES_NAMED_MAX]]
    others = [part for part in unknown if part not in added]
    return _sentence("; ".join(said)) + (f" Fix the others ({listed(others)})." if others else "")


def _added(part: str, name: str, options: _Options) -> str:
    if plain_name(part) in options.plain:
        return f'add "{part}" to the alternateMatches of the option {options.labels[plain_name(part)]} of {name}'
    near = get_close_matches(plain_name(part), list(options.labels), n=1)
    meant = f" or to the alternateMatches of its option {options.labels[near[0]]}" if near else ""
    return f'add "{part}" to the options of {name}{meant}'


def _is_option(part: str) -> bool:
    """Return whether a text can be an option: whole, visible, of one line, and no placeholder."""
    return part.isprintable() and not part.endswith("…") and not is_placeholder(part)


def _country(cells: _Cells) -> str:
    form = str(cells.options.get("format") or "2-letter")
    other, letters = ("3-letter", 3) if form == "2-letter" else ("2-letter", 2)
    if found := cells.most(lambda value: value.strip().upper() in _MISWRITTEN_COUNTRIES):
        code = _MISWRITTEN_COUNTRIES[found[0].strip().upper()]
        return f'Write {cells.name} as {form} ISO codes: {listed(found[:1])} is "{code}" there.{cells.rest(found)}'
    if found := cells.most(lambda value: len(value) == letters and value.isascii() and value.isalpha()):
        return (
            f"Write {cells.name} as {form} ISO codes ({listed(found)}); if all cells have {letters} letters, set the "
            f"field's format to {other}, and results have such codes, too."
        )
    return f"Write {cells.name} as {form} ISO codes{cells.such()}; names of countries are not supported."


def _phone(cells: _Cells) -> str:
    is_international = (cells.options.get("format") or "international") == "international"
    if is_international and (found := cells.most(_LOCAL_NUMBER.fullmatch)):
        return (
            f"Write {cells.name} with the country code ({listed(found[:1])} has none), or set the field's format to "
            f"both, and its country.{cells.rest(found)}"
        )
    return cells.fix("one valid phone number in each cell")


def _zip(cells: _Cells) -> str:
    if found := cells.most(_FOREIGN_ZIP.fullmatch):
        return f"If {cells.name} holds codes of other countries ({listed(found)}), change the field's type to string."
    return cells.fix(f"{cells.options.get('format') or '5-digit'} US ZIP codes")


def _pattern(cells: _Cells) -> str:
    validator = cells.validator(cells.rule) or {}
    pattern = str(validator.get("regex") or "")
    is_quick = bool(pattern) and not _MAY_BACKTRACK.search(pattern)
    if cells.rule == "regex_match" and is_quick and not (validator.get("regexOptions") or {}).get("ignoreCase"):
        try:
            found = cells.most(re.compile(pattern, re.IGNORECASE).search)
        except re.error:
            found = []
        if found:
            return (
                f"Write {cells.name} in the case of the pattern {pattern} ({listed(found)}), or set "
                "ignoreCase in its regexOptions."
            )
    return f"Fix the values of {cells.name}{cells.such()}, or its {cells.rule} pattern {pattern}."


def _alphabetical(cells: _Cells) -> str:
    return (
        f"Fix the values of {cells.name}{cells.such()}; if blanks, hyphens, or accents are fine, remove its validator "
        "alphabetical."
    )


def _listed_in_schema(option: str) -> Callable[[_Cells], str]:
    return lambda cells: f"Fix the values of {cells.name}{cells.such()}, or change {option} of its type in the schema."


def _typed(form: str) -> Callable[[_Cells], str]:
    return lambda cells: cells.fix(form)


def _other(cells: _Cells) -> str:
    return f"Fix the values of {cells.name}{cells.such()}, or change the rule in the schema that refuses them."


_BY_RULE: Mapping[str, Callable[[_Cells], str]] = {
    "number": _number,
    "date": _date,
    "datetime": _date,
    "time": _typed("times, such as 17:30"),
    "select": _select,
    "multi-select": _select,
    "country": _country,
    "phone-number": _phone,
    "email": _typed("one address in each cell, such as name@host.example"),
    "url": _typed("complete URLs, such as https://host.example/"),
    "protocol": _listed_in_schema("acceptedProtocols"),
    "url-domain": _listed_in_schema("acceptedDomains"),
    "domain": _typed("names such as host.example"),
    "subdomain": _listed_in_schema("allowSubdomains"),
    "us-zip-code": _zip,
    "us-state-territory": _typed("two-letter codes of US states, such as CA"),
    "ssn": _typed("nine digits"),
    "uuid": _typed("UUIDs"),
    "uuid-version": _listed_in_schema("version"),
    "regex_match": _pattern,
    "regex_exclude": _pattern,
    "alphabetical": _alphabetical,
}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
