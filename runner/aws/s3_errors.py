"""S3 errors translated to errors of Bulkhead that name the place, the reason, and the next step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from botocore import exceptions as botocore

from runner.aws.errors import LOG_IN, NOT_ACCEPTED, KeyTrouble, code_of, expiry_named, key_trouble, unconfigured
from runner.errors import (
    BulkheadError,
    ConfigError,
    FileUnavailable,
    ItemRejected,
    SourceChanged,
    SourceNotFound,
    StorageFull,
)
from runner.masking import FORMS

if TYPE_CHECKING:
    from runner.aws.s3 import S3Place

FOREIGN = (botocore.BotoCoreError, botocore.ClientError, botocore.HTTPClientError, aiohttp.ClientError, OSError)
"""Errors that a call or the body of an answer may raise; a TimeoutError is an OSError."""


class Doing(Enum):
    """The operation at a place, and the permission that it needs."""

    LIST = ("list", "s3:ListBucket")
    READ = ("read", "s3:GetObject")
    WRITE = ("write to", "s3:PutObject")
    INSPECT = ("look at", "s3:GetObject and s3:ListBucket")
    ABORT = ("give up an upload to", "s3:AbortMultipartUpload")

    @property
    def is_about_source(self) -> bool:
        return self in (Doing.LIST, Doing.READ)


_CORRUPT = (botocore.ChecksumError, botocore.FlexibleChecksumError)
_OF_THE_MOMENT = (
    botocore.ConnectionError,
    botocore.HTTPClientError,
    botocore.IncompleteReadError,
    *_CORRUPT,
    botocore.MetadataRetrievalError,
    botocore.CapacityNotAvailableError,
    aiohttp.ClientError,
    OSError,
)
_REPEATABLE = frozenset(
    {
        "RequestTimeout", "RequestTimeoutException", "SlowDown", "Throttling", "ThrottlingException", "InternalError",
        "ServiceUnavailable", "OperationAborted", "ConditionalRequestConflict", "IncompleteBody", "BadDigest",
        "NoSuchUpload",  # an earlier attempt may have completed it
    }
)  # fmt: skip
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioStorageQuotaExceeded", "507"})
_OTHER_REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307"}
)
_UNMET = frozenset({"PreconditionFailed", "412", "NoSuchKey"})
_NETWORK = "check the network, and aws_endpoint_url if it is set"
_BUCKET_REGION = "x-amz-bucket-region"
_REGION_EXPECTED = re.compile(r"expecting '([a-z0-9-]+)'")


@contextmanager
def translated(place: S3Place, doing: Doing) -> Iterator[None]:
    """Raise an error of Bulkhead for every error of S3 or the network inside the block.

    An error about one object that is read is an ItemRejected: `not_found`, `access_denied`, `unreadable`, `archived`,
    or SourceChanged. An error about the KMS key of an object is a ConfigError: it is the key of most others, too.
    """
    try:
        with expiry_named():
            yield
    except FOREIGN as error:
        raise translation(error, place, doing) from error


def of_s3(answer: dict[str, Any], sign: str, place: S3Place, doing: Doing) -> dict[str, Any]:
    """Return an answer if it has the field that all such answers of S3 have. Raises FileUnavailable.

    The web page of a proxy, with status 200, would pass for an empty listing, or for an object that is stored.
    """
    if sign not in answer:
        tried = f"cannot {doing.value[0]} {place}"
        raise FileUnavailable(f"{tried}: something else answers in the place of S3, such as a proxy", hint=_NETWORK)
    return answer


def translation(error: Exception, place: S3Place, doing: Doing) -> BulkheadError:
    """Return the error of Bulkhead for an error of botocore or aiohttp at a place."""
    if isinstance(error, botocore.ClientError):
        return _Refusal(error, place, doing).translation()
    tried = f"cannot {doing.value[0]} {place}"
    if (lacking := unconfigured(error)) is not None:
        return ConfigError(f"{tried}: {lacking}", hint=lacking.hint)
    if isinstance(error, _OF_THE_MOMENT):
        return FileUnavailable(f"{tried}: {_trouble(error)}", hint=_NETWORK)
    reason = FORMS.short(str(error).splitlines()[0])
    return ConfigError(f"{tried}: {reason}", hint="check the bucket's name, aws_region and aws_endpoint_url")


class _Refusal:
    """An answer of S3 that is an error; the answer to a HEAD has a status and no code."""

    def __init__(self, error: botocore.ClientError, place: S3Place, doing: Doing) -> None:
        response: dict[str, Any] = dict(error.response)
        metadata = response.get("ResponseMetadata", {})
        self._code = code_of(error)
        self._key_trouble = key_trouble(error)
        self._message = str(response.get("Error", {}).get("Message", ""))
        self._status = int(metadata.get("HTTPStatusCode", 0))
        self._headers: dict[str, str] = metadata.get("HTTPHeaders", {})
        self._storage_class: str | None = response.get("Error", {}).get("StorageClass")
        self._place = place
        self._doing = doing

    def translation(self) -> BulkheadError:
        return self._transient() or self._of_all() or self._of_the_call()

    def _transient(self) -> BulkheadError | None:
        if self._code in _FULL or self._status == 507:
            return StorageFull(f"no space is left at {self._place}", hint="free some space and resume")
        is_busy = self._code in _REPEATABLE or self._key_trouble is KeyTrouble.BUSY
        if is_busy or self._status == 429 or (self._status >= 500 and self._status != 501):
            return FileUnavailable(f"{self._tried}: S3 answered {self._answer}")
        return None

    def _of_all(self) -> BulkheadError | None:
        """Return the error if it is about everything in the bucket, or about its key, which most objects share."""
        if self._code in _OTHER_REGION or (_BUCKET_REGION in self._headers and self._status in (301, 307)):
            return self._other_region()
        if self._code in NOT_ACCEPTED or self._code == "RequestTimeTooSkewed":
            return self._not_accepted()
        if self._code == "NoSuchBucket":
            return self._no_bucket()
        if self._key_trouble is not None and not self._is_denied_object:
            detail = f"{self._tried}: the KMS key that encrypts it {self._key_trouble.value} ({self._answer})"
            return ConfigError(detail, hint=self._key_trouble.hint)
        return None

    def _of_the_call(self) -> BulkheadError:
        if self._doing is Doing.READ:
            return self._about_object()
        if self._code == "InvalidObjectState":
            return self._archived_result()
        return self._no_permission() if self._status == 403 else ConfigError(f"{self._tried}: S3 says {self._answer}")

    @property
    def _is_denied_object(self) -> bool:
        """Return whether an object is denied because of its key, which may be its own, as that of another account."""
        return self._doing is Doing.READ and self._key_trouble is KeyTrouble.DENIED

    @property
    def _tried(self) -> str:
        return f"cannot {self._doing.value[0]} {self._place}"

    @property
    def _answer(self) -> str:
        known = "" if self._code in ("", str(self._status)) else f" {self._code}"
        return f"HTTP {self._status}{known}"

    def _no_bucket(self) -> BulkheadError:
        kind = SourceNotFound if self._doing.is_about_source else ConfigError
        hint = "check its name, and that aws_endpoint_url and the credentials belong to its account"
        return kind(f"there is no bucket {self._place.bucket}", hint=hint)

    def _no_permission(self) -> ConfigError:
        bucket, key = self._place.bucket, self._place.key
        resource = f"arn:aws:s3:::{bucket}" + ("" if self._doing is Doing.LIST else f"/{key}*")
        hint = f"allow {self._doing.value[1]} on {resource} in the identity's policy, and see the bucket's policy"
        if self._doing is Doing.INSPECT:
            folder = f"{key.rpartition('/')[0]}/".removeprefix("/")
            hint = (
                f"allow s3:GetObject on arn:aws:s3:::{bucket}/{folder}* and s3:ListBucket on arn:aws:s3:::{bucket} in "
                "the identity's policy, so that no result replaces a newer one"
            )
        if self._doing is Doing.LIST and key and not key.endswith("/"):
            hint += f"; a folder is written with a / at its end: {self._place}/"
        return ConfigError(f"{self._tried}: S3 denies it ({self._answer})", hint=hint)

    def _archived_result(self) -> ConfigError:
        where = f"the storage class {self._storage_class}" if self._storage_class else "an archive"
        hint = (
            "restore it, and leave the folder of results out of the bucket's lifecycle rules; or choose another --out"
        )
        return ConfigError(f"{self._tried}: it is in {where}", hint=hint)

    def _not_accepted(self) -> ConfigError:
        is_clock = self._code == "RequestTimeTooSkewed"
        hint = "set this machine's clock, for example with NTP" if is_clock else LOG_IN
        return ConfigError(f"{self._tried}: S3 does not accept the AWS credentials ({self._code})", hint=hint)

    def _other_region(self) -> ConfigError:
        found = _REGION_EXPECTED.search(self._message)
        region = self._headers.get(_BUCKET_REGION) or (found.group(1) if found else None)
        where = f"in region {region}" if region else "in another region"
        hint = f"set BULKHEAD_AWS_REGION={region or '<its region>'}"
        return ConfigError(f"{self._tried}: the bucket {self._place.bucket} is {where}", hint=hint)

    def _about_object(self) -> BulkheadError:
        """Return the error about this one object."""
        if self._status == 412:
            return changed()
        if self._status in (404, 405):
            return ItemRejected("not_found", "there is no such object")
        if self._status == 416:
            return ItemRejected("empty", "the object is empty (0 bytes)")
        if self._code == "InvalidObjectState":
            return archived(self._storage_class)
        if self._status == 403 or self._is_denied_object:
            return ItemRejected(
                "access_denied",
                f"S3 denies reading it ({self._answer}); that needs s3:GetObject, s3:GetObjectVersion for an "
                "object version, and kms:Decrypt if it is encrypted with a KMS key",
            )
        return ItemRejected("unreadable", f"S3 refuses to return it ({self._answer})")


def is_missing(error: BulkheadError) -> bool:
    """Return whether there is no such object; the answer to a HEAD has no code."""
    return isinstance(error.__cause__, botocore.ClientError) and code_of(error.__cause__) in ("404", "NoSuchKey")


def is_condition_unmet(error: BulkheadError) -> bool:
    """Return whether a write was refused because the object is not, or no longer, as the write's condition says."""
    return isinstance(error.__cause__, botocore.ClientError) and code_of(error.__cause__) in _UNMET


