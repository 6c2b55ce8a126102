"""The page about costs is what its script computes from prices, measured units, and the template."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.support.alarms import alarms as watching
from tests.support.template import ROOT, load_template, template


@pytest.fixture(scope="module")
def costs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("costs", ROOT / "infra" / "costs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["costs"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_prints(costs: ModuleType) -> None:
    assert (ROOT / "infra" / "cost.md").read_text("utf-8") == costs.document()


def test_the_script_counts_the_alarms_and_queues_of_the_template(costs: ModuleType) -> None:
    alarms, _, queues = costs.counts()
    assert alarms == sum(len(alarm.metrics) for alarm in watching().values())
    assert queues == len([name for name in template().of_type("AWS::SQS::Queue") if "DeadLetter" not in name])


def test_waiting_in_a_container_costs_about_a_tenth(costs: ModuleType) -> None:
    functions, *container = costs.waiting_rows()
    assert 0.08 < sum(row.usd for row in container) / functions.usd < 0.13
    properties = load_template(ROOT / "examples/container/ecs-worker.yaml")["Resources"]["Task"]["Properties"]
    assert (int(properties["Cpu"]) / 1024, int(properties["Memory"]) / 1024) == (
        costs.CONTAINER_VCPU,
        costs.CONTAINER_GB,
    )
    assert properties["RuntimePlatform"]["CpuArchitecture"] == "ARM64"


def test_waiting_costs_less_per_file_the_larger_the_quota_is(costs: ModuleType) -> None:
    waiting = [costs.file_rows(count, per_s)[2].usd for count, per_s in costs.QUOTAS]
    assert waiting == sorted(waiting, reverse=True)
    assert waiting[0] > 100 * waiting[-1]
