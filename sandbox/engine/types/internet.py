"""The types email, domain, and url."""

import re

from sandbox.engine.libraries import library
from sandbox.engine.types.kind import CellError, Kind, Options
from sandbox.engine.types.public_suffixes import registrable_labels

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@(?![\d.]+$){_LABEL}(?:\.{_LABEL})+")
_DOMAIN_LABEL = re.compile(r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?")
_DOMAIN_MAX_CHARS = 253


class EmailKind(Kind):
    """An address by the grammar of HTML whose host has a dot and is not an IP address."""

    as_is = _EMAIL

    def __init__(self, _options: Options | None) -> None:
        super().__init__()

    def parse(self, text: str) -> str:
        if _EMAIL.fullmatch(text) is None:
            raise CellError("email")
        return text


class DomainKind(Kind):
    """A host name with a dot, in lower case; without `allowSubdomains`, only a name directly under a public suffix."""

    def __init__(self, options: Options | None) -> None:
        super().__init__()
        self._subdomains = (options or {}).get("allowSubdomains") is not False

    def parse(self, text: str) -> str:
        name = text.lower()
        labels = name.split(".")
        if len(labels) < 2 or len(name) > _DOMAIN_MAX_CHARS or labels[-1].isdecimal():
            raise CellError("domain")
        if not all(map(_DOMAIN_LABEL.fullmatch, labels)):
            raise CellError("domain")
        if not self._subdomains and len(labels) > registrable_labels(labels):
            raise CellError("subdomain")
        return name


class UrlKind(Kind):
    """A URL with a scheme and a host, as a browser writes it; `acceptedProtocols` and `acceptedDomains` restrict it.

    An accepted domain includes its subdomains; one without a dot matches any label of the host but the last.
    """

    def __init__(self, options: Options | None) -> None:
        super().__init__()
        given = options or {}
        self._protocols = [str(name).lower().rstrip("/").rstrip(":") for name in given.get("acceptedProtocols") or ()]
        self._domains = [str(name).lower().strip(".") for name in given.get("acceptedDomains") or ()]
        self._ada = library("can_ada", package="can_ada", purpose="reads URLs")

    def parse(self, text: str) -> str:
        try:
            url = self._ada.parse(text)
        except (ValueError, UnicodeError):
            raise CellError("url") from None
        host = url.hostname
        if not host:
            raise CellError("url")
        if self._protocols and url.protocol.removesuffix(":") not in self._protocols:
            raise CellError("protocol", protocols=", ".join(self._protocols))
        if self._domains and not any(_is_within(host, domain) for domain in self._domains):
            raise CellError("url-domain", domains=", ".join(self._domains))
        return str(url.href)


def _is_within(host: str, domain: str) -> bool:
    if "." not in domain:
        return domain == host or domain in host.split(".")[:-1]
    return host == domain or host.endswith(f".{domain}")
