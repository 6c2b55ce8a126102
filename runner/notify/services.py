"""Services: where messages go. Loads apprise when it is needed, and shows of a URL nothing that can be a secret."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from runner.config.notify_values import masked_url
from runner.errors import ConfigError
from runner.formatting import shown
from runner.masking import Mask
from runner.notify.threads import THREAD_NAME, in_daemon_thread

if TYPE_CHECKING:
    from pydantic import SecretStr

    from runner.notify.message import Message

EXTRA_HINT = "in the directory of Bulkhead, run: pip install '.[notify]'"
URL_HINT = "see docs/notifications.md for examples; a webhook of your own is jsons://HOST/PATH"

_ASSET: dict[str, Any] = {
    "async_mode": False,
    "service_timeout": 0,
    "storage_mode": "memory",
    "language": "en",
    "app_id": "Bulkhead",
    "app_desc": "Bulkhead",
    "image_url_mask": False,
}
"""No threads and no limits of apprise, which has threads that a process waits for; no files; no pictures."""

_SECRET_CHARS = 4
_BETWEEN_PARTS = re.compile(r"[/:@?&=#,+\s]+")


class Service(Protocol):
    """Where a message goes; `label` names it without a secret."""

    label: str

    def send(self, message: Message) -> str | None:
        """Send a message, and return None, or why it was not accepted; blocks. Raises whatever the library does."""
        ...


class AppriseService:
    """One URL of apprise."""

    def __init__(self, apprise: Any, plugin: Any, url: str) -> None:
        self.label, shown_part = _label(plugin)
        self._apprise = apprise
        self._plugin = plugin
        self._mask = Mask(*(part for part in _parts(url) if part != shown_part))

    def send(self, message: Message) -> str | None:
        """Send a message, and return None, or what apprise says about the failure."""
        sender = self._apprise.Apprise(asset=self._plugin.asset)
        sender.add(self._plugin)
        result = sender.notify(
            title=message.title,
            body=message.body,
            notify_type=message.level,
            body_format=self._apprise.NotifyFormat.TEXT,
            interpret_escapes=False,
        )
        if result:
            return None
        said = [entry.message for entry in result.logs()]
        return self._mask.short(shown(" ".join(said[0].split()))).rstrip(".") if said else "no reason was given"


async def load_services(urls: Sequence[SecretStr], *, origin: str) -> list[AppriseService]:
    """Return the service of each URL. Raises ConfigError if apprise is not installed, or cannot use one of them."""
    if not urls:
        return []
    return await in_daemon_thread(lambda: _services([url.get_secret_value() for url in urls], origin))


def _services(urls: Sequence[str], origin: str) -> list[AppriseService]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # apprise imports what Python will remove
        try:
            import apprise  # noqa: PLC0415 - takes two seconds, which only those who are notified should pay

            asset = apprise.AppriseAsset(**_ASSET)
        except ImportError as error:
            raise ConfigError("the notify extra is not installed", hint=EXTRA_HINT) from error
        except Exception as error:
            why = f"the installed version of apprise cannot be used ({type(error).__name__})"
            raise ConfigError(why, hint=EXTRA_HINT) from error
        with _quiet(logging.getLogger("apprise")) as heard:
            return [_service(apprise, asset, url, heard, origin) for url in urls]


def _service(apprise: Any, asset: Any, url: str, heard: _Heard, origin: str) -> AppriseService:
    heard.said.clear()
    why = "apprise cannot use this URL"
    try:
        plugin = apprise.Apprise.instantiate(url, asset=asset)
    except Exception as error:  # noqa: BLE001 - a library for 189 services: whatever it raises, the URL is no use
        plugin, why = None, f"apprise cannot use this URL ({type(error).__name__})"
    if plugin is not None:
        return AppriseService(apprise, plugin, url)
    if any("disabled" in said for said in heard.said):
        why = "this machine lacks a package or program that it needs"
    raise ConfigError(f"notify_urls: {masked_url(url)} ({origin}): {why}", hint=URL_HINT)


class _Heard(logging.Handler):
    """Keeps what a logger says."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[_Heard]:
    """Keep a logger's texts, which can quote URLs, from other handlers for good; yield one that has them meanwhile.

    Of the HTTP library below it, only what it says in threads of notifications is dropped.
    """
    logging.getLogger("urllib3.connectionpool").addFilter(_is_elsewhere)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    logger.addHandler(logging.NullHandler())
    heard = _Heard()
    logger.addHandler(heard)
    try:
        yield heard
    finally:
        logger.removeHandler(heard)


def _is_elsewhere(record: logging.LogRecord) -> bool:
    return record.threadName != THREAD_NAME


def _label(plugin: Any) -> tuple[str, str | None]:
    """Return a name for a service, and the part of its URL in it: the host, if all its URLs name one, else None.

    Where a URL of a service need not name a host, what is at its place is a secret.
    """
    name, host = str(plugin.service_name), plugin.host
    if not host or not all("{host}" in template for template in type(plugin).templates):
        return name, None
    port = f":{plugin.port}" if plugin.port else ""
    return f"{name} ({shown(str(host))}{port})", str(host)


def _parts(url: str) -> list[str]:
    """Return each part of a URL that can be a secret."""
    rest = url.partition("://")[2]
    parts = {*_BETWEEN_PARTS.split(rest), *_BETWEEN_PARTS.split(unquote(rest))}
    return [part for part in parts if len(part) >= _SECRET_CHARS]
