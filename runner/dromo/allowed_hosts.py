"""The hosts and addresses that presigned urls and review urls may use; the vendor's answers are not trusted."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from runner.dromo.proxy import Proxy, is_loopback_host, literal, mapped
from runner.errors import UploadRefused
from runner.globs import Globs

_NAT64 = IPv6Network("64:ff9b::/96")
_INTERNET = IPv6Network("2000::/3")
"""All that is assigned of IPv6's global addresses. Outside are private, local, and IPv4-compatible ones, and NAT64."""

_SPECIAL = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # where machines at Azure ask for their configuration
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),  # Teredo and others, examples, 6to4, examples
    )
)
"""What is not of the public internet (IANA's registries of special addresses), and tunnels that can end anywhere."""

_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_METADATA = IPv6Network("fd00:ec2::/32")
"""Where machines at AWS ask for their credentials by IPv6."""

NO_LINK = "not a link, because review_hosts does not allow it: "
_PLAIN_URL = re.compile(r"[!-\[\]-~]+")
"""Visible ASCII without the backslash, about which url parsers disagree."""
_HOST = re.compile(r"[a-z0-9_.:-]+", re.IGNORECASE)
"""A name or an address. At any other character, what recognizes links in a text may end one, and so change its host."""
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
        address = literal(host)
        if "%" in host or (address is None and (":" in host or _NUMERIC_HOST.fullmatch(host))):
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
        if _is_public(address):
            return True
        if not (self._api_is_local or host == self._api_host):
            return False
        inner = mapped(address)
        return inner.is_loopback or (any(inner in network for network in _PRIVATE) and inner not in _METADATA)

    def _scheme_is_admitted(self, target: URL, host: str) -> bool:
        of_api = host == self._api_host and target.scheme == self._api_scheme
        if of_api or (self._api_is_local and is_loopback_host(host)):
            return target.scheme in {"http", "https"}
        return target.scheme == "https" and (target.port == 443 or self._api_is_local)


class ReviewLinks:
    """Judges review urls: a link leads by https to a host that matches `patterns`, or to the API's own host.

    An API on this machine (the sandbox) may also send people to this machine, by http, too; any API by its own scheme
    to its own host. Raises ConfigError if a glob is malformed.
    """

    def __init__(self, api_url: str, *, patterns: Sequence[str]) -> None:
        api = URL(api_url)
        self._api_host = (api.host or "").lower()
        self._api_scheme = api.scheme
        self._patterns = Globs(pattern.lower() for pattern in patterns)

    def shown(self, url: str) -> str:
        """Return a url that may be opened as it is, and any other one as a text that nothing turns into a link."""
        return url if self._allows(url) else NO_LINK + url.replace("://", "[:]//")

    def _allows(self, url: str) -> bool:
        target = _parsed(url)
        host = (target.host or "").lower() if target else ""
        if target is None or "@" in target.raw_authority or target.scheme not in {"http", "https"}:
            return False
        if is_loopback_host(host):
            return is_loopback_host(self._api_host)
        if host == self._api_host:
            return target.scheme in {"https", self._api_scheme}
        return target.scheme == "https" and self._patterns.matches(host)


class GuardedResolver(AbstractResolver):
    """Resolves names and returns only allowed addresses, so that the checked address is the one that is used.

    A `proxy` may have any address. It resolves the names of the hosts that it connects to.
    """

    def __init__(
        self, hosts: StorageHosts, inner: AbstractResolver | None = None, *, proxy: Proxy | None = None
    ) -> None:
        self._hosts = hosts
        self._inner = inner or ThreadedResolver()
        self._proxy = (proxy.host, proxy.port) if proxy else None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses. Raises UploadRefused if there are none, OSError if the name is unknown."""
        found = await self._inner.resolve(host, port, family)
        if (host, port) == self._proxy:
            return found
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
        parsed = literal(address)
        return parsed is not None and self._hosts.admits(parsed, host=host.lower())


def _parsed(url: str) -> URL | None:
    if not _PLAIN_URL.fullmatch(url):
        return None
    try:
        target = URL(url, encoded=True)
        complete = bool(target.port and _HOST.fullmatch(target.raw_host or ""))
    except ValueError:
        return None
    return target if complete else None


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is of the public internet, also as one of IPv4 behind NAT64."""
    if address in _NAT64:
        return _is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    inner = mapped(address)
    if isinstance(inner, IPv6Address) and inner not in _INTERNET:
        return False
    return not any(inner in network for network in _SPECIAL)


def _is_local_name(host: str) -> bool:
    """Return whether the user's API host is on this machine or network: by its address, or a name without a dot."""
    address = literal(host)
    if address is not None:
        return not _is_public(address)
    return is_loopback_host(host) or "." not in host
