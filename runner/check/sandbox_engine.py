"""The sandbox's import engine, as the check uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import orjson

from runner.check.engine import Engine
from runner.dromo.decoding import message_of
from runner.errors import ConfigError, RequestInvalid
from sandbox.creation import parse_create
from sandbox.engine import run_import
from sandbox.engine.messages import TYPE_MESSAGES, VALIDATOR_MESSAGES
from sandbox.hook_check import HookCheck
from sandbox.hooks import HookLimits
from sandbox.problems import ApiProblem
from sandbox.schemas import checked_schema

LIBRARIES = {
    "python_calamine": ("python-calamine", "workbooks are not read"),
    "openpyxl": ("openpyxl", "very large .xlsx workbooks are not read"),
    "chardet": ("chardet", "encodings other than UTF-8 are recognized less well"),
    "rapidfuzz": ("rapidfuzz", "headers that are only similar to a field's name are not matched"),
    "phonenumbers": ("phonenumberslite", "phone numbers are not validated"),
    "can_ada": ("can-ada", "URLs are not validated"),
    "babel": ("babel", "locales other than en-US are not known"),
    "quickjs": ("quickjs-ng", "regular expressions are not validated"),
}
"""The optional libraries of the engine, by module: (package, what the engine does not do without it)."""


def sandbox_engine(hook_hosts: Sequence[str] = ()) -> Engine:
    """Return the sandbox's import engine. Its hooks may fetch only from `hook_hosts`.

    Raises ConfigError for a host that is not written as a host name.
    """
    try:
        limits = HookLimits(allow_hosts=tuple(hook_hosts))
    except ValueError as error:
        raise ConfigError(f"hook hosts: {error}", hint="separate host names by commas in --hook-hosts") from None
    return Engine(
        run=partial(run_import, hook_limits=limits),
        saved=_saved,
        bind=_bound,
        messages={**TYPE_MESSAGES, **VALIDATOR_MESSAGES},
        missing=tuple(about for module, about in LIBRARIES.items() if find_spec(module) is None),
    )


def _saved(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return checked_schema(raw, schema_id=str(raw.get("id")), is_saved=True)
    except ApiProblem as problem:
        raise _refused(problem) from None


def _bound(body: Mapping[str, Any], saved: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    try:
        HookCheck().check(body)
        return parse_create({**body, "original_filename": "any.csv"}, schemas=saved).schema
    except ApiProblem as problem:
        raise _refused(problem) from None


def _refused(problem: ApiProblem) -> RequestInvalid:
    return RequestInvalid(message_of(orjson.dumps(problem.body), status=problem.status))
