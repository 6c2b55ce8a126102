"""Names of encodings, as a user writes them in `--encoding` and in routes."""

from __future__ import annotations

import codecs
from difflib import get_close_matches

_USUAL = (
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "cp1250", "cp1251", "cp1252",
    "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "windows-1250", "windows-1251", "windows-1252",
    "windows-1253", "windows-1254", "windows-1255", "windows-1256", "windows-1257", "windows-1258", "cp437", "cp737",
    "cp775", "cp850", "cp852", "cp855", "cp857", "cp858", "cp860", "cp861", "cp862", "cp863", "cp864", "cp865", "cp866",
    "cp869", "cp874", "cp932", "cp949", "cp950", "latin-1", "iso-8859-1", "iso-8859-2", "iso-8859-3", "iso-8859-4",
    "iso-8859-5", "iso-8859-6", "iso-8859-7", "iso-8859-8", "iso-8859-9", "iso-8859-10", "iso-8859-11", "iso-8859-13",
    "iso-8859-14", "iso-8859-15", "iso-8859-16", "koi8-r", "koi8-u", "mac-roman", "mac-latin2", "mac-cyrillic",
    "mac-greek", "mac-turkish", "mac-iceland", "shift_jis", "euc-jp", "iso-2022-jp", "gb2312", "gbk", "gb18030", "big5",
    "big5hkscs", "euc-kr", "johab", "tis-620", "ascii",
)  # fmt: skip
"""Names that a wrong one is compared with; other names that Python knows for these encodings are accepted, too."""

_SHOWN_CHARS = 40
_ACCEPTED = frozenset(codecs.lookup(name).name for name in _USUAL)
_MARKED = {"utf-8-sig": "utf-8"}


def encoding_of(value: object) -> str:
    """Return the name of an encoding as Python writes it, whatever it was called. Raises ValueError."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        name = codecs.lookup(text).name
    except (LookupError, ValueError):
        name = ""
    name = _MARKED.get(name, name)
    if name in _ACCEPTED:
        return name
    near = get_close_matches(text.lower()[:_SHOWN_CHARS], _USUAL, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]}?" if near else "write a name such as cp1252, cp1250, or shift_jis"
    named = f"called {text!r}" if 0 < len(text) <= _SHOWN_CHARS else "called so"
    raise ValueError(f"no encoding is {named}; {advice}")
