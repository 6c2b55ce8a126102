"""What each command takes: its option groups, and the options that only it has.

This module doesn't use `from __future__ import annotations`: its annotations are read when it is imported.
"""

from pathlib import Path
from typing import Annotated, Literal

from runner.cli.option_groups import (
    Account,
    Again,
    AllOfSource,
    ApiUrl,
    Aws,
    Batch,
    Config,
    Encoding,
    FilenameTag,
    JsonIsNew,
    Ledger,
    Pace,
    Pack,
    Patience,
    Places,
    PlanQuota,
    Redriven,
    Sandbox,
    Schema,
    SchemaId,
    Selection,
    Source,
    Stack,
)
from runner.cli.options import Argument, Arguments, Option, Panel
from runner.cli.output_options import Format, Json, Lines, Quiet, Stats, Verbose, seconds_of, stats_option


def _masked_url(url: str) -> str:
    from runner.config.notify_values import masked_url

    return masked_url(url)


class Notify(Arguments):
    """Whom to notify, and what to run at the end."""

    notify: Annotated[
        list[str] | None,
        Option(
            "--notify",
            "URL",
            "Send notifications to this URL of apprise, such as mailto:// or slack://; can be repeated. Other users of"
            " the machine can see it.",
            Panel.NOTIFY,
            setting="notify_urls",
            masked=_masked_url,
        ),
    ] = None
    on_finish: Annotated[
        str | None,
        Option(
            "--on-finish",
            "COMMAND",
            "Run this command at each end and pause, without a shell, with summary.json on its stdin.",
            Panel.NOTIFY,
            setting="on_finish",
        ),
    ] = None


class Stoppable(Lines):
    """How a command that works on batches ends when it is told to."""

    stop_within: Annotated[
        str | None,
        Option(
            "--stop-within",
            "DURATION",
            "After SIGTERM, finish what is in progress for at most this time, then stop at once; 0 sets no limit.",
            Panel.PACE,
            envvar="BULKHEAD_STOP_WITHIN",
            default="0",
        ),
    ] = None

    def stop_within_s(self) -> float:
        """Return how long work may take after SIGTERM, 0 for any time. Raises ConfigError."""
        return seconds_of("--stop-within", self.stop_within) if self.stop_within else 0.0


class RunArguments(
    AllOfSource,
    JsonIsNew,
    Encoding,
    Schema,
    FilenameTag,
    Pack,
    Pace,
    Places,
    Sandbox,
    Notify,
    Json,
    Quiet,
    Stoppable,
    Verbose,
):
    """What `run` takes."""

    check: Annotated[
        Literal["skip", "warn"] | None,
        Option(
            "--check",
            "[=skip|warn]",
            "Reject files that the check predicts will fail; with =warn, report them but send them.",
            Panel.PACE,
        ),
    ] = None
    ignore_pack: Annotated[
        list[str] | None,
        Option(
            "--ignore-pack",
            "TAG",
            "Run although a pack with this tag, which this ledger does not know, was sent; can be repeated.",
            Panel.PACE,
        ),
    ] = None
    dry_run: Annotated[
        bool, Option("--dry-run", None, "Show what would be sent, as `bulkhead plan` does; send nothing.", Panel.PACE)
    ] = False


class ResumeArguments(Batch, JsonIsNew, Pace, Account, Notify, Json, Quiet, Stoppable, Verbose):
    """What `resume` takes."""

    wait: Annotated[
        bool, Option("--wait", None, "If another run works on the batch, wait until it ends.", Panel.PACE)
    ] = False


class TrackArguments(Patience, Account, Notify, Json, Quiet, Stoppable, Verbose):
    """What `track` takes."""

    batch: Annotated[
        str | None, Argument("BATCH", "The batch's id; by default, all batches with open reviews or imports.")
    ] = None

    watch: Annotated[bool, Option("--watch", None, "Wait until every review is finished.", Panel.PACE)] = False


class Reviews(Arguments):
    """Which open reviews to list."""

    batch: Annotated[str | None, Argument("BATCH", "The batch's id; by default, all batches.")] = None
    open: Annotated[
        bool, Option("--open", None, "Open the oldest reviews in the browser, at most 10.", Panel.OUTPUT)
    ] = False
    limit: Annotated[
        int, Option("--limit", "N", "Show the N oldest reviews; --json writes all.", Panel.OUTPUT, min=1)
    ] = 50


class ReviewsArguments(Reviews, Config, Ledger, Json, Verbose):
    """What `reviews` takes."""


