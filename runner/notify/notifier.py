"""Notifier: a listener of events that sends messages and runs `on_finish`, while the run goes on and at its end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Self

from runner.config.notify_values import Occasion
from runner.events import BatchFinished, BatchStarted, ItemMoved, ManifestWritten, OutageBegan, OutageEnded
from runner.formatting import lasting
from runner.local.outage import UNREACHABLE_SINCE
from runner.manifest import summary_text
from runner.masking import Mask
from runner.notify import message as messages
from runner.notify.command import run_command
from runner.notify.services import Service, load_services
from runner.notify.threads import in_daemon_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Sequence

    from runner.config.settings import Settings
    from runner.events import Event
    from runner.notify.message import Message

SEND_WITHIN_S = 20.0


class Notifier:
    """Pass `take` to a `Bulkhead` as its listener, or call it from one; await `drained` at the end.

    `tell` gets a sentence about each message that could not be sent, and about a command that did not succeed; and
    apart from it the last line that this command wrote, or "".
    `key` is the license key: it is in no message, and like the URLs of the services, `secrets`, kept from the command.
    `options` are repeated in commands to copy. With `only_news`, the end of a run
    that has moved no item is not told. `in_sandbox`: titles say so, and no later command can continue.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        tell: Callable[[str, str], None],
        occasions: Collection[Occasion] = tuple(Occasion),
        on_finish: Sequence[str] = (),
        key: str = "",
        secrets: Collection[str] = (),
        options: str = "",
        only_news: bool = False,
        in_sandbox: bool = False,
        send_within_s: float = SEND_WITHIN_S,
    ) -> None:
        self._services = tuple(services)
        self._tell = tell
        self._occasions = frozenset(occasions)
        self._on_finish = tuple(on_finish)
        self._mask = Mask(key)
        self._secrets = tuple(filter(None, (key, *secrets)))
        self._options = options
        self._only_news = only_news
        self._in_sandbox = in_sandbox
        self._send_within_s = send_within_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._one_command = asyncio.Lock()
        self._started: BatchStarted | None = None
        self._manifest: ManifestWritten | None = None
        self._has_moved = self._outage_told = False
        self._last_reason: str | None = None

    @classmethod
    async def of(
        cls,
        settings: Settings,
        *,
        tell: Callable[[str, str], None],
        origin: str = "settings",
        options: str = "",
        only_news: bool = False,
        in_sandbox: bool = False,
    ) -> Self:
        """Return what the settings ask for. Raises ConfigError if apprise is missing, or cannot use a URL."""
        return cls(
            await load_services(settings.notify_urls, origin=origin),
            tell=tell,
            occasions=settings.notify_on,
            on_finish=settings.on_finish,
            key=settings.license_key.get_secret_value() if settings.license_key else "",
            secrets=[url.get_secret_value() for url in settings.notify_urls],
            options=options,
            only_news=only_news,
            in_sandbox=in_sandbox,
        )

    @property
    def is_busy(self) -> bool:
        """Whether a message or a command is in progress."""
        return bool(self._tasks)

    def take(self, event: Event) -> None:
        """Take an event into account."""
        self._take(event)

    def failed(self, error: BaseException, told: str, hint: str | None, code: int) -> None:
        """Tell of an error that ended the command, in the words of `told`, unless the end of its batch was told."""
        if str(error) != self._last_reason:
            self._notify(messages.not_run(told, hint, code, mask=self._mask))

    async def drained(self) -> None:
        """Wait until all is sent, and the command has ended; each has a time limit."""
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        except asyncio.CancelledError:
            self.skip()
            raise

    def skip(self) -> None:
        """Wait no longer for messages that are being sent, and end the command."""
        self._stop.set()

    @singledispatchmethod
    def _take(self, _event: object) -> None:
        """Other events are no news."""

    @_take.register
    def _(self, event: BatchStarted) -> None:
        self._started, self._manifest = event, None
        self._has_moved = False

    @_take.register
    def _(self, event: ItemMoved) -> None:  # noqa: ARG002 - its type says it all
        self._has_moved = True

    @_take.register
    def _(self, event: OutageBegan) -> None:
        if self._outage_told:
            return
        self._outage_told = True
        batch_id = self._started.batch_id if self._started else ""
        self._notify(messages.unreachable(event, batch_id, mask=self._mask))

    @_take.register
    def _(self, event: OutageEnded) -> None:  # noqa: ARG002 - its type says it all
        self._outage_told = False

    @_take.register
    def _(self, event: ManifestWritten) -> None:
        self._manifest = event

    @_take.register
    def _(self, event: BatchFinished) -> None:
        self._last_reason = event.reason
        self._outage_told = self._outage_told and UNREACHABLE_SINCE in event.reason
        if self._only_news and not self._has_moved and not messages.is_pause(event):
            return
        self._notify(
            messages.ended(
                event,
                self._started,
                earlier_reviews=self._manifest.summary.get("earlier_review_count", 0) if self._manifest else 0,
                options=None if self._in_sandbox else self._options,
                outage_told=self._outage_told,
                mask=self._mask,
            )
        )
        if self._on_finish:
            self._spawn(self._run_command(self._manifest))

    def _notify(self, message: Message) -> None:
        if self._services and message.occasions & self._occasions:
            if self._in_sandbox:
                message = replace(message, title=f"Sandbox: {message.title}")
            self._spawn(self._send(message))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        """Forget a task that has ended, also if `tell` failed, for example because the screen is gone."""
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def _send(self, message: Message) -> None:
        for label, trouble in await send_all(self._services, message, stop=self._stop, within_s=self._send_within_s):
            if trouble is not None:
                self._tell(f"{label} is not notified: {trouble}", "")

    async def _run_command(self, manifest: ManifestWritten | None) -> None:
        program = self._on_finish[0]
        if manifest is None:
            self._tell(f"on_finish: {program} was not run, because the manifest could not be written", "")
            return
        async with self._one_command:
            if self._stop.is_set():
                self._tell(f"on_finish: {program} was not run: it was skipped", "")
                return
            document = summary_text(manifest.summary)
            failure = await run_command(self._on_finish, document, secrets=self._secrets, stop=self._stop)
        if failure is not None:
            self._tell(f"on_finish: {program} {failure.how}", failure.last_line)


async def send_all(
    services: Sequence[Service], message: Message, *, stop: asyncio.Event, within_s: float = SEND_WITHIN_S
) -> list[tuple[str, str | None]]:
    """Send a message to all services at once; return for each its label, and None or why it is not notified."""
    sends = [in_daemon_thread(lambda service=service: service.send(message)) for service in services]  # type: ignore[misc]
    stopped = asyncio.ensure_future(stop.wait())
    sent = asyncio.ensure_future(asyncio.wait(sends))
    try:
        await asyncio.wait({sent, stopped}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        sent.cancel()
    late = "it was skipped" if stop.is_set() else f"no answer within {lasting(within_s)}"
    return [
        (service.label, _trouble(send) if send.done() else late) for service, send in zip(services, sends, strict=True)
    ]


def _trouble(send: asyncio.Future[str | None]) -> str | None:
    error = send.exception()
    return send.result() if error is None else f"unexpected error ({type(error).__name__})"
