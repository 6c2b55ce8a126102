"""What is said of a pack that cannot be sent because of one of its files."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runner.config.routes import Route, Routes
from runner.errors import ItemRejected, SourceChanged
from runner.models import Item, ItemState
from runner.packing.refusals import Refusal
from runner.packing.rules import PackRules, rules_of
from runner.protocols import Prepared
from runner.stages.pack_source import PackSource
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
