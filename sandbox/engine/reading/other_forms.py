"""What a file is if it holds no table that can be read: its name, and what a person can do about it."""

import re
from collections.abc import Sequence

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.warning import visible

_UNPACK = "Unpack it, and import the files in it."
_EXPORT = "Open it in the program that it was made with, and export its table as CSV or XLSX."
_SAVE = "Open it in a spreadsheet program, and save it as CSV or XLSX."
_SAVE_PAGE = "It may be a login or error page in place of the file: download it again, or save its table as CSV."
_RENAME = "Give it a name that ends with .json or .jsonl, so that its rows are imported."
_NAMES_SHOWN = 3

_COMPRESSED = (
    (b"\x1f\x8b", "gzip"),
    (b"\x1f\x9d", "compress"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!\x1a", "RAR"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"MSCF", "CAB"),
)
_BINARY = (
    (b"%PDF-", "a PDF"),
    (b"\x89PNG\r\n\x1a\n", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC\x0a", "an ORC file"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\0\x01\0\0Standard ", "an Access database"),
    (b"\0\0\x1a\0", "a Lotus 1-2-3 workbook"),
    (b"\0\0\x02\0", "a Lotus 1-2-3 workbook"),
)
_STREAMS = (
    ("WordDocument", "a Word document"),
    ("PowerPoint Document", "a presentation (PowerPoint)"),
    ("__properties_version1.0", "an Outlook message"),
)
_TAR_MARK, _TAR_AT = b"ustar", 257
_EMPTY_ZIP = b"PK\x05\x06"
_MAGIC = (_EMPTY_ZIP, *(magic for magic, _ in (*_COMPRESSED, *_BINARY)))

_HTML_TAGS = (
    "!doctype|html|head|body|title|meta|link|base|style|script|noscript|table|caption|thead|tbody|tr|td|th|div|span|p|"
    "br|hr|a|b|i|u|em|strong|font|center|h[1-6]|ul|ol|li|dl|img|pre|iframe"
)
_BEFORE = r"[\s\ufeff]*(?:<!--.*?-->\s*|<!\[[^<>]*>\s*)*"
_HTML = re.compile(rf"{_BEFORE}<(?:{_HTML_TAGS})(?:\s[^<>]*|/)?>", re.IGNORECASE | re.DOTALL)
_XML = re.compile(rf"{_BEFORE}<(?:\?xml\b|!DOCTYPE\b|([A-Za-z_][\w.:-]*)(?:\s[^<>]*)?/?>)", re.DOTALL)
_CLOSING = re.compile(r"</[A-Za-z_]|/>")
_XHTML = re.compile(r"<(?:html|body|div|td|span|p|br|script)[\s>/]", re.IGNORECASE)
_SYLK = re.compile(r"ID;P[^\r\n]*[\r\n]+(?:[A-Z]{1,2};[^\r\n]*[\r\n]+)*?[CFBP];")
_JSON = re.compile(r'\s*(?:\[\s*)*\{\s*"(?:[^"\\]|\\.){0,200}"\s*:')
_TEXTS = (
    (re.compile(r"\{\\rtf\d"), "formatted text (RTF)", _EXPORT),
    (re.compile(r"MIME-Version:\s*\d", re.IGNORECASE), "a web archive (MHTML)", _SAVE),
    (_SYLK, "a SYLK file", _SAVE),
    (re.compile(r"TABLE\r?\n0,1\r?\n"), "a DIF file", _SAVE),
    (
        re.compile(r"BEGIN:V(?:CARD|CALENDAR)\b", re.IGNORECASE),
        "a list of contacts or events (vCard, iCalendar)",
        _EXPORT,
    ),
    (_JSON, "JSON", _RENAME),
)


def refuse_by_bytes(head: bytes) -> None:
    """Raise UnreadableFileError for a compressed or binary file that is no workbook."""
    if not head.startswith(_MAGIC) and not head.startswith(_TAR_MARK, _TAR_AT):
        return
    for magic, tool in _COMPRESSED:
        if head.startswith(magic):
            raise _refused(f"compressed ({tool})", _UNPACK)
    if head.startswith(_TAR_MARK, _TAR_AT):
        raise _refused("an archive (tar)", _UNPACK)
    if head.startswith(_EMPTY_ZIP):
        raise _refused("an empty zip archive", "Find out why it is empty.")
    for magic, name in _BINARY:
        if head.startswith(magic):
            raise _refused(name, _EXPORT)


def refuse_by_text(sample: str) -> None:
    """Raise UnreadableFileError for a text that is no table; `sample` is its beginning."""
    if _HTML.match(sample):
        raise _refused("a web page", _SAVE_PAGE)
    if (found := _XML.match(sample)) and (found[1] is None or _CLOSING.search(sample)):
        raise _refused(*(("a web page", _SAVE_PAGE) if _XHTML.search(sample) else ("XML", _SAVE)))
    bare = sample.lstrip("\ufeff")
    for form, name, remedy in _TEXTS:
        if form.match(bare):
            raise _refused(name, remedy)


def refuse_by_entries(names: Sequence[str], kind: str) -> None:
    """Raise UnreadableFileError for a zip that is no workbook: by its entries, and by what its `mimetype` says."""
    plain = [name.replace("\\", "/").lstrip("/").lower() for name in names]
    form = _document(plain, kind)
    if form is not None:
        raise _refused(form, _EXPORT)
    is_workbook = any(name in ("[content_types].xml", "content.xml", "mimetype") or "xl/" in name for name in plain)
    if not is_workbook:
        shown = ", ".join(map(visible, names[:_NAMES_SHOWN])) + (", …" if len(names) > _NAMES_SHOWN else "")
        raise _refused(f"a zip archive of other files ({shown})" if names else "an empty zip archive", _UNPACK)


def refuse_by_streams(data: bytes) -> None:
    """Raise UnreadableFileError for an old Office file that is no workbook."""
    for stream, name in _STREAMS:
        if stream.encode("utf-16-le") in data:
            raise _refused(name, _EXPORT)


def _document(names: Sequence[str], kind: str) -> str | None:
    if any(name.startswith("word/") for name in names):
        return "a Word document"
    if any(name.startswith("ppt/") for name in names):
        return "a presentation (PowerPoint)"
    if any(name.endswith((".iwa", "index.zip", "index.apxl")) for name in names):
        return "a Numbers document (or one of Pages or Keynote)"
    if "opendocument" in kind and "spreadsheet" not in kind:
        return "an OpenDocument file other than a spreadsheet"
    return "an e-book (EPUB)" if "epub" in kind else None


def _refused(name: str, remedy: str) -> UnreadableFileError:
    return UnreadableFileError(f"The file is {name}, which cannot be imported. {remedy}")
