"""A file's bytes: in memory, or where they lie."""

import io
from pathlib import Path
from typing import BinaryIO

from sandbox.engine.reading.encoding import SAMPLE_BYTES

Source = bytes | Path


def opened(source: Source) -> BinaryIO:
    """The bytes as a stream, from their start."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def for_library(source: Source) -> BinaryIO | Path:
    """The bytes as libraries take them, which open a path by themselves."""
    return io.BytesIO(source) if isinstance(source, bytes) else source


def size_bytes(source: Source) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def head_of(source: Source) -> bytes:
    """The first bytes of the file, as many as a sample takes."""
    with opened(source) as stream:
        return stream.read(SAMPLE_BYTES)
