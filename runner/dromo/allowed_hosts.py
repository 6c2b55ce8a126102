"""The hosts and addresses that presigned urls may use; the vendor's answers are not trusted."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from runner.errors import UploadRefused
from runner.globs import Globs

_NAT64 = IPv6Network("64:ff9b::/96")
_PLAIN_URL = re.compile(r"[!-\[\]-~]+")
"""Visible ASCII without the backslash, about which url parsers disagree."""
_NUMERIC_HOST = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)
"""A host whose last label is a number is an IPv4 address, in any notation."""


class StorageHosts:
    """Judges presigned urls by the API they came from.

    A public API may send us to public hosts only: https, port 443, no user. An API on this machine or in a private
    network (the sandbox) may also send us to private hosts, and by http to loopback; any API by its own scheme to its
    own host. `patterns`, globs such as `*.s3.us-west-2.amazonaws.com`, restrict all that to hosts that match one of
    them. Raises ConfigError if a glob is malformed.
    """

    def __init__(self, api_url: str, *, patterns: Sequence[str] = ()) -> None:
        api = URL(api_url)
        self._api_host = (api.host or "").lower()
        self._api_scheme = api.scheme
        self._api_is_local = _is_local_name(self._api_host)
        self._patterns = Globs(pattern.lower() for pattern in patterns)

    def checked(self, url: str) -> URL:
        """Return the url, not requoted, if a request may be sent to it. Raises UploadRefused, without the url."""
        target = _parsed(url)
        if target is None:
            raise UploadRefused("the vendor sent a storage url that is not a url", may_pass=True)
        host = (target.host or "").lower()
        if "@" in target.raw_authority:
            raise UploadRefused("the vendor sent a storage url with a user in it", may_pass=True)
        if not self._scheme_is_admitted(target, host):
            raise UploadRefused("the vendor sent a storage url that is not https on its usual port", may_pass=True)
        address = _literal(host)
        if address is None and _NUMERIC_HOST.fullmatch(host):
            raise UploadRefused("the vendor sent a storage url with an address in an unusual spelling", may_pass=True)
        if address is not None and not self.admits(address, host=host):
            raise UploadRefused("the vendor sent a storage url with a private address", may_pass=True)
        if self._patterns.patterns and not self._patterns.matches(host):
            raise UploadRefused(
                "the vendor sent a storage url of a host that is not on the list of allowed hosts", may_pass=True
            )
        return target

    def admits(self, address: IPv4Address | IPv6Address, *, host: str) -> bool:
        """Return whether a connection to this address of `host` is allowed."""
        inner = _unwrapped(address)
        if inner.is_global and not inner.is_multicast:
            return True
        if not (self._api_is_local or host == self._api_host):
            return False
        if inner.is_loopback:
            return True
        return inner.is_private and not (inner.is_link_local or inner.is_unspecified or inner.is_multicast)

    def _scheme_is_admitted(self, target: URL, host: str) -> bool:
        of_api = host == self._api_host and target.scheme == self._api_scheme
        if of_api or (self._api_is_local and _is_loopback_name(host)):
            return target.scheme in {"http", "https"}
        return target.scheme == "https" and (target.port == 443 or self._api_is_local)


class GuardedResolver(AbstractResolver):
    """Resolves names and returns only allowed addresses, so that the checked address is the one that is used."""

    def __init__(self, hosts: StorageHosts, inner: AbstractResolver | None = None) -> None:
        self._hosts = hosts
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses. Raises UploadRefused if there are none, OSError if the name is unknown."""
        found = await self._inner.resolve(host, port, family)
        admitted = [entry for entry in found if self._is_admitted(entry["host"], host)]
        if not found:
            raise OSError("the name has no address")
        if not admitted:
            raise UploadRefused("the storage host of the vendor's url has a private address", may_pass=True)
        return admitted

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()

    def _is_admitted(self, address: str, host: str) -> bool:
        parsed = _literal(address)
        return parsed is not None and self._hosts.admits(parsed, host=host.lower())


def _parsed(url: str) -> URL | None:
    if not _PLAIN_URL.fullmatch(url):
        return None
    try:
        target = URL(url, encoded=True)
        complete = bool(target.host and target.port)
    except ValueError:
        return None
    return target if complete else None


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address contains, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def _is_loopback_name(host: str) -> bool:
    address = _literal(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def _is_local_name(host: str) -> bool:
    """Return whether the user's API host is on this machine or network: by its address, or a name without a dot."""
    address = _literal(host)
    if address is not None:
        return not _unwrapped(address).is_global
    return _is_loopback_name(host) or "." not in host
