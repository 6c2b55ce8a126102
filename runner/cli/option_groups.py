"""Groups of options, each option declared once, which the commands combine in `arguments`.

This module doesn't use `from __future__ import annotations`: its annotations are read when it is imported.
"""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from runner.cli.options import Argument, Arguments, Option, Panel
from runner.dromo.proxy import masked

if TYPE_CHECKING:
    from runner.config.run_spec import RunSpec
    from runner.config.settings import LoadedSettings
    from runner.models import ItemState

CreateQuota = Annotated[
    str | None,
    Option(
        "--create-quota",
        "N/TIME",
        "The account's limit on creates.",
        Panel.PACE,
        setting="create_quota",
        default="20/60s",
    ),
]


class Source(Arguments):
    """A source, by name or by a list of files."""

    source: Annotated[str | None, Argument("SOURCE", "A directory, a file, or an s3:// prefix to import.")] = None
    files_from: Annotated[
        str | None,
        Option(
            "--files-from",
            "LIST",
            "Import the files or s3:// URLs listed in LIST, one per line; - reads stdin.",
            Panel.FILES,
        ),
    ] = None


class Selection(Arguments):
    """Which files of a source to take, and what to do with them."""

    source: str | None = None
    files_from: str | None = None
    again: bool = False
    retry_failed: bool = False
    fail_if_empty: bool = False
    check: Literal["skip", "warn"] | None = None
    pack: str | None = None
    ignore_pack: list[str] | None = None
    log_file: Path | None = None
    include: Annotated[
        list[str] | None,
        Option("--include", "GLOB", "Take only files that match; can be repeated.", Panel.FILES, setting="include"),
    ] = None
    exclude: Annotated[
        list[str] | None,
        Option(
            "--exclude",
            "GLOB",
            "Leave out files that match, even if --include matches them; can be repeated.",
            Panel.FILES,
            setting="exclude",
        ),
    ] = None
    min_age: Annotated[
        str | None,
        Option(
            "--min-age",
            "DURATION",
            "Leave files that changed within this time for the next run.",
            Panel.FILES,
            setting="min_age",
            default="0s",
        ),
    ] = None

    def spec(self, loaded: "LoadedSettings", *, source: str | None = None) -> "RunSpec":
        """Return what to run; `source` replaces the argument. Raises ConfigError, SourceNotFound."""
        from runner.config.routes import Routes
        from runner.config.run_spec import RunSpec
        from runner.config.units import pack_option, pack_tags
        from runner.sources import source_spec

        settings = loaded.settings
        source_of = source_spec(
            source or self.source,
            files_from=self.files_from,
            stdin=sys.stdin.buffer,
            keep_lists_in=settings.own_directory / "lists",
            permissions=settings.ledger_mode,
            include=settings.include,
            exclude=settings.exclude,
            leave_out=_own_files(loaded, self.log_file),
            min_age_s=settings.min_age,
            order_by=settings.order_by,
        )
        out = str(settings.out) if settings.out else None
        return RunSpec(
            source=source_of,
            routes=Routes.of(loaded),
            out=out,
            again=self.again,
            retry_failed=self.retry_failed,
            fail_if_empty=self.fail_if_empty,
            check=self.check,
            pack=pack_option(self.pack),
            ignored_packs=pack_tags(self.ignore_pack or ()),
        )


def _own_files(loaded: "LoadedSettings", log_file: Path | None) -> Sequence[str | Path]:
    """Return what is never imported, even if it is in the source: results, ledger, schema files."""
    from runner.ledger.location import files_of

    settings = loaded.settings
    named = (
        settings.out,
        settings.fields_file,
        settings.settings_file,
        settings.hooks_file,
        loaded.config_file,
        log_file,
    )
    return [*files_of(settings.ledger), *(path for path in named if path is not None)]


class OrderBy(Arguments):
    """The order of files."""

    order_by: Annotated[
        str | None,
        Option(
            "--order-by",
            "name|size|mtime",
            "Take files in this order.",
            Panel.FILES,
            setting="order_by",
            default="name",
        ),
    ] = None


class Again(Arguments):
    """Which unchanged files to import, too."""

    again: Annotated[
        bool, Option("--again", None, "Also import unchanged files that an earlier batch collected.", Panel.FILES)
    ] = False
    retry_failed: Annotated[
        bool,
        Option(
            "--retry-failed",
            None,
            "Also import unchanged files whose import failed in an earlier batch.",
            Panel.FILES,
        ),
    ] = False


class JsonIsNew(Arguments):
    """What a person says about JSON."""

    json_is_new: Annotated[
        bool,
        Option(
            "--json-is-new",
            None,
            "Import JSON files although a ledger that was lost may have sent them; the ledger keeps this answer.",
            Panel.FILES,
            setting="json_is_new",
        ),
    ] = False


class FailIfEmpty(Arguments):
    """The exit code if there is nothing to do."""

    fail_if_empty: Annotated[
        bool, Option("--fail-if-empty", None, "Exit with code 9 if there is nothing to do.", Panel.FILES)
    ] = False


