"""Notifications of a command that runs batches: they begin before anything is sent, and end after all is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from runner.cli.errors import leading, told
from runner.cli.signals import on_signals
from runner.cli.styles import line
from runner.config.origins import IGNORED, not_used
from runner.formatting import shown
from runner.local.outcome import exit_code_of
from runner.notify import Notifier

if TYPE_CHECKING:
    from runner.cli.log_file import LogFile
    from runner.cli.options import Arguments
    from runner.config.settings import LoadedSettings, Settings

WAITING = "waiting for notifications and on_finish; press Ctrl-C to skip them"
SKIPPED = "skipping notifications and on_finish"
_PATIENCE_S = 2.0
"""How long the end of a command may take before it says why."""


@asynccontextmanager
async def notifying(
    args: Arguments, loaded: LoadedSettings, screen: Console, *, log: LogFile | None, only_news: bool = False
) -> AsyncIterator[Notifier]:
    """Notify of what happens in the block, and of the error that ends it. Raises ConfigError if a URL is unusable.

    Notices are shown on the screen, and written to the log without what the user's own command has written.
    """

    def tell(text: str, output: str = "") -> None:
        line(screen, f"notice: {shown(text)}{': ' if output else ''}{shown(output)}", style="yellow")
        if log:
            log.write(f"notice: {text}")

    notifier = await Notifier.of(
        _wanted(args, loaded, tell),
        tell=tell,
        origin=loaded.origin("notify_urls"),
        options=args.repeated(),
        only_news=only_news,
        in_sandbox=args.sandbox,
    )
    try:
        yield notifier
    except Exception as error:
        first = leading(error)
        notifier.failed(first, *told(first), exit_code_of(first))
        raise
    except BaseException:
        notifier.skip()
        raise
    finally:
        await _drained(notifier, screen)


def _wanted(args: Arguments, loaded: LoadedSettings, tell: Callable[[str], None]) -> Settings:
    """Return the settings without those that do not count here, and tell which these are."""
    settings = loaded.settings
    for name in IGNORED:
        if name in loaded.ignored:
            tell("; ".join(not_used(name, loaded.ignored[name])))
        elif args.sandbox and getattr(settings, name) and loaded.origin(name) != "flag":
            tell(f"{name} ({loaded.origin(name)}) is not used with --sandbox; only options are, to try them")
            settings = settings.model_copy(update={name: ()})
    return settings


async def _drained(notifier: Notifier, screen: Console) -> None:
    if not notifier.is_busy:
        return

    def skip(_: object) -> None:
        line(screen, SKIPPED)
        notifier.skip()

    with on_signals(skip):
        draining = asyncio.ensure_future(notifier.drained())
        await asyncio.wait({draining}, timeout=_PATIENCE_S)
        if not draining.done() and screen.is_terminal:
            line(screen, WAITING)
        await draining
