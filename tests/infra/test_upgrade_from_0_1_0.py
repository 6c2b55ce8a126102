"""A stack of version 0.1.0 is updated in place: nothing that holds data is replaced, and no output is dropped."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.template import template

RELEASED = Path(__file__).parents[1] / "data" / "0.1.0" / "template.json"
HOLD_DATA = ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue")
REPLACED_WHEN_CHANGED = ("TableName", "KeySchema", "BucketName", "QueueName", "FifoQueue")


@cache
def released() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(RELEASED.read_text("utf-8"))
    return document


@pytest.mark.parametrize("kind", HOLD_DATA)
def test_what_holds_data_keeps_its_logical_id_and_is_not_replaced(kind: str) -> None:
    before = {name: one["Properties"] for name, one in released()["Resources"].items() if one["Type"] == kind}
    now = template().of_type(kind)
    assert before
    assert before.keys() <= now.keys()
    for name, properties in before.items():
        for key in REPLACED_WHEN_CHANGED:
            assert now[name].get(key) == properties.get(key), f"{name}.{key}"
        assert template().resources[name].get("Condition") in (None, "HasOwnInbox"), "an update would remove it"


def test_every_index_of_the_table_is_kept() -> None:
    (before,) = (one for one in released()["Resources"].values() if one["Type"] == "AWS::DynamoDB::Table")
    (now,) = template().of_type("AWS::DynamoDB::Table").values()
    for index in before["Properties"]["GlobalSecondaryIndexes"]:
        assert index in now["GlobalSecondaryIndexes"]


def test_every_parameter_and_output_is_kept() -> None:
    assert released()["Parameters"].keys() <= template().parameters.keys()
    assert released()["Outputs"].keys() <= template().outputs.keys()


def test_the_update_adds_the_bucket_of_the_configuration_and_no_other() -> None:
    before = {name for name, one in released()["Resources"].items() if one["Type"] == "AWS::S3::Bucket"}
    assert template().of_type("AWS::S3::Bucket").keys() - before == {"ConfigBucket"}
    rule = released()["Resources"]["ConfigRule"]["Properties"]["EventPattern"]["detail"]
    assert rule["bucket"] == {"name": [{"Ref": "InboxBucket"}]}, "the place of 0.1.0, from which the stack moves"


def test_roles_stay_where_they_are_unless_a_path_is_given() -> None:
    assert template().parameters["RolePath"]["Default"] == "/", "another default would replace every role"
    assert template().parameters["ExistingInbox"]["Default"] == "", "another default would let go of the inbox"


def test_a_stack_with_the_defaults_of_0_1_0_is_updated_without_a_new_value() -> None:
    for name, before in released()["Parameters"].items():
        parameter = template().parameters[name]
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), str(before["Default"])), name
        assert before["Default"] in parameter.get("AllowedValues", [before["Default"]]), name
    assert all(
        "Default" in template().parameters[name] for name in template().parameters.keys() - released()["Parameters"]
    )
