"""Pack lists: what a run without the ledger knows of the files in a pack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.errors import ConfigError, SinkFailed
from runner.models import Item, ItemKind
from runner.packing.body import pack_tag
from runner.packing.marker import MarkerColumn
from runner.sinks.local import LocalSink
from runner.stages.known_packs import KnownPacks
from runner.stages.pack_lists import PackList, PackLists
from runner.stages.pack_recipe import PackRecipe

RECIPE = PackRecipe(binding="b", column=MarkerColumn("m"), keeps_unmapped=False, behavior="REMOVE_INVALID_ROWS")
TAGS = ("aaaaaaaaaaaaa", "bbbbbbbbbbbbb")
TAG = pack_tag(TAGS, binding="b", endpoint="e")
PACK = Item(batch_id="n.packs", source=TAG, kind=ItemKind.PACK, version=RECIPE.text)
MEMBERS = [
    Item(batch_id="n", source=source, tag=tag, pack=TAG, pack_rows=rows)
    for source, tag, rows in (("a.csv", TAGS[0], 2), ("\udcff/b.csv", TAGS[1], 3))
]


def lists(out: Path, *, endpoint: str = "e") -> PackLists:
    return PackLists(LocalSink(out, threaded=False), endpoint=endpoint)


async def kept(out: Path) -> Path:
    await lists(out).keep(PACK, MEMBERS, fingerprint="sha256:1")
    return out / ".bulkhead-packs" / f"{TAG}.json"


async def test_a_list_that_was_kept_is_read_again(tmp_path: Path) -> None:
    await kept(tmp_path)
    found = await lists(tmp_path).read(TAG)
    assert found == PackList.of(PACK, MEMBERS, endpoint="e", fingerprint="sha256:1")
    assert [(one.tag, one.row_count, one.source) for one in found.members] == [
        (TAGS[0], 2, "a.csv"),
        (TAGS[1], 3, "\udcff/b.csv"),
    ]
    assert found.layout.rows_of(TAGS[1]) == (3, 5)


async def test_a_list_says_what_it_is(tmp_path: Path) -> None:
    document = json.loads((await kept(tmp_path)).read_bytes())
    assert document["about"].startswith("The files of a pack")
    assert document["format"] == "1"


async def test_there_is_no_list_of_another_pack_or_at_another_endpoint(tmp_path: Path) -> None:
    await kept(tmp_path)
    assert await lists(tmp_path).read("ccccccccccccc") is None
    assert await lists(tmp_path, endpoint="f").read(TAG) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "2"},
        {"layout": "0"},
        {"endpoint": "f"},
        {"members": [[TAGS[0], 2, "a.csv"]]},
        {"members": [[TAGS[1], 3, "b.csv"], [TAGS[0], 2, "a.csv"]]},
        {"members": [[TAGS[0], 0, "a.csv"], [TAGS[1], 3, "b.csv"]]},
        {"members": [[TAGS[0]]]},
        {"recipe": "{}"},
        {"recipe": 5},
        {"members": None},
    ],
)
async def test_a_list_that_is_damaged_or_of_another_form_is_not_used(tmp_path: Path, damage: dict[str, Any]) -> None:
    path = await kept(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **damage}))
    assert await lists(tmp_path).read(TAG) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"\xff"])
async def test_a_list_that_is_no_document_is_not_used(tmp_path: Path, content: bytes) -> None:
    (await kept(tmp_path)).write_bytes(content)
    assert await lists(tmp_path).read(TAG) is None


async def test_a_list_in_a_folder_that_is_a_link_is_neither_written_nor_read(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    path = await kept(out)
    path.parent.rename(elsewhere)
    path.parent.symlink_to(elsewhere)
    with pytest.raises(Exception, match="cannot read"):
        await lists(out).read(TAG)
    with pytest.raises(Exception, match="cannot write"):
        await lists(out).keep(PACK, MEMBERS, fingerprint="sha256:1")


class ForbiddenSink(LocalSink):
    """A place whose documents may no longer be read, as a bucket says it."""

    async def read(self, name: str) -> bytes | None:
        raise ConfigError(f"access to {name} is denied", hint="allow it")


async def test_a_list_that_may_no_longer_be_read_is_trouble_with_the_place_of_results(tmp_path: Path) -> None:
    sink = ForbiddenSink(tmp_path, threaded=False)
    for read in (
        PackLists(sink, endpoint="e").read(TAG),
        PackLists(sink, endpoint="e").found(TAG),
        KnownPacks(sink, source="s", endpoint="e").starts(),
    ):
        with pytest.raises(SinkFailed, match="is denied") as raised:
            await read
        assert raised.value.hint == "allow it"
