"""Paths of results: below the root, readable, and never two the same."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.sinks import LocalSink
from runner.sinks.result_path import is_plain, result_path

FOLDER_LIKE = ["a", "A", "a.json", "a.JSON", "a.partial", ".a.partial", "_", "~", "a~0123456789abcdef"]
HOSTILE = ["..", ".", "", "con", "NUL.txt", "c:", "\\", "\\..", "x ", "\0", "a\n", "\udcff", "\ud800", "\u202e", "=cmd"]
PIECES = st.sampled_from([*FOLDER_LIKE, *HOSTILE, "é", "e\u0301", "x" * 201, "é" * 101])
SOURCES = st.text() | st.text(alphabet=st.characters()) | st.lists(PIECES, min_size=1, max_size=5).map("/".join)
ROOT = Path("/srv/out")


@given(source=SOURCES, distinct=st.booleans())
@example(source="a/" * 600, distinct=False)
@example(source="/" * 700, distinct=False)
@example(source="/etc/passwd", distinct=False)
def test_any_source_stays_below_the_root_and_within_limits(source, distinct):
    path = result_path(source, distinct=distinct)
    assert os.path.normpath(ROOT / path) == f"{ROOT}/{path}"
    assert path.startswith("results/")
    assert len(path.encode()) <= 800
    assert path.endswith(".json")
    assert not any(character in path for character in '\0\n\\<>:"|?*')
    assert all(0 < len(part.encode()) <= 205 for part in path.split("/"))
    assert unicodedata.normalize("NFC", path) == path
    assert all(is_plain(part.removesuffix(".json")) for part in path.split("/"))


@given(sources=st.lists(SOURCES, unique=True, max_size=20))
def test_no_two_sources_share_a_path(sources):
    paths = [result_path(source, distinct=distinct) for source in sources for distinct in (False, True)]
    assert len(set(paths)) >= len(sources)
    for source in sources:
        assert not {result_path(source), result_path(source, distinct=True)} & {
            result_path(other, distinct=distinct) for other in sources if other != source for distinct in (False, True)
        }


@given(sources=st.lists(SOURCES, unique=True, max_size=20))
def test_no_result_has_the_path_of_a_folder(sources):
    files = {result_path(source).casefold() for source in sources}
    folders = {str(parent) for path in files for parent in Path(path).parents}
    assert not files & folders


@given(sources=st.lists(SOURCES, unique=True, max_size=6))
async def test_any_sources_can_be_saved_side_by_side(tmp_path_factory, sources):
    root = tmp_path_factory.mktemp("out")
    sink = LocalSink(root, threaded=False)

    async def rows(number):
        yield b"[%d]" % number

    saved = [await sink.save_result(source, rows(number)) for number, source in enumerate(sources)]
    for number, result in enumerate(saved):
        assert (root / result.path).read_bytes() == b"[%d]" % number
        assert (root / result.path).resolve().is_relative_to(root.resolve() / "results")
    assert sum(not path.is_dir() for path in root.rglob("*")) == len(sources)


@pytest.mark.parametrize(
    "source",
    [
        "customers.csv",
        "2024/Q1 (final)/Müller & Söhne.xlsx",
        ".hidden",
        "日本語/データ.csv",
        "a~b",
        "~",
        "x~12",
        "a.json",
        "..a",
    ],
)
def test_an_ordinary_name_stays_as_it_is(source):
    assert result_path(source) == f"results/{source}.json"


@pytest.mark.parametrize(
    ("source", "readable"),
    [
        ("../../etc/passwd", "_"),
        ("/etc/passwd", "_"),
        ("CON", "_CON"),
        ("com1.csv", "_com1.csv"),
        ("C:\\temp\\x.csv", "C__temp_x.csv"),
        ("a. . ", "a"),
        ("e\u0301.csv", "é.csv"),
        ("bad\udce9.csv", "bad_.csv"),
        ("x" * 300, "x" * 183),
        ("a~0123456789abcdef", "a~0123456789abcdef"),
        ("a.json/b", "a.json"),
    ],
)
def test_an_unsafe_component_stays_readable_and_is_marked(source, readable):
    first = result_path(source).split("/")[1].removesuffix(".json")
    name, mark, digits = first.rpartition("~")
    assert (name, mark, len(digits)) == (readable, "~", 16)


def test_files_of_one_unsafe_folder_stay_together():
    folders = {result_path(f"bad:name/{name}").split("/")[1] for name in ("a.csv", "b.csv")}
    assert len(folders) == 1
