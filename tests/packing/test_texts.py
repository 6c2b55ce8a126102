"""Whatever texts follow a header: files that are accepted get the same in a pack as alone."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.config.routes import Route
from runner.packing.member import Member, read_member
from runner.packing.rules import PackRules, rules_of
from tests.packing.equality import imported
from tests.packing.test_refusals import split
from tests.packing.world import BASE32

MIXED: dict[str, Any] = {
    "fields": [
        {"key": "name", "label": "Name", "alternateMatches": ["b"]},
        {"key": "a", "label": "Note", "validators": [{"validate": "required"}]},
        {"key": "day", "label": "Day", "type": "date"},
    ],
    "settings": {"passThroughUnmappedColumns": True},
    "hooks": {},
}
HEADERS = (
    ("Name,Note,Day", ","),
    ("Name;Note;Day", ";"),
    ("Day\tName\tNote", "\t"),
    ('"Name","Note",Day,x', ","),
    ("Note|x|Day|Name", "|"),
)
PIECES = (
    "a", "b", "Name", "", " ", '"', '""', '"a', 'a"', '"a,b"', '"a\n"', "\n", "\r", "\r\n", ";", "\t", "|", ",",
    "1/2/3", "25/12/24", "12/25/24", "2024-01-02", "\\", "é", "\ufeff", "\u2028", "=", "'", '";"', '"|\n|"', '",\n,"',
)  # fmt: skip
TEXTS_PER_HEADER = 1_500
PACK_FILES = 6


@pytest.fixture
def rules() -> PackRules:
    found = rules_of(Route(name="all", schema_id="s"), MIXED)
    assert isinstance(found, PackRules)
    return found


def text_below(header: str, delimiter: str, rng: random.Random) -> str:
    """Return rows as wide as the header, mostly, of cells that are often odd."""
    width = header.count(delimiter) + 1
    rows = []
    for _ in range(rng.randint(1, 4)):
        count = width if rng.random() < 0.9 else rng.randint(1, width + 1)
        cells = ["".join(rng.choices(PIECES, k=rng.choice([1, 1, 1, 2, 3]))) for _ in range(count)]
        quoted = [f'"{cell.replace(chr(34), chr(34) * 2)}"' if rng.random() < 0.5 else cell for cell in cells]
        rows.append(delimiter.join(quoted))
    return rng.choice(["\n", "\n", "\r\n"]).join(rows)


@pytest.mark.parametrize(("header", "delimiter"), HEADERS)
def test_texts_that_are_accepted_get_the_same_in_a_pack_as_alone(header: str, delimiter: str, rules: PackRules) -> None:
    rng = random.Random(header)
    alike: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    for _ in range(TEXTS_PER_HEADER):
        raw = f"{header}\n{text_below(header, delimiter, rng)}{rng.choice(['', chr(10)])}".encode()
        member = read_member(raw, rules)
        if isinstance(member, Member) and imported(raw, MIXED)[0].status == "SUCCESSFUL":
            alike[member.date_order]["".join(rng.choices(BASE32, k=13))] = raw
    assert sum(map(len, alike.values())) > TEXTS_PER_HEADER / 10
    for files in alike.values():
        tags = sorted(files)
        for at in range(0, len(tags), PACK_FILES):
            for each in split({tag: files[tag] for tag in tags[at : at + PACK_FILES]}, MIXED):
                single, alone = imported(files[each.tag], MIXED)
                assert each.content == alone, files[each.tag]
                assert each.metadata["errors"] == single.metadata["errors"], files[each.tag]


@settings(max_examples=200)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_member_or_a_refusal(data: bytes, has_header: bool) -> None:
    found = rules_of(Route(name="all", schema_id="s"), MIXED)
    assert isinstance(found, PackRules)
    read_member(b"Name,Note,Day\n" + data if has_header else data, found)
