"""Line breaks within the paragraphs of an ods, which its reader leaves out: a copy in which they are characters."""

import io
import re
import zipfile
from collections.abc import Iterator

from sandbox.engine.reading.ods_xlsb_extent import ODS_PART
from sandbox.engine.reading.package import pieces
from sandbox.engine.reading.source import Source, opened

_BREAK = re.compile(rb"<((?:[\w.-]{1,64}:)?line-break)\s*(?:/>|>\s*</\1\s*>)")
_NEEDED = ("mimetype", "META-INF/manifest.xml", ODS_PART)
_TAIL_MAX_BYTES = 1 << 10


def with_breaks(source: Source) -> bytes:
    """Return a zip with what the reader needs of the ods, which was inspected before."""
    made = io.BytesIO()
    with opened(source) as stream, zipfile.ZipFile(stream) as package:
        entries = [entry for entry in package.infolist() if entry.filename in _NEEDED]
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as copy:
            for entry in entries:
                content = pieces(stream, entry)
                with copy.open(entry.filename, "w", force_zip64=True) as target:
                    for piece in _replaced(content) if entry.filename == ODS_PART else content:
                        target.write(piece)
    return made.getvalue()


def _replaced(content: Iterator[bytes]) -> Iterator[bytes]:
    """Replace the breaks; a tag may be in two pieces."""
    tail = b""
    for piece in content:
        text = tail + piece
        cut = max(len(text) - _TAIL_MAX_BYTES, 0)
        cut = max(text.rfind(b"<", 0, cut), 0)
        tail = text[cut:]
        yield _BREAK.sub(b"&#10;", text[:cut])
    yield _BREAK.sub(b"&#10;", tail)
