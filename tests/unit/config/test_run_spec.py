"""The record of a run's options that a batch keeps."""

from __future__ import annotations

import orjson
import pytest

from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
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
