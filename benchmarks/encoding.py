"""The detection of encodings: how many generated files are read right, beside chardet and charset-normalizer alone.

`python -m benchmarks.encoding` makes tables of 10 to 1000 rows in 17 languages, with letters beyond ASCII in 1, 5, 20,
and 100 percent of their rows, once from words that the detector was tried on and once from words held out. A file is
right if its text comes out as it went in. Then it measures how fast a large file in UTF-8 is recognized.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat

import chardet
import charset_normalizer

from benchmarks.encoding_words import ALSO, HELD_OUT, LANGUAGES, PLAIN, TUNED
from benchmarks.figures import Figure, report
from sandbox.engine.reading.encoding import SAMPLE_BYTES, Encoding, find_encoding

SHARES = (0.01, 0.05, 0.2, 1.0)
ROW_COUNTS = (10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 700, 1000)
CHUNK = ("id,customer,city,note\n" + "1,Jürgen Groß,Łódź,a plain text of some length\n" * 20_000).encode()
LARGE_CHUNKS = 100
RIVALS = ("chardet", "charset-normalizer")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the detectors made of one file: whether each was right, and whether ours said that it was unsure."""

    language: str
    share: float
    right: Mapping[str, bool]
    warned: bool


def table(words: str, encoding: str, *, share: float, row_count: int, rng: random.Random) -> str:
    """Return a CSV text in which a share of the rows, at least one, has a word of the language."""
    own = [word for word in words.split() if not word.isascii() and can_be_in(word, encoding)]
    plain = PLAIN.split()
    chosen = set(rng.sample(range(row_count), max(1, round(row_count * share))))
    lines = ["Name,City,Amount"]
    for at in range(row_count):
        name = rng.choice(own if at in chosen else plain)
        lines.append(f"{name},{rng.choice(plain)},{rng.randint(1, 9999)}")
    return "\r\n".join(lines) + "\r\n"


def can_be_in(word: str, encoding: str) -> bool:
    return word.encode(encoding, "replace").decode(encoding) == word


def ours(raw: bytes) -> Encoding:
    return find_encoding(raw[:SAMPLE_BYTES], iter([raw]), lambda: iter([raw]))


def is_read_by(name: str | None, raw: bytes, text: str) -> bool:
    try:
        return name is not None and raw.decode(name, "replace") == text
    except LookupError:
        return False


def answers(words: Mapping[str, str], languages: Mapping[str, str]) -> Iterator[Answer]:
    rng = random.Random(20)
    for language, encoding in languages.items():
        for share in SHARES:
            for row_count in ROW_COUNTS:
                text = table(words[language], encoding, share=share, row_count=row_count, rng=rng)
                raw = text.encode(encoding)
                found, best = ours(raw), charset_normalizer.from_bytes(raw).best()
                names = {"ours": found.name, "chardet": chardet.detect(raw)["encoding"]}
                names["charset-normalizer"] = best.encoding if best else None
                right = {detector: is_read_by(name, raw, text) for detector, name in names.items()}
                yield Answer(language, share, right, found.other is not None)


