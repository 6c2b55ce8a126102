"""Runs `bulkhead check`: shows its progress, stops on a signal, and ends with a report and an exit code."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from runner.check import CheckSummary, CheckTotals, FileCheck
from runner.check.report import ReportFiles, write_report
from runner.check.schemas import SavedSchemas, no_schemas, schemas_in
from runner.check.setup import FILE_TIMEOUT_S, CheckOptions, CheckSetup, schemas_of_the_vendor
from runner.cli.check_progress import showing_check
from runner.cli.check_summary import CheckReport, print_check
from runner.cli.errors import reported
from runner.cli.ndjson import CheckLines
from runner.cli.query import print_notice
from runner.cli.session import prepared, saved_schemas
from runner.cli.signals import REASONS, on_signals
from runner.cli.styles import console, line, logging_to
from runner.config.route_remarks import sentences
from runner.config.units import parse_duration
from runner.errors import ConfigError
from runner.formatting import shown
from runner.local.outcome import ExitCode
from runner.local.resources import Resources
from runner.stop import StopReason

if TYPE_CHECKING:
    from runner.check import BoundRoute, Engine
    from runner.cli.arguments import CheckArguments
    from runner.config.run_spec import RunSpec
    from runner.config.settings import LoadedSettings

_CODES = {StopReason.INTERRUPTED: ExitCode.INTERRUPTED, StopReason.TERMINATED: ExitCode.TERMINATED}


def options_of(args: CheckArguments) -> CheckOptions:
    """Return the options of the check. Raises ConfigError."""
    try:
        timeout_s = parse_duration(args.file_timeout) if args.file_timeout else FILE_TIMEOUT_S
    except ValueError as error:
        raise ConfigError(f"--file-timeout {args.file_timeout}: {error}") from None
    return CheckOptions(jobs=args.jobs, file_timeout_s=max(timeout_s, 0.1), samples=not args.no_samples)


def spec_of(args: CheckArguments, loaded: LoadedSettings) -> RunSpec:
    """Return what to check, without the report of an earlier check. Raises ConfigError, SourceNotFound."""
    spec = args.spec(loaded)
    if args.report is None:
        return spec
    if not args.report.parent.is_dir():
        raise ConfigError(f"there is no directory {args.report.parent} for the report", hint="create it first")
    return replace(spec, source=replace(spec.source, leave_out=(*spec.source.leave_out, str(args.report.resolve()))))


def check_source(args: CheckArguments, engine: Callable[[], Engine]) -> None:
    """Check a source, show the report, and exit. Raises typer.Exit."""
    lines = CheckLines() if args.json else None
    with reported(verbose=args.verbose, on_error=lines.error if lines else None), prepared(args) as loaded:
        code = asyncio.run(_Check(args, loaded, engine(), lines).go())
    raise typer.Exit(code)


class _Check:
    """One check, from its settings to its report."""

    def __init__(self, args: CheckArguments, loaded: LoadedSettings, engine: Engine, lines: CheckLines | None) -> None:
        self._args = args
        self._loaded = loaded
        self._engine = engine
        self._lines = lines
        self._screen = console(stderr=True)
        self._totals = CheckTotals()
        self._files: ReportFiles | None = None
        self._stopped: StopReason | None = None
        self._began = time.monotonic()

    async def go(self) -> ExitCode:
        spec, options = spec_of(self._args, self._loaded), options_of(self._args)
        self._warn_of_missing_libraries()
        with logging_to(self._screen, verbose=self._args.verbose), ExitStack() as stack:
            if self._args.report:
                self._files = stack.enter_context(ReportFiles())
            async with Resources(self._loaded.settings, on_event=print_notice) as resources:
                setup = CheckSetup(resources, spec, self._engine, options)
                bound = await setup.bind(self._saved(resources))
                self._notice_names(bound)
                await self._run(setup, bound)
            if setup.linked_directories and not self._args.quiet:
                line(self._screen, f"notice: {shown(setup.linked_directories)}", style="yellow")
            quota = self._loaded.settings.create_quota
            summary = self._totals.summary(
                quota=quota, too_young=setup.too_young, interrupted=self._stopped is not None
            )
            code = self._exit_code(summary)
            self._close(summary, bound, code)
        return code

    async def _run(self, setup: CheckSetup, bound: Sequence[BoundRoute]) -> None:
        is_shown = not (self._args.quiet or self._args.json)
        every_s = self._args.every_s()
        async with showing_check(self._screen, self._totals, is_shown=is_shown, every_s=every_s) as progress:
            work = asyncio.ensure_future(setup.run(bound, on_files=self._take, on_listed=progress.listed))

            def end(number: signal.Signals) -> None:
                self._stopped = self._stopped or REASONS[number]
                work.cancel()

            with on_signals(end):
                try:
                    await work
                except asyncio.CancelledError:
                    if self._stopped is None:
                        raise

    def _take(self, checks: Sequence[FileCheck]) -> None:
        for check in checks:
            self._totals.take(check)
            if self._files:
                self._files.add(check)
        if self._lines:
            self._lines.files(checks)

    def _saved(self, resources: Resources) -> SavedSchemas:
        if self._args.schemas is not None:
            return schemas_in(self._args.schemas)
        if self._loaded.settings.license_key is not None:
            return schemas_of_the_vendor(resources)
        beside = saved_schemas(self._loaded)
        return schemas_in(beside) if beside else no_schemas()

    def _exit_code(self, summary: CheckSummary) -> ExitCode:
        if self._stopped is not None:
            return _CODES[self._stopped]
        return summary.exit_code(fail_if_empty=self._args.fail_if_empty)

    def _close(self, summary: CheckSummary, bound: Sequence[BoundRoute], code: ExitCode) -> None:
        fields = {one.route.name: one.fields for one in bound}
        report = self._args.report
        if report and self._files:
            write_report(
                report,
                summary,
                fields=fields,
                files=self._files,
                source=self._args.source or "",
                permissions=self._loaded.settings.out_mode,
            )
        if self._lines:
            remarks = [one for route in bound for one in route.remarks]
            self._lines.finished(summary, fields, code, remarks=remarks)
        elif not self._args.quiet:
            found = CheckReport(
                summary=summary,
                fields=fields,
                elapsed_s=time.monotonic() - self._began,
                page=report,
            )
            print_check(console(), found)
        elif code is not ExitCode.OK:
            line(self._screen, _in_short(summary))

    def _notice_names(self, bound: Sequence[BoundRoute]) -> None:
        for sentence in sentences(one for route in bound for one in route.remarks) if not self._args.quiet else ():
            line(self._screen, f"notice: {shown(sentence)}", style="yellow")

    def _warn_of_missing_libraries(self) -> None:
        if not self._engine.missing or self._args.quiet:
            return
        for package, consequence in self._engine.missing:
            line(self._screen, f"warning: {package} is not installed: {consequence}")
        line(self._screen, "hint: pip install '.[sandbox]'")


def _in_short(summary: CheckSummary) -> str:
    return ", ".join(f"{prediction} {count}" for prediction, count in summary.by_prediction.items())
