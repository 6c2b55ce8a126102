"""AllowedHosts: the names under which a sandbox answers, so that no web page reaches it under a name of its own."""

import ipaddress
import re
from collections.abc import Iterable

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.ASCII)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]@/]*\]|[^\[\]:@/]*)(:(?P<port>[0-9]*))?", re.ASCII)
_LAST_PORT = 65_535


class AllowedHosts:
    """The hosts that a request may name: `localhost`, every IP address, and `names`; with any port.

    A page of another site reaches this machine under the site's name once that resolves to a loopback address (DNS
    rebinding). It can't choose an address or a name of this list, because the browser says which name it used.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {"localhost", *filter(None, map(_plain, names))}

    def allow(self, authority: str) -> bool:
        """Return whether a host with an optional port, as in the header `Host`, is allowed."""
        parts = _AUTHORITY.fullmatch(authority)
        if parts is None or int(parts["port"] or 0) > _LAST_PORT:
            return False
        host = parts["host"]
        return _plain(host) in self._names or is_address(host)


def read_host_name(text: str) -> str:
    """Return a host name for the list. Raises ValueError with a sentence."""
    name = _plain(text)
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a host name without a port: {text!r}")
    return name


def is_address(host: str) -> bool:
    """Return whether a host is an IPv4 address, or an IPv6 address in brackets."""
    try:
        if host.startswith("["):
            return bool(ipaddress.IPv6Address(host[1:-1]))
        return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches an address that a server listens on."""
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")
