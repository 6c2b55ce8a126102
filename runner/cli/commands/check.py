"""`bulkhead check`: which files would succeed, need review or fail, said before anything is sent; and its engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from runner.cli.arguments import CheckArguments

if TYPE_CHECKING:
    from runner.check import Engine

LIBRARIES = {
    "python_calamine": ("python-calamine", "workbooks are not read"),
    "openpyxl": ("openpyxl", "very large .xlsx workbooks are not read"),
    "chardet": ("chardet", "encodings other than UTF-8 and Windows-1252 are not recognised"),
    "rapidfuzz": ("rapidfuzz", "headers that are only similar to a field's name are not matched"),
    "phonenumbers": ("phonenumberslite", "phone numbers are not judged"),
    "can_ada": ("can-ada", "URLs are not judged"),
    "babel": ("babel", "locales other than en-US are not known"),
    "quickjs": ("quickjs-ng", "regular expressions are not judged"),
}
"""What the engine may need, by module: the package, and what is not judged rightly without it."""


def check(args: CheckArguments) -> None:
    """Predict which files would succeed, need review, or fail, and why; nothing is sent."""
    from runner.cli.check_command import check_source

    check_source(args, lambda: engine(_hosts(args.hook_hosts)))


def engine(hook_hosts: tuple[str, ...] = ()) -> Engine:
    """Return the sandbox's import engine, whose hooks may fetch from these hosts. Raises ConfigError."""
    from runner.check import Engine
    from runner.errors import ConfigError
    from sandbox.engine import run_import
    from sandbox.engine.messages import TYPE_MESSAGES, VALIDATOR_MESSAGES
    from sandbox.hooks import HookLimits

    try:
        limits = HookLimits(allow_hosts=hook_hosts)
    except ValueError as error:
        raise ConfigError(f"--hook-hosts: {error}") from None
    return Engine(
        run=partial(run_import, hook_limits=limits),
        saved=_saved,
        bind=_bound,
        messages={**TYPE_MESSAGES, **VALIDATOR_MESSAGES},
        missing=tuple(about for module, about in LIBRARIES.items() if find_spec(module) is None),
    )


def _hosts(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _saved(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    from sandbox.problems import ApiProblem
    from sandbox.schemas import checked_schema

    try:
        return checked_schema(raw, schema_id=str(raw.get("id")))
    except ApiProblem as problem:
        body, status = problem.body, problem.status
    raise _refused(body, status)


def _bound(body: Mapping[str, Any], saved: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    from sandbox.creation import parse_create
    from sandbox.problems import ApiProblem

    try:
        return parse_create({**body, "original_filename": "any.csv"}, schemas=saved).schema
    except ApiProblem as problem:
        answer, status = problem.body, problem.status
    raise _refused(answer, status)


def _refused(body: object, status: int) -> Exception:
    import orjson

    from runner.dromo.decoding import message_of
    from runner.errors import RequestInvalid

    return RequestInvalid(message_of(orjson.dumps(body), status=status))