class Tally:
    """Counts answers by language, share, and detector."""

    def __init__(self, found: Iterator[Answer]) -> None:
        self.answers = list(found)
        self._files: Counter[tuple[str, float]] = Counter()
        self._right: Counter[tuple[str, float, str]] = Counter()
        for one in self.answers:
            self._files[one.language, one.share] += 1
            self._right.update((one.language, one.share, name) for name, is_right in one.right.items() if is_right)

    def percent(self, languages: list[str], share: float, detector: str = "ours") -> float:
        files = sum(self._files[language, share] for language in languages)
        return 100 * sum(self._right[language, share, detector] for language in languages) / files

    def print(self, title: str, languages: Mapping[str, str]) -> None:
        print(f"\n{title}: percent right: ours, chardet, charset-normalizer")
        print(f"{'':24}{'':11}" + "".join(f"{share:>16.0%}" for share in SHARES))
        groups = {f"{language:24}{encoding:11}": [language] for language, encoding in languages.items()}
        for name, group in {**groups, f"{'all':35}": list(languages)}.items():
            cells = ([self.percent(group, share, one) for one in ("ours", *RIVALS)] for share in SHARES)
            print(name + "".join(f"{a:8.0f}{b:4.0f}{c:4.0f}" for a, b, c in cells))

    def figures(self, name: str) -> list[Figure]:
        western = [language for language, encoding in LANGUAGES.items() if encoding == "cp1252"]
        others = [language for language in LANGUAGES if language not in western]
        pairs = [([language], share) for language in others for share in SHARES]
        worse = sum(self.percent(*pair) < self.percent(*pair, "chardet") for pair in pairs)
        wrong = [one for one in self.answers if not one.right["ours"]]
        right = [one for one in self.answers if one.right["ours"]]
        told = 100 * sum(one.warned for one in wrong) / len(wrong) if wrong else 100.0
        return [
            Figure(f"{name}: cp1252, worst share", min(self.percent(western, s) for s in SHARES), "%", at_least=98.0),
            Figure(f"{name}: others, all shares", sum(self.percent(others, s) for s in SHARES) / len(SHARES), "%"),
            Figure(f"{name}: pairs worse than chardet", worse, f"of {len(pairs)}", at_most=0),
            Figure(f"{name}: wrong files", len(wrong), f"of {len(self.answers)}"),
            Figure(f"{name}: wrong files with a warning", told, "%", at_least=95.0),
            Figure(f"{name}: right files with a warning", 100 * sum(one.warned for one in right) / len(right), "%"),
        ]


def needless_warnings() -> int:
    """Count the warnings about texts of all languages in UTF-8, with and without a mark, and about ASCII."""
    texts = [table(HELD_OUT[one], "utf-8", share=0.2, row_count=50, rng=random.Random(1)) for one in LANGUAGES]
    files = [text.encode(form) for text in texts for form in ("utf-8", "utf-8-sig", "utf-16")]
    files.append("Name,City\nAnn,Rome\n".encode("ascii"))
    return sum(ours(raw).other is not None for raw in files)


def mb_per_s(detect: Callable[[], object]) -> float:
    started = time.perf_counter()
    detect()
    return LARGE_CHUNKS * len(CHUNK) / 1e6 / (time.perf_counter() - started)


def strict_alone() -> None:
    """Only decode, for comparison."""
    for chunk in repeat(CHUNK, LARGE_CHUNKS):
        chunk.decode("utf-8")


def speed() -> list[Figure]:
    size_mb = LARGE_CHUNKS * len(CHUNK) / 1e6
    whole = mb_per_s(lambda: find_encoding(CHUNK[:SAMPLE_BYTES], repeat(CHUNK, LARGE_CHUNKS), lambda: iter(())))
    raw = table(HELD_OUT["German"], "cp1252", share=0.2, row_count=100, rng=random.Random(3)).encode("cp1252")
    ours(raw)
    started = time.process_time()
    for _ in range(20):
        ours(raw)
    return [
        Figure(f"{size_mb:,.0f} MB of UTF-8, recognized", whole, "MB/s"),
        Figure("the same, compared with decoding it", whole / mb_per_s(strict_alone), "", at_least=0.5),
        Figure("100 rows of cp1252, CPU time", (time.process_time() - started) / 20 * 1000, "ms", at_most=100.0),
    ]


def main() -> int:
    tuned, held_out = Tally(answers(TUNED, LANGUAGES)), Tally(answers(HELD_OUT, LANGUAGES))
    tuned.print("Words tried", LANGUAGES)
    held_out.print("Words held out", LANGUAGES)
    Tally(answers(HELD_OUT, ALSO)).print("Other pairs, words held out", ALSO)
    print()
    needless = Figure("warnings about UTF-8, UTF-16, and ASCII", needless_warnings(), "files", at_most=0)
    return report([*tuned.figures("tried"), *held_out.figures("held out"), needless, *speed()])


if __name__ == "__main__":
    sys.exit(main())
