"""Sessions: what a command that shows one result has open, and how it shows the result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from runner.aws.client import aws_extra
from runner.bulkhead import Bulkhead
from runner.cli.json_output import write_document
from runner.cli.session import default_engine, prepared
from runner.cli.styles import console, line, logging_to
from runner.events import Notice
from runner.formatting import shown

if TYPE_CHECKING:
    from rich.console import Console

    from runner.cli.options import Arguments
    from runner.cloud.ops.client import Operations
    from runner.config.routes import Route
    from runner.config.settings import LoadedSettings
    from runner.events import Event
    from runner.findings import Finding

T = TypeVar("T")


def _unchanged(found: object) -> object:
    return found


def print_notice(event: Event) -> None:
    """Write a notice to stderr; other events need no words here."""
    if isinstance(event, Notice):
        line(console(stderr=True), f"notice: {shown(event.message)}", style="yellow")


@dataclass(frozen=True, slots=True)
class Session:
    """A command that shows one result: its arguments and its settings."""

    args: Arguments
    loaded: LoadedSettings

    def answer(
        self, found: T, show: Callable[[Console, T], None], document: Callable[[T], object] = _unchanged
    ) -> None:
        """Show the result, or with `--json` write what `document` makes of it."""
        if self.args.json:
            write_document(document(found))
        else:
            show(console(), found)


@dataclass(frozen=True, slots=True)
class LocalSession(Session):
    """A session with Bulkhead itself."""

    bulkhead: Bulkhead

    async def findings(self, *, notify_test: bool = False) -> list[Finding]:
        """Return what `doctor` finds, after a test message if asked for. Raises ConfigError if the routes are wrong."""
        from runner.notify.doctor import notification_findings

        routes = _routes(self.loaded)
        schema_ids = {route.schema_id for route in routes if route.schema_id}
        found = await self.bulkhead.doctor(schema_ids, routes=routes)
        return found + await notification_findings(self.loaded, send_test=notify_test)


@dataclass(frozen=True, slots=True)
class StackSession(Session):
    """A session with a deployment on AWS."""

    operations: Operations


def _routes(loaded: LoadedSettings) -> tuple[Route, ...]:
    """Return the routes; none if there are none yet."""
    from runner.config.routes import Routes

    settings = loaded.settings
    if not (settings.routes or settings.schema_id or settings.fields_file):
        return ()
    return Routes.of(loaded).routes


@asynccontextmanager
async def session(args: Arguments) -> AsyncIterator[LocalSession]:
    """Open Bulkhead with the settings that the arguments name. Raises ConfigError."""
    with prepared(args) as loaded, logging_to(console(stderr=True), verbose=args.verbose):
        async with Bulkhead(loaded.settings, on_event=print_notice, engine=default_engine) as bulkhead:
            yield LocalSession(args, loaded, bulkhead)


@asynccontextmanager
async def stack_session(args: Arguments) -> AsyncIterator[StackSession]:
    """Open the deployment on AWS that the settings name. Raises ConfigError and what `Operations` raises."""
    with prepared(args) as loaded, logging_to(console(stderr=True), verbose=args.verbose):
        with aws_extra():
            from runner.cloud.ops.client import Operations
        async with Operations(loaded.settings, options=args.repeated()) as operations:
            yield StackSession(args, loaded, operations)
