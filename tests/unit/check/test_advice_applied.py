"""Advice that is followed to the letter fixes what it speaks of, and loses nothing that was imported before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from runner.check.read_outcome import OutcomeReader
from runner.check.schemas import BoundRoute
from runner.config.routes import Route
from runner.problems import ProblemGroups, advice_for
from runner.problems.advice import BY_WARNING
from sandbox.engine.messages import TYPE_MESSAGES, VALIDATOR_MESSAGES
from sandbox.engine.warning import KINDS
from tests.support.engine import run, sheets

NAME: dict[str, Any] = {"key": "name", "label": "Full Name", "validators": [{"validate": "required"}]}
PLAN: dict[str, Any] = {
    "key": "plan",
    "label": "Plan",
    "type": "select",
    "selectOptions": [{"label": "Gold", "value": "g"}, {"label": "Silver", "value": "s"}],
}


@dataclass(frozen=True)
class Case:
    """A file and the fields and settings that it is imported with."""

    content: str | bytes
    fields: list[dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)

    def seen(self) -> tuple[list[str], int, list[str]]:
        """Return the advice, the number of problems' rows, and all texts in the result."""
        outcome = run(self.content, *self.fields, **self.settings)
        schema = {"fields": self.fields, "settings": self.settings, "hooks": {}}
        route = Route(name="all", fields=tuple(self.fields), settings=self.settings)
        reader = OutcomeReader(
            BoundRoute(route=route, schema=schema), {**TYPE_MESSAGES, **VALIDATOR_MESSAGES}, samples=True
        )
        groups = ProblemGroups()
        groups.take(reader.read(outcome, source="a.csv", size_bytes=1))
        by_key = {each["key"]: each for each in self.fields}
        problems = groups.sorted()
        count = sum(max(one.row_count, one.count, 1) for one in problems)
        return [advice_for(one, by_key) for one in problems], count, sorted(_texts(outcome.rows))


def _texts(rows: Any) -> Iterator[str]:
    for row in rows or ():
        yield from (str(value) for value in row.values() if value not in (None, ""))


def labelled(case: Case, label: str) -> dict[str, Any]:
    return next(each for each in case.fields if each["label"] == label)


def with_options(one: dict[str, Any], **options: Any) -> None:
    name, given = one["type"] if isinstance(one["type"], list) else (one["type"], {})
    one["type"] = [name, {**given, **options}]


def edited(case: Case, change: Callable[[str], str]) -> Case:
    assert isinstance(case.content, str)
    head, *lines = case.content.splitlines()
    return replace(case, content="\n".join([head, *(change(line) for line in lines)]) + "\n")


def add_alternate(case: Case, header: str, label: str) -> Case:
    labelled(case, label).setdefault("alternateMatches", []).append(header)
    return case


def set_setting(case: Case, name: str, value: Any) -> Case:
    case.settings[name] = value
    return case


def add_option(case: Case, value: str, label: str) -> Case:
    labelled(case, label)["selectOptions"].append({"label": value, "value": value})
    return case


def add_option_name(case: Case, value: str, option: str, label: str) -> Case:
    options = labelled(case, label)["selectOptions"]
    next(one for one in options if one["label"] == option).setdefault("alternateMatches", []).append(value)
    return case


def set_option(case: Case, label: str, name: str, value: Any) -> Case:
    with_options(labelled(case, label), **{name: value})
    return case


def set_type(case: Case, label: str, name: str) -> Case:
    labelled(case, label)["type"] = name
    return case


def without_validator(case: Case, label: str, name: str) -> Case:
    one = labelled(case, label)
    one["validators"] = [each for each in one["validators"] if each["validate"] != name]
    return case


def ignoring_case(case: Case, label: str) -> Case:
    for each in labelled(case, label)["validators"]:
        each["regexOptions"] = {"ignoreCase": True}
    return case


def emptied(case: Case, quoted: str) -> Case:
    texts = [re.escape(text) for text in re.findall('"(.*?)"', quoted)]
    return edited(case, lambda line: re.sub(rf"(?<=,)({'|'.join(texts)})(?=,|$)", "", line))


def visible(case: Case, _label: str) -> Case:
    return edited(case, lambda line: "".join(char for char in line if char.isprintable()))


