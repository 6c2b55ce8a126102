"""What the comparison of a canary with its prediction does about files that are not as they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator

import pytest

from runner.config.routes import Route, Routes
from runner.errors import (
    AwsRefused,
    BulkheadError,
    ConfigError,
    FileUnavailable,
    ItemRejected,
    SourceChanged,
    SourceNotFound,
    Stopped,
)
from runner.events import Event, Notice
from runner.models import Item, ItemKind
from runner.packing.canary import PredictedImport, PredictImport
from runner.packing.marker import MarkerColumn
from runner.packing.split import MemberResult, PackResult
from runner.protocols import Prepared
from runner.stages.pack_comparison import CanaryComparison, Comparison
from runner.stages.pack_recipe import PackRecipe
from runner.stages.packing_setup import PackingSetup

ROUTE = Route(name="people", schema_id="s")
NAMES = ("1.csv", "2.csv", "3.csv")
AS_PREDICTED = Comparison()


class Content:
    """A Body of a name, or one that fails."""

    def __init__(self, name: str, error: BulkheadError | None) -> None:
        self.content = name.encode()
        self.error = error
        self.size_bytes = len(self.content)

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.error is not None:
            raise self.error
        yield self.content


class Canary:
    """A canary of three files, each with its name as its content; `gone` has errors of files by name."""

    def __init__(self, *, routes: tuple[Route, ...] = (ROUTE,), predicts: bool = True) -> None:
        self.gone: dict[str, BulkheadError] = {}
        self.breaks: dict[str, BulkheadError] = {}
        self.changed: set[str] = set()
        self.differs: set[str] = set()
        self.longer: set[str] = set()
        self.said: list[str] = []
        self._predicts = predicts
        setup = PackingSetup(predict=self._predict)
        self._comparison = CanaryComparison(files=self, routes=Routes(routes), setup=setup, emit=self._take)

    async def prepare(self, item: Item) -> Prepared:
        if error := self.gone.get(item.source):
            raise error
        content = Content(item.source, self.breaks.get(item.source))
        fingerprint = "another" if item.source in self.changed else _fingerprint(item.source)
        return Prepared(uri=item.source, size_bytes=5, version="1", fingerprint=fingerprint, body=content)

    async def _predict(self, _binding: str) -> PredictImport | None:
        return self._predicted if self._predicts else None

    def _predicted(self, raw: bytes, /, *, filename: str) -> PredictedImport:
        rows = [{"name": "another" if filename in self.differs else raw.decode()}]
        rows *= 2 if filename in self.longer else 1
        return PredictedImport(status="SUCCESSFUL", content=json.dumps(rows).encode(), metadata={})

    def _take(self, event: Event) -> None:
        self.said += [f"{event.code}: {event.message}"] if isinstance(event, Notice) else []

    async def compared(self, *, is_canary: bool = True) -> Comparison:
        recipe = PackRecipe(
            binding=ROUTE.binding,
            column=MarkerColumn("m"),
            keeps_unmapped=False,
            behavior="REMOVE_INVALID_ROWS",
            is_canary=is_canary,
        )
        pack = Item(batch_id="b.packs", source="p", kind=ItemKind.PACK, version=recipe.text)
        members = [Item(batch_id="b", source=name, tag=name, fingerprint=_fingerprint(name)) for name in NAMES]
        results = [MemberResult(tag=name, rows=(json.dumps({"name": name}).encode(),), metadata={}) for name in NAMES]
        return await self._comparison.of(pack, members, PackResult(members=tuple(results), errors_are_cut=False))


def _fingerprint(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


async def test_a_canary_as_predicted_says_nothing() -> None:
    canary = Canary()
    assert (await canary.compared(), canary.said) == (AS_PREDICTED, [])


@pytest.mark.parametrize(
    "error",
    [
        ItemRejected("not_found", "it is away"),
        SourceChanged("it is away"),
        SourceNotFound("it is away"),
        FileUnavailable("it is away"),
        ConfigError("it is away"),
        AwsRefused("it is away", code="AccessDenied"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_file_that_cannot_be_read_is_left_out_of_the_comparison_with_a_notice(error: BulkheadError) -> None:
    for place in ("gone", "breaks"):
        canary = Canary()
        getattr(canary, place)["2.csv"] = error
        assert await canary.compared() == AS_PREDICTED
        assert canary.said == [
            "pack_not_compared: the first pack of route people is compared without 2.csv: it is away"
        ]


async def test_a_file_that_changed_is_left_out_and_the_others_are_still_compared() -> None:
    canary = Canary()
    canary.changed, canary.differs = {"1.csv"}, {"1.csv", "3.csv"}
    found = await canary.compared()
    left_out, differs = canary.said
    assert found.code == "pack_differs"
    assert left_out.endswith("is compared without 1.csv: it has changed since it was packed")
    assert differs == "pack_differs: 3.csv: row 1 of its result differs in name; packing of route people stops"


async def test_each_file_that_differs_is_named_and_the_pack_has_the_sentence_of_the_first() -> None:
    canary = Canary()
    canary.differs, canary.longer = {"1.csv"}, {"3.csv"}
    found = await canary.compared()
    assert found == Comparison("pack_differs", "row 1 of its result differs in name")
    assert [said.partition(": ")[2].partition(":")[0] for said in canary.said] == ["1.csv", "3.csv"]


async def test_a_canary_without_any_file_as_it_was_is_no_proof_and_one_notice_says_why() -> None:
    canary = Canary()
    canary.gone = dict.fromkeys(NAMES[:2], SourceNotFound("the inbox does not exist any more"))
    canary.changed = {"3.csv"}
    found = await canary.compared()
    why = "1.csv, 2.csv: the inbox does not exist any more; 3.csv: it has changed since it was packed"
    assert found == Comparison("pack_not_compared", why)
    assert canary.said == [
        f"pack_not_compared: a pack is not compared with its prediction, and its results are saved: {why}"
    ]


async def test_a_canary_whose_route_has_changed_or_whose_schema_is_unusable_is_no_proof() -> None:
    other = Canary(routes=(Route(name="people", schema_id="another"),))
    assert (await other.compared()).code == "pack_not_compared"
    assert other.said[0].endswith("its results are saved: no route makes imports as it did")
    unusable = Canary(predicts=False)
    assert (await unusable.compared()).code == "pack_not_compared"
    assert unusable.said[0].endswith("its results are saved: its schema is unusable")


async def test_files_of_packs_that_are_no_canaries_are_not_read() -> None:
    canary = Canary()
    canary.gone = dict.fromkeys(NAMES, ItemRejected("not_found", "there is no such file"))
    assert (await canary.compared(is_canary=False), canary.said) == (AS_PREDICTED, [])


async def test_a_stop_while_a_file_is_read_is_not_taken_for_a_file_that_is_gone() -> None:
    canary = Canary()
    canary.gone["1.csv"] = Stopped("the run stops")
    with pytest.raises(Stopped):
        await canary.compared()
