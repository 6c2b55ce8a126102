"""The options about what a command writes, and how much of it.

This module doesn't use `from __future__ import annotations`: its annotations are read when it is imported.
"""

from pathlib import Path
from typing import Annotated, Literal

from runner.cli.options import Arguments, Option, Panel

SHORTEST_S = 0.1
"""The shortest time between two lines about the progress."""


def seconds_of(flag: str, text: str) -> float:
    """Return the seconds of an option's duration. Raises ConfigError."""
    from runner.config.units import parse_duration
    from runner.errors import ConfigError

    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{flag} {text}: {error}") from None


class Json(Arguments):
    """Whether to write JSON."""

    json: Annotated[bool, Option("--json", None, "Write JSON to stdout, and nothing else.", Panel.OUTPUT)] = False


class Quiet(Arguments):
    """Whether to say less."""

    quiet: Annotated[bool, Option("--quiet", None, "Show only errors.", Panel.OUTPUT, short="-q")] = False


def stats_option(default: str) -> Option:
    """Return the option `--stats`, with the time between two lines where it is not given."""
    return Option(
        "--stats",
        "DURATION",
        "Without a terminal, write a line about the progress this often; 0 writes none.",
        Panel.OUTPUT,
        envvar="BULKHEAD_STATS",
        default=default,
    )


class Stats(Arguments):
    """Plain lines about progress."""

    stats: Annotated[str | None, stats_option("10s")] = None

    def every_s(self) -> float:
        """Return how often a line is written, 0 for never. Raises ConfigError."""
        from runner.cli.progress import LINE_EVERY_S
        from runner.errors import ConfigError

        if self.stats is None:
            return LINE_EVERY_S
        every_s = seconds_of("--stats", self.stats)
        if 0 < every_s < SHORTEST_S:
            raise ConfigError(f"--stats {self.stats}: write at least 100ms, or 0 for no lines")
        return every_s


class Lines(Stats):
    """Plain lines about a run, also in a file."""

    log_file: Annotated[
        Path | None,
        Option(
            "--log-file",
            "FILE",
            "Append notices, progress, errors, and the outcome to this file, with timestamps; with -v, also each step.",
            Panel.OUTPUT,
            envvar="BULKHEAD_LOG_FILE",
        ),
    ] = None


class Verbose(Arguments):
    """Whether to say more."""

    verbose: Annotated[
        bool,
        Option(
            "--verbose",
            None,
            "Log each step, and show the details of errors.",
            Panel.OUTPUT,
            short="-v",
            envvar="BULKHEAD_DEBUG",
        ),
    ] = False


class Format(Arguments):
    """The format of a manifest."""

    form: Annotated[
        Literal["jsonl", "csv"], Option("--format", "jsonl|csv", "Write JSON lines or CSV.", Panel.OUTPUT)
    ] = "jsonl"