class AllOfSource(Source, Selection, OrderBy, Again, FailIfEmpty):
    """Everything about a source and its files."""


class SchemaId(Arguments):
    """One saved schema for everything."""

    schema_id: Annotated[
        str | None,
        Option("--schema-id", "ID", "Use this saved schema for every file.", Panel.SCHEMA, setting="schema_id"),
    ] = None


class Schema(SchemaId):
    """One schema for everything, and what to change in it."""

    fields: Annotated[
        Path | None,
        Option(
            "--fields",
            "FILE",
            "Use the fields in this JSON file for every file.",
            Panel.SCHEMA,
            setting="fields_file",
        ),
    ] = None
    settings: Annotated[
        Path | None,
        Option(
            "--settings",
            "FILE",
            "Override the schema's settings with those in this JSON file.",
            Panel.SCHEMA,
            setting="settings_file",
        ),
    ] = None
    hooks: Annotated[
        Path | None,
        Option(
            "--hooks",
            "FILE",
            "Override the schema's hooks with those in this JSON file.",
            Panel.SCHEMA,
            setting="hooks_file",
        ),
    ] = None


class Encoding(Arguments):
    """How text files are read."""

    encoding: Annotated[
        str | None,
        Option(
            "--encoding",
            "NAME",
            "Read text files in this encoding, such as cp1250, and send them as UTF-8.",
            Panel.FILES,
            setting="encoding",
        ),
    ] = None


class Pack(Arguments):
    """Whether small files travel together."""

    pack: Annotated[
        str | None,
        Option(
            "--pack",
            "auto|off|N",
            "Send small files of one schema together, up to N in one import, and split the result.",
            Panel.PACE,
            default="off",
        ),
    ] = None


class FilenameTag(Arguments):
    """Whether names carry the tag."""

    no_filename_tag: Annotated[
        bool,
        Option(
            "--no-filename-tag",
            None,
            "Send names without the tag by which an import is found after a lost response.",
            Panel.SCHEMA,
            setting="filename_tag",
            negates=True,
        ),
    ] = False


class PlanQuota(Arguments):
    """The quota that an estimate assumes."""

    create_quota: CreateQuota = None


class Patience(Arguments):
    """How long to wait for a vendor that does not answer."""

    give_up_after: Annotated[
        str | None,
        Option(
            "--give-up-after",
            "DURATION",
            "Stop when the vendor has not answered for this time, or for eight times as long if it has answered"
            " this run; 0 never stops.",
            Panel.PACE,
            setting="give_up_after",
            default="15m",
        ),
    ] = None


class Pace(Patience):
    """How fast to go, and when to pause."""

    uploads: Annotated[
        str | None,
        Option("--uploads", "N", "Upload this many files at once.", Panel.PACE, setting="uploads", default="8"),
    ] = None
    create_quota: CreateQuota = None
    poll_quota: Annotated[
        str | None,
        Option(
            "--poll-quota",
            "N/TIME",
            "The account's limit on polls of one import.",
            Panel.PACE,
            setting="poll_quota",
            default="12/60s",
        ),
    ] = None
    max_duration: Annotated[
        str | None,
        Option(
            "--max-duration",
            "DURATION",
            "Pause after this time; `resume` continues.",
            Panel.PACE,
            setting="max_duration",
        ),
    ] = None
    max_failures: Annotated[
        str | None,
        Option(
            "--max-failures",
            "N|P%",
            "Pause when this many items, or this share of the finished items, have failed.",
            Panel.PACE,
            setting="max_failures",
        ),
    ] = None
    max_rows_lost: Annotated[
        str | None,
        Option(
            "--max-rows-lost",
            "N|P%",
            "Pause when the vendor has left out this many rows, or this share of the rows that it read.",
            Panel.PACE,
            setting="max_rows_lost",
        ),
    ] = None
    fail_on_lost_rows: Annotated[
        bool,
        Option(
            "--fail-on-lost-rows",
            None,
            "Exit with code 4 if the vendor has left rows out of results.",
            Panel.PACE,
            setting="fail_on_lost_rows",
        ),
    ] = False
    bwlimit: Annotated[
        str | None,
        Option(
            "--bwlimit",
            "RATE",
            "Transfer at most this many bytes per second, such as 2MB.",
            Panel.PACE,
            setting="bwlimit",
        ),
    ] = None


class Config(Arguments):
    """The configuration file."""

    config: Annotated[
        Path | None,
        Option(
            "--config",
            "FILE",
            "Read this file instead of bulkhead.toml in the current directory. [BULKHEAD_CONFIG]",
            Panel.PLACES,
            repeat=True,
        ),
    ] = None


class Out(Arguments):
    """Where results go."""

    out: Annotated[
        str | None,
        Option(
            "--out",
            "DIR|S3-URL",
            "Where results and the manifest go.",
            Panel.PLACES,
            setting="out",
            default="bulkhead-out/BATCH",
        ),
    ] = None


