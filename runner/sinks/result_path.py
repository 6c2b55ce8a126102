"""The path of a result below its root: a pure function of the item's source, safe on every file system."""

from __future__ import annotations

import hashlib
import re
import unicodedata

RESULTS = "results"
"""The folder of all results below the root."""

MAX_COMPONENT_BYTES = 200
MAX_PATH_BYTES = 800
"""A longer path gets a flat name: object stores end at 1024 bytes a key, macOS at 1024 a path (choice)."""

_HASH_DIGITS = 16
"""64 bits: of a million names cut to the same beginning, two meet with a chance of one in 30 million (choice)."""

_UNSAFE = re.compile(
    '[\x00-\x1f\x7f-\x9f\\\\<>:"|?*'  # control characters, and what Windows forbids
    "\u200e\u200f\u2028-\u202e\u2066-\u2069"  # marks that turn or break the line a name is shown in
    "\ud800-\udfff]"  # bytes that are not UTF-8
)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])\s*(?:\.|$)", re.IGNORECASE)
_MARKED = re.compile(rf"~[0-9a-f]{{{_HASH_DIGITS}}}$", re.IGNORECASE)
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_FOLDER_ENDINGS = (".json", ".partial")


def result_path(source: str, *, distinct: bool = False) -> str:
    """Return `results/<source>.json`: relative, below the root for any `source`, never shared by two sources.

    A component that is unsafe anywhere is made safe and marked with `~` and 16 hex digits of the SHA-256 of the source
    up to and with it. Unsafe are: empty, `.`, `..`, control and bidirectional characters, characters and device names
    that Windows reserves, a trailing dot or blank, bytes that are not UTF-8, names not in Unicode form NFC, more than
    200 bytes, and names that look marked already. A folder ending in `.json` or `.partial` is marked too, so no folder
    ever has the path of a result. A path over 800 bytes becomes one marked component.

    Ordinary names stay as they are, so names that differ in case alone differ in the path's case alone: a file system
    that ignores case needs `distinct=True` for the second of them, which always marks the last component.
    """
    if len(source) <= MAX_PATH_BYTES:
        path = f"{RESULTS}/{_below_results(source, distinct=distinct)}.json"
        if len(path.encode()) <= MAX_PATH_BYTES:
            return path
    return f"{RESULTS}/{_marked(_made_safe(source.rpartition('/')[2]), source)}.json"


def beside(path: str, import_id: str) -> str:
    """Return the path next to a result's for another version of it: `results/a.csv.json` -> `results/a.csv.~<id>.json`.

    An import id that is unsafe in a file name becomes its hash.
    """
    folder, _, name = path.rpartition("/")
    mark = import_id if _PLAIN_ID(import_id) else hashlib.sha256(import_id.encode()).hexdigest()[:_HASH_DIGITS]
    stem = _cut(name.removesuffix(".json"), MAX_COMPONENT_BYTES - len(mark) - len(".~"))
    return f"{folder}/{stem}.~{mark}.json"


def is_plain(name: str) -> bool:
    """Return whether a file name is safe on every file system as it is."""
    return "/" not in name and _made_safe(name) == name


def is_document(name: str) -> bool:
    """Return whether a document can have this name: a plain file name, or one in a hidden folder with a plain name."""
    folder, slash, last = name.rpartition("/")
    return is_plain(last) and (not slash or (folder.startswith(".") and is_plain(folder)))


def _below_results(source: str, *, distinct: bool) -> str:
    parts = source.split("/")
    prefixes = ["/".join(parts[: number + 1]) for number in range(len(parts))]
    folders = [_component(part, prefix, folder=True) for part, prefix in zip(parts[:-1], prefixes[:-1], strict=True)]
    last = _marked(_made_safe(parts[-1]), source) if distinct else _component(parts[-1], source, folder=False)
    return "/".join([*folders, last])


def _component(part: str, prefix: str, *, folder: bool) -> str:
    safe = _made_safe(part)
    changed = safe != part or bool(_MARKED.search(part)) or (folder and part.casefold().endswith(_FOLDER_ENDINGS))
    return _marked(safe, prefix) if changed else part


def _made_safe(part: str) -> str:
    safe = _UNSAFE.sub("_", unicodedata.normalize("NFC", part))
    safe = _cut(safe, MAX_COMPONENT_BYTES).rstrip(". ") or "_"
    return _cut(f"_{safe}", MAX_COMPONENT_BYTES) if _RESERVED.match(safe) else safe


def _marked(safe: str, prefix: str) -> str:
    digest = hashlib.sha256(prefix.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_cut(safe, MAX_COMPONENT_BYTES - _HASH_DIGITS - 1)}~{digest[:_HASH_DIGITS]}"


def _cut(text: str, size_bytes: int) -> str:
    return text.encode()[:size_bytes].decode("utf-8", "ignore")
