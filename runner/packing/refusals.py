"""Refusals: why files travel alone, each with a stable code and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from runner.formatting import shown

SCHEMA_REFUSALS: Mapping[str, str] = {
    "route_off": "Packing is off for the files of this route.",
    "schema_unread": "The saved schema could not be read, so nothing is known about it.",
    "schema_without_fields": "The schema has no field that takes a column.",
    "hooks": "The schema has hooks, which would see the rows of all files in a pack.",
    "setting_unknown": "The setting {name} is not known, so neither is what it does to a pack.",
    "max_records": "The setting maxRecords limits the rows of an import, not of each file in it.",
    "development_mode": "In development mode, an import has at most 100 rows.",
    "max_file_size": "The setting maxFileSize allows less than a pack may have.",
    "empty_submit": "The setting allowEmptySubmit counts the rows of an import, not of each file in it.",
    "custom_fields": "With allowCustomFields, the column that a pack adds could become a field.",
    "webhook": "The setting {name} reports one import per pack, and nothing about each file.",
    "backend_sync": "With backend sync, another system gets one import per pack, and nothing about each file.",
    "header_row": "The setting headerRowOverride says that the first row is not the header.",
    "match_to_schema": "With matchToSchema, every column must belong to a field, and a pack adds one that does not.",
    "auto_map_headers": "With autoMapHeaders, the columns of an import depend on earlier imports.",
    "option_limit": "The setting maxMappableSelectValues counts the values of an import, not of each file in it.",
    "initial_data": "The setting {name} gives the import data of its own.",
    "delimiter_setting": "The setting delimiter is not a comma, a semicolon, a tab, or a vertical bar.",
    "behavior_unknown": "The value of invalidDataBehavior is not known.",
    "field_key": "A field has the key {name}, which results use for columns without a field.",
    "field_unknown": "A field has the property {name}, which is not known.",
    "type_unknown": "The field {name} has a type, or an option of its type, that is not known.",
    "validator_unknown": "The field {name} has a validator that is not known.",
    "unique_type": "The values of the field {name} must be unique, and its type can write one value in many ways.",
    "dates_of_many_columns": "The field {name} has dates from several columns, which share the order of day and month.",
    "marker_name": "No name of the column that a pack adds is unlike all names of the schema and the file.",
}
"""Code -> sentence of what refuses all files of a route."""

FILE_REFUSALS: Mapping[str, str] = {
    "workbook": "The file is a workbook; only delimited text is packed.",
    "json": "The file is JSON; only delimited text is packed.",
    "other_format": "The file begins like a document, not like a table.",
    "too_large": "The file is not small.",
    "not_utf8": "The file is not valid UTF-8.",
    "control_characters": "The file has control characters.",
    "separator_line": "The file begins with a line that names its delimiter.",
    "delimiter_unclear": "More than one character could be the delimiter of the file.",
    "quotes_unclear": "The file has a quoted cell that does not end where it should.",
    "preamble": "Other rows come before the header.",
    "blank_rows": "The file has blank rows.",
    "ragged_rows": "Not all rows are as wide as the header.",
    "no_rows": "The file has no rows below its header.",
    "header_empty": "A column has no name.",
    "header_repeated": "Two columns have the same name.",
    "header_unmatched": "No column has exactly a name of the field {name}.",
    "header_unclear": "Another row could be taken for the header.",
    "dates_ambiguous": "The field {name} has a date whose day and month the rest of the column decides.",
    "dates_mixed": "The field {name} has dates with day and month in both orders.",
    "unique_unclear": "The field {name} must be unique, and has a value that can be written in other ways.",
    "unique_shared": "A value that must be unique is also in a file before it.",
    "predicted_review": "Its import is predicted to need a review.",
    "predicted_failure": "Its import is predicted to fail.",
    "no_like_files": "No other file fits into a pack with it.",
}
"""Code -> sentence of what refuses single files."""

SENTENCES: Mapping[str, str] = {**SCHEMA_REFUSALS, **FILE_REFUSALS}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file, or each file of a route, travels alone; `name` is the field or the setting that the sentence names.

    A refusal never has the content of a row.
    """

    code: str
    name: str = ""

    def __post_init__(self) -> None:
        if self.code not in SENTENCES:
            raise ValueError(self.code)

    @property
    def sentence(self) -> str:
        return SENTENCES[self.code].format(name=shown(self.name))

    @property
    def is_of_route(self) -> bool:
        """Whether it refuses all files of a route."""
        return self.code in SCHEMA_REFUSALS


class Refused(Exception):
    """Carries a refusal out of the functions that look for one."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal

    @classmethod
    def of(cls, code: str, name: str = "") -> Self:
        return cls(Refusal(code, name))