class Ledger(Arguments):
    """Where the ledger is."""

    ledger: Annotated[
        str | None,
        Option(
            "--ledger",
            "PATH|URL",
            "Where the ledger is, the record of every item.",
            Panel.PLACES,
            setting="ledger",
            default=".bulkhead/ledger.db",
            repeat=True,
        ),
    ] = None


class ApiUrl(Arguments):
    """Where the API is, and how connections to it and to storage are made."""

    api_url: Annotated[
        str | None,
        Option(
            "--api-url",
            "URL",
            "Use the API at this address.",
            Panel.PLACES,
            setting="api_url",
            default="https://app.dromo.io/api/v1",
            repeat=True,
        ),
    ] = None
    proxy: Annotated[
        str | None,
        Option(
            "--proxy",
            "URL",
            "Connect to the API and to storage through this HTTP proxy, but not to this machine.",
            Panel.PLACES,
            setting="proxy",
            repeat=True,
            masked=masked,
        ),
    ] = None
    ca_file: Annotated[
        Path | None,
        Option(
            "--ca-file",
            "FILE.pem",
            "Also trust the certificate authorities in this file, such as that of your company.",
            Panel.PLACES,
            setting="ca_file",
            repeat=True,
        ),
    ] = None


class Account(Config, Ledger, ApiUrl):
    """What belongs to one account at the vendor."""


class Places(Config, Out, Ledger, ApiUrl):
    """Everything about an account, and where results go."""


class Aws(Arguments):
    """Which AWS to use."""

    region: Annotated[
        str | None,
        Option("--region", "REGION", "Use this AWS region.", Panel.PLACES, setting="aws_region", repeat=True),
    ] = None
    endpoint_url: Annotated[
        str | None,
        Option(
            "--endpoint-url",
            "URL",
            "Use AWS, or an emulator of it, at this address.",
            Panel.PLACES,
            setting="aws_endpoint_url",
            repeat=True,
        ),
    ] = None


class Stack(Arguments):
    """Which deployment on AWS to use."""

    stack: Annotated[
        str | None,
        Option(
            "--stack",
            "NAME",
            "Use this CloudFormation stack.",
            Panel.PLACES,
            setting="stack",
            default="bulkhead",
            repeat=True,
        ),
    ] = None


class Sandbox(Arguments):
    """Whether to run against an embedded sandbox."""

    sandbox: Annotated[
        bool,
        Option("--sandbox", None, "Run against a local sandbox of the vendor's API; nothing is sent.", Panel.PLACES),
    ] = False
    sandbox_schemas: Annotated[
        Path | None,
        Option("--sandbox-schemas", "DIR", "Give the sandbox the saved schemas in this directory.", Panel.PLACES),
    ] = None


class Batch(Arguments):
    """One batch of the ledger."""

    batch: Annotated[str | None, Argument("BATCH", "The batch's id; by default, the newest batch.")] = None


class Redriven(Arguments):
    """Which items to redrive."""

    state: Annotated[
        list[str] | None,
        Option(
            "--state",
            "failed|rejected|uncertain",
            "Take items in this state; can be repeated.",
            Panel.BATCH,
            default="failed",
        ),
    ] = None
    match: Annotated[str | None, Option("--match", "GLOB", "Take only items whose name matches.", Panel.BATCH)] = None
    import_again: Annotated[
        bool,
        Option(
            "--import-again",
            None,
            "Send new imports, even if the vendor has the data: then it is there twice.",
            Panel.BATCH,
        ),
    ] = False
    yes: Annotated[bool, Option("--yes", None, "With --import-again: do not ask.", Panel.BATCH)] = False
    results: Annotated[
        bool,
        Option(
            "--results",
            None,
            "Fetch results again that were collected and are no longer in the output directory or prefix.",
            Panel.BATCH,
        ),
    ] = False

    def confirm(self) -> None:
        """Say what `--import-again` does, and on a terminal ask whether to do it. Raises typer.Abort."""
        if not self.import_again:
            return
        import typer

        from runner.cli.styles import console, line

        screen = console(stderr=True)
        line(screen, "the data of items that the vendor has imported will be there twice", style="yellow")
        if not self.yes and sys.stdin.isatty():
            typer.confirm("Import again?", abort=True, err=True)

    def states(self) -> "Collection[ItemState]":
        """Return the states that were given; `failed` if none was. Raises ConfigError."""
        from runner.errors import ConfigError
        from runner.models import REDRIVABLE_STATES

        choice = {str(state): state for state in sorted(REDRIVABLE_STATES)}
        for name in self.state or ():
            if name not in choice:
                raise ConfigError(
                    f"items in state {name!r} cannot be redriven", hint=f"choose from {', '.join(choice)}"
                )
        return {choice[name] for name in self.state or ["failed"]}

    def check_results(self) -> None:
        """Refuse options that say something else than `--results`. Raises ConfigError."""
        from runner.errors import ConfigError

        if self.results and (self.state or self.import_again):
            other = "--state" if self.state else "--import-again"
            raise ConfigError(f"--results and {other} exclude each other", hint="redrive twice")