def is_condition_unsupported(error: BulkheadError) -> bool:
    """Return whether a store does not know conditional writes."""
    return isinstance(error.__cause__, botocore.ClientError) and code_of(error.__cause__) == "NotImplemented"


def is_about_content(error: BulkheadError) -> bool:
    """Return whether the received bytes fail S3's checksum, so that none of them can be used."""
    return isinstance(error.__cause__, _CORRUPT)


def changed() -> SourceChanged:
    """Return the rejection of an object that was replaced after it was listed."""
    return SourceChanged("the object was replaced after it was listed; the next run takes the new one")


def archived(storage_class: str | None) -> ItemRejected:
    """Return the rejection of an object that has to be restored before it can be read."""
    where = f"the storage class {storage_class}" if storage_class else "an archive"
    return ItemRejected("archived", f"the object is in {where} and cannot be read; restore it, then run again")


def _trouble(error: Exception) -> str:
    if isinstance(error, botocore.SSLError):
        return "no secure connection could be made (TLS)"
    if isinstance(
        error, (botocore.EndpointConnectionError, botocore.ConnectTimeoutError, botocore.ProxyConnectionError)
    ):
        return f"S3 cannot be reached{_address(error)}"
    if isinstance(error, (botocore.ReadTimeoutError, TimeoutError)):
        return "S3 did not answer in time"
    if isinstance(error, _CORRUPT):
        return "the received bytes do not match S3's checksum"
    return f"the connection was cut ({type(error).__name__})"


def _address(error: botocore.BotoCoreError) -> str:
    """Return the host of a request, without its path and query."""
    parts = urlsplit(str(error.kwargs.get("endpoint_url") or ""))
    return f" at {parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.hostname else ""
