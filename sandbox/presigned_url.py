"""Presigned URLs: how the storage signs them, and which spellings of one it accepts."""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, unquote_to_bytes, urlencode, urlsplit

from sandbox.problems import StorageProblem

SIGNATURE = "X-Amz-Signature"
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"

Method = Literal["PUT", "GET"]


class UrlSigner:
    """Makes and checks presigned URLs.

    As in S3, the signature covers the method and what path and query mean, not how they are spelled: both are decoded
    and encoded again, and the parameters are sorted, before they are signed. Every parameter but the signature counts.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, method: Method, path: str, *, now: float, ttl_s: int) -> str:
        """Return the request target (path and query) of a URL that is valid for `ttl_s` seconds from `now`."""
        signed_at = datetime.fromtimestamp(now, UTC)
        query = urlencode(
            {
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": f"SANDBOX/{signed_at:%Y%m%d}/local/s3/aws4_request",
                "X-Amz-Date": signed_at.strftime(_DATE_FORMAT),
                "X-Amz-Expires": ttl_s,
                "X-Amz-SignedHeaders": "host",
            }
        )
        return f"{path}?{query}&{SIGNATURE}={self._signature(method, path, query)}"

    def check(self, method: Method, url: str, *, now: float) -> str:
        """Return the decoded path of `url` (whole, or its request target).

        Raises StorageProblem 403 if it is forged or expired.
        """
        parts = urlsplit(url)
        signatures = [value for name, value in _parameters(parts.query) if name == SIGNATURE]
        expected = self._signature(method, parts.path, parts.query)
        if len(signatures) != 1 or not hmac.compare_digest(signatures[0].encode(), expected.encode()):
            raise StorageProblem(
                403,
                "SignatureDoesNotMatch",
                "The request signature does not match the signature of this URL; send the path and the query "
                "parameters that were issued, and no others.",
            )
        query = dict(_parameters(parts.query))
        signed_at = datetime.strptime(query["X-Amz-Date"], _DATE_FORMAT).replace(tzinfo=UTC)
        if now > signed_at.timestamp() + int(query["X-Amz-Expires"]):
            raise StorageProblem(403, "AccessDenied", "Request has expired")
        return _decoded(parts.path).decode(errors="replace")

    def _signature(self, method: Method, path: str, query: str) -> str:
        canonical = f"{method}\n{quote(_decoded(path))}?{_canonical(query)}"
        return hmac.new(self._secret, canonical.encode(), hashlib.sha256).hexdigest()


def _canonical(query: str) -> str:
    """Return a query without its signature, encoded as S3 does, in the order of names and values."""
    pairs = sorted(pair for pair in _parameters(query) if pair[0] != SIGNATURE)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _parameters(query: str) -> list[tuple[str, str]]:
    """Return the names and values of a query, each decoded and encoded again; `x` is the same as `x=`."""
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(quote(_decoded(name), safe=""), quote(_decoded(value), safe="")) for name, _, value in parts]


def _decoded(text: str) -> bytes:
    """Return what a part of a URL stands for; as in S3, `+` is a space, in the path, too."""
    return unquote_to_bytes(text.replace("+", " ").encode(errors="surrogateescape"))
