"""A file's bytes: in memory or at a path."""

import io
from pathlib import Path
from typing import BinaryIO

from sandbox.engine.reading.encoding import SAMPLE_BYTES

Source = bytes | Path


def opened(source: Source) -> BinaryIO:
    """Return the bytes as a stream from their start."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def for_library(source: Source) -> BinaryIO | Path:
    """Return the bytes as libraries accept them: a stream, or a path that they open themselves."""
    return io.BytesIO(source) if isinstance(source, bytes) else source


def size_bytes(source: Source) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def head_of(source: Source) -> bytes:
    """Return the first SAMPLE_BYTES bytes of the file."""
    with opened(source) as stream:
        return stream.read(SAMPLE_BYTES)
