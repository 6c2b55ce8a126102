"""The problems of a schema, each with its path: what the API answers with a 400."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sandbox.engine.errors import EngineError
from sandbox.engine.schema import BEHAVIORS
from sandbox.engine.types import TYPE_NAMES, make_kind, type_and_options
from sandbox.engine.types.codes import COUNTRY_FORMATS, ZIP_FORMATS
from sandbox.engine.types.number import FORMAT_OUTPUTS, PRESETS
from sandbox.engine.types.phone import PHONE_FORMATS
from sandbox.engine.validators import VALIDATOR_NAMES
from sandbox.engine.validators.regex import JsRegex, flags_of
from sandbox.hooks.cells import LEVELS
from sandbox.hooks.sources import form_problems

Problem = tuple[str, str]

_BOOLEANS = {
    "select": ("allowCustom", "exactMatchOnly"),
    "multi-select": ("allowCustom", "exactMatchOnly", "trimValues"),
    "phone-number": ("outputFormatted",),
    "ssn": ("outputDash",),
    "us-zip-code": ("outputDash",),
    "domain": ("allowSubdomains",),
    "date": ("autofix",),
    "datetime": ("withSeconds", "autofix"),
    "time": ("withSeconds", "autofix"),
}
_TEXTS = {
    "multi-select": ("delimiter",),
    "phone-number": ("country",),
    "date": ("locale", "displayFormat", "outputFormat"),
    "datetime": ("locale", "displayFormat", "outputFormat"),
    "time": ("locale", "displayFormat", "outputFormat"),
}
_CHOICES = {
    ("country", "format"): tuple(COUNTRY_FORMATS),
    ("us-zip-code", "format"): ZIP_FORMATS,
    ("phone-number", "format"): PHONE_FORMATS,
    ("number", "preset"): tuple(PRESETS),
}
_FORMAT_COUNTS = ("mantissa", "characteristic", "totalLength")


def schema_problems(schema: Mapping[str, Any]) -> list[Problem]:
    """Return (path, sentence) for each problem in those of `fields`, `settings`, and `hooks` that are present.

    A path looks like `fields.3.validators.0.regex`.
    """
    fields = schema.get("fields") or []
    if not isinstance(fields, list):
        return [("fields", "Expected a list of fields.")]
    problems = list(_key_problems(fields))
    for at, field in enumerate(fields):
        if isinstance(field, Mapping):
            problems += [(f"fields.{at}.{path}", sentence) for path, sentence in _field_problems(field)]
    for name, problems_of in (("settings", _settings_problems), ("hooks", _hook_problems)):
        given = schema.get(name) or {}
        if isinstance(given, Mapping):
            problems += [(f"{name}.{path}", sentence) for path, sentence in problems_of(given)]
        else:
            problems.append((name, "Expected an object."))
    return problems


def _key_problems(fields: list[Any]) -> Iterator[Problem]:
    seen: set[str] = set()
    for at, field in enumerate(fields):
        key = field.get("key") if isinstance(field, Mapping) else None
        if not isinstance(key, str) or not key:
            yield f"fields.{at}.key", "Every field needs a key."
        elif key in seen:
            yield f"fields.{at}.key", f'The key "{key}" is used by more than one field.'
        else:
            seen.add(key)


def _field_problems(field: Mapping[str, Any]) -> Iterator[Problem]:
    alternates = field.get("alternateMatches")
    if alternates is not None and not isinstance(alternates, list):
        yield "alternateMatches", "Expected a list of texts."
    yield from _type_problems(field)
    validators = field.get("validators") or []
    if not isinstance(validators, list):
        yield "validators", "Expected a list of validators."
        return
    for at, validator in enumerate(validators):
        yield from ((f"validators.{at}{path}", sentence) for path, sentence in _validator_problems(validator))


def _type_problems(field: Mapping[str, Any]) -> Iterator[Problem]:
    given = field.get("type", "string")
    if not (given is None or isinstance(given, str | list)) or (isinstance(given, list) and not 0 < len(given) <= 2):
        yield "type", "Expected a type's name, or a list of a name and options."
        return
    name, options = type_and_options(field)
    if name not in TYPE_NAMES:
        yield "type", f'"{name[:40]}" is not a known field type.'
        return
    problems = list(_option_problems(name, options)) + list(_select_problems(name, field, options))
    yield from problems
    if not problems:
        try:
            make_kind(field)
        except (EngineError, KeyError, TypeError, ValueError, AttributeError) as error:
            yield "type", str(error) if isinstance(error, EngineError) else "The options do not fit the type."


def _option_problems(name: str, options: Any) -> Iterator[Problem]:
    if isinstance(options, str) and name == "number":
        options = {"preset": options}
    if options is None:
        return
    if not isinstance(options, Mapping):
        yield "type", "Expected an object of options."
        return
    for option, value in options.items():
        if value is None:
            continue
        allowed = _CHOICES.get((name, option))
        if allowed is not None and value not in allowed:
            yield f"type.{option}", f"Expected one of {', '.join(allowed)}."
        if option in _BOOLEANS.get(name, ()) and not isinstance(value, bool):
            yield f"type.{option}", "Expected true or false."
        if option in _TEXTS.get(name, ()) and (not isinstance(value, str) or not value):
            yield f"type.{option}", "Expected a text."
    yield from _own_problems(name, options)


def _own_problems(name: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    if name == "number":
        yield from _number_problems(options)
    version = options.get("version")
    if name == "uuid" and version is not None and not (_is_whole(version) and 0 <= version <= 15):
        yield "type.version", "Expected a version's number."
    for option in ("acceptedProtocols", "acceptedDomains") if name == "url" else ():
        if not isinstance(options.get(option, []), list):
            yield f"type.{option}", "Expected a list of texts."


def _number_problems(options: Mapping[str, Any]) -> Iterator[Problem]:
    decimals = options.get("round")
    if decimals is not None and not (_is_whole(decimals) and -15 <= decimals <= 15):
        yield "type.round", "Expected a whole number from -15 to 15."
    for option in ("min", "max"):
        value = options.get(option)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            yield f"type.{option}", "Expected a number."
    for option in ("displayFormat", "outputFormat"):
        spec = options.get(option)
        if spec is not None and not _is_format(spec):
            yield f"type.{option}", "Expected a preset's name or an object that describes a format."


def _is_format(spec: Any) -> bool:
    if isinstance(spec, str):
        return spec in PRESETS
    if not isinstance(spec, Mapping) or spec.get("output", "number") not in FORMAT_OUTPUTS:
        return False
    return all(spec.get(name) is None or (_is_whole(spec[name]) and -1 <= spec[name] <= 100) for name in _FORMAT_COUNTS)


def _select_problems(name: str, field: Mapping[str, Any], options: Any) -> Iterator[Problem]:
    if name not in ("select", "multi-select"):
        return
    given = field.get("selectOptions")
    if given is None and isinstance(options, Mapping):
        given = options.get("selectOptions")
    if given is None:
        return
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        yield "selectOptions", "Expected a list of options."
        return
    for at, option in enumerate(given):
        if "label" not in option and "value" not in option:
            yield f"selectOptions.{at}", "An option needs a label and a value."
        if not isinstance(option.get("alternateMatches") or [], list):
            yield f"selectOptions.{at}.alternateMatches", "Expected a list of texts."


def _validator_problems(validator: Any) -> Iterator[Problem]:
    if not isinstance(validator, Mapping):
        yield "", "Expected an object."
        return
    name = validator.get("validate")
    if name not in VALIDATOR_NAMES:
        yield ".validate", f'"{str(name)[:40]}" is not a known validator.'
        return
    if validator.get("level", "error") not in (*LEVELS, None):
        yield ".level", f"Expected one of {', '.join(LEVELS)}."
    yield from _VALIDATOR_CHECKS.get(name, _nothing)(validator)


def _nothing(_validator: Mapping[str, Any]) -> Iterator[Problem]:
    yield from ()


def _regex_problems(validator: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(validator.get("regex"), str):
        yield ".regex", "Expected a regular expression."
        return
    if not isinstance(validator.get("regexOptions") or {}, Mapping):
        yield ".regexOptions", "Expected an object."
        return
    try:
        JsRegex(validator["regex"], flags_of(validator))
    except ValueError as error:
        yield ".regex", f"The regular expression does not compile: {error}."


def _length_problems(validator: Mapping[str, Any]) -> Iterator[Problem]:
    bounds = [validator.get("min"), validator.get("max")]
    if bounds == [None, None]:
        yield "", "Expected min, max, or both."
    if not all(bound is None or (_is_whole(bound) and bound >= 0) for bound in bounds):
        yield "", "Expected whole numbers for min and max."


def _unique_with_problems(validator: Mapping[str, Any]) -> Iterator[Problem]:
    if not validator.get("uniqueKey"):
        yield ".uniqueKey", "Expected the key that the fields share."


def _fields_problems(validator: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(validator.get("fields"), list):
        yield ".fields", "Expected a list of field keys."


def _values_problems(validator: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(validator.get("fieldValues"), Mapping):
        yield ".fieldValues", "Expected an object of field keys and values."


_VALIDATOR_CHECKS: dict[str, Callable[[Mapping[str, Any]], Iterator[Problem]]] = {
    "regex_match": _regex_problems,
    "regex_exclude": _regex_problems,
    "length": _length_problems,
    "unique_with": _unique_with_problems,
    "require_with": _fields_problems,
    "require_without": _fields_problems,
    "require_with_all": _fields_problems,
    "require_without_all": _fields_problems,
    "require_with_values": _values_problems,
    "require_without_values": _values_problems,
    "require_with_all_values": _values_problems,
    "require_without_all_values": _values_problems,
}


def _settings_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    for step in ("matchingStep", "uploadStep", "textOverrides"):
        if not isinstance(settings.get(step) or {}, Mapping):
            yield step, "Expected an object."
            return
    row = {**settings, **(settings.get("matchingStep") or {})}.get("headerRowOverride")
    if row is not None and not (_is_whole(row) and row >= 0):
        yield "matchingStep.headerRowOverride", "Expected a row's number, the first being 0."
    for name in ("maxRecords", "maxFileSize"):
        if settings.get(name) is not None and not (_is_whole(settings[name]) and settings[name] >= 0):
            yield name, "Expected a whole number."
    if settings.get("invalidDataBehavior") not in (None, "", *BEHAVIORS):
        yield "invalidDataBehavior", f"Expected one of {', '.join(BEHAVIORS)}."
    delimiter = settings.get("delimiter")
    if delimiter and (not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n'):
        yield "delimiter", "Expected one character other than a quote or a line's end."


def _hook_problems(hooks: Mapping[str, Any]) -> Iterator[Problem]:
    for place, sentence in form_problems(hooks):
        yield place.replace("[", ".").replace("]", ""), f"It {sentence}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
