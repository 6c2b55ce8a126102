"""What to write instead of a value that a setting cannot have: the error of pydantic as a sentence for the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_OWN = "Value error, "
_NOT_EMPTY = "write a text that is not empty"
_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda limits: f"write a value of at least {limits['ge']:g}",
    "greater_than": lambda limits: f"write a value greater than {limits['gt']:g}",
    "less_than_equal": lambda limits: f"write a value of at most {limits['le']:g}",
    "literal_error": lambda limits: f"write {limits['expected']}",
    "string_type": lambda _: "write a text in quotes",
    "string_too_short": lambda _: _NOT_EMPTY,
    "string_pattern_mismatch": lambda _: _NOT_EMPTY,
}
_SENTENCES_OF_KINDS = {"int": "write a whole number", "bool": "write true or false", "tuple": "write a list of texts"}


def what_to_write(name: str, error: ErrorDetails) -> str:
    """Return what a setting takes, in lower case and without a full stop."""
    if error["msg"].startswith(_OWN):
        reason = error["msg"].removeprefix(_OWN)
        return f"{reason[:1].lower()}{reason[1:]}"
    if name == "routes":
        return "write [[routes]] with two brackets, once for each route"
    if len(error["loc"]) > 1 and isinstance(error["loc"][1], int):
        return _SENTENCES_OF_KINDS["tuple"]
    if sentence := _SENTENCES.get(error["type"]):
        return sentence(error.get("ctx", {}))
    kind = error["type"].partition("_")[0]
    return _SENTENCES_OF_KINDS.get(kind) or f"{error['msg'][:1].lower()}{error['msg'][1:]}"
