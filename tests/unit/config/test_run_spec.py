"""The record of a run's options that a batch keeps."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from runner.config.routes import Route, Routes
from runner.config.run_spec import RunSpec
from runner.config.units import pack_option, pack_tags
from runner.errors import ConfigError
from runner.sources import source_spec

SPEC = RunSpec(source=source_spec("s3://inbox/in/"), routes=Routes.single(schema_id="s1"), again=True, check="warn")


def test_a_spec_comes_back_from_its_record_as_it_was() -> None:
    assert RunSpec.from_json(SPEC.to_json()).to_json() == SPEC.to_json()


@pytest.mark.parametrize("key", ["source", "routes"])
@pytest.mark.parametrize("value", [None, 1, "x", [1], {"x": 1}])
def test_a_record_with_another_form_is_refused_with_a_sentence(key: str, value: object) -> None:
    text = orjson.dumps(orjson.loads(SPEC.to_json()) | {key: value}).decode()
    with pytest.raises(ConfigError, match=r"the batch's record of its .* cannot be read"):
        RunSpec.from_json(text)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", "{}"])
def test_a_record_that_is_no_record_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"the batch's record of its options cannot be read"):
        RunSpec.from_json(text)


@pytest.mark.parametrize(
    ("option", "of_route", "most"),
    [
        (None, None, 0),
        (None, 40, 40),
        (None, 0, 0),
        ("auto", None, 1000),
        ("auto", 40, 40),
        ("7", 0, 0),
        ("off", 40, 0),
        ("off", None, 0),
    ],
)
def test_the_number_of_a_route_replaces_that_of_the_run_unless_the_run_packs_nothing(
    option: str | None, of_route: int | None, most: int
) -> None:
    route = Route(name="r", schema_id="s", pack=of_route)
    spec = replace(SPEC, routes=Routes([route]), pack=pack_option(option))
    kept = RunSpec.from_json(spec.to_json())
    assert (kept.pack_limit(route), kept.packs) == (most, most > 0)


def test_an_option_that_is_no_number_of_files_is_refused() -> None:
    with pytest.raises(ConfigError, match="--pack 1: give auto, off, or a number of files from 2 to 1,000"):
        pack_option("1")


@pytest.mark.parametrize(
    "given", ["what is this", "", "K3F9X2AB7Q2MC", "k3f9x2ab7q2m", "k3f5x2ab7q2mcc", "k3f5x2ab7q2m\n"]
)
def test_what_cannot_be_the_tag_of_a_pack_is_refused(given: str) -> None:
    with pytest.raises(
        ConfigError, match="this is not the tag of a pack, which has 13 characters of a to z and 2 to 7"
    ):
        pack_tags(["k3f5x2ab7q2mc", given])


def test_tags_of_packs_are_taken() -> None:
    assert pack_tags(["k3f5x2ab7q2mc", "abcdefghijklm"]) == ("k3f5x2ab7q2mc", "abcdefghijklm")
