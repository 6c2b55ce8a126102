"""Masking: what is kept of a text that someone else wrote, such as the vendor: no key, no signature, and no novel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from traceback import extract_tb

from runner.errors import BulkheadError, first_cause

TEXT_LIMIT = 500
"""Characters that are kept of a foreign text."""

_HIDDEN = "***"
_WHOLE_KEY_CHARS = 8
_TELLING_KEY_CHARS = 16
_FRAGMENT_CHARS = 12
_RANDOM_CHARS = 27
_RANDOM_CHANGES = 0.35
_DECODINGS_MOST = 4
_READ_CHARS = 4 * TEXT_LIMIT
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

_CODED = re.compile(
    r"%(?:25)*([0-7][0-9a-f])|\\{1,8}u00([0-7][0-9a-f])|\\{1,8}x([0-7][0-9a-f])|&#x0*([0-7][0-9a-f]);"
    r"|&#0*([0-9]{2,3});|&(amp|quot|apos);|\\{1,8}([/\"'&=])|.",
    re.IGNORECASE | re.DOTALL,
)
"""One character: as in a URL, in JSON, in HTML, or as it is."""
_PLAIN = re.compile(r"[ !#-$'-\[\]-~]*")
"""Visible ASCII without what begins an encoded character."""
_ENTITIES = {"amp": "&", "quot": '"', "apos": "'"}

_VALUE = r"[^\s\"'<>&;,]+"
_IS = r"[\"']?\s*[=:]\s*[\[\"']*"
_NAME = r"(?:key|token|signature|sig|credential|secret|password|policy|accessid|pair-id|authorization|cookie)(?:-?id)?"
_TELLING = r"(?=[^\s\"'<>&;,]*[0-9]|[^\s\"'<>&;,]{20})"
_SECRETS = (
    rf"(?:x-(?:amz|goog|ms|oss|cos|dromo)-[a-z0-9-]{{0,60}}){_IS}({_VALUE})",
    rf"{_NAME}[\"']?\s*=\s*[\"']?({_VALUE})",
    rf"{_NAME}{_IS}{_TELLING}({_VALUE})",
    rf"\b(?:bearer|basic|aws4-hmac-sha256)\s+(?=\S*[0-9=])({_VALUE})",
    r"\b(?:[a-z][a-z0-9+.-]{0,9}:)?//[^\s\"'<>?#]*([?#][^\s\"'<>]+)",
    r"\b[a-z][a-z0-9+.-]{0,9}://([^\s/\"'<>]+)@",
    r"(\?[\w.~-]+=[^\s\"'<>]+)",
    r"(?<![^\s&\"'<>])[^\s&\"'<>=]*?([\w.~-]{0,64}=[^\s&\"'<>]*+(?:&[\w.~-][^\s&\"'<>]*+)+)",
    r"<[a-z]{0,30}(?:key|token|signature|secret|policy)[a-z]{0,30}>([^<>]+)",
    r"\b(?:signature|token|secret|password)\s+(?=\S*[0-9])([A-Za-z0-9+/=_-]{16,})",
    r"((?=[0-9]{0,40}[a-f])[0-9a-f]{20,})",
    r"\b((?:AKIA|ASIA)[A-Z0-9]{8,})",
    r"\b(eyJ[\w.-]{8,})",
)
"""Secrets by their form, the secret itself in the group: parameters and headers, queries and their halves, tokens."""
_PATTERNS = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _SECRETS)
_LETTERS_AND_DIGITS = re.compile(rf"[A-Za-z0-9+/_-]{{{_RANDOM_CHARS},}}=*")
_CHANGE = re.compile(r"(?:[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|[0-9](?=[A-Za-z]))")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

Span = tuple[int, int]


def cut(text: str, most: int = TEXT_LIMIT) -> str:
    """Return a text of at most `most` characters, with an ellipsis at its end if some are left out."""
    return text if len(text) <= most else text[: most - 1] + "…"


class Mask:
    """Hides secrets in texts: the given ones, long parts of them, and whatever has the form of a secret.

    They are found in every encoding that responses use: of URLs, JSON, and HTML, also several times over.
    """

    def __init__(self, *secrets: str) -> None:
        lowered = [secret.translate(_LOWER) for secret in secrets if secret]
        self._telling = tuple(secret for secret in lowered if len(secret) >= _TELLING_KEY_CHARS)
        self._short = tuple(_word(secret) for secret in lowered if len(secret) < _WHOLE_KEY_CHARS)
        self._fragments: dict[int, set[str]] = {}
        for secret in lowered:
            if len(secret) >= _WHOLE_KEY_CHARS:
                size = max(_WHOLE_KEY_CHARS, min(_FRAGMENT_CHARS, len(secret) * 2 // 3))
                self._fragments.setdefault(size, set()).update(_windows(secret, size))

    def __call__(self, text: str) -> str:
        """Return the text with `***` for each secret."""
        plain = _Plain.of(text)
        spans = [*self._of_keys(plain.text), *_of_forms(plain.text)]
        return _replaced(text, plain.places(spans)) if spans else text

    def short(self, text: str) -> str:
        """Return the text without secrets, cut to TEXT_LIMIT characters."""
        return cut(self(text[:_READ_CHARS]))

    def knows(self, text: str) -> bool:
        """Return whether a text contains one of the given secrets as a whole.

        Secrets that are no longer than a word, such as those of tests, are not looked for: many names contain a word.
        """
        plain = (text if _PLAIN.fullmatch(text) else _Plain.of(text).text).translate(_LOWER)
        return any(secret in plain for secret in self._telling)

    def _of_keys(self, text: str) -> Iterator[Span]:
        lowered = text.translate(_LOWER)
        for pattern in self._short:
            yield from (found.span() for found in pattern.finditer(lowered))
        for size, fragments in self._fragments.items():
            for at, window in enumerate(_windows(lowered, size)):
                if window in fragments:
                    yield at, at + size


FORMS = Mask()
"""Hides what has the form of a secret."""


@dataclass(frozen=True, slots=True)
class _Plain:
    """A text without encodings and without invisible characters, and where each character comes from."""

    text: str
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, text: str) -> _Plain:
        plain = cls(text, tuple((at, at + 1) for at in range(len(text))))
        if _PLAIN.fullmatch(text):
            return plain
        for _ in range(_DECODINGS_MOST):
            decoded = plain._decoded()
            if decoded.text == plain.text:
                break
            plain = decoded
        return plain

    def _decoded(self) -> _Plain:
        found = [(_char(token), token.span()) for token in _CODED.finditer(self.text)]
        kept = [(char, span) for char, span in found if char.isprintable() or char.isspace()]
        spans = tuple((self.spans[begin][0], self.spans[end - 1][1]) for _, (begin, end) in kept)
        return _Plain("".join(char for char, _ in kept), spans)

    def places(self, spans: Iterable[Span]) -> list[Span]:
        """Return where spans of the plain text are in the original, merged and in order."""
        merged: list[Span] = []
        for begin, end in sorted((self.spans[begin][0], self.spans[end - 1][1]) for begin, end in spans if begin < end):
            if merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        return merged


def _char(token: re.Match[str]) -> str:
    *hexadecimal, decimal, entity, escaped = token.groups()
    code = next((one for one in hexadecimal if one), None)
    if code is not None:
        return chr(int(code, 16))
    if decimal is not None:
        return chr(int(decimal))
    return _ENTITIES[entity.lower()] if entity else escaped or token[0]


def _of_forms(text: str) -> Iterator[Span]:
    for pattern in _PATTERNS:
        yield from (found.span(1) for found in pattern.finditer(text))
    for found in _LETTERS_AND_DIGITS.finditer(text):
        if _is_random(found[0]):
            yield found.span()


def _is_random(word: str) -> bool:
    """Return whether a word changes between letters and digits as often as a signature does; ids are none."""
    count = sum(char.isalnum() for char in word)
    return len(_CHANGE.findall(word)) >= _RANDOM_CHANGES * count and not _UUID.fullmatch(word)


def _windows(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(len(text) - size + 1))


def _word(secret: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9]){re.escape(secret)}(?![a-z0-9])")


def _replaced(text: str, spans: Iterable[Span]) -> str:
    parts, at = [], 0
    for begin, end in spans:
        parts += [text[at:begin], _HIDDEN]
        at = end
    return "".join([*parts, text[at:]])


def log_fields(error: BaseException) -> dict[str, object]:
    """Return what a log says about an error.

    The text of another library's error is left out: it may contain a signed URL or a row.
    """
    cause = first_cause(error)
    if isinstance(cause, BulkheadError):
        return {"error": type(cause).__name__, "reason": FORMS(str(cause)), "hint": cause.hint}
    trace = [f"{at.filename}:{at.lineno} {at.name}" for at in extract_tb(cause.__traceback__)]
    return {"error": type(cause).__name__, "trace": trace}
