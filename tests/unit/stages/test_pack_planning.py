"""Which files of a batch a pack takes, before it is known which files fit together."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from runner.config.routes import Route, Routes
from runner.errors import ItemRejected
from runner.models import Item, ItemKind
from runner.packing.canary import PredictedImport, PredictImport
from runner.packing.planner import PackLimits
from runner.protocols import Prepared
from runner.stages.earlier import EarlierItems
from runner.stages.pack_planning import PackPlan, PackPlanner
from runner.stages.packing_setup import PackingSetup, RulesOfRoutes

FIELDS: tuple[dict[str, Any], ...] = ({"key": "name", "label": "Name"}, {"key": "age", "label": "Age"})
ROUTES = Routes([Route(name="all", fields=FIELDS)])


class Text:
    """A Body in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.content


class Files:
    """An InputReader of files in memory."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents

    async def prepare(self, item: Item) -> Prepared:
        content = self.contents[item.source]
        return Prepared(
            uri=f"mem://{item.source}",
            size_bytes=len(content),
            version="1",
            fingerprint=hashlib.sha256(content).hexdigest(),
            body=Text(content),
        )


class Refusing:
    """A Gate that refuses one file."""

    def __init__(self, source: str) -> None:
        self.source = source

    async def admit(self, item: Item, route: Route) -> None:
        if item.source == self.source:
            raise ItemRejected("check_data_lost", "the check predicts lost data")


async def predict(_binding: str) -> PredictImport:
    def one(raw: bytes, /, *, filename: str) -> PredictedImport:
        status = "NEEDS_REVIEW" if b"odd" in raw else "SUCCESSFUL"
        return PredictedImport(status=status, content=b"[]", metadata={})

    return one


async def read_no_schema(_schema_id: str) -> dict[str, Any]:
    raise AssertionError("inline fields need no saved schema")


async def planned(
    items: Sequence[Item], contents: dict[str, bytes], *, gate: Refusing | None = None, limits: PackLimits | None = None
) -> PackPlan:
    planner = PackPlanner(
        files=Files(contents),
        routes=ROUTES,
        rules=RulesOfRoutes(read_no_schema),
        setup=PackingSetup(predict=predict, limits=limits or PackLimits()),
        earlier=EarlierItems(None, endpoint="e"),
        endpoint="e",
        gate=gate,
    )

    async def pages() -> AsyncIterator[Sequence[Item]]:
        yield items

    return await planner.plan(pages())


def item(source: str, **changes: Any) -> Item:
    return Item(batch_id="b", source=source, version="1", file_key="k", size_bytes=20, **changes)


def table(*rows: str) -> bytes:
    return "\n".join(("Name,Age", *rows, "")).encode()


async def test_files_with_the_same_header_are_packed() -> None:
    contents = {name: table(f"{name},1") for name in ("a.csv", "b.csv", "c.csv")}
    plan = await planned([item(name) for name in contents], contents)
    assert sorted(plan.sources) == ["a.csv", "b.csv", "c.csv"]
    assert not plan.alone


async def test_a_file_whose_import_is_predicted_to_need_a_review_travels_alone_and_the_plan_says_why() -> None:
    contents = {"a.csv": table("a,1"), "b.csv": table("b,1"), "odd.csv": table("odd,1")}
    plan = await planned([item(name) for name in contents], contents)
    assert sorted(plan.sources) == ["a.csv", "b.csv"]
    assert plan.alone == {"predicted_review": 1}
    assert plan.sentences == {"predicted_review": "Its import is predicted to need a review."}


async def test_a_file_that_the_check_refuses_is_in_no_pack() -> None:
    contents = {name: table(f"{name},1") for name in ("a.csv", "b.csv", "c.csv")}
    plan = await planned([item(name) for name in contents], contents, gate=Refusing("b.csv"))
    assert sorted(plan.sources) == ["a.csv", "c.csv"]


async def test_a_file_that_something_was_tried_with_before_travels_alone() -> None:
    contents = {name: table(f"{name},1") for name in ("a.csv", "b.csv", "c.csv")}
    items = [item("a.csv"), item("b.csv", revision=2), item("c.csv")]
    assert sorted((await planned(items, contents)).sources) == ["a.csv", "c.csv"]


async def test_json_and_files_that_changed_after_they_were_listed_are_in_no_pack() -> None:
    contents = {name: table(f"{name},1") for name in ("a.csv", "b.csv", "c.csv", "d.csv")}
    listed = Item(batch_id="b", source="b.csv", version="0", file_key="k", size_bytes=20)
    items = [item("a.csv"), listed, item("c.csv", kind=ItemKind.JSON), item("d.csv")]
    plan = await planned(items, contents)
    assert sorted(plan.sources) == ["a.csv", "d.csv"]
    assert plan.alone == {"json": 1}


@pytest.mark.parametrize(
    ("count", "limits", "parts"),
    [
        (2, PackLimits(), [2]),
        (5, PackLimits(), [5]),
        (6, PackLimits(), [4, 2]),
        (8, PackLimits(), [5, 3]),
        (3, PackLimits(canary_members=2), [3]),
        (4, PackLimits(canary_members=2), [2, 2]),
    ],
)
async def test_a_pack_that_follows_a_canary_without_a_proof_is_split_into_a_canary_and_the_rest(
    count: int, limits: PackLimits, parts: list[int]
) -> None:
    contents = {
        f"{number}.csv": table(*[f"row {number},{row}" for row in range(number + 1)]) for number in range(count)
    }
    plan = await planned([item(name) for name in contents], contents, limits=PackLimits(canary_members=count))
    (whole,) = plan.packs
    found = plan.with_canary(whole, limits)
    assert [(len(pack.tags), pack.is_canary) for pack in found] == [
        (size, number == 0) for number, size in enumerate(parts)
    ]
    assert tuple(tag for pack in found for tag in pack.tags) == whole.tags
    assert sum(pack.row_count for pack in found) == whole.row_count
    assert sum(pack.size_bytes for pack in found) == whole.size_bytes
    assert [pack.row_count for pack in found] == [sum(plan.files[tag].row_count for tag in pack.tags) for pack in found]
