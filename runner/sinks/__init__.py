"""Sinks, where results and manifests are written: a directory of this machine, or an S3 prefix.

Imports the root nouns and `aws`.

- sink: stores a result or a document completely or not at all.
- result: the cleaned rows of a successful import, one complete JSON array.
- result path: where a result is below its sink, a function of the item's source.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner.aws.s3 import is_s3
from runner.sinks.local import LocalSink

if TYPE_CHECKING:
    from runner.aws.s3 import S3Client
    from runner.permissions import Permissions
    from runner.protocols import Sink

__all__ = ["LocalSink", "open_sink"]


def open_sink(
    out: str, *, s3: S3Client | None = None, root: Permissions | None = None, permissions: Permissions | None = None
) -> Sink:
    """Return the sink of a path, or of an `s3://bucket/prefix`, for which `s3` is the client. Raises ConfigError.

    `root` and `permissions` are those of `LocalSink`.
    """
    if not is_s3(out):
        return LocalSink(Path(out), root_permissions=root, permissions=permissions)
    from runner.sinks.s3 import S3Sink  # noqa: PLC0415 - botocore is slow to import and often not needed

    if s3 is None:
        raise TypeError(f"{out} needs a client of S3")
    return S3Sink(out, s3)