def plain(case: Case, instead: str, written: str) -> Case:
    quoted = f'"{written}"' if "'" in written else '"' + written.replace('"', '""') + '"'
    assert any(text in str(case.content) for text in (quoted, written))
    return edited(case, lambda line: line.replace(quoted, instead).replace(written, instead))


def without_headers(case: Case, quoted: str) -> Case:
    kept = [line for line in str(case.content).splitlines() if not line.endswith(f",{quoted}")]
    return replace(case, content="\n".join([str(case.content).splitlines()[0], *kept]) + "\n")


INSTRUCTIONS: list[tuple[str, Callable[..., Case]]] = [
    (r'Add "(.+?)" to the alternateMatches of ([^,.]+),', add_alternate),
    (r'If it belongs to (.+?), add "(.+?)" to its alternateMatches', lambda case, a, b: add_alternate(case, b, a)),
    (r"set (passThroughUnmappedColumns)", lambda case, name: set_setting(case, name, True)),
    (r'Set delimiter to ("\S+") in the settings', lambda case, it: set_setting(case, "delimiter", json.loads(it))),
    (
        r'Set uploadStep.sheetOverride in the settings to "(.+?)";',
        lambda case, name: set_setting(case, "uploadStep", {"sheetOverride": name}),
    ),
    (r'add "([^"]+)" to the options of ([^;.]+?)(?: or |[;.])', add_option),
    (r'add "([^"]+)" to the alternateMatches of the option (.+?) of (.+?)[;.]', add_option_name),
    (r'If all cells of (.+) are separated by "(.)"', lambda case, a, b: set_option(case, a, "delimiter", b)),
    (r"options to (.+?) \(.+set (allowCustom) ", lambda case, a, b: set_option(case, a, b, True)),
    (r"If (.+?)(?: \(.*\))? holds .*, change the field's type to (string)", set_type),
    (r"if all cells have 3 letters, set the (field)'s format to (3-letter)",
     lambda case, _, value: set_option(case, "Country", "format", value)),
    (r"Write (.+?) in the case of the pattern .*, or set ignoreCase in its regexOptions", ignoring_case),
    (r"Fix the values of (.+?) \(.*remove its validator (alphabetical)", without_validator),
    (r"Fill in (.+?) in these rows; if it may be empty, remove the validator (required)", without_validator),
    (r"Empty the cells of .+? that hold (.+):", emptied),
    (r"Remove the invisible characters from (\S+)", visible),
    (r"Write .+? as plain text, (\S+) instead of (\S+?)[ :]", plain),
    (r'Remove the rows that repeat the header \("(.+?)" in', without_headers),
]  # fmt: skip
"""What advice may say to do, and what it is to do so."""


def followed(case: Case, advice: str) -> Case:
    """Do everything that a piece of advice says."""
    now, done = deepcopy(case), 0
    for pattern, instruction in INSTRUCTIONS:
        for found in re.finditer(pattern, advice, re.IGNORECASE):
            now = instruction(now, *found.groups())
            done += 1
    assert done, f"no known instruction: {advice}"
    return now


def field_of(kind: Any, **more: Any) -> dict[str, Any]:
    return {"key": "v", "label": "Value", "type": kind, **more}


