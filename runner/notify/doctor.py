"""What `doctor` finds out about notifications: whether they are set up, can be loaded, and, if asked for, arrive."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from runner.config.notify_values import shown_command
from runner.config.origins import IGNORED, not_used
from runner.errors import ConfigError
from runner.findings import Finding, fail, ok, warn
from runner.formatting import shown
from runner.notify.message import TEST
from runner.notify.notifier import send_all
from runner.notify.services import load_services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.config.settings import LoadedSettings, Settings
    from runner.notify.services import Service

NAME = "notifications"


async def notification_findings(loaded: LoadedSettings, *, send_test: bool = False) -> list[Finding]:
    """Check the services and the command; send a message only for `send_test`. Nothing is raised."""
    found = [warn(NAME, *not_used(name, loaded.ignored[name])) for name in IGNORED if name in loaded.ignored]
    if loaded.settings.notify_urls:
        found += await _services(loaded, send_test=send_test)
    elif send_test:
        found.append(fail(NAME, "there is no URL to send a test message to", "add --notify URL"))
    elif not found and not loaded.settings.on_finish:
        found.append(ok(NAME, "not set up"))
    if loaded.settings.on_finish:
        found.append(_command(loaded.settings))
    return found


async def _services(loaded: LoadedSettings, *, send_test: bool) -> list[Finding]:
    settings = loaded.settings
    try:
        services = await load_services(settings.notify_urls, origin=loaded.origin("notify_urls"))
    except ConfigError as error:
        return [fail(NAME, str(error), error.hint)]
    if send_test:
        return await _tested(services)
    names = ", ".join(service.label for service in services)
    return [ok(NAME, f"{names}; on {', '.join(settings.notify_on) or 'no occasion'}; no message was sent")]


async def _tested(services: Sequence[Service]) -> list[Finding]:
    return [
        ok(NAME, f"{label} accepted a test message")
        if trouble is None
        else fail(NAME, f"{label} did not accept a test message: {trouble}", "check the URL")
        for label, trouble in await send_all(services, TEST, stop=asyncio.Event())
    ]


def _command(settings: Settings) -> Finding:
    program = settings.on_finish[0]
    if shutil.which(program) is None:
        return fail("on_finish", f"{shown(program)} is not a program that can be run", "check its path and its mode")
    return ok("on_finish", f"{shown(shown_command(settings.on_finish))}; it was not run")
