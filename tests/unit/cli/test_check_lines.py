"""The lines of `check --json`."""

from __future__ import annotations

import pytest

from runner.check import FileCheck, Prediction
from runner.cli.ndjson import file_fields
from runner.manifest import shown_name


@pytest.mark.parametrize("name", ["lat\udce9.csv", "a\\xe9.csv", "plain.csv", "caf\u00e9.csv"])
def test_a_file_has_the_name_that_it_has_in_a_manifest(name: str) -> None:
    check = FileCheck(source=name, size_bytes=1, prediction=Prediction.SUCCEED)
    assert file_fields(check)["source"] == shown_name(name)
