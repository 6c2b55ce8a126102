"""`bulkhead check`: which files would succeed, need review or fail, said before anything is sent; and its engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli import options
from runner.cli.arguments import Arguments, Selection

if TYPE_CHECKING:
    from runner.check import Engine

CHECKING = "The check itself"
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

_Schemas = Annotated[
    Path | None,
    typer.Option(
        "--schemas",
        metavar="DIR",
        help="Take saved schemas from the JSON files in this directory instead of the vendor.",
        rich_help_panel=options.SCHEMA,
    ),
]
_Jobs = Annotated[
    int | None,
    typer.Option("--jobs", metavar="N", min=1, max=256, help="Use this many processes; by default one a core.",
                 rich_help_panel=CHECKING),
]  # fmt: skip
_FileTimeout = Annotated[
    str | None,
    typer.Option("--file-timeout", metavar="DURATION", help="Give one file at most this time, by default 5m.",
                 rich_help_panel=CHECKING),
]  # fmt: skip
_HookHosts = Annotated[
    str | None,
    typer.Option("--hook-hosts", metavar="HOST,...", help="Let hooks fetch from these hosts; by default from none.",
                 rich_help_panel=CHECKING),
]  # fmt: skip
_Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE.html", help="Write a page that a person can read, too.",
                 rich_help_panel=options.OUTPUT),
]  # fmt: skip
_NoSamples = Annotated[
    bool,
    typer.Option("--no-samples", help="Show the text of no cell, neither here nor in the report.",
                 rich_help_panel=options.OUTPUT),
]  # fmt: skip


def check(
    source: options.Source = None,
    *,
    files_from: options.FilesFrom = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    min_age: options.MinAge = None,
    order_by: options.OrderBy = None,
    again: options.Again = False,
    fail_if_empty: options.FailIfEmpty = False,
    schema_id: options.SchemaId = None,
    fields: options.Fields = None,
    settings: options.SettingsFile = None,
    hooks: options.Hooks = None,
    schemas: _Schemas = None,
    no_filename_tag: options.NoFilenameTag = False,
    jobs: _Jobs = None,
    file_timeout: _FileTimeout = None,
    hook_hosts: _HookHosts = None,
    create_quota: options.CreateQuota = None,
    config: options.Config = None,
    out: options.Out = None,
    ledger: options.Ledger = None,
    api_url: options.ApiUrl = None,
    report: _Report = None,
    no_samples: _NoSamples = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Predict which files would succeed, need review or fail, and why; nothing is sent."""
    from runner.cli.checking import CheckArguments, check_source

    flags = {
        "include": include,
        "exclude": exclude,
        "min_age": min_age,
        "order_by": order_by,
        "schema_id": schema_id,
        "fields_file": fields,
        "settings_file": settings,
        "hooks_file": hooks,
        "filename_tag": False if no_filename_tag else None,
        "create_quota": create_quota,
        "out": out,
        "ledger": ledger,
        "api_url": api_url,
    }
    given = Arguments(flags=flags, config=config, json=json, quiet=quiet, verbose=verbose)
    selection = Selection(source=source, files_from=files_from, again=again, fail_if_empty=fail_if_empty)
    asked = CheckArguments(
        selection=selection,
        schemas=schemas,
        jobs=jobs,
        file_timeout=file_timeout,
        report=report,
        samples=not no_samples,
    )
    check_source(given, asked, lambda: engine(_hosts(hook_hosts)))


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
