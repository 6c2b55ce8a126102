"""Schemas of routes are bound as the vendor binds them, with the sandbox's own code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from runner.check import bind_routes
from runner.check.engine_of_runs import EngineOfRuns
from runner.check.sandbox_engine import sandbox_engine
from runner.check.schemas import schemas_in
from runner.check.setup import SCHEMA_ATTEMPTS
from runner.config.routes import Route, Routes
from runner.config.run_spec import RunSpec
from runner.errors import ConfigError, SchemaNotFound, Unavailable
from runner.models import Item
from runner.sources.spec import SourceSpec

SAVED = {
    "id": "s",
    "name": "S",
    "fields": [{"key": "a", "label": "A"}],
    "settings": {"invalidDataBehavior": "BLOCK_SUBMIT", "maxRecords": 5},
    "hooks": {"rowHooks": ["record => record"]},
}


def reading(*schemas: Mapping[str, Any]) -> tuple[Any, list[str]]:
    asked: list[str] = []

    async def read(schema_id: str) -> Mapping[str, Any]:
        asked.append(schema_id)
        return next(schema for schema in schemas if schema["id"] == schema_id)

    return read, asked


async def test_overrides_replace_whole_keys_and_a_schema_is_read_once() -> None:
    read, asked = reading(SAVED)
    routes = Routes(
        [
            Route(name="1", schema_id="s", settings={"maxRecords": 9}, hooks={"rowHooks": []}),
            Route(name="2", schema_id="s"),
        ]
    )
    first, second = await bind_routes(routes, sandbox_engine(), read)
    assert first.schema is not None
    assert second.schema is not None
    assert first.schema["settings"] == {"invalidDataBehavior": "BLOCK_SUBMIT", "maxRecords": 9}
    assert first.schema["hooks"] == {"rowHooks": []}
    assert (second.schema["settings"], second.behavior) == (SAVED["settings"], "BLOCK_SUBMIT")
    assert asked == ["s"]


async def test_a_create_that_would_be_refused_is_a_refusal_of_its_route_alone() -> None:
    routes = Routes(
        [Route(name="1", fields=({"key": "a", "type": "nonsense"},)), Route(name="2", fields=({"key": "a"},))]
    )
    read, _ = reading()
    first, second = await bind_routes(routes, sandbox_engine(), read)
    assert (first.schema, first.refusal_code) == (None, "create_refused")
    assert "nonsense" in first.refusal
    assert second.refusal == ""


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"fields": ({"key": "a", "type": "select"},)}, "needs options"),
        ({"fields": ({"key": "a", "hidden": True, "validators": [{"validate": "required"}]},)}, "hidden field"),
        ({"fields": ({"key": "a"},), "settings": {"maxFileSize": 0}}, "from 1 to"),
        ({"fields": ({"key": "a"},), "hooks": {"rowHooks": ["record => {"]}}, "compile"),
        ({"schema_id": "s", "hooks": {"rowHooks": ["record => {"]}}, "compile"),
    ],
)
async def test_a_definition_that_the_vendor_refuses_is_predicted(definition: dict[str, Any], said: str) -> None:
    if said == "compile":
        pytest.importorskip("deno")
    read, _ = reading(SAVED)
    (bound,) = await bind_routes(Routes([Route(name="1", **definition)]), sandbox_engine(), read)
    assert (bound.schema, bound.refusal_code) == (None, "create_refused")
    assert said in bound.refusal


async def test_a_saved_schema_is_used_although_the_vendor_would_not_save_it_again() -> None:
    old = {**SAVED, "fields": [{"key": "a", "type": "select"}]}
    read, _ = reading(old)
    (bound,) = await bind_routes(Routes([Route(name="1", schema_id="s")]), sandbox_engine(), read)
    assert (bound.refusal, bound.schema and bound.schema["fields"]) == ("", old["fields"])


async def test_a_saved_schema_that_the_engine_cannot_use_gives_no_prediction() -> None:
    read, _ = reading({**SAVED, "fields": [{"key": "a", "type": "of-tomorrow"}]})
    (bound,) = await bind_routes(Routes([Route(name="1", schema_id="s")]), sandbox_engine(), read)
    assert bound.refusal_code == "schema_unusable"


async def test_a_missing_schema_concerns_its_routes_alone(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(orjson.dumps(SAVED))
    routes = Routes([Route(name="1", schema_id="absent"), Route(name="2", schema_id="s")])
    first, second = await bind_routes(routes, sandbox_engine(), schemas_in(tmp_path))
    assert isinstance(first.missing, SchemaNotFound)
    assert (second.missing, second.refusal) == (None, "")


async def test_schemas_of_a_directory_are_found_by_id(tmp_path: Path) -> None:
    (tmp_path / "any.json").write_bytes(orjson.dumps(SAVED))
    read = schemas_in(tmp_path)
    assert (await read("s"))["name"] == "S"
    with pytest.raises(SchemaNotFound, match="no schema with the id t"):
        await read("t")


@pytest.mark.parametrize(
    ("content", "said"), [(b"{", "not valid JSON: line 1"), (b"[]", "is not a schema"), (b"{}", "id")]
)
def test_a_file_that_is_not_a_schema_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as error:
        schemas_in(tmp_path)
    assert "bad.json" in str(error.value)


async def test_a_misspelt_name_in_a_saved_schema_is_told_for_the_first_route_that_names_it() -> None:
    read, asked = reading({**SAVED, "settings": {"maxrecord": 5}})
    routes = Routes([Route(name="1", schema_id="s", hooks={"rowHook": []}), Route(name="2", schema_id="s")])
    first, second = await bind_routes(routes, sandbox_engine(), read)
    assert [one.sentence for one in first.remarks] == [
        "route 1: hooks.rowHook is not known; did you mean rowHooks?",
        "saved schema s: settings.maxrecord is not known; did you mean maxRecords?",
    ]
    assert (second.remarks, asked) == ((), ["s"])


async def test_a_saved_schema_that_cannot_be_read_has_no_remarks() -> None:
    async def read(schema_id: str) -> Mapping[str, Any]:
        raise SchemaNotFound("no such schema", schema_id=schema_id)

    (bound,) = await bind_routes(Routes([Route(name="1", schema_id="s")]), sandbox_engine(), read)
    assert (bound.remarks, bound.missing is not None) == ((), True)


@pytest.mark.virtual_time
async def test_planning_packs_asks_for_a_schema_as_often_as_a_check_does_before_it_says_that_the_vendor_is_away() -> (
    None
):
    asked: list[str] = []

    async def schema(schema_id: str) -> Mapping[str, Any]:
        asked.append(schema_id)
        raise Unavailable("connection refused")

    async def client() -> Any:
        return SimpleNamespace(schema=schema)

    settings = SimpleNamespace(filename_tag=True)
    resources: Any = SimpleNamespace(ledger_is_shared=False, settings=settings, endpoint="e", client=client)
    spec = RunSpec(
        source=SourceSpec(kind="directory", path="/inbox"), routes=Routes([Route(name="1", schema_id="s")]), pack=2
    )
    files: Any = object()
    packer = EngineOfRuns(resources, sandbox_engine).packer(spec, files, None)
    assert packer is not None
    with pytest.raises(Unavailable):
        await packer.of_file(Item(batch_id="b", source="a.csv", version="1", file_key="k", size_bytes=20))
    assert asked == ["s"] * SCHEMA_ATTEMPTS
