"""Proxy: the HTTP proxy between this machine and the vendor, and which hosts are reached without it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")
"""The variables by which other tools find a proxy, in the order in which they matter to an https address."""

_EXAMPLE = "write the address of an HTTP proxy, such as http://proxy.example:3128"
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_.:-]+", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z0-9+.-]+://", re.IGNORECASE)
_HIDDEN = "****"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; `str()` shows its address without user and password."""

    scheme: str
    host: str
    port: int
    credentials: str = field(default="", repr=False)
    """`user:password`, or the empty string."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `[http://][user:password@]host[:port]`. Raises ValueError, without the text."""
        parts = _parts(text.strip())
        if parts.scheme.startswith("socks"):
            raise ValueError(f"a SOCKS proxy is not supported; {_EXAMPLE}")
        if parts.scheme not in _PORTS:
            raise ValueError(_EXAMPLE)
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"{_EXAMPLE}; in a user or password, write / as %2F, ? as %3F, and # as %23")
        if not _HOST.fullmatch(parts.hostname or ""):
            raise ValueError(_EXAMPLE)
        credentials = unquote(parts.netloc.rpartition("@")[0])
        if not credentials.isprintable():
            raise ValueError("the user or the password of the proxy has a character that cannot be sent")
        return cls(parts.scheme, parts.hostname or "", _port(parts) or _PORTS[parts.scheme], credentials)

    @property
    def url(self) -> str:
        """The address, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """The header that gives user and password to the proxy, if there are any."""
        if not self.credentials:
            return {}
        user, _, password = self.credentials.partition(":")
        return {"Proxy-Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}

    def __str__(self) -> str:
        return self.url.replace("://", f"://{_HIDDEN}@") if self.credentials else self.url


def _parts(text: str) -> SplitResult:
    try:
        return urlsplit(text if "://" in text else f"http://{text}")
    except ValueError:
        raise ValueError(_EXAMPLE) from None


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise ValueError(f"{_EXAMPLE}; its port is a number") from None


def masked(text: str) -> str:
    """Return what a person wrote for a proxy, without user and password, even if it is not an address."""
    scheme, separator, rest = text.partition("://") if _SCHEME.match(text) else ("", "", text)
    _, at, host = rest.rpartition("@")
    name, colon, port = host.partition(":")
    if colon and not (at or host.startswith("[") or port.rstrip("/").isdigit()):
        host = f"{name}:{_HIDDEN}"
    return f"{scheme}{separator}{f'{_HIDDEN}@' if at else ''}{host}"


def unused_variable(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable by which other tools would find a proxy for an address, None if there is none."""
    host = urlsplit(url).hostname or ""
    name = next((one for one in VARIABLES if environ.get(one, "").strip()), None)
    if name is None or is_loopback_host(host) or _is_exempt(host, environ):
        return None
    return name


def _is_exempt(host: str, environ: Mapping[str, str]) -> bool:
    """Return whether NO_PROXY names a host, or a domain that it is in."""
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = [name.strip().lower().removeprefix("*").removeprefix(".") for name in listed.split(",")]
    if "*" in listed.split(","):
        return True
    return any(name and (host == name or host.endswith(f".{name}")) for name in names)


@lru_cache(maxsize=64)
def literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is written as, None if it is a name."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def mapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that systems connect to if an IPv6 address is a mapped one, or the address itself."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def is_loopback_host(host: str) -> bool:
    """Return whether a name or an address is this machine."""
    address = literal(host)
    return mapped(address).is_loopback if address else host == "localhost" or host.endswith(".localhost")
