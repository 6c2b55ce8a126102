"""What a schema may contain: the shapes of its fields, settings, and hooks, checked when it is saved or sent."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from sandbox.engine import schema_problems
from sandbox.engine.refusals import refusals
from sandbox.engine.schema import BEHAVIORS
from sandbox.engine.types import TYPE_NAMES
from sandbox.engine.validators import VALIDATOR_NAMES
from sandbox.hooks.sources import STEPS
from sandbox.problems import ApiProblem

BACKEND_SYNC_MODES = ("DISABLED", "FULL_DATA", "MAPPINGS_ONLY")
PROBLEMS_SHOWN = 50

Path = tuple[str | int, ...]
Problem = tuple[Path, str]
Shape = Callable[[Any], str | None]
"""Returns a sentence that says what is wrong with a value, or None."""


def check_definition(given: Mapping[str, Any], *, is_saved: bool = False) -> None:
    """Check those of `fields`, `settings`, and `hooks` that are present.

    A definition that `is_saved` already may have what is refused only when a definition is sent (`refusals`). Raises
    ApiProblem 400; its body nests each sentence under its path, as Django REST framework does.
    """
    problems: list[Problem] = []
    if "fields" in given:
        problems += field_problems(given["fields"])
    if "settings" in given:
        problems += _keyed(given["settings"], SETTINGS, at=("settings",))
    if "hooks" in given:
        problems += hook_problems(given["hooks"])
    present = without_nulls(given)
    problems = problems or _at_their_places(schema_problems(present))
    if not problems and not is_saved:
        problems = _at_their_places(refusals(present))
    if problems:
        raise ApiProblem(400, problem_body(problems[:PROBLEMS_SHOWN]))


def problem_body(problems: Iterable[Problem]) -> dict[str, Any]:
    """Nest sentences by their paths; a list's entry without a problem is an empty object."""
    tree: dict[Any, Any] = {}
    for path, sentence in problems:
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node.setdefault(None, []).append(sentence)
    rendered = _rendered(tree)
    return rendered if isinstance(rendered, dict) else {"non_field_errors": rendered}


def field_problems(fields: object) -> list[Problem]:
    """Return the problems of a list of field definitions; null counts as absent."""
    if not isinstance(fields, list) or not fields:
        return [(("fields",), "Expected a non-empty list of fields.")]
    problems: list[Problem] = []
    seen: set[str] = set()
    for index, field in enumerate(fields):
        at: Path = ("fields", index)
        problems += _keyed(field, FIELD, at=at)
        key = field.get("key") if isinstance(field, dict) else ""
        if key is None:
            problems.append(((*at, "key"), "This field is required."))
        elif isinstance(key, str) and key and key in seen:
            problems.append(((*at, "key"), f'The key "{key}" occurs more than once.'))
        elif isinstance(key, str):
            seen.add(key)
    return problems


def hook_problems(hooks: object) -> list[Problem]:
    problems = _keyed(hooks, HOOKS, at=("hooks",))
    if problems or not isinstance(hooks, dict):
        return problems
    for index, hook in enumerate(hooks.get("columnHooks") or ()):
        at: Path = ("hooks", "columnHooks", index)
        problems += _keyed(hook, COLUMN_HOOK, at=at)
        if isinstance(hook, dict) and not (hook.get("fieldName") or hook.get("fieldKey")):
            problems.append(((*at, "fieldName"), "This field is required."))
        problems += _missing(hook, "callback", at=at)
    for index, hook in enumerate(hooks.get("stepHooks") or ()):
        at = ("hooks", "stepHooks", index)
        problems += _keyed(hook, STEP_HOOK, at=at)
        problems += _missing(hook, "type", at=at) + _missing(hook, "callback", at=at)
    return problems


