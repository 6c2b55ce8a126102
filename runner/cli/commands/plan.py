"""The commands that say what a run would do and change nothing: `plan` and `explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli import options
from runner.cli.arguments import Arguments, Selection

if TYPE_CHECKING:
    from runner.bulkhead import Bulkhead
    from runner.config.settings import LoadedSettings
    from runner.local.plan import Explanation


def plan(
    source: options.Source = None,
    *,
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
    from runner.cli.json_output import plan_document
    from runner.cli.query import look
    from runner.cli.tables import print_plan

    flags = {
        "include": include,
        "exclude": exclude,
        "min_age": min_age,
        "schema_id": schema_id,
        "fields_file": fields,
        "settings_file": settings,
        "hooks_file": hooks,
        "create_quota": create_quota,
        "out": out,
        "ledger": ledger,
        "api_url": api_url,
    }
    selection = Selection(source=source, files_from=files_from, again=again)
    given = Arguments(flags=flags, config=config, json=json, verbose=verbose)
    look(
        given,
        lambda bulkhead, loaded: bulkhead.plan(selection.spec(loaded)),
        show=print_plan,
        document=plan_document,
    )


def explain(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file or object to explain.")],
    *,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="DIR|S3-URL",
            help="Take it as a file of this directory or prefix; without it, Bulkhead guesses which one would be run.",
            rich_help_panel=options.FILES,
        ),
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
    from runner.cli.json_output import explanation_document
    from runner.cli.query import look, root_of
    from runner.cli.tables import print_explanation

    async def explained(bulkhead: Bulkhead, loaded: LoadedSettings) -> Explanation:
        root = source or await root_of(bulkhead, loaded, file)
        return await bulkhead.explain(Selection(source=root, again=again).spec(loaded), file)

    flags = {
        "include": include,
        "exclude": exclude,
        "min_age": min_age,
        "schema_id": schema_id,
        "fields_file": fields,
        "settings_file": settings,
        "hooks_file": hooks,
        "ledger": ledger,
        "api_url": api_url,
    }
    given = Arguments(flags=flags, config=config, json=json, verbose=verbose)
    look(given, explained, show=print_explanation, document=explanation_document)
