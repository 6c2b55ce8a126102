"""What the working directory may decide: nothing that sends a key, AWS credentials, or data elsewhere.

`.env` and `bulkhead.toml` that are found in the working directory are one origin: a person who can write one of them
can write the other. A file that is named by `--config` or a variable of the environment is another one.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from runner.aws.s3 import is_s3
from runner.dromo.proxy import Proxy
from runner.errors import ConfigError

DEFAULT_API_URL = "https://app.dromo.io/api/v1"
WORKING_DIRECTORY = "the working directory"

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_loopback(url: str) -> bool:
    """Return whether an address is on this machine."""
    return urlsplit(url).hostname in _LOOPBACK


@dataclass(frozen=True, slots=True)
class Redirect:
    """A setting that says where secrets or data go: what Bulkhead does with it, and its values that do no harm."""

    what: str
    is_harmless: Callable[[str], bool]
    canonical: Callable[[object], object] = lambda value: str(value).strip().rstrip("/")


def _proxy_of(value: object) -> object:
    """Return the proxy that a value means; the value itself if it means none."""
    try:
        return value if isinstance(value, Proxy) else Proxy.parse(str(value))
    except ValueError:
        return value


REDIRECTS = {
    "api_url": Redirect("sends the license key there", lambda url: url == DEFAULT_API_URL or is_loopback(url)),
    "aws_endpoint_url": Redirect("sends AWS credentials there", is_loopback),
    "out": Redirect("sends results there", lambda place: not is_s3(place)),
    "proxy": Redirect("sends requests through it", lambda _: False, canonical=_proxy_of),
    "ca_file": Redirect("trusts it", lambda _: False),
}
"""The settings by which the working directory alone could send secrets or data elsewhere."""

IGNORED = ("notify_urls", "on_finish")
"""The settings that files found in the working directory cannot give: whom to write to, and a command to run."""

FILES = {"fields_file": "fields", "settings_file": "settings", "hooks_file": "hooks"}
"""The settings that name a file of a schema, and the file's part of the schema."""


def refuse_redirect(name: str, value: object, *, origin: str, trusted: Iterable[object], reason: str = "") -> None:
    """Refuse a value of the working directory, unless it is harmless or `trusted` origins say the same.

    Raises ConfigError with the line that says so.
    """
    redirect, shown = REDIRECTS[name], str(value)
    if redirect.is_harmless(shown) or redirect.canonical(value) in map(redirect.canonical, trusted):
        return
    raise ConfigError(
        f"{name} = {shown[:200]} ({origin} in {WORKING_DIRECTORY}): Bulkhead {redirect.what} only if "
        f"a flag, the environment, or a file named by --config says so, too{reason}",
        hint=f"if it is right, run: {export_line(name, value)}",
    )


def export_line(name: str, value: object) -> str:
    """Return the shell line that gives a setting to the environment."""
    return f"export BULKHEAD_{name.upper()}={shlex.quote(str(value))}"


def not_used(name: str, file: str) -> tuple[str, str]:
    """Return why one of the IGNORED settings is not used, and what to do, for a file that was found."""
    why = f"{name} of {file} in {WORKING_DIRECTORY} is not used, because nobody named this file"
    return why, f"set BULKHEAD_{name.upper()} in the environment" if file == ".env" else f"add --config {file}"


@dataclass(frozen=True, slots=True)
class Confinement:
    """The directory that a schema of the working directory takes its files from, and the line that lifts the limit."""

    directory: Path
    line: str

    def allows(self, path: Path) -> bool:
        """Return whether a path, with all links followed, is in the directory."""
        return path.is_relative_to(self.directory)


def notification_addresses(settings: object) -> list[str]:
    """Return the keys of an import's settings that name an address to notify: the webhooks of that import."""
    inner: Collection[object] = ()
    found: list[str] = []
    if isinstance(settings, dict):
        inner = settings.values()
        found = [str(key) for key, value in settings.items() if value and _is_webhook(str(key))]
    elif isinstance(settings, list):
        inner = settings
    return found + [key for one in inner for key in notification_addresses(one)]


def _is_webhook(key: str) -> bool:
    return key.replace("_", "").replace("-", "").lower().endswith("webhookurl")