CASES = {
    "a header like a field's name": Case("Full name of person,Plan\nIda,Gold\n", [NAME, PLAN]),
    "a column like a field that is free": Case("Full Name,Chosen plan\nIda,Gold\n", [NAME, PLAN]),
    "a column like no field": Case("Full Name,Warehouse\nIda,North\n", [NAME, PLAN]),
    "an unusual delimiter": Case("Full Name~Plan\nIda~Gold\nUwe~Silver\n", [NAME, PLAN]),
    "a broken bar": Case("Full Name\u00a6Plan\nIda\u00a6Gold\n", [NAME, PLAN]),
    "a delimiter in a setting that is wrong": Case("Full Name,Plan\nIda,Gold\n", [NAME, PLAN], {"delimiter": ";"}),
    "commas in a header with another delimiter": Case(
        "Full Name^Plan^Sum, net, EUR\nMoss, Ida^Gold^1,2,3\nOak, Uwe^Gold^4,5,6\n", [NAME, PLAN]
    ),
    "a control character as delimiter": Case("Full Name\x1fPlan\nIda\x1fGold\nUwe\x1fGold\n", [NAME, PLAN]),
    "a cover sheet": Case(sheets(Cover=[["Please read"]], List=[["Full Name", "Plan"], ["Ida", "Gold"]]), [NAME, PLAN]),
    "unknown options": Case("Full Name,Plan\nIda,Bronze\nUwe,Golden\nPia,Gold\n", [NAME, PLAN]),
    "many unknown options": Case(
        "Full Name,Plan\n" + "".join(f"P{at},free text {chr(97 + at) * 3}\n" for at in range(20)), [NAME, PLAN]
    ),
    "unknown parts of a list": Case(
        'Full Name,Plan\nIda,"Gold,Bronze"\n', [NAME, {**PLAN, "type": "multi-select"}]
    ),
    "lists with another delimiter": Case(
        "Full Name,Plan\nIda,Gold;Silver\nUwe,Silver;Gold\nPia,Gold\n", [NAME, {**PLAN, "type": "multi-select"}]
    ),
    "an option in another case": Case(
        "Full Name,Plan\nIda,GOLD\n", [NAME, {**PLAN, "type": ["select", {"exactMatchOnly": True}]}]
    ),
    "placeholders": Case("Full Name,Value\nIda,n/a\nUwe,-\nPia,3\n", [NAME, field_of("number")]),
    "a date of zeros": Case("Full Name,Value\nIda,0000-00-00\nPia,2024-03-01\n", [NAME, field_of("date")]),
    "invisible characters": Case("Full Name,Value\nIda,i@a.example\u200b\n", [NAME, field_of("email")]),
    "an invisible character in an option": Case("Full Name,Plan\nIda,Gold\u2060\n", [NAME, PLAN]),
    "text that a formula forces": Case('Full Name,Value\nIda,"=""02138"""\n', [NAME, field_of("us-zip-code")]),
    "text that an apostrophe forces": Case("Full Name,Value\nIda,'02138\n", [NAME, field_of("us-zip-code")]),
    "codes in a number": Case("Full Name,Value\nIda,A-17\nUwe,B-18\n", [NAME, field_of("number")]),
    "postal codes of other countries": Case("Full Name,Value\nIda,SW1A 1AA\n", [NAME, field_of("us-zip-code")]),
    "country codes of three letters": Case(
        "Full Name,Country\nIda,DEU\nUwe,FRA\n", [NAME, {"key": "c", "label": "Country", "type": "country"}]
    ),
    "another case than the pattern's": Case(
        "Full Name,Value\nIda,ab-1\nUwe,AB-2\n",
        [NAME, field_of("string", validators=[{"validate": "regex_match", "regex": "^[A-Z]+-\\d$"}])],
    ),
    "letters with accents": Case(
        "Full Name,Value\nIda,Zo\u00eb\n", [NAME, field_of("string", validators=[{"validate": "alphabetical"}])]
    ),
    "empty cells of a required field": Case("Full Name,Plan\n,Gold\nIda,Gold\n", [NAME, PLAN]),
    "a repeated header": Case("Full Name,Value\nIda,1\nFull Name,Value\nUwe,2\n", [NAME, field_of("number")]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_advice_that_is_followed_leaves_fewer_problems_and_loses_nothing(case: Case) -> None:
    advice, count, texts = case.seen()
    assert advice
    after, count_after, texts_after = followed(case, advice[0]).seen()
    assert count_after < count, (advice[0], after)
    missing = [text for text in texts if text not in " ".join(texts_after)]
    assert missing == []
    assert len(texts_after) >= len(texts)


NO_HEADERS = (
    "Ida Moss~Gold~a line of data that is as long as a sentence",
    "ida@host.example",
    "2024-03-01",
    '{"name": 1}',
    "Full Name;Plan;Joined",
    "17",
    "https://host.example/",
)


@pytest.mark.parametrize("header", NO_HEADERS)
def test_a_header_that_is_a_line_or_data_is_no_alternate_name(header: str) -> None:
    quoted = '"' + header.replace('"', '""') + '"'
    for content in (f"{quoted},Other\nIda,Gold\n", f"{quoted}\nIda\n"):
        advice, _, _ = Case(content, [NAME, PLAN]).seen()
        assert not any("alternateMatches of" in said and header in said for said in advice)


@pytest.mark.parametrize("header", ["County", "Contract", "City", "Date of state", "Username 2", "Phone"])
def test_a_column_unlike_a_field_is_not_proposed_even_if_it_is_the_only_one(header: str) -> None:
    one = {"key": "k", "label": "Country", "validators": [{"validate": "required"}]}
    advice, _, _ = Case(f"{header},Other\nIda,Gold\n", [one]).seen()
    assert not any(f'"{header}"' in said for said in advice)


def test_one_placeholder_among_many_bad_values_is_not_what_the_advice_is_about() -> None:
    rows = "".join(f"P{at},{at} pieces\n" for at in range(30))
    advice, _, _ = Case(f"Full Name,Value\n{rows}Ida,N/A\nUwe,N/A\n", [NAME, field_of("number")]).seen()
    assert "placeholder" not in advice[0]
    assert "Fix the values of Value" in advice[0]


def test_placeholders_that_are_most_bad_values_are_named_and_the_others_after_them() -> None:
    case = Case("Full Name,Value\nA,NULL\nB,NULL\nC,\\N\nD,#N/A\nE,12 pcs\n", [NAME, field_of("number")])
    (said,) = case.seen()[0]
    assert said.startswith('Empty the cells of Value that hold "NULL"')
    assert said.endswith('Then fix the others ("12 pcs").')


def test_an_empty_cell_is_no_advice_for_a_required_field() -> None:
    one = field_of("number", validators=[{"validate": "required"}])
    (said,) = Case("Full Name,Value\nA,N/A\nB,3\n", [NAME, one]).seen()[0]
    assert said.startswith('Replace "N/A" in Value with values')


def test_sheets_that_look_alike_are_not_left_out_by_advice() -> None:
    content = sheets(**{month: [["Full Name", "Plan"], [month, "Gold"]] for month in ("May", "June", "July")})
    (said,) = Case(content, [NAME, PLAN]).seen()[0]
    assert said.startswith("Save each of the sheets as a file of its own")
    assert "imports only one" in said


def test_a_sheet_that_was_not_chosen_has_no_advice_about_its_columns() -> None:
    content = sheets(Cover=[["Please read", "Author"]], List=[["Full Name", "Plan"], ["Ida", "Gold"]])
    advice, _, _ = Case(content, [NAME, PLAN]).seen()
    assert len(advice) == 1


@pytest.mark.parametrize("rule", ["unique", "unique_case_insensitive", "unique_with"])
def test_no_advice_drops_a_rule_about_repeated_values(rule: str) -> None:
    one = field_of("string", validators=[{"validate": rule, "uniqueKey": "k"}])
    (said,) = Case("Full Name,Value\nA,1\nB,1\n", [NAME, one]).seen()[0]
    assert "validator" not in said
    assert "equal" in said or "repeats another" in said


@pytest.mark.parametrize(
    "schema_word", ["INCLUDE_INVALID_ROWS", "allowInvalidSubmit", "BLOCK_SUBMIT", "fuzzyMatchHeaders"]
)
def test_no_advice_changes_what_happens_to_invalid_rows(schema_word: str) -> None:
    assert not any(schema_word in said for case in CASES.values() for said in case.seen()[0])


def test_each_warning_of_the_engine_has_advice() -> None:
    assert KINDS.keys() - BY_WARNING.keys() == set()


def test_the_code_of_namibia_is_no_placeholder() -> None:
    country = {"key": "c", "label": "Country", "type": ["country", {"format": "3-letter"}]}
    (said,) = Case("Full Name,Country\nIda,NA\nUwe,NA\n", [NAME, country]).seen()[0]
    assert "Empty" not in said
    assert "3-letter ISO codes" in said


def test_a_dash_in_a_number_may_mean_zero() -> None:
    (said,) = Case("Full Name,Value\nIda,-\nUwe,3\n", [NAME, field_of("number")]).seen()[0]
    assert said == 'Empty the cells of Value that hold "-": it is a placeholder, or write 0 if it means that.'


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (("n/a", "n/a", "A"), 'Empty the cells of Value that hold "n/a"'),
        (("4.0E+12", "4.0E+12", "A"), "Export Value from where it came from, as text"),
        (("A", "A", "B"), 'Keep one row for each repeated Value ("A") if these rows are equal'),
    ],
)
def test_what_makes_values_equal_decides_what_to_do_about_repeated_ones(values: tuple[str, ...], wanted: str) -> None:
    rows = "".join(f"P{at},{value}\n" for at, value in enumerate(values))
    one = field_of("string", validators=[{"validate": "unique"}])
    advice = Case(f"Full Name,Value\n{rows}", [NAME, one]).seen()[0]
    assert any(said.startswith(wanted) for said in advice)
