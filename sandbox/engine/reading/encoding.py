"""The encoding of a text file: byte order marks and zeros first, then UTF-8 by all bytes, then a code page."""

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sandbox.engine.reading.code_pages import Guess
from sandbox.engine.reading.survey import REPLACED, Survey

SAMPLE_BYTES = 64 * 1024
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_ZERO_SHARE = 0.7
_SOME_ZEROS = 0.02
_PRINTABLE_SHARE = 0.9
_DOUBT_CHARS = 30

Reread = Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Encoding:
    """A codec's name, and how many sequences of the file it cannot decode.

    If the codec is a doubtful guess, `other` is the next one, and `sample` a part of the file as each of them reads it.
    """

    name: str
    bad_count: int = 0
    other: str | None = None
    sample: str = ""


def find_encoding(head: bytes, chunks: Iterator[bytes], again: Reread) -> Encoding:
    """Return the encoding of a file from its first bytes, `head`, and all of its bytes, `chunks`.

    `again` yields all bytes once more; it is called if the file is in a code page.
    """
    announced = next((name for bom, name in _BOMS if head.startswith(bom)), None) or _wide_by_zeros(head)
    if announced is not None:
        return Encoding(announced, bad_count(announced, chunks))
    return _by_all_bytes(chunks, again)


def bad_count(name: str, chunks: Iterator[bytes]) -> int:
    """Count the sequences that a codec has to replace."""
    decoder = codecs.getincrementaldecoder(name)("replace")
    count = sum(decoder.decode(chunk).count(REPLACED) for chunk in chunks)
    return count + decoder.decode(b"", final=True).count(REPLACED)


def _wide_by_zeros(head: bytes) -> str | None:
    """Detect UTF-16 without a mark: in Western texts every second byte is zero, in tables of other texts some are."""
    sample = head[: len(head) & ~1]
    half = len(sample) / 2
    for name, high, low in (("utf-16-le", sample[1::2], sample[::2]), ("utf-16-be", sample[::2], sample[1::2])):
        zeros = high.count(0)
        if zeros and zeros >= half * _ZERO_SHARE and low.count(0) < half * 0.1:
            return name
        if zeros > half * _SOME_ZEROS and not low.count(0) and _is_wide_table(sample, name):
            return name
    return None


def _is_wide_table(sample: bytes, name: str) -> bool:
    """Return whether a sample decodes to lines of text."""
    try:
        text = codecs.getincrementaldecoder(name)().decode(sample)
    except UnicodeDecodeError:
        return False
    return "\n" in text and sum(map(str.isprintable, text)) >= len(text) * _PRINTABLE_SHARE


def _by_all_bytes(chunks: Iterator[bytes], again: Reread) -> Encoding:
    decoder = codecs.getincrementaldecoder("utf-8")()
    foreign, longer_count = b"", 0
    try:
        for chunk in chunks:
            longer_count += len(chunk) - len(decoder.decode(chunk))
            if longer_count and not foreign:
                foreign = chunk
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        held_count = len(decoder.getstate()[0])  # a part of error.object, which the survey counts again
        survey = Survey(foreign, longer_count - held_count)
        survey.add(error.object)
        for chunk in chunks:
            survey.add(chunk)
        return _chosen(survey, again)
    return Encoding("utf-8")


def _chosen(survey: Survey, again: Reread) -> Encoding:
    if survey.is_mostly_utf8:
        return Encoding("utf-8", survey.bad_count)
    best, other = survey.guesses()
    count = survey.bad_count if best.name == "utf-8" else bad_count(best.name, again())
    found = Encoding(best.name, count)
    return found if other is None else replace(found, other=other.name, sample=_difference(best, other))


def _difference(best: Guess, other: Guess) -> str:
    """Return the first part of the file that two guesses read differently, as each of them reads it."""
    pairs = zip(best.texts, other.texts, strict=True)
    texts = next(pair for pair in pairs if pair[0] != pair[1])
    return " or ".join(text[:_DOUBT_CHARS] for text in texts)
