"""The commands that say what a run would do and change nothing: `plan` and `explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runner.cli import options
from runner.cli.given import Given, Selection


def plan(
    source: options.Source = None,
    files_from: options.FilesFrom = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    min_age: options.MinAge = None,
    again: options.Again = False,
    schema_id: options.SchemaId = None,
    fields: options.Fields = None,
    settings: options.SettingsFile = None,
    hooks: options.Hooks = None,
    create_quota: options.CreateQuota = None,
    config: options.Config = None,
    out: options.Out = None,
    ledger: options.Ledger = None,
    api_url: options.ApiUrl = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Say what `run` would do: files by route, rejected ones with reasons, creates, and the time they take."""
    from runner.cli.looking import look, show

    flags = {"min_age": min_age, "create_quota": create_quota, "ledger": ledger, "api_url": api_url}
    selection = Selection(
        source=source,
        files_from=files_from,
        include=include,
        exclude=exclude,
        schema_id=schema_id,
        fields=fields,
        settings=settings,
        hooks=hooks,
        out=out,
        again=again,
    )
    given = Given(flags=flags, config=config, json=json, verbose=verbose)
    found, loaded = look(given, lambda bulkhead, loaded: bulkhead.plan(selection.spec(loaded)))

    from runner.cli.tables import print_plan

    show(given, found, lambda console: print_plan(console, found, quota=loaded.shown("create_quota")))


def explain(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file, as a path or as its name within SOURCE.")],
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="DIR", help="The directory that would be run.", rich_help_panel=options.FILES),
    ] = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    min_age: options.MinAge = None,
    again: options.Again = False,
    schema_id: options.SchemaId = None,
    fields: options.Fields = None,
    settings: options.SettingsFile = None,
    hooks: options.Hooks = None,
    config: options.Config = None,
    ledger: options.Ledger = None,
    api_url: options.ApiUrl = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Say which route a file gets and why, and whether it would be sent, skipped or rejected."""
    from runner.cli.looking import look, show

    flags = {"min_age": min_age, "ledger": ledger, "api_url": api_url}
    selection = Selection(
        source=source or str(Path(file).parent),
        include=include,
        exclude=exclude,
        schema_id=schema_id,
        fields=fields,
        settings=settings,
        hooks=hooks,
        again=again,
    )
    given = Given(flags=flags, config=config, json=json, verbose=verbose)
    found, _ = look(given, lambda bulkhead, loaded: bulkhead.explain(selection.spec(loaded), file))

    from runner.cli.tables import print_explanation

    show(given, found, lambda console: print_explanation(console, found))
