"""Code and documentation are in plain English: words that readers stumble over are not used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("runner", "lambdas", "sandbox", "infra", "tests", "docs", "examples", "benchmarks", ".ci", ".github")
SUFFIXES = {".py", ".md", ".html", ".css", ".js", ".sql", ".yaml", ".yml", ".toml", ".sh", ".txt", ""}
RELEASED = ROOT / "tests" / "data"

STUMBLING_BLOCKS = (
    r"anew", r"whoever", r"lies?", r"ring(?:s|ing)?", r"rung", r"bur(?:y|ies|ied)", r"mend(?:s|ed|ing)?", r"lest",
    r"borne", r"la(?:y|ys|id|ying) down", r"(?:is|are) to be", r"of no use", r"all the same",
    r"(?<!encryption )(?<!encrypted )at rest", r"go(?:es|ing|ne)? on with", r"went on with",
)  # fmt: skip
FOUND = re.compile(rf"(?<![a-z])(?:{'|'.join(STUMBLING_BLOCKS)})(?![a-z])", re.IGNORECASE)


def texts() -> Iterator[Path]:
    inside = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    for path in (*ROOT.glob("*.*"), ROOT / "Makefile", *inside):
        if path.is_file() and not path.is_symlink() and path.suffix in SUFFIXES and not is_exempt(path):
            yield path


def is_exempt(path: Path) -> bool:
    """Tell whether a path is this list of words, a cache, or what a released version wrote."""
    return path == Path(__file__) or RELEASED in path.parents or "__pycache__" in path.parts


def stumbles(path: Path) -> Iterator[str]:
    for number, line in enumerate(path.read_text("utf-8", "replace").replace("_", " ").splitlines(), start=1):
        for match in FOUND.finditer(line):
            yield f"{path.relative_to(ROOT)}:{number} {match.group()}"


def test_no_text_uses_a_word_that_readers_stumble_over() -> None:
    assert not [line for path in texts() for line in stumbles(path)]


def test_a_stumbling_block_is_found_in_prose_and_in_names(tmp_path: Path) -> None:
    for text in ("Write it anew.", "ring_the_bell()", "where its name lies", "files at rest", "was_rung = 1"):
        assert FOUND.search(text.replace("_", " ")), text
    for text in ("string", "believes", "encryption at rest", "recommend", "everything", "the rest"):
        assert not FOUND.search(text), text
