"""The options of all commands: names, one sentence each, and the panel they stand under in a help page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

FILES = "Which files"
SCHEMA = "Which schema"
PACE = "Pace and limits"
PLACES = "Account and places"
OUTPUT = "Output"

Source = Annotated[
    str | None,
    typer.Argument(metavar="SOURCE", help="A directory, a file or an s3:// prefix to import.", show_default=False),
]
BatchId = Annotated[
    str | None, typer.Argument(metavar="BATCH", help="The batch's id; the newest one is meant where it is absent.")
]

FilesFrom = Annotated[
    str | None,
    typer.Option(
        "--files-from",
        metavar="LIST",
        help="Import the files named in LIST, one a line; - reads stdin.",
        rich_help_panel=FILES,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include", metavar="GLOB", help="Take only files that match; may be repeated.", rich_help_panel=FILES
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Leave out files that match, even if included; may be repeated.",
        rich_help_panel=FILES,
    ),
]
MinAge = Annotated[
    str | None,
    typer.Option(
        "--min-age",
        metavar="DURATION",
        help="Leave files changed within this time to the next run.",
        rich_help_panel=FILES,
    ),
]
OrderBy = Annotated[
    str | None,
    typer.Option("--order-by", metavar="name|size|mtime", help="Send files in this order.", rich_help_panel=FILES),
]
Again = Annotated[
    bool,
    typer.Option(
        "--again", help="Import files again that are unchanged since an earlier batch.", rich_help_panel=FILES
    ),
]
FailIfEmpty = Annotated[
    bool,
    typer.Option("--fail-if-empty", help="End with exit code 9 where there is nothing to do.", rich_help_panel=FILES),
]
State = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="failed|rejected|uncertain",
        help="Take the items in this state, failed by default; may be repeated.",
        rich_help_panel=FILES,
    ),
]
Match = Annotated[
    str | None,
    typer.Option("--match", metavar="GLOB", help="Take only items whose name matches.", rich_help_panel=FILES),
]

SchemaId = Annotated[
    str | None,
    typer.Option("--schema-id", metavar="ID", help="Import everything with this saved schema.", rich_help_panel=SCHEMA),
]
Fields = Annotated[
    Path | None,
    typer.Option(
        "--fields", metavar="FILE", help="Import everything with the fields in this JSON file.", rich_help_panel=SCHEMA
    ),
]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="Lay the settings in this JSON file over the schema's.",
        rich_help_panel=SCHEMA,
    ),
]
Hooks = Annotated[
    Path | None,
    typer.Option(
        "--hooks", metavar="FILE", help="Lay the hooks in this JSON file over the schema's.", rich_help_panel=SCHEMA
    ),
]
NoFilenameTag = Annotated[
    bool,
    typer.Option(
        "--no-filename-tag",
        help="Send names without the tag by which a lost answer is recognised.",
        rich_help_panel=SCHEMA,
    ),
]

Uploads = Annotated[
    int | None, typer.Option("--uploads", metavar="N", help="Upload this many files at once.", rich_help_panel=PACE)
]
CreateQuota = Annotated[
    str | None,
    typer.Option(
        "--create-quota", metavar="N/TIME", help="The account's creates in a time, as 20/60s.", rich_help_panel=PACE
    ),
]
PollQuota = Annotated[
    str | None,
    typer.Option(
        "--poll-quota",
        metavar="N/TIME",
        help="The account's polls of one import in a time, as 12/60s.",
        rich_help_panel=PACE,
    ),
]
MaxDuration = Annotated[
    str | None,
    typer.Option(
        "--max-duration", metavar="DURATION", help="Pause after this time, to be resumed later.", rich_help_panel=PACE
    ),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        "--max-failures",
        metavar="N|P%",
        help="Pause after so many failed items, or this share of those that ended.",
        rich_help_panel=PACE,
    ),
]
Bwlimit = Annotated[
    str | None,
    typer.Option(
        "--bwlimit",
        metavar="RATE",
        help="Transfer no faster than this in bytes a second, as 2MB.",
        rich_help_panel=PACE,
    ),
]

Check = Annotated[
    Literal["skip", "warn"] | None,
    typer.Option(
        "--check",
        metavar="[=skip|warn]",
        show_choices=False,
        help="Refuse files that the check says would fail; with =warn say so and send them.",
        rich_help_panel=PACE,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Read this file instead of bulkhead.toml in the directory.",
        rich_help_panel=PLACES,
    ),
]
Out = Annotated[
    str | None,
    typer.Option("--out", metavar="DIR|S3-URL", help="Write results and manifest here.", rich_help_panel=PLACES),
]
Ledger = Annotated[
    str | None,
    typer.Option("--ledger", metavar="PATH|URL", help="Keep the account of every item here.", rich_help_panel=PLACES),
]
ApiUrl = Annotated[
    str | None,
    typer.Option("--api-url", metavar="URL", help="Talk to the API at this address.", rich_help_panel=PLACES),
]
Stack = Annotated[
    str | None,
    typer.Option(
        "--stack", metavar="NAME", help="Ask this CloudFormation stack, `bulkhead` by default.", rich_help_panel=PLACES
    ),
]
Region = Annotated[
    str | None, typer.Option("--region", metavar="REGION", help="Ask this AWS region.", rich_help_panel=PLACES)
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url",
        metavar="URL",
        help="Ask AWS, or what stands in for it, at this address.",
        rich_help_panel=PLACES,
    ),
]
Sandbox = Annotated[
    bool,
    typer.Option(
        "--sandbox", help="Try it against a local stand-in of the vendor; nothing is sent.", rich_help_panel=PLACES
    ),
]
SandboxSchemas = Annotated[
    Path | None,
    typer.Option(
        "--sandbox-schemas",
        metavar="DIR",
        help="Give the sandbox the saved schemas in this directory.",
        rich_help_panel=PLACES,
    ),
]

Form = Annotated[
    Literal["jsonl", "csv"],
    typer.Option("--format", metavar="jsonl|csv", help="Write it as JSON lines or as CSV.", rich_help_panel=OUTPUT),
]
Json = Annotated[
    bool, typer.Option("--json", help="Write JSON to stdout, and nothing else there.", rich_help_panel=OUTPUT)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.", rich_help_panel=OUTPUT)]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        envvar="BULKHEAD_DEBUG",
        show_envvar=False,
        help="Show the log of each step, and the details of errors; BULKHEAD_DEBUG=1 does the same.",
        rich_help_panel=OUTPUT,
    ),
]