class Dismissal(Arguments):
    """Which items to dismiss, and why."""

    batch: Annotated[
        str | None,
        Argument(
            "BATCH", "The batch's id; by default, the newest batch with an open review, or a failed or uncertain item."
        ),
    ] = None
    reason: Annotated[
        str, Option("--reason", "TEXT", "Why nobody will look into it; the manifest has it.", Panel.BATCH)
    ] = ""
    match: Annotated[str | None, Option("--match", "GLOB", "Dismiss only items whose name matches.", Panel.BATCH)] = (
        None
    )


class DismissArguments(Dismissal, Account, Json, Verbose):
    """What `dismiss` takes."""


class PlanArguments(Source, Selection, Again, Encoding, Schema, Pack, PlanQuota, Places, Json, Verbose):
    """What `plan` takes."""


class ExplainArguments(Selection, Again, Encoding, Schema, Pack, Account, Json, Verbose):
    """What `explain` takes."""

    file: Annotated[str, Argument("FILE", "The file or object to explain.")]
    source: Annotated[
        str | None,
        Option(
            "--source",
            "DIR|S3-URL",
            "Explain FILE as a part of this directory or prefix; without it, Bulkhead guesses which one a run imports.",
            Panel.FILES,
        ),
    ] = None


class CheckSchemas(Arguments):
    """Where a check finds saved schemas."""

    schemas: Annotated[
        Path | None,
        Option(
            "--schemas",
            "DIR",
            "Read saved schemas from the JSON files in this directory, not from the vendor.",
            Panel.SCHEMA,
        ),
    ] = None


class CheckLimits(Arguments):
    """What a check may use."""

    jobs: Annotated[
        int | None,
        Option("--jobs", "N", "Use this many processes; by default, one per core.", Panel.CHECK, min=1, max=256),
    ] = None
    file_timeout: Annotated[
        str | None,
        Option("--file-timeout", "DURATION", "Give up on a file after this time.", Panel.CHECK, default="5m"),
    ] = None
    hook_hosts: Annotated[
        str | None,
        Option("--hook-hosts", "HOST,...", "Let hooks fetch from these hosts; by default, from none.", Panel.CHECK),
    ] = None


class CheckOutput(Arguments):
    """What a check writes."""

    report: Annotated[
        Path | None, Option("--report", "FILE.html", "Also write an HTML page with the findings.", Panel.OUTPUT)
    ] = None
    no_samples: Annotated[
        bool, Option("--no-samples", None, "Do not show the text of cells, here or in the report.", Panel.OUTPUT)
    ] = False


class CheckArguments(
    AllOfSource,
    Encoding,
    Schema,
    CheckSchemas,
    FilenameTag,
    CheckLimits,
    PlanQuota,
    Places,
    CheckOutput,
    Json,
    Quiet,
    Stats,
    Verbose,
):
    """What `check` takes."""


class BatchesArguments(Config, Ledger, Json, Verbose):
    """What `batches` takes."""


class StatusArguments(Batch, Config, Ledger, Json, Verbose):
    """What `status` takes."""


class ManifestArguments(Batch, Format, Config, Ledger, Verbose):
    """What `manifest` takes."""


class ReportArguments(Batch, Config, Ledger, Json, Verbose):
    """What `report` takes."""


class RedriveArguments(Redriven, Account, Json, Verbose):
    """What `redrive` takes."""

    batch: Annotated[
        str | None,
        Argument(
            "BATCH", "The batch's id; by default, the newest batch with such items, and for --results the newest."
        ),
    ] = None


class ReconcileArguments(Batch, Account, Json, Verbose):
    """What `reconcile` takes."""

    fix: Annotated[bool, Option("--fix", None, "Repair what can be repaired.", Panel.BATCH)] = False


class InitArguments(SchemaId, ApiUrl, Json, Verbose):
    """What `init` takes."""

    directory: Annotated[str | None, Argument("DIRECTORY", "The directory, or s3:// prefix, with the files.")] = None
    key_stdin: Annotated[
        bool,
        Option("--key-stdin", None, "Read the license key from stdin, not from the environment.", Panel.PLACES),
    ] = False
    yes: Annotated[
        bool, Option("--yes", None, "Do not ask: what is missing is an error, as without a terminal.", Panel.PLACES)
    ] = False


class DoctorArguments(SchemaId, Account, Notify, Json, Verbose):
    """What `doctor` takes."""

    notify_test: Annotated[
        bool, Option("--notify-test", None, "Send a test message to each URL for notifications.", Panel.NOTIFY)
    ] = False


