"""Connections: how requests leave this machine, and what a person can do if no connection is made."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from runner.dromo.proxy import Proxy, is_loopback_host
from runner.errors import ConfigError, ConnectionBarred, NotSent

if TYPE_CHECKING:
    from pathlib import Path

    from yarl import URL

PROXY_HINT = 'give Bulkhead the address of the proxy: export BULKHEAD_PROXY="${}"'
_AUTHORITY_HINT = (
    "if your company inspects TLS, give Bulkhead the certificate of its authority: --ca-file FILE.pem, or set "
    "BULKHEAD_CA_FILE"
)
_CLOCK_HINT = "check this machine's clock, and the address"
_ADDRESS_HINT = "check the address"
_HINTS_BY_CODE = {9: _CLOCK_HINT, 10: _CLOCK_HINT, 62: _ADDRESS_HINT, 64: _ADDRESS_HINT}
"""By OpenSSL's number of what is wrong with a certificate: not yet valid, expired, of another name, another address."""

PASSWORD_NEEDED = 407


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """What connections are made through, and whom they trust.

    `proxy` is used for every host but this machine. `ca_file` has certificates of authorities that are trusted in
    addition to the system's. `unused_variable` is the variable of the environment by which other tools would find a
    proxy, if `proxy` is None.
    """

    proxy: Proxy | None = None
    ca_file: Path | None = None
    unused_variable: str | None = None

    def through(self, url: URL, headers: dict[str, str]) -> dict[str, Any]:
        """Return the arguments of a request to `url` with `headers`, which go through the proxy if it needs it."""
        proxy = self.proxy
        if proxy is None or is_loopback_host((url.host or "").lower()):
            return {"headers": headers}
        if url.scheme == "https":
            return {"headers": headers, "proxy": proxy.url, "proxy_headers": proxy.headers}
        return {"headers": {**headers, **proxy.headers}, "proxy": proxy.url}

    def tls(self) -> ssl.SSLContext | bool:
        """Return whom TLS trusts; True is the system's choice, or that of SSL_CERT_FILE. Raises ConfigError."""
        if self.ca_file is None:
            return True
        context = ssl.create_default_context()
        try:
            context.load_verify_locations(self.ca_file)
        except ssl.SSLError:
            problem = "has no certificate in PEM form"
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        else:
            return context
        raise ConfigError(f"ca_file = {self.ca_file} {problem}", hint="name a file with certificates in PEM form")

    def failure(
        self, error: aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError, *, peer: str, has_answered: bool
    ) -> NotSent | ConnectionBarred:
        """Return the error for a request to `peer` that was never sent.

        What a person must change, such as a certificate that is not trusted, is ConnectionBarred, unless the peer
        `has_answered` before: then it worked with what is set, and may again.
        """
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return self.refusal(error.status, peer=peer, has_answered=has_answered)
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return _of_certificate(error, peer=peer, has_answered=has_answered)
        reason = error.os_error.strerror or type(error.os_error).__name__
        if self._is_of_the_proxy(error):
            return NotSent(f"cannot connect to the proxy {self.proxy}: {reason}", hint="check --proxy")
        return self.not_connected(f"cannot connect to {peer}", reason, host=error.host)

    def not_connected(self, what: str, why: str, *, host: str) -> NotSent:
        """Return the error for a request to `host` that was not sent, which names the proxy, or a variable for one."""
        if self.proxy is not None and not is_loopback_host(host):
            return NotSent(f"{what} through the proxy {self.proxy}: {why}", hint="check --proxy")
        message = f"{what}: {why}"
        if self.unused_variable is None:
            return NotSent(message)
        return NotSent(
            f"{message}; {self.unused_variable} is set, but Bulkhead uses only the proxy of --proxy or BULKHEAD_PROXY",
            hint=PROXY_HINT.format(self.unused_variable),
        )

    def refusal(self, status: int, *, peer: str, has_answered: bool) -> NotSent | ConnectionBarred:
        """Return the error for a proxy that answers `status` instead of connecting to `peer`."""
        name = f"the proxy {self.proxy}" if self.proxy else "a proxy on the way"
        if status == PASSWORD_NEEDED:
            has_password = bool(self.proxy and self.proxy.credentials)
            what = "does not accept the user and password" if has_password else "needs a user and a password"
            message, hint = f"{name} {what} (HTTP 407)", "set BULKHEAD_PROXY=http://USER:PASSWORD@HOST:PORT"
        else:
            message = f"{name} does not connect to {peer} (HTTP {status})"
            hint = "ask for the host to be allowed in the proxy, or check --proxy"
        is_final = 400 <= status < 500 and status not in {408, 429} and not has_answered
        return ConnectionBarred(message, hint=hint) if is_final else NotSent(message, hint=hint)

    def _is_of_the_proxy(self, error: aiohttp.ClientConnectorError) -> bool:
        proxy = self.proxy
        return proxy is not None and (error.host, error.port) == (proxy.host, proxy.port)


def _of_certificate(
    error: aiohttp.ClientConnectorCertificateError, *, peer: str, has_answered: bool
) -> NotSent | ConnectionBarred:
    cause = error.certificate_error
    code = getattr(cause, "verify_code", 0)
    reason = getattr(cause, "verify_message", "") or "it is not valid"
    message = f"the certificate of {error.host} cannot be verified: {reason.rstrip('.')}"
    hint = _HINTS_BY_CODE.get(code, _AUTHORITY_HINT)
    if has_answered or peer != "the API":
        return NotSent(f"{message}; {hint}", hint=hint)
    return ConnectionBarred(message, hint=hint)
