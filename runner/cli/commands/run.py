"""The commands that move items: `run`, `resume` and `track`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from runner.cli import options
from runner.cli.arguments import Arguments, Selection


def run(
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
    no_filename_tag: options.NoFilenameTag = False,
    uploads: options.Uploads = None,
    create_quota: options.CreateQuota = None,
    poll_quota: options.PollQuota = None,
    max_duration: options.MaxDuration = None,
    max_failures: options.MaxFailures = None,
    bwlimit: options.Bwlimit = None,
    check: options.Check = None,
    config: options.Config = None,
    out: options.Out = None,
    ledger: options.Ledger = None,
    api_url: options.ApiUrl = None,
    sandbox: options.Sandbox = False,
    sandbox_schemas: options.SandboxSchemas = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Import every file of a source, or go on with its unfinished batch."""
    from runner.cli.run_command import drive

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
        "uploads": uploads,
        "create_quota": create_quota,
        "poll_quota": poll_quota,
        "max_duration": max_duration,
        "max_failures": max_failures,
        "bwlimit": bwlimit,
        "out": out,
        "ledger": ledger,
        "api_url": api_url,
    }
    given = Arguments(flags=flags, config=config, json=json, quiet=quiet, verbose=verbose)
    given = replace(given, sandbox=sandbox, sandbox_schemas=sandbox_schemas)
    selection = Selection(source=source, files_from=files_from, again=again, fail_if_empty=fail_if_empty, check=check)
    drive(given, lambda bulkhead, loaded: bulkhead.run(selection.spec(loaded)))


Wait = Annotated[
    bool,
    typer.Option("--wait", help="If another run works on the batch, wait until it ends.", rich_help_panel=options.PACE),
]


def resume(
    batch: options.BatchId = None,
    *,
    wait: Wait = False,
    uploads: options.Uploads = None,
    create_quota: options.CreateQuota = None,
    poll_quota: options.PollQuota = None,
    max_duration: options.MaxDuration = None,
    max_failures: options.MaxFailures = None,
    bwlimit: options.Bwlimit = None,
    config: options.Config = None,
    ledger: options.Ledger = None,
    api_url: options.ApiUrl = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Go on with a batch that was interrupted, paused or redriven."""
    from runner.cli.run_command import drive

    flags = {
        "uploads": uploads,
        "create_quota": create_quota,
        "poll_quota": poll_quota,
        "max_duration": max_duration,
        "max_failures": max_failures,
        "bwlimit": bwlimit,
        "ledger": ledger,
        "api_url": api_url,
    }
    given = Arguments(flags=flags, config=config, json=json, quiet=quiet, verbose=verbose)
    drive(given, lambda bulkhead, _: bulkhead.resume(batch, wait=wait))


Watch = Annotated[
    bool, typer.Option("--watch", help="Stay until every review is finished.", rich_help_panel=options.PACE)
]


def track(
    batch: options.BatchId = None,
    *,
    watch: Watch = False,
    config: options.Config = None,
    ledger: options.Ledger = None,
    api_url: options.ApiUrl = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Collect the reviews that people have finished, and write the manifest anew."""
    from runner.cli.run_command import drive

    flags = {"ledger": ledger, "api_url": api_url}
    given = Arguments(flags=flags, config=config, json=json, quiet=quiet, verbose=verbose)
    drive(given, lambda bulkhead, _: bulkhead.track(batch, watch=watch))
