"""`result_metadata` is decoded within bounds, and keeps no cell."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from runner.dromo.row_metadata import rows_of
from runner.masking import Mask
from runner.row_counts import RowsRead

MASK = Mask("license-key-0123456789")


def read(**metadata: Any) -> RowsRead:
    found = rows_of({"totalRows": 10, **metadata}, MASK)
    assert found is not None
    return found


def test_half_a_million_errors_are_read_within_bounds() -> None:
    errors = [{"fieldKey": f"f{n}", "message": f"m{n}", "rowIndex": n, "value": "v"} for n in range(500_000)]
    metadata = orjson.loads(orjson.dumps({"totalRows": 10**6, "errors": errors}))
    began = time.process_time()
    found = rows_of(metadata, MASK)
    assert time.process_time() - began < 5
    assert found is not None
    assert len(found.errors) <= 501
    assert sum(error.row_count for error in found.errors) == 10_000


@pytest.mark.parametrize("errors", [None, 5, "x", {}, [None, 1, "x", []], {"a": [1]}])
def test_errors_of_another_form_are_none(errors: Any) -> None:
    assert read(errors=errors).errors == ()


@pytest.mark.parametrize("name", ["", 5, None, ["a"], "a\nb", "x" * 61, "license-key-0123456789", "\u202eabc"])
def test_what_is_no_name_is_no_field_and_no_rule(name: Any) -> None:
    (error,) = read(errors=[{"fieldKey": name, "rule": name, "message": 5}]).errors
    assert (error.field, error.rule, error.message) == (None, "", "")


@pytest.mark.parametrize(
    ("given", "invalid"),
    [
        ({"invalidRows": 3}, 3),
        ({"validRows": 7}, 3),
        ({"validRows": 11}, None),
        ({"invalidRows": 11}, None),
        ({"invalidRows": "3"}, None),
        ({}, None),
    ],
)
def test_invalid_rows_are_believed_if_they_fit(given: dict[str, Any], invalid: int | None) -> None:
    assert read(**given).invalid_count == invalid


def test_no_message_is_shown() -> None:
    assert "secret" not in repr(read(errors=[{"fieldKey": "a", "message": "'secret' is bad", "value": "secret"}]))
