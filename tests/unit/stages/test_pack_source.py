"""What is said of a pack that cannot be sent because of one of its files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from runner.config.routes import Route, Routes
from runner.errors import ItemRejected, SourceChanged
from runner.models import Item, ItemKind, ItemState
from runner.packing.member import read_member
from runner.packing.refusals import Refusal
from runner.packing.rules import PackRules, rules_of
from runner.protocols import Prepared
from runner.stages.pack_recipe import PackRecipe
from runner.stages.pack_source import PackSource
from runner.stages.packing_setup import RulesOfRoutes
from tests.support.pack_bench import ROUTE, PackBench

pytestmark = pytest.mark.virtual_time

CONTENT = b"Name\nAnn\n"
FINGERPRINT = hashlib.sha256(CONTENT).hexdigest()


class Files:
    """Files with the same content, of which one has an error, either when it is opened or while it is read."""

    uri = "mem://"

    def __init__(self, source: str, error: ItemRejected, *, when_opened: bool) -> None:
        self.source = source
        self.error = error
        self.when_opened = when_opened

    async def prepare(self, item: Item) -> Prepared:
        fails = item.source == self.source
        if fails and self.when_opened:
            raise self.error
        body = Content(self.error if fails else None)
        return Prepared(uri=item.source, size_bytes=9, version="1", fingerprint=FINGERPRINT, body=body)


class Content:
    """A Body that may fail."""

    size_bytes = len(CONTENT)

    def __init__(self, error: ItemRejected | None) -> None:
        self.error = error

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.error is not None:
            raise self.error
        yield CONTENT


async def rules(_: Route) -> PackRules | Refusal:
    return rules_of(ROUTE, {"id": "s", "fields": [{"key": "name", "label": "Name", "type": "string"}], "settings": {}})


@pytest.mark.parametrize("when_opened", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        ItemRejected("not_found", "there is no such file"),
        SourceChanged("it changed while it was read"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_the_rejection_of_a_pack_names_the_file_that_is_its_cause(error: ItemRejected, when_opened: bool) -> None:
    bench = PackBench()
    pack = await bench.pack(ItemState.CREATING)
    for member in await bench.members():
        await bench.ledger.advance(member, ItemState.PACKED, reason="x", fingerprint=FINGERPRINT)
    files: Any = Files("2.csv", error, when_opened=when_opened)
    unused: Any = None
    source = PackSource(bench.ledger, files, Routes([ROUTE]), rules, lists=unused, lost=unused)
    with pytest.raises(type(error)) as raised:
        await source.prepare(pack)
    assert str(raised.value) == f"2.csv: {error}"
    assert raised.value.code == error.code


SCHEMA = {"id": "s", "fields": [{"key": "name", "label": "Name", "type": "string"}], "settings": {}}
SAVED = Routes.single(schema_id="s").routes[0]


class EditedSchema:
    """A saved schema that somebody can edit; `reads` counts how often it was read."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = SCHEMA
        self.reads = 0

    async def read(self, _: str) -> dict[str, Any]:
        self.reads += 1
        return self.now


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        ({"title": "People"}, "as before"),
        ({"settings": {"developmentMode": True}}, Refusal("development_mode", "developmentMode")),
        ({"hooks": {"rowHooks": ["x"]}}, Refusal("hooks")),
        ({"settings": {"invalidDataBehavior": "BLOCK_SUBMIT"}}, None),
        ({"fields": [*SCHEMA["fields"], {"key": "age", "label": "Age", "type": "number"}]}, None),
    ],
    ids=["title", "mode", "hooks", "behavior", "field"],
)
async def test_a_saved_schema_that_is_edited_while_packs_are_sent_is_seen_after_a_minute(
    edit: dict[str, Any], found: Refusal | str | None
) -> None:
    schema = EditedSchema()
    rules_of_routes = RulesOfRoutes(schema.read)
    first = await rules_of_routes.of(SAVED)
    schema.now = {**SCHEMA, **edit}
    assert (await rules_of_routes.still(SAVED), schema.reads) == (first, 1)
    await asyncio.sleep(61)
    now = await rules_of_routes.still(SAVED)
    assert now == (first if found == "as before" else found)
    assert (await rules_of_routes.still(SAVED), schema.reads) == (now, 2)


async def test_an_edit_that_is_taken_back_lets_packs_be_sent_again() -> None:
    schema = EditedSchema()
    rules_of_routes = RulesOfRoutes(schema.read)
    first = await rules_of_routes.of(SAVED)
    schema.now = {**SCHEMA, "settings": {"invalidDataBehavior": "BLOCK_SUBMIT"}}
    await asyncio.sleep(61)
    assert await rules_of_routes.still(SAVED) is None
    schema.now = SCHEMA
    await asyncio.sleep(61)
    assert await rules_of_routes.still(SAVED) == first


@pytest.mark.parametrize(
    ("field", "contents"),
    [
        ({"type": "date"}, (b"Name\n25/12/2024\n", b"Name\n12/25/2024\n", b"Name\n2024-12-25\n")),
        ({"type": "string", "validators": [{"validate": "unique"}]}, (CONTENT, CONTENT, CONTENT)),
    ],
    ids=["dates", "unique values"],
)
async def test_a_pack_whose_files_no_longer_fit_together_is_not_sent(
    field: dict[str, Any], contents: tuple[bytes, ...]
) -> None:
    async def now(_: Route) -> PackRules | Refusal:
        return rules_of(ROUTE, {"id": "s", "fields": [{"key": "name", "label": "Name", **field}], "settings": {}})

    bench = PackBench()
    member = read_member(CONTENT, await rules(ROUTE))  # type: ignore[arg-type]
    recipe = replace(PackRecipe.of(await bench.pack(ItemState.CREATING)), column=member.marker)  # type: ignore[union-attr]
    pack = Item(batch_id="b.packs", source="p", kind=ItemKind.PACK, version=recipe.text)
    files = FilesOf(dict(zip(bench.names, contents, strict=True)))
    for member in await bench.members():
        fingerprint = hashlib.sha256(files.contents[member.source]).hexdigest()
        await bench.ledger.advance(member, ItemState.PACKED, reason="x", fingerprint=fingerprint)
    unused: Any = None
    source = PackSource(bench.ledger, files, Routes([ROUTE]), now, lists=unused, lost=unused)  # type: ignore[arg-type]
    with pytest.raises(ItemRejected, match="the schema of its files has changed") as raised:
        await source.prepare(pack)
    assert raised.value.code == "member_changed"


class FilesOf:
    """Files with these contents."""

    uri = "mem://"

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents

    async def prepare(self, item: Item) -> Prepared:
        content = self.contents[item.source]
        fingerprint = hashlib.sha256(content).hexdigest()
        return Prepared(
            uri=item.source, size_bytes=len(content), version="1", fingerprint=fingerprint, body=Bytes(content)
        )


class Bytes:
    """Implements Body."""

    def __init__(self, content: bytes) -> None:
        self.size_bytes = len(content)
        self._content = content

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._content