class ConfigArguments(Account, Json):
    """What `config` takes."""


class CopyArguments(Aws, Config, Json, Verbose):
    """What `ledger copy` takes."""

    source: Annotated[str, Argument("FROM", "The ledger to read: a path, or dynamodb://TABLE.")]
    target: Annotated[str, Argument("TO", "The ledger to write, in the same form.")]
    batch: Annotated[str | None, Option("--batch", "BATCH", "Copy only this batch.", Panel.BATCH)] = None


class TableArguments(Aws, Config, Json, Verbose):
    """What `ledger create-table` takes."""

    name: Annotated[str, Argument("NAME", "The table's name.")]


class Cloud(Stack, Aws, Config):
    """The deployment on AWS that a command is about."""


class CloudStartArguments(Cloud, Json, Verbose):
    """What `cloud start` takes."""

    source: Annotated[str, Argument("S3-URL", "Where the files are, such as s3://INBOX/PREFIX/.")]
    name: Annotated[str, Option("--name", "NAME", "Start the batch's id with this name.", Panel.BATCH)] = "load"


class CloudBatch(Arguments):
    """One batch of a deployment, or all of them."""

    batch: Annotated[str | None, Argument("BATCH", "The batch's id; by default, all batches.")] = None


class CloudStatusArguments(CloudBatch, Cloud, Json, Verbose):
    """What `cloud status` takes."""

    recent: Annotated[
        int, Option("--recent", "N", "Show the newest N batches and all that are running.", Panel.OUTPUT, min=0)
    ] = 20


class CloudManifestArguments(Format, Cloud, Verbose):
    """What `cloud manifest` takes."""

    batch: Annotated[str, Argument("BATCH", "The batch's id.")]
    to: Annotated[Path | None, Option("--to", "FILE", "Write it to this file.", Panel.OUTPUT)] = None


class CloudRedriveArguments(Redriven, Cloud, Json, Verbose):
    """What `cloud redrive` takes."""

    batch: Annotated[
        str | None,
        Argument(
            "BATCH",
            "The batch's id; by default, the newest of the stack with such items, and for --results the newest.",
        ),
    ] = None
    dead_letters: Annotated[
        bool,
        Option(
            "--dead-letters",
            None,
            "Return dead letters to their queues, and queue the files they are about again.",
            Panel.BATCH,
        ),
    ] = False


class CloudReviewsArguments(Reviews, Cloud, Json, Verbose):
    """What `cloud reviews` takes."""


class CloudDismissArguments(Dismissal, Cloud, Json, Verbose):
    """What `cloud dismiss` takes."""


class CloudWorkArguments(Cloud, Json, Quiet, Stoppable, Verbose):
    """What `cloud work` takes."""

    concurrency: Annotated[
        int | None,
        Option(
            "--concurrency",
            "N",
            "Work on N files that arrived and N files of loads at once.",
            Panel.PACE,
            min=1,
            max=500,
            default="10, more with a larger quota",
        ),
    ] = None
    stop_within: Annotated[
        str | None,
        Option(
            "--stop-within",
            "DURATION",
            "After SIGTERM, finish what is in progress for at most this time, then give it back; 0 sets no limit.",
            Panel.PACE,
            envvar="BULKHEAD_STOP_WITHIN",
            default="20s",
        ),
    ] = None
    stats: Annotated[str | None, stats_option("60s")] = None

    def stop_within_s(self) -> float:
        """Return how long work may take after SIGTERM: schedulers of containers wait for 30 seconds."""
        return seconds_of("--stop-within", self.stop_within or "20s")

    def every_s(self) -> float:
        """Return how often a line is written, 0 for never: a worker runs for weeks. Raises ConfigError."""
        return 60.0 if self.stats is None else super().every_s()


class CloudDoctorArguments(Cloud, Json, Verbose):
    """What `cloud doctor` takes."""


class WebhookArguments(Cloud, Json, Verbose):
    """What `webhook-url` takes."""

    make_next: Annotated[
        bool,
        Option(
            "--next",
            None,
            "Create a second URL that is accepted in addition to the first, and show it.",
            Panel.ROTATION,
        ),
    ] = False
    rotate: Annotated[
        bool,
        Option(
            "--rotate",
            None,
            "Replace the first URL with the second; the first is rejected from then on.",
            Panel.ROTATION,
        ),
    ] = False