def without_nulls(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def web_address(value: object) -> str | None:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        good = parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    return None if good else "Enter a valid URL."


def place_parts(place: str) -> Path:
    """Return the parts of a place such as `fields.3.validators.0.regex` or `rowHooks[0]`."""
    parts = place.replace("[", ".").replace("]", "").split(".")
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _at_their_places(problems: Iterable[tuple[str, str]]) -> list[Problem]:
    return [(place_parts(place), sentence) for place, sentence in problems]


def _rendered(node: Mapping[Any, Any]) -> Any:
    messages = node.get(None, [])
    children = {part: _rendered(child) for part, child in node.items() if part is not None}
    if not children:
        return messages
    if messages:
        return {"non_field_errors": messages} | {str(part): child for part, child in children.items()}
    if all(isinstance(part, int) for part in children):
        return [children.get(index, {}) for index in range(max(children) + 1)]
    return {str(part): child for part, child in children.items()}


def _keyed(given: object, shapes: Mapping[str, Shape], *, at: Path) -> list[Problem]:
    """Return the problems of an object's known keys; unknown keys are accepted."""
    if not isinstance(given, dict):
        return [(at, "Expected an object.")]
    checked = ((key, shapes[key](value)) for key, value in given.items() if key in shapes and value is not None)
    return [((*at, key), sentence) for key, sentence in checked if sentence]


def _missing(given: object, key: str, *, at: Path) -> list[Problem]:
    absent = isinstance(given, dict) and given.get(key) is None
    return [((*at, key), "This field is required.")] if absent else []


def _text(value: object) -> str | None:
    return None if isinstance(value, str) else "Not a valid string."


def _filled(value: object) -> str | None:
    return _text(value) or (None if value else "This field may not be blank.")


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "Must be a valid boolean."


def _count(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return "A valid integer is required."
    return None if value >= 0 else "Ensure this value is greater than or equal to 0."


def _object(value: object) -> str | None:
    return None if isinstance(value, dict) else "Expected an object."


def _list(value: object) -> str | None:
    return None if isinstance(value, list) else "Expected a list of items."


def _texts(value: object) -> str | None:
    good = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if good else "Expected a list of strings."


def _one_of(*choices: str) -> Shape:
    return lambda value: None if value in choices else f'"{value}" is not a valid choice.'


def _type(value: object) -> str | None:
    name, options = value, None
    if isinstance(value, list):
        if not 1 <= len(value) <= 2:
            return "Expected a type's name, or a list of its name and its options."
        name, options = value[0], value[1] if len(value) == 2 else None
    if not isinstance(name, str) or name not in TYPE_NAMES:
        return f'"{name}" is not a valid choice.'
    return None if options is None or isinstance(options, dict | str) else "A type's options are an object."


def _validators(value: object) -> str | None:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return "Expected a list of objects."
    names = (item.get("validate") for item in value)
    unknown = [name for name in names if not isinstance(name, str) or name not in VALIDATOR_NAMES]
    return f'"{unknown[0]}" is not a valid choice.' if unknown else None


def _options(value: object) -> str | None:
    good = isinstance(value, list) and all(isinstance(item, dict) and "value" in item for item in value)
    return None if good else "Expected a list of options, each with a value."


FIELD: Mapping[str, Shape] = {
    "key": _filled,
    "type": _type,
    "label": _text,
    "description": _text,
    "alternateMatches": _texts,
    "validators": _validators,
    "invalidValueMessage": _text,
    "readOnly": _flag,
    "hidden": _flag,
    "requireMapping": _flag,
    "manyToOne": _flag,
    "selectOptions": _options,
}
SETTINGS: Mapping[str, Shape] = {
    "importIdentifier": _text,
    "title": _text,
    "allowInvalidSubmit": _flag,
    "allowEmptySubmit": _flag,
    "invalidDataBehavior": _one_of(*BEHAVIORS),
    "backendSync": _flag,
    "backendSyncMode": _one_of(*BACKEND_SYNC_MODES),
    "manualInputDisabled": _flag,
    "manualInputOnly": _flag,
    "allowCustomFields": _flag,
    "passThroughUnmappedColumns": _flag,
    "maxRecords": _count,
    "maxFileSize": _count,
    "developmentMode": _flag,
    "displayEncoding": _flag,
    "delimiter": _filled,
    "sheetOverride": _text,
    "headerRowOverride": _count,
    "autoMapHeaders": _flag,
    "styleOverrides": _object,
    "textOverrides": _object,
    "uploadStep": _object,
    "matchingStep": _object,
    "reviewStep": _object,
    "webhookUrl": web_address,
    "needsReviewWebhookUrl": web_address,
    "initialData": _list,
}
HOOKS: Mapping[str, Shape] = {
    "columnHooks": _list,
    "rowHooks": _texts,
    "bulkRowHooks": _texts,
    "rowDeleteHooks": _texts,
    "stepHooks": _list,
    "beforeFinishCallback": _text,
}
COLUMN_HOOK: Mapping[str, Shape] = {"fieldName": _filled, "fieldKey": _filled, "callback": _filled}
STEP_HOOK: Mapping[str, Shape] = {"type": _one_of(*STEPS), "callback": _filled}
