"""What the vendor refuses in a definition although an import by it could run."""

from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.engine.problems import Problem
from sandbox.engine.schema import FILE_MAX_BYTES
from sandbox.engine.types import type_and_options

_SELECTS = ("select", "multi-select")


def refusals(schema: Mapping[str, Any]) -> list[Problem]:
    """Return (path, sentence) for each of them in `fields` and `settings`, if present.

    Neither part may have `schema_problems`. A schema that was saved before the vendor refused them can still have them.
    """
    fields = schema.get("fields") or []
    keys = {field["key"] for field in fields}
    problems = [
        (f"fields.{at}.{path}", sentence)
        for at, field in enumerate(fields)
        for path, sentence in _field_refusals(field, keys)
    ]
    size_bytes = (schema.get("settings") or {}).get("maxFileSize")
    if size_bytes is not None and not 1 <= size_bytes <= FILE_MAX_BYTES:
        problems.append(("settings.maxFileSize", f"Expected a size from 1 to {FILE_MAX_BYTES} bytes."))
    return problems


def _field_refusals(field: Mapping[str, Any], keys: set[str]) -> Iterator[Problem]:
    name, options = type_and_options(field)
    if name in _SELECTS and not _has_options(field, options if isinstance(options, Mapping) else {}):
        yield "selectOptions", f"A {name} field needs options."
    validators = field.get("validators") or []
    if field.get("hidden") and validators:
        yield "validators", "A hidden field can't have validators."
    for at, validator in enumerate(validators):
        for part in ("fields", "fieldValues"):
            unknown = [str(key) for key in validator.get(part) or () if key not in keys]
            if unknown and str(validator.get("validate")).startswith("require_"):
                yield f"validators.{at}.{part}", f'There is no field with the key "{unknown[0][:40]}".'


def _has_options(field: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Tell whether a select field has options; the list may be empty if any other value is accepted, too."""
    given = field.get("selectOptions", options.get("selectOptions"))
    return bool(given) or (given is not None and options.get("allowCustom") is True)
